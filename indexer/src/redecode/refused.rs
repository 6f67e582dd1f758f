//! Rows of the history that Postgres refused.

use std::collections::BTreeMap;

use driftshield_sdk::json;
use serde_json::json;
use sqlx::PgConnection;

use super::{
    Failure, Redecode,
    events::{self, DecodedEvent, StoredEvent},
    fields,
    letters::Letter,
};
use crate::{
    copy::{time_of, values},
    dead_letter,
    event_id::EventId,
    rows::FeedEvent,
    sql::built,
};

/// Fills in the refused name and fields of events, and announces the events again. Returns the letters that
/// stay open.
pub async fn store_events(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let (mut failures, mut bare) = (vec![], vec![]);
    for letter in letters {
        match letter.data.as_deref().and_then(refused_event) {
            Some(stored) => bare.push((letter, stored)),
            None => failures.push((
                letter.id,
                "the letter's data is no row of an event".to_owned(),
            )),
        }
    }
    let (stored, refused) = store_bare(redecode.connection, bare).await?;
    failures.extend(refused);
    // An event that can't be decoded has a letter of its own.
    let decoded = stored.into_iter().filter_map(|(letter, stored)| {
        let event = stored.decode().ok()?;
        Some(DecodedEvent {
            letter,
            stored,
            event,
        })
    });
    let decoded = decoded.collect();
    let (filled, refused) = fields::fill_in(redecode.connection, fields::EVENT, decoded).await?;
    failures.extend(refused);
    announce_again(redecode, &filled).await?;
    redecode.announce_accounts().await?;
    Ok(failures)
}

/// Stores the events that Postgres refused even without their fields, unless the history no longer goes back to
/// them. Returns those that have a row now, and the letters of the others.
async fn store_bare<'a>(
    connection: &mut PgConnection,
    mut events: Vec<(&'a Letter, StoredEvent)>,
) -> Result<(Vec<(&'a Letter, StoredEvent)>, Vec<(i64, Failure)>), sqlx::Error> {
    let refused = dead_letter::refused(connection, 0..events.len(), async |connection, range| {
        let events = || events[range.clone()].iter().map(|(_, stored)| stored);
        sqlx::query(
            "insert into chain.event (id, slot, signature, data, block_time)
             select id, id >> 31, signature, data, block_time
             from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::timestamptz[])
               as given (id, signature, data, block_time)
             where to_regclass('chain.event_' || (id >> 52)) is not null
             on conflict do nothing",
        )
        .bind(events().map(|event| event.id).collect::<Vec<_>>())
        .bind(
            events()
                .map(|event| &event.signature[..])
                .collect::<Vec<_>>(),
        )
        .bind(events().map(|event| &event.data[..]).collect::<Vec<_>>())
        .bind(events().map(|event| event.block_time).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    });
    let mut failures = vec![];
    for (index, reason) in refused.await?.into_iter().rev() {
        let (letter, _) = events.remove(index);
        failures.push((letter.id, reason));
    }
    Ok((events, failures))
}

/// Announces events to the clients to which they were announced without their fields, unless the feed no longer
/// has these records.
async fn announce_again(
    redecode: &mut Redecode<'_>,
    filled: &[DecodedEvent<'_>],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = filled.iter().map(|late| late.stored.id).collect();
    let announced: Vec<(i64, i64, Vec<String>)> = sqlx::query_as(
        "select seq, event_id, channels from chain.feed where kind = 'event' and event_id = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut *redecode.connection)
    .await?;
    let earlier: Vec<_> = announced.iter().map(|(seq, ..)| *seq).collect();
    let channels = announced
        .into_iter()
        .map(|(_, id, channels)| (id, channels));
    let mut channels: BTreeMap<_, _> = channels.collect();
    let events = filled.iter().filter_map(|late| {
        let id = late.stored.id;
        let fields = json::event(&late.stored.data).ok()?;
        Some(FeedEvent {
            id,
            slot: EventId::from_i64(id).slot(),
            channels: channels.remove(&id)?,
            body: json!({ "name": fields.name, "body": fields.fields }),
        })
    });
    let events: Vec<_> = events.collect();
    let slot = redecode.cursor.slot;
    redecode.store().announce(slot, &events).await?;
    // The new records announce the events from now on, also to those who resume from before.
    sqlx::query("update chain.feed set event_id = null where seq = any($1)")
        .bind(earlier)
        .execute(&mut *redecode.connection)
        .await?;
    Ok(())
}

/// The event whose row was refused.
fn refused_event(row: &[u8]) -> Option<StoredEvent> {
    let [id, _slot, signature, _name, _body, data, block_time] = values(row)[..] else {
        return None;
    };
    Some(StoredEvent {
        id: i64::from_be_bytes(id?.try_into().ok()?),
        signature: signature.filter(|bytes| bytes.len() == 64)?.to_vec(),
        data: data?.to_vec(),
        block_time: block_time.and_then(time_of),
    })
}

/// Adds refused rows that are derived from events. Returns the letters that stay open.
pub async fn store_derived(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let (decoded, mut failures) = events::decode_rows(redecode.connection, letters).await?;
    let mut by_table: BTreeMap<&str, Vec<DecodedEvent<'_>>> = BTreeMap::new();
    for late in decoded {
        let of_table = by_table.entry(&late.letter.subject).or_default();
        // A table can have several rows of the event, each with a letter.
        if of_table
            .last()
            .is_none_or(|last| last.stored.id != late.stored.id)
        {
            of_table.push(late);
        }
    }
    for (table, decoded) in by_table {
        if table == "chain.feed" {
            let filled = fields::fill_in(redecode.connection, fields::FEED, decoded).await?;
            failures.extend(filled.1);
        } else {
            replace_rows(redecode, table, decoded).await?;
        }
    }
    redecode.announce_accounts().await?;
    Ok(failures)
}

/// Replaces the rows of a table that are derived from the events.
async fn replace_rows(
    redecode: &mut Redecode<'_>,
    table: &str,
    decoded: Vec<DecodedEvent<'_>>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = decoded.iter().map(|late| late.stored.id).collect();
    let decoded = decoded.into_iter().map(|late| (late.stored, late.event));
    let rows = events::derived_rows(redecode.connection, decoded.collect()).await?;
    let mut tables = rows.tables().into_iter();
    let Some(rows) = tables.find(|rows| rows.table() == table) else {
        return Ok(());
    };
    // Which wallets only accounts name is not derived here: those stay.
    let named = match table {
        "chain.event_party" => " and is_named",
        _ => "",
    };
    let sql = format!("delete from {table} where event_id = any($1){named}");
    let delete = sqlx::query(built(sql)).bind(ids);
    delete.execute(&mut *redecode.connection).await?;
    let slot = redecode.cursor.slot;
    redecode.store().append(slot, rows).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lives::test_data::{created, slot},
        rows::EventRows,
    };

    #[test]
    fn a_refused_event_is_read_from_its_row() {
        let sealed = slot(7, vec![created(1)], vec![]);
        let mut rows = EventRows::default();
        rows.add_event(&sealed, &sealed.events[0]);
        let stored = refused_event(rows.event.get(0)).unwrap();
        assert_eq!(stored.sealed(None).events[0].id, sealed.events[0].id);
        assert_eq!(stored.block_time, sealed.block_time);
        assert_eq!(stored.signature, sealed.events[0].signature);
        assert!(refused_event(&rows.event.get(0)[..20]).is_none());
    }
}
