//! Events that an older decoder could not decode.

mod contexts;
mod odds;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use driftshield_sdk::{AccountChange, Address, Event, json};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{
    Failure, Redecode,
    letters::{Letter, is_refused},
    places::{Known, Place},
    states::Bounded,
};
use crate::{
    dead_letter,
    event_id::{EventId, first_id},
    hourly, kinds,
    lives::{Life, Lives, Mints},
    rows::EventRows,
    slot::{EmittedEvent, SealedSlot},
    store::{load_all_mints, set_current},
};

pub use odds::derived_rows;

/// A row of `chain.event`.
#[derive(Clone, sqlx::FromRow)]
pub struct StoredEvent {
    pub id: i64,
    pub signature: Vec<u8>,
    pub data: Vec<u8>,
    pub block_time: Option<DateTime<Utc>>,
}

impl StoredEvent {
    async fn load(
        connection: &mut PgConnection,
        letters: &[Letter],
    ) -> Result<BTreeMap<i64, Self>, sqlx::Error> {
        let ids: Vec<_> = letters
            .iter()
            .filter_map(|letter| letter.event_id)
            .collect();
        let events: Vec<Self> = sqlx::query_as(
            "select id, signature, data, block_time from chain.event where id = any($1)",
        )
        .bind(ids)
        .fetch_all(connection)
        .await?;
        Ok(events.into_iter().map(|event| (event.id, event)).collect())
    }

    fn decode(&self) -> Result<Event, Failure> {
        json::event(&self.data).map_err(|error| error.to_string())?;
        Event::decode(&self.data).map_err(|error| error.to_string())
    }

    /// A slot with this event alone.
    pub fn sealed(&self, event: Option<Event>) -> SealedSlot {
        let id = EventId::from_i64(self.id);
        let signature = self.signature.as_slice();
        SealedSlot {
            slot: id.slot(),
            blockhash: [0; 32],
            parent_slot: id.slot() - 1,
            parent_blockhash: [0; 32],
            block_time: self.block_time,
            writes: vec![],
            emptied: [].into(),
            events: vec![EmittedEvent {
                id,
                signature: signature.try_into().expect("a signature has 64 bytes"),
                data: self.data.clone(),
                event,
            }],
        }
    }
}

/// An account that a late event changes.
struct Touched {
    bounded: Bounded,
    change: AccountChange,
}

/// An event that is decoded late.
pub struct DecodedEvent<'a> {
    pub letter: &'a Letter,
    pub stored: StoredEvent,
    pub event: Event,
}

/// Decodes the events that letters are about. Returns those that could be decoded, and the letters of the
/// others.
pub async fn decode_rows<'a>(
    connection: &mut PgConnection,
    letters: &'a [Letter],
) -> Result<(Vec<DecodedEvent<'a>>, Vec<(i64, Failure)>), sqlx::Error> {
    let stored = StoredEvent::load(connection, letters).await?;
    let (mut decoded, mut failures) = (vec![], vec![]);
    for letter in letters {
        let id = letter.event_id.unwrap_or_default();
        let Some(stored) = stored.get(&id) else {
            // Otherwise it was dropped with the oldest part of the history.
            if is_refused(connection, id).await? {
                failures.push((letter.id, "Postgres refuses the event, too".to_owned()));
            }
            continue;
        };
        match stored.decode() {
            Ok(event) => decoded.push(DecodedEvent {
                letter,
                stored: stored.clone(),
                event,
            }),
            Err(failure) => failures.push((letter.id, failure)),
        }
    }
    Ok((decoded, failures))
}

/// Decodes the events of the letters, which are in order, and stores what they say. Returns the letters that
/// stay open.
pub async fn decode(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let (decoded, mut failures) = decode_rows(redecode.connection, letters).await?;
    let seq_before = redecode.cursor.seq;
    let (mut ids, mut bets) = (vec![], HashMap::new());
    for (
        index,
        DecodedEvent {
            letter,
            stored,
            event,
        },
    ) in decoded.iter().enumerate()
    {
        let later = &decoded[index + 1..];
        match decode_event(redecode, stored, event, later).await? {
            Ok(()) => {
                ids.push(stored.id);
                odds::note_bet(&mut bets, stored.id, event);
            }
            Err(failure) => failures.push((letter.id, failure)),
        }
    }
    odds::complete(redecode, bets).await?;
    forget_announcements(redecode.connection, &ids, seq_before).await?;
    Ok(failures)
}

/// Takes the events, which are in order, out of the records of the feed up to `seq`, which announced them
/// without their fields: each is announced again. Does nothing if the feed no longer goes back as far.
async fn forget_announcements(
    connection: &mut PgConnection,
    ids: &[i64],
    seq: i64,
) -> Result<(), sqlx::Error> {
    let Some(newest) = ids.last() else {
        return Ok(());
    };
    sqlx::query(
        "update chain.feed set event_id = null
         where kind = 'event' and event_id = any($1) and seq <= $2
           and (select slot from chain.feed order by seq limit 1) <= $3",
    )
    .bind(ids)
    .bind(seq)
    .bind(EventId::from_i64(*newest).slot())
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores what an event says. Changes nothing if that can't be done.
async fn decode_event(
    redecode: &mut Redecode<'_>,
    stored: &StoredEvent,
    event: &Event,
    later: &[DecodedEvent<'_>],
) -> Result<Result<(), Failure>, sqlx::Error> {
    let id = EventId::from_i64(stored.id);
    let mut places = vec![];
    for change in changes(event) {
        let known = known(redecode, &change, id, later).await?;
        match known.place(&change, id) {
            Ok(place) => places.push((known, place, change)),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    if let Err(failure) = fill_in(redecode.connection, stored).await? {
        return Ok(Err(failure));
    }
    let mut touched = vec![];
    for (known, place, change) in places {
        let bounded = settle_place(redecode.connection, known, place, &change, stored).await?;
        touched.push(Touched { bounded, change });
    }
    let mints = load_all_mints(redecode.connection).await?;
    store_rows(redecode, stored, event, &touched, &mints).await?;
    let mut changed = vec![];
    for Touched {
        mut bounded,
        change,
    } in touched
    {
        bounded
            .life
            .note_late(event, &change, id, stored.block_time);
        let number = Some(change.number);
        changed.push(
            bounded
                .with_state(redecode.connection, number, &mints)
                .await?,
        );
    }
    redecode.store_lives(changed).await?;
    Ok(Ok(()))
}

/// The changed accounts, each once.
fn changes(event: &Event) -> Vec<AccountChange> {
    let mut changes: BTreeMap<Address, AccountChange> = BTreeMap::new();
    for change in event.changes() {
        let known = changes.entry(change.address).or_insert(change);
        known.closes |= change.closes;
    }
    changes.into_values().collect()
}

async fn known(
    redecode: &mut Redecode<'_>,
    change: &AccountChange,
    id: EventId,
    later: &[DecodedEvent<'_>],
) -> Result<Known, sqlx::Error> {
    let connection = &mut *redecode.connection;
    let (life, next) = Bounded::containing(connection, &change.address, id.get()).await?;
    let (has_earlier, has_later) = sqlx::query_as(
        "select exists (select from chain.event_account
             where account = $1 and $2 <= event_id and event_id < $3),
           exists (select from chain.event_account
             where account = $1 and $3 < event_id and event_id < $4)",
    )
    .bind(change.address.as_ref())
    .bind(life.as_ref().map_or(0, |life| life.life))
    .bind(id.get())
    .bind(next.unwrap_or(i64::MAX))
    .fetch_one(connection)
    .await?;
    let in_slot = later.iter();
    let in_slot = in_slot.take_while(|later| later.stored.id < first_id(id.slot() + 1));
    let mut in_slot = in_slot.flat_map(|later| later.event.changes());
    Ok(Known {
        life,
        next,
        has_earlier,
        has_later,
        is_closed_next: in_slot.any(|later| later.closes && later.address == change.address),
        is_settled: redecode.cursor.settled_slot.is_some(),
    })
}

/// Fills in the name and the fields of the event's row.
async fn fill_in(
    connection: &mut PgConnection,
    stored: &StoredEvent,
) -> Result<Result<(), Failure>, sqlx::Error> {
    let decoded = json::event(&stored.data).expect("the event was decoded");
    let body = Json(Value::Object(decoded.fields));
    let refused = dead_letter::refused(connection, 0..1, async |connection, _| {
        let sql = "update chain.event set name = $2, body = $3 where id = $1";
        let update = sqlx::query(sql).bind(stored.id).bind(decoded.name);
        update.bind(&body).execute(connection).await?;
        Ok(())
    });
    Ok(match refused.await?.pop() {
        None => Ok(()),
        Some((_, reason)) => Err(reason),
    })
}

/// Gives the life its name, or begins it.
async fn settle_place(
    connection: &mut PgConnection,
    known: Known,
    place: Place,
    change: &AccountChange,
    stored: &StoredEvent,
) -> Result<Bounded, sqlx::Error> {
    let Known { life, next, .. } = known;
    match place {
        Place::Life => {
            let life = life.expect("the place is a life");
            Ok(Bounded { life, next })
        }
        Place::Renamed(name) => {
            rename(connection, &change.address, name, stored.id).await?;
            let (life, next) = Bounded::containing(connection, &change.address, stored.id).await?;
            let mut life = life.expect("a life was renamed");
            life.facts.began_at = stored.block_time;
            Ok(Bounded { life, next })
        }
        Place::Begun(name) => {
            let began_at = stored.block_time.filter(|_| name != 0);
            let begun = Life {
                is_current: next.is_none(),
                ..Life::new(change.address, name, Some(change.kind), began_at)
            };
            if let Some(before) = life.filter(|before| before.is_current && begun.is_current) {
                set_current(connection, &before, false).await?;
            }
            Ok(Bounded { life: begun, next })
        }
    }
}

/// Names a life after the event that began it.
async fn rename(
    connection: &mut PgConnection,
    address: &Address,
    from: i64,
    to: i64,
) -> Result<(), sqlx::Error> {
    for table in kinds::all_tables() {
        let sql = format!("update {table} set life = $3 where address = $1 and life = $2");
        let update = sqlx::query(&sql).bind(address.as_ref()).bind(from).bind(to);
        update.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Stores the rows derived from an event, adds it to the totals, and announces it.
async fn store_rows(
    redecode: &mut Redecode<'_>,
    stored: &StoredEvent,
    event: &Event,
    touched: &[Touched],
    mints: &Mints,
) -> Result<(), sqlx::Error> {
    let connection = &mut *redecode.connection;
    let before = contexts::lives(connection, stored.id, event, touched, mints).await?;
    let lives = Lives::new(before, mints.clone());
    let mut counter = hourly::Counter::default();
    let earners = lives.earners(event);
    counter.count(stored.block_time, event, &lives, &earners);
    if !contexts::is_latest(connection, stored, event).await? {
        counter.forget_latest();
    }
    let mut rows = EventRows::new(odds::pools_before(connection, stored.id, event).await?);
    let sealed = stored.sealed(Some(event.clone()));
    for emitted in &sealed.events {
        rows.add(&sealed, emitted, &lives, &earners);
    }
    hourly::store(connection, sealed.slot, counter, false).await?;
    let mut store = redecode.store();
    // The first table has the event itself.
    for table in &rows.tables()[1..] {
        store.append(sealed.slot, table).await?;
    }
    store.announce(sealed.slot, &rows.feed).await
}
