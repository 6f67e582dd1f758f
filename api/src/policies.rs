//! Policies: cover that somebody bought on a model, what it was paid, and how it ended.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    models::LIFE,
    page::{self, Limit, List, Order, Page},
    problem::{Problem, ProblemBody},
    read::{InPath, InQuery, MinSlot, Read, Reply, Turn},
    values::{Columns, Key, Scaled, U64, from_text},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Cover on a model. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
pub struct Policy {
    pub key: String,
    pub vault: String,
    pub model: String,
    /// The model's version when it was bought.
    pub model_version: i64,
    pub holder: String,
    /// Number that the holder gave it.
    pub id: U64,
    pub mint: String,
    pub decimals: u8,
    pub state: State,
    /// The most that it pays.
    pub cover: Scaled,
    /// All that it was paid.
    pub paid: Scaled,
    /// What came back of its premiums; null unless it was cancelled.
    pub refund: Option<Scaled>,
    /// Drift from which on it pays.
    pub trigger: Scaled,
    /// Drift from which on it pays all of its cover.
    pub exhaustion: Scaled,
    /// Windows in a row that the trigger has to hold for.
    pub persistence: i16,
    pub first_window: U64,
    pub last_window: U64,
    /// When the first covered window begins.
    pub covered_from: Option<DateTime<Utc>>,
    /// When the last covered window ends.
    pub covered_until: Option<DateTime<Utc>>,
    /// From when on it can no longer be claimed.
    pub expires_at: Option<DateTime<Utc>>,
    /// Windows of a term.
    pub windows: U64,
    /// All premiums paid.
    pub premium: Scaled,
    /// What streams of the last purchase or renewal.
    pub term: Term,
    /// What streams of the one before; null where there was none.
    pub previous_term: Option<Term>,
    /// Whether anyone may renew it at the holder's expense.
    pub auto_renew: bool,
    /// No renewal costs more.
    pub max_premium: Scaled,
    /// Part of what a cancellation would give back that it doesn't.
    pub cancel_fee_bps: i32,
    /// Number of events that spoke of it.
    pub event_count: U64,
    /// When it was bought; null where the history doesn't reach back so far.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_slot: Option<i64>,
    /// Whether the account is gone from the chain: `state`, `paid` and `refund` are what it came to,
    /// the rest is how it was last seen.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
    /// The event that made it; 0 where the history doesn't reach back so far.
    #[serde(skip)]
    created_seq: i64,
    #[serde(skip)]
    sort_key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = PolicyState)]
pub enum State {
    /// Can be claimed.
    Open,
    /// All of its cover was paid.
    Paid,
    /// The holder gave it up.
    Cancelled,
    /// It ended with cover left.
    Expired,
}

/// The vault's part of a premium, and the time that it was paid for.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyTerm)]
pub struct Term {
    pub streamed: Scaled,
    pub start: Option<DateTime<Utc>>,
    /// When the last window that it pays for ends.
    pub end: Option<DateTime<Utc>>,
}

/// As the mirror holds it.
#[derive(Deserialize)]
struct MirroredTerm {
    part: U64,
    #[serde(deserialize_with = "from_text")]
    start: i64,
    #[serde(deserialize_with = "from_text")]
    end: i64,
}

impl Term {
    /// `None` for all zeros.
    fn of(row: &Columns, name: &str) -> Result<Option<Self>, sqlx::Error> {
        let term: MirroredTerm = row.nested(name)?;
        Ok((term.end != 0).then(|| Self {
            streamed: Scaled::new(term.part.0, row.decimals),
            start: DateTime::from_timestamp(term.start, 0),
            end: DateTime::from_timestamp(term.end, 0),
        }))
    }
}

impl FromRow<'_, PgRow> for Policy {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let policy = Columns::new(row)?;
        let state: State = policy.get("final_state")?;
        let (first_window, last_window): (U64, U64) =
            (policy.get("first_window")?, policy.get("last_window")?);
        let covered_until = policy.window_start(last_window.0.checked_add(1))?;
        let claimable = TimeDelta::try_seconds(policy.get("claimable_secs")?);
        let term = Term::of(&policy, "term")?;
        Ok(Self {
            key: policy.get("address")?,
            vault: policy.get("vault")?,
            model: policy.get("model")?,
            model_version: policy.get("model_version")?,
            holder: policy.get("holder")?,
            id: policy.get("id")?,
            mint: policy.get("mint")?,
            decimals: policy.decimals,
            state,
            cover: policy.amount("cover")?,
            paid: policy.amount("final_paid")?,
            refund: (state == State::Cancelled)
                .then(|| policy.amount("refund"))
                .transpose()?,
            trigger: policy.drift("trigger")?,
            exhaustion: policy.drift("exhaustion")?,
            persistence: policy.get("persistence")?,
            first_window,
            last_window,
            covered_from: policy.window_start(Some(first_window.0))?,
            covered_until,
            expires_at: covered_until
                .zip(claimable)
                .and_then(|(end, claimable)| end.checked_add_signed(claimable)),
            windows: policy.get("windows")?,
            premium: policy.amount("premium")?,
            term: term.ok_or_else(|| sqlx::Error::ColumnNotFound("term".to_owned()))?,
            previous_term: Term::of(&policy, "previous_term")?,
            auto_renew: policy.get("auto_renew")?,
            max_premium: policy.amount("max_premium")?,
            cancel_fee_bps: policy.get("cancel_fee_bps")?,
            event_count: policy.get("seq")?,
            created_at: policy.get("created_at")?,
            created_slot: policy.get("created_slot")?,
            ended_at: policy.get("ended_at")?,
            ended_slot: policy.get("ended_slot")?,
            closed: policy.closed()?,
            closed_slot: policy.get("closed_slot")?,
            slot: policy.get("slot")?,
            created_seq: policy.get("created_seq")?,
            sort_key: policy.get("sort_text")?,
        })
    }
}

/// Policies as `m`, each with how it ended: an account that is closed in the slot in which it is
/// paid is never seen paid.
fn select() -> String {
    format!(
        "select m.*, m.sort_key::text as sort_text from (
           select m.*, v.mint, v.decimals, k.genesis, k.window_secs,
                  k.submit_secs + k.challenge_secs + k.ruling_secs + m.claim_grace_secs
                    as claimable_secs,
                  coalesce(life.seq, 0) as created_seq, coalesce(life.seq, 0)::numeric as sort_key,
                  life.slot as created_slot, life.block_time as created_at,
                  e.slot as ended_slot, e.block_time as ended_at, e.refund,
                  coalesce(e.state, 'open') as final_state,
                  coalesce(e.paid, m.paid) as final_paid
           from chain.policy m
           join chain.vault v on v.address = m.vault
           join chain.model k on k.address = m.model {LIFE}
           left join lateral (
             select * from chain.policy_end e
             where e.policy = m.address and e.seq >= coalesce(life.seq, 0)
             order by e.seq desc limit 1) e on true
         ) m where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    holder: Option<Key>,
    vault: Option<Key>,
    model: Option<Key>,
    #[param(inline)]
    state: Option<State>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

/// Policies, the newest first.
#[utoipa::path(
    get,
    path = "/insurance/policies",
    tag = "insurance",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Policy>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    _turn: Turn,
    mut read: Read,
) -> Result<Reply<Page<Policy>>, Problem> {
    let list = List::new("policies", &query);
    let mut sql = QueryBuilder::new(select());
    for (column, key) in [
        ("holder", &query.holder),
        ("vault", &query.vault),
        ("model", &query.model),
    ] {
        if let Some(key) = key {
            sql.push(format!(" and m.{column} = "))
                .push_bind(key.as_str());
        }
    }
    if let Some(state) = query.state {
        sql.push(" and m.final_state = ").push_bind(state);
    }
    let end = list.key(query.cursor.as_deref())?;
    page::push_after(&mut sql, end, Order::Descending, query.limit);
    let policies: Vec<Policy> = sql.build_query_as().fetch_all(&mut *read.tx).await?;
    let page = Page::new(policies, query.limit, &list, |policy| {
        (policy.sort_key.clone(), policy.key.clone())
    });
    read.reply(page).await
}

/// A policy with what it was paid.
#[derive(Serialize, ToSchema)]
pub struct PolicyWithPayouts {
    #[serde(flatten)]
    policy: Policy,
    /// In their order.
    payouts: Vec<Payout>,
}

/// Paid for a run of windows at or over the trigger.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyPayout)]
struct Payout {
    amount: Scaled,
    /// The first window of the run.
    first_window: U64,
    /// The lowest drift of the run.
    value: Scaled,
    /// The token account that was paid.
    destination: String,
    /// Of the event.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for Payout {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let payout = Columns::new(row)?;
        Ok(Self {
            amount: payout.amount("amount")?,
            first_window: payout.get("first_window")?,
            value: payout.drift("value")?,
            destination: payout.get("destination")?,
            seq: payout.get("seq")?,
            slot: payout.get("slot")?,
            time: payout.get("block_time")?,
        })
    }
}

/// The policy at an address: the latest where there were several.
pub async fn find(
    db: &mut PgConnection,
    key: &Key,
) -> Result<Option<PolicyWithPayouts>, sqlx::Error> {
    let policy: Option<Policy> = sqlx::query_as(&format!("{} and m.address = $1", select()))
        .bind(key.as_str())
        .fetch_optional(&mut *db)
        .await?;
    let Some(policy) = policy else {
        return Ok(None);
    };
    // Each is of a window that no other is of, so that they are few.
    let payouts = sqlx::query_as(
        "select p.*, v.decimals
         from chain.policy_payout p join chain.vault v on v.address = p.vault
         where p.policy = $1 and $2 <= p.seq
         order by p.seq",
    )
    .bind(key.as_str())
    .bind(policy.created_seq)
    .fetch_all(db)
    .await?;
    Ok(Some(PolicyWithPayouts { policy, payouts }))
}

/// One policy, with what it was paid.
#[utoipa::path(
    get,
    path = "/insurance/policies/{policy}",
    tag = "insurance",
    params(("policy" = Key, Path, description = "Its address"), MinSlot),
    responses(
        (status = 200, body = PolicyWithPayouts),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    mut read: Read,
) -> Result<Reply<PolicyWithPayouts>, Problem> {
    let policy = find(&mut read.tx, &key)
        .await?
        .ok_or_else(|| Problem::missing("policy", &key))?;
    read.reply(policy).await
}
