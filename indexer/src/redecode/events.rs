//! Events that an older decoder could not decode.

mod contexts;
mod odds;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use driftshield_sdk::{AccountChange, Address, Event, json};
use sqlx::PgConnection;

use super::{
    Failure, Redecode,
    addresses::{Addresses, Key},
    fields,
    letters::{Letter, refused_among},
    neighbours::Neighbours,
    places::Known,
    states::with_states,
};
use crate::{
    event_id::{EventId, first_id},
    hourly,
    lives::{ChangedLife, Lives, Mints},
    rows::EventRows,
    slot::{EmittedEvent, SealedSlot},
    store::load_all_mints,
};
use contexts::Contexts;
use odds::PoolsBefore;

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

    pub fn decode(&self) -> Result<Event, Failure> {
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

/// An event that is decoded late.
pub struct DecodedEvent<'a> {
    pub letter: &'a Letter,
    pub stored: StoredEvent,
    pub event: Event,
}

/// An event that is decoded late, with the lives that it changes.
struct PlacedEvent<'a> {
    stored: &'a StoredEvent,
    event: &'a Event,
    lives: Vec<(AccountChange, Key)>,
}

/// Decodes the events that letters are about. Returns those that could be decoded, and the letters of the
/// others.
pub async fn decode_rows<'a>(
    connection: &mut PgConnection,
    letters: &'a [Letter],
) -> Result<(Vec<DecodedEvent<'a>>, Vec<(i64, Failure)>), sqlx::Error> {
    let stored = StoredEvent::load(connection, letters).await?;
    let (mut decoded, mut failures, mut missing) = (vec![], vec![], vec![]);
    for letter in letters {
        let id = letter.event_id.unwrap_or_default();
        let Some(stored) = stored.get(&id) else {
            missing.push((letter.id, id));
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
    if !missing.is_empty() {
        // The others were dropped with the oldest part of the history.
        let ids: Vec<_> = missing.iter().map(|(_, event)| *event).collect();
        let refused = refused_among(connection, &ids).await?;
        let refused = missing.iter().filter(|(_, event)| refused.contains(event));
        failures.extend(refused.map(|(letter, _)| {
            let failure = "Postgres refuses the event, too";
            (*letter, failure.to_owned())
        }));
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
    let (decoded, refused) = fields::fill_in(redecode.connection, fields::EVENT, decoded).await?;
    failures.extend(refused);
    let accounts = decoded.iter().flat_map(|late| changes(&late.event));
    let accounts = accounts.map(|change| change.address);
    let mut lives = Addresses::load(redecode.connection, accounts).await?;
    let (placed, unplaced) = place(redecode, &decoded, &mut lives).await?;
    failures.extend(unplaced);
    if placed.is_empty() {
        return Ok(failures);
    }
    let seq_before = redecode.cursor.seq;
    let mints = load_all_mints(redecode.connection).await?;
    let changed = with_states(redecode.connection, lives.changed().collect(), &mints).await?;
    store_rows(redecode, &placed, &lives, &changed, &mints).await?;
    redecode.store_lives(changed).await?;
    odds::complete(redecode, &placed, &lives).await?;
    let ids: Vec<_> = placed.iter().map(|late| late.stored.id).collect();
    forget_announcements(redecode.connection, &ids, seq_before).await?;
    Ok(failures)
}

/// Takes the events out of the records of the feed up to `seq`, which announced them without their fields: each
/// is announced again.
async fn forget_announcements(
    connection: &mut PgConnection,
    ids: &[i64],
    seq: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update chain.feed set event_id = null
         where kind = 'event' and body ->> 'name' is null and event_id = any($1) and seq <= $2",
    )
    .bind(ids)
    .bind(seq)
    .execute(connection)
    .await?;
    Ok(())
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

/// Finds the lives to which the events belong, and takes over what the events say about them. Returns the events
/// that have their places, and the letters of the others, about which nothing is changed.
async fn place<'a>(
    redecode: &mut Redecode<'_>,
    decoded: &'a [DecodedEvent<'_>],
    lives: &mut Addresses<'a>,
) -> Result<(Vec<PlacedEvent<'a>>, Vec<(i64, Failure)>), sqlx::Error> {
    let is_settled = redecode.cursor.settled_slot.is_some();
    let connection = &mut *redecode.connection;
    let by_account = decoded.iter().flat_map(|late| {
        let changes = changes(&late.event).into_iter();
        changes.map(|change| (change.address, late.stored.id))
    });
    let mut neighbours = Neighbours::load(connection, &by_account.collect::<Vec<_>>()).await?;
    let (mut placed, mut failures, mut unplaced) = (vec![], vec![], vec![]);
    for (index, late) in decoded.iter().enumerate() {
        let (id, at) = (EventId::from_i64(late.stored.id), late.stored.block_time);
        let place = |change: AccountChange| {
            let later = &decoded[index + 1..];
            let known = known(lives, &neighbours, &change, id, later, is_settled);
            known.place(&change, id).map(|place| (change, place))
        };
        let places: Result<Vec<_>, Failure> = changes(&late.event).into_iter().map(place).collect();
        let places = match places {
            Ok(places) => places,
            Err(failure) => {
                failures.push((late.letter.id, failure));
                unplaced.push(late.stored.id);
                continue;
            }
        };
        let mut changed = vec![];
        for (change, place) in places {
            let key = lives.settle(&change, place, id, at);
            lives.note(&key, &change, (id, &late.event), at);
            neighbours.add(change.address, late.stored.id);
            changed.push((change, key));
        }
        placed.push(PlacedEvent {
            stored: &late.stored,
            event: &late.event,
            lives: changed,
        });
    }
    lives.store_names(connection).await?;
    fields::take_out(connection, &unplaced).await?;
    Ok((placed, failures))
}

/// What the mirror knows about a changed account. `later` are the events after the event `id` that are decoded
/// late, too.
fn known(
    lives: &Addresses<'_>,
    neighbours: &Neighbours,
    change: &AccountChange,
    id: EventId,
    later: &[DecodedEvent<'_>],
    is_settled: bool,
) -> Known {
    let (life, next) = lives.containing(&change.address, id.get());
    let first = life.map_or(0, |life| life.life);
    let end = next.unwrap_or(i64::MAX);
    let in_slot = later.iter();
    let in_slot = in_slot.take_while(|later| later.stored.id < first_id(id.slot() + 1));
    let mut in_slot = in_slot.flat_map(|later| later.event.changes());
    Known {
        life: life.cloned(),
        next,
        has_earlier: neighbours.has_earlier(&change.address, first, id.get()),
        has_later: neighbours.has_later(&change.address, id.get(), end),
        is_closed_next: in_slot.any(|later| later.closes && later.address == change.address),
        is_settled,
    }
}

/// Stores the rows derived from the events, adds them to the totals, and announces them.
async fn store_rows(
    redecode: &mut Redecode<'_>,
    placed: &[PlacedEvent<'_>],
    lives: &Addresses<'_>,
    changed: &[ChangedLife],
    mints: &Mints,
) -> Result<(), sqlx::Error> {
    let connection = &mut *redecode.connection;
    let contexts = Contexts::load(connection, placed, lives, changed).await?;
    let superseded = contexts::superseded(connection, placed).await?;
    let mut pools = PoolsBefore::load(connection, lives, odds::bets(placed)).await?;
    let (mut rows, mut counter) = (EventRows::default(), hourly::Counter::default());
    for late in placed {
        let before = Lives::new(contexts.lives(late), mints.clone());
        let earners = before.earners(late.event);
        let mut counted = hourly::Counter::default();
        counted.count(late.stored.block_time, late.event, &before, &earners);
        if superseded.contains(&late.stored.id) {
            counted.forget_latest();
        }
        counter.add(counted);
        pools.set(&mut rows, late.stored.id, late.event);
        let sealed = late.stored.sealed(Some(late.event.clone()));
        rows.add(&sealed, &sealed.events[0], &before, &earners);
    }
    let slot = redecode.cursor.slot;
    let mut store = redecode.store();
    store.add_totals(slot, counter, false).await?;
    // The first table has the events themselves.
    for table in &rows.tables()[1..] {
        store.append(slot, table).await?;
    }
    store.announce(slot, &rows.feed).await
}
