use anchor_lang::{prelude::*, wincode, BORSH_CONFIG};

use crate::{
    math, token::PodTokenProgram, DriftShieldError, Entry, Model, PdaSigner, Position, Series,
    TokenOwner, MAX_FEES_BPS, MAX_HORIZON_SECS, MAX_OUTCOMES, MAX_THRESHOLDS, PAGE_WINDOWS,
};

pub const MAX_WINDOWS: u64 = 366;
pub const QUESTION_BYTES: usize = 128;

/// How the observed values are aggregated into one.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum Aggregate {
    /// The largest value.
    Max = 0,
    /// The latest value.
    Last = 1,
    /// The mean, rounded down.
    Mean = 2,
}

#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum MarketState {
    /// Accepts bets until `close_ts`; then its windows are settled.
    Open = 0,
    /// `outcome` has won.
    Resolved = 1,
    /// Every stake is refunded.
    Void = 2,
}

/// Payee of a market's fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum FeePayee {
    Treasury = 0,
    Creator = 1,
}

/// A parimutuel market on the interval in which a model's drift falls. Thresholds separate the
/// intervals, which are the outcomes.
///
/// Address: PDA of `["market", creator, id (u64 LE)]`.
/// Amounts are in base units of `mint`, drift in micro-units.
#[account]
pub struct Market {
    pub creator: Address,
    pub model: Address,
    pub mint: Address,
    /// Token account of all stakes: PDA of `["market_vault", market]`.
    pub vault: Address,
    /// SHA-256 of the terms in Borsh, followed by `protocol_fee_bps` (u16, little-endian). A bet
    /// states this hash and is therefore refused by a later market at the address of a cancelled
    /// one.
    pub terms_hash: [u8; 32],
    /// Chosen by the creator.
    pub id: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Ascending thresholds; the first `threshold_count` separate the outcomes.
    pub thresholds: [u64; MAX_THRESHOLDS],
    /// Stakes by outcome.
    pub pools: [u64; MAX_OUTCOMES],
    /// All stakes ever placed.
    pub total: u64,
    /// Amount that the vault owes: all stakes, less paid payouts and collected fees.
    pub owed: u64,
    /// Unix time from which bets are refused, no later than the start of the first window.
    pub close_ts: i64,
    /// First observed window.
    pub first_window: u64,
    /// Last observed window.
    pub last_window: u64,
    /// Fewest observed windows with which the market resolves.
    pub min_observed: u64,
    /// Next window to settle.
    pub next_window: u64,
    /// Number of settled windows with a final value.
    pub observed: u64,
    /// Running aggregate: the maximum, the latest or the sum of the observed values, depending on
    /// `aggregate`.
    pub accumulator: u64,
    /// Aggregate of the observed values. 0 while the market is open, and if it became Void because
    /// too few windows were observed or the retention of a window was over.
    pub value: u64,
    /// The losing stakes less fees; 0 unless the market is resolved.
    pub winnings: u64,
    /// The protocol's fee, not collected yet.
    pub protocol_credit: u64,
    /// The creator's fee, not collected yet.
    pub creator_credit: u64,
    /// Number of positions that are neither claimed nor sold out.
    pub positions: u64,
    /// Version of the model on which bets are placed.
    pub model_version: u32,
    /// The protocol's fee on the losing stakes, in bps. Copied from Config.
    pub protocol_fee_bps: u16,
    /// The creator's fee on the losing stakes, in bps.
    pub creator_fee_bps: u16,
    /// Number of thresholds, 1 to 7.
    pub threshold_count: u8,
    pub aggregate: PodAggregate,
    pub state: PodMarketState,
    /// The winning outcome; 0 unless the market is resolved.
    pub outcome: u8,
    /// Decimals of `mint`.
    pub decimals: u8,
    pub bump: u8,
    /// Token program of `mint`.
    pub token_program: PodTokenProgram,
    pub reserved: [u8; 1],
    /// UTF-8, padded with zeros.
    pub question: [u8; QUESTION_BYTES],
}

const _: () = assert!(core::mem::size_of::<Market>() == 5 * 32 + 31 * 8 + 16 + 128);

/// Terms that a market's creator sets. They never change.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct MarketTerms {
    /// Version of the model that the creator has read.
    pub model_version: u32,
    /// 1 to 7 ascending thresholds in micro-units, none below the model's noise floor.
    pub thresholds: Vec<u64>,
    pub aggregate: Aggregate,
    /// First observed window.
    pub first_window: u64,
    /// Last observed window. There are at most 366, and they end within 400 days.
    pub last_window: u64,
    /// Fewest windows with a Final value with which the market resolves, at most the number of
    /// windows. Every stake is refunded if fewer are observed, unless a `Max` market observes a
    /// value in its highest outcome.
    pub min_observed: u64,
    /// Unix time from which bets are refused, no later than the start of the first window.
    pub close_ts: i64,
    /// The creator's fee on the losing stakes, in bps, at most 2000 together with the protocol's.
    pub creator_fee_bps: u16,
    /// UTF-8, at most 128 bytes.
    pub question: String,
}

impl MarketTerms {
    /// Returns the SHA-256 of the terms in Borsh, followed by the protocol's fee in bps (u16,
    /// little-endian).
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
            self.min_observed <= self.last_window - self.first_window + 1, // at most 366
            DriftShieldError::InvalidMinObserved
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

    pub fn require_unsettled(&self) -> Result<()> {
        require!(!self.is_settled(), DriftShieldError::MarketSettled);
        Ok(())
    }

    pub fn require_terms(&self, hash: &[u8; 32]) -> Result<()> {
        require!(*hash == self.terms_hash, DriftShieldError::TermsMismatch);
        Ok(())
    }

    /// Returns the latest `valid_until` of an ask that is set at `now`: the next end of an observed
    /// window, which anyone with the model's outputs can measure from then on. No limit after the
    /// end of the last one.
    pub fn latest_ask_end(&self, model: &Model, now: i64) -> Result<i64> {
        if model.window_end(self.last_window)? <= now {
            return Ok(i64::MAX);
        }
        let first_end = model.window_end(self.first_window)?;
        let ended = if now < first_end {
            0
        } else {
            // Windows that have ended, rounded down. Both numbers are positive, and the virtual
            // machine has no signed division.
            (now - first_end) as u64 / model.window_secs as u64 + 1
        };
        // At most the end of the last window.
        Ok(first_end + ended as i64 * model.window_secs)
    }

    /// Returns the outcome of `value`: the number of thresholds at or below it.
    fn outcome_of(&self, value: u64) -> usize {
        self.thresholds[..usize::from(self.threshold_count)]
            .iter()
            .filter(|&&threshold| threshold <= value)
            .count()
    }

    /// Returns the protocol's and the creator's fee on `losing` stakes.
    fn fees(&self, losing: u64) -> (u64, u64) {
        (
            math::fee(losing, self.protocol_fee_bps),
            math::fee(losing, self.creator_fee_bps),
        )
    }

    /// Returns the payout multiple of `outcome` at the current stakes, in thousandths. The outcome
    /// must have stakes.
    pub fn multiple(&self, outcome: usize) -> u64 {
        let winning = self.pools[outcome];
        let losing = self.total - winning;
        let (protocol, creator) = self.fees(losing);
        math::multiple(winning, losing - protocol - creator)
    }

    /// Returns the security rent of a bet of `amount` now, in base units, and the time until which
    /// it pays for the bonds of `model`, the market's.
    pub fn rent(&self, model: &Model, amount: u64, now: i64) -> Result<(u64, i64)> {
        model.rent(amount, now, model.window_end(self.last_window)?)
    }

    /// Adds a bet of `amount` on `outcome` and returns the payout multiple after it, in
    /// thousandths. Refuses a multiple below `min_multiple`.
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
        self.owed = self.total; // nothing is paid before settlement
        let multiple = self.multiple(outcome);
        require!(min_multiple <= multiple, DriftShieldError::MultipleTooLow);
        Ok(multiple)
    }

    /// Settles the next windows by the page of their series (`None` if it doesn't exist), up to the
    /// page's end or the first window that isn't decided: a final value is observed, a window
    /// without one skipped. A window without an entry is decided if it is before `undecided`.
    /// Resolves the market after its last window, or once a `Max` market observes a value in its
    /// highest outcome.
    pub fn settle(&mut self, page: Option<&Series>, undecided: u64) {
        let page_end = (Series::page_of(self.next_window) + 1) * PAGE_WINDOWS;
        let end = page_end.min(self.last_window + 1); // the windows' times fit an i64
        let aggregate = self.aggregate.into();
        let highest = self.thresholds[usize::from(self.threshold_count) - 1];
        while self.next_window < end {
            let entry = page.map_or(Entry::None, |page| page.entry(self.next_window));
            match entry {
                Entry::Open => return,
                Entry::None if undecided <= self.next_window => return,
                Entry::None | Entry::Void | Entry::Thin => {}
                Entry::Final(value) => {
                    self.observe(aggregate, value);
                    if aggregate == Aggregate::Max && highest <= value {
                        self.next_window += 1;
                        return self.resolve();
                    }
                }
            }
            self.next_window += 1;
        }
        if self.last_window < self.next_window {
            self.resolve();
        }
    }

    #[inline(always)] // once per window
    fn observe(&mut self, aggregate: Aggregate, value: u64) {
        self.observed += 1; // at most 366
        self.accumulator = match aggregate {
            Aggregate::Max => self.accumulator.max(value),
            Aggregate::Last => value,
            Aggregate::Mean => self.accumulator + value, // values are below 2⁵⁰
        };
    }

    /// Whether no further window can change the outcome: the largest value is in the highest one.
    fn is_certain(&self) -> bool {
        self.aggregate == Aggregate::Max
            && self.outcome_of(self.accumulator) == usize::from(self.threshold_count)
    }

    fn resolve(&mut self) {
        let too_few = self.observed == 0 || self.observed < self.min_observed;
        if too_few && !self.is_certain() {
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

    /// Makes the market Void: every stake is refunded.
    pub fn void(&mut self) {
        self.state = MarketState::Void.into();
    }

    /// Returns the payout of `position`. Subtracts the payout from `owed`, and the position from
    /// `positions`.
    pub fn claim(&mut self, position: &Position) -> Result<u64> {
        self.require_settled()?;
        let payout = if self.state == MarketState::Void {
            position.total()
        } else {
            let outcome = usize::from(self.outcome);
            math::payout(position.stakes[outcome], self.pools[outcome], self.winnings)
                .ok_or(DriftShieldError::Overflow)?
        };
        self.decrease_owed(payout);
        self.positions -= 1;
        Ok(payout)
    }

    /// Subtracts `amount`, which is about to leave the vault, from `owed`.
    pub fn decrease_owed(&mut self, amount: u64) {
        self.owed -= amount;
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

impl TokenOwner for Market {
    fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"market", &self.creator, self.id, self.bump)
    }

    fn invariant(&self, balance: u64) -> Result<()> {
        require!(self.owed <= balance, DriftShieldError::Insolvent);
        Ok(())
    }
}
