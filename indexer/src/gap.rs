//! Slots that the source did not deliver.

use chrono::Utc;
use metrics::counter;
use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::{ApplyError, notify},
    cursor::Cursor,
    metrics::GAPS,
    ranks,
    slot::SealedSlot,
    undo,
};

/// Records that slots are missing, and tells the clients unless an earlier attempt to fill them has. Until
/// their accounts are read, the mirror may miss writes.
pub async fn open(
    mut transaction: Transaction<'_, Postgres>,
    first: i64,
    last: i64,
) -> Result<(), ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    let opened = sqlx::query(
        "insert into chain.gap (from_slot, to_slot, epoch, state, reason)
         values ($1, $2, $3, 'open', 'the source did not deliver the slots')
         on conflict (from_slot, to_slot) do update set state = 'open', closed_at = null
           where gap.state <> 'open'",
    )
    .bind(first)
    .bind(last)
    .bind(cursor.epoch)
    .execute(&mut *transaction)
    .await?;
    if 0 < opened.rows_affected() {
        announce(&mut transaction, &mut cursor, (first, last), "open").await?;
        counter!(GAPS, "state" => "opened").increment(1);
    }
    cursor.settled_slot = None;
    cursor.update(&mut transaction).await?;
    notify(&mut transaction, cursor.seq).await?;
    transaction.commit().await?;
    Ok(())
}

/// Records that the mirror has all accounts as of its slot, and closes the gaps before it.
pub async fn settle(mut transaction: Transaction<'_, Postgres>) -> Result<Cursor, ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    let filled: Vec<(i64, i64)> = sqlx::query_as(
        "update chain.gap set state = 'filled', closed_at = now()
         where state = 'open' and from_slot <= $1 returning from_slot, to_slot",
    )
    .bind(cursor.slot)
    .fetch_all(&mut *transaction)
    .await?;
    for slots in filled {
        announce(&mut transaction, &mut cursor, slots, "filled").await?;
        counter!(GAPS, "state" => "filled").increment(1);
    }
    cursor.settled_slot = Some(cursor.slot);
    cursor.announce_settled(&mut transaction).await?;
    ranks::store_all(&mut transaction, cursor.seq).await?;
    cursor.update(&mut transaction).await?;
    notify(&mut transaction, cursor.seq).await?;
    transaction.commit().await?;
    Ok(cursor)
}

/// Moves the cursor to the parent of `first`, and tells the clients that the slots between are lost. The
/// accounts are read again: their changes in these slots are missing.
pub async fn begin_epoch(
    mut transaction: Transaction<'_, Postgres>,
    first: &SealedSlot,
) -> Result<(), ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    let lost = (cursor.slot + 1, first.parent_slot);
    cursor.epoch = Utc::now().timestamp_millis().max(cursor.epoch + 1);
    cursor.slot = first.parent_slot;
    cursor.blockhash = first.parent_blockhash;
    cursor.finalized_slot = cursor.finalized_slot.min(cursor.slot);
    cursor.settled_slot = None;
    record_loss(&mut transaction, &mut cursor, lost).await?;
    // Slots before the loss can't be undone any more.
    undo::forget(&mut transaction, i64::MAX).await?;
    cursor.update(&mut transaction).await?;
    notify(&mut transaction, cursor.seq).await?;
    transaction.commit().await?;
    Ok(())
}

/// Records that slots before those that the mirror follows are lost. No client follows the mirror yet.
pub async fn lose_past(
    mut transaction: Transaction<'_, Postgres>,
    first: i64,
    last: i64,
) -> Result<(), ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    store_loss(&mut transaction, &mut cursor, (first, last)).await?;
    cursor.update(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

async fn record_loss(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    (first, last): (i64, i64),
) -> Result<(), sqlx::Error> {
    // What an open gap has after the loss can still be filled.
    sqlx::query(
        "with opened as (
           delete from chain.gap where state = 'open' and from_slot <= $1 returning *)
         insert into chain.gap (from_slot, to_slot, epoch, state, reason, opened_at)
         select max($1 + 1), to_slot, max(epoch), 'open', max(reason), min(opened_at)
         from opened where $1 < to_slot group by to_slot",
    )
    .bind(last)
    .execute(&mut *connection)
    .await?;
    store_loss(connection, cursor, (first, last)).await?;
    announce(connection, cursor, (first, last), "lost").await
}

async fn store_loss(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    (first, last): (i64, i64),
) -> Result<(), sqlx::Error> {
    cursor.history_from = cursor.history_from.max(last + 1);
    sqlx::query(
        "insert into chain.gap (from_slot, to_slot, epoch, state, reason, closed_at)
         values ($1, $2, $3, 'lost', 'no source has the blocks any more', now())
         on conflict (from_slot, to_slot) do update
           set state = 'lost', reason = excluded.reason, closed_at = now()",
    )
    .bind(first)
    .bind(last)
    .bind(cursor.epoch)
    .execute(connection)
    .await?;
    counter!(GAPS, "state" => "lost").increment(1);
    Ok(())
}

/// Tells the clients of a gap.
async fn announce(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    (first, last): (i64, i64),
    state: &'static str,
) -> Result<(), sqlx::Error> {
    let body = json!({ "from_slot": first, "to_slot": last, "state": state });
    cursor.announce(connection, "gap", &body).await?;
    Ok(())
}
