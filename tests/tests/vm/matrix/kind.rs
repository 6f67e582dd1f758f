//! Kinds of accounts.

use driftshield_sdk::{Account, Address, ID};
use driftshield_tests::world::World;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An account that DriftShield owns, with the name of its type.
    DriftShield(&'static str),
    TokenAccount,
    Mint,
    Wallet,
    Executable,
    /// The address has no account.
    Missing,
    Other,
}

impl Kind {
    pub fn of(world: &World, address: &Address) -> Self {
        const MINT_BYTES: usize = 82;
        let account = world.svm.get_account(address);
        let Some(account) = account.filter(|account| 0 < account.lamports) else {
            return Self::Missing;
        };
        let is_token = [anchor_spl::token::ID, anchor_spl::token_2022::ID].contains(&account.owner);
        if account.executable {
            Self::Executable
        } else if account.owner == ID {
            let decoded = Account::decode(&account.data);
            Self::DriftShield(decoded.expect("an account of the program").kind().name())
        } else if is_token && account.data.len() == MINT_BYTES {
            Self::Mint
        } else if is_token {
            Self::TokenAccount
        } else if account.owner == Address::default() && account.data.is_empty() {
            Self::Wallet
        } else {
            Self::Other
        }
    }

    /// Whether DriftShield owns the account.
    pub fn is_driftshield(self) -> bool {
        matches!(self, Self::DriftShield(_))
    }
}
