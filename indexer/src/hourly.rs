//! Totals by hour, fed by each event once: `chain.hourly`.
//!
//! The totals of a group of slots are added to the rows in one statement, in the transaction that stores
//! the slots. So a slot that is repeated changes nothing. Rows that slots change which can still be undone are
//! kept as they were.

mod count;
#[cfg(test)]
mod tests;
mod totals;

use std::{collections::BTreeMap, ops::Range, sync::LazyLock};

use chrono::{DateTime, Utc};
use driftshield_sdk::Address;
use sqlx::PgConnection;

use crate::{copy::CopyRows, sql::built};
pub use count::Counter;
use totals::Totals;

pub const TABLE: &str = "chain.hourly";
const STAGING: &str = "pg_temp.hourly";
/// The columns that name a row.
const KEY: [&str; 4] = ["kind", "subject", "mint", "hour"];

/// Whose totals a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Platform,
    Model(Address),
    Market(Address),
    Vault(Address),
    Wallet(Address),
}

impl Subject {
    fn kind(&self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Model(_) => "model",
            Self::Market(_) => "market",
            Self::Vault(_) => "vault",
            Self::Wallet(_) => "wallet",
        }
    }

    fn address(&self) -> &[u8] {
        match self {
            Self::Platform => &[],
            Self::Model(address)
            | Self::Market(address)
            | Self::Vault(address)
            | Self::Wallet(address) => address.as_ref(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    subject: Subject,
    mint: Address,
    /// `None` if the block has no time.
    hour: Option<DateTime<Utc>>,
}

/// What slots add to the rows.
type Added = BTreeMap<Key, Totals>;

/// The beginning of the hour.
fn hour_of(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const HOUR_SECS: i64 = 60 * 60;
    let secs = time.timestamp();
    DateTime::from_timestamp(secs - secs.rem_euclid(HOUR_SECS), 0)
}

/// Creates the temporary table through which totals reach the rows. It is empty after each transaction.
pub fn create_staging() -> String {
    format!("create temporary table {STAGING} (like {TABLE}) on commit delete rows;")
}

/// No rows yet, for [`add`].
pub fn rows() -> CopyRows {
    let names = KEY.iter().chain(Totals::NAMES);
    let names: Vec<_> = names.map(|&name| name.to_owned()).collect();
    CopyRows::new(STAGING, &names)
}

impl Counter {
    /// What was counted.
    pub fn into_rows(self) -> CopyRows {
        let mut rows = rows();
        for (key, totals) in &self.into_added() {
            let mut row = rows.row();
            row.text(key.subject.kind());
            row.bytes(key.subject.address());
            row.key(&key.mint);
            match key.hour {
                Some(hour) => row.time(hour),
                None => row.before_all_time(),
            }
            totals.push(&mut row);
        }
        rows
    }
}

/// Adds what was counted up to `slot` to the rows. If the slots can still be undone, the rows before them are
/// kept.
pub async fn add(
    connection: &mut PgConnection,
    slot: i64,
    counted: &CopyRows,
    range: Range<usize>,
    keeps_versions: bool,
) -> Result<(), sqlx::Error> {
    if range.is_empty() {
        return Ok(());
    }
    counted.store_range(connection, range).await?;
    let add = sqlx::query(add_statement(keeps_versions)).bind(slot);
    add.execute(connection).await?;
    Ok(())
}

/// Columns, each of `row`, joined by commas.
fn of(row: &str, columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|name| format!("{row}.{name}")).collect();
    columns.join(", ")
}

/// Statement that adds the rows of the temporary table, and empties it. `$1` is the slot.
fn add_statement(keeps_versions: bool) -> &'static str {
    static STATEMENTS: LazyLock<[String; 2]> = LazyLock::new(|| {
        let (key, names) = (KEY.join(", "), Totals::NAMES.join(", "));
        let add = format!(
            "insert into {TABLE} as known ({key}, {names}) select {key}, {names} from given
             on conflict ({key}) do update set {}",
            Totals::merge("known", "excluded")
        );
        let given = format!("given as (delete from {STAGING} returning *)");
        let keep = format!(
            "kept as (
               insert into {TABLE}_version (slot, existed, {key}, {names})
               select $1, true, {known_key}, {known} from given join {TABLE} known using ({key})
               union all
               select $1, false, {key}, {names} from given
               where not exists (select from {TABLE} known where ({known_key}) = ({given_key})))",
            known = of("known", Totals::NAMES),
            known_key = of("known", &KEY),
            given_key = of("given", &KEY),
        );
        [
            format!("with {given} {add}"),
            format!("with {given}, {keep} {add}"),
        ]
    });
    &STATEMENTS[usize::from(keeps_versions)]
}

/// Restores the rows as they were at the end of `ancestor`.
pub async fn undo(connection: &mut PgConnection, ancestor: i64) -> Result<(), sqlx::Error> {
    // The oldest kept version of a row is its state at the end of `ancestor`.
    let sql = format!(
        "with first as (
           select distinct on ({key}) * from {TABLE}_version where $1 < slot order by {key}, slot
         ), removed as (
           delete from {TABLE} known using first
           where not first.existed and ({known_key}) = ({first_key})
         ), forgotten as (
           delete from {TABLE}_version where $1 < slot
         )
         update {TABLE} known set ({names}) = row ({values}) from first
         where first.existed and ({known_key}) = ({first_key})",
        key = KEY.join(", "),
        names = Totals::NAMES.join(", "),
        values = of("first", Totals::NAMES),
        first_key = of("first", &KEY),
        known_key = of("known", &KEY),
    );
    sqlx::query(built(sql))
        .bind(ancestor)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets how to undo slots that are finalized.
pub async fn forget(connection: &mut PgConnection, finalized_slot: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from chain.hourly_version where slot <= $1")
        .bind(finalized_slot)
        .execute(connection)
        .await?;
    Ok(())
}
