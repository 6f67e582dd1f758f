use anchor_lang::{bytemuck, prelude::*};

use crate::{math::MAX_HORIZON_SECS, DriftShieldError};

/// Flags of `Config.paused`. Each stops one kind of new risk; none stops an exit.
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
/// A window's entry is kept at least this many seconds longer than any market or policy can need it.
pub const RETENTION_MARGIN_SECS: i64 = 90 * DAY_SECS;
/// Longest submit, challenge, ruling, appeal, claim-grace, waiting and exit period, in seconds each. The bound
/// lets a receipt's retention, which is fixed with its model, cover a claim grace that is set
/// later.
pub const MAX_PERIOD_SECS: i64 = 30 * DAY_SECS;
/// Largest `max_spread_limit`: 100.0 in micro-units. No metric yields a greater value.
pub const MAX_SPREAD_LIMIT: u64 = 100_000_000;
/// Largest sum of the protocol's fee and the creator's or manager's, in bps.
pub const MAX_FEES_BPS: u16 = 2_000;
/// Largest `max_security_rent_bps`: all that is at risk, once a year.
pub const MAX_SECURITY_RENT_BPS: u32 = 10_000;

/// Roles, pause flags, and the parameters that new models, markets and vaults copy.
///
/// Address: PDA of `["config"]`.
#[account]
pub struct Config {
    /// May set parameters, register and change collateral, withdraw treasuries, pause and unpause,
    /// and propose another admin.
    pub admin: Address,
    /// Becomes the admin by `accept_admin`; all zeros if nobody is proposed.
    pub pending_admin: Address,
    /// May add pause flags, nothing else.
    pub guardian: Address,
    /// Rules on disputes of models that are registered or updated from now on.
    pub arbiter: Address,
    /// Becomes the arbiter by `accept_arbiter`; all zeros if nobody is proposed.
    pub pending_arbiter: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    pub params: ConfigParams,
    /// Sum of the pause flags: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals.
    pub paused: u8,
    pub bump: u8,
    pub reserved: [u8; 6],
}

const _: () = assert!(core::mem::size_of::<Config>() == 5 * 32 + 8 + 144 + 8);

/// Parameters that new models, markets and vaults copy. Times are in seconds.
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
    /// How long oracles may submit after a window's end: 1 second to 30 days.
    pub submit_secs: i64,
    /// How long a proposed value may be challenged: 1 second to 30 days.
    pub challenge_secs: i64,
    /// How long the arbiter may rule on a dispute: 1 second to 30 days.
    pub ruling_secs: i64,
    /// How long the admin may return slashes of a ruling: 1 second to 30 days.
    pub appeal_secs: i64,
    /// Unbonding period: longer than submit, challenge and ruling period together, at most 400
    /// days.
    pub unbond_secs: i64,
    /// Notice of a seat that leaves: at least the submit, challenge, ruling and appeal periods
    /// together, at most 400 days.
    pub leave_secs: i64,
    /// How long a seat must not have counted before its oracle can be replaced while the model is
    /// exposed: at least the submit, challenge, ruling and appeal periods together, at most 400 days.
    pub replace_secs: i64,
    /// How long a page of a model's series is kept after the end of its last window: at least 400
    /// days, plus the submit, challenge and ruling periods, plus 30 days (the longest claim grace),
    /// plus 90 days; at most 4000 days.
    pub retention_secs: i64,
    /// How long a policy waits, after its last window could be settled, before it can be expired: 1
    /// second to 30 days.
    pub claim_grace_secs: i64,
    /// Shortest time between the purchase of a policy and its first covered window: 1 second to 30
    /// days.
    pub waiting_secs: i64,
    /// Length of a vault's buckets: 1 second to 31 days. A premium stream ends at the end of a
    /// bucket. A policy may end at most 63 buckets ahead.
    pub bucket_secs: i64,
    /// How long a withdrawal request can be paid after its cooldown: 1 second to 30 days.
    pub exit_secs: i64,
    /// Time in which a vault's seasoned capital follows all of its capital: 1 second to 400 days.
    pub season_secs: i64,
    /// Shortest window of a model, at least 1 second.
    pub min_window_secs: i64,
    /// Longest window of a model, at most 31 days.
    pub max_window_secs: i64,
    /// Largest `max_spread` of a model, in micro-units, at most 100.0.
    pub max_spread_limit: u64,
    /// Stakes and cover on a model may reach this multiple of its security, at least 1.
    pub security_multiple: u32,
    /// Lowest security rent of a model, in bps a year, at least 1.
    pub min_security_rent_bps: u32,
    /// Highest security rent of a model, in bps a year, at most 10 000.
    pub max_security_rent_bps: u32,
    /// The protocol's fee on a market's losing stakes, in bps, at most 2000.
    pub protocol_fee_bps: u16,
    /// The protocol's part of a premium, in bps, at most 2000.
    pub premium_fee_bps: u16,
}

impl ConfigParams {
    pub fn validate(&self) -> Result<()> {
        let period = |secs: i64| (1..=MAX_PERIOD_SECS).contains(&secs);
        let periods = [
            self.submit_secs,
            self.challenge_secs,
            self.ruling_secs,
            self.appeal_secs,
            self.claim_grace_secs,
            self.waiting_secs,
            self.exit_secs,
        ];
        require!(
            periods.into_iter().all(period),
            DriftShieldError::InvalidConfig
        );
        let dispute_secs = self.submit_secs + self.challenge_secs + self.ruling_secs;
        let longest_need =
            MAX_HORIZON_SECS + dispute_secs + MAX_PERIOD_SECS + RETENTION_MARGIN_SECS;
        let notice =
            |secs: i64| (dispute_secs + self.appeal_secs..=MAX_HORIZON_SECS).contains(&secs);
        // The upper bounds keep every sum of times far below the limit of an i64.
        require!(
            dispute_secs < self.unbond_secs
                && self.unbond_secs <= MAX_HORIZON_SECS
                && notice(self.leave_secs)
                && notice(self.replace_secs)
                && longest_need <= self.retention_secs
                && self.retention_secs <= 10 * MAX_HORIZON_SECS,
            DriftShieldError::InvalidConfig
        );
        require!(
            (1..=31 * DAY_SECS).contains(&self.bucket_secs)
                && (1..=MAX_HORIZON_SECS).contains(&self.season_secs)
                && 1 <= self.min_window_secs
                && self.min_window_secs <= self.max_window_secs
                && self.max_window_secs <= 31 * DAY_SECS
                && self.max_spread_limit <= MAX_SPREAD_LIMIT
                && 1 <= self.security_multiple
                && 1 <= self.min_security_rent_bps
                && self.min_security_rent_bps <= self.max_security_rent_bps
                && self.max_security_rent_bps <= MAX_SECURITY_RENT_BPS
                && self.protocol_fee_bps <= MAX_FEES_BPS
                && self.premium_fee_bps <= MAX_FEES_BPS,
            DriftShieldError::InvalidConfig
        );
        Ok(())
    }
}

impl Config {
    /// Refuses an action while `flag`, one of [`pause`], is set.
    pub fn require_running(&self, flag: u8) -> Result<()> {
        require!(self.paused & flag == 0, DriftShieldError::Paused);
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
