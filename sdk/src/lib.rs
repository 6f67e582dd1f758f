//! Client library of the DriftShield program: account addresses, instruction builders, and
//! decoders for accounts, events and errors.
//!
//! [`json`] decodes accounts and events into JSON for databases and web clients, and [`fields`]
//! decodes accounts into typed columns. [`spec`] is the
//! document that defines how a model's drift is measured, and [`defaults`] what clients fill in where
//! their users state nothing. `rpc` (a feature) reads the chain and simulates transactions, and with the
//! feature `send` signs and sends them. `faucet` (a feature) funds wallets on a local cluster.
//!
//! Account types are re-exported from the program crate, and [`math`] is the arithmetic that the
//! program uses, so a client computes exactly what the program computes.

pub mod address;
pub mod defaults;
pub mod error;
#[cfg(feature = "faucet")]
pub mod faucet;
pub mod fields;
pub mod instruction;
pub mod json;
pub mod refusal;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod spec;
pub mod token;

mod account;
mod event;
mod idl;
mod series;

pub use account::{Account, AccountKind};
pub use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
pub use driftshield::{
    Aggregate, Ask, ChallengePayee, Collateral, CollateralTerms, Config, ConfigParams,
    DepositLimits, DriftShieldError, Entry, Examination, Exposure, FeePayee, Findings, ID,
    ListingTerms, MIN_EXPECTED_ROWS, MIN_HISTORY, Market, MarketState, MarketTerms, Measurement,
    Metric, MetricSpec, Model, ModelStatus, ModelTerms, PAGE_WINDOWS, Pending, Policy, PolicyTerms,
    Position, Pot, PotTotals, PremiumPayee, Probation, Quote, Receipt, ReceiptState, Refusal,
    RewardPayee, Rule, Seat, Series, Stream, Tenure, TokenProgram, Vault, VaultTerms, VaultTotals,
    WHOLE_INDEX, WithdrawRequest, first_window, math, pause, quote, quote_renewal,
};
pub use event::{AccountChange, Event, events};
pub use series::{entry_in, entry_state, entry_value};

/// Why an account or an event could not be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The account or event type does not exist in this version of the program.
    #[error("unknown discriminator {0:02x?}; update the client")]
    Unknown([u8; 8]),
    #[error("too short for an account or event: {0} bytes, a discriminator has 8")]
    TooShort(usize),
    #[error("the data does not fit the type {0}; update the client")]
    Malformed(&'static str),
}

/// Discriminator at the start of `bytes`.
fn discriminator(bytes: &[u8]) -> Result<[u8; 8], DecodeError> {
    bytes
        .first_chunk()
        .copied()
        .ok_or(DecodeError::TooShort(bytes.len()))
}
