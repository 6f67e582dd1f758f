//! Rows of the history that Postgres refused.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgConnection;

use super::{
    Failure, Redecode,
    events::{self, DecodedEvent, StoredEvent},
    letters::Letter,
};
use crate::{
    copy::{time_of, values},
    dead_letter,
    rows::EventRows,
};

/// Adds the refused rows of events. Returns the letters that stay open.
pub async fn store_events(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let mut failures = vec![];
    for letter in letters {
        let Some(stored) = letter.data.as_deref().and_then(refused_event) else {
            failures.push((
                letter.id,
                "the letter's data is no row of an event".to_owned(),
            ));
            continue;
        };
        let mut rows = EventRows::default();
        let sealed = stored.sealed(None);
        rows.add_event(&sealed, &sealed.events[0]);
        redecode.store().append(sealed.slot, &rows.event).await?;
    }
    Ok(failures)
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
    let mut tried = BTreeSet::new();
    for DecodedEvent {
        letter,
        stored,
        event,
    } in decoded
    {
        let id = stored.id;
        let rows = events::derived_rows(redecode.connection, &stored, event).await?;
        // A table can have several rows of the event, each with a letter.
        if !tried.insert((id, &letter.subject)) {
            continue;
        }
        if letter.subject == "chain.feed" {
            let body = &rows.feed[0].body;
            if let Err(failure) = fill_in(redecode.connection, id, body).await? {
                failures.push((letter.id, failure));
            }
            continue;
        }
        let mut tables = rows.tables().into_iter();
        if let Some(table) = tables.find(|table| table.table() == letter.subject) {
            // Which wallets only accounts name is not derived here: those stay.
            let named = match table.table() {
                "chain.event_party" => " and is_named",
                _ => "",
            };
            let sql = format!("delete from {} where event_id = $1{named}", table.table());
            let delete = sqlx::query(&sql).bind(id);
            delete.execute(&mut *redecode.connection).await?;
            let slot = redecode.cursor.slot;
            redecode.store().append(slot, table).await?;
        }
    }
    redecode.announce_accounts().await?;
    Ok(failures)
}

/// Fills in the fields of an event that the feed announced without them, if it still has the record.
async fn fill_in(
    connection: &mut PgConnection,
    id: i64,
    body: &Value,
) -> Result<Result<(), Failure>, sqlx::Error> {
    let refused = dead_letter::refused(connection, 0..1, async |connection, _| {
        sqlx::query("update chain.feed set body = $2 where kind = 'event' and event_id = $1")
            .bind(id)
            .bind(body)
            .execute(connection)
            .await?;
        Ok(())
    });
    Ok(match refused.await?.pop() {
        None => Ok(()),
        Some((_, reason)) => Err(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::test_data::{created, slot};

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
