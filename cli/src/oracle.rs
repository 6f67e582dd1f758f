//! Oracles' seats on models, and their bonds.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result};
use clap::Subcommand;
use driftshield_sdk::{Model, Seat, address, instruction};

use crate::{args::Amount, print::List, session::Session};

#[derive(Subcommand)]
pub enum Command {
    /// Add to the bond on a model (signed by the oracle). The first bond creates the seat
    Bond {
        model: Address,
        #[arg(long)]
        amount: Amount,
        /// Token account that pays [default: the oracle's associated token account]
        #[arg(long, value_name = "TOKEN_ACCOUNT")]
        source: Option<Address>,
    },
    /// Start unbonding an amount (signed by the oracle)
    Unbond {
        model: Address,
        #[arg(long)]
        amount: Amount,
    },
    /// Start leaving a model (signed by the oracle). After the model's leave_secs the bond can be
    /// unbonded whatever is at risk; until then the seat goes on counting and secures no new risk
    Leave { model: Address },
    /// Pay an unbonded amount to the oracle's associated token account; callable by anyone
    Withdraw {
        model: Address,
        /// The oracle [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Pay an oracle's reward to its associated token account; callable by anyone
    Collect {
        model: Address,
        /// The oracle [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Take an oracle's open penalties from its seat; callable by anyone
    Sync {
        model: Address,
        /// The oracle [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Close a seat without a bond that no open receipt can need; callable by anyone
    CloseSeat {
        model: Address,
        /// The oracle [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// Show a seat
    Show {
        model: Address,
        /// The oracle [default: the signer]
        #[arg(long, value_name = "KEY")]
        oracle: Option<Address>,
    },
    /// List seats
    List {
        /// Only seats on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only seats of this oracle
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
                let amount = amount.units(decimals)?;
                let oracle = session.signer()?;
                read_seat(session, &model, &oracle).await?;
                let unbond = instruction::request_unbond(oracle, model, amount);
                session.send(&[unbond], decimals).await
            }
            Self::Leave { model } => {
                let (_, decimals) = read(session, &model).await?;
                let leave = instruction::leave_seat(session.signer()?, model);
                session.send(&[leave], decimals).await
            }
            Self::Withdraw { model, oracle } => withdraw(session, model, oracle).await,
            Self::Collect { model, oracle } => collect(session, model, oracle).await,
            Self::Sync { model, oracle } => {
                let (_, decimals) = read(session, &model).await?;
                let oracle = session.or_signer(oracle)?;
                read_seat(session, &model, &oracle).await?;
                let sync = instruction::sync_seat(oracle, model);
                session.send(&[sync], decimals).await
            }
            Self::CloseSeat { model, oracle } => {
                let oracle = session.or_signer(oracle)?;
                read_seat(session, &model, &oracle).await?;
                let close = instruction::close_seat(oracle, model);
                session.send(&[close], 0).await
            }
            Self::Show { model, oracle } => {
                let (_, decimals) = read(session, &model).await?;
                let oracle = session.or_signer(oracle)?;
                let seat = read_seat(session, &model, &oracle).await?;
                session.print_account(&address::seat(&model, &oracle), &seat, decimals)
            }
            Self::List { model, oracle } => list(session, model, oracle).await,
        }
    }
}

/// Reads a model and the decimals of its amounts.
async fn read(session: &Session, model: &Address) -> Result<(Model, u8)> {
    let state: Model = session.client.get(model).await?;
    let decimals = session.decimals(&state.bond_mint).await?;
    Ok((state, decimals))
}

async fn read_seat(session: &Session, model: &Address, oracle: &Address) -> Result<Seat> {
    let seat = session.client.find(&address::seat(model, oracle)).await?;
    seat.with_context(|| {
        format!("{oracle} has no seat on model {model}; create one with `driftshield oracle bond`")
    })
}

async fn bond(
    session: &Session,
    model: Address,
    amount: Amount,
    source: Option<Address>,
) -> Result<()> {
    let (state, decimals) = read(session, &model).await?;
    let amount = amount.units(decimals)?;
    let oracle = session.signer()?;
    let mint = &state.bond_mint;
    let source = session
        .source_account(source, mint, state.token_program, amount, decimals)
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

async fn collect(session: &Session, model: Address, oracle: Option<Address>) -> Result<()> {
    let (state, decimals) = read(session, &model).await?;
    let oracle = session.or_signer(oracle)?;
    let index = state
        .oracle_index(&oracle)
        .with_context(|| format!("{oracle} is not an oracle of model {model}"))?;
    let instructions = [
        session.create_token_account(&oracle, &state.bond_mint, state.token_program)?,
        instruction::collect_reward(model, &state, index),
    ];
    session.send(&instructions, decimals).await
}

async fn list(session: &Session, model: Option<Address>, oracle: Option<Address>) -> Result<()> {
    let keys = [
        (offset_of!(Seat, model), model),
        (offset_of!(Seat, oracle), oracle),
    ];
    let mut list = List::new(&[
        "oracle",
        "bonded",
        "unbonding",
        "release_at",
        "submissions",
        "slashes",
        "model",
    ]);
    for (address, seat) in session.list::<Seat>(&keys).await? {
        let (_, decimals) = read(session, &seat.model).await?;
        list.push(&address, &seat, decimals)?;
    }
    session.print_list(&list)
}
