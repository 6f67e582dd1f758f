//! Events of the program: all of them, and those of one account.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr,
        schema::{Schema, Type},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::{Key, Signature},
    event_id::EventId,
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::select_by_row,
    sql::{push_equals, refuse_if},
    state::AppState,
    values::U64,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Event of the program.
#[derive(Clone, Serialize, ToSchema)]
pub struct Event {
    /// Position on the chain. Ids ascend in the order of the chain, and are the same in every mirror.
    pub id: EventId,
    pub slot: i64,
    /// Time of the event's block.
    pub time: Option<DateTime<Utc>>,
    /// Signature of the transaction.
    pub signature: Signature,
    /// Index of the transaction in its block.
    pub transaction_index: i64,
    /// Index of the outer instruction in the transaction.
    pub instruction_index: i64,
    /// Index of the event among the inner instructions of the outer instruction.
    pub event_index: i64,
    /// Name of the event; null, like `body`, if the indexer could not decode the event.
    #[schema(example = "BetPlaced")]
    pub name: Option<String>,
    /// Accounts that the event references: those whose event counter the event advances. Empty if
    /// the indexer could not decode the event.
    pub accounts: Vec<EventAccount>,
    /// Fields of the event, described in docs/events.md.
    pub body: Option<Value>,
}

/// Account that an event references.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Numbered)]
pub struct EventAccount {
    pub account: Key,
    /// Number of the event among the account's events: from 1, without gaps. Starts at 1 again if
    /// the account is closed and created again.
    #[schema(example = "7")]
    pub number: U64,
}

/// SQL columns of an [`Event`]; `e` is `chain.event`. The few accounts of an event are sorted by the
/// aggregates: `offset 0` keeps Postgres from reading all accounts in the order of an index instead.
pub const COLUMNS: &str = "e.id, e.slot, e.block_time, e.signature, e.name, e.body,
    coalesce((
      select array_agg(a.account order by a.account)
      from (select * from chain.event_account a where a.event_id = e.id offset 0) a
    ), '{}') as accounts,
    coalesce((
      select array_agg(a.number order by a.account)
      from (select * from chain.event_account a where a.event_id = e.id offset 0) a
    ), '{}') as numbers";

/// Row of `chain.event`, with its accounts: the columns [`COLUMNS`].
#[derive(FromRow)]
struct EventRow {
    id: EventId,
    slot: i64,
    block_time: Option<DateTime<Utc>>,
    signature: Signature,
    name: Option<String>,
    body: Option<Value>,
    accounts: Vec<Key>,
    numbers: Vec<U64>,
}

select_by_row!(Event, EventRow);

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let accounts = std::iter::zip(row.accounts, row.numbers);
        Self {
            id: row.id,
            slot: row.slot,
            time: row.block_time,
            signature: row.signature,
            transaction_index: row.id.transaction_index(),
            instruction_index: row.id.instruction_index(),
            event_index: row.id.event_index(),
            name: row.name,
            accounts: accounts
                .map(|(account, number)| EventAccount { account, number })
                .collect(),
            body: row.body,
        }
    }
}

/// Name of an event of the program.
#[derive(Serialize)]
struct EventName(String);

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if !driftshield_sdk::Event::NAMES.contains(&name.as_str()) {
            let names = driftshield_sdk::Event::NAMES.join(", ");
            return Err(D::Error::custom(format!("give one of {names}")));
        }
        Ok(Self(name))
    }
}

impl PartialSchema for EventName {
    fn schema() -> RefOr<Schema> {
        let names = driftshield_sdk::Event::NAMES.iter().copied();
        let object = ObjectBuilder::new().schema_type(Type::String);
        object.enum_values(Some(names)).into()
    }
}

impl ToSchema for EventName {}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventFilter {
    /// Only events with this name, such as `BetPlaced`.
    #[param(inline, value_type = Option<EventName>)]
    name: Option<EventName>,
    /// Only events that reference this account. Not together with `name`.
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
    refuse_if(
        name.is_some() && account.is_some(),
        "give `name` or `account`, not both",
    )?;
    let (mut sql, order) = select(account.as_ref());
    push_equals(
        &mut sql,
        "e.name",
        name.as_ref().map(|EventName(name)| name),
    );
    let page = query
        .pager("events", snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |event: &Event| event.id)
        .await?;
    snapshot.reply(page).await
}

/// The event with the given id.
#[utoipa::path(
    get,
    path = "/events/{id}",
    tag = "events",
    params(("id" = EventId, Path, description = "Id of the event"), MinSlot),
    responses(
        (status = 200, body = Event),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(id): InPath<EventId>, mut snapshot: Snapshot) -> Result<Reply<Event>, Problem> {
    let mut sql = QueryBuilder::new(format!("select {COLUMNS} from chain.event e where e.id = "));
    let event = sql
        .push_bind(id)
        .build_query_as()
        .fetch_optional(&mut *snapshot.tx)
        .await?
        .ok_or_else(|| Problem::not_found("event", id))?;
    snapshot.reply(event).await
}

/// Events that reference `account`, of all of its lives, newest first.
pub async fn of_account(
    snapshot: &mut Snapshot,
    account: &Key,
    query: &ListQuery,
) -> Result<Page<Event>, Problem> {
    let (sql, order) = select(Some(account));
    query
        .pager(("history", account), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |event: &Event| event.id)
        .await
}

/// Starts a query for all events, or only for those that reference `account`. The caller appends
/// further conditions.
fn select(account: Option<&Key>) -> (QueryBuilder<Postgres>, Order) {
    let mut sql = QueryBuilder::new(format!("select {COLUMNS}"));
    let Some(account) = account else {
        sql.push(" from chain.event e where true");
        return (sql, Order::descending(&["e.id"]));
    };
    // The account's events are an index range by `o.event_id`. Joined in another way, Postgres may read
    // all events and look whether they reference the account.
    sql.push(
        " from chain.event_account o
          join lateral (select * from chain.event e where e.id = o.event_id limit 1) e on true
          where o.account = ",
    )
    .push_bind(*account);
    (sql, Order::descending(&["o.event_id"]))
}
