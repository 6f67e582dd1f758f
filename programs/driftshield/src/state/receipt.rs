mod appeal;
mod dispute;
mod opening;
mod settlement;
mod submission;

use anchor_lang::prelude::*;

pub use self::dispute::*;
use crate::MAX_ORACLES;

#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ReceiptState {
    /// Accepts submissions.
    Collecting = 0,
    /// A quorum agrees on a value, or that the window is thin. This can be challenged.
    Proposed = 1,
    /// In dispute: the proposal was challenged, no quorum agrees, or a missing window was
    /// challenged.
    Challenged = 2,
    /// Its value is final.
    Final = 3,
    /// Has no valid value.
    Void = 4,
    /// Has no value, because the window has fewer than `min_samples` rows.
    Thin = 5,
}

/// The oracles' submissions for one window of a model, and the drift computed from them. Exists
/// until the window is settled and nothing is owed any more.
///
/// Address: PDA of `["receipt", model, window (u64 LE)]`.
/// Arrays are by oracle, in the model's order. Drift is in micro-units.
#[account]
pub struct Receipt {
    pub model: Address,
    /// Account that paid the receipt's rent and receives it back.
    pub payer: Address,
    /// Account that challenged; all zeros if none has.
    pub challenger: Address,
    /// SHA-256 of each oracle's evidence document; all zeros if the oracle has not submitted.
    pub evidence: [[u8; 32]; MAX_ORACLES],
    /// Index of the window.
    pub window: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Drift that the program computed from each oracle's counts; 0 if they are thin.
    pub values: [u64; MAX_ORACLES],
    /// Number of rows that each oracle counted.
    pub samples: [u64; MAX_ORACLES],
    /// Median of the submitted values (0 if there is none), or the ruling's value. 0 if the window
    /// was settled as thin.
    pub value: u64,
    /// Unix time at which the current state began, or at which the dispute was challenged.
    pub since: i64,
    /// Drift of the challenger's counts; 0 if there is no challenger, or if they are thin.
    pub asserted: u64,
    /// Amount that each oracle lost by the ruling, which the admin can return until
    /// `appeal_until`, in base units of the bond mint. 0 once it was returned or credited.
    pub held: [u64; MAX_ORACLES],
    /// Part of what is held that the challenger gets, in base units of the bond mint.
    pub reward: u64,
    /// Unix time from which what is held is credited; 0 if nothing is held.
    pub appeal_until: i64,
    /// Amount that each oracle lost for its silence when the receipt was settled, in base units of
    /// the bond mint.
    pub penalties: [u64; MAX_ORACLES],
    /// Amount that the challenger can collect, in base units of the bond mint.
    pub challenger_credit: u64,
    /// Amount that the treasury can collect, in base units of the bond mint.
    pub treasury_credit: u64,
    /// Pay for the window, which the agreeing submitters share when the receipt is settled, in base
    /// units of the bond mint.
    pub pay: u64,
    /// Version of the model.
    pub version: u32,
    /// Bit `i` is set if oracle `i` has submitted.
    pub submitted: u8,
    pub state: PodReceiptState,
    /// Bit `i` is set if oracle `i` earned an equal part of `pay`; 0 until the receipt is settled.
    pub earners: u8,
    pub bump: u8,
    /// Bit `i` is set if oracle `i` has submitted fewer than `min_samples` rows.
    pub thin: u8,
    /// Bit `i` is set if oracle `i` owed a submission and was silent; 0 unless the receipt is Final or
    /// Thin.
    pub silent: u8,
    /// Whether the challenger's counts are thin.
    pub asserts_thin: PodBool,
    pub reserved: [u8; 5],
}

const _: () = assert!(core::mem::size_of::<Receipt>() == 3 * 32 + 224 + 38 * 8 + 16);

impl Receipt {
    /// Whether the running instruction created the account.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
