//! The program's accounts, one per file: address, layout and rules.

mod account;
mod collateral;
mod config;
mod exposure;
mod load_or_create;
mod market;
mod measurement;
mod metric;
mod model;
mod policy;
mod position;
mod pot;
mod receipt;
mod seat;
mod series;
mod silence;
mod tenure;
mod vault;
mod withdraw_request;

pub(crate) use load_or_create::load_or_create;
pub(crate) use seat::move_reward;
pub use {
    account::Account, collateral::*, config::*, exposure::*, market::*, measurement::*, metric::*,
    model::*, policy::*, position::*, pot::*, receipt::*, seat::*, series::*, tenure::*, vault::*,
    withdraw_request::*,
};

use anchor_lang::prelude::*;

use crate::DriftShieldError;

/// Increments an account's sequence number and returns it: the number of the next event, counted
/// from 1.
pub(crate) fn next_seq(seq: &mut u64) -> u64 {
    *seq = seq.wrapping_add(1); // once per instruction: 2⁶⁴ is never reached
    *seq
}

/// Refuses a text that is too long for its field, or contains the NUL that pads fields.
pub(crate) fn require_text(text: &str, max_bytes: usize) -> Result<()> {
    require!(
        text.len() <= max_bytes && !text.as_bytes().contains(&0),
        DriftShieldError::InvalidText
    );
    Ok(())
}

/// Converts `text` to a field of `N` bytes, padded with zeros.
pub(crate) fn text<const N: usize>(text: &str) -> Result<[u8; N]> {
    require_text(text, N)?;
    let bytes = text.as_bytes();
    let mut field = [0; N];
    field[..bytes.len()].copy_from_slice(bytes);
    Ok(field)
}
