//! What an account is.

use driftshield_sdk::{Account, Address, ID};
use driftshield_tests::world::World;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of the program, by the name of its type.
    Ours(&'static str),
    TokenAccount,
    Mint,
    Wallet,
    Program,
    /// There is no account.
    Nothing,
    Other,
}

impl Kind {
    pub fn of(world: &World, address: &Address) -> Self {
        const MINT_BYTES: usize = 82;
        let account = world.svm.get_account(address);
        let Some(account) = account.filter(|account| 0 < account.lamports) else {
            return Self::Nothing;
        };
        let is_token = [anchor_spl::token::ID, anchor_spl::token_2022::ID].contains(&account.owner);
        if account.executable {
            Self::Program
        } else if account.owner == ID {
            let decoded = Account::decode(&account.data);
            Self::Ours(decoded.expect("an account of the program").name())
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

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours(_))
    }
}
