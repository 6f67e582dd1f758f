use anchor_lang::prelude::*;

use crate::MAX_OUTCOMES;

/// One bettor's stakes in a market.
///
/// Address: PDA of `["position", market, owner]`.
#[account]
pub struct Position {
    pub market: Address,
    /// Receives the payout and the account's rent.
    pub owner: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Stakes by outcome, in base units.
    pub stakes: [u64; MAX_OUTCOMES],
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Position>() == 2 * 32 + 8 + 64 + 8);

impl Position {
    /// Returns the sum of all stakes. It is part of the market's total, which fits 64 bits.
    pub fn total(&self) -> u64 {
        self.stakes.iter().sum()
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
