//! Storage of a group of slots, all in the transaction of the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use driftshield_sdk::{AccountKind, Address, Event, TokenProgram};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use crate::{
    copy::{CopyRow, CopyRows},
    cursor::Cursor,
    dead_letter::{self, DeadLetter},
    event_id::first_id,
    kinds::{self, KeyedRows, LifeRows},
    lives::{ChangedLife, Changes, Life, Lives, Mints, touched_addresses},
    rows::{EventRows, FeedEvent, Pools},
    slot::SealedSlot,
};

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
}

impl Store<'_> {
    /// Stores the slots. Keeps what they replace if they can still be undone.
    pub async fn slots(&mut self, slots: &[&SealedSlot]) -> Result<(), sqlx::Error> {
        let Some(last) = slots.last() else {
            return Ok(());
        };
        let addresses = touched_addresses(slots);
        let before = load_lives(self.connection, &addresses).await?;
        let mints = load_mints(self.connection, slots).await?;
        let mut lives = Lives::new(before, mints);
        let mut rows = EventRows::new(load_pools(self.connection, slots).await?);
        for slot in slots {
            rows.add(slot, &lives);
            lives.apply(slot);
        }
        let Changes {
            superseded,
            named,
            changed,
        } = lives.into_changes();
        if self.cursor.finalized_slot < last.slot {
            keep_versions(self.connection, last.slot, &addresses, &changed).await?;
        }
        self.store_slots(slots).await?;
        for life in &superseded {
            set_current(self.connection, life, false).await?;
        }
        remove_unnamed(self.connection, &named).await?;
        self.store_lives(last.slot, changed).await?;
        self.store_events(last.slot, &rows).await?;
        self.store_volumes(&rows.volumes).await?;
        for slot in slots {
            self.cursor.advance(slot);
        }
        Ok(())
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
        if changed.is_empty() {
            return Ok(());
        }
        let rows = LifeRows::new(changed);
        for rows in std::iter::once(&rows.accounts).chain(rows.by_kind.values()) {
            self.replace(slot, rows).await?;
        }
        for life in &rows.stale {
            mark_stale(self.connection, life).await?;
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
            let sql = format!(
                "update {} set is_stale = true where address = $1 and life = $2",
                rows.table
            );
            if rows.table != kinds::ACCOUNT_TABLE {
                sqlx::query(&sql)
                    .bind(&rows.addresses[index])
                    .bind(rows.lives[index])
                    .execute(&mut *self.connection)
                    .await?;
            }
        }
        Ok(())
    }

    /// Adds the events and what is derived from them, and announces them.
    async fn store_events(&mut self, slot: i64, rows: &EventRows) -> Result<(), sqlx::Error> {
        for table in rows.tables() {
            self.append(slot, table).await?;
        }
        for (id, reason) in &rows.undecoded {
            let letter = DeadLetter {
                event_id: Some(*id),
                ..DeadLetter::new("event", slot, reason)
            };
            letter.store(self.connection).await?;
        }
        self.announce(slot, &rows.feed).await
    }

    async fn append(&mut self, slot: i64, rows: &CopyRows) -> Result<(), sqlx::Error> {
        if self.care == Care::Fast {
            return rows.store(self.connection).await;
        }
        let all = 0..rows.len();
        for (index, reason) in
            dead_letter::refused(self.connection, all, async |connection, range| {
                rows.store_range(connection, range).await
            })
            .await?
        {
            let letter = DeadLetter {
                data: Some(rows.get(index)),
                ..DeadLetter::new(rows.table(), slot, &reason)
            };
            letter.store(self.connection).await?;
        }
        Ok(())
    }

    /// Appends events to the feed.
    async fn announce(&mut self, slot: i64, events: &[FeedEvent]) -> Result<(), sqlx::Error> {
        let columns = [
            "seq", "epoch", "slot", "kind", "event_id", "channels", "body",
        ];
        let mut rows = CopyRows::new("chain.feed", &columns.map(str::to_owned));
        for event in events {
            self.cursor.seq += 1;
            let mut row = rows.row();
            row.i64(self.cursor.seq);
            row.i64(self.cursor.epoch);
            row.i64(event.slot);
            row.text("event");
            row.i64(event.id);
            row.texts(&event.channels);
            row.json(&event.body);
        }
        self.append(slot, &rows).await
    }

    /// Records the stakes of the markets that changed, as of the feed's `seq`.
    pub async fn store_volumes(
        &mut self,
        volumes: &BTreeMap<Address, u64>,
    ) -> Result<(), sqlx::Error> {
        if volumes.is_empty() {
            return Ok(());
        }
        let (markets, totals): (Vec<_>, Vec<_>) = volumes
            .iter()
            .map(|(market, total)| (market.to_bytes().to_vec(), total.to_string()))
            .unzip();
        sqlx::query(
            "with given as (
               select market.address, market.life,
                      given.total::numeric / power(10::numeric, market.decimals) as volume
               from unnest($1::bytea[], $2::text[]) as given (address, total)
               join chain.market on market.address = given.address and market.is_current
             ), ended as (
               update chain.market_volume v set valid_to = $3
               from given
               where v.market = given.address and v.life = given.life and v.valid_to = $4
             )
             insert into chain.market_volume (market, life, volume, valid_from, valid_to)
             select address, life, volume, $3, $4 from given",
        )
        .bind(markets)
        .bind(totals)
        .bind(self.cursor.seq)
        .bind(i64::MAX)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }
}

impl Store<'_> {
    /// Records the stakes in all markets, as of the feed's `seq`.
    pub async fn store_all_volumes(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "with ended as (
               update chain.market_volume set valid_to = $1 where valid_to = $2)
             insert into chain.market_volume (market, life, volume, valid_from, valid_to)
             select address, life, total / power(10::numeric, decimals), $1, $2
             from chain.market",
        )
        .bind(self.cursor.seq)
        .bind(i64::MAX)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }
}

/// Stores rows in place of those with the same keys.
async fn replace_range(
    connection: &mut PgConnection,
    rows: &KeyedRows,
    range: std::ops::Range<usize>,
) -> Result<(), sqlx::Error> {
    rows.rows.store_range(connection, range).await?;
    sqlx::query(&rows.replace).execute(connection).await?;
    Ok(())
}

/// Marks the row of a life whose bytes can't be decoded. The row keeps its fields, but not its place:
/// a life that has ended or is no longer current shows it.
async fn mark_stale(connection: &mut PgConnection, life: &Life) -> Result<(), sqlx::Error> {
    let Some(kind) = life.kind else {
        return Ok(());
    };
    let sql = format!(
        "update {} set is_stale = true, is_current = $3, slot = $4, ended_slot = $5, ended_at = $6
         where address = $1 and life = $2",
        kinds::table(kind)
    );
    sqlx::query(&sql)
        .bind(life.address.as_ref())
        .bind(life.life)
        .bind(life.is_current)
        .bind(life.slot)
        .bind(life.closed_slot)
        .bind(life.facts.ended_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes the rows of life 0 at the addresses.
async fn remove_unnamed(
    connection: &mut PgConnection,
    addresses: &[Address],
) -> Result<(), sqlx::Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    let keys = bytes_of(addresses);
    for table in kinds::all_tables() {
        let sql = format!("delete from {table} where address = any($1) and life = 0");
        sqlx::query(&sql)
            .bind(&keys)
            .execute(&mut *connection)
            .await?;
    }
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
        sqlx::query(&sql)
            .bind(life.address.as_ref())
            .bind(life.life)
            .bind(is_current)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Addresses as an array of bytes for Postgres.
pub fn bytes_of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<Vec<u8>> {
    let addresses = addresses.into_iter();
    addresses
        .map(|address| address.to_bytes().to_vec())
        .collect()
}

/// Reads the current lives at the addresses.
pub async fn load_lives(
    connection: &mut PgConnection,
    addresses: &[Address],
) -> Result<Vec<Life>, sqlx::Error> {
    if addresses.is_empty() {
        return Ok(vec![]);
    }
    let keys = bytes_of(addresses);
    sqlx::query_as(
        "select address, life, is_current, kind, slot, write_version, closed_slot, lamports::text,
                data, is_exact, facts
         from chain.account join unnest($1::bytea[]) as given (key) on address = key
         where is_current",
    )
    .bind(keys)
    .fetch_all(connection)
    .await
}

impl sqlx::FromRow<'_, PgRow> for Life {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let decode = |column: &str, source: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: source.into(),
        };
        let address: &[u8] = row.try_get("address")?;
        let kind: Option<&str> = row.try_get("kind")?;
        let lamports: &str = row.try_get("lamports")?;
        let Json(facts) = row.try_get("facts")?;
        Ok(Self {
            address: address
                .try_into()
                .map_err(|_| decode("address", "not 32 bytes"))?,
            life: row.try_get("life")?,
            is_current: row.try_get("is_current")?,
            kind: kind.and_then(AccountKind::from_name),
            slot: row.try_get("slot")?,
            write_version: row.try_get("write_version")?,
            closed_slot: row.try_get("closed_slot")?,
            lamports: lamports
                .parse()
                .map_err(|_| decode("lamports", "not a 64-bit number"))?,
            data: row.try_get("data")?,
            is_exact: row.try_get("is_exact")?,
            facts,
        })
    }
}

/// Reads the pools of the markets on which the slots have bets, as the last bet before left them.
async fn load_pools(
    connection: &mut PgConnection,
    slots: &[&SealedSlot],
) -> Result<HashMap<Address, Pools>, sqlx::Error> {
    let events = slots.iter().flat_map(|slot| &slot.events);
    let markets: BTreeSet<Address> = events
        .filter_map(|emitted| match &emitted.event {
            Some(Event::BetPlaced(event)) => Some(event.market),
            _ => None,
        })
        .collect();
    if markets.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = bytes_of(&markets);
    let rows: Vec<(Vec<u8>, Vec<String>)> = sqlx::query_as(
        "select key, last.pools
         from unnest($1::bytea[]) as given (key)
         join chain.account on address = key and is_current
         cross join lateral (
           select pools::text[] from chain.odds
           where market = key and life <= event_id order by event_id desc limit 1) last",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(market, pools)| {
            let market: [u8; 32] = market.try_into().ok()?;
            Some((market.into(), Pools::from_row(&pools)?))
        })
        .collect())
}

/// Reads the registered mints, if the slots create accounts that copy their decimals.
async fn load_mints(
    connection: &mut PgConnection,
    slots: &[&SealedSlot],
) -> Result<Mints, sqlx::Error> {
    use driftshield_sdk::Event::{MarketCreated, VaultCreated};
    let events = slots.iter().flat_map(|slot| &slot.events);
    let needs_mints = events
        .filter_map(|emitted| emitted.event.as_ref())
        .any(|event| matches!(event, MarketCreated(_) | VaultCreated(_)));
    if !needs_mints {
        return Ok(Mints::new());
    }
    let rows: Vec<(Vec<u8>, i16, String)> = sqlx::query_as(
        "select mint, decimals, token_program from chain.collateral where is_current",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(mint, decimals, program)| {
            let mint: [u8; 32] = mint.try_into().ok()?;
            let program = match program.as_str() {
                "spl_token" => TokenProgram::SplToken,
                _ => TokenProgram::Token2022,
            };
            Some((mint.into(), (u8::try_from(decimals).ok()?, program)))
        })
        .collect())
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
