//! Comparison of the mirror with the chain.

mod accounts;
mod comparison;
mod counters;
mod events;
mod slots;

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    endpoints::Endpoints,
    snapshot::{self, Snapshot},
};
use comparison::{Comparison, read_cursor};

pub use comparison::Report;

/// Time without progress of the mirror after which verification stops waiting for the mirror.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of passes. Repeated passes filter out differences that arise because the chain
/// advances during a pass.
const MAX_PASSES: u32 = 3;
const PASS_DELAY: Duration = Duration::from_secs(1);

/// Compares the mirror with the chain and with itself:
///
/// - every account of the program: its bytes and its columns,
/// - every event: its position, the rows derived from it, and its numbers among the events of its
///   accounts,
/// - every slot: its parent.
///
/// Reports the differences that every pass finds. A difference in the data, lamports or columns of
/// an account names the slot of the mirrored state: an account that changes between two passes
/// yields two distinct differences, and neither is reported.
pub async fn verify(endpoints: &Endpoints) -> anyhow::Result<Report> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("cannot connect to Postgres; check --database-url")?;
    let rpc = snapshot::client(endpoints.rpc()?);

    let mut persistent: Option<BTreeSet<String>> = None;
    let mut pass = 1;
    loop {
        let cursor = read_cursor(&mut connection).await?;
        let chain = snapshot::read(&rpc, cursor.slot).await?;
        wait_for_slot(&mut connection, chain.slot).await?;
        let mut report = compare(&mut connection, &chain).await?;
        if let Some(earlier) = &persistent {
            report
                .differences
                .retain(|difference| earlier.contains(difference));
        }
        if report.differences.is_empty() || pass == MAX_PASSES {
            return Ok(report);
        }
        persistent = Some(report.differences);
        pass += 1;
        sleep(PASS_DELAY).await;
    }
}

/// Waits until the mirror has applied `slot` or makes no progress for [`STALL_TIMEOUT`]. If the
/// chain itself has stopped, the mirror may never reach a slot that is still open. The comparison
/// then reports what the mirror lacks.
async fn wait_for_slot(connection: &mut PgConnection, slot: u64) -> anyhow::Result<()> {
    let (mut mirror_slot, mut since) = (0, Instant::now());
    loop {
        let cursor = read_cursor(connection).await?;
        if slot <= cursor.slot.unsigned_abs() {
            return Ok(());
        }
        if mirror_slot < cursor.slot {
            (mirror_slot, since) = (cursor.slot, Instant::now());
        }
        if STALL_TIMEOUT < since.elapsed() {
            tracing::warn!(
                mirror_slot,
                chain_slot = slot,
                "mirror is behind the chain and makes no progress"
            );
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Runs all comparisons in one snapshot of the database.
async fn compare(connection: &mut PgConnection, chain: &Snapshot) -> anyhow::Result<Report> {
    let mut transaction = connection.begin().await?;
    sqlx::query("set transaction isolation level repeatable read read only")
        .execute(&mut *transaction)
        .await?;
    let mut comparison = Comparison {
        connection: &mut transaction,
        report: Report {
            accounts: chain.accounts.len(),
            ..Default::default()
        },
    };
    accounts::compare_bytes(&mut comparison, chain).await?;
    accounts::compare_columns(&mut comparison, chain).await?;
    slots::compare(&mut comparison).await?;
    events::compare(&mut comparison).await?;
    counters::compare_sequences(&mut comparison).await?;
    counters::compare_last(&mut comparison).await?;
    Ok(comparison.report)
}
