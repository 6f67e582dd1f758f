//! Whether the mirror and the chain agree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, Event, json};
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection, types::Json};
use tokio::time::{Instant, sleep};

use crate::{
    Endpoints,
    accounts::table,
    apply::Cursor,
    events::{Derived, Placed},
    rows::STATEMENT_ROWS,
    slot::{Emitted, closed_by},
    snapshot::{self, Snapshot},
};

/// How long the mirror may stand still on its way to the slot of the chain's answer.
const STANDSTILL: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);
/// What differs because the chain moved meanwhile is gone at a later look.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How many rows are compared at a time.
const PAGE: i64 = STATEMENT_ROWS as i64;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The program's accounts on chain.
    pub accounts: usize,
    /// Events in the mirror.
    pub events: usize,
    /// A line each, naming the account or event and what differs.
    pub differences: BTreeSet<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        writeln!(
            f,
            "accounts {} events {} differences {}",
            self.accounts,
            self.events,
            self.differences.len()
        )
    }
}

/// Compares every account of the program with its bytes and its columns in the mirror, every event
/// with its bytes, its place, what is derived from it and the counters of the accounts that it
/// speaks of, and the slots with each other.
///
/// Differences are those that several looks in a row have found. Those of accounts name the slot
/// that the mirror has them of: one that changes all the time differs anew at each look.
pub async fn verify(endpoints: &Endpoints) -> anyhow::Result<Report> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("could not connect to Postgres")?;
    let rpc = snapshot::client(endpoints.rpc()?);

    let mut lasting: Option<BTreeSet<String>> = None;
    for look in 1.. {
        let cursor = read_cursor(&mut connection).await?;
        let chain = snapshot::read(&rpc, cursor.slot).await?;
        wait_for(&mut connection, chain.slot).await?;
        let mut report = compare(&mut connection, &chain).await?;
        if let Some(earlier) = &lasting {
            report.differences.retain(|found| earlier.contains(found));
        }
        if report.differences.is_empty() || look == LOOKS {
            return Ok(report);
        }
        lasting = Some(report.differences);
        sleep(BETWEEN_LOOKS).await;
    }
    unreachable!("the last look returns")
}

async fn read_cursor(connection: &mut PgConnection) -> anyhow::Result<Cursor> {
    Cursor::read(connection)
        .await?
        .context("the mirror is empty: start `indexer run` first")
}

/// Waits until the mirror has come to `slot`, or stands still: where the chain does, it may never
/// come to the slot that is open. What differs then, the comparison tells.
async fn wait_for(connection: &mut PgConnection, slot: u64) -> anyhow::Result<()> {
    let (mut mirror_slot, mut since) = (0, Instant::now());
    loop {
        let cursor = read_cursor(connection).await?;
        if slot <= cursor.slot.unsigned_abs() {
            return Ok(());
        }
        if mirror_slot < cursor.slot {
            (mirror_slot, since) = (cursor.slot, Instant::now());
        }
        if STANDSTILL < since.elapsed() {
            tracing::warn!(
                mirror_slot,
                chain_slot = slot,
                "the mirror is behind the chain"
            );
            return Ok(());
        }
        sleep(POLL).await;
    }
}

async fn compare(connection: &mut PgConnection, chain: &Snapshot) -> anyhow::Result<Report> {
    let mut transaction = connection.begin().await?;
    sqlx::query("set transaction isolation level repeatable read read only")
        .execute(&mut *transaction)
        .await?;
    let mut check = Check {
        connection: &mut transaction,
        report: Report {
            accounts: chain.accounts.len(),
            ..Default::default()
        },
    };
    check.bytes(chain).await?;
    check.columns(chain).await?;
    check.slots().await?;
    check.events().await?;
    check.numbers().await?;
    Ok(check.report)
}

/// A comparison within one state of the database.
struct Check<'a> {
    connection: &'a mut PgConnection,
    report: Report,
}

#[derive(sqlx::FromRow)]
struct MirroredAccount {
    address: String,
    kind: Option<String>,
    slot: i64,
    lamports: String,
    data: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct MirroredEvent {
    seq: i64,
    slot: i64,
    signature: String,
    transaction_index: i64,
    instruction_index: i32,
    event_index: i32,
    data: Vec<u8>,
    block_time: Option<DateTime<Utc>>,
    has_slot: bool,
}

/// What the events said so far.
#[derive(Default)]
struct Told {
    /// The last event's number and place on the chain.
    last: (i64, (i64, i64, i32, i32)),
    /// Of each account the slot in which its last event closed it, if it did.
    closed: HashMap<String, Option<i64>>,
}

impl Check<'_> {
    fn differs(&mut self, line: String) {
        self.report.differences.insert(line);
    }

    /// `chain.account` against the chain.
    async fn bytes(&mut self, chain: &Snapshot) -> anyhow::Result<()> {
        let mut missing: BTreeMap<&str, _> = chain
            .accounts
            .iter()
            .map(|account| (account.address.as_str(), account))
            .collect();
        let mut found = vec![];
        let mut mirrored = sqlx::query_as::<_, MirroredAccount>(
            "select address, kind, slot, lamports::text, data from chain.account
             where closed_slot is null",
        )
        .fetch(&mut *self.connection);
        while let Some(account) = mirrored.try_next().await? {
            let MirroredAccount { address, slot, .. } = &account;
            let Some(on_chain) = missing.remove(address.as_str()) else {
                found.push(format!("account {address}: is not on chain"));
                continue;
            };
            if account.data != on_chain.data {
                let (mirror, chain) = (account.data.len(), on_chain.data.len());
                let at = account
                    .data
                    .iter()
                    .zip(&on_chain.data)
                    .position(|(a, b)| a != b);
                let at = at.unwrap_or(mirror.min(chain));
                found.push(format!(
                    "account {address}: data of slot {slot} differs at byte {at} ({mirror} bytes \
                     in the mirror, {chain} on chain)"
                ));
            }
            if account.lamports != on_chain.lamports.to_string() {
                let (mirror, chain) = (&account.lamports, on_chain.lamports);
                found.push(format!(
                    "account {address}: {mirror} lamports of slot {slot} in the mirror, {chain} on \
                     chain"
                ));
            }
            let kind = json::account(&on_chain.data)
                .ok()
                .map(|account| account.name);
            if account.kind.as_deref() != kind {
                let mirror = account.kind.as_deref().unwrap_or("unknown");
                let chain = kind.unwrap_or("unknown");
                found.push(format!(
                    "account {address}: kind {mirror} in the mirror, {chain} on chain"
                ));
            }
        }
        drop(mirrored);
        let missing = missing.into_keys();
        found.extend(missing.map(|address| format!("account {address}: is not in the mirror")));
        self.report.differences.extend(found);
        Ok(())
    }

    /// The tables of the account types against the chain's bytes, put through the same JSON; the
    /// chain has none of closed accounts, so theirs against those that the mirror keeps.
    async fn columns(&mut self, chain: &Snapshot) -> anyhow::Result<()> {
        let mut kinds: BTreeMap<&str, Vec<Map<String, Value>>> =
            Account::NAMES.iter().map(|&name| (name, vec![])).collect();
        for account in &chain.accounts {
            if let Ok(mut described) = json::account(&account.data) {
                let address = account.address.as_str().into();
                described.fields.insert("address".into(), address);
                kinds
                    .entry(described.name)
                    .or_default()
                    .push(described.fields);
            }
        }
        for (kind, rows) in kinds {
            for rows in rows.chunks(STATEMENT_ROWS) {
                self.columns_of(kind, rows).await?;
            }
            self.versions_of(kind).await?;
        }
        self.columns_of_closed().await
    }

    async fn columns_of_closed(&mut self) -> anyhow::Result<()> {
        let mut last = String::new();
        loop {
            let page: Vec<(String, Option<String>, Vec<u8>)> = sqlx::query_as(
                "select address, kind, data from chain.account
                 where closed_slot is not null and $1 < address order by address limit $2",
            )
            .bind(&last)
            .bind(PAGE)
            .fetch_all(&mut *self.connection)
            .await?;
            match page.last() {
                Some((address, ..)) => last.clone_from(address),
                None => return Ok(()),
            }
            let mut kinds: BTreeMap<&str, Vec<Map<String, Value>>> = BTreeMap::new();
            for (address, kind, data) in page {
                let described = json::account(&data).ok();
                if kind.as_deref() != described.as_ref().map(|described| described.name) {
                    self.differs(format!("account {address}: kind differs from its bytes"));
                }
                if let Some(mut described) = described {
                    let address = address.into();
                    described.fields.insert("address".into(), address);
                    let rows = kinds.entry(described.name).or_default();
                    rows.push(described.fields);
                }
            }
            for (kind, rows) in kinds {
                self.columns_of(kind, &rows).await?;
            }
        }
    }

    async fn columns_of(&mut self, kind: &str, rows: &[Map<String, Value>]) -> anyhow::Result<()> {
        let table = table(kind);
        let sql = format!(
            "select expected.address, mirrored.slot, array_agg(field.key order by field.key)
             from jsonb_populate_recordset(null::{table}, $1) expected
             left join {table} mirrored on mirrored.address = expected.address,
             jsonb_each(to_jsonb(expected) - '{{slot,write_version,closed_slot}}'::text[]) field
             where to_jsonb(mirrored) -> field.key is distinct from field.value
             group by expected.address, mirrored.slot"
        );
        let differing: Vec<(String, Option<i64>, Vec<String>)> = sqlx::query_as(&sql)
            .bind(Json(rows))
            .fetch_all(&mut *self.connection)
            .await?;
        for (address, slot, columns) in differing {
            self.differs(match slot {
                Some(slot) => {
                    let columns = columns.join(", ");
                    format!(
                        "account {address}: columns of {table} of slot {slot} differ: {columns}"
                    )
                }
                None => format!("account {address}: is not in {table}"),
            });
        }
        Ok(())
    }

    /// Rows of one account must be of one state.
    async fn versions_of(&mut self, kind: &str) -> anyhow::Result<()> {
        let table = table(kind);
        let sql = format!(
            "select coalesce(account.address, typed.address)
             from (select * from chain.account where kind = $1) account
             full join {table} typed on typed.address = account.address
             where (account.slot, account.write_version, account.closed_slot)
               is distinct from (typed.slot, typed.write_version, typed.closed_slot)"
        );
        let differing: Vec<String> = sqlx::query_scalar(&sql)
            .bind(kind)
            .fetch_all(&mut *self.connection)
            .await?;
        for address in differing {
            self.differs(format!(
                "account {address}: chain.account and {table} are of different slots"
            ));
        }
        Ok(())
    }

    /// Every slot against the one before it, and the last one against the cursor.
    async fn slots(&mut self) -> anyhow::Result<()> {
        let broken: Vec<(i64, i64)> = sqlx::query_as(
            "select slot, before from (
               select *, lag(slot) over slots as before, lag(blockhash) over slots as before_hash
               from chain.slot window slots as (order by slot)
             ) linked
             where before is not null
               and (parent_slot, parent_blockhash) is distinct from (before, before_hash)",
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for (slot, before) in broken {
            self.differs(format!("slot {slot}: does not follow slot {before}"));
        }
        let is_at_last: bool = sqlx::query_scalar(
            "select (cursor.slot, cursor.blockhash, cursor.block_time)
                 is not distinct from (last.slot, last.blockhash, last.block_time)
               and cursor.history_from = (select min(slot) from chain.slot)
               and cursor.finalized_slot <= cursor.slot
             from chain.cursor, (select * from chain.slot order by slot desc limit 1) last
             -- Before the first slot is applied there is none.
             union all select true where not exists (select from chain.slot)",
        )
        .fetch_one(&mut *self.connection)
        .await?;
        if !is_at_last {
            self.differs("cursor: differs from chain.slot".into());
        }
        Ok(())
    }

    /// Every event against its place, and all that is derived from events against what their bytes
    /// give when derived again.
    async fn events(&mut self) -> anyhow::Result<()> {
        let first_pools = self.first_pools().await?;
        let mut told = Told::default();
        let mut derived = Derived::default();
        loop {
            let first = told.last.0 + 1;
            let page: Vec<MirroredEvent> = sqlx::query_as(
                "select seq, event.slot, signature, transaction_index, instruction_index,
                   event_index, data, event.block_time,
                   event.block_time is not distinct from slot.block_time
                     and slot.slot is not null as has_slot
                 from chain.event left join chain.slot on slot.slot = event.slot
                 where $1 <= seq order by seq limit $2",
            )
            .bind(first)
            .bind(PAGE)
            .fetch_all(&mut *self.connection)
            .await?;
            if page.is_empty() {
                break;
            }
            self.report.events += page.len();
            for event in page {
                let seq = event.seq;
                for what in told.next(&event) {
                    self.differs(format!("event {seq}: {what}"));
                }
                if let Some((market, pools)) = first_pools.get(&seq) {
                    derived.odds.begin(market.clone(), pools);
                }
                let placed = event.placed();
                if let Some(event) = &placed.emitted.event {
                    told.accounts_of(event, placed.slot);
                }
                derived.add(seq, &placed);
            }
            self.derived(&derived, first, told.last.0).await?;
            derived = Derived::after(derived.odds);
        }
        let (last, _) = told.last;
        let cursor = read_cursor(self.connection).await?;
        if cursor.seq != last {
            let seq = cursor.seq;
            self.differs(format!(
                "event {last}: is the last one, but the cursor says {seq}"
            ));
        }
        self.closures(&told.closed).await
    }

    /// The first pools of each market, with the events that they are of. Of a market that is older
    /// than the mirror they have to be believed.
    async fn first_pools(&mut self) -> anyhow::Result<HashMap<i64, (String, Vec<String>)>> {
        let first: Vec<(i64, String, Vec<String>)> = sqlx::query_as(
            "select distinct on (market) seq, market, pools::text[]
             from chain.odds order by market, seq",
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let first = first.into_iter();
        Ok(first
            .map(|(seq, market, pools)| (seq, (market, pools)))
            .collect())
    }

    /// The tables that hold events and what follows from them, of the events `first..=last`.
    async fn derived(&mut self, derived: &Derived, first: i64, last: i64) -> anyhow::Result<()> {
        for (table, rows) in derived.tables() {
            let key = match table {
                "event_account" => "account, seq",
                _ => "seq",
            };
            let sql = format!(
                "select seq, expected is not null, mirrored is not null,
                   array(select key from jsonb_each(expected) field
                         where mirrored -> field.key is distinct from field.value order by key)
                 from (select {key}, to_jsonb(row) as expected
                       from jsonb_populate_recordset(null::chain.{table}, $1) row) expected
                 full join (select {key}, to_jsonb(row) as mirrored
                            from chain.{table} row where seq between $2 and $3) mirrored
                   using ({key})
                 where expected is distinct from mirrored"
            );
            let differing: Vec<(i64, bool, bool, Vec<String>)> = sqlx::query_as(&sql)
                .bind(Json(rows))
                .bind(first)
                .bind(last)
                .fetch_all(&mut *self.connection)
                .await?;
            for (seq, is_expected, is_mirrored, columns) in differing {
                let columns = columns.join(", ");
                self.differs(match (is_expected, is_mirrored) {
                    (true, true) => {
                        format!("event {seq}: columns of chain.{table} differ: {columns}")
                    }
                    (true, false) => format!("event {seq}: is not in chain.{table}"),
                    _ => format!("event {seq}: does not belong in chain.{table}"),
                });
            }
        }
        Ok(())
    }

    /// Closed accounts against their last events: every close has one that tells of it.
    async fn closures(&mut self, closed: &HashMap<String, Option<i64>>) -> anyhow::Result<()> {
        let mut wrong = vec![];
        let mut mirrored = sqlx::query_as::<_, (String, i64)>(
            "select address, closed_slot from chain.account
             where closed_slot is not null and kind is not null",
        )
        .fetch(&mut *self.connection);
        while let Some((address, slot)) = mirrored.try_next().await? {
            if closed.get(&address) != Some(&Some(slot)) {
                wrong.push(format!(
                    "account {address}: is closed in slot {slot}, but its last event is not of that"
                ));
            }
        }
        drop(mirrored);
        self.report.differences.extend(wrong);
        Ok(())
    }

    /// The numbers of each account's events: 1, 2, 3, … in each of its lives, up to the number
    /// that the account itself has.
    async fn numbers(&mut self) -> anyhow::Result<()> {
        let broken: Vec<(String, i64, String, String)> = sqlx::query_as(
            "select counted.account, counted.seq, counted.number::text,
               coalesce(counted.before::text, 'none')
             from (
               select *, lag(number) over (partition by account order by seq) as before
               from chain.event_account
             ) counted
             left join chain.account mirrored on mirrored.address = counted.account,
             chain.cursor
             where counted.number <> 1 and counted.number is distinct from counted.before + 1
               -- The first event seen of an account that is older than the mirror has any number.
               and (counted.before is not null or mirrored.first_slot >= cursor.history_from)",
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for (account, seq, number, before) in broken {
            self.differs(format!(
                "account {account}: its event {number} (event {seq}) follows its event {before}"
            ));
        }
        self.last_numbers().await
    }

    async fn last_numbers(&mut self) -> anyhow::Result<()> {
        let accounts: Vec<(String, Vec<u8>, bool, Option<String>)> = sqlx::query_as(
            "select mirrored.address, mirrored.data, mirrored.first_slot >= cursor.history_from,
               (select counted.number::text from chain.event_account counted
                where counted.account = mirrored.address order by counted.seq desc limit 1)
             from chain.account mirrored, chain.cursor
             where mirrored.kind is not null and mirrored.closed_slot is null",
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for (address, data, is_whole, last) in accounts {
            // What can't be decoded has been told by the comparison of bytes and kinds.
            let Ok(account) = Account::decode(&data) else {
                continue;
            };
            let seq = account.seq().to_string();
            match last {
                Some(last) if last == seq => {}
                None if !is_whole => {}
                last => {
                    let last = last.unwrap_or("none".into());
                    self.differs(format!(
                        "account {address}: its last event is {last}, but it has counted {seq}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl MirroredEvent {
    fn placed(self) -> Placed {
        Placed {
            slot: self.slot,
            block_time: self.block_time,
            emitted: Emitted {
                signature: self.signature,
                transaction_index: self.transaction_index,
                instruction_index: self.instruction_index,
                event_index: self.event_index,
                event: Event::decode(&self.data).ok(),
                data: self.data,
            },
        }
    }
}

impl Told {
    /// What is wrong with the place of the next event.
    fn next(&mut self, event: &MirroredEvent) -> Vec<String> {
        let place = (
            event.slot,
            event.transaction_index,
            event.instruction_index,
            event.event_index,
        );
        let (last_seq, last_place) = std::mem::replace(&mut self.last, (event.seq, place));
        let mut wrong = vec![];
        if event.seq != last_seq + 1 {
            wrong.push(format!("follows event {last_seq}"));
        }
        if place <= last_place {
            wrong.push(format!("comes before event {last_seq} on the chain"));
        }
        if !event.has_slot {
            wrong.push(format!(
                "slot {} and its time are not in chain.slot",
                event.slot
            ));
        }
        wrong
    }

    fn accounts_of(&mut self, event: &Event, slot: i64) {
        for (account, _) in event.account_seqs() {
            self.closed.insert(account.to_string(), None);
        }
        if let Some(account) = closed_by(event) {
            self.closed.insert(account, Some(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, slot: i64, transaction_index: i64, has_slot: bool) -> MirroredEvent {
        MirroredEvent {
            seq,
            slot,
            signature: String::new(),
            transaction_index,
            instruction_index: 0,
            event_index: 0,
            data: vec![],
            block_time: None,
            has_slot,
        }
    }

    #[test]
    fn events_follow_each_other_by_number_and_by_place() {
        let mut told = Told::default();
        for (event, wrong) in [
            (event(1, 7, 3, true), vec![]),
            (event(2, 8, 0, true), vec![]),
            (event(4, 8, 1, true), vec!["follows event 2"]),
            (
                event(5, 8, 0, true),
                vec!["comes before event 4 on the chain"],
            ),
            (
                event(6, 9, 0, false),
                vec!["slot 9 and its time are not in chain.slot"],
            ),
        ] {
            assert_eq!(told.next(&event), wrong);
        }
    }
}
