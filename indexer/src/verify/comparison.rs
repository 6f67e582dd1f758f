//! State and result of a comparison.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use crate::sql::built;

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of the program's accounts on chain.
    pub accounts: usize,
    /// Number of events in the mirror.
    pub events: usize,
    /// One line for each difference, which names the account, event or slot and what differs.
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

/// A comparison in progress, within one snapshot of the database.
pub struct Comparison<'a> {
    pub connection: &'a mut PgConnection,
    pub report: Report,
}

/// Rows to compare: those expected, and the condition that selects the rows of the table.
pub struct Expected<'a> {
    /// Qualified and quoted.
    pub table: &'a str,
    /// Columns that identify a row, joined by commas.
    pub key: &'a str,
    pub rows: &'a [Value],
    /// Range of the column `event_id` or `id`, inclusive; `None` compares only the expected rows.
    pub range: Option<(&'a str, i64, i64)>,
    /// Further condition for rows of the range, such as ` and is_named`.
    pub only: &'a str,
}

/// A row that differs: its key as JSON, and the columns that differ. No columns if the row is missing
/// on one side.
pub type Differing = (Json<Value>, bool, bool, Vec<String>);

impl Comparison<'_> {
    pub fn add_difference(&mut self, line: String) {
        self.report.differences.insert(line);
    }

    /// Compares the columns that the expected rows have. Returns the rows that differ: key, whether it
    /// is expected, whether it exists, and the names of the differing columns.
    pub async fn differing(
        &mut self,
        expected: &Expected<'_>,
    ) -> Result<Vec<Differing>, sqlx::Error> {
        let Expected {
            table, key, rows, ..
        } = expected;
        let (id, first, last) = expected.range.unwrap_or(("0", 1, 0));
        let join = if expected.range.is_some() {
            "full"
        } else {
            "left"
        };
        let bounds = if expected.range.is_some() {
            format!("where {id} between $2 and $3{}", expected.only)
        } else {
            "where $2 is distinct from $3".to_owned()
        };
        let sql = format!(
            "select jsonb_build_object('key', jsonb_build_array({key})), given is not null,
               mirrored is not null,
               array(select key from jsonb_object_keys(given.names) key
                     where mirrored.body -> key is distinct from given.body -> key order by key)
             from (select {key}, to_jsonb(row) as body, names
                   from jsonb_array_elements($1) names,
                     jsonb_populate_record(null::{table}, names) row) given
             {join} join (select {key}, to_jsonb(row) as body from {table} row {bounds}) mirrored
               using ({key})
             where mirrored is null or given is null
               or exists (select from jsonb_object_keys(given.names) key
                          where mirrored.body -> key is distinct from given.body -> key)"
        );
        sqlx::query_as(built(sql))
            .bind(Json(rows))
            .bind(first)
            .bind(last)
            .fetch_all(&mut *self.connection)
            .await
    }
}

pub fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// A key in base58 as Postgres writes bytes.
pub fn key_bytes(base58: &str) -> String {
    let bytes = bs58::decode(base58).into_vec().unwrap_or_default();
    format!("\\x{}", const_hex::encode(bytes))
}
