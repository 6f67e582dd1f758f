//! What a holder lets be taken for renewals: an allowance that all its policies in a token share.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Subcommand;
use driftshield_sdk::{TokenProgram, address, instruction};
use serde_json::json;

use crate::{args::Amount, print, send::Session};

#[derive(Subcommand)]
pub enum Renewal {
    /// Let an amount of the signer's tokens be taken for renewals of its policies
    Approve {
        mint: Address,
        /// Enough for the renewals to come; it takes the place of what was approved before
        #[arg(long)]
        amount: Amount,
    },
    /// Let nothing more be taken
    Revoke { mint: Address },
    /// Show what can still be taken
    Allowance {
        mint: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        holder: Option<Address>,
    },
}

impl Renewal {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Approve { mint, amount } => {
                let (program, decimals) = read(session, &mint).await?;
                let amount = amount.units(decimals).map_err(anyhow::Error::msg)?;
                let holder = session.signer()?;
                let instructions = [
                    session.create_token_account(&holder, &mint, program)?,
                    instruction::approve_renewals(&holder, &mint, program, amount),
                ];
                session.send(&instructions, decimals).await
            }
            Self::Revoke { mint } => {
                let (program, decimals) = read(session, &mint).await?;
                let revoke = instruction::revoke_renewals(&session.signer()?, &mint, program);
                session.send(&[revoke], decimals).await
            }
            Self::Allowance { mint, holder } => show(session, mint, holder).await,
        }
    }
}

/// The program of a mint, and the decimals of its amounts.
async fn read(session: &Session, mint: &Address) -> Result<(TokenProgram, u8)> {
    let program = session.client.token_program(mint).await?;
    Ok((program, session.decimals(mint).await?))
}

async fn show(session: &Session, mint: Address, holder: Option<Address>) -> Result<()> {
    let (program, decimals) = read(session, &mint).await?;
    let holder = session.or_signer(holder)?;
    let authority = address::renewal_authority(&holder);
    let address = address::token_account(&holder, &mint, program);
    let account = session.client.token_account(&address).await?;
    let account = account.with_context(|| format!("{holder} has no token account {address}"))?;
    let takeable = account.allowance(&holder, &authority);
    let json = json!({
        "token_account": address.to_string(),
        "authority": authority.to_string(),
        "takeable": takeable.to_string(),
    });
    let takeable = print::scaled(takeable.into(), decimals);
    session.print(
        &json,
        &format!("token account  {address}\nauthority      {authority}\ncan be taken   {takeable}"),
    )
}
