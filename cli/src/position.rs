//! Positions: stakes in markets.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::Result;
use clap::Subcommand;
use driftshield_sdk::{Position, address};

use crate::{
    error::program_error,
    market,
    print::{self, List},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Show an owner's stakes in a market
    Show {
        market: Address,
        /// Owner of the position [default: the signer]
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
    /// List positions
    List {
        /// Only positions in this market
        #[arg(long)]
        market: Option<Address>,
        /// Only positions of this owner
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
    let account = print::to_decoded(&position)?;
    let mut text = print::account_text(&address, &account, decimals);
    if state.is_settled() {
        let payout = state.clone().claim(&position).map_err(program_error)?;
        text += &format!("claimable  {}", print::scaled(payout.into(), decimals));
    }
    session.print(&print::account_json(&address, &account), &text)
}

async fn list(session: &Session, market: Option<Address>, owner: Option<Address>) -> Result<()> {
    let keys = [
        (offset_of!(Position, market), market),
        (offset_of!(Position, owner), owner),
    ];
    let mut list = List::new(&["market", "owner", "stakes", "asks"]);
    for (address, position) in session.list::<Position>(&keys).await? {
        let (_, decimals) = market::read(session, &position.market).await?;
        list.push(&address, &position, decimals)?;
    }
    session.print_list(&list)
}
