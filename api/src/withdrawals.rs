//! Withdrawals: requests for shares of a vault to be paid out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    columns::Columns,
    extract::MinSlot,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{CREATED_SEQ, IS_CLOSED, JOIN_CREATION, push_equals},
    state::AppState,
    values::{Key, Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Latest request of an owner to withdraw from a vault. Amounts are in the vault's mint; shares have
/// three decimals more.
#[derive(Serialize, ToSchema)]
struct Withdrawal {
    /// Address of the request's account.
    key: String,
    vault: String,
    owner: String,
    state: WithdrawalState,
    /// Shares that are still requested. The vault's escrow holds them.
    shares: Scaled,
    /// Maximum amount to be paid for `shares`.
    value: Scaled,
    /// Time from which the shares can be paid.
    unlock_at: Option<DateTime<Utc>>,
    /// Amount paid so far.
    paid: Scaled,
    /// Shares paid for so far.
    paid_shares: Scaled,
    /// Shares that a cancellation returned to the owner.
    returned_shares: Scaled,
    /// Time of the latest payment or the cancellation; null before either.
    settled_at: Option<DateTime<Utc>>,
    /// Number of events that reference the request.
    event_count: U64,
    /// Time of creation; null if it is older than the mirror's history.
    created_at: Option<DateTime<Utc>>,
    created_slot: Option<i64>,
    /// Whether the account is closed on chain.
    closed: bool,
    closed_slot: Option<i64>,
    /// Slot of this state.
    slot: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum WithdrawalState {
    /// The escrow holds shares of the request.
    Open,
    /// All shares were paid.
    Paid,
    /// The owner cancelled the request.
    Cancelled,
}

impl FromRow<'_, PgRow> for Withdrawal {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let request = Columns::new(row)?;
        let shares = |U64(raw)| Scaled::shares(raw, request.decimals);
        Ok(Self {
            key: request.get("address")?,
            vault: request.get("vault")?,
            owner: request.get("owner")?,
            state: request.get("state")?,
            shares: shares(request.u64_unless_closed("shares")?),
            value: request.amount_unless_closed("value")?,
            unlock_at: request.time("unlock_at")?,
            paid: request.amount("paid")?,
            paid_shares: shares(request.get("paid_shares")?),
            returned_shares: shares(request.get("returned_shares")?),
            settled_at: request.get("settled_at")?,
            event_count: request.get("seq")?,
            created_at: request.get("created_at")?,
            created_slot: request.get("created_slot")?,
            closed: request.is_closed()?,
            closed_slot: request.get("closed_slot")?,
            slot: request.get("slot")?,
        })
    }
}

/// Query for requests as `m`, each with its payments. The address of a closed request can be used
/// again; payments of an earlier request at the address don't count.
fn select() -> String {
    format!(
        "select m.*, v.decimals,
                creation.slot as created_slot, creation.block_time as created_at,
                w.paid, w.paid_shares, w.returned_shares, w.settled_at,
                case when m.closed_slot is null then 'open'
                     when w.cancelled then 'cancelled'
                     else 'paid' end as state
         from chain.withdraw_request m
         join chain.vault v on v.address = m.vault {JOIN_CREATION}
         cross join lateral (
           select coalesce(sum(w.amount), 0) as paid,
                  coalesce(sum(w.shares) filter (where w.state = 'paid'), 0) as paid_shares,
                  coalesce(sum(w.returned), 0) as returned_shares,
                  coalesce(bool_or(w.state = 'cancelled'), false) as cancelled,
                  max(w.block_time) as settled_at
           from chain.withdrawal w
           where w.request = m.address and w.seq >= {CREATED_SEQ}) w
         where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WithdrawalFilter {
    /// Only requests of this owner.
    owner: Option<Key>,
    vault: Option<Key>,
    /// Only paid and cancelled requests (true), or only open ones (false).
    closed: Option<bool>,
}

/// Latest withdraw request of each owner and vault, by address.
#[utoipa::path(
    get,
    path = "/insurance/withdrawals",
    tag = "insurance",
    params(ListQuery<WithdrawalFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Withdrawal>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<WithdrawalFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Withdrawal>>, Problem> {
    let filter = &query.filter;
    let mut sql = QueryBuilder::new(select());
    push_equals(&mut sql, "m.owner", filter.owner.as_ref().map(Key::as_str));
    push_equals(&mut sql, "m.vault", filter.vault.as_ref().map(Key::as_str));
    push_equals(&mut sql, IS_CLOSED, filter.closed);
    let order = Order::ascending(&["m.address"]);
    let page = query
        .pager("withdrawals")
        .fetch(&mut snapshot.tx, sql, order, |request: &Withdrawal| {
            request.key.clone()
        })
        .await?;
    snapshot.reply(page).await
}
