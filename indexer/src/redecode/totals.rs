//! Totals that Postgres refused.

use sqlx::PgConnection;

use super::{Failure, Redecode, letters::Letter};
use crate::{copy::values, dead_letter, hourly};

/// Adds the refused totals. Returns the letters that stay open.
pub async fn add(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let mut failures = vec![];
    for letter in letters {
        let row = letter.data.as_deref().unwrap_or_default();
        let mut rows = hourly::rows();
        if !rows.push(row) {
            let failure = "the letter's data is no row of totals of this version; make the mirror anew \
                           with `indexer rebuild`";
            failures.push((letter.id, failure.to_owned()));
            continue;
        }
        let slot = redecode.cursor.slot;
        let refused = dead_letter::refused(redecode.connection, 0..1, async |connection, range| {
            hourly::add(connection, slot, &rows, range, false).await?;
            // Later events may have been counted before.
            restore_latest(connection, values(row)[1].unwrap_or_default()).await
        });
        let refused = refused.await?.into_iter();
        failures.extend(refused.map(|(_, reason)| (letter.id, reason)));
    }
    redecode.announce_accounts().await?;
    Ok(failures)
}

/// Sets the latest capital of a vault, or drift of a model, in each hour to those of its last event, if the
/// mirror still has it.
async fn restore_latest(connection: &mut PgConnection, subject: &[u8]) -> Result<(), sqlx::Error> {
    for statement in [
        "update chain.hourly set assets = last.assets, leaving = last.leaving, shares = last.shares
         from (
           select distinct on (hour) *
           from (
             select *, coalesce(date_trunc('hour', block_time, 'UTC'), '-infinity') as hour
             from chain.capital where vault = $1) capital
           order by hour, event_id desc) last
         where kind = 'vault' and subject = $1 and hourly.hour = last.hour",
        "update chain.hourly set drift = last.drift, drift_window = last.drift_window
         from (
           select distinct on (hour) hour, (body ->> 'value')::numeric as drift,
             (body ->> 'window')::numeric as drift_window
           from (
             select event.*, coalesce(date_trunc('hour', block_time, 'UTC'), '-infinity') as hour
             from chain.event_account join chain.event on event.id = event_id
             where account = $1 and name in ('ReceiptRuled', 'ReceiptFinalized')
               and body ->> 'state' = 'final') settled
           order by hour, id desc) last
         where kind = 'model' and subject = $1 and hourly.hour = last.hour",
    ] {
        let restore = sqlx::query(statement).bind(subject);
        restore.execute(&mut *connection).await?;
    }
    Ok(())
}
