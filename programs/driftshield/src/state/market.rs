use anchor_lang::{prelude::*, wincode, BORSH_CONFIG};

use crate::{
    math, token::PodTokenProgram, DriftShieldError, Model, PdaSigner, Position, ReceiptState,
    MAX_FEES_BPS, MAX_HORIZON_SECS,
};

pub const MAX_THRESHOLDS: usize = 7;
pub const MAX_OUTCOMES: usize = MAX_THRESHOLDS + 1;
pub const MAX_WINDOWS: u64 = 366;
pub const QUESTION_BYTES: usize = 128;

/// How the observed windows make one value.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum Aggregate {
    /// The largest.
    Max = 0,
    /// The latest observed.
    Last = 1,
    /// The mean, rounded down.
    Mean = 2,
}

#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum MarketState {
    /// Bets are taken until `close_ts`, then windows are settled.
    Open = 0,
    /// `outcome` has won.
    Resolved = 1,
    /// Every stake is refunded.
    Void = 2,
}

/// A parimutuel market on the bucket that a model's drift will fall in.
///
/// Address: PDA of `["market", creator, id (u64 LE)]`.
/// Amounts are in base units of `mint`, drift in micro-units.
#[account]
pub struct Market {
    pub creator: Address,
    pub model: Address,
    pub mint: Address,
    /// Holds all stakes: PDA of `["market_vault", market]`.
    pub vault: Address,
    /// SHA-256 of the serialized terms and the protocol's fee (u16, little-endian). A bet names it,
    /// so that it can't land on another market that took the address of a cancelled one.
    pub terms_hash: [u8; 32],
    pub id: u64,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// Ascending; the first `threshold_count` cut the line into outcomes.
    pub thresholds: [u64; MAX_THRESHOLDS],
    /// Stakes by outcome.
    pub pools: [u64; MAX_OUTCOMES],
    /// All stakes ever bet.
    pub total: u64,
    /// What the vault owes: stakes, then what is neither paid nor collected.
    pub owed: u64,
    /// No bets from here on; at the latest when the first window begins.
    pub close_ts: i64,
    pub first_window: u64,
    pub last_window: u64,
    /// The next window to settle.
    pub next_window: u64,
    /// Windows with a Final receipt so far.
    pub observed: u64,
    /// The largest, the latest, or the sum of the observed values.
    pub accumulator: u64,
    /// What the observed windows make of it, once resolved.
    pub value: u64,
    /// The losers' stakes less fees, once resolved.
    pub winnings: u64,
    /// Fees not collected yet.
    pub protocol_credit: u64,
    pub creator_credit: u64,
    /// Positions not claimed yet.
    pub positions: u64,
    pub model_version: u32,
    pub protocol_fee_bps: u16,
    pub creator_fee_bps: u16,
    pub threshold_count: u8,
    pub aggregate: PodAggregate,
    pub state: PodMarketState,
    /// The winning outcome, once resolved.
    pub outcome: u8,
    pub decimals: u8,
    pub bump: u8,
    /// The program of `mint`.
    pub token_program: PodTokenProgram,
    pub reserved: [u8; 1],
    /// UTF-8, padded with zeros.
    pub question: [u8; QUESTION_BYTES],
}

const _: () = assert!(core::mem::size_of::<Market>() == 5 * 32 + 30 * 8 + 16 + 128);

/// What a creator decides; nothing of it changes later.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct MarketTerms {
    /// The model's version that the creator has seen.
    pub model_version: u32,
    /// 1 to 7, ascending, none under the model's noise floor; micro-units.
    pub thresholds: Vec<u64>,
    pub aggregate: Aggregate,
    pub first_window: u64,
    /// At most 366 windows, ending within 400 days.
    pub last_window: u64,
    /// Unix seconds, no later than the start of the first window.
    pub close_ts: i64,
    /// The creator's share of the losing stakes, in bps; at most 2000 with the protocol's.
    pub creator_fee_bps: u16,
    /// At most 128 bytes.
    pub question: String,
}

impl MarketTerms {
    /// SHA-256 of the terms, serialized, and the protocol's fee (u16, little-endian).
    pub fn hash(&self, protocol_fee_bps: u16) -> Result<[u8; 32]> {
        let mut bytes = wincode::config::serialize(self, BORSH_CONFIG)
            .map_err(|_| DriftShieldError::Overflow)?;
        bytes.extend_from_slice(&protocol_fee_bps.to_le_bytes());
        Ok(sha256(&bytes))
    }

    pub fn validate(&self, model: &Model, protocol_fee_bps: u16, now: i64) -> Result<()> {
        model.require_active()?;
        model.require_version(self.model_version)?;
        require!(
            (1..=MAX_THRESHOLDS).contains(&self.thresholds.len())
                && self.thresholds.windows(2).all(|pair| pair[0] < pair[1]),
            DriftShieldError::InvalidThresholds
        );
        require!(
            model.noise_floor <= self.thresholds[0],
            DriftShieldError::BelowNoiseFloor
        );
        require!(
            self.first_window <= self.last_window
                && self.last_window - self.first_window < MAX_WINDOWS
                && model.window_end(self.last_window)? <= now + MAX_HORIZON_SECS,
            DriftShieldError::InvalidWindows
        );
        require!(
            now < self.close_ts && self.close_ts <= model.window_start(self.first_window)?,
            DriftShieldError::InvalidCloseTime
        );
        require!(
            u32::from(protocol_fee_bps) + u32::from(self.creator_fee_bps)
                <= u32::from(MAX_FEES_BPS),
            DriftShieldError::FeesTooHigh
        );
        Ok(())
    }
}

impl Market {
    pub fn outcomes(&self) -> usize {
        usize::from(self.threshold_count) + 1
    }

    pub fn is_settled(&self) -> bool {
        self.state != MarketState::Open
    }

    pub fn require_settled(&self) -> Result<()> {
        require!(self.is_settled(), DriftShieldError::MarketNotSettled);
        Ok(())
    }

    /// The outcome that `value` falls in: the number of thresholds at or under it.
    fn outcome_of(&self, value: u64) -> usize {
        self.thresholds[..usize::from(self.threshold_count)]
            .iter()
            .filter(|&&threshold| threshold <= value)
            .count()
    }

    /// The protocol's and the creator's fee on `losing` stakes.
    fn fees(&self, losing: u64) -> (u64, u64) {
        (
            math::fee(losing, self.protocol_fee_bps),
            math::fee(losing, self.creator_fee_bps),
        )
    }

    /// The payout multiple of `outcome`, which has stakes, in thousandths, as things stand.
    pub fn multiple(&self, outcome: usize) -> u64 {
        let winning = self.pools[outcome];
        let losing = self.total - winning;
        let (protocol, creator) = self.fees(losing);
        math::multiple(winning, losing - protocol - creator)
    }

    /// Takes a bet of `amount` on `outcome`, if it then multiplies by `min_multiple` thousandths.
    /// Returns what it multiplies by.
    pub fn bet(&mut self, outcome: usize, amount: u64, min_multiple: u64, now: i64) -> Result<u64> {
        require!(
            !self.is_settled() && now < self.close_ts,
            DriftShieldError::BettingClosed
        );
        require!(outcome < self.outcomes(), DriftShieldError::NoSuchOutcome);
        self.total = self
            .total
            .checked_add(amount)
            .ok_or(DriftShieldError::Overflow)?;
        self.pools[outcome] += amount; // part of the total
        self.owed = self.total; // nothing leaves before settlement
        let multiple = self.multiple(outcome);
        require!(min_multiple <= multiple, DriftShieldError::MultipleTooLow);
        Ok(multiple)
    }

    /// Settles the next window by its receipt: Final is observed, Void is skipped.
    /// Resolves after the last one, or as soon as nothing can change the outcome.
    pub fn settle(&mut self, state: ReceiptState, value: u64) {
        let mut decided = self.next_window == self.last_window;
        if state == ReceiptState::Final {
            self.observed += 1; // at most 366
            self.accumulator = match self.aggregate.into() {
                Aggregate::Max => self.accumulator.max(value),
                Aggregate::Last => value,
                Aggregate::Mean => self.accumulator + value, // no value reaches 2⁵⁰
            };
            decided |= self.aggregate == Aggregate::Max
                && self.outcome_of(value) == usize::from(self.threshold_count);
        }
        self.next_window += 1; // far below 2⁶⁴: the window's times fit an i64
        if decided {
            self.resolve();
        }
    }

    fn resolve(&mut self) {
        if self.observed == 0 {
            return self.void();
        }
        self.value = match self.aggregate.into() {
            Aggregate::Mean => self.accumulator / self.observed,
            Aggregate::Max | Aggregate::Last => self.accumulator,
        };
        let outcome = self.outcome_of(self.value);
        let winning = self.pools[outcome];
        if winning == 0 {
            return self.void();
        }
        let losing = self.total - winning;
        let (protocol, creator) = self.fees(losing);
        self.state = MarketState::Resolved.into();
        self.outcome = outcome as u8;
        self.protocol_credit = protocol;
        self.creator_credit = creator;
        self.winnings = losing - protocol - creator;
    }

    /// Every stake is refunded.
    pub fn void(&mut self) {
        self.state = MarketState::Void.into();
    }

    /// What `position` is paid, and takes it off what is owed.
    pub fn claim(&mut self, position: &Position) -> Result<u64> {
        self.require_settled()?;
        let payout = if self.state == MarketState::Void {
            position.total()
        } else {
            let outcome = usize::from(self.outcome);
            math::payout(position.stakes[outcome], self.pools[outcome], self.winnings)
                .ok_or(DriftShieldError::Overflow)?
        };
        self.pay(payout);
        self.positions -= 1;
        Ok(payout)
    }

    /// Takes `amount`, about to leave the vault, off what is owed.
    pub fn pay(&mut self, amount: u64) {
        self.owed -= amount;
    }

    /// What must hold of the vault after every instruction. Anyone can send it more.
    pub fn invariant(&self, vault_amount: u64) -> Result<()> {
        require!(self.owed <= vault_amount, DriftShieldError::Insolvent);
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }

    /// With this the program signs for the market, owner of its token account.
    pub fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"market", &self.creator, self.id, self.bump)
    }
}
