//! Sales of stakes: asks, and purchases from them.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Context, Result, bail};
use clap::Args;
use driftshield_sdk::{
    Ask, Market, Model, Position, address,
    instruction::{self, Purchase},
};

use super::read;
use crate::{
    args::{Amount, Multiple, Time},
    error::program_error,
    session::Session,
};

#[derive(Args)]
pub struct SetAsk {
    market: Address,
    /// Index of the outcome
    #[arg(long, value_name = "N")]
    outcome: u8,
    /// Part of the stake to sell; 0 removes the ask
    #[arg(long)]
    amount: Amount,
    /// Lowest payment for each staked token; not needed to remove the ask
    #[arg(long)]
    price: Option<Multiple>,
    /// Time at which the ask ends [default: the next end of an observed window]
    #[arg(long, value_name = "TIME")]
    until: Option<Time>,
}

impl SetAsk {
    pub async fn run(self, session: &Session) -> Result<()> {
        let (state, decimals) = read(session, &self.market).await?;
        let ask = match self.amount.units(decimals)? {
            0 => Ask::default(),
            amount => self.ask(session, &state, amount).await?,
        };
        let owner = session.signer()?;
        let set = instruction::set_ask(owner, self.market, &state, self.outcome, ask);
        session.send(&[set], decimals).await
    }

    async fn ask(&self, session: &Session, state: &Market, amount: u64) -> Result<Ask> {
        let Some(price) = self.price else {
            bail!("--price is missing: give the lowest payment for each staked token");
        };
        let model: Model = session.client.get(&state.model).await?;
        let valid_until = match self.until {
            Some(time) => time.resolve(&session.client).await?,
            None => {
                let now = session.client.unix_timestamp().await?;
                let latest = state.latest_ask_end(&model, now);
                latest.map_err(program_error)?
            }
        };
        Ok(Ask {
            amount,
            valid_until,
            price: thousandths(price)?,
            reports: model.reports,
        })
    }
}

#[derive(Args)]
pub struct Buy {
    market: Address,
    /// Index of the outcome
    #[arg(long, value_name = "N")]
    outcome: u8,
    /// Stake to buy
    #[arg(long)]
    amount: Amount,
    /// Highest payment for each staked token
    #[arg(long, value_name = "PRICE")]
    max_price: Multiple,
    /// Owner of the position to buy from [default: that of the cheapest ask of at least this amount]
    #[arg(long, value_name = "KEY")]
    seller: Option<Address>,
    /// Token account that pays [default: the signer's associated token account]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

impl Buy {
    pub async fn run(self, session: &Session) -> Result<()> {
        let (state, decimals) = read(session, &self.market).await?;
        let model: Model = session.client.get(&state.model).await?;
        let amount = self.amount.units(decimals)?;
        let position = self.position(session, &state, &model, amount).await?;
        let buyer = session.signer()?;
        let seller = position.owner;
        if seller == buyer {
            bail!("the position is the signer's own: buy from another --seller");
        }
        let outcome = usize::from(self.outcome);
        let price = position.asks.get(outcome).map_or(0, |ask| ask.price);
        // A payment that does not fit is left to the program to refuse.
        let payment = driftshield_sdk::math::ask_payment(amount, price).unwrap_or(u64::MAX);
        let (mint, program) = (&state.mint, state.token_program);
        let source = session
            .source_account(self.source, mint, program, payment, decimals)
            .await?;
        let purchase = Purchase {
            outcome: self.outcome,
            amount,
            max_price: thousandths(self.max_price)?,
            reports: model.reports,
        };
        let buy = instruction::buy_position(buyer, self.market, &state, source, seller, purchase);
        let create = session.create_token_account(&seller, mint, program)?;
        session.send(&[create, buy], decimals).await
    }

    /// The seller's position; without `--seller`, the one with the cheapest ask that is large enough.
    async fn position(
        &self,
        session: &Session,
        state: &Market,
        model: &Model,
        amount: u64,
    ) -> Result<Position> {
        if let Some(seller) = self.seller {
            let position = address::position(&self.market, &seller);
            return Ok(session.client.get(&position).await?);
        }
        let (outcome, signer) = (usize::from(self.outcome), session.signer()?);
        let standing = standing_asks(session, &self.market, state, model).await?;
        let cheapest = standing
            .into_iter()
            .filter(|(index, position)| {
                *index == outcome
                    && position.owner != signer
                    && amount <= position.asks[outcome].amount
            })
            .min_by_key(|(_, position)| position.asks[outcome].price);
        let (_, position) = cheapest.context(
            "nobody sells that much of the outcome: buy less, or see the asks with `position list \
             --market`",
        )?;
        Ok(position)
    }
}

/// The asks of a market that have not fallen: the index of the outcome, and the position.
pub async fn standing_asks(
    session: &Session,
    market: &Address,
    state: &Market,
    model: &Model,
) -> Result<Vec<(usize, Position)>> {
    if state.is_settled() {
        return Ok(vec![]);
    }
    let now = session.client.unix_timestamp().await?;
    let in_market = [(offset_of!(Position, market), Some(*market))];
    let mut standing = vec![];
    for (_, position) in session.list::<Position>(&in_market).await? {
        for (outcome, ask) in position.asks.iter().enumerate() {
            if ask.amount != 0 && !ask.has_fallen(model, now) {
                standing.push((outcome, position));
            }
        }
    }
    Ok(standing)
}

fn thousandths(Multiple(price): Multiple) -> Result<u32> {
    u32::try_from(price).context("the price is too high: at most 4294967.295 for each staked token")
}
