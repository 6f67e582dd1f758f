//! Seats of an oracle.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
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
    /// Time of the latest submission among the last 100 events of the seat; null if there is none.
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

impl FromRow<'_, PgRow> for OracleSeat {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let closed = columns.is_closed()?;
        // Place among the model's oracles, if the model lists the oracle.
        let place: Option<i32> = columns.get("place")?;
        let place = place
            .filter(|_| !closed)
            .and_then(|place| usize::try_from(place - 1).ok());
        let of_place = |name| {
            let all: Vec<U64> = columns.get(name)?;
            let own = place.and_then(|place| all.get(place).copied());
            Ok::<_, sqlx::Error>(own.unwrap_or_default().0)
        };
        let tenures: Vec<Tenure> = columns.nested("tenures")?;
        let tenure = place.and_then(|place| tenures.get(place));
        let bonded: U64 = columns.u64_unless_closed("bonded")?;
        let bonded = bonded.0.saturating_sub(of_place("penalties")?);
        let (release_at, slashes): (i64, U64) =
            (columns.get("release_at")?, columns.get("slashes")?);
        let (missed, lost): (i64, Sum) = (columns.get("missed")?, columns.get("lost")?);
        let U64(slash_amount) = columns.get("slash_amount")?;
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
            model: columns.get("model")?,
            mint: columns.get("bond_mint")?,
            decimals: columns.decimals,
            bonded: Scaled::new(bonded, columns.decimals),
            unbonding: columns.amount_unless_closed("unbonding")?,
            release_at: (release_at != 0 && !closed)
                .then(|| columns.time("release_at"))
                .transpose()?
                .flatten(),
            counts: tenure.is_some_and(|tenure| tenure.counts != 0),
            reward: Scaled::new(of_place("rewards")?, columns.decimals),
            submitted: columns.get("submissions")?,
            missed: missed.into(),
            penalties: Signed::new(lost.0, columns.decimals),
            outvoted: slashes,
            slashed_at_most: Signed::new(
                i128::from(slashes.0).saturating_mul(slash_amount.into()),
                columns.decimals,
            ),
            last_seen: columns.get("last_seen")?,
            event_count: columns.get("seq")?,
            closed,
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
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
        where a.account = s.address and s.life <= a.event_id order by a.event_id desc limit 100) a
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
