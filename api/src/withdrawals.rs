//! Withdrawals: requests to withdraw shares from a vault.

use chrono::{DateTime, Utc};
use driftshield_sdk::address;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    extract::MinSlot,
    lives::join_life,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::{AccountColumns, Token, select_by_row, time, time_if_set},
    sql::{IS_CLOSED, open_or_closed, push_equals},
    state::AppState,
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Request of an owner to withdraw capital from a vault. Amounts are in the vault's mint. A
/// share has three more decimals than the vault's token.
#[derive(Serialize, ToSchema)]
struct Withdrawal {
    /// Address of the request's account.
    key: Key,
    /// Event that created the account: each time that a request is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    life: EventId,
    vault: Key,
    owner: Key,
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
    /// Whether the account has newer content that this version cannot decode.
    stale: bool,
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

/// Row of `chain.withdraw_request`, with columns of its vault.
#[derive(FromRow)]
struct WithdrawalRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    status: WithdrawalState,
    payout: U64,
    settled_at: Option<DateTime<Utc>>,
    vault: Key,
    owner: Key,
    left_value: U64,
    shares: U64,
    unlock_at: i64,
    lapses_at: i64,
    reserved_until: i64,
    is_short: bool,
}

select_by_row!(Withdrawal, WithdrawalRow);

impl From<WithdrawalRow> for Withdrawal {
    fn from(row: WithdrawalRow) -> Self {
        let (account, token) = (row.account, row.token);
        Self {
            key: account.address,
            life: account.life,
            vault: row.vault,
            owner: row.owner,
            state: row.status,
            value: token.amount(account.unless_closed(row.left_value)),
            shares: token.shares(account.unless_closed(row.shares)),
            unlock_at: time(row.unlock_at),
            lapses_at: time(row.lapses_at),
            reserved_until: time_if_set(row.reserved_until),
            short: row.is_short,
            paid: token.amount(row.payout),
            settled_at: row.settled_at,
            event_count: account.seq,
            created_at: account.began_at,
            created_slot: account.began_slot,
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
    }
}

/// Selects withdrawal requests (alias `m`). An open one shrinks with its vault's index.
fn select() -> String {
    format!(
        "select m.*, v.decimals,
                case when m.ended_slot is not null or m.index = 0 then 0
                     when 4 < v.leaving_scale - m.scale then 0
                     else floor(div(m.value * v.leaving_index, m.index)
                                / power(2::numeric, 30 * (v.leaving_scale - m.scale))) end as left_value
         from chain.withdraw_request m {}
         where ",
        join_life("vault", "v", "m.vault", "m.life")
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

/// Withdrawal requests, closed ones included, in ascending order of address (as bytes) and `life`. All
/// requests of one owner to one vault have the same address.
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
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(select()).push(part);
        push_equals(sql, "m.owner", filter.owner);
        push_equals(sql, "m.vault", filter.vault);
        if let (Some(owner), Some(vault)) = (filter.owner, filter.vault) {
            // No index has both. They have one address.
            let address = address::withdraw_request(&vault.address(), &owner.address());
            push_equals(sql, "m.address", Some(Key::from(address)));
        }
        push_equals(sql, IS_CLOSED, filter.closed);
    };
    let parts = open_or_closed(filter.closed.is_some());
    let order = Order::ascending(&["m.address", "m.life"]);
    let key = |request: &Withdrawal| (request.key, request.life);
    let page = query
        .pager("withdrawals", snapshot.epoch())
        .fetch_merged(&mut snapshot.tx, "m", &parts, select, order, key)
        .await?;
    snapshot.reply(page).await
}
