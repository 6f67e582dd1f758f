use anchor_lang::prelude::*;

use crate::MAX_OUTCOMES;

/// One bettor's stakes in a market.
///
/// Address: PDA of `["position", market, owner]`.
#[account]
pub struct Position {
    pub market: Address,
    /// Is paid, and gets the account's rent back.
    pub owner: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// By outcome, in base units.
    pub stakes: [u64; MAX_OUTCOMES],
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Position>() == 2 * 32 + 8 + 64 + 8);

impl Position {
    /// Whether the account was made by the running instruction.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    /// All stakes: their sum is part of the market's total, which fits 64 bits.
    pub fn total(&self) -> u64 {
        self.stakes.iter().sum()
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
