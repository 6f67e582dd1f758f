//! Reads the drift of machine-learning models from the accounts of the DriftShield program.
//!
//! The crate is for programs on Solana that act on drift, and for clients. It has no dependencies,
//! allocates nothing and works with every version of Solana's crates: an account is its address,
//! its owner and its bytes.
//!
//! What a consumer needs to know is in [docs/feed.md](../../docs/feed.md), with an example.
#![no_std]

mod error;
pub mod layout;
mod model;
mod page;

pub use error::Error;
pub use model::{Current, Limits, Model, Pin, Reading};
pub use page::{Page, Window, PAGE_WINDOWS};

/// An address, as bytes.
pub type Address = [u8; 32];

/// The program that owns all accounts that this crate reads:
/// `DriftSh1e1d11111111111111111111111111111111`.
pub const PROGRAM_ID: Address = [
    3, 75, 47, 193, 133, 94, 6, 16, 227, 122, 85, 200, 76, 102, 253, 3, 178, 167, 153, 195, 239,
    90, 0, 157, 31, 79, 250, 56, 0, 0, 0, 0,
];

/// An account as the runtime or an RPC node gives it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub address: &'a Address,
    /// The program that owns the account.
    pub owner: &'a Address,
    pub data: &'a [u8],
}

impl<'a> Account<'a> {
    /// The data of the program's account of one type. Anybody can create an account with the same
    /// bytes under another program, so the owner comes first.
    fn data_of<const SIZE: usize>(
        &self,
        discriminator: &[u8; 8],
        other_type: Error,
    ) -> Result<&'a [u8; SIZE], Error> {
        if *self.owner != PROGRAM_ID {
            return Err(Error::WrongOwner);
        }
        if !self.data.starts_with(discriminator) {
            return Err(other_type);
        }
        self.data.try_into().map_err(|_| Error::WrongSize)
    }
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/feed.md")]
struct Documentation;
