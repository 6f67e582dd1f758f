mod pay;
mod risk;
mod spec;
mod statistics;
mod windows;

use anchor_lang::prelude::*;

use crate::{
    math, token::PodTokenProgram, ConfigParams, DriftShieldError, Measurement, Metric, PdaSigner,
    PodMetric, Pot, Tenure, TokenOwner,
};

pub use spec::{MetricSpec, MIN_EXPECTED_ROWS, SPREADS_IN_NOISE_FLOOR};

pub const MAX_ORACLES: usize = 7;
pub const MAX_BINS: usize = 16;
pub const NAME_BYTES: usize = 32;
pub const URI_BYTES: usize = 128;
/// Genesis lies at most this many seconds ahead.
pub const MAX_GENESIS_SECS: i64 = 31 * crate::DAY_SECS;

/// Whether a model takes new risk.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ModelStatus {
    Active = 0,
    /// Takes no new markets, bets or cover. Receipts continue while a market with bets or a policy
    /// depends on the model.
    Retired = 1,
}

/// A machine-learning model: how its drift is measured, and by whom. Never closed.
///
/// Address: PDA of `["model", owner, id (u64 LE)]`.
/// Amounts are in base units of `bond_mint`, drift in micro-units, times in seconds.
#[account]
pub struct Model {
    pub owner: Address,
    /// The only token of the model's bonds, markets and cover.
    pub bond_mint: Address,
    /// Token account of the oracles' and challengers' bonds: PDA of `["bonds", model]`.
    pub bond_vault: Address,
    /// Rules on disputed receipts. Copied from Config at registration and by each update.
    pub arbiter: Address,
    /// SHA-256 of the document at `uri`.
    pub metadata_hash: [u8; 32],
    /// Hash of the model artifact.
    pub artifact_hash: [u8; 32],
    /// SHA-256 of the metric-spec document.
    pub spec_hash: [u8; 32],
    /// Head of the receipt chain. A receipt that is settled replaces the head by the SHA-256 of
    /// head, window, state, value, total samples and the seven evidence hashes.
    pub chain: [u8; 32],
    /// The first `oracle_count` entries are the model's oracles.
    pub oracles: [Address; MAX_ORACLES],

    /// Chosen by the owner.
    pub id: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Unix time at which window 0 begins.
    pub genesis: i64,
    /// Length of a window.
    pub window_secs: i64,
    /// Fewest rows from which a value is computed. Counts with fewer rows are thin.
    pub min_samples: u64,
    /// Lowest allowed threshold of a market and lowest allowed trigger of a policy.
    pub noise_floor: u64,
    /// Largest distance from the median, or from a ruling, at which a submission agrees with it.
    pub max_spread: u64,

    /// Bond from which a seat counts. Copied from Collateral.
    pub min_bond: u64,
    /// Amount that an oracle loses when a ruling proves it wrong, or its whole bond if that is
    /// less. Copied from Collateral.
    pub slash_amount: u64,
    /// Bond that a challenger puts up. Copied from Collateral.
    pub challenge_bond: u64,
    /// Amount that an oracle loses for each window for which it owed a submission and was silent.
    /// Copied from Collateral.
    pub absence_penalty: u64,
    /// How long oracles may submit after a window's end. Copied from Config.
    pub submit_secs: i64,
    /// How long a proposed value may be challenged. Copied from Config.
    pub challenge_secs: i64,
    /// How long the arbiter may rule on a dispute. Copied from Config.
    pub ruling_secs: i64,
    /// How long the admin may return slashes of a ruling. Copied from Config.
    pub appeal_secs: i64,
    /// Unbonding period. Copied from Config.
    pub unbond_secs: i64,
    /// Notice of a seat that leaves. Copied from Config.
    pub leave_secs: i64,
    /// How long a seat must not have counted before its oracle can be replaced while the model is
    /// exposed. Copied from Config.
    pub replace_secs: i64,
    /// How long a page of the series is kept after the end of its last window. Copied from Config.
    pub retention_secs: i64,

    /// Bond of each oracle's seat, less what is unbonding and less its open penalties. 0 for an
    /// oracle that was listed again and has not called `bond` since.
    pub bonds: [u64; MAX_ORACLES],
    /// When each oracle was listed, and whether its seat counts.
    pub tenures: [Tenure; MAX_ORACLES],
    /// Rewards that the oracles have not collected yet.
    pub rewards: [u64; MAX_ORACLES],
    /// Open penalties: those that the oracles' seats have not paid yet.
    pub penalties: [u64; MAX_ORACLES],
    /// Security rent and funding that stream to the oracles.
    pub pot: Pot,
    /// Amount that the bond vault holds for oracles, challengers and the treasury: bonds, challenge
    /// bonds, credits and rewards that are not collected, and the pot. Donations don't count.
    pub held: u64,
    /// Half of what the ⌈quorum/2⌉ oracles lose who move a median: ½ · `slash_amount` · ⌈quorum/2⌉,
    /// or 0 if fewer than a quorum of seats count.
    pub security: u64,
    /// The security without the seats that are leaving. It limits new risk.
    pub lasting_security: u64,
    /// Unsettled stakes.
    pub market_risk: u64,
    /// Open cover.
    pub cover_risk: u64,
    /// Number of open policies plus unsettled markets that have a bet.
    pub exposure: u64,
    /// When `exposure` last rose from 0.
    pub exposed_since: i64,
    /// First window of all markets and policies since then.
    pub observed_from: u64,
    /// Last window of all markets and policies since then.
    pub observed_until: u64,
    /// Number of receipts that are not settled, or hold what a ruling slashed.
    pub open_receipts: u64,

    /// Number of Final receipts of this version.
    pub final_count: u64,
    /// Value of the latest Final window of this version.
    pub last_value: u64,
    /// Latest Final window of this version.
    pub last_window: u64,
    /// Value of the latest window of this version that was proposed or ruled to have one, and that
    /// was not ruled thin since.
    pub latest: u64,
    /// The window of `latest`.
    pub latest_window: u64,
    /// Largest Final value of this version.
    pub max_value: u64,
    /// Exponentially weighted mean of this version's Final values: `⌊(7 · ewma + value) / 8⌋`,
    /// started by the first value.
    pub ewma: u64,

    /// Rows of the reference by bin; the first `bins` entries are used.
    pub reference: [u32; MAX_BINS],
    /// Starts at 1; each update increments it.
    pub version: u32,
    /// Stakes and cover together may reach this multiple of `lasting_security`. Copied from Config.
    pub security_multiple: u32,
    /// Number of submissions, challenges and rulings so far. Each may change what a stake is worth,
    /// so an ask has fallen once the number changes.
    pub reports: u32,
    /// Rent of secured stakes and cover, in bps a year.
    pub security_rent_bps: u16,
    /// Part of `security · security_multiple` that `market_risk` may reach, in bps.
    pub market_budget_bps: u16,
    /// Part of `security · security_multiple` that `cover_risk` may reach, in bps.
    pub cover_budget_bps: u16,
    pub metric: PodMetric,
    /// Number of bins, 2 to 16.
    pub bins: u8,
    /// Number of oracles, 1 to 7.
    pub oracle_count: u8,
    /// Fewest submissions from which a value is proposed.
    pub quorum: u8,
    pub status: PodModelStatus,
    pub bump: u8,
    /// UTF-8, padded with zeros.
    pub name: [u8; NAME_BYTES],
    /// UTF-8, padded with zeros.
    pub uri: [u8; URI_BYTES],
    /// Token program of `bond_mint`.
    pub token_program: PodTokenProgram,
    /// Number of oracles replaced since `exposure` was last 0.
    pub replaced: u8,
    pub reserved: [u8; 6],
}

const _: () =
    assert!(core::mem::size_of::<Model>() == 8 * 32 + 224 + 66 * 8 + 7 * 56 + 64 + 12 + 180);

/// Terms that an owner may change while nothing depends on the model: who measures it, and how it
/// is presented.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct ModelTerms {
    /// 1 to 7 distinct keys.
    pub oracles: Vec<Address>,
    /// More than half of the oracles; with three or more oracles, fewer than all of them.
    pub quorum: u8,
    /// Largest distance from the median, or from a ruling, at which a submission agrees with it. In
    /// micro-units, at most `max_spread_limit` in Config, and at most an eighth of the model's noise
    /// floor.
    pub max_spread: u64,
    /// Rent of secured stakes and cover, in bps a year, within the limits in Config.
    pub security_rent_bps: u16,
    /// Part of what the bonds secure that stakes may reach, in bps.
    pub market_budget_bps: u16,
    /// Part of what the bonds secure that cover may reach, in bps. Together with
    /// `market_budget_bps` at most 10 000.
    pub cover_budget_bps: u16,
    /// UTF-8, at most 32 bytes.
    pub name: String,
    /// UTF-8, at most 128 bytes.
    pub uri: String,
    /// SHA-256 of the document at `uri`.
    pub metadata_hash: [u8; 32],
    /// Hash of the model artifact.
    pub artifact_hash: [u8; 32],
}

impl Model {
    /// Replaces the fields of [`ModelTerms`]. Oracles that stay keep their bonds, tenures, rewards and
    /// penalties. Those of oracles that are removed must have been moved to their seats.
    pub fn set_terms(&mut self, terms: &ModelTerms, params: &ConfigParams, now: i64) -> Result<()> {
        let count = terms.oracles.len();
        let distinct = (1..count).all(|i| !terms.oracles[..i].contains(&terms.oracles[i]));
        require!(
            (1..=MAX_ORACLES).contains(&count) && distinct,
            DriftShieldError::InvalidOracles
        );
        let quorum = usize::from(terms.quorum);
        require!(
            count < 2 * quorum && quorum <= count && (count < 3 || quorum < count),
            DriftShieldError::InvalidQuorum
        );
        require!(
            terms.max_spread <= params.max_spread_limit,
            DriftShieldError::InvalidSpread
        );
        require!(
            terms.max_spread <= self.noise_floor / SPREADS_IN_NOISE_FLOOR, // rounded down
            DriftShieldError::SpreadAboveNoise
        );
        require!(
            (params.min_security_rent_bps..=params.max_security_rent_bps)
                .contains(&u32::from(terms.security_rent_bps)),
            DriftShieldError::InvalidSecurityRent
        );
        require!(
            u32::from(terms.market_budget_bps) + u32::from(terms.cover_budget_bps)
                <= math::BPS as u32,
            DriftShieldError::InvalidBudgets
        );

        let mut bonds = [0; MAX_ORACLES];
        let mut rewards = [0; MAX_ORACLES];
        let mut penalties = [0; MAX_ORACLES];
        let mut tenures = [Tenure::new(now); MAX_ORACLES];
        for (index, oracle) in terms.oracles.iter().enumerate() {
            // An oracle that was not listed before starts at 0, until it calls `bond`.
            if let Some(before) = self.oracle_index(oracle) {
                bonds[index] = self.bonds[before];
                rewards[index] = self.rewards[before];
                penalties[index] = self.penalties[before];
                tenures[index] = self.tenures[before];
            }
        }
        self.bonds = bonds;
        self.rewards = rewards;
        self.penalties = penalties;
        self.tenures = tenures;
        self.oracles = [Address::default(); MAX_ORACLES];
        self.oracles[..count].copy_from_slice(&terms.oracles);
        self.oracle_count = count as u8;
        self.quorum = terms.quorum;
        self.max_spread = terms.max_spread;
        self.security_rent_bps = terms.security_rent_bps;
        self.market_budget_bps = terms.market_budget_bps;
        self.cover_budget_bps = terms.cover_budget_bps;
        self.name = super::text(&terms.name)?;
        self.uri = super::text(&terms.uri)?;
        self.metadata_hash = terms.metadata_hash;
        self.artifact_hash = terms.artifact_hash;
        self.refresh_security();
        Ok(())
    }

    /// Starts a new version and resets the statistics.
    pub fn begin_version(&mut self) {
        self.version += 1;
        self.final_count = 0;
        self.last_value = 0;
        self.last_window = 0;
        self.latest = 0;
        self.latest_window = 0;
        self.max_value = 0;
        self.ewma = 0;
    }

    pub fn oracle_index(&self, key: &Address) -> Option<usize> {
        self.oracles[..usize::from(self.oracle_count)]
            .iter()
            .position(|oracle| anchor_lang::address_eq(oracle, key))
    }

    /// Whether `key` is the model's owner or one of its oracles, who may neither bet on it nor buy
    /// its cover.
    #[inline(never)] // one copy keeps the binary small
    pub fn is_insider(&self, key: &Address) -> bool {
        anchor_lang::address_eq(&self.owner, key) || self.oracle_index(key).is_some()
    }

    pub fn require_active(&self) -> Result<()> {
        require!(
            self.status == ModelStatus::Active,
            DriftShieldError::ModelRetired
        );
        Ok(())
    }

    pub fn require_version(&self, version: u32) -> Result<()> {
        require!(self.version == version, DriftShieldError::VersionMismatch);
        Ok(())
    }

    /// Returns the reference counts by bin.
    pub fn reference(&self) -> &[u32] {
        &self.reference[..usize::from(self.bins)]
    }

    /// Measures `counts` (rows by bin): returns their drift from the reference, or that they are
    /// thin, and the number of rows.
    pub fn measure(&self, counts: &[u32]) -> Result<(Measurement, u64)> {
        require!(
            counts.len() == usize::from(self.bins),
            DriftShieldError::WrongBinCount
        );
        let samples = counts.iter().map(|&count| u64::from(count)).sum();
        if samples < self.min_samples {
            return Ok((Measurement::Thin, samples));
        }
        let metric = Metric::from(self.metric);
        let value = math::drift(metric.into(), self.reference(), counts);
        Ok((Measurement::Value(value), samples))
    }

    /// Whether receipts can still be created: the model is active, or a market with bets or a
    /// policy depends on it.
    pub fn takes_receipts(&self) -> bool {
        self.status == ModelStatus::Active || 0 < self.exposure
    }

    /// Adds `amount`, which enters the bond vault, to `held`.
    pub fn increase_held(&mut self, amount: u64) -> Result<()> {
        self.held = self
            .held
            .checked_add(amount)
            .ok_or(DriftShieldError::Overflow)?;
        Ok(())
    }

    /// Subtracts `amount`, which is about to leave the bond vault, from `held`.
    pub fn decrease_held(&mut self, amount: u64) {
        self.held -= amount;
    }

    /// Counts a submission, a challenge or a ruling.
    pub fn count_report(&mut self) {
        self.reports = self.reports.wrapping_add(1); // a few per window: 2³² are never reached
    }

    pub fn require_reports(&self, reports: u32) -> Result<()> {
        require!(self.reports == reports, DriftShieldError::ReportsMismatch);
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

impl TokenOwner for Model {
    fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"model", &self.owner, self.id, self.bump)
    }

    fn invariant(&self, balance: u64) -> Result<()> {
        require!(self.held <= balance, DriftShieldError::Insolvent);
        Ok(())
    }
}
