//! Tokens that markets, cover and bonds settle in, and the treasuries that the protocol earns into.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Collateral, CollateralTerms, address, instruction};
use serde_json::json;

use crate::{args::Amount, print, send::Session};

#[derive(Subcommand)]
pub enum Command {
    /// Allow a token: signed by the admin
    Register {
        mint: Address,
        #[command(flatten)]
        terms: Terms,
        /// Accept a mint whose issuer can freeze token accounts
        #[arg(long)]
        accept_freeze: bool,
    },
    /// Change what new models copy, or stop new risk in the token; what isn't given stays
    Update {
        mint: Address,
        #[command(flatten)]
        terms: Terms,
        /// Whether new risk may be taken in the token
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Show a token's terms and treasury
    Show { mint: Address },
    /// List all tokens
    List,
}

/// Amounts of the token.
#[derive(Args)]
pub struct Terms {
    /// Smallest bet [register: 1 token]
    #[arg(long, value_name = "AMOUNT")]
    min_bet: Option<Amount>,
    /// Smallest bond with which an oracle's seat counts [register: 1000 tokens]
    #[arg(long, value_name = "AMOUNT")]
    min_bond: Option<Amount>,
    /// What an oracle loses when a ruling proves it wrong [register: 500 tokens]
    #[arg(long, value_name = "AMOUNT")]
    slash_amount: Option<Amount>,
    /// What a challenger puts up [register: 100 tokens]
    #[arg(long, value_name = "AMOUNT")]
    challenge_bond: Option<Amount>,
}

impl Terms {
    /// `base`, but for what is given.
    fn over(&self, base: CollateralTerms, decimals: u8) -> Result<CollateralTerms> {
        let units = |given: &Option<Amount>, kept| units_or(given, kept, decimals);
        Ok(CollateralTerms {
            min_bet: units(&self.min_bet, base.min_bet)?,
            min_bond: units(&self.min_bond, base.min_bond)?,
            slash_amount: units(&self.slash_amount, base.slash_amount)?,
            challenge_bond: units(&self.challenge_bond, base.challenge_bond)?,
        })
    }
}

/// What `register` sets where nothing else is said.
fn default_terms(decimals: u8) -> Result<CollateralTerms> {
    Ok(CollateralTerms {
        min_bet: tokens(1, decimals)?,
        min_bond: tokens(1_000, decimals)?,
        slash_amount: tokens(500, decimals)?,
        challenge_bond: tokens(100, decimals)?,
    })
}

/// A default of `count` tokens, in base units.
pub fn tokens(count: u64, decimals: u8) -> Result<u64> {
    10u64
        .checked_pow(decimals.into())
        .and_then(|token| token.checked_mul(count))
        .context("the token has so many decimals that its terms have no defaults: name all amounts")
}

/// The base units that were given, or what is kept.
pub fn units_or(given: &Option<Amount>, kept: u64, decimals: u8) -> Result<u64> {
    match given {
        Some(amount) => amount.units(decimals).map_err(anyhow::Error::msg),
        None => Ok(kept),
    }
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Register {
                mint,
                terms,
                accept_freeze,
            } => {
                let decimals = session.decimals(&mint).await?;
                // Its own decimals also where amounts are given in base units.
                let defaults = default_terms(session.client.decimals(&mint).await?)?;
                let terms = terms.over(defaults, decimals)?;
                let signer = session.signer()?;
                let program = session.client.token_program(&mint).await?;
                let register =
                    instruction::register_collateral(signer, mint, program, terms, accept_freeze);
                session.send(&[register], decimals).await
            }
            Self::Update {
                mint,
                terms,
                enabled,
            } => {
                let state = read(session, &mint).await?;
                let decimals = session.scale(state.decimals);
                let terms = terms.over(state.terms, decimals)?;
                let enabled = enabled.unwrap_or(state.enabled.get());
                let signer = session.signer()?;
                let update = instruction::update_collateral(signer, mint, terms, enabled);
                session.send(&[update], decimals).await
            }
            Self::Show { mint } => show(session, mint).await,
            Self::List => list(session).await,
        }
    }
}

pub async fn read(session: &Session, mint: &Address) -> Result<Collateral> {
    let state = session.client.find(&address::collateral(mint)).await?;
    state.with_context(|| {
        format!("{mint} is no collateral: the admin allows it by `driftshield collateral register`")
    })
}

async fn show(session: &Session, mint: Address) -> Result<()> {
    let address = address::collateral(&mint);
    let state = read(session, &mint).await?;
    let earned = session.client.token_balance(&state.treasury).await?;
    let decimals = session.scale(state.decimals);
    let account = print::describe(&state)?;
    let mut json = print::account_json(&address, &account);
    json["treasury_balance"] = json!(earned.to_string());
    let text = print::account_text(&address, &account, decimals);
    let earned = print::scaled(earned.into(), decimals);
    session.print(&json, &format!("{text}in the treasury  {earned}"))
}

async fn list(session: &Session) -> Result<()> {
    let names = ["mint", "decimals", "enabled", "accepts_freeze", "treasury"];
    let mut list = print::List::new(&names);
    for (address, state) in session.client.list::<Collateral>(&[]).await? {
        let decimals = session.scale(state.decimals);
        list.push(&address, &print::describe(&state)?, decimals);
    }
    session.print(&list.json(), &list.text())
}

#[derive(Subcommand)]
pub enum Treasury {
    /// Pay out of a treasury: signed by the admin
    Withdraw {
        mint: Address,
        #[arg(long)]
        amount: Amount,
        /// Token account to pay [default: the admin's associated one]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        destination: Option<Address>,
    },
}

impl Treasury {
    pub async fn run(self, session: &Session) -> Result<()> {
        let Self::Withdraw {
            mint,
            amount,
            destination,
        } = self;
        let state = read(session, &mint).await?;
        let decimals = session.scale(state.decimals);
        let amount = amount.units(decimals).map_err(anyhow::Error::msg)?;
        let admin = session.signer()?;
        let mut instructions = vec![];
        let destination = match destination {
            Some(destination) => destination,
            None => {
                let program = state.token_program.into();
                instructions.push(session.create_token_account(&admin, &mint, program)?);
                address::token_account(&admin, &mint, program)
            }
        };
        instructions.push(instruction::withdraw_treasury(
            admin,
            &state,
            destination,
            amount,
        ));
        session.send(&instructions, decimals).await
    }
}
