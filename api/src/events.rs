//! Events of the program: all of them, and those of one account.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, types::Json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page, Pager},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::push_equals,
    state::AppState,
    values::Key,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Event of the program.
#[derive(Clone, FromRow, Serialize, ToSchema)]
pub struct Event {
    /// Mirror-wide sequence number: from 1, without gaps, in the order of the chain.
    pub seq: i64,
    pub slot: i64,
    /// Time of the event's block.
    #[serde(rename = "time")]
    #[sqlx(rename = "block_time")]
    pub time: Option<DateTime<Utc>>,
    /// Signature of the transaction.
    pub signature: String,
    /// Index of the transaction in its block.
    pub transaction_index: i64,
    /// Index of the outer instruction in the transaction.
    pub instruction_index: i32,
    /// Index of the event among the inner instructions of the outer instruction.
    pub event_index: i32,
    /// Name of the event; null, like `body`, if the indexer could not decode the event.
    #[schema(example = "BetPlaced")]
    pub name: Option<String>,
    /// Accounts that the event references: those whose event counter the event advances. Empty if
    /// the indexer could not decode the event.
    #[schema(value_type = Vec<EventAccount>)]
    pub accounts: Json<Vec<EventAccount>>,
    /// Fields of the event, described in docs/events.md.
    pub body: Option<Value>,
}

/// Account that an event references.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Numbered)]
pub struct EventAccount {
    pub account: String,
    /// Number of the event among the account's events: from 1, without gaps. Starts at 1 again if
    /// the account is closed and created again.
    #[schema(example = "7")]
    pub number: String,
}

/// SQL columns of an [`Event`]; `e` is `chain.event`.
pub const COLUMNS: &str = "e.seq, e.slot, e.block_time, e.signature, e.transaction_index,
    e.instruction_index, e.event_index, e.name, e.body,
    (select coalesce(
        jsonb_agg(jsonb_build_object('account', a.account, 'number', a.number::text) order by a.account),
        '[]')
     from chain.event_account a where a.seq = e.seq) as accounts";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventFilter {
    /// Only events with this name, such as `BetPlaced`.
    name: Option<String>,
    /// Only events that reference this account.
    account: Option<Key>,
}

/// All events, newest first.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(ListQuery<EventFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<EventFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Event>>, Problem> {
    let EventFilter { name, account } = &query.filter;
    if let Some(name) = name
        && !driftshield_sdk::Event::NAMES.contains(&name.as_str())
    {
        return Err(Problem::BadRequest(format!(
            "unknown event `{name}`; docs/events.md lists all events"
        )));
    }
    let pager = query.pager("events");
    let mut sql = select(account.as_ref(), pager.after()?);
    push_equals(&mut sql, "e.name", name.as_ref());
    let page = page(&mut snapshot.tx, sql, &pager).await?;
    snapshot.reply(page).await
}

/// The event with the given sequence number.
#[utoipa::path(
    get,
    path = "/events/{seq}",
    tag = "events",
    params(("seq" = i64, Path, description = "Sequence number of the event"), MinSlot),
    responses(
        (status = 200, body = Event),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(seq): InPath<i64>, mut snapshot: Snapshot) -> Result<Reply<Event>, Problem> {
    let event = sqlx::query_as(&format!(
        "select {COLUMNS} from chain.event e where e.seq = $1"
    ))
    .bind(seq)
    .fetch_optional(&mut *snapshot.tx)
    .await?
    .ok_or_else(|| Problem::NotFound {
        resource: "event",
        key: seq.to_string(),
    })?;
    snapshot.reply(event).await
}

/// Events that reference `account`, newest first.
pub async fn of_account(
    db: &mut PgConnection,
    account: &Key,
    query: &ListQuery,
) -> Result<Page<Event>, Problem> {
    let pager = query.pager(("history", account));
    let sql = select(Some(account), pager.after()?);
    page(db, sql, &pager).await
}

/// Starts a query for all events, or only for those that reference `account`. The caller appends
/// further conditions. `after` is the `seq` of the last event on the previous page.
fn select<'a>(account: Option<&'a Key>, after: Option<i64>) -> QueryBuilder<'a, Postgres> {
    let mut sql = QueryBuilder::new(format!("select {COLUMNS}"));
    let Some(account) = account else {
        sql.push(" from chain.event e where true");
        return sql;
    };
    sql.push(" from chain.event_account o join chain.event e on e.seq = o.seq where o.account = ")
        .push_bind(account.as_str());
    if let Some(after) = after {
        // The pager limits `e.seq`. Postgres does not infer this limit of `o.seq` from the join,
        // and would read the account's later events too.
        sql.push(" and o.seq < ").push_bind(after);
    }
    sql
}

async fn page(
    db: &mut PgConnection,
    sql: QueryBuilder<'_, Postgres>,
    pager: &Pager,
) -> Result<Page<Event>, Problem> {
    let order = Order::descending(&["e.seq"]);
    pager.fetch(db, sql, order, |event: &Event| event.seq).await
}
