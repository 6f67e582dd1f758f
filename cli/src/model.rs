//! Models whose drift is measured.

use std::{mem::offset_of, path::PathBuf};

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Model, ModelTerms, defaults, instruction, spec::SpecDocument};

use crate::{
    args::{self, Amount, Drift, Duration, Hash, Time},
    collateral,
    print::{self, List},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Register a model and pin its metric spec (signed by the owner)
    Register(Register),
    /// Change a model's oracles and description (signed by the owner). Omitted options keep their
    /// value
    Update(Update),
    /// List another oracle in place of one whose seat doesn't count, while markets or policies
    /// depend on the model (signed by the owner)
    ReplaceOracle {
        model: Address,
        /// The oracle to remove
        #[arg(long, value_name = "KEY")]
        oracle: Address,
        /// The oracle to list in its place
        #[arg(long, value_name = "KEY")]
        successor: Address,
    },
    /// Stop new markets, bets, policies and renewals on a model, permanently (signed by the owner)
    Retire { model: Address },
    /// Add to the pay of a model's oracles
    Fund {
        model: Address,
        #[arg(long)]
        amount: Amount,
        /// End of the time that is paid, at most 400 days ahead
        #[arg(long, value_name = "TIME")]
        until: Time,
        /// Token account that pays [default: the signer's associated token account]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    /// Pay what is left of the oracles' pay to the treasury, once no oracle can earn it; callable by
    /// anyone
    CollectPot { model: Address },
    /// Show a model
    Show { model: Address },
    /// List models
    List {
        /// Only models of this owner
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
}

#[derive(Args)]
pub struct Register {
    /// Id of the model, unique for its owner
    #[arg(long)]
    id: u64,
    /// Mint of the bonds, the markets and the cover
    #[arg(long)]
    mint: Address,
    /// The metric-spec document
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Start of window 0
    #[arg(long, value_name = "TIME")]
    genesis: Time,
    /// Length of a window
    #[arg(long, value_name = "DURATION")]
    window: Duration,
    /// 1 to 7 oracles, in order
    #[arg(long = "oracle", value_name = "KEY", required = true, num_args = 1.., value_delimiter = ',')]
    oracles: Vec<Address>,
    /// Number of submissions that a window needs: more than half of the oracles, and fewer than all
    /// if there are three or more
    #[arg(long)]
    quorum: u8,
    /// Maximum distance of a submission from the median, or from a ruling, to count as in
    /// agreement: at most an eighth of the noise floor [default: that]
    #[arg(long, value_name = "DRIFT")]
    max_spread: Option<Drift>,
    /// Rent of secured stakes and cover, in basis points a year
    #[arg(long, value_name = "BPS", default_value_t = defaults::SECURITY_RENT_BPS)]
    security_rent_bps: u16,
    /// Part of what the bonds secure that stakes may reach, in basis points
    #[arg(long, value_name = "BPS", default_value_t = defaults::BUDGET_BPS)]
    market_budget_bps: u16,
    /// Part of what the bonds secure that cover may reach, in basis points
    #[arg(long, value_name = "BPS", default_value_t = defaults::BUDGET_BPS)]
    cover_budget_bps: u16,
    /// Name, at most 32 bytes
    #[arg(long)]
    name: String,
    /// URI of the model's description, at most 128 bytes
    #[arg(long, default_value = "")]
    uri: String,
    /// SHA-256 of the document at the URI: 64 hexadecimal digits, or the file to hash
    #[arg(long, value_name = "HASH")]
    metadata: Option<Hash>,
    /// SHA-256 of the model artifact: 64 hexadecimal digits, or the file to hash
    #[arg(long, value_name = "HASH")]
    artifact: Option<Hash>,
}

#[derive(Args)]
pub struct Update {
    model: Address,
    /// All oracles, in order: replaces the list
    #[arg(long = "oracle", value_name = "KEY", num_args = 1.., value_delimiter = ',')]
    oracles: Vec<Address>,
    #[arg(long)]
    quorum: Option<u8>,
    #[arg(long, value_name = "DRIFT")]
    max_spread: Option<Drift>,
    /// Rent of secured stakes and cover, in basis points a year
    #[arg(long, value_name = "BPS")]
    security_rent_bps: Option<u16>,
    /// Part of what the bonds secure that stakes may reach, in basis points
    #[arg(long, value_name = "BPS")]
    market_budget_bps: Option<u16>,
    /// Part of what the bonds secure that cover may reach, in basis points
    #[arg(long, value_name = "BPS")]
    cover_budget_bps: Option<u16>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    uri: Option<String>,
    /// SHA-256 of the document at the URI: 64 hexadecimal digits, or the file to hash
    #[arg(long, value_name = "HASH")]
    metadata: Option<Hash>,
    /// SHA-256 of the model artifact: 64 hexadecimal digits, or the file to hash
    #[arg(long, value_name = "HASH")]
    artifact: Option<Hash>,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Register(register) => register.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::ReplaceOracle {
                model,
                oracle,
                successor,
            } => {
                let state: Model = session.client.get(&model).await?;
                let owner = session.signer()?;
                let replace = instruction::replace_oracle(owner, model, &state, oracle, successor);
                session
                    .send(&[replace], session.decimals(&state.bond_mint).await?)
                    .await
            }
            Self::Retire { model } => {
                let retire = instruction::retire_model(session.signer()?, model);
                session.send(&[retire], 0).await
            }
            Self::Fund {
                model,
                amount,
                until,
                source,
            } => fund(session, model, amount, until, source).await,
            Self::CollectPot { model } => {
                let state: Model = session.client.get(&model).await?;
                let collect = instruction::collect_pot(model, &state);
                let decimals = session.decimals(&state.bond_mint).await?;
                session.send(&[collect], decimals).await
            }
            Self::Show { model } => show(session, model).await,
            Self::List { owner } => list(session, owner).await,
        }
    }
}

impl Register {
    async fn run(self, session: &Session) -> Result<()> {
        let bytes = args::read_file(&self.spec)?;
        let document = SpecDocument::parse(&bytes)
            .with_context(|| format!("invalid metric-spec document {}", self.spec.display()))?;
        let genesis = self.genesis.resolve(&session.client).await?;
        let Duration(window_secs) = self.window;
        let spec = document.metric_spec(&bytes, genesis, window_secs);
        let hash = |hash: Option<Hash>| hash.map_or([0; 32], |Hash(hash)| hash);
        let terms = ModelTerms {
            oracles: self.oracles,
            quorum: self.quorum,
            max_spread: self
                .max_spread
                .map_or_else(|| spec.widest_spread(), |Drift(spread)| spread),
            security_rent_bps: self.security_rent_bps,
            market_budget_bps: self.market_budget_bps,
            cover_budget_bps: self.cover_budget_bps,
            name: self.name,
            uri: self.uri,
            metadata_hash: hash(self.metadata),
            artifact_hash: hash(self.artifact),
        };
        let owner = session.signer()?;
        let bonds = collateral::read(session, &self.mint).await?;
        let register = instruction::register_model(owner, self.id, &bonds, spec, terms);
        session
            .send(&[register], session.scale(bonds.decimals))
            .await
    }
}

impl Update {
    async fn run(self, session: &Session) -> Result<()> {
        let state: Model = session.client.get(&self.model).await?;
        let terms = self.apply_to(&state);
        let signer = session.signer()?;
        let update = instruction::update_model(signer, self.model, &state, terms);
        session
            .send(&[update], session.decimals(&state.bond_mint).await?)
            .await
    }

    /// The model's current terms, changed by the options that are given.
    fn apply_to(&self, state: &Model) -> ModelTerms {
        let now = defaults::model_terms(state);
        let hash = |given: Option<Hash>, current| given.map_or(current, |Hash(hash)| hash);
        ModelTerms {
            oracles: match &self.oracles[..] {
                [] => now.oracles,
                given => given.to_vec(),
            },
            quorum: self.quorum.unwrap_or(now.quorum),
            max_spread: self
                .max_spread
                .map_or(now.max_spread, |Drift(spread)| spread),
            security_rent_bps: self.security_rent_bps.unwrap_or(now.security_rent_bps),
            market_budget_bps: self.market_budget_bps.unwrap_or(now.market_budget_bps),
            cover_budget_bps: self.cover_budget_bps.unwrap_or(now.cover_budget_bps),
            name: self.name.clone().unwrap_or(now.name),
            uri: self.uri.clone().unwrap_or(now.uri),
            metadata_hash: hash(self.metadata, now.metadata_hash),
            artifact_hash: hash(self.artifact, now.artifact_hash),
        }
    }
}

async fn fund(
    session: &Session,
    model: Address,
    amount: Amount,
    until: Time,
    source: Option<Address>,
) -> Result<()> {
    let state: Model = session.client.get(&model).await?;
    let decimals = session.decimals(&state.bond_mint).await?;
    let amount = amount.units(decimals)?;
    let (mint, program) = (&state.bond_mint, state.token_program);
    let source = session
        .source_account(source, mint, program, amount, decimals)
        .await?;
    let until = until.resolve(&session.client).await?;
    let funder = session.signer()?;
    let fund = instruction::fund_oracles(funder, model, &state, source, amount, until);
    session.send(&[fund], decimals).await
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let state: Model = session.client.get(&address).await?;
    let account = print::to_decoded(&state)?;
    let decimals = session.decimals(&state.bond_mint).await?;
    let now = session.client.unix_timestamp().await?;
    let text = print::account_text(&address, &account, decimals);
    let window = match now - state.genesis {
        secs if secs < 0 => "none yet".to_owned(),
        secs => (secs / state.window_secs).to_string(),
    };
    let json = print::account_json(&address, &account);
    session.print(&json, &format!("{text}current window  {window}"))
}

async fn list(session: &Session, owner: Option<Address>) -> Result<()> {
    let keys = [(offset_of!(Model, owner), owner)];
    let mut list = List::new(&[
        "name",
        "metric",
        "status",
        "version",
        "quorum",
        "latest",
        "security",
        "market_risk",
        "cover_risk",
        "bond_mint",
    ]);
    for (address, state) in session.list::<Model>(&keys).await? {
        let decimals = session.decimals(&state.bond_mint).await?;
        list.push(&address, &state, decimals)?;
    }
    session.print_list(&list)
}
