//! An instruction in a town in which it succeeds.

use std::collections::HashMap;

use driftshield_sdk::{Account, Address, ID, Instruction, instruction};
use solana_account::Account as SvmAccount;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{idl, mutation::Mutation, town::Town};

pub struct Scene {
    pub town: Town,
    pub instruction: Instruction,
    /// The names of the instruction's accounts.
    pub slots: Vec<String>,
    /// The names of all accounts in town.
    pub cast: Vec<(String, Address)>,
    keys: HashMap<Address, Keypair>,
}

impl Scene {
    pub fn new(town: Town, instruction: Instruction) -> Self {
        let idl = idl::of(&instruction);
        for (expected, meta) in idl.accounts.iter().zip(&instruction.accounts) {
            let same = expected.writable == meta.is_writable && expected.signer <= meta.is_signer;
            assert!(same, "{} is not as the IDL says", expected.name);
        }
        Self {
            slots: idl.slots(&instruction),
            cast: town.cast(),
            keys: town.keys(),
            town,
            instruction,
        }
    }

    pub fn keys<'a>(&'a self, mutation: &'a Mutation) -> Vec<&'a Keypair> {
        let mut signers: Vec<&Keypair> = vec![];
        let accounts = mutation.instructions.iter().flat_map(|of| &of.accounts);
        for account in accounts.filter(|account| account.is_signer) {
            let own = mutation.keys.iter();
            let mut keys = own.chain(self.keys.values());
            let key = keys.find(|key| key.pubkey() == account.pubkey);
            // Who pays the fees signs anyway.
            if let Some(key) = key.filter(|key| !signers.contains(key)) {
                signers.push(key);
            }
        }
        signers
    }

    pub fn account(&self, slot: usize) -> Option<SvmAccount> {
        let address = self.instruction.accounts[slot].pubkey;
        let account = self.town.world.svm.get_account(&address);
        account.filter(|account| 0 < account.lamports)
    }

    pub fn decoded(&self, address: &Address) -> Option<Account> {
        let account = self.town.world.svm.get_account(address)?;
        let is_ours = account.owner == ID;
        is_ours.then(|| Account::decode(&account.data).expect("an account of the program"))
    }

    /// Where the slot signs, only what has a key can stand in it.
    pub fn can_stand(&self, slot: usize, address: &Address) -> bool {
        !self.instruction.accounts[slot].is_signer || self.keys.contains_key(address)
    }

    /// What the account at `address` is to its site.
    pub fn role(&self, address: &Address) -> Option<&str> {
        let (name, _) = self.cast.iter().find(|(_, other)| other == address)?;
        name.split_once('.').map(|(_, role)| role)
    }

    /// What closes the account at `address`, signed by whoever has to.
    pub fn close(&self, address: &Address) -> Option<Instruction> {
        let world = &self.town.world;
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
            Account::Receipt(receipt) => instruction::close_receipt(&receipt),
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
