//! State and result of a comparison.

use std::{collections::BTreeSet, fmt};

use anyhow::Context;
use sqlx::PgConnection;

use crate::cursor::Cursor;

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

impl Comparison<'_> {
    pub fn add_difference(&mut self, line: String) {
        self.report.differences.insert(line);
    }
}

/// Reads the cursor.
///
/// # Errors
///
/// The mirror is empty.
pub async fn read_cursor(connection: &mut PgConnection) -> anyhow::Result<Cursor> {
    Cursor::read(connection)
        .await?
        .context("the mirror is empty; start `indexer run` first")
}
