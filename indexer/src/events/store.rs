//! Insertion of new events.

use std::collections::{BTreeSet, HashSet};

use sqlx::PgConnection;

use super::{
    pools::PoolTracker,
    rows::EventRows,
    slot_event::{EventIdentity, SlotEvent},
};
use crate::bulk;

/// Inserts the events that are not in the database yet, in the given order, with the rows derived
/// from them. New events are numbered from `last_seq + 1`. Notifies the listeners of channel
/// `driftshield` and returns the last sequence number used.
///
/// The caller holds the lock on the cursor's row, so no other transaction assigns numbers.
pub async fn store_events(
    connection: &mut PgConnection,
    last_seq: i64,
    events: &[SlotEvent],
    pools: PoolTracker,
) -> Result<i64, sqlx::Error> {
    let mut known = known_identities(connection, events).await?;
    let new = events.iter().filter(|event| known.insert(event.identity()));
    let mut rows = EventRows::new(pools);
    let mut seq = last_seq;
    for event in new {
        seq += 1;
        rows.add(seq, event);
    }
    if last_seq < seq {
        for (table, rows) in rows.tables() {
            bulk::insert(connection, table, rows).await?;
        }
        sqlx::query("select pg_notify('driftshield', $1)")
            .bind(seq.to_string())
            .execute(connection)
            .await?;
    }
    Ok(seq)
}

/// Reads the identities of all stored events in the slots of `events`.
async fn known_identities(
    connection: &mut PgConnection,
    events: &[SlotEvent],
) -> Result<HashSet<EventIdentity>, sqlx::Error> {
    let slots: BTreeSet<i64> = events.iter().map(|event| event.slot).collect();
    let known = sqlx::query_as(
        "select slot, signature, instruction_index, event_index
         from chain.event where slot = any($1)",
    )
    .bind(slots.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(known.into_iter().collect())
}
