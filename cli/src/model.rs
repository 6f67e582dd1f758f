//! Models whose drift is measured.

use std::{mem::offset_of, path::PathBuf};

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Model, ModelTerms, instruction, spec::SpecDocument};

use crate::{
    args::{Drift, Duration, Hash, Time},
    collateral, print,
    send::{self, Session},
};

#[derive(Subcommand)]
pub enum Command {
    /// Register a model and pin how its drift is measured: signed by its owner
    Register(Register),
    /// Change who measures a model and how it is presented; what isn't given stays
    Update(Update),
    /// End new markets and bets on a model, for good
    Retire { model: Address },
    /// Show a model
    Show { model: Address },
    /// List models
    List {
        /// Only this owner's
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
}

#[derive(Args)]
pub struct Register {
    /// The owner's number of the model
    #[arg(long)]
    id: u64,
    /// The token of its bonds and markets
    #[arg(long)]
    mint: Address,
    /// The metric-spec document
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// When window 0 begins
    #[arg(long, value_name = "TIME")]
    genesis: Time,
    /// Length of a window
    #[arg(long, value_name = "DURATION")]
    window: Duration,
    /// 1 to 7 oracles, in their order
    #[arg(long = "oracle", value_name = "KEY", required = true, num_args = 1.., value_delimiter = ',')]
    oracles: Vec<Address>,
    /// More than half of the oracles, and fewer than all from three on
    #[arg(long)]
    quorum: u8,
    /// How far oracles may lie apart without dispute
    #[arg(long, value_name = "DRIFT")]
    max_spread: Drift,
    /// At most 32 bytes
    #[arg(long)]
    name: String,
    /// Where the model is described, at most 128 bytes
    #[arg(long, default_value = "")]
    uri: String,
    /// Hash of what the URI points to: 64 hex digits, or the file
    #[arg(long, value_name = "HASH")]
    metadata: Option<Hash>,
    /// Hash of the model artifact: 64 hex digits, or the file
    #[arg(long, value_name = "HASH")]
    artifact: Option<Hash>,
}

#[derive(Args)]
pub struct Update {
    model: Address,
    /// All oracles, in their order
    #[arg(long = "oracle", value_name = "KEY", num_args = 1.., value_delimiter = ',')]
    oracles: Vec<Address>,
    #[arg(long)]
    quorum: Option<u8>,
    #[arg(long, value_name = "DRIFT")]
    max_spread: Option<Drift>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    uri: Option<String>,
    /// 64 hex digits, or the file
    #[arg(long, value_name = "HASH")]
    metadata: Option<Hash>,
    /// 64 hex digits, or the file
    #[arg(long, value_name = "HASH")]
    artifact: Option<Hash>,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Register(register) => register.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::Retire { model } => {
                let retire = instruction::retire_model(session.signer()?, model);
                session.send(&[retire], 0).await
            }
            Self::Show { model } => show(session, model).await,
            Self::List { owner } => list(session, owner).await,
        }
    }
}

impl Register {
    async fn run(self, session: &Session) -> Result<()> {
        let bytes = send::read(&self.spec)?;
        let document = SpecDocument::parse(&bytes)
            .with_context(|| format!("could not use {}", self.spec.display()))?;
        let genesis = self.genesis.resolve(&session.client).await?;
        let Duration(window_secs) = self.window;
        let spec = document.metric_spec(&bytes, genesis, window_secs);
        let hash = |hash: Option<Hash>| hash.map_or([0; 32], |Hash(hash)| hash);
        let terms = ModelTerms {
            oracles: self.oracles,
            quorum: self.quorum,
            max_spread: self.max_spread.0,
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
        let terms = self.over(&state);
        let update = instruction::update_model(session.signer()?, self.model, terms);
        session
            .send(&[update], session.decimals(&state.bond_mint).await?)
            .await
    }

    /// The model's terms, but for what is given.
    fn over(&self, state: &Model) -> ModelTerms {
        let hash = |given: Option<Hash>, kept| given.map_or(kept, |Hash(hash)| hash);
        let text = |given: &Option<String>, kept: &[u8]| match given {
            Some(given) => given.clone(),
            None => String::from_utf8_lossy(kept)
                .trim_end_matches('\0')
                .to_owned(),
        };
        ModelTerms {
            oracles: match &self.oracles[..] {
                [] => state.oracles[..usize::from(state.oracle_count)].to_vec(),
                given => given.to_vec(),
            },
            quorum: self.quorum.unwrap_or(state.quorum),
            max_spread: self
                .max_spread
                .map_or(state.max_spread, |Drift(spread)| spread),
            name: text(&self.name, &state.name),
            uri: text(&self.uri, &state.uri),
            metadata_hash: hash(self.metadata, state.metadata_hash),
            artifact_hash: hash(self.artifact, state.artifact_hash),
        }
    }
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let state: Model = session.client.get(&address).await?;
    let account = print::describe(&state)?;
    let decimals = session.decimals(&state.bond_mint).await?;
    let now = session.client.unix_timestamp().await?;
    let text = print::account_text(&address, &account, decimals);
    let window = match now - state.genesis {
        ahead if ahead < 0 => "none yet".to_owned(),
        secs => (secs / state.window_secs).to_string(),
    };
    let json = print::account_json(&address, &account);
    session.print(&json, &format!("{text}window that runs  {window}"))
}

async fn list(session: &Session, owner: Option<Address>) -> Result<()> {
    let filters: Vec<_> = owner
        .map(|owner| (offset_of!(Model, owner), owner))
        .into_iter()
        .collect();
    let names = [
        "name",
        "metric",
        "status",
        "version",
        "quorum",
        "latest",
        "security",
        "at_risk",
        "bond_mint",
    ];
    let mut list = print::List::new(&names);
    for (address, state) in session.client.list::<Model>(&filters).await? {
        let decimals = session.decimals(&state.bond_mint).await?;
        list.push(&address, &print::describe(&state)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
