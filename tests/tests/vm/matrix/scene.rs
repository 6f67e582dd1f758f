//! A scene: a fixture, and an instruction that succeeds in it.

use std::collections::HashMap;

use driftshield_sdk::{Account, Address, ID, Instruction, instruction};
use solana_account::Account as SvmAccount;
use solana_keypair::Keypair;

use super::fixture::Fixture;
use crate::committed_idl;

pub struct Scene {
    pub fixture: Fixture,
    pub instruction: Instruction,
    /// Names of the instruction's accounts: those of the IDL, then `remaining0`, `remaining1`, ...
    pub slots: Vec<String>,
    /// All accounts of the fixture with their names.
    pub named_accounts: Vec<(String, Address)>,
    keys: HashMap<Address, Keypair>,
}

impl Scene {
    /// Panics if the instruction's account flags differ from the IDL; an account may sign although
    /// the IDL does not require it.
    pub fn new(fixture: Fixture, instruction: Instruction) -> Self {
        let declared = committed_idl::accounts(committed_idl::definition_of(&instruction));
        let mut slots = vec![];
        for (declared, meta) in declared.zip(&instruction.accounts) {
            let same = declared.writable == meta.is_writable && declared.signer <= meta.is_signer;
            assert!(same, "the flags of {} differ from the IDL", declared.name);
            slots.push(declared.name.clone());
        }
        let remaining = 0..instruction.accounts.len() - slots.len();
        slots.extend(remaining.map(|index| format!("remaining{index}")));
        Self {
            slots,
            named_accounts: fixture.named_accounts(),
            keys: fixture.keys(),
            fixture,
            instruction,
        }
    }

    /// The key of an address of the fixture that can sign.
    pub fn key(&self, address: &Address) -> Option<&Keypair> {
        self.keys.get(address)
    }

    /// The account in a slot; `None` if its address has no account.
    pub fn account(&self, slot: usize) -> Option<SvmAccount> {
        let address = self.instruction.accounts[slot].pubkey;
        let account = self.fixture.world.svm.get_account(&address);
        account.filter(|account| 0 < account.lamports)
    }

    /// The decoded account at `address`; `None` if the program does not own it.
    pub fn decoded(&self, address: &Address) -> Option<Account> {
        let account = self.fixture.world.svm.get_account(address)?;
        let is_owned = account.owner == ID;
        is_owned.then(|| Account::decode(&account.data).expect("an account of the program"))
    }

    /// Whether a transaction with `address` in this slot can be signed.
    pub fn is_signable(&self, slot: usize, address: &Address) -> bool {
        !self.instruction.accounts[slot].is_signer || self.keys.contains_key(address)
    }

    /// The name of the account at `address` without the name of its account set.
    pub fn role(&self, address: &Address) -> Option<&str> {
        let mut named = self.named_accounts.iter();
        let (name, _) = named.find(|(_, other)| other == address)?;
        name.split_once('.').map(|(_, role)| role)
    }

    /// The instruction that closes the account at `address`, with all signatures that it can have.
    /// `None` if the program does not own the account or never closes it.
    pub fn close(&self, address: &Address) -> Option<Instruction> {
        let world = &self.fixture.world;
        Some(match self.decoded(address)? {
            Account::Position(position) => {
                let market = world.market(&position.market);
                instruction::claim(position.owner, position.market, &market)
            }
            Account::Market(market) if market.is_settled() => {
                instruction::close_market(*address, &market)
            }
            Account::Market(market) => instruction::cancel_market(*address, &market, true),
            Account::Seat(seat) => instruction::close_seat(seat.oracle, seat.model),
            Account::Receipt(receipt) => instruction::finalize_receipt(&receipt),
            Account::Series(series) => instruction::close_series(&series),
            Account::Vault(vault) => instruction::close_vault(*address, &vault, true),
            Account::Exposure(exposure) => {
                let vault = world.vault(&exposure.vault);
                instruction::close_exposure(exposure.vault, &vault, exposure.model)
            }
            Account::WithdrawRequest(request) => {
                let vault = world.vault(&request.vault);
                instruction::cancel_withdraw(request.owner, request.vault, &vault)
            }
            Account::Policy(policy) => {
                instruction::cancel_policy(&policy, &world.vault(&policy.vault))
            }
            Account::Config(_) | Account::Collateral(_) | Account::Model(_) => return None,
        })
    }
}
