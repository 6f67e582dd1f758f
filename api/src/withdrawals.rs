//! Withdrawals: shares that were asked back of vaults, and what became of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    models::LIFE,
    page::{self, Limit, List, Page},
    problem::{Problem, ProblemBody},
    read::{InQuery, MinSlot, Read, Reply},
    values::{Columns, Key, Scaled, U64},
    vaults,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Somebody's latest request for shares of a vault to be paid out. Amounts are in the vault's mint;
/// shares have three decimals more.
#[derive(Serialize, ToSchema)]
struct Withdrawal {
    key: String,
    vault: String,
    owner: String,
    state: State,
    /// Still asked back, in the vault's escrow.
    shares: Scaled,
    /// The most that is paid for them.
    value: Scaled,
    /// When they can be paid.
    unlock_at: Option<DateTime<Utc>>,
    /// What the request was paid so far, and for how many shares.
    paid: Scaled,
    paid_shares: Scaled,
    /// Shares that a cancellation gave back.
    returned_shares: Scaled,
    /// When it was last paid, or cancelled; null before.
    settled_at: Option<DateTime<Utc>>,
    /// Number of events that spoke of it.
    event_count: U64,
    /// When it was made; null where the history doesn't reach back so far.
    created_at: Option<DateTime<Utc>>,
    created_slot: Option<i64>,
    /// Whether the account is gone from the chain.
    closed: bool,
    closed_slot: Option<i64>,
    /// The slot that this state is from.
    slot: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = WithdrawalState)]
enum State {
    /// Shares wait in escrow.
    Open,
    /// All was paid out.
    Paid,
    /// The owner gave it up.
    Cancelled,
}

impl FromRow<'_, PgRow> for Withdrawal {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let request = Columns::new(row)?;
        let shares = |raw| vaults::shares(raw, request.decimals);
        Ok(Self {
            key: request.get("address")?,
            vault: request.get("vault")?,
            owner: request.get("owner")?,
            state: request.get("state")?,
            shares: shares(request.left("shares")?),
            value: request.amount_left("value")?,
            unlock_at: request.time("unlock_at")?,
            paid: request.amount("paid")?,
            paid_shares: shares(request.get("paid_shares")?),
            returned_shares: shares(request.get("returned_shares")?),
            settled_at: request.get("settled_at")?,
            event_count: request.get("seq")?,
            created_at: request.get("created_at")?,
            created_slot: request.get("created_slot")?,
            closed: request.closed()?,
            closed_slot: request.get("closed_slot")?,
            slot: request.get("slot")?,
        })
    }
}

/// Requests as `m`, each with what was paid since it was made: an address can be made again.
fn select() -> String {
    format!(
        "select m.*, v.decimals, life.slot as created_slot, life.block_time as created_at,
                w.paid, w.paid_shares, w.returned_shares, w.settled_at,
                case when m.closed_slot is null then 'open'
                     when w.cancelled then 'cancelled'
                     else 'paid' end as state
         from chain.withdraw_request m
         join chain.vault v on v.address = m.vault {LIFE}
         cross join lateral (
           select coalesce(sum(w.amount), 0) as paid,
                  coalesce(sum(w.shares) filter (where w.state = 'paid'), 0) as paid_shares,
                  coalesce(sum(w.returned), 0) as returned_shares,
                  coalesce(bool_or(w.state = 'cancelled'), false) as cancelled,
                  max(w.block_time) as settled_at
           from chain.withdrawal w
           where w.request = m.address and w.seq >= coalesce(life.seq, 0)) w
         where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Whose.
    owner: Option<Key>,
    vault: Option<Key>,
    /// Whether they are paid or cancelled.
    closed: Option<bool>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

/// Withdraw requests, by address: of each owner and vault the latest.
#[utoipa::path(
    get,
    path = "/insurance/withdrawals",
    tag = "insurance",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Withdrawal>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    mut read: Read,
) -> Result<Reply<Page<Withdrawal>>, Problem> {
    let list = List::new("withdrawals", &query);
    let mut sql = QueryBuilder::new(select());
    for (column, key) in [("owner", &query.owner), ("vault", &query.vault)] {
        if let Some(key) = key {
            sql.push(format!(" and m.{column} = "))
                .push_bind(key.as_str());
        }
    }
    if let Some(closed) = query.closed {
        sql.push(" and (m.closed_slot is not null) = ")
            .push_bind(closed);
    }
    if let Some(after) = list.key::<String>(query.cursor.as_deref())? {
        sql.push(" and m.address > ").push_bind(after);
    }
    sql.push(" order by m.address limit ")
        .push_bind(query.limit.rows());
    let requests: Vec<Withdrawal> = sql.build_query_as().fetch_all(&mut *read.tx).await?;
    let page = Page::new(requests, query.limit, &list, |request| request.key.clone());
    read.reply(page).await
}
