//! Program setup, settings, the admin role and pausing.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Config, ConfigParams, address, instruction, pause};

use crate::{
    args::{Drift, Duration, PauseFlag},
    session::Session,
};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Defaults of `init`.
const DEFAULTS: ConfigParams = ConfigParams {
    submit_secs: 6 * HOUR,
    challenge_secs: 12 * HOUR,
    ruling_secs: 2 * DAY,
    appeal_secs: 3 * DAY,
    unbond_secs: 3 * DAY,
    leave_secs: 60 * DAY,
    replace_secs: 14 * DAY,
    retention_secs: 530 * DAY,
    claim_grace_secs: 7 * DAY,
    waiting_secs: DAY + 6 * HOUR, // a window of a day and its submissions
    bucket_secs: 7 * DAY,
    exit_secs: 7 * DAY,
    season_secs: 30 * DAY,
    min_window_secs: HOUR,
    max_window_secs: 31 * DAY,
    max_spread_limit: 1_000_000,
    security_multiple: 1,
    min_security_rent_bps: 50,
    max_security_rent_bps: 2_000,
    protocol_fee_bps: 200,
    premium_fee_bps: 500,
};

/// The program's settings.
#[derive(Args)]
struct ParamsArgs {
    /// Period after a window's end in which oracles may submit [init: 6h]
    #[arg(long, value_name = "DURATION")]
    submit: Option<Duration>,
    /// Period in which a proposed value may be challenged [init: 12h]
    #[arg(long, value_name = "DURATION")]
    challenge: Option<Duration>,
    /// Period in which the arbiter may rule on a dispute [init: 2d]
    #[arg(long, value_name = "DURATION")]
    ruling: Option<Duration>,
    /// Period in which the admin may return slashes of a ruling [init: 3d]
    #[arg(long, value_name = "DURATION")]
    appeal: Option<Duration>,
    /// Unbonding period: longer than submit, challenge and ruling together [init: 3d]
    #[arg(long, value_name = "DURATION")]
    unbond: Option<Duration>,
    /// Notice after which a leaving oracle may unbond whatever is at risk: at least submit,
    /// challenge, ruling and appeal together [init: 60d]
    #[arg(long, value_name = "DURATION")]
    leave: Option<Duration>,
    /// Period in which a seat must not have counted before its oracle can be replaced while the
    /// model is exposed: at least submit, challenge, ruling and appeal together [init: 14d]
    #[arg(long, value_name = "DURATION")]
    replace: Option<Duration>,
    /// Period after its last window's end for which a page of a series is kept: at least 520 days plus submit,
    /// challenge and ruling [init: 530d]
    #[arg(long, value_name = "DURATION")]
    retention: Option<Duration>,
    /// Period in which a policy can be claimed after its last window can be settled [init: 7d]
    #[arg(long, value_name = "DURATION")]
    claim_grace: Option<Duration>,
    /// Minimum time between the purchase of a policy and its first covered window [init: 30h]
    #[arg(long, value_name = "DURATION")]
    waiting: Option<Duration>,
    /// Length of the buckets that the ends of premium streams are rounded up to; a policy ends at
    /// most 63 buckets ahead [init: 7d]
    #[arg(long, value_name = "DURATION")]
    bucket: Option<Duration>,
    /// How long a withdrawal request can be paid after its cooldown [init: 7d]
    #[arg(long, value_name = "DURATION")]
    exit: Option<Duration>,
    /// Time in which the capital by which a vault prices cover follows all of its capital
    /// [init: 30d]
    #[arg(long, value_name = "DURATION")]
    season: Option<Duration>,
    /// Shortest window of a model [init: 1h]
    #[arg(long, value_name = "DURATION")]
    min_window: Option<Duration>,
    /// Longest window of a model, at most 31d [init: 31d]
    #[arg(long, value_name = "DURATION")]
    max_window: Option<Duration>,
    /// Largest max-spread that a model may have [init: 1.0]
    #[arg(long, value_name = "DRIFT")]
    max_spread_limit: Option<Drift>,
    /// Maximum stakes and cover at risk on a model, as a multiple of its security [init: 1]
    #[arg(long, value_name = "N")]
    security_multiple: Option<u32>,
    /// Lowest security rent of a model, in basis points a year [init: 50]
    #[arg(long, value_name = "BPS")]
    min_security_rent_bps: Option<u32>,
    /// Highest security rent of a model, in basis points a year [init: 2000]
    #[arg(long, value_name = "BPS")]
    max_security_rent_bps: Option<u32>,
    /// The protocol's share of losing stakes, in basis points [init: 200]
    #[arg(long, value_name = "BPS")]
    protocol_fee_bps: Option<u16>,
    /// The protocol's share of premiums, in basis points [init: 500]
    #[arg(long, value_name = "BPS")]
    premium_fee_bps: Option<u16>,
}

impl ParamsArgs {
    /// `base`, changed by the options that are given.
    fn apply_to(&self, base: ConfigParams) -> ConfigParams {
        let secs = |given: Option<Duration>, base| given.map_or(base, |Duration(secs)| secs);
        ConfigParams {
            submit_secs: secs(self.submit, base.submit_secs),
            challenge_secs: secs(self.challenge, base.challenge_secs),
            ruling_secs: secs(self.ruling, base.ruling_secs),
            appeal_secs: secs(self.appeal, base.appeal_secs),
            unbond_secs: secs(self.unbond, base.unbond_secs),
            leave_secs: secs(self.leave, base.leave_secs),
            replace_secs: secs(self.replace, base.replace_secs),
            retention_secs: secs(self.retention, base.retention_secs),
            claim_grace_secs: secs(self.claim_grace, base.claim_grace_secs),
            waiting_secs: secs(self.waiting, base.waiting_secs),
            bucket_secs: secs(self.bucket, base.bucket_secs),
            exit_secs: secs(self.exit, base.exit_secs),
            season_secs: secs(self.season, base.season_secs),
            min_window_secs: secs(self.min_window, base.min_window_secs),
            max_window_secs: secs(self.max_window, base.max_window_secs),
            max_spread_limit: self
                .max_spread_limit
                .map_or(base.max_spread_limit, |Drift(limit)| limit),
            security_multiple: self.security_multiple.unwrap_or(base.security_multiple),
            min_security_rent_bps: self
                .min_security_rent_bps
                .unwrap_or(base.min_security_rent_bps),
            max_security_rent_bps: self
                .max_security_rent_bps
                .unwrap_or(base.max_security_rent_bps),
            protocol_fee_bps: self.protocol_fee_bps.unwrap_or(base.protocol_fee_bps),
            premium_fee_bps: self.premium_fee_bps.unwrap_or(base.premium_fee_bps),
        }
    }
}

#[derive(Args)]
pub struct Init {
    /// Key that changes settings, allows tokens and withdraws from treasuries [default: the signer]
    #[arg(long, value_name = "KEY")]
    admin: Option<Address>,
    /// Key that may pause, and nothing else [default: the admin]
    #[arg(long, value_name = "KEY")]
    guardian: Option<Address>,
    /// Key that rules on disputes [default: the admin]
    #[arg(long, value_name = "KEY")]
    arbiter: Option<Address>,
    #[command(flatten)]
    params: ParamsArgs,
}

impl Init {
    pub async fn run(self, session: &Session) -> Result<()> {
        let authority = session.signer()?;
        let admin = self.admin.unwrap_or(authority);
        let init = instruction::initialize(
            authority,
            admin,
            self.guardian.unwrap_or(admin),
            self.arbiter.unwrap_or(admin),
            self.params.apply_to(DEFAULTS),
        );
        session.send(&[init], 0).await
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Show roles, settings and pause flags
    Show,
    /// Change settings (signed by the admin). Omitted options keep their value
    Update(Box<Update>),
}

#[derive(Args)]
pub struct Update {
    /// Key that may pause, and nothing else
    #[arg(long, value_name = "KEY")]
    guardian: Option<Address>,
    #[command(flatten)]
    params: ParamsArgs,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        let config = read(session).await?;
        match self {
            Self::Show => session.print_account(&address::config(), &config, 0),
            Self::Update(update) => {
                let update = instruction::update_config(
                    session.signer()?,
                    update.guardian.unwrap_or(config.guardian),
                    update.params.apply_to(config.params),
                );
                session.send(&[update], 0).await
            }
        }
    }
}

pub async fn read(session: &Session) -> Result<Config> {
    let config = session.client.find(&address::config()).await?;
    config.context("the program is not set up on this cluster; run `driftshield init`")
}

#[derive(Subcommand)]
pub enum Admin {
    /// Propose the next admin, who accepts the role with `accept` (signed by the admin)
    Propose { key: Address },
    /// Accept the role (signed by the proposed key)
    Accept,
}

impl Admin {
    pub async fn run(self, session: &Session) -> Result<()> {
        let signer = session.signer()?;
        let instruction = match self {
            Self::Propose { key } => instruction::propose_admin(signer, key),
            Self::Accept => instruction::accept_admin(signer),
        };
        session.send(&[instruction], 0).await
    }
}

#[derive(Subcommand)]
pub enum Arbiter {
    /// Propose the next arbiter of models that are registered or updated later, who accepts the
    /// role with `accept` (signed by the arbiter)
    Propose { key: Address },
    /// Accept the role (signed by the proposed key)
    Accept,
}

impl Arbiter {
    pub async fn run(self, session: &Session) -> Result<()> {
        let signer = session.signer()?;
        let instruction = match self {
            Self::Propose { key } => instruction::propose_arbiter(signer, key),
            Self::Accept => instruction::accept_arbiter(signer),
        };
        session.send(&[instruction], 0).await
    }
}

#[derive(Args)]
pub struct PauseArgs {
    /// Activities to pause or unpause [default: all]
    #[arg(value_enum)]
    flags: Vec<PauseFlag>,
}

impl PauseArgs {
    fn bits(&self) -> u8 {
        match &self.flags[..] {
            [] => pause::ALL,
            flags => flags.iter().fold(0, |bits, flag| bits | flag.bit()),
        }
    }

    pub async fn pause(self, session: &Session) -> Result<()> {
        set_pause(session, |paused| paused | self.bits()).await
    }

    pub async fn unpause(self, session: &Session) -> Result<()> {
        set_pause(session, |paused| paused & !self.bits()).await
    }
}

async fn set_pause(session: &Session, change: impl FnOnce(u8) -> u8) -> Result<()> {
    let config = read(session).await?;
    let set = instruction::set_pause(session.signer()?, change(config.paused));
    session.send(&[set], 0).await
}
