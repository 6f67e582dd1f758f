use anchor_lang::{bytemuck, prelude::*};

use crate::DriftShieldError;

/// What `Config.paused` stops, a bit each: new risk only, never an exit.
pub mod pause {
    pub const MODELS: u8 = 1 << 0;
    pub const MARKETS: u8 = 1 << 1;
    pub const BETS: u8 = 1 << 2;
    pub const DEPOSITS: u8 = 1 << 3;
    pub const POLICIES: u8 = 1 << 4;
    pub const RENEWALS: u8 = 1 << 5;
    pub const ALL: u8 = MODELS | MARKETS | BETS | DEPOSITS | POLICIES | RENEWALS;
}

pub const DAY_SECS: i64 = 24 * 60 * 60;
/// A market's or a policy's last window ends at most this far ahead.
pub const MAX_HORIZON_SECS: i64 = 400 * DAY_SECS;
/// A receipt outlives all that could need it by at least this much.
pub const RETENTION_MARGIN_SECS: i64 = 90 * DAY_SECS;
/// Submit, challenge, ruling and grace period, each: so that a receipt's
/// retention, fixed with its model, covers a grace that is set later.
pub const MAX_PERIOD_SECS: i64 = 30 * DAY_SECS;
/// A value above this is no drift that any metric gives: 100.0 in micro-units.
pub const MAX_SPREAD_LIMIT: u64 = 100_000_000;
/// The protocol's and the creator's fee together, in bps.
pub const MAX_FEES_BPS: u16 = 2_000;

/// Roles, pause flags, and the settings that new objects copy.
///
/// Address: PDA of `["config"]`.
#[account]
pub struct Config {
    /// May set parameters, register collateral, withdraw treasuries, pause and unpause, and offer
    /// its role to another key.
    pub admin: Address,
    /// Becomes the admin by accepting; all zeros when nobody is proposed.
    pub pending_admin: Address,
    /// May pause, and nothing else.
    pub guardian: Address,
    /// Rules on disputes of models registered from now on.
    pub arbiter: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    pub params: ConfigParams,
    /// What is paused, added up: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals.
    pub paused: u8,
    pub bump: u8,
    pub reserved: [u8; 6],
}

const _: () = assert!(core::mem::size_of::<Config>() == 4 * 32 + 8 + 96 + 8);

/// The settings that new models, markets and vaults copy. Times are in seconds.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    AnchorSerialize,
    AnchorDeserialize,
    IdlType,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct ConfigParams {
    /// How long after a window's end oracles may submit: 1 second to 30 days.
    pub submit_secs: i64,
    /// How long a proposed value may be challenged: 1 second to 30 days.
    pub challenge_secs: i64,
    /// How long the arbiter may rule on a dispute: 1 second to 30 days.
    pub ruling_secs: i64,
    /// How long a bond unbonds: more than submit, challenge and ruling together.
    pub unbond_secs: i64,
    /// How long after its window's end a receipt is kept: at least 400 days plus submit, challenge
    /// and ruling, plus 30 days (the longest grace) and 90 days.
    pub retention_secs: i64,
    /// How long claims may wait after a policy's last receipt: 1 second to 30 days.
    pub claim_grace_secs: i64,
    /// How long before its first covered window a policy is bought at least: 1 second to 30 days.
    pub waiting_secs: i64,
    /// Length of the buckets at whose ends premium streams end: 1 second to 31 days. A policy may end
    /// 63 buckets ahead.
    pub bucket_secs: i64,
    /// Shortest window of a model, at least 1 second.
    pub min_window_secs: i64,
    /// Longest window of a model, at most 31 days.
    pub max_window_secs: i64,
    /// Largest `max_spread` of a model, in micro-units, at most 100.0.
    pub max_spread_limit: u64,
    /// Stakes and cover on a model may reach this many times its security, at least 1.
    pub security_multiple: u32,
    /// The protocol's share of a market's losing stakes, in bps, at most 2000.
    pub protocol_fee_bps: u16,
    /// The protocol's share of a premium, in bps, at most 2000.
    pub premium_fee_bps: u16,
}

impl ConfigParams {
    pub fn validate(&self) -> Result<()> {
        let period = |secs: i64| (1..=MAX_PERIOD_SECS).contains(&secs);
        let periods = [
            self.submit_secs,
            self.challenge_secs,
            self.ruling_secs,
            self.claim_grace_secs,
            self.waiting_secs,
        ];
        require!(
            periods.into_iter().all(period),
            DriftShieldError::InvalidConfig
        );
        let dispute_secs = self.submit_secs + self.challenge_secs + self.ruling_secs;
        let longest_need =
            MAX_HORIZON_SECS + dispute_secs + MAX_PERIOD_SECS + RETENTION_MARGIN_SECS;
        // Upper bounds keep every sum of times far inside an i64.
        require!(
            dispute_secs < self.unbond_secs
                && self.unbond_secs <= MAX_HORIZON_SECS
                && longest_need <= self.retention_secs
                && self.retention_secs <= 10 * MAX_HORIZON_SECS,
            DriftShieldError::InvalidConfig
        );
        require!(
            (1..=31 * DAY_SECS).contains(&self.bucket_secs)
                && 1 <= self.min_window_secs
                && self.min_window_secs <= self.max_window_secs
                && self.max_window_secs <= 31 * DAY_SECS
                && self.max_spread_limit <= MAX_SPREAD_LIMIT
                && 1 <= self.security_multiple
                && self.protocol_fee_bps <= MAX_FEES_BPS
                && self.premium_fee_bps <= MAX_FEES_BPS,
            DriftShieldError::InvalidConfig
        );
        Ok(())
    }
}

impl Config {
    /// Refuses what `flag` of [`pause`] stops.
    pub fn require_running(&self, flag: u8) -> Result<()> {
        require!(self.paused & flag == 0, DriftShieldError::Paused);
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
