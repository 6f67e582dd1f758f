//! Events: what happened, in the order in which it was applied.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, types::Json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    page::{self, Limit, List, Page},
    problem::{Problem, ProblemBody},
    read::{InPath, InQuery, MinSlot, Read, Reply},
    values::Key,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Something that the program told.
#[derive(Clone, FromRow, Serialize, ToSchema)]
pub struct Event {
    /// Its number among all events: without gaps, in the order of the chain.
    pub seq: i64,
    pub slot: i64,
    /// When its block was made.
    #[serde(rename = "time")]
    #[sqlx(rename = "block_time")]
    pub time: Option<DateTime<Utc>>,
    /// Of the transaction.
    pub signature: String,
    /// Position of the transaction in its block.
    pub transaction_index: i64,
    /// Position of the instruction in the transaction.
    pub instruction_index: i32,
    /// Position of the event in the instruction.
    pub event_index: i32,
    /// Null, like the body, where this version doesn't know the event.
    #[schema(example = "BetPlaced")]
    pub name: Option<String>,
    /// The accounts that it speaks of.
    #[schema(value_type = Vec<Numbered>)]
    pub accounts: Json<Vec<Numbered>>,
    /// Its fields: docs/events.md says what each is.
    pub body: Option<Value>,
}

/// An account that an event speaks of.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Numbered {
    pub account: String,
    /// Number of the event among those of the account: from 1, without gaps.
    #[schema(example = "7")]
    pub number: String,
}

/// The columns of an [`Event`], of `chain.event` as `e`.
pub const COLUMNS: &str = "e.seq, e.slot, e.block_time, e.signature, e.transaction_index,
    e.instruction_index, e.event_index, e.name, e.body,
    (select coalesce(
        jsonb_agg(jsonb_build_object('account', a.account, 'number', a.number::text) order by a.account),
        '[]')
     from chain.event_account a where a.seq = e.seq) as accounts";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only events of this name, such as `BetPlaced`.
    name: Option<String>,
    /// Only events that speak of this account.
    account: Option<Key>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

/// All events, the newest first.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    mut read: Read,
) -> Result<Reply<Page<Event>>, Problem> {
    let known = |name: &str| driftshield_sdk::Event::NAMES.contains(&name);
    if let Some(name) = query.name.as_deref().filter(|name| !known(name)) {
        return Err(Problem::BadRequest(format!(
            "there is no event `{name}`: docs/events.md names them all"
        )));
    }
    let list = List::new("events", &query);
    let after = list.key(query.cursor.as_deref())?;
    let mut sql = QueryBuilder::new("");
    select(&mut sql, query.account.as_ref().map(Key::as_str), after);
    if let Some(name) = &query.name {
        sql.push(" and e.name = ").push_bind(name);
    }
    let page = page(&mut read.tx, sql, &list, query.limit).await?;
    read.reply(page).await
}

/// One event by its number.
#[utoipa::path(
    get,
    path = "/events/{seq}",
    tag = "events",
    params(("seq" = i64, Path, description = "The event's number"), MinSlot),
    responses(
        (status = 200, body = Event),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(seq): InPath<i64>, mut read: Read) -> Result<Reply<Event>, Problem> {
    let event = sqlx::query_as(&format!(
        "select {COLUMNS} from chain.event e where e.seq = $1"
    ))
    .bind(seq)
    .fetch_optional(&mut *read.tx)
    .await?
    .ok_or_else(|| Problem::NotFound {
        what: "event",
        key: seq.to_string(),
    })?;
    read.reply(event).await
}

/// Where in a history to go on.
#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    pub cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    pub limit: Limit,
}

/// The events that speak of `account`, the newest first.
pub async fn history(
    db: &mut PgConnection,
    account: &Key,
    query: &HistoryQuery,
) -> Result<Page<Event>, Problem> {
    let list = List::new("history", &account);
    let after = list.key(query.cursor.as_deref())?;
    let mut sql = QueryBuilder::new("");
    select(&mut sql, Some(account.as_str()), after);
    page(db, sql, &list, query.limit).await
}

/// Events before `after`, and of `account` alone where one is given.
fn select<'a>(sql: &mut QueryBuilder<'a, Postgres>, account: Option<&'a str>, after: Option<i64>) {
    sql.push("select ").push(COLUMNS);
    if let Some(account) = account {
        sql.push(
            " from chain.event_account o join chain.event e on e.seq = o.seq where o.account = ",
        )
        .push_bind(account);
    } else {
        sql.push(" from chain.event e where true");
    }
    if let Some(after) = after {
        sql.push(" and e.seq < ").push_bind(after);
        if account.is_some() {
            // Postgres doesn't conclude it, and would read the account's later events as well.
            sql.push(" and o.seq < ").push_bind(after);
        }
    }
}

async fn page(
    db: &mut PgConnection,
    mut sql: QueryBuilder<'_, Postgres>,
    list: &List,
    limit: Limit,
) -> Result<Page<Event>, Problem> {
    sql.push(" order by e.seq desc limit ")
        .push_bind(limit.rows());
    let events: Vec<Event> = sql.build_query_as().fetch_all(db).await?;
    Ok(Page::new(events, limit, list, |event| event.seq))
}
