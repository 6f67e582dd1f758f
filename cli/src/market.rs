//! Markets on a model's drift, from opening to closing.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use driftshield_sdk::{
    Aggregate, FeePayee, Market, MarketState, MarketTerms, Model, Position, Receipt, address,
    instruction,
};

use crate::{
    args::{Amount, DRIFT_DECIMALS, Drift, MULTIPLE_DECIMALS, Multiple, Time},
    print,
    send::{Session, program_error},
};

/// The most windows that one transaction settles.
const MAX_WINDOWS: u64 = 25;

#[derive(Subcommand)]
pub enum Command {
    /// Open a market on a model: signed by its creator
    Create(Create),
    /// Bet on an outcome
    Bet(Bet),
    /// Settle the next windows by their receipts: anyone
    Settle {
        market: Address,
        /// How many windows, at most 25 [default: as many as are decided]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_WINDOWS))]
        windows: Option<u64>,
    },
    /// Pay a position of a settled market to its owner, and close it: anyone
    Claim {
        market: Address,
        /// [default: the signer]
        #[arg(long, value_name = "KEY")]
        owner: Option<Address>,
    },
    /// Pay a fee of a resolved market out: anyone
    Collect {
        market: Address,
        #[arg(long, value_enum)]
        payee: Payee,
    },
    /// Close a settled market that owes nobody: anyone
    Close { market: Address },
    /// End a market without bets: its creator, or anyone once betting is closed
    Cancel { market: Address },
    /// Show a market and what its outcomes pay
    Show { market: Address },
    /// List markets
    List {
        /// Only on this model
        #[arg(long)]
        model: Option<Address>,
        /// Only this creator's
        #[arg(long, value_name = "KEY")]
        creator: Option<Address>,
    },
}

#[derive(Args)]
pub struct Create {
    #[arg(long)]
    model: Address,
    /// The creator's number of the market
    #[arg(long)]
    id: u64,
    /// At most 128 bytes
    #[arg(long)]
    question: String,
    /// 1 to 7 drift values, ascending: they cut the line into outcomes
    #[arg(long, value_name = "DRIFT,...", value_delimiter = ',', required = true)]
    thresholds: Vec<Drift>,
    /// How the observed windows make one value
    #[arg(long, value_enum)]
    aggregate: AggregateName,
    /// First window observed
    #[arg(long, value_name = "WINDOW")]
    first: u64,
    /// Last window observed
    #[arg(long, value_name = "WINDOW")]
    last: u64,
    /// When betting closes, no later than the first window begins [default: when it begins]
    #[arg(long, value_name = "TIME")]
    close: Option<Time>,
    /// The creator's share of losing stakes, in hundredths of a percent
    #[arg(long, value_name = "BPS", default_value_t = 0)]
    creator_fee_bps: u16,
    /// Refuse if the model is of another version [default: the one that it is of]
    #[arg(long, value_name = "N")]
    model_version: Option<u32>,
}

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
    /// From 0, the lowest bucket
    #[arg(long, value_name = "N")]
    outcome: u8,
    #[arg(long)]
    amount: Amount,
    /// Refuse if the outcome pays less than this many times the stake, as things stand
    #[arg(long, default_value = "1")]
    min_multiple: Multiple,
    /// Token account that pays [default: the bettor's associated one]
    #[arg(long, value_name = "TOKEN_ACCOUNT")]
    source: Option<Address>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Payee {
    Treasury,
    Creator,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Bet(bet) => bet.run(session).await,
            Self::Settle { market, windows } => settle(session, market, windows).await,
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

/// The market, and the decimals of its amounts.
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
        let amount = self.amount.units(decimals).map_err(anyhow::Error::msg)?;
        let source = session.source(
            self.source,
            &state.mint,
            state.token_program,
            amount,
            decimals,
        );
        let bet = instruction::place_bet(
            session.signer()?,
            self.market,
            &state,
            source.await?,
            self.outcome,
            amount,
            self.min_multiple.0,
        );
        session.send(&[bet], decimals).await
    }
}

async fn settle(session: &Session, market: Address, windows: Option<u64>) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let windows = match windows {
        Some(windows) => windows,
        // With none decided the program says what is missing.
        None => decided(session, &state).await?.max(1),
    };
    let settle = instruction::settle_market(market, &state, windows);
    session.send(&[settle], decimals).await
}

/// How many of the next windows time has decided, as many as one transaction settles at most.
async fn decided(session: &Session, state: &Market) -> Result<u64> {
    let now = session.client.unix_timestamp().await?;
    let mut model: Model = session.client.get(&state.model).await?;
    let end = state.last_window.min(state.next_window + MAX_WINDOWS - 1);
    let mut count = 0;
    for window in state.next_window..=end {
        let receipt = address::receipt(&state.model, window);
        let settled = match session.client.find::<Receipt>(&receipt).await? {
            Some(mut receipt) => {
                receipt.advance(&mut model, now).map_err(program_error)?;
                receipt.is_settled()
            }
            None => model.submit_end(window).map_err(program_error)? <= now,
        };
        if !settled {
            break;
        }
        count += 1;
    }
    Ok(count)
}

async fn claim(session: &Session, market: Address, owner: Option<Address>) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let owner = session.or_signer(owner)?;
    let position = session
        .client
        .find::<Position>(&address::position(&market, &owner))
        .await?;
    let Some(position) = position else {
        bail!("{owner} has no position in this market, or it was claimed already");
    };
    let mut instructions = vec![];
    // A position that won nothing is closed without a token account.
    if 0 < state.clone().claim(&position).map_err(program_error)? {
        let create = session.create_token_account(&owner, &state.mint, state.token_program)?;
        instructions.push(create);
    }
    instructions.push(instruction::claim(owner, market, &state));
    session.send(&instructions, decimals).await
}

async fn collect(session: &Session, market: Address, payee: Payee) -> Result<()> {
    let (state, decimals) = read(session, &market).await?;
    let mut instructions = vec![];
    let payee = match payee {
        Payee::Treasury => FeePayee::Treasury,
        Payee::Creator => {
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
    let mut account = print::describe(&state)?;
    let json = print::account_json(&address, &account);
    if state.state != MarketState::Resolved {
        // They say nothing yet.
        account.fields.remove("outcome");
        account.fields.remove("value");
    }
    let text = print::account_text(&address, &account, decimals);
    session.print(&json, &format!("{text}\n{}", outcomes(&state, decimals)))
}

/// What each outcome means, holds and pays.
fn outcomes(state: &Market, decimals: u8) -> String {
    let rows: Vec<_> = (0..state.outcomes())
        .map(|outcome| {
            let pays = match state.pools[outcome] {
                0 => "-".to_owned(),
                _ => print::scaled(state.multiple(outcome).into(), MULTIPLE_DECIMALS),
            };
            let pool = print::scaled(state.pools[outcome].into(), decimals);
            vec![outcome.to_string(), bucket(state, outcome), pool, pays]
        })
        .collect();
    print::columns(&["outcome", "drift", "pool", "pays"], &rows)
}

/// The values that make `outcome`.
fn bucket(state: &Market, outcome: usize) -> String {
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
    let model = model.map(|model| (offset_of!(Market, model), model));
    let creator = creator.map(|creator| (offset_of!(Market, creator), creator));
    let filters: Vec<_> = model.into_iter().chain(creator).collect();
    let names = [
        "state",
        "close_ts",
        "thresholds",
        "total",
        "pools",
        "question",
    ];
    let mut list = print::List::new(&names);
    let mut markets = session.client.list::<Market>(&filters).await?;
    markets.sort_by_key(|(_, market)| market.close_ts);
    for (address, market) in markets {
        let decimals = session.scale(market.decimals);
        list.push(&address, &print::describe(&market)?, decimals);
    }
    session.print(&list.json(), &list.text())
}
