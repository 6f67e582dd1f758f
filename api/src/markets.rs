//! Markets: what is bet on the drift of a model, at what odds, and how it ended.

use chrono::{DateTime, Utc};
use driftshield_sdk::math;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, Row, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    events::{self, Event, HistoryQuery},
    models::LIFE,
    page::{self, Limit, List, Order, Page},
    positions::{self, Position},
    problem::{Problem, ProblemBody},
    read::{InPath, InQuery, MinSlot, Read, Reply, Turn},
    values::{Columns, Key, Scaled, U64, ratio},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(odds))
        .routes(routes!(positions))
        .routes(routes!(history))
}

/// A market on the bucket that a model's drift will fall in. Amounts are in its mint.
#[derive(Serialize, ToSchema)]
pub struct Market {
    pub key: String,
    pub creator: String,
    /// Number that the creator gave it.
    pub id: U64,
    pub model: String,
    /// The model's version that the market is on.
    pub model_version: i64,
    pub question: String,
    pub mint: String,
    pub decimals: u8,
    pub vault: String,
    /// Names the terms in a bet.
    pub terms_hash: String,
    /// How the observed windows make one value: `max`, `last` or `mean`.
    #[schema(example = "max")]
    pub aggregate: String,
    /// Ascending; outcome `i` is the drift from threshold `i - 1` to under threshold `i`.
    pub thresholds: Vec<Scaled>,
    pub first_window: U64,
    pub last_window: U64,
    /// The next window to settle.
    pub next_window: U64,
    /// Windows with a final receipt so far.
    pub observed: U64,
    /// The largest, the latest, or the sum of the observed values.
    pub accumulator: Scaled,
    /// No bets from here on.
    pub closes_at: Option<DateTime<Utc>>,
    pub protocol_fee_bps: i32,
    pub creator_fee_bps: i32,
    pub outcomes: Vec<Outcome>,
    /// All stakes ever bet.
    pub total: Scaled,
    pub state: State,
    /// What won; null unless the market is resolved.
    pub outcome: Option<i16>,
    /// What the observed windows made; null unless the market is resolved.
    pub value: Option<Scaled>,
    /// The losers' stakes less fees; null unless the market is resolved.
    pub winnings: Option<Scaled>,
    pub settled_at: Option<DateTime<Utc>>,
    pub settled_slot: Option<i64>,
    /// What the vault owes.
    pub owed: Scaled,
    /// Positions that are not claimed yet.
    pub positions: U64,
    /// Fees not collected yet.
    pub protocol_credit: Scaled,
    pub creator_credit: Scaled,
    /// Number of events that spoke of it.
    pub event_count: U64,
    /// When it was made; null where the history doesn't reach back so far.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Whether the account is gone from the chain.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
    /// The event that made it; 0 where the history doesn't reach back so far.
    #[serde(skip)]
    pub created_seq: i64,
    #[serde(skip)]
    sort_key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = MarketState)]
pub enum State {
    /// Takes bets until it closes, then waits for its windows.
    Open,
    /// An outcome has won.
    Resolved,
    /// Every stake is refunded.
    Void,
    /// Closed without a bet.
    Cancelled,
}

/// A bucket that can be bet on.
#[derive(Serialize, ToSchema)]
pub struct Outcome {
    /// The lowest drift in it.
    pub from: Scaled,
    /// The lowest drift over it; null for the last one.
    pub to: Option<Scaled>,
    #[serde(flatten)]
    pub odds: Odds,
}

/// What is bet on an outcome, and what it pays as things stand.
#[derive(Serialize, ToSchema)]
pub struct Odds {
    pub outcome: u8,
    /// Everybody's stakes on it.
    pub pool: Scaled,
    /// Its part of all stakes, to six places; null where there are none.
    #[schema(example = "0.25")]
    pub share: Option<String>,
    /// What a stake on it would be paid, in stakes; null where there is none on it.
    pub multiple: Option<Scaled>,
}

/// What turns the pools of a market into odds.
#[derive(Clone, Copy)]
pub struct Pricing {
    pub decimals: u8,
    pub protocol_fee_bps: u16,
    pub creator_fee_bps: u16,
}

impl Pricing {
    /// Of a row that has the market's columns.
    pub fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let bps = |name| {
            let bps: i32 = row.try_get(name)?;
            u16::try_from(bps).map_err(|error| sqlx::Error::ColumnDecode {
                index: String::from(name),
                source: error.into(),
            })
        };
        Ok(Self {
            decimals: Columns::new(row)?.decimals,
            protocol_fee_bps: bps("protocol_fee_bps")?,
            creator_fee_bps: bps("creator_fee_bps")?,
        })
    }

    /// By outcome, by the arithmetic of the program.
    pub fn odds(&self, pools: &[U64]) -> Vec<Odds> {
        // A market's total fits 64 bits.
        let total = pools
            .iter()
            .fold(0_u64, |sum, pool| sum.saturating_add(pool.0));
        (0..)
            .zip(pools)
            .map(|(outcome, &U64(pool))| {
                let losing = total - pool;
                let fees = math::fee(losing, self.protocol_fee_bps)
                    .saturating_add(math::fee(losing, self.creator_fee_bps));
                let multiple = || math::multiple(pool, losing.saturating_sub(fees));
                Odds {
                    outcome,
                    pool: Scaled::new(pool, self.decimals),
                    share: ratio(pool, total),
                    multiple: (pool != 0).then(|| Scaled::multiple(multiple())),
                }
            })
            .collect()
    }
}

impl FromRow<'_, PgRow> for Market {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let market = Columns::new(row)?;
        let state: State = market.get("final_state")?;
        let resolved = state == State::Resolved;
        let thresholds = market.drifts("thresholds", market.count("threshold_count")?)?;
        let mut pools: Vec<U64> = market.get("pools")?;
        pools.truncate(thresholds.len() + 1);
        let odds = Pricing::of(row)?.odds(&pools);
        Ok(Self {
            key: market.get("address")?,
            creator: market.get("creator")?,
            id: market.get("id")?,
            model: market.get("model")?,
            model_version: market.get("model_version")?,
            question: market.get("question")?,
            mint: market.get("mint")?,
            decimals: market.decimals,
            vault: market.get("vault")?,
            terms_hash: market.get("terms_hash")?,
            aggregate: market.get("aggregate")?,
            outcomes: outcomes(&thresholds, odds),
            thresholds,
            first_window: market.get("first_window")?,
            last_window: market.get("last_window")?,
            next_window: market.get("next_window")?,
            observed: market.get("final_observed")?,
            accumulator: market.drift("accumulator")?,
            closes_at: market.time("close_ts")?,
            protocol_fee_bps: market.get("protocol_fee_bps")?,
            creator_fee_bps: market.get("creator_fee_bps")?,
            total: market.amount("total")?,
            state,
            outcome: resolved.then(|| market.get("final_outcome")).transpose()?,
            value: resolved.then(|| market.drift("final_value")).transpose()?,
            winnings: resolved
                .then(|| market.amount("final_winnings"))
                .transpose()?,
            settled_at: market.get("settled_at")?,
            settled_slot: market.get("settled_slot")?,
            owed: market.amount_left("owed")?,
            positions: market.left("positions")?,
            protocol_credit: market.amount_left("protocol_credit")?,
            creator_credit: market.amount_left("creator_credit")?,
            event_count: market.get("seq")?,
            created_at: market.get("created_at")?,
            created_slot: market.get("created_slot")?,
            closed: market.closed()?,
            closed_slot: market.get("closed_slot")?,
            slot: market.get("slot")?,
            created_seq: market.get("created_seq")?,
            sort_key: market.get("sort_text")?,
        })
    }
}

fn outcomes(thresholds: &[Scaled], odds: Vec<Odds>) -> Vec<Outcome> {
    let mut bounds = thresholds.iter().cloned();
    let mut from = Scaled::drift(0);
    odds.into_iter()
        .map(|odds| {
            let to = bounds.next();
            let next = to.clone().unwrap_or_else(|| from.clone());
            Outcome {
                from: std::mem::replace(&mut from, next),
                to,
                odds,
            }
        })
        .collect()
}

/// Markets as `m`, each with how it ended: an account that is closed in the slot in which it
/// settles is never seen settled, so the event that settled it is preferred.
fn select(sort_key: &str) -> String {
    format!(
        "select m.*, m.sort_key::text as sort_text from (
           select m.*, coalesce(life.seq, 0) as created_seq,
                  life.slot as created_slot, life.block_time as created_at,
                  s.slot as settled_slot, s.block_time as settled_at,
                  case when s.state is not null then s.state
                       when m.state <> 'open' then m.state
                       when m.closed_slot is not null then 'cancelled'
                       else 'open' end as final_state,
                  coalesce(s.outcome, m.outcome) as final_outcome,
                  coalesce(s.value, m.value) as final_value,
                  coalesce(s.observed, m.observed) as final_observed,
                  coalesce(s.winnings, m.winnings) as final_winnings,
                  ({sort_key})::numeric as sort_key
           from chain.market m {LIFE}
           left join lateral (
             select * from chain.settlement s
             where s.market = m.address and s.seq >= coalesce(life.seq, 0)
             order by s.seq desc limit 1) s on true
         ) m where true"
    )
}

const NEWEST: &str = "coalesce(life.seq, 0)";
const CLOSING: &str = "m.close_ts";

/// What was staked by the time of an event, in whole tokens. Where the history doesn't reach back to
/// a market's first bet, what is staked now.
fn volume(as_of: i64) -> String {
    format!(
        "coalesce(
           (select sum(pool) from unnest((
              select o.pools from chain.odds o
              where o.market = m.address and o.seq >= coalesce(life.seq, 0) and o.seq <= {as_of}
              order by o.seq desc limit 1)) pool),
           case when life.seq is null then m.total else 0 end
         ) / power(10::numeric, m.decimals)"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    model: Option<Key>,
    creator: Option<Key>,
    #[param(inline)]
    state: Option<State>,
    /// Only those that take no bets from this time on (RFC 3339).
    closing_before: Option<DateTime<Utc>>,
    /// Only those that take bets beyond this time (RFC 3339).
    closing_after: Option<DateTime<Utc>>,
    #[serde(default)]
    #[param(inline, value_type = Option<Sort>)]
    sort: Sort,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// Most staked first, as of the first page's `seq`: a bet between two pages moves nothing.
    Volume,
    /// Those that close first.
    Closing,
}

impl ListQuery {
    pub fn of_model(model: Key, cursor: Option<String>, limit: Limit) -> Self {
        Self {
            model: Some(model),
            cursor,
            limit,
            ..Self::new()
        }
    }

    /// The open markets, as many as a page takes.
    pub fn open() -> Self {
        Self {
            state: Some(State::Open),
            limit: Limit::MAX,
            ..Self::new()
        }
    }

    fn new() -> Self {
        Self {
            model: None,
            creator: None,
            state: None,
            closing_before: None,
            closing_after: None,
            sort: Sort::Newest,
            cursor: None,
            limit: Limit::default(),
        }
    }
}

pub async fn page(read: &mut Read, query: &ListQuery) -> Result<Page<Market>, Problem> {
    let list = List::new("markets", query);
    // With the event as of which the list is sorted.
    let end: Option<(page::End, i64)> = list.key(query.cursor.as_deref())?;
    let as_of = end.as_ref().map_or(read.seq(), |(_, as_of)| *as_of);
    let (sort_key, order) = match query.sort {
        Sort::Newest => (NEWEST.to_owned(), Order::Descending),
        Sort::Volume => (volume(as_of), Order::Descending),
        Sort::Closing => (CLOSING.to_owned(), Order::Ascending),
    };
    let mut sql = QueryBuilder::new(select(&sort_key));
    if query.sort == Sort::Volume {
        sql.push(" and m.created_seq <= ").push_bind(as_of);
    }
    if let Some(model) = &query.model {
        sql.push(" and m.model = ").push_bind(model.as_str());
    }
    if let Some(creator) = &query.creator {
        sql.push(" and m.creator = ").push_bind(creator.as_str());
    }
    if let Some(state) = query.state {
        sql.push(" and m.final_state = ").push_bind(state);
    }
    if let Some(time) = query.closing_before {
        sql.push(" and m.close_ts < ").push_bind(time.timestamp());
    }
    if let Some(time) = query.closing_after {
        sql.push(" and m.close_ts > ").push_bind(time.timestamp());
    }
    page::push_after(&mut sql, end.map(|(end, _)| end), order, query.limit);
    let markets: Vec<Market> = sql.build_query_as().fetch_all(&mut *read.tx).await?;
    Ok(Page::new(markets, query.limit, &list, |market| {
        ((market.sort_key.clone(), market.key.clone()), as_of)
    }))
}

/// Markets. Rows are as they are now; sorted by volume, their order is that of the first page.
#[utoipa::path(
    get,
    path = "/markets",
    tag = "markets",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Market>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    _turn: Turn,
    mut read: Read,
) -> Result<Reply<Page<Market>>, Problem> {
    let page = page(&mut read, &query).await?;
    read.reply(page).await
}

/// The market at an address: the latest where there were several.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Market>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select(NEWEST)))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Market, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::missing("market", key))
}

/// One market.
#[utoipa::path(
    get,
    path = "/markets/{market}",
    tag = "markets",
    params(("market" = Key, Path, description = "Its address"), MinSlot),
    responses(
        (status = 200, body = Market),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut read: Read) -> Result<Reply<Market>, Problem> {
    let market = require(&mut read.tx, &key).await?;
    read.reply(market).await
}

/// The odds of a market, now and after each bet.
#[derive(Serialize, ToSchema)]
struct MarketOdds {
    market: String,
    total: Scaled,
    now: Vec<Outcome>,
    /// After each bet, the newest first.
    history: Page<PastOdds>,
}

/// The odds after a bet.
#[derive(Serialize, ToSchema)]
struct PastOdds {
    /// Of the event of the bet.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
    outcomes: Vec<Odds>,
}

impl FromRow<'_, PgRow> for PastOdds {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let mut pools: Vec<U64> = columns.get("pools")?;
        pools.truncate(columns.count("threshold_count")? + 1);
        Ok(Self {
            seq: columns.get("seq")?,
            slot: columns.get("slot")?,
            time: columns.get("block_time")?,
            outcomes: Pricing::of(row)?.odds(&pools),
        })
    }
}

/// Odds now and over time.
#[utoipa::path(
    get,
    path = "/markets/{market}/odds",
    tag = "markets",
    params(("market" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = MarketOdds),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn odds(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<MarketOdds>, Problem> {
    let market = require(&mut read.tx, &key).await?;
    let list = List::new("odds", &key);
    let before = list.key(query.cursor.as_deref())?;
    let past: Vec<PastOdds> = sqlx::query_as(
        "select o.seq, o.slot, o.block_time, o.pools,
                m.threshold_count, m.decimals, m.protocol_fee_bps, m.creator_fee_bps
         from chain.odds o join chain.market m on m.address = o.market
         where o.market = $1 and $2 <= o.seq and o.seq < $3
         order by o.seq desc limit $4",
    )
    .bind(key.as_str())
    .bind(market.created_seq)
    .bind(before.unwrap_or(i64::MAX))
    .bind(query.limit.rows())
    .fetch_all(&mut *read.tx)
    .await?;
    let odds = MarketOdds {
        market: market.key,
        total: market.total,
        now: market.outcomes,
        history: Page::new(past, query.limit, &list, |past| past.seq),
    };
    read.reply(odds).await
}

/// Who has bet on a market, with stakes by outcome and what was paid.
#[utoipa::path(
    get,
    path = "/markets/{market}/positions",
    tag = "markets",
    params(("market" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn positions(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<Page<Position>>, Problem> {
    let market = require(&mut read.tx, &key).await?;
    let page = positions::of_market(&mut read.tx, &key, &market, &query).await?;
    read.reply(page).await
}

/// The events of a market, the newest first.
#[utoipa::path(
    get,
    path = "/markets/{market}/history",
    tag = "markets",
    params(("market" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<Page<Event>>, Problem> {
    require(&mut read.tx, &key).await?;
    let page = events::history(&mut read.tx, &key, &query).await?;
    read.reply(page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICING: Pricing = Pricing {
        decimals: 6,
        protocol_fee_bps: 200,
        creator_fee_bps: 100,
    };

    #[test]
    fn odds_are_what_the_program_would_pay() {
        let odds = PRICING.odds(&[U64(3_000_000), U64(1_000_000), U64(0)]);
        let multiples = odds.iter().map(|odds| odds.multiple.as_ref());
        let multiples: Vec<_> = multiples.map(|m| m.map(|m| m.scaled.as_str())).collect();
        // 3.0 of 4.0 lose: 3 % of them are fees, and 2.91 go to 1.0.
        assert_eq!(multiples, [Some("1.323"), Some("3.91"), None]);
        let shares: Vec<_> = odds.iter().map(|odds| odds.share.as_deref()).collect();
        assert_eq!(shares, [Some("0.75"), Some("0.25"), Some("0")]);
    }

    #[test]
    fn a_market_without_bets_has_no_shares() {
        let odds = PRICING.odds(&[U64(0), U64(0)]);
        assert!(
            odds.iter()
                .all(|odds| odds.share.is_none() && odds.multiple.is_none())
        );
    }

    #[test]
    fn outcomes_lie_between_thresholds() {
        let thresholds = [Scaled::drift(100_000), Scaled::drift(250_000)];
        let outcomes = outcomes(&thresholds, PRICING.odds(&[U64(0); 3]));
        let bounds: Vec<_> = outcomes
            .iter()
            .map(|outcome| {
                let to = outcome.to.as_ref().map(|to| to.scaled.as_str());
                (outcome.from.scaled.as_str(), to)
            })
            .collect();
        assert_eq!(
            bounds,
            [("0", Some("0.1")), ("0.1", Some("0.25")), ("0.25", None)]
        );
    }
}
