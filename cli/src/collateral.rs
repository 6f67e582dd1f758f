//! Collaterals, the tokens that bonds, markets and cover are denominated in, and their treasuries.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use driftshield_sdk::{Collateral, CollateralTerms, address, defaults, instruction};
use serde_json::json;

use crate::{
    args::{Amount, AmountError, units_or},
    print::{self, List},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Allow a token (signed by the admin)
    Register {
        mint: Address,
        #[command(flatten)]
        terms: TermsArgs,
        /// Accept a mint whose issuer can freeze token accounts
        #[arg(long)]
        accept_freeze: bool,
    },
    /// Change a token's terms, or enable or disable it (signed by the admin). Omitted options keep
    /// their value
    Update {
        mint: Address,
        #[command(flatten)]
        terms: TermsArgs,
        /// Whether new risk may be taken in the token
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Show a token's terms and treasury
    Show { mint: Address },
    /// List all tokens
    List,
}

/// Terms of a collateral, as amounts of the token.
#[derive(Args)]
pub struct TermsArgs {
    /// Smallest bet [register: 1 token]
    #[arg(long, value_name = "AMOUNT")]
    min_bet: Option<Amount>,
    /// Bond from which an oracle's seat counts: at least twice the slash amount [register: 1000
    /// tokens]
    #[arg(long, value_name = "AMOUNT")]
    min_bond: Option<Amount>,
    /// Amount that an oracle loses if a ruling proves it wrong [register: 500 tokens]
    #[arg(long, value_name = "AMOUNT")]
    slash_amount: Option<Amount>,
    /// Bond that a challenger posts [register: 100 tokens]
    #[arg(long, value_name = "AMOUNT")]
    challenge_bond: Option<Amount>,
    /// Amount that an oracle loses for each window for which it is silent [register: 5 tokens]
    #[arg(long, value_name = "AMOUNT")]
    absence_penalty: Option<Amount>,
}

impl TermsArgs {
    /// `base`, changed by the options that are given.
    fn apply_to(
        &self,
        base: CollateralTerms,
        decimals: u8,
    ) -> Result<CollateralTerms, AmountError> {
        let units = |amount: &Option<Amount>, base| units_or(amount, base, decimals);
        Ok(CollateralTerms {
            min_bet: units(&self.min_bet, base.min_bet)?,
            min_bond: units(&self.min_bond, base.min_bond)?,
            slash_amount: units(&self.slash_amount, base.slash_amount)?,
            challenge_bond: units(&self.challenge_bond, base.challenge_bond)?,
            absence_penalty: units(&self.absence_penalty, base.absence_penalty)?,
        })
    }
}

/// Defaults of `register`.
fn default_terms(decimals: u8) -> Result<CollateralTerms> {
    Ok(CollateralTerms {
        min_bet: whole_tokens(1, decimals)?,
        min_bond: whole_tokens(1_000, decimals)?,
        slash_amount: whole_tokens(500, decimals)?,
        challenge_bond: whole_tokens(100, decimals)?,
        absence_penalty: whole_tokens(5, decimals)?,
    })
}

/// `count` tokens in base units, for a default amount. Fails if they exceed 64 bits.
fn whole_tokens(count: u64, decimals: u8) -> Result<u64> {
    defaults::whole_tokens(count, decimals).with_context(|| too_many_decimals(decimals))
}

/// Why there are no default amounts in a token.
pub fn too_many_decimals(decimals: u8) -> String {
    format!(
        "default amounts in a token with {decimals} decimals exceed 64 bits; use a token with fewer \
         decimals"
    )
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
                // Defaults are whole tokens, even if amounts are read in base units.
                let defaults = default_terms(session.client.decimals(&mint).await?)?;
                let terms = terms.apply_to(defaults, decimals)?;
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
                let terms = terms.apply_to(state.terms, decimals)?;
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

/// Reads the collateral of a mint.
pub async fn read(session: &Session, mint: &Address) -> Result<Collateral> {
    let state = session.client.find(&address::collateral(mint)).await?;
    state.with_context(|| {
        format!(
            "token {mint} is not registered as collateral; the admin can register it with \
             `driftshield collateral register`"
        )
    })
}

async fn show(session: &Session, mint: Address) -> Result<()> {
    let address = address::collateral(&mint);
    let state = read(session, &mint).await?;
    let balance = session.client.token_balance(&state.treasury).await?;
    let decimals = session.scale(state.decimals);
    let account = print::to_decoded(&state)?;
    let mut json = print::account_json(&address, &account);
    json["treasury_balance"] = json!(balance.to_string());
    let text = print::account_text(&address, &account, decimals);
    let balance = print::scaled(balance.into(), decimals);
    session.print(&json, &format!("{text}treasury balance  {balance}"))
}

async fn list(session: &Session) -> Result<()> {
    let mut list = List::new(&["mint", "decimals", "enabled", "accepts_freeze", "treasury"]);
    for (address, state) in session.list::<Collateral>(&[]).await? {
        list.push(&address, &state, session.scale(state.decimals))?;
    }
    session.print_list(&list)
}

#[derive(Subcommand)]
pub enum Treasury {
    /// Withdraw from a treasury (signed by the admin)
    Withdraw {
        mint: Address,
        #[arg(long)]
        amount: Amount,
        /// Token account to pay [default: the admin's associated token account]
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
        let amount = amount.units(decimals)?;
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
