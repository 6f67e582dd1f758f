//! Seats of an oracle.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    event_id::EventId,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    rows::{AccountColumns, Token, select_by_row, time},
    signed::{Signed, Sum, as_text},
    values::{Scaled, U64},
};

/// Seat of an oracle at a model. Amounts are in the model's bond mint.
#[derive(Serialize, ToSchema)]
pub struct OracleSeat {
    /// Address of the seat's account.
    key: Key,
    /// Event that created the account; 0 if the mirror does not have it.
    life: EventId,
    model: Key,
    mint: Key,
    decimals: u8,
    /// Bond, less open penalties. Includes what is unbonding. 0 if the seat is closed.
    bonded: Scaled,
    /// Part of `bonded` that is unbonding.
    unbonding: Scaled,
    /// Time from which `unbonding` can be withdrawn; null if nothing is unbonding.
    release_at: Option<DateTime<Utc>>,
    /// Whether the model lists the oracle now, and its seat counts.
    counts: bool,
    /// Reward that is not collected yet.
    reward: Scaled,
    /// Number of submissions.
    submitted: U64,
    /// Number of windows of the model for which the oracle owed a submission and was silent, with all of its seats at
    /// the model.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    missed: i128,
    /// Penalties for these.
    penalties: Signed,
    /// Number of rulings that slashed the seat: that disagreed with its submission.
    outvoted: U64,
    /// `outvoted` times the model's `slash_amount`: what the seat lost by rulings at most. A ruling takes less if the
    /// bond is less, and the admin can return what it took.
    slashed_at_most: Signed,
    /// Time of the latest submission among the last 100 events of this seat; null if there is none.
    last_seen: Option<DateTime<Utc>>,
    /// Number of events that reference the seat.
    event_count: U64,
    /// Whether the account is closed on chain.
    closed: bool,
    closed_slot: Option<i64>,
    /// Slot of this state.
    slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    stale: bool,
}

/// A model's record of an oracle, as the mirror stores it.
#[derive(Deserialize)]
struct Tenure {
    counts: u8,
}

#[derive(FromRow)]
struct SeatRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    model: Key,
    bond_mint: Key,
    bonded: U64,
    unbonding: U64,
    release_at: i64,
    submissions: U64,
    slashes: U64,
    slash_amount: U64,
    #[sqlx(json)]
    tenures: Vec<Tenure>,
    rewards: Vec<U64>,
    penalties: Vec<U64>,
    /// Place among the model's oracles, from 1, if the model lists the oracle.
    place: Option<i32>,
    missed: i64,
    lost: Sum,
    last_seen: Option<DateTime<Utc>>,
}

select_by_row!(OracleSeat, SeatRow);

impl From<SeatRow> for OracleSeat {
    fn from(row: SeatRow) -> Self {
        let (account, token) = (&row.account, row.token);
        let closed = account.is_closed();
        let place = row.place.filter(|_| !closed);
        let place = place.and_then(|place| usize::try_from(place - 1).ok());
        let of_place = |all: &[U64]| {
            let own = place.and_then(|place| all.get(place).copied());
            own.unwrap_or_default()
        };
        let tenure = place.and_then(|place| row.tenures.get(place));
        let bonded = account.unless_closed(row.bonded).0;
        let bonded = bonded.saturating_sub(of_place(&row.penalties).0);
        let slashed = i128::from(row.slashes.0).saturating_mul(row.slash_amount.0.into());
        Self {
            key: account.address,
            life: account.life,
            model: row.model,
            mint: row.bond_mint,
            decimals: token.decimals,
            bonded: token.amount(U64(bonded)),
            unbonding: token.amount(account.unless_closed(row.unbonding)),
            release_at: (row.release_at != 0 && !closed)
                .then(|| time(row.release_at))
                .flatten(),
            counts: tenure.is_some_and(|tenure| tenure.counts != 0),
            reward: token.amount(of_place(&row.rewards)),
            submitted: row.submissions,
            missed: row.missed.into(),
            penalties: Signed::new(row.lost.0, token.decimals),
            outvoted: row.slashes,
            slashed_at_most: Signed::new(slashed, token.decimals),
            last_seen: row.last_seen,
            event_count: account.seq,
            closed,
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
    }
}

/// Selects seats (alias `s`) with what the model and its settled windows say of their oracles. A model is never closed.
const SELECT: &str = "
    select s.*, k.bond_mint, k.tenures, k.rewards, k.penalties, k.slash_amount, c.decimals,
      array_position(k.oracles[1:k.oracle_count], s.oracle) as place,
      p.missed, p.lost, e.last_seen
    from chain.seat s
    join lateral (select * from chain.model k where k.address = s.model and k.is_current limit 1) k on true
    join chain.collateral c on c.mint = k.bond_mint and c.is_current
    cross join lateral (
      select count(*) as missed, coalesce(sum(p.amount), 0) as lost
      from chain.penalty p where p.oracle = s.oracle and p.model = s.model) p
    left join lateral (
      select e.block_time as last_seen
      from (
        select event_id from chain.event_account a
        where a.account = s.address and s.life <= a.event_id
          and a.event_id < coalesce((
            select min(n.life) from chain.seat n where n.address = s.address and s.life < n.life),
            9223372036854775807)
        order by a.event_id desc limit 100) a
      join lateral (select * from chain.event e where e.id = a.event_id limit 1) e on true
      where e.name = 'ReceiptSubmitted'
      order by a.event_id desc limit 1) e on true
    where s.oracle = ";

/// Seats of `oracle`, in ascending order of address and life.
pub async fn of_oracle(
    snapshot: &mut Snapshot,
    oracle: &Key,
    query: &ListQuery,
) -> Result<Page<OracleSeat>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push_bind(*oracle);
    let order = Order::ascending(&["s.address", "s.life"]);
    let key = |seat: &OracleSeat| (seat.key, seat.life);
    query
        .pager(("seats", oracle), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, key)
        .await
}
