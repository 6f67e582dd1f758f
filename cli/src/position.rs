//! Stakes in markets.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::Result;
use clap::Subcommand;
use driftshield_sdk::{Market, Position, address};

use crate::{
    market, print,
    send::{Session, program_error},
};

#[derive(Subcommand)]
pub enum Command {
    /// Show an owner's stakes in a market
    Show {
        market: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
    /// List positions
    List {
        /// Only in this market
        #[arg(long)]
        market: Option<Address>,
        /// Only this owner's
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Show { market, owner } => {
                let owner = session.or_signer(owner)?;
                show(session, market, owner).await
            }
            Self::List { market, owner } => list(session, market, owner).await,
        }
    }
}

async fn show(session: &Session, market: Address, owner: Address) -> Result<()> {
    let (state, decimals) = market::read(session, &market).await?;
    let address = address::position(&market, &owner);
    let position: Position = session.client.get(&address).await?;
    let account = print::describe(&position)?;
    let mut text = print::account_text(&address, &account, decimals);
    if state.is_settled() {
        let due = state.clone().claim(&position).map_err(program_error)?;
        text += &format!("to be claimed  {}", print::scaled(due.into(), decimals));
    }
    session.print(&print::account_json(&address, &account), &text)
}

async fn list(session: &Session, market: Option<Address>, owner: Option<Address>) -> Result<()> {
    let market = market.map(|market| (offset_of!(Position, market), market));
    let owner = owner.map(|owner| (offset_of!(Position, owner), owner));
    let filters: Vec<_> = market.into_iter().chain(owner).collect();
    let mut list = print::List::new(&["market", "owner", "stakes"]);
    for (address, position) in session.client.list::<Position>(&filters).await? {
        let state: Market = session.client.get(&position.market).await?;
        let decimals = session.scale(state.decimals);
        list.push(&address, &print::describe(&position)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
