//! The DriftShield program seen from outside: where its accounts are, how to call it, what its
//! accounts, events and errors say.
//!
//! [`json`] tells them as databases and web clients hold them, [`spec`] is the document that says
//! what a model's drift is measured on, and `rpc` (a feature) reads the chain and sends to it.
//!
//! The program crate gives the types and the arithmetic, so a client computes what the program
//! will: [`math`] is the program's own.

pub mod address;
pub mod error;
#[cfg(feature = "faucet")]
pub mod faucet;
pub mod instruction;
pub mod json;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod spec;
pub mod token;

mod account;
mod event;
mod run;

pub use account::Account;
pub use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
pub use driftshield::{
    Aggregate, ChallengePayee, Collateral, CollateralTerms, Config, ConfigParams, DriftShieldError,
    Exposure, FeePayee, ID, ListingTerms, MIN_HISTORY, Market, MarketState, MarketTerms,
    MetricSpec, Model, ModelStatus, ModelTerms, Policy, PolicyTerms, Position, PremiumPayee, Quote,
    Receipt, ReceiptState, Seat, Stream, TokenProgram, Vault, VaultTerms, VaultTotals,
    WithdrawRequest, first_window, math, math::Metric, pause, quote, quote_renewal,
};
pub use event::{Event, events};
pub use run::{Run, best_run};

/// Why bytes could not be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// An account or event that this version of the program does not know.
    #[error("unknown discriminator {0:02x?}: update the client")]
    Unknown([u8; 8]),
    #[error("too short for a discriminator: {0} bytes")]
    TooShort(usize),
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// The discriminator that `bytes` begin with.
fn discriminator(bytes: &[u8]) -> Result<[u8; 8], DecodeError> {
    bytes
        .first_chunk()
        .copied()
        .ok_or(DecodeError::TooShort(bytes.len()))
}
