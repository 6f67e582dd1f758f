//! Whether the mirror and the chain agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use anyhow::Context;
use driftshield_sdk::{Account, Event, json};
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection, types::Json};
use tokio::time::{Instant, sleep};

use crate::{
    Endpoints,
    accounts::table,
    apply::Cursor,
    events::counters,
    rows::STATEMENT_ROWS,
    snapshot::{self, Snapshot},
};

/// How long the mirror may stand still on its way to the slot of the chain's answer.
const STANDSTILL: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);
/// What differs because the chain moved meanwhile is gone at a later look.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

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

/// Compares every account of the program with its bytes and its columns in the mirror, and every
/// event with its bytes, its numbers and the counters of the accounts that it speaks of.
///
/// Differences are those that several looks in a row have found.
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
    lamports: String,
    data: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct MirroredEvent {
    seq: i64,
    name: Option<String>,
    body: Option<Json<Value>>,
    data: Vec<u8>,
    accounts: Vec<String>,
    numbers: Vec<String>,
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
            "select address, kind, lamports::text, data from chain.account
             where closed_slot is null",
        )
        .fetch(&mut *self.connection);
        while let Some(account) = mirrored.try_next().await? {
            let address = &account.address;
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
                    "account {address}: data differs at byte {at} ({mirror} bytes in the mirror, \
                     {chain} on chain)"
                ));
            }
            if account.lamports != on_chain.lamports.to_string() {
                let (mirror, chain) = (&account.lamports, on_chain.lamports);
                found.push(format!(
                    "account {address}: {mirror} lamports in the mirror, {chain} on chain"
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

    /// The tables of the account types against the chain's bytes, put through the same JSON.
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
        Ok(())
    }

    async fn columns_of(&mut self, kind: &str, rows: &[Map<String, Value>]) -> anyhow::Result<()> {
        let table = table(kind);
        let sql = format!(
            "select expected.address, array_agg(field.key order by field.key)
             from jsonb_populate_recordset(null::{table}, $1) expected
             left join {table} mirrored on mirrored.address = expected.address,
             jsonb_each(to_jsonb(expected) - '{{slot,write_version,closed_slot}}'::text[]) field
             where to_jsonb(mirrored) -> field.key is distinct from field.value
             group by expected.address"
        );
        let differing: Vec<(String, Vec<String>)> = sqlx::query_as(&sql)
            .bind(Json(rows))
            .fetch_all(&mut *self.connection)
            .await?;
        for (address, columns) in differing {
            let columns = columns.join(", ");
            self.differs(format!(
                "account {address}: columns of {table} differ: {columns}"
            ));
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

    /// Every event against its own bytes, and `seq`.
    async fn events(&mut self) -> anyhow::Result<()> {
        let mut found = vec![];
        let mut last = 0;
        let mut events = sqlx::query_as::<_, MirroredEvent>(
            "select seq, name, body, data,
               array(select account from chain.event_account counted
                     where counted.seq = event.seq order by account) as accounts,
               array(select number::text from chain.event_account counted
                     where counted.seq = event.seq order by account) as numbers
             from chain.event order by seq",
        )
        .fetch(&mut *self.connection);
        while let Some(event) = events.try_next().await? {
            let seq = event.seq;
            self.report.events += 1;
            if seq != last + 1 {
                found.push(format!("event {seq}: follows event {last}"));
            }
            last = seq;
            found.extend(
                event
                    .differences()
                    .map(|what| format!("event {seq}: {what}")),
            );
        }
        drop(events);
        let cursor = read_cursor(self.connection).await?;
        if cursor.seq != last {
            let seq = cursor.seq;
            found.push(format!(
                "event {last}: is the last one, but the cursor says {seq}"
            ));
        }
        self.report.differences.extend(found);
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
    fn differences(self) -> impl Iterator<Item = &'static str> {
        let described = json::event(&self.data).ok();
        let (name, body) = described
            .map(|event| (event.name, Value::from(event.fields)))
            .unzip();
        let counted: BTreeSet<(String, String)> =
            self.accounts.into_iter().zip(self.numbers).collect();
        let expected = Event::decode(&self.data)
            .map(|event| counters(&event))
            .unwrap_or_default()
            .into_iter()
            .map(|(account, number)| (account, number.to_string()));
        [
            (self.name.as_deref() != name).then_some("name differs from its bytes"),
            (self.body.map(|body| body.0) != body).then_some("body differs from its bytes"),
            (counted != expected.collect()).then_some("accounts differ from its bytes"),
        ]
        .into_iter()
        .flatten()
    }
}
