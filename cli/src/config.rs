//! The program's set-up, its settings, its admin and what is paused.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{self as sdk, ConfigParams, address, instruction, pause};

use crate::{
    args::{Drift, Duration},
    print,
    send::Session,
};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// What `init` sets where nothing else is said.
const DEFAULTS: ConfigParams = ConfigParams {
    submit_secs: 6 * HOUR,
    challenge_secs: 12 * HOUR,
    ruling_secs: 2 * DAY,
    unbond_secs: 3 * DAY,
    retention_secs: 530 * DAY,
    claim_grace_secs: 7 * DAY,
    waiting_secs: DAY,
    bucket_secs: 7 * DAY,
    min_window_secs: HOUR,
    max_window_secs: 31 * DAY,
    max_spread_limit: 1_000_000,
    security_multiple: 3,
    protocol_fee_bps: 200,
    premium_fee_bps: 500,
};

/// The settings that new models, markets and vaults copy.
#[derive(Args)]
struct Params {
    /// How long after a window's end oracles may submit [init: 6h]
    #[arg(long, value_name = "DURATION")]
    submit: Option<Duration>,
    /// How long a proposed value may be challenged [init: 12h]
    #[arg(long, value_name = "DURATION")]
    challenge: Option<Duration>,
    /// How long the arbiter may rule on a dispute [init: 2d]
    #[arg(long, value_name = "DURATION")]
    ruling: Option<Duration>,
    /// How long a bond unbonds: more than submit, challenge and ruling together [init: 3d]
    #[arg(long, value_name = "DURATION")]
    unbond: Option<Duration>,
    /// How long after its window's end a receipt is kept: 520 days and the three periods at least
    /// [init: 530d]
    #[arg(long, value_name = "DURATION")]
    retention: Option<Duration>,
    /// How long claims may wait after a policy's last receipt [init: 7d]
    #[arg(long, value_name = "DURATION")]
    claim_grace: Option<Duration>,
    /// How long before its first covered window a policy is bought at least [init: 1d]
    #[arg(long, value_name = "DURATION")]
    waiting: Option<Duration>,
    /// Length of the buckets at whose ends premium streams end; policies end at most 63 of them
    /// ahead [init: 7d]
    #[arg(long, value_name = "DURATION")]
    bucket: Option<Duration>,
    /// Shortest window of a model [init: 1h]
    #[arg(long, value_name = "DURATION")]
    min_window: Option<Duration>,
    /// Longest window of a model, at most 31d [init: 31d]
    #[arg(long, value_name = "DURATION")]
    max_window: Option<Duration>,
    /// Largest spread between oracles that a model may allow [init: 1.0]
    #[arg(long, value_name = "DRIFT")]
    max_spread_limit: Option<Drift>,
    /// Stakes on a model may reach this many times what its bonds secure [init: 3]
    #[arg(long, value_name = "N")]
    security_multiple: Option<u32>,
    /// The protocol's share of losing stakes, in hundredths of a percent [init: 200]
    #[arg(long, value_name = "BPS")]
    protocol_fee_bps: Option<u16>,
    /// The protocol's share of premiums, in hundredths of a percent [init: 500]
    #[arg(long, value_name = "BPS")]
    premium_fee_bps: Option<u16>,
}

impl Params {
    /// `base`, but for what is given.
    fn over(&self, base: ConfigParams) -> ConfigParams {
        let secs = |given: Option<Duration>, kept| given.map_or(kept, |Duration(secs)| secs);
        ConfigParams {
            submit_secs: secs(self.submit, base.submit_secs),
            challenge_secs: secs(self.challenge, base.challenge_secs),
            ruling_secs: secs(self.ruling, base.ruling_secs),
            unbond_secs: secs(self.unbond, base.unbond_secs),
            retention_secs: secs(self.retention, base.retention_secs),
            claim_grace_secs: secs(self.claim_grace, base.claim_grace_secs),
            waiting_secs: secs(self.waiting, base.waiting_secs),
            bucket_secs: secs(self.bucket, base.bucket_secs),
            min_window_secs: secs(self.min_window, base.min_window_secs),
            max_window_secs: secs(self.max_window, base.max_window_secs),
            max_spread_limit: self
                .max_spread_limit
                .map_or(base.max_spread_limit, |Drift(limit)| limit),
            security_multiple: self.security_multiple.unwrap_or(base.security_multiple),
            protocol_fee_bps: self.protocol_fee_bps.unwrap_or(base.protocol_fee_bps),
            premium_fee_bps: self.premium_fee_bps.unwrap_or(base.premium_fee_bps),
        }
    }
}

#[derive(Args)]
pub struct Init {
    /// Sets parameters, allows tokens, withdraws treasuries [default: the signer]
    #[arg(long, value_name = "KEY")]
    admin: Option<Address>,
    /// May pause, and nothing else [default: the admin]
    #[arg(long, value_name = "KEY")]
    guardian: Option<Address>,
    /// Rules on disputes [default: the admin]
    #[arg(long, value_name = "KEY")]
    arbiter: Option<Address>,
    #[command(flatten)]
    params: Params,
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
            self.params.over(DEFAULTS),
        );
        session.send(&[init], 0).await
    }
}

#[derive(Subcommand)]
pub enum Config {
    /// Show roles, settings and what is paused
    Show,
    /// Change settings for new models and markets; what isn't given stays
    Update(Box<Update>),
}

#[derive(Args)]
pub struct Update {
    /// May pause, and nothing else
    #[arg(long, value_name = "KEY")]
    guardian: Option<Address>,
    /// Rules on disputes of models registered from now on
    #[arg(long, value_name = "KEY")]
    arbiter: Option<Address>,
    #[command(flatten)]
    params: Params,
}

impl Config {
    pub async fn run(self, session: &Session) -> Result<()> {
        let config = read(session).await?;
        match self {
            Self::Show => {
                let address = address::config();
                let config = print::describe(&config)?;
                let json = print::account_json(&address, &config);
                session.print(&json, &print::account_text(&address, &config, 0))
            }
            Self::Update(update) => {
                let update = instruction::update_config(
                    session.signer()?,
                    update.guardian.unwrap_or(config.guardian),
                    update.arbiter.unwrap_or(config.arbiter),
                    update.params.over(config.params),
                );
                session.send(&[update], 0).await
            }
        }
    }
}

pub async fn read(session: &Session) -> Result<sdk::Config> {
    let config = session.client.find(&address::config()).await?;
    config.context("the program is not set up on this cluster: `driftshield init` does it")
}

#[derive(Subcommand)]
pub enum Admin {
    /// Offer the role to a key, which takes it by `accept`: signed by the admin
    Propose { key: Address },
    /// Take the role: signed by the proposed key
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

/// What can be paused.
#[derive(Clone, Copy, ValueEnum)]
pub enum Flag {
    Models,
    Markets,
    Bets,
    Deposits,
    Policies,
    Renewals,
}

impl Flag {
    pub fn bit(self) -> u8 {
        match self {
            Self::Models => pause::MODELS,
            Self::Markets => pause::MARKETS,
            Self::Bets => pause::BETS,
            Self::Deposits => pause::DEPOSITS,
            Self::Policies => pause::POLICIES,
            Self::Renewals => pause::RENEWALS,
        }
    }
}

#[derive(Args)]
pub struct Flags {
    /// What is meant; all of it if nothing is named
    #[arg(value_enum)]
    flags: Vec<Flag>,
}

impl Flags {
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
