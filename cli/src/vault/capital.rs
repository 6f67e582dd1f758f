//! Deposits into and withdrawals from a vault.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result, ensure};
use clap::Args;
use driftshield_sdk::{DepositLimits, Vault, WithdrawRequest, address, defaults, instruction};

use super::state::{accrued, read};
use crate::{
    args::Amount,
    error::program_error,
    print::{self, Decimals, List},
    session::Session,
};

#[derive(Args)]
pub struct Deposit {
    vault: Address,
    #[arg(long)]
    amount: Amount,
    /// Fail if the deposit buys fewer shares [default: 0.1% less than it would buy now]
    #[arg(long, value_name = "AMOUNT")]
    min_shares: Option<Amount>,
    /// Fail if the pending losses exceed this; the deposit bears its part of them [default: 0.1% of the
    /// vault's capital]
    #[arg(long, value_name = "AMOUNT")]
    max_pending_losses: Option<Amount>,
    /// Token account that pays [default: the signer's associated token account]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

impl Deposit {
    pub async fn run(self, session: &Session) -> Result<()> {
        let (state, decimals) = read(session, &self.vault).await?;
        let amount = self.amount.units(decimals.tokens)?;
        let (accrued, _) = accrued(session, &state).await?;
        let max_pending_losses = match &self.max_pending_losses {
            Some(losses) => losses.units(decimals.tokens)?,
            None => defaults::max_pending_losses(&accrued),
        };
        ensure!(
            accrued.pending_losses <= max_pending_losses,
            "{} of losses are pending, and the deposit would bear its part: wait until they are borne, \
             or accept them with --max-pending-losses",
            print::scaled(accrued.pending_losses.into(), decimals.tokens)
        );
        let limits = DepositLimits {
            min_shares: match &self.min_shares {
                Some(shares) => shares.units(decimals.shares)?,
                None => defaults::min_shares(&accrued, amount, max_pending_losses)
                    .map_err(program_error)?,
            },
            revision: state.revision,
            max_pending_losses,
        };
        let source = session.source_account(
            self.source,
            &state.mint,
            state.token_program,
            amount,
            decimals.tokens,
        );
        let source = source.await?;
        let owner = session.signer()?;
        let instructions = [
            instruction::create_share_account(&owner, &owner, &state),
            instruction::deposit(owner, self.vault, &state, source, amount, limits),
        ];
        session.send(&instructions, decimals).await
    }
}

pub async fn request(session: &Session, vault: Address, shares: Option<Amount>) -> Result<()> {
    let (state, decimals) = read(session, &vault).await?;
    let owner = session.signer()?;
    let account = address::share_account(&owner, &state);
    let balance = session.client.token_balance(&account).await?;
    let shares = match shares {
        Some(shares) => shares.units(decimals.shares)?,
        None => balance,
    };
    ensure!(
        shares <= balance,
        "insufficient shares: token account {account} of {owner} has {}; request at most that many",
        print::scaled(balance.into(), decimals.shares)
    );
    let request = instruction::request_withdraw(owner, vault, &state, shares);
    session.send(&[request], decimals).await
}

pub async fn cancel(session: &Session, vault: Address) -> Result<()> {
    let owner = session.signer()?;
    let request = RequestArgs {
        vault,
        owner: Some(owner),
    };
    let (state, _, _, decimals) = request.read(session).await?;
    let instructions = [
        instruction::create_share_account(&owner, &owner, &state),
        instruction::cancel_withdraw(owner, vault, &state),
    ];
    session.send(&instructions, decimals).await
}

/// Identifies a withdrawal request.
#[derive(Args)]
pub struct RequestArgs {
    vault: Address,
    /// Owner of the request [default: the signer]
    #[arg(long, value_name = "KEY")]
    owner: Option<Address>,
}

impl RequestArgs {
    /// Reads the vault and the request. Returns them with the request's owner and the decimals of
    /// their amounts and shares.
    async fn read(&self, session: &Session) -> Result<(Vault, WithdrawRequest, Address, Decimals)> {
        let (state, decimals) = read(session, &self.vault).await?;
        let owner = session.or_signer(self.owner)?;
        let address = address::withdraw_request(&self.vault, &owner);
        let request = session.client.find(&address).await?;
        let request = request.with_context(|| {
            format!(
                "{owner} has no withdrawal request to vault {}, or it is paid already; check both \
                 addresses",
                self.vault
            )
        })?;
        Ok((state, request, owner, decimals))
    }

    pub async fn withdraw(self, session: &Session) -> Result<()> {
        let (state, mut request, owner, decimals) = self.read(session).await?;
        let (mut accrued, now) = accrued(session, &state).await?;
        let paid = accrued.withdraw(&mut request, now).map_err(program_error)?;
        let mut instructions = vec![];
        // A payment of 0 needs no token account.
        if 0 < paid {
            instructions.push(session.create_token_account(
                &owner,
                &state.mint,
                state.token_program,
            )?);
        }
        instructions.push(instruction::withdraw(owner, self.vault, &state));
        session.send(&instructions, decimals).await
    }

    pub async fn show(self, session: &Session) -> Result<()> {
        let (state, request, owner, decimals) = self.read(session).await?;
        let address = address::withdraw_request(&self.vault, &owner);
        let account = print::to_decoded(&request)?;
        let text = print::account_text(&address, &account, decimals);
        let (accrued, _) = accrued(session, &state).await?;
        let value = accrued.requested(&request) + accrued.worth(request.shares);
        let value = print::scaled(value.into(), decimals.tokens);
        let json = print::account_json(&address, &account);
        session.print(&json, &format!("{text}current value  {value}"))
    }
}

pub async fn list(session: &Session, vault: Option<Address>, owner: Option<Address>) -> Result<()> {
    let filters = [
        (offset_of!(WithdrawRequest, vault), vault),
        (offset_of!(WithdrawRequest, owner), owner),
    ];
    let mut list = List::new(&[
        "vault",
        "owner",
        "value",
        "shares",
        "unlock_at",
        "lapses_at",
    ]);
    for (address, request) in session.list::<WithdrawRequest>(&filters).await? {
        let (_, decimals) = read(session, &request.vault).await?;
        list.push(&address, &request, decimals)?;
    }
    session.print_list(&list)
}
