//! Instruction builders.
//!
//! Where an instruction's accounts depend on the state of an account, the builder takes that
//! account as it was read from the chain.
//!
//! A payout goes to the payee's associated token account, which must exist unless the payout is 0.
//! Put [`create_token_account`] in front of the payout in the same transaction: it does nothing if
//! the account exists already.

mod admin;
mod markets;
mod models;
mod policies;
mod receipts;
mod tokens;
mod vaults;

pub use self::{admin::*, markets::*, models::*, policies::*, receipts::*, tokens::*, vaults::*};
