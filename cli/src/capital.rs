//! Capital of liquidity providers, in and out of a vault.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result, ensure};
use clap::Args;
use driftshield_sdk::{Vault, WithdrawRequest, address, instruction};

use crate::{
    args::Amount,
    print::{self, Decimals},
    send::{Session, program_error},
    vault,
};

/// A deposit may buy less than the vault's state says by this part of it: until it lands, premium
/// streams and makes shares dearer.
const TOLERANCE: u64 = 1_000;

#[derive(Args)]
pub struct Deposit {
    vault: Address,
    #[arg(long)]
    amount: Amount,
    /// Refuse if it buys fewer shares [default: what it would buy now less 0.1%]
    #[arg(long, value_name = "AMOUNT")]
    min_shares: Option<Amount>,
    /// Token account that pays [default: the owner's associated one]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

impl Deposit {
    pub async fn run(self, session: &Session) -> Result<()> {
        let (state, decimals) = vault::read(session, &self.vault).await?;
        let amount = self
            .amount
            .units(decimals.tokens)
            .map_err(anyhow::Error::msg)?;
        let min_shares = match &self.min_shares {
            Some(shares) => shares.units(decimals.shares).map_err(anyhow::Error::msg)?,
            None => {
                let (mut now, _) = vault::accrued(session, &state).await?;
                let listings = now.listings;
                let shares = now.deposit(amount, 0, listings).map_err(program_error)?;
                shares - shares.div_ceil(TOLERANCE)
            }
        };
        let source = session.source(
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
            instruction::deposit(owner, self.vault, &state, source, amount, min_shares),
        ];
        session.send(&instructions, decimals).await
    }
}

pub async fn request(session: &Session, vault: Address, shares: Option<Amount>) -> Result<()> {
    let (state, decimals) = vault::read(session, &vault).await?;
    let owner = session.signer()?;
    let account = address::share_account(&owner, &state);
    let held = session.client.token_balance(&account).await?;
    let shares = match shares {
        Some(shares) => shares.units(decimals.shares).map_err(anyhow::Error::msg)?,
        None => held,
    };
    ensure!(
        0 < held && shares <= held,
        "{owner} holds {} shares of this vault, in {account}: ask no more of them back",
        print::scaled(held.into(), decimals.shares)
    );
    let request = instruction::request_withdraw(owner, vault, &state, shares);
    session.send(&[request], decimals).await
}

pub async fn cancel(session: &Session, vault: Address) -> Result<()> {
    let owner = session.signer()?;
    let at = At {
        vault,
        owner: Some(owner),
    };
    let (state, _, _, decimals) = at.read(session).await?;
    let instructions = [
        instruction::create_share_account(&owner, &owner, &state),
        instruction::cancel_withdraw(owner, vault, &state),
    ];
    session.send(&instructions, decimals).await
}

/// Which request.
#[derive(Args)]
pub struct At {
    vault: Address,
    /// [default: the signer]
    #[arg(long, value_name = "KEY")]
    owner: Option<Address>,
}

impl At {
    /// The vault, the request, its owner, and the decimals of their amounts and shares.
    async fn read(&self, session: &Session) -> Result<(Vault, WithdrawRequest, Address, Decimals)> {
        let (state, decimals) = vault::read(session, &self.vault).await?;
        let owner = session.or_signer(self.owner)?;
        let address = address::withdraw_request(&self.vault, &owner);
        let request = session.client.find(&address).await?;
        let request = request.with_context(|| {
            format!("{owner} has asked no shares of this vault back, or was paid already")
        })?;
        Ok((state, request, owner, decimals))
    }

    pub async fn withdraw(self, session: &Session) -> Result<()> {
        let (state, mut request, owner, decimals) = self.read(session).await?;
        let (mut now, time) = vault::accrued(session, &state).await?;
        let (paid, _) = now.withdraw(&mut request, time).map_err(program_error)?;
        let mut instructions = vec![];
        // Shares that are worth nothing end without a token account.
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
        let account = print::describe(&request)?;
        let text = print::account_text(&address, &account, decimals);
        let (now, _) = vault::accrued(session, &state).await?;
        let worth = request.value.min(now.worth(request.shares));
        let worth = print::scaled(worth.into(), decimals.tokens);
        let json = print::account_json(&address, &account);
        session.print(&json, &format!("{text}worth now  {worth}"))
    }
}

pub async fn list(session: &Session, vault: Option<Address>, owner: Option<Address>) -> Result<()> {
    let vault = vault.map(|vault| (offset_of!(WithdrawRequest, vault), vault));
    let owner = owner.map(|owner| (offset_of!(WithdrawRequest, owner), owner));
    let filters: Vec<_> = vault.into_iter().chain(owner).collect();
    let names = ["vault", "owner", "shares", "value", "unlock_at"];
    let mut list = print::List::new(&names);
    for (address, request) in session.client.list::<WithdrawRequest>(&filters).await? {
        let (_, decimals) = vault::read(session, &request.vault).await?;
        list.push(&address, &print::describe(&request)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
