//! The accounts on chain as of the last read, decoded for the comparison with the books.

use std::collections::{BTreeMap, HashMap};

use driftshield_sdk::{
    Account, Address, ID, TokenProgram,
    token::{self, TokenAccount},
};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_signer::Signer;

use super::{
    books::Tokens,
    call::KnownAccounts,
    compare::{self, Fields},
};
use crate::world::World;

/// Owner of the sysvars, which the runtime itself writes.
const SYSVAR_OWNER: Address = anchor_lang::address!("Sysvar1111111111111111111111111111111111111");

/// Size of a token mint without extensions.
const MINT_BYTES: usize = 82;

#[derive(Clone, Default)]
pub struct Snapshot {
    /// All accounts on chain, those of other programs included.
    accounts: HashMap<Address, AccountSharedData>,
    /// The compared fields of the program's accounts.
    pub fields: BTreeMap<Address, Fields>,
    pub tokens: BTreeMap<Address, Tokens>,
    /// The supply of each mint.
    pub supplies: BTreeMap<Address, u128>,
    /// The last known state of the program's accounts, closed ones included.
    pub known: KnownAccounts,
}

impl Snapshot {
    pub fn account(&self, address: &Address) -> Option<&AccountSharedData> {
        self.accounts.get(address)
    }

    /// Addresses of accounts that differ from the snapshot, except sysvars and the fee payer.
    pub fn changes(&self, world: &World) -> Vec<Address> {
        let payer = world.payer.pubkey();
        let now = &world.svm.accounts_db().inner;
        let is_same = |address: &Address, account: &AccountSharedData| {
            self.accounts.get(address).is_some_and(|before| {
                // Both share data that was not written since; comparing pointers first avoids reading it.
                let (was, is) = (before.data(), account.data());
                before.lamports() == account.lamports()
                    && before.owner() == account.owner()
                    && (std::ptr::eq(was, is) || was == is)
            })
        };
        let changed = now
            .iter()
            .filter(|(address, account)| {
                **address != payer && *account.owner() != SYSVAR_OWNER && !is_same(address, account)
            })
            .map(|(address, _)| *address);
        let closed = self
            .accounts
            .keys()
            .filter(|address| !now.contains_key(address))
            .copied();
        let mut all: Vec<Address> = changed.chain(closed).collect();
        all.sort();
        all
    }

    /// Reads every changed account. On failure, returns the account that can't be decoded, and why.
    pub fn refresh(&mut self, world: &World) -> Result<(), (Address, String)> {
        for address in self.changes(world) {
            let account = world.svm.accounts_db().get_account(&address);
            self.remove(&address);
            if let Some(account) = account {
                if 0 < account.lamports() {
                    self.decode(address, &account)
                        .map_err(|error| (address, error))?;
                }
                self.accounts.insert(address, account);
            }
        }
        Ok(())
    }

    fn remove(&mut self, address: &Address) {
        self.accounts.remove(address);
        self.fields.remove(address);
        self.tokens.remove(address);
        self.supplies.remove(address);
    }

    fn decode(&mut self, address: Address, account: &AccountSharedData) -> Result<(), String> {
        let belongs_to_token_program = [TokenProgram::SplToken, TokenProgram::Token2022]
            .iter()
            .any(|program| program.id() == *account.owner());
        if *account.owner() == ID {
            let decoded = Account::decode(account.data()).map_err(|error| error.to_string())?;
            self.fields
                .insert(address, compare::fields_on_chain(&decoded));
            self.known.insert(address, decoded);
        } else if belongs_to_token_program && account.data().len() == MINT_BYTES {
            let supply = token::mint_supply(account.data()).expect("a mint");
            self.supplies.insert(address, supply.into());
        } else if belongs_to_token_program {
            let decoded = TokenAccount::decode(account.data()).expect("a token account");
            let tokens = Tokens {
                mint: Address::new_from_array(*account.data().first_chunk().expect("a mint")),
                owner: decoded.owner,
                amount: decoded.amount.into(),
                delegate: decoded
                    .delegate
                    .map(|delegate| (delegate, decoded.delegated.into())),
                donated: 0,
                owned_by_program: false,
            };
            self.tokens.insert(address, tokens);
        }
        Ok(())
    }
}
