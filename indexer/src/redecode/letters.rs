//! The letters of a batch, and what becomes of them.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;

use super::Failure;
use crate::kinds::{ACCOUNT_TABLE, ASK_TABLE, DECODER_VERSION};

/// An open row of `chain.dead_letter`.
#[derive(sqlx::FromRow)]
pub struct Letter {
    pub id: i64,
    pub subject: String,
    pub address: Option<Vec<u8>>,
    pub event_id: Option<i64>,
    pub data: Option<Vec<u8>>,
}

/// Letters that are tried in one transaction.
pub struct Batch {
    /// In the order of their events, if they are about events.
    pub letters: Vec<Letter>,
    /// Newest letter before the batch.
    newest: i64,
}

impl Batch {
    /// Reads the letters that are still open.
    pub async fn read(connection: &mut PgConnection, ids: &[i64]) -> Result<Self, sqlx::Error> {
        let newest = sqlx::query_scalar("select coalesce(max(id), 0) from chain.dead_letter")
            .fetch_one(&mut *connection)
            .await?;
        let letters = sqlx::query_as(
            "select id, subject, address, event_id, data from chain.dead_letter
             where id = any($1) and resolved_at is null and decoder_version < $2
             order by event_id, id",
        )
        .bind(ids)
        .bind(DECODER_VERSION)
        .fetch_all(connection)
        .await?;
        Ok(Self { letters, newest })
    }

    /// Resolves the letters but for the failures and those that came again, which stay open with this
    /// version. Returns the numbers of both.
    pub async fn settle(
        &self,
        connection: &mut PgConnection,
        failures: Vec<(i64, Failure)>,
    ) -> Result<(usize, usize), sqlx::Error> {
        let mut open: BTreeMap<_, _> = failures.into_iter().collect();
        open.extend(self.again(connection).await?);
        let ids = self.letters.iter().map(|letter| letter.id);
        let resolved: Vec<_> = ids.filter(|id| !open.contains_key(id)).collect();
        let (failed, reasons): (Vec<_>, Vec<_>) = open.into_iter().unzip();
        sqlx::query(
            "update chain.dead_letter letter set decoder_version = $1, reason = failure.reason
             from unnest($2::bigint[], $3::text[]) as failure (id, reason)
             where letter.id = failure.id",
        )
        .bind(DECODER_VERSION)
        .bind(&failed)
        .bind(reasons)
        .execute(&mut *connection)
        .await?;
        sqlx::query("update chain.dead_letter set resolved_at = now() where id = any($1)")
            .bind(&resolved)
            .execute(connection)
            .await?;
        Ok((resolved.len(), failed.len()))
    }

    /// Letters that came again while the batch was tried, each with the new reason. The new letters about what
    /// an older one is about are removed. Of letters about neither an account nor an event, such as those of
    /// totals, none comes again: each has other totals.
    async fn again(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
        let any_new: bool =
            sqlx::query_scalar("select exists (select from chain.dead_letter where $1 < id)")
                .bind(self.newest)
                .fetch_one(&mut *connection)
                .await?;
        if !any_new {
            return Ok(vec![]);
        }
        let ids: Vec<_> = self.letters.iter().map(|letter| letter.id).collect();
        let again = sqlx::query_as(
            "select letter.id, again.reason
             from chain.dead_letter letter join chain.dead_letter again
               on (again.subject, again.address, again.event_id)
                 is not distinct from (letter.subject, letter.address, letter.event_id)
             where letter.id = any($1) and $2 < again.id
               and 0 < num_nonnulls(again.address, again.event_id)",
        )
        .bind(ids)
        .bind(self.newest)
        .fetch_all(&mut *connection)
        .await?;
        sqlx::query(
            "delete from chain.dead_letter again using chain.dead_letter letter
             where $1 < again.id and letter.id <= $1 and letter.resolved_at is null
               and (again.subject, again.address, again.event_id)
                 is not distinct from (letter.subject, letter.address, letter.event_id)
               and 0 < num_nonnulls(again.address, again.event_id)",
        )
        .bind(self.newest)
        .execute(connection)
        .await?;
        Ok(again)
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

/// The events among these that are missing because Postgres refused them, rather than because they were dropped
/// with the oldest part of the history.
pub async fn refused_among(
    connection: &mut PgConnection,
    events: &[i64],
) -> Result<HashSet<i64>, sqlx::Error> {
    let refused: Vec<i64> = sqlx::query_scalar(
        "select event_id from chain.dead_letter
         where subject = 'chain.event' and event_id = any($1) and resolved_at is null",
    )
    .bind(events)
    .fetch_all(connection)
    .await?;
    Ok(refused.into_iter().collect())
}
