//! The letters of a batch, and what becomes of them.

use sqlx::PgConnection;

use super::Failure;
use crate::kinds::{self, ACCOUNT_TABLE, ASK_TABLE, DECODER_VERSION};

/// Letters of a batch. Events of one slot are not divided.
const BATCH: i64 = 64;
/// Tables whose rows are derived from an event.
const DERIVED: [&str; 8] = [
    "chain.event_account",
    "chain.event_party",
    "chain.odds",
    "chain.sale",
    "chain.penalty",
    "chain.capital",
    "chain.policy_payout",
    "chain.feed",
];

/// What letters are about, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows of `chain.event` that Postgres refused.
    EventRows,
    /// Events that could not be decoded.
    Events,
    /// Accounts that could not be decoded, and their rows that Postgres refused.
    Accounts,
    /// Rows derived from events that Postgres refused.
    Rows,
    /// What no decoder can remedy, such as messages that arrived too late.
    Others,
    /// No letters are left, but there may be accounts of types that the decoder did not know.
    Unknown,
}

/// An open row of `chain.dead_letter`.
#[derive(sqlx::FromRow)]
pub struct Letter {
    pub id: i64,
    pub subject: String,
    pub address: Option<Vec<u8>>,
    pub event_id: Option<i64>,
    pub data: Option<Vec<u8>>,
    reason: String,
    stage: i32,
}

/// Letters that are tried in one transaction.
pub struct Batch {
    pub stage: Stage,
    pub letters: Vec<Letter>,
    /// Newest letter before the batch.
    newest: i64,
}

impl Batch {
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let newest = sqlx::query_scalar("select coalesce(max(id), 0) from chain.dead_letter")
            .fetch_one(&mut *connection)
            .await?;
        let tables: Vec<_> = kinds::all_tables().collect();
        // Ids of events have the slot above 31 bits.
        let letters: Vec<Letter> = sqlx::query_as(
            "with staged as (
               select id, subject, address, event_id, data, reason,
                 case
                   when subject = 'chain.event' and event_id is not null then 0
                   when subject = 'event' and event_id is not null then 1
                   when address is not null and (subject = 'account' or subject = any($2)) then 2
                   when event_id is not null and subject = any($3) then 3
                   else 4
                 end as stage
               from chain.dead_letter
               where resolved_at is null and decoder_version < $1
             ), first as (
               select * from staged order by stage, event_id, id limit $4
             )
             select * from first where stage = (select min(stage) from first)
             union
             select * from staged where stage = 1 and (select min(stage) from first) = 1
               and event_id >> 31 = (select max(event_id) from first where stage = 1) >> 31
             order by event_id, id",
        )
        .bind(DECODER_VERSION)
        .bind(tables)
        .bind(DERIVED.map(str::to_owned).to_vec())
        .bind(BATCH)
        .fetch_all(connection)
        .await?;
        Ok(Self {
            stage: stage(letters.first()),
            letters,
            newest,
        })
    }

    /// All letters stay open, for the reasons that they have.
    pub fn unchanged(&self) -> Vec<(i64, Failure)> {
        let letters = self.letters.iter();
        letters
            .map(|letter| (letter.id, letter.reason.clone()))
            .collect()
    }

    /// Resolves the letters but for the failures and those that came again, which stay open with this
    /// version. Returns the numbers of both.
    pub async fn settle(
        &self,
        connection: &mut PgConnection,
        failures: &[(i64, Failure)],
    ) -> Result<(u64, u64), sqlx::Error> {
        let (failed, reasons): (Vec<_>, Vec<_>) = failures.iter().cloned().unzip();
        let failed = sqlx::query(
            "update chain.dead_letter letter set decoder_version = $1, reason = failure.reason
             from unnest($2::bigint[], $3::text[]) as failure (id, reason)
             where letter.id = failure.id",
        )
        .bind(DECODER_VERSION)
        .bind(failed)
        .bind(reasons)
        .execute(&mut *connection)
        .await?;
        let ids: Vec<_> = self.letters.iter().map(|letter| letter.id).collect();
        let again = sqlx::query(
            "update chain.dead_letter letter set decoder_version = $1, reason = again.reason
             from chain.dead_letter again
             where letter.id = any($2) and $3 < again.id
               and (again.subject, again.address, again.event_id)
                 is not distinct from (letter.subject, letter.address, letter.event_id)",
        )
        .bind(DECODER_VERSION)
        .bind(&ids)
        .bind(self.newest)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "delete from chain.dead_letter again using chain.dead_letter letter
             where $1 < again.id and letter.id <= $1 and letter.resolved_at is null
               and (again.subject, again.address, again.event_id)
                 is not distinct from (letter.subject, letter.address, letter.event_id)",
        )
        .bind(self.newest)
        .execute(&mut *connection)
        .await?;
        let resolved = sqlx::query(
            "update chain.dead_letter set resolved_at = now()
             where id = any($2) and decoder_version < $1",
        )
        .bind(DECODER_VERSION)
        .bind(&ids)
        .execute(connection)
        .await?;
        let failed = failed.rows_affected() + again.rows_affected();
        Ok((resolved.rows_affected(), failed))
    }
}

fn stage(letter: Option<&Letter>) -> Stage {
    match letter.map(|letter| letter.stage) {
        None => Stage::Unknown,
        Some(0) => Stage::EventRows,
        Some(1) => Stage::Events,
        Some(2) => Stage::Accounts,
        Some(3) => Stage::Rows,
        Some(_) => Stage::Others,
    }
}

/// Whether the letter is about the asks of a position.
pub fn is_of_asks(letter: &Letter) -> bool {
    letter.subject == ASK_TABLE
}

/// Whether Postgres refused the account's own row.
pub fn is_of_account_row(letter: &Letter) -> bool {
    letter.subject == ACCOUNT_TABLE
}

/// Whether an event is missing because Postgres refused it, rather than because it was dropped with the oldest
/// part of the history.
pub async fn is_refused(connection: &mut PgConnection, event: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from chain.dead_letter
           where subject = 'chain.event' and event_id = $1 and resolved_at is null)",
    )
    .bind(event)
    .fetch_one(connection)
    .await
}
