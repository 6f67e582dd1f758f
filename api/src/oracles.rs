//! Oracles: their seats, bonds, rewards, and how reliably they submit.

mod seats;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Page, SortKey},
    problem::{Problem, ProblemBody},
    reply::Reply,
    signed::{Signed, Sum, as_text},
    state::AppState,
    wallet::tokens::Decimals,
};

use seats::OracleSeat;

/// Routes whose answers depend on events alone.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(one))
}

/// Routes whose answers depend on the time, too.
pub fn untagged_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Days of which the list shows what oracles did.
const RECENT: TimeDelta = TimeDelta::days(30);

/// What an oracle did, in one token of bonds.
#[derive(Serialize, ToSchema)]
struct OracleTotals {
    mint: Key,
    decimals: u8,
    /// Number of submissions.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    submitted: i128,
    /// Number of Final and Thin receipts with which the oracle agreed.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    agreed: i128,
    /// Its parts of their pay.
    earned: Signed,
    /// Number of windows for which the oracle owed a submission and was silent.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    missed: i128,
    /// Penalties for these.
    penalties: Signed,
}

#[derive(FromRow)]
struct TotalsRow {
    subject: Key,
    mint: Key,
    submissions: Sum,
    earnings: Sum,
    earned: Sum,
    silences: Sum,
    penalties: Sum,
}

impl OracleTotals {
    fn new(row: &TotalsRow, decimals: &Decimals) -> Self {
        let places = decimals.of(&row.mint);
        Self {
            mint: row.mint,
            decimals: places,
            submitted: row.submissions.0,
            agreed: row.earnings.0,
            earned: Signed::new(row.earned.0, places),
            missed: row.silences.0,
            penalties: Signed::new(row.penalties.0, places),
        }
    }
}

/// Reads what oracles did from `start` on, or ever.
async fn totals(
    db: &mut PgConnection,
    oracles: &[Key],
    start: Option<DateTime<Utc>>,
) -> Result<Vec<TotalsRow>, sqlx::Error> {
    sqlx::query_as(
        "select o.subject, h.* from unnest($1::bytea[]) o (subject)
         cross join lateral (
           select mint, sum(submissions) as submissions, sum(earnings) as earnings,
             sum(earned) as earned, sum(silences) as silences, sum(penalties) as penalties
           from chain.hourly
           where kind = 'wallet' and subject = o.subject and coalesce($2, '-infinity') <= hour
           group by mint
           having 0 < sum(submissions + earnings + silences)) h",
    )
    .bind(oracles)
    .bind(start)
    .fetch_all(db)
    .await
}

/// Oracle in the list.
#[derive(Serialize, ToSchema)]
struct OracleSummary {
    oracle: Key,
    /// Number of open seats.
    seats: i64,
    /// Number of rulings that slashed one of the oracle's seats, closed ones included.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    slashes: i128,
    /// What the oracle did in the last 30 days, in whole hours, by token.
    recent: Vec<OracleTotals>,
}

#[derive(FromRow)]
struct SummaryRow {
    oracle: Key,
    seats: i64,
    slashes: Sum,
}

/// The address of an oracle.
impl SortKey for Key {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        sql.push_bind(self);
    }
}

/// Reads oracles in ascending order of address, after `after`. Each is found by a read of one row of the index, however
/// many seats the one before it has.
async fn read_list(
    db: &mut PgConnection,
    after: Option<Key>,
    count: i64,
) -> Result<Vec<SummaryRow>, sqlx::Error> {
    sqlx::query_as(
        "with recursive page as (
           (select s.oracle, 1 as place from chain.seat s
            where $1 is null or $1 < s.oracle order by s.oracle limit 1)
           union all
           select next.oracle, page.place + 1 from page
           join lateral (select s.oracle from chain.seat s
             where page.oracle < s.oracle order by s.oracle limit 1) next on page.place < $2
         )
         select page.oracle, t.seats, t.slashes
         from page cross join lateral (
           select count(*) filter (where s.ended_slot is null) as seats,
             coalesce(sum(s.slashes), 0) as slashes
           from chain.seat s where s.oracle = page.oracle) t",
    )
    .bind(after)
    .bind(count)
    .fetch_all(db)
    .await
}

/// Oracles that have or had a seat, in ascending order of address (as bytes).
#[utoipa::path(
    get,
    path = "/oracles",
    tag = "oracles",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<OracleSummary>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<OracleSummary>>, Problem> {
    let pager = query.pager("oracles", snapshot.epoch());
    let start = snapshot.require_time()? - RECENT;
    let db = &mut snapshot.tx;
    // One oracle more than the limit shows whether another page follows.
    let count = i64::try_from(pager.limit()).unwrap_or(i64::MAX - 1) + 1;
    let mut rows = read_list(db, pager.after()?, count).await?;
    rows.sort_unstable_by_key(|row| row.oracle);
    let page = pager.page(rows, |row: &SummaryRow| row.oracle);
    let oracles: Vec<_> = page.items.iter().map(|row| row.oracle).collect();
    let decimals = Decimals::read(db).await?;
    let recent = totals(db, &oracles, Some(start)).await?;
    let page = page.map(|row| OracleSummary {
        oracle: row.oracle,
        seats: row.seats,
        slashes: row.slashes.0,
        recent: of_oracle(&recent, &row.oracle, &decimals),
    });
    Ok(snapshot.reply(page).await?.untagged())
}

fn of_oracle(totals: &[TotalsRow], oracle: &Key, decimals: &Decimals) -> Vec<OracleTotals> {
    let own = totals.iter().filter(|row| row.subject == *oracle);
    let mut own: Vec<_> = own.map(|row| OracleTotals::new(row, decimals)).collect();
    own.sort_unstable_by_key(|totals| totals.mint);
    own
}

/// Oracle with its seats.
#[derive(Serialize, ToSchema)]
struct OracleDetails {
    oracle: Key,
    /// What the oracle ever did, by token.
    totals: Vec<OracleTotals>,
    /// Seats, open and closed, in ascending order of address (as bytes) and `life`.
    seats: Page<OracleSeat>,
}

/// The oracle with this key: what it did, and its seats, one for each model.
#[utoipa::path(
    get,
    path = "/oracles/{oracle}",
    tag = "oracles",
    params(("oracle" = Key, Path, description = "Key of the oracle"), ListQuery, MinSlot),
    responses(
        (status = 200, body = OracleDetails),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(oracle): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<OracleDetails>, Problem> {
    let seats = seats::of_oracle(&mut snapshot, &oracle, &query).await?;
    if seats.items.is_empty() && query.paging.cursor.is_none() {
        return Err(Problem::not_found("oracle", oracle));
    }
    let decimals = Decimals::read(&mut snapshot.tx).await?;
    let all = totals(&mut snapshot.tx, &[oracle], None).await?;
    let details = OracleDetails {
        oracle,
        totals: of_oracle(&all, &oracle, &decimals),
        seats,
    };
    snapshot.reply(details).await
}
