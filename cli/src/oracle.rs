//! Oracles' seats on models, and the bonds in them.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Subcommand;
use driftshield_sdk::{Model, Seat, address, instruction};

use crate::{args::Amount, print, send::Session};

#[derive(Subcommand)]
pub enum Command {
    /// Add to the bond on a model; the first takes the seat: signed by the oracle
    Bond {
        model: Address,
        #[arg(long)]
        amount: Amount,
        /// Token account that pays [default: the oracle's associated one]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    /// Ask an amount of the bond back: signed by the oracle
    Unbond {
        model: Address,
        #[arg(long)]
        amount: Amount,
    },
    /// Pay an oracle what has unbonded, to its associated token account: anyone
    Withdraw {
        model: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Close an empty seat that nothing depends on: anyone
    CloseSeat {
        model: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Show a seat
    Show {
        model: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// List seats
    List {
        /// Only on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only this oracle's
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Bond {
                model,
                amount,
                source,
            } => bond(session, model, amount, source).await,
            Self::Unbond { model, amount } => {
                let (_, decimals) = read(session, &model).await?;
                let amount = amount.units(decimals).map_err(anyhow::Error::msg)?;
                let oracle = session.signer()?;
                read_seat(session, &model, &oracle).await?;
                let unbond = instruction::request_unbond(oracle, model, amount);
                session.send(&[unbond], decimals).await
            }
            Self::Withdraw { model, oracle } => withdraw(session, model, oracle).await,
            Self::CloseSeat { model, oracle } => {
                let oracle = session.or_signer(oracle)?;
                read_seat(session, &model, &oracle).await?;
                let close = instruction::close_seat(oracle, model);
                session.send(&[close], 0).await
            }
            Self::Show { model, oracle } => {
                let (_, decimals) = read(session, &model).await?;
                let oracle = session.or_signer(oracle)?;
                let address = address::seat(&model, &oracle);
                let seat = print::describe(&read_seat(session, &model, &oracle).await?)?;
                let json = print::account_json(&address, &seat);
                session.print(&json, &print::account_text(&address, &seat, decimals))
            }
            Self::List { model, oracle } => list(session, model, oracle).await,
        }
    }
}

/// The model, and the decimals of its amounts.
async fn read(session: &Session, model: &Address) -> Result<(Model, u8)> {
    let state: Model = session.client.get(model).await?;
    let decimals = session.decimals(&state.bond_mint).await?;
    Ok((state, decimals))
}

async fn read_seat(session: &Session, model: &Address, oracle: &Address) -> Result<Seat> {
    let seat = session.client.find(&address::seat(model, oracle)).await?;
    seat.with_context(|| {
        format!("{oracle} has no seat on this model: it takes one by `driftshield oracle bond`")
    })
}

async fn bond(
    session: &Session,
    model: Address,
    amount: Amount,
    source: Option<Address>,
) -> Result<()> {
    let (state, decimals) = read(session, &model).await?;
    let amount = amount.units(decimals).map_err(anyhow::Error::msg)?;
    let oracle = session.signer()?;
    let mint = &state.bond_mint;
    let source = session
        .source(source, mint, state.token_program, amount, decimals)
        .await?;
    let bond = instruction::bond(oracle, model, &state, source, amount);
    session.send(&[bond], decimals).await
}

async fn withdraw(session: &Session, model: Address, oracle: Option<Address>) -> Result<()> {
    let (state, decimals) = read(session, &model).await?;
    let oracle = session.or_signer(oracle)?;
    read_seat(session, &model, &oracle).await?;
    let instructions = [
        session.create_token_account(&oracle, &state.bond_mint, state.token_program)?,
        instruction::withdraw_bond(oracle, model, &state),
    ];
    session.send(&instructions, decimals).await
}

async fn list(session: &Session, model: Option<Address>, oracle: Option<Address>) -> Result<()> {
    let model = model.map(|model| (offset_of!(Seat, model), model));
    let oracle = oracle.map(|oracle| (offset_of!(Seat, oracle), oracle));
    let filters: Vec<_> = model.into_iter().chain(oracle).collect();
    let names = [
        "oracle",
        "bonded",
        "unbonding",
        "release_at",
        "submissions",
        "slashes",
        "model",
    ];
    let mut list = print::List::new(&names);
    for (address, seat) in session.client.list::<Seat>(&filters).await? {
        let (_, decimals) = read(session, &seat.model).await?;
        list.push(&address, &print::describe(&seat)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
