//! Storage of a group of slots, all in the transaction of the caller.

mod holes;
mod read;

use driftshield_sdk::{AccountKind, Address};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::task;

use crate::{
    copy::{CopyRow, CopyRows},
    cursor::Cursor,
    dead_letter::{self, DeadLetter},
    event_id::first_id,
    hourly,
    kinds::{self, KeyedRows, LifeRows},
    lives::{ChangedLife, Changes, Life, Lives, touched_addresses},
    ranks,
    rows::{EventRows, FeedEvent},
    slot::SealedSlot,
    sql::built,
};

pub use holes::{IfIncomplete, Incomplete};
pub use read::{LIFE, addresses_of, bytes_of, load_all_mints, load_lives, load_open_lives};
use read::{load_mints, load_pools};

/// How rows are sent to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// All rows of a table at once. One refused row fails the whole transaction.
    Fast,
    /// Rows that Postgres refuses become dead letters, and the others are stored.
    Careful,
}

/// Stores slots that follow each other, and moves the cursor to the last of them.
pub struct Store<'a> {
    pub connection: &'a mut PgConnection,
    pub cursor: &'a mut Cursor,
    pub care: Care,
    /// Whether what was stored showed that events are missing. Any account may be old then.
    pub lacks_events: bool,
}

impl<'a> Store<'a> {
    pub fn new(connection: &'a mut PgConnection, cursor: &'a mut Cursor, care: Care) -> Self {
        Self {
            connection,
            cursor,
            care,
            lacks_events: false,
        }
    }

    /// Stores the slots up to the first one that is refused because it is incomplete. Returns that one.
    pub async fn slots(
        &mut self,
        slots: &[&SealedSlot],
        if_incomplete: IfIncomplete,
    ) -> Result<Option<Incomplete>, sqlx::Error> {
        let incomplete = self.complete_slots(slots, if_incomplete).await?;
        if let Some(Incomplete { slot, .. }) = incomplete {
            let before = slots.partition_point(|sealed| sealed.slot < slot);
            self.complete_slots(&slots[..before], if_incomplete).await?;
        }
        Ok(incomplete)
    }

    /// Stores the slots, and announces their events. Keeps what they replace if they can still be undone.
    /// If one is refused, returns the first such, and stores none.
    async fn complete_slots(
        &mut self,
        slots: &[&SealedSlot],
        if_incomplete: IfIncomplete,
    ) -> Result<Option<Incomplete>, sqlx::Error> {
        let Some(last) = slots.last() else {
            return Ok(None);
        };
        let keeps = self.cursor.finalized_slot < last.slot;
        let changes = self.changes(slots, last.slot, keeps, if_incomplete);
        let (rows, ranked) = match changes.await? {
            Ok(stored) => stored,
            Err(incomplete) => return Ok(Some(incomplete)),
        };
        self.store_slots(slots).await?;
        self.announce(last.slot, &rows.feed).await?;
        ranks::store(self.connection, &ranked, self.cursor.seq).await?;
        Ok(None)
    }

    /// Stores slots before those that the mirror follows.
    pub async fn past_slots(&mut self, slots: &[&SealedSlot]) -> Result<(), sqlx::Error> {
        if let Some(last) = slots.last() {
            let changes = self.changes(slots, last.slot, false, IfIncomplete::Record);
            let stored = changes.await?;
            debug_assert!(stored.is_ok(), "no slot is refused");
        }
        Ok(())
    }

    /// Stores what the slots change, and their events. Returns what there is to announce and to rank.
    async fn changes(
        &mut self,
        slots: &[&SealedSlot],
        last_slot: i64,
        keeps_versions: bool,
        if_incomplete: IfIncomplete,
    ) -> Result<Result<(EventRows, ranks::Keys), Incomplete>, sqlx::Error> {
        let addresses = touched_addresses(slots);
        let before = load_lives(self.connection, &addresses).await?;
        let mints = load_mints(self.connection, slots).await?;
        let mut lives = Lives::new(before, mints);
        let mut rows = EventRows::new(load_pools(self.connection, slots).await?);
        let mut counter = hourly::Counter::default();
        for slot in slots {
            lives.apply(slot, |emitted, lives| {
                let event = emitted.event.as_ref();
                let earners = event.map(|event| lives.earners(event)).unwrap_or_default();
                rows.add(slot, emitted, lives, &earners);
                if let Some(event) = event {
                    counter.count(slot.block_time, event, lives, &earners);
                }
            });
        }
        let holes = lives.take_holes();
        if let Some(incomplete) = self.heed(slots, holes, if_incomplete).await? {
            return Ok(Err(incomplete));
        }
        let Changes {
            superseded,
            changed,
        } = lives.into_changes();
        if keeps_versions {
            keep_versions(self.connection, last_slot, &addresses, &changed).await?;
        }
        for life in &superseded {
            set_current(self.connection, life, false).await?;
        }
        let ranked = ranks::Keys::of(&changed);
        // Postgres stores the events meanwhile.
        let lives = task::spawn_blocking(move || LifeRows::new(changed));
        self.store_events(last_slot, &rows).await?;
        self.add_totals(last_slot, counter, keeps_versions).await?;
        match lives.await {
            Ok(lives) => self.store_life_rows(last_slot, lives).await?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        for slot in slots {
            self.cursor.advance(slot);
        }
        Ok(Ok((rows, ranked)))
    }

    async fn store_slots(&mut self, slots: &[&SealedSlot]) -> Result<(), sqlx::Error> {
        let columns = [
            "slot",
            "blockhash",
            "parent_slot",
            "parent_blockhash",
            "block_time",
        ];
        let mut rows = CopyRows::new("chain.slot", &columns.map(str::to_owned));
        for slot in slots {
            let mut row = rows.row();
            row.i64(slot.slot);
            row.bytes(&slot.blockhash);
            row.i64(slot.parent_slot);
            row.bytes(&slot.parent_blockhash);
            row.optional(slot.block_time, CopyRow::time);
        }
        rows.store(self.connection).await
    }

    /// Replaces the rows of changed lives.
    pub async fn store_lives(
        &mut self,
        slot: i64,
        changed: Vec<ChangedLife>,
    ) -> Result<(), sqlx::Error> {
        self.store_life_rows(slot, LifeRows::new(changed)).await
    }

    async fn store_life_rows(&mut self, slot: i64, rows: LifeRows) -> Result<(), sqlx::Error> {
        if rows.accounts.lives.is_empty() {
            return Ok(());
        }
        for rows in std::iter::once(&rows.accounts).chain(rows.by_kind.values()) {
            self.replace(slot, rows).await?;
        }
        if let Some(positions) = rows.by_kind.get(&AccountKind::Position) {
            let (addresses, lives) = (&positions.addresses, &positions.lives);
            delete(self.connection, kinds::ASK_TABLE, addresses, lives).await?;
            self.append(slot, &rows.asks).await?;
        }
        for life in &rows.stale {
            if let Some(kind) = life.kind {
                let (table, address) = (kinds::table(kind), life.address.as_ref());
                mark_stale(self.connection, &table, address, life.life).await?;
            }
            let reason = "the bytes can't be decoded";
            let letter = DeadLetter {
                data: Some(&life.data),
                address: Some(life.address.to_bytes()),
                ..DeadLetter::new("account", life.slot, reason)
            };
            letter.store(self.connection).await?;
        }
        Ok(())
    }

    /// Replaces the rows with the same keys.
    async fn replace(&mut self, slot: i64, rows: &KeyedRows) -> Result<(), sqlx::Error> {
        let all = 0..rows.rows.len();
        if self.care == Care::Fast {
            return replace_range(self.connection, rows, all).await;
        }
        for (index, reason) in
            dead_letter::refused(self.connection, all, async |connection, range| {
                replace_range(connection, rows, range).await
            })
            .await?
        {
            let letter = DeadLetter {
                data: Some(rows.rows.get(index)),
                address: rows.addresses[index].as_slice().try_into().ok(),
                ..DeadLetter::new(&rows.table, slot, &reason)
            };
            letter.store(self.connection).await?;
            if rows.table != kinds::ACCOUNT_TABLE {
                let (address, life) = (&rows.addresses[index], rows.lives[index]);
                mark_stale(self.connection, &rows.table, address, life).await?;
            }
        }
        Ok(())
    }

    /// Adds the events and what is derived from them.
    async fn store_events(&mut self, slot: i64, rows: &EventRows) -> Result<(), sqlx::Error> {
        let [events, derived @ ..] = rows.tables();
        let refused = self.append(slot, events).await?;
        // An event whose fields are refused keeps its place and its bytes: clients hear of it, and a newer
        // decoder reads it from there.
        let bare = events.with_nulls(&refused, &["name", "body"]);
        if !refused.is_empty() {
            // What is refused even so has its letter already.
            dead_letter::refused(self.connection, 0..bare.len(), async |connection, range| {
                bare.store_range(connection, range).await
            })
            .await?;
        }
        for table in derived {
            self.append(slot, table).await?;
        }
        for (id, reason) in &rows.undecoded {
            let letter = DeadLetter {
                event_id: Some(*id),
                ..DeadLetter::new("event", slot, reason)
            };
            letter.store(self.connection).await?;
        }
        Ok(())
    }

    /// Adds what was counted up to `slot` to the totals. If the slots can still be undone, the totals before
    /// them are kept.
    pub async fn add_totals(
        &mut self,
        slot: i64,
        counter: hourly::Counter,
        keeps_versions: bool,
    ) -> Result<(), sqlx::Error> {
        let rows = counter.into_rows();
        let all = 0..rows.len();
        let add = async |connection: &mut PgConnection, range| {
            hourly::add(connection, slot, &rows, range, keeps_versions).await
        };
        if self.care == Care::Fast {
            return add(self.connection, all).await;
        }
        for (index, reason) in dead_letter::refused(self.connection, all, add).await? {
            let letter = DeadLetter {
                data: Some(rows.get(index)),
                ..DeadLetter::new(hourly::TABLE, slot, &reason)
            };
            letter.store(self.connection).await?;
        }
        Ok(())
    }

    /// Adds rows. Returns the indexes of those that Postgres refused.
    pub async fn append(&mut self, slot: i64, rows: &CopyRows) -> Result<Vec<usize>, sqlx::Error> {
        if self.care == Care::Fast {
            rows.store(self.connection).await?;
            return Ok(vec![]);
        }
        let all = 0..rows.len();
        let refused = dead_letter::refused(self.connection, all, async |connection, range| {
            rows.store_range(connection, range).await
        });
        let refused = refused.await?;
        for (index, reason) in &refused {
            let address = rows.value(*index, "address");
            let letter = DeadLetter {
                data: Some(rows.get(*index)),
                address: address.and_then(|address| address.try_into().ok()),
                event_id: rows.event_id(*index),
                ..DeadLetter::new(rows.table(), slot, reason)
            };
            letter.store(self.connection).await?;
        }
        Ok(refused.into_iter().map(|(index, _)| index).collect())
    }

    /// Appends events to the feed.
    pub async fn announce(&mut self, slot: i64, events: &[FeedEvent]) -> Result<(), sqlx::Error> {
        let (epoch, first) = (self.cursor.epoch, self.cursor.seq + 1);
        let numbered = (first..).zip(events);
        let records = feed_records(
            epoch,
            numbered.map(|(seq, event)| (seq, event, &event.body)),
        );
        let refused = self.append(slot, &records).await?;
        // The feed has no hole: an event whose fields are refused is announced without them.
        let bare = json!({ "name": null, "body": null });
        let refused = refused.into_iter().map(|index| (index, &events[index]));
        let refused = refused.map(|(index, event)| (first + index as i64, event, &bare));
        let records = feed_records(epoch, refused);
        records.store(self.connection).await?;
        self.cursor.seq += events.len() as i64;
        Ok(())
    }
}

/// Records of events in the feed, each with its `seq` and body.
fn feed_records<'a>(
    epoch: i64,
    events: impl Iterator<Item = (i64, &'a FeedEvent, &'a Value)>,
) -> CopyRows {
    let columns = [
        "seq", "epoch", "slot", "kind", "event_id", "channels", "body",
    ];
    let mut rows = CopyRows::new("chain.feed", &columns.map(str::to_owned));
    for (seq, event, body) in events {
        let mut row = rows.row();
        row.i64(seq);
        row.i64(epoch);
        row.i64(event.slot);
        row.text("event");
        row.i64(event.id);
        row.texts(&event.channels);
        row.json(body);
    }
    rows
}

/// Stores rows in place of those with the same keys.
async fn replace_range(
    connection: &mut PgConnection,
    rows: &KeyedRows,
    range: std::ops::Range<usize>,
) -> Result<(), sqlx::Error> {
    rows.rows.store_range(connection, range).await?;
    sqlx::query(built(&rows.replace))
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes the rows of lives.
async fn delete(
    connection: &mut PgConnection,
    table: &str,
    addresses: &[Vec<u8>],
    lives: &[i64],
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "delete from {table} row using unnest($1::bytea[], $2::bigint[]) as given (address, life)
         where row.address = given.address and row.life = given.life"
    );
    sqlx::query(built(sql))
        .bind(addresses)
        .bind(lives)
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks the row of a life that can't be decoded or stored. The row keeps its fields, but not its place:
/// a life that has ended or is no longer current shows it.
async fn mark_stale(
    connection: &mut PgConnection,
    table: &str,
    address: &[u8],
    life: i64,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "update {table} row set is_stale = true, is_current = account.is_current, slot = account.slot,
           ended_slot = account.closed_slot, ended_at = (account.facts ->> 'ended_at')::timestamptz
         from chain.account
         where (account.address, account.life) = (row.address, row.life)
           and row.address = $1 and row.life = $2"
    );
    let mark = sqlx::query(built(sql)).bind(address).bind(life);
    mark.execute(connection).await?;
    Ok(())
}

/// Sets whether a life is the current one. Its rows stay as they are otherwise.
pub async fn set_current(
    connection: &mut PgConnection,
    life: &Life,
    is_current: bool,
) -> Result<(), sqlx::Error> {
    for table in kinds::tables_of(life.kind) {
        let sql = format!("update {table} set is_current = $3 where address = $1 and life = $2");
        sqlx::query(built(sql))
            .bind(life.address.as_ref())
            .bind(life.life)
            .bind(is_current)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Keeps the states before the changes of `slot`.
async fn keep_versions(
    connection: &mut PgConnection,
    slot: i64,
    addresses: &[Address],
    changed: &[ChangedLife],
) -> Result<(), sqlx::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let keys = bytes_of(addresses);
    sqlx::query(
        "insert into chain.account_version (slot, address, life, existed, kind, account_slot,
           write_version, closed_slot, lamports, data, is_exact, facts)
         select $1, address, life, true, kind, slot, write_version, closed_slot, lamports, data,
                is_exact, facts
         from chain.account join unnest($2::bytea[]) as given (key) on address = key
         where is_current",
    )
    .bind(slot)
    .bind(keys)
    .execute(&mut *connection)
    .await?;
    let begun = changed.iter().map(|changed| &changed.life);
    let (addresses, lives): (Vec<_>, Vec<_>) = begun
        .filter(|life| first_id(slot) <= life.life || life.life == 0)
        .map(|life| (life.address.to_bytes().to_vec(), life.life))
        .unzip();
    sqlx::query(
        "insert into chain.account_version (slot, address, life, existed)
         select $1, address, life, false
         from unnest($2::bytea[], $3::bigint[]) as given (address, life)
         on conflict do nothing",
    )
    .bind(slot)
    .bind(addresses)
    .bind(lives)
    .execute(connection)
    .await?;
    Ok(())
}
