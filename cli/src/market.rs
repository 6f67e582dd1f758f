//! Markets on a model's drift.

mod sales;

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{
    Aggregate, FeePayee, Market, MarketState, MarketTerms, Model, Position, address, defaults,
    instruction,
};

use crate::{
    args::{Amount, DRIFT_DECIMALS, Drift, MULTIPLE_DECIMALS, Multiple, Time},
    error::program_error,
    print::{self, List},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Create a market on a model (signed by the creator)
    Create(Create),
    /// Bet on an outcome
    Bet(Bet),
    /// Offer a part of a stake for sale, in place of the previous ask on the outcome
    Ask(sales::SetAsk),
    /// Buy a part of another bettor's stake
    Buy(sales::Buy),
    /// Settle all windows that are decided; callable by anyone
    Settle { market: Address },
    /// Pay a position of a settled market to its owner and close it; callable by anyone
    Claim {
        market: Address,
        /// Owner of the position [default: the signer]
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
    /// Pay out a fee of a resolved market; callable by anyone
    Collect {
        market: Address,
        #[arg(long, value_enum)]
        payee: FeePayeeName,
    },
    /// Close a settled market without positions and fees; callable by anyone
    Close { market: Address },
    /// Cancel a market without bets. Until betting closes, only its creator can
    Cancel { market: Address },
    /// Show a market, and the payout and the cheapest ask of its outcomes
    Show { market: Address },
    /// List markets
    List {
        /// Only markets on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only markets of this creator
        #[arg(long, value_name = "KEY")]
        creator: Option<Address>,
    },
}

#[derive(Args)]
pub struct Create {
    #[arg(long)]
    model: Address,
    /// Id of the market, unique for its creator
    #[arg(long)]
    id: u64,
    /// Question, at most 128 bytes
    #[arg(long)]
    question: String,
    /// 1 to 7 drift values, ascending, which separate the outcomes
    #[arg(long, value_name = "DRIFT,...", value_delimiter = ',', required = true)]
    thresholds: Vec<Drift>,
    /// Function of the observed windows' drift that determines the outcome
    #[arg(long, value_enum)]
    aggregate: AggregateName,
    /// First observed window
    #[arg(long, value_name = "WINDOW")]
    first: u64,
    /// Last observed window
    #[arg(long, value_name = "WINDOW")]
    last: u64,
    /// Fewest observed windows with a final value; with fewer, all stakes are refunded [default: four
    /// fifths of the windows, rounded up]
    #[arg(long, value_name = "N")]
    min_observed: Option<u64>,
    /// End of betting, at or before the start of the first window [default: its start]
    #[arg(long, value_name = "TIME")]
    close: Option<Time>,
    /// The creator's share of losing stakes, in basis points
    #[arg(long, value_name = "BPS", default_value_t = 0)]
    creator_fee_bps: u16,
    /// Fail if the model has another version [default: its current version]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

/// [`Aggregate`] as a command-line value.
#[derive(Clone, Copy, ValueEnum)]
enum AggregateName {
    Max,
    Last,
    Mean,
}

impl From<AggregateName> for Aggregate {
    fn from(name: AggregateName) -> Self {
        match name {
            AggregateName::Max => Self::Max,
            AggregateName::Last => Self::Last,
            AggregateName::Mean => Self::Mean,
        }
    }
}

#[derive(Args)]
pub struct Bet {
    market: Address,
    /// Index of the outcome; 0 is the lowest drift
    #[arg(long, value_name = "N")]
    outcome: u8,
    #[arg(long)]
    amount: Amount,
    /// Fail if the outcome's current payout is less than this multiple of the stake
    #[arg(long, default_value = "1")]
    min_multiple: Multiple,
    /// Highest security rent to pay beside the stake [default: the rent now, which only falls]
    #[arg(long, value_name = "AMOUNT")]
    max_rent: Option<Amount>,
    /// Token account that pays [default: the signer's associated token account]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

/// [`FeePayee`] as a command-line value.
#[derive(Clone, Copy, ValueEnum)]
pub enum FeePayeeName {
    Treasury,
    Creator,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Bet(bet) => bet.run(session).await,
            Self::Ask(ask) => ask.run(session).await,
            Self::Buy(buy) => buy.run(session).await,
            Self::Settle { market } => settle(session, market).await,
            Self::Claim { market, owner } => claim(session, market, owner).await,
            Self::Collect { market, payee } => collect(session, market, payee).await,
            Self::Close { market } => {
                let (state, decimals) = read(session, &market).await?;
                let close = instruction::close_market(market, &state);
                session.send(&[close], decimals).await
            }
            Self::Cancel { market } => {
                let (state, decimals) = read(session, &market).await?;
                let creator_signs = state.creator == session.signer()?;
                let cancel = instruction::cancel_market(market, &state, creator_signs);
                session.send(&[cancel], decimals).await
            }
            Self::Show { market } => show(session, market).await,
            Self::List { model, creator } => list(session, model, creator).await,
        }
    }
}

/// Reads a market and the decimals of its amounts.
pub async fn read(session: &Session, market: &Address) -> Result<(Market, u8)> {
    let state: Market = session.client.get(market).await?;
    let decimals = session.scale(state.decimals);
    Ok((state, decimals))
}

impl Create {
    async fn run(self, session: &Session) -> Result<()> {
        let model: Model = session.client.get(&self.model).await?;
        let close_ts = match self.close {
            Some(time) => time.resolve(&session.client).await?,
            None => model.window_start(self.first).map_err(program_error)?,
        };
        let terms = MarketTerms {
            model_version: self.model_version.unwrap_or(model.version),
            thresholds: self.thresholds.iter().map(|&Drift(value)| value).collect(),
            aggregate: self.aggregate.into(),
            first_window: self.first,
            last_window: self.last,
            min_observed: self
                .min_observed
                .unwrap_or_else(|| defaults::min_observed(self.first, self.last)),
            close_ts,
            creator_fee_bps: self.creator_fee_bps,
            question: self.question,
        };
        let creator = session.signer()?;
        let mint = model.bond_mint;
        let create = instruction::create_market(creator, self.id, self.model, &model, terms);
        session
            .send(&[create], session.decimals(&mint).await?)
            .await
    }
}

impl Bet {
    async fn run(self, session: &Session) -> Result<()> {
        let (state, decimals) = read(session, &self.market).await?;
        let amount = self.amount.units(decimals)?;
        let max_rent = match self.max_rent {
            Some(max_rent) => max_rent.units(decimals)?,
            None => rent_now(session, &state, amount).await?,
        };
        let source = session.source_account(
            self.source,
            &state.mint,
            state.token_program,
            amount.saturating_add(max_rent),
            decimals,
        );
        let bet = instruction::place_bet(
            session.signer()?,
            self.market,
            &state,
            source.await?,
            instruction::Bet {
                outcome: self.outcome,
                amount,
                min_multiple: self.min_multiple.0,
                max_rent,
            },
        );
        session.send(&[bet], decimals).await
    }
}

/// The security rent of a bet of `amount` now.
async fn rent_now(session: &Session, market: &Market, amount: u64) -> Result<u64> {
    let model: Model = session.client.get(&market.model).await?;
    let now = session.client.unix_timestamp().await?;
    let (rent, _) = market.rent(&model, amount, now).map_err(program_error)?;
    Ok(rent)
}

async fn settle(session: &Session, market: Address) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let settle = instruction::settle_market(market, &state);
    session.send(&[settle], decimals).await
}

async fn claim(session: &Session, market: Address, owner: Option<Address>) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let owner = session.or_signer(owner)?;
    let position = session
        .client
        .find::<Position>(&address::position(&market, &owner))
        .await?;
    let Some(position) = position else {
        bail!(
            "{owner} has no position in market {market}, or it is claimed already; check both \
             addresses"
        );
    };
    let mut instructions = vec![];
    // A payout of 0 needs no token account.
    if 0 < state.clone().claim(&position).map_err(program_error)? {
        let create = session.create_token_account(&owner, &state.mint, state.token_program)?;
        instructions.push(create);
    }
    instructions.push(instruction::claim(owner, market, &state));
    session.send(&instructions, decimals).await
}

async fn collect(session: &Session, market: Address, payee: FeePayeeName) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let mut instructions = vec![];
    let payee = match payee {
        FeePayeeName::Treasury => FeePayee::Treasury,
        FeePayeeName::Creator => {
            instructions.push(session.create_token_account(
                &state.creator,
                &state.mint,
                state.token_program,
            )?);
            FeePayee::Creator
        }
    };
    instructions.push(instruction::collect_fees(market, &state, payee));
    session.send(&instructions, decimals).await
}

async fn show(session: &Session, address: Address) -> Result<()> {
    let (state, decimals) = read(session, &address).await?;
    let mut account = print::to_decoded(&state)?;
    let json = print::account_json(&address, &account);
    if state.state != MarketState::Resolved {
        // Only a resolved market has an outcome and a value.
        account.fields.remove("outcome");
        account.fields.remove("value");
    }
    let text = print::account_text(&address, &account, decimals);
    let model: Model = session.client.get(&state.model).await?;
    let asks = sales::standing_asks(session, &address, &state, &model).await?;
    session.print(
        &json,
        &format!("{text}\n{}", outcomes_text(&state, &asks, decimals)),
    )
}

/// A table of the outcomes: drift values, pool, current payout as a multiple of the stake, and the
/// cheapest ask.
fn outcomes_text(state: &Market, asks: &[(usize, Position)], decimals: u8) -> String {
    let header = ["outcome", "drift", "pool", "pays", "cheapest ask"].map(str::to_owned);
    let rows = (0..state.outcomes()).map(|outcome| {
        let pays = match state.pools[outcome] {
            0 => print::NONE.to_owned(),
            _ => print::scaled(state.multiple(outcome).into(), MULTIPLE_DECIMALS),
        };
        let pool = print::scaled(state.pools[outcome].into(), decimals);
        let asks = asks.iter().filter(|(index, _)| *index == outcome);
        let cheapest = asks
            .map(|(_, position)| position.asks[outcome])
            .min_by_key(|ask| ask.price);
        let ask = cheapest.map_or(print::NONE.to_owned(), |ask| {
            let amount = print::scaled(ask.amount.into(), decimals);
            let price = print::scaled(ask.price.into(), MULTIPLE_DECIMALS);
            format!("{amount} at {price}")
        });
        let drift = drift_range(state, outcome);
        [outcome.to_string(), drift, pool, pays, ask]
    });
    print::aligned(std::iter::once(header).chain(rows))
}

/// Drift values for which the market resolves to `outcome`.
fn drift_range(state: &Market, outcome: usize) -> String {
    let thresholds = &state.thresholds[..usize::from(state.threshold_count)];
    let drift = |value: u64| print::scaled(value.into(), DRIFT_DECIMALS);
    match (outcome.checked_sub(1), thresholds.get(outcome)) {
        (Some(below), Some(&above)) => {
            format!("{} up to {}", drift(thresholds[below]), drift(above))
        }
        (None, Some(&above)) => format!("under {}", drift(above)),
        (Some(below), None) => format!("{} or more", drift(thresholds[below])),
        (None, None) => "any".to_owned(),
    }
}

async fn list(session: &Session, model: Option<Address>, creator: Option<Address>) -> Result<()> {
    let keys = [
        (offset_of!(Market, model), model),
        (offset_of!(Market, creator), creator),
    ];
    let mut markets = session.list::<Market>(&keys).await?;
    markets.sort_by_key(|(_, market)| market.close_ts);
    let mut list = List::new(&[
        "state",
        "close_ts",
        "thresholds",
        "total",
        "pools",
        "question",
    ]);
    for (address, market) in markets {
        list.push(&address, &market, session.scale(market.decimals))?;
    }
    session.print_list(&list)
}
