use anchor_lang::prelude::*;

use crate::{
    math::{Metric, PodMetric},
    token::PodTokenProgram,
    DriftShieldError, PdaSigner, MAX_HORIZON_SECS,
};

pub const MAX_ORACLES: usize = 7;
pub const MAX_BINS: usize = 16;
pub const NAME_BYTES: usize = 32;
pub const URI_BYTES: usize = 128;
/// Genesis lies at most this far ahead.
pub const MAX_GENESIS_SECS: i64 = 31 * crate::DAY_SECS;
/// Fewest rows that the rarest bin of the reference must stand for in a window of `min_samples`.
pub const MIN_EXPECTED_ROWS: u64 = 20;

/// Whether a model takes new risk.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ModelStatus {
    Active = 0,
    /// No new markets, bets or cover; receipts go on while anything depends on them.
    Retired = 1,
}

/// A machine-learning model, how its drift is measured and by whom. Never closed.
///
/// Address: PDA of `["model", owner, id (u64 LE)]`.
/// Amounts are in base units of `bond_mint`, drift in micro-units, times in seconds.
#[account]
pub struct Model {
    pub owner: Address,
    /// The only token of its bonds, markets and cover.
    pub bond_mint: Address,
    /// Holds all bonds: PDA of `["bonds", model]`.
    pub bond_vault: Address,
    /// Rules on disputed receipts; copied from Config.
    pub arbiter: Address,
    /// SHA-256 of what `uri` points to.
    pub metadata_hash: [u8; 32],
    /// Hash of the model artifact.
    pub artifact_hash: [u8; 32],
    /// SHA-256 of the metric-spec document.
    pub spec_hash: [u8; 32],
    /// Head of the receipt chain, which every receipt extends when it becomes Final or Void: SHA-256
    /// of head, window, state, value, total samples and the seven evidence hashes.
    pub chain: [u8; 32],
    /// The first `oracle_count` are listed.
    pub oracles: [Address; MAX_ORACLES],

    pub id: u64,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// When window 0 begins.
    pub genesis: i64,
    pub window_secs: i64,
    /// Fewest rows of a submission.
    pub min_samples: u64,
    /// No threshold and no trigger lies under it.
    pub noise_floor: u64,
    /// Furthest that a submission may lie from the median, or from a ruling, without dispute.
    pub max_spread: u64,

    // Copied from Collateral and Config when the model was registered.
    pub min_bond: u64,
    pub slash_amount: u64,
    pub challenge_bond: u64,
    pub submit_secs: i64,
    pub challenge_secs: i64,
    pub ruling_secs: i64,
    pub unbond_secs: i64,
    pub retention_secs: i64,

    /// By oracle: its seat's bond beside what is unbonding.
    pub bonds: [u64; MAX_ORACLES],
    /// What the bond vault owes: bonds, challenge bonds and what was slashed but not collected.
    pub held: u64,
    /// What bending the median costs at least.
    pub security: u64,
    /// Unsettled stakes and cover.
    pub at_risk: u64,
    /// Unsettled markets with a bet, and policies that haven't ended.
    pub exposure: u64,
    /// Receipts that are neither Final nor Void.
    pub open_receipts: u64,

    // Statistics of this version's Final receipts.
    pub final_count: u64,
    /// Value of the latest Final window, and which it is.
    pub last_value: u64,
    pub last_window: u64,
    /// Value of the latest window proposed or ruled on, and which it is.
    pub latest: u64,
    pub latest_window: u64,
    pub max_value: u64,
    /// Exponentially weighted mean: an eighth of each new value.
    pub ewma: u64,

    /// Rows of the reference by bin; the first `bins` count.
    pub reference: [u32; MAX_BINS],
    /// Raised by each update.
    pub version: u32,
    /// `at_risk` may reach this many times `security`.
    pub security_multiple: u32,
    pub metric: PodMetric,
    pub bins: u8,
    pub oracle_count: u8,
    pub quorum: u8,
    pub status: PodModelStatus,
    pub bump: u8,
    /// UTF-8, padded with zeros.
    pub name: [u8; NAME_BYTES],
    /// UTF-8, padded with zeros.
    pub uri: [u8; URI_BYTES],
    /// The program of `bond_mint`.
    pub token_program: PodTokenProgram,
    pub reserved: [u8; 1],
}

const _: () = assert!(core::mem::size_of::<Model>() == 8 * 32 + 224 + 34 * 8 + 64 + 8 + 168);

/// What an owner may change between risks: who measures, and how the model is presented.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct ModelTerms {
    /// 1 to 7 distinct keys.
    pub oracles: Vec<Address>,
    /// More than half of the oracles, fewer than all from three on.
    pub quorum: u8,
    /// In micro-units, at most Config's limit.
    pub max_spread: u64,
    /// At most 32 bytes.
    pub name: String,
    /// At most 128 bytes.
    pub uri: String,
    /// SHA-256 of what `uri` points to.
    pub metadata_hash: [u8; 32],
    /// Hash of the model artifact.
    pub artifact_hash: [u8; 32],
}

/// How drift is measured: fixed for the model's life.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct MetricSpec {
    pub metric: Metric,
    /// Rows of the reference by bin, 2 to 16 bins.
    pub reference: Vec<u32>,
    /// Fewest rows of a submission.
    pub min_samples: u64,
    /// SHA-256 of the spec document: feature or score, bin edges, rule for missing values.
    pub spec_hash: [u8; 32],
    /// When window 0 begins, unix seconds.
    pub genesis: i64,
    /// Length of a window in seconds.
    pub window_secs: i64,
}

impl MetricSpec {
    /// Refuses what no sound number could be computed from.
    pub fn validate(&self) -> Result<()> {
        let bins = self.reference.len();
        let two = self.metric == Metric::ErrorRate;
        require!(
            (2..=MAX_BINS).contains(&bins) && (!two || bins == 2),
            DriftShieldError::InvalidBins
        );
        let rows: u64 = self.reference.iter().map(|&count| u64::from(count)).sum();
        require!(
            1 <= self.min_samples && self.min_samples <= rows,
            DriftShieldError::ReferenceTooSmall
        );
        let rarest = self.reference.iter().copied().min().unwrap_or(0);
        let expected = u128::from(self.min_samples) * u128::from(rarest);
        require!(
            two || u128::from(MIN_EXPECTED_ROWS) * u128::from(rows) <= expected,
            DriftShieldError::SparseReference
        );
        Ok(())
    }
}

impl Model {
    /// Replaces what [`ModelTerms`] holds. Bonds follow the oracles that stay.
    pub fn set_terms(&mut self, terms: &ModelTerms, max_spread_limit: u64) -> Result<()> {
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
            terms.max_spread <= max_spread_limit,
            DriftShieldError::InvalidSpread
        );

        let mut bonds = [0; MAX_ORACLES];
        for (bond, oracle) in bonds.iter_mut().zip(&terms.oracles) {
            // An oracle that comes back takes its seat again by `bond`.
            *bond = self
                .oracle_index(oracle)
                .map_or(0, |index| self.bonds[index]);
        }
        self.bonds = bonds;
        self.oracles = [Address::default(); MAX_ORACLES];
        self.oracles[..count].copy_from_slice(&terms.oracles);
        self.oracle_count = count as u8;
        self.quorum = terms.quorum;
        self.max_spread = terms.max_spread;
        self.name = super::text(&terms.name)?;
        self.uri = super::text(&terms.uri)?;
        self.metadata_hash = terms.metadata_hash;
        self.artifact_hash = terms.artifact_hash;
        self.refresh_security();
        Ok(())
    }

    /// Begins a new version: its statistics are its own.
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

    /// Neither oracles nor the owner may bet or buy cover on their own model.
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

    /// The reference counts, by bin.
    pub fn reference(&self) -> &[u32] {
        &self.reference[..usize::from(self.bins)]
    }

    /// The drift of `counts`, by bin, against the reference: micro-units, and the rows counted.
    pub fn drift(&self, counts: &[u32], min_samples: u64) -> Result<(u64, u64)> {
        require!(
            counts.len() == usize::from(self.bins),
            DriftShieldError::WrongBinCount
        );
        let samples = counts.iter().map(|&count| u64::from(count)).sum();
        require!(min_samples <= samples, DriftShieldError::TooFewSamples);
        let value = crate::math::drift(self.metric.into(), self.reference(), counts);
        Ok((value, samples))
    }

    /// When `window` is over.
    pub fn window_end(&self, window: u64) -> Result<i64> {
        let end = |window: u64| {
            let index = i64::try_from(window.checked_add(1)?).ok()?;
            let end = self
                .window_secs
                .checked_mul(index)?
                .checked_add(self.genesis)?;
            // Room for every period that is added to it.
            (end <= i64::MAX - 100 * MAX_HORIZON_SECS).then_some(end)
        };
        Ok(end(window).ok_or(DriftShieldError::WindowOutOfRange)?)
    }

    pub fn window_start(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? - self.window_secs)
    }

    /// Until when `window` takes submissions.
    pub fn submit_end(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? + self.submit_secs)
    }

    /// Until when the receipt of `window` can't be closed.
    pub fn retention_end(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? + self.retention_secs)
    }

    /// How long after its window's end a receipt can still become Final.
    pub fn dispute_secs(&self) -> i64 {
        self.submit_secs + self.challenge_secs + self.ruling_secs
    }

    /// Whether the seat of the oracle at `index` counts.
    pub fn counts(&self, index: usize) -> bool {
        self.min_bond <= self.bonds[index]
    }

    /// Records the bond, beside what is unbonding, of the oracle at `index`.
    pub fn set_bond(&mut self, index: usize, bond: u64) {
        self.bonds[index] = bond;
        self.refresh_security();
    }

    /// ½ Σ min(bond, slash_amount) over the ⌈quorum/2⌉ smallest seats that count,
    /// 0 if fewer than a quorum do.
    fn refresh_security(&mut self) {
        let mut counting = [0; MAX_ORACLES];
        let mut seats = 0;
        for index in 0..usize::from(self.oracle_count) {
            if self.counts(index) {
                counting[seats] = self.bonds[index].min(self.slash_amount);
                seats += 1;
            }
        }
        if seats < usize::from(self.quorum) {
            self.security = 0;
            return;
        }
        let counting = &mut counting[..seats];
        counting.sort_unstable();
        let bending = usize::from(self.quorum).div_ceil(2);
        let cost: u128 = counting[..bending]
            .iter()
            .map(|&bond| u128::from(bond))
            .sum();
        // Half of four bonds at most; a total past 64 bits secures as much as 64 bits can say.
        self.security = u64::try_from(cost / 2).unwrap_or(u64::MAX);
    }

    /// Whether the security bears `at_risk`.
    pub fn secures(&self, at_risk: u64) -> bool {
        u128::from(at_risk) <= u128::from(self.security) * u128::from(self.security_multiple)
    }

    /// Whether the security bears what is at risk.
    pub fn is_secure(&self) -> bool {
        self.secures(self.at_risk)
    }

    /// Takes `amount` more at risk, within what the bonds secure.
    pub fn take_risk(&mut self, amount: u64) -> Result<()> {
        self.at_risk = self
            .at_risk
            .checked_add(amount)
            .ok_or(DriftShieldError::Overflow)?;
        require!(self.is_secure(), DriftShieldError::AboveSecurityLimit);
        Ok(())
    }

    /// A market got its first bet, or a policy began.
    pub fn expose(&mut self) {
        self.exposure += 1;
    }

    /// `amount` is no longer at risk.
    pub fn lower_risk(&mut self, amount: u64) {
        self.at_risk -= amount;
    }

    /// An object of which `at_risk` was at risk has ended.
    pub fn release_risk(&mut self, at_risk: u64) {
        self.lower_risk(at_risk);
        self.exposure -= 1;
    }

    /// Tokens came into the bond vault.
    pub fn hold(&mut self, amount: u64) -> Result<()> {
        self.held = self
            .held
            .checked_add(amount)
            .ok_or(DriftShieldError::Overflow)?;
        Ok(())
    }

    /// Tokens are about to leave the bond vault.
    pub fn let_go(&mut self, amount: u64) {
        self.held -= amount;
    }

    /// What must hold of the bond vault after every instruction. Anyone can send it more.
    pub fn invariant(&self, bond_vault_amount: u64) -> Result<()> {
        require!(self.held <= bond_vault_amount, DriftShieldError::Insolvent);
        Ok(())
    }

    /// A value of `window` was proposed or ruled. An earlier window, told late, hides no later one.
    pub fn record_latest(&mut self, window: u64, value: u64) {
        if self.latest_window <= window {
            self.latest_window = window;
            self.latest = value;
        }
    }

    /// A receipt of `window` became Final.
    pub fn record_final(&mut self, window: u64, value: u64) {
        let first = self.final_count == 0;
        self.final_count = self.final_count.wrapping_add(1); // one a receipt
        self.max_value = self.max_value.max(value);
        if first || self.last_window < window {
            self.last_window = window;
            self.last_value = value;
            self.ewma = if first {
                value
            } else {
                // Drift values are far below 2⁶¹.
                (7 * self.ewma + value) / 8
            };
        }
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }

    /// With this the program signs for the model, owner of its token account.
    pub fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"model", &self.owner, self.id, self.bump)
    }
}
