//! What the indexer could not decode or store.

use std::{collections::VecDeque, ops::Range};

use sqlx::PgConnection;

use crate::kinds::DECODER_VERSION;

/// A row of `chain.dead_letter`.
pub struct DeadLetter<'a> {
    /// `account`, `event`, or the table that refused a row.
    pub subject: &'a str,
    pub slot: i64,
    pub reason: &'a str,
    pub address: Option<[u8; 32]>,
    pub event_id: Option<i64>,
    pub data: Option<&'a [u8]>,
    /// Of missing events: the slot after which they were emitted.
    pub since: Option<i64>,
}

impl<'a> DeadLetter<'a> {
    pub fn new(subject: &'a str, slot: i64, reason: &'a str) -> Self {
        Self {
            subject,
            slot,
            reason,
            address: None,
            event_id: None,
            data: None,
            since: None,
        }
    }

    pub async fn store(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Self {
            subject,
            slot,
            reason,
            ..
        } = self;
        tracing::error!(
            subject,
            slot,
            reason,
            event = self.event_id,
            "set aside as a dead letter"
        );
        sqlx::query(
            "insert into chain.dead_letter
               (subject, slot, address, event_id, reason, data, decoder_version, since)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(subject)
        .bind(slot)
        .bind(self.address.as_ref().map(<[u8; 32]>::as_slice))
        .bind(self.event_id)
        .bind(reason)
        .bind(self.data)
        .bind(DECODER_VERSION)
        .bind(self.since)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Whether Postgres refused the data of a statement, rather than the statement: SQLSTATE classes 22
/// (data exception) and 23 (integrity constraint violation).
pub fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
        _ => false,
    }
}

/// Stores the rows of a range, halving the range wherever Postgres refuses a row. Returns the refused
/// rows, each with the reason.
pub async fn refused(
    connection: &mut PgConnection,
    rows: Range<usize>,
    store: impl AsyncFn(&mut PgConnection, Range<usize>) -> Result<(), sqlx::Error>,
) -> Result<Vec<(usize, String)>, sqlx::Error> {
    let mut refused = vec![];
    let mut ranges = VecDeque::from([rows]);
    while let Some(range) = ranges.pop_front() {
        sqlx::raw_sql("savepoint rows")
            .execute(&mut *connection)
            .await?;
        let error = match store(connection, range.clone()).await {
            Ok(()) => {
                sqlx::raw_sql("release savepoint rows")
                    .execute(&mut *connection)
                    .await?;
                continue;
            }
            Err(error) if is_refusal(&error) => error,
            Err(error) => return Err(error),
        };
        sqlx::raw_sql("rollback to savepoint rows; release savepoint rows")
            .execute(&mut *connection)
            .await?;
        match range.len() {
            0 => {}
            1 => refused.push((range.start, error.to_string())),
            len => {
                let middle = range.start + len / 2;
                ranges.push_front(middle..range.end);
                ranges.push_front(range.start..middle);
            }
        }
    }
    Ok(refused)
}
