//! Withdrawals: requests to withdraw shares from a vault.

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

/// Latest request of an owner to withdraw capital from a vault. Amounts are in the vault's mint. A
/// share has three more decimals than the vault's token.
#[derive(Serialize, ToSchema)]
struct Withdrawal {
    /// Address of the request's account.
    key: String,
    vault: String,
    owner: String,
    state: WithdrawalState,
    /// Capital that is still requested, less its part of the vault's payments.
    value: Scaled,
    /// Shares that the request became after its exit window; 0 before.
    shares: Scaled,
    /// Time from which the request can be paid.
    unlock_at: Option<DateTime<Utc>>,
    /// Time at which the rest of the request becomes shares.
    lapses_at: Option<DateTime<Utc>>,
    /// Time until which purchases keep the value of `shares` free; null if they don't.
    reserved_until: Option<DateTime<Utc>>,
    /// Whether free capital did not suffice for a payment.
    short: bool,
    /// Amount paid so far.
    paid: Scaled,
    /// Time of the latest payment or of the cancellation; null before.
    settled_at: Option<DateTime<Utc>>,
    /// Number of events that reference the request.
    event_count: U64,
    /// Time of creation; null if the creation is older than the mirror's history.
    created_at: Option<DateTime<Utc>>,
    created_slot: Option<i64>,
    /// Whether the account is closed on chain. If so, `shares` and `value` are 0.
    closed: bool,
    closed_slot: Option<i64>,
    /// Slot of this state.
    slot: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum WithdrawalState {
    /// The request waits for its payment.
    Open,
    /// The request became shares after its exit window.
    Lapsed,
    /// The request was paid.
    Paid,
    /// The owner cancelled the request.
    Cancelled,
}

impl FromRow<'_, PgRow> for Withdrawal {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let shares = |U64(raw)| Scaled::shares(raw, columns.decimals);
        let reserved_until: i64 = columns.get("reserved_until")?;
        Ok(Self {
            key: columns.get("address")?,
            vault: columns.get("vault")?,
            owner: columns.get("owner")?,
            state: columns.get("state")?,
            value: columns.amount_unless_closed("left_value")?,
            shares: shares(columns.u64_unless_closed("shares")?),
            unlock_at: columns.time("unlock_at")?,
            lapses_at: columns.time("lapses_at")?,
            reserved_until: (reserved_until != 0)
                .then(|| columns.time("reserved_until"))
                .transpose()?
                .flatten(),
            short: columns.get("is_short")?,
            paid: columns.amount("paid")?,
            settled_at: columns.get("settled_at")?,
            event_count: columns.get("seq")?,
            created_at: columns.get("created_at")?,
            created_slot: columns.get("created_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("closed_slot")?,
            slot: columns.get("slot")?,
        })
    }
}

/// Selects withdrawal requests (alias `m`) with their payments. Payments of an earlier request at
/// the same address don't count.
fn select() -> String {
    format!(
        "select m.*, v.decimals,
                creation.slot as created_slot, creation.block_time as created_at,
                w.paid, w.settled_at,
                case when 4 < v.leaving_scale - m.scale then 0
                     else floor(div(m.value * v.leaving_index, m.index)
                                / power(2::numeric, 30 * (v.leaving_scale - m.scale))) end as left_value,
                case when m.closed_slot is null and m.shares = 0 then 'open'
                     when m.closed_slot is null then 'lapsed'
                     when w.cancelled then 'cancelled'
                     else 'paid' end as state
         from chain.withdraw_request m
         join chain.vault v on v.address = m.vault {JOIN_CREATION}
         cross join lateral (
           select coalesce(sum(w.amount), 0) as paid,
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
    /// Only paid and cancelled requests if true, only open ones if false.
    closed: Option<bool>,
}

/// Latest withdrawal request of each owner and vault, in ascending order of address.
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
