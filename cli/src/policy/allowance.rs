//! The token allowance that pays for renewals. All policies of a holder in one token share one
//! allowance.

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Subcommand;
use driftshield_sdk::{TokenProgram, address, instruction};
use serde_json::json;

use crate::{args::Amount, print, session::Session};

#[derive(Subcommand)]
pub enum AllowanceCommand {
    /// Approve an amount of the signer's tokens for renewals of its policies
    Approve {
        mint: Address,
        /// Amount for all future renewals; replaces an earlier approval
        #[arg(long)]
        amount: Amount,
    },
    /// Revoke the approval of any delegate of the signer's token account
    Revoke { mint: Address },
    /// Show the approved amount that remains, at most the balance
    Allowance {
        mint: Address,
        /// The holder [default: the signer]
        #[arg(long, value_name = "KEY")]
        holder: Option<Address>,
    },
}

impl AllowanceCommand {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Approve { mint, amount } => {
                let (program, decimals) = read(session, &mint).await?;
                let amount = amount.units(decimals)?;
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

/// Reads the token program of a mint and the decimals of its amounts.
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
    let account = account.with_context(|| {
        format!(
            "token account {address} of {holder} does not exist; create it with \
             `driftshield policy approve`"
        )
    })?;
    let allowance = account.allowance(&holder, &authority);
    let json = json!({
        "token_account": address.to_string(),
        "authority": authority.to_string(),
        "takeable": allowance.to_string(),
    });
    let allowance = print::scaled(allowance.into(), decimals);
    session.print(
        &json,
        &format!(
            "token account  {address}\nauthority      {authority}\nallowance      {allowance}"
        ),
    )
}
