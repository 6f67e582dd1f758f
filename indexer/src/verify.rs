//! Comparison of the mirror with the chain.

mod accounts;
mod comparison;
mod counters;
mod events;
mod feed;
mod hourly;
mod lists;
mod lives;
mod oracles;
mod parties;
mod slots;
mod versions;

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use driftshield_sdk::AccountKind;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{cursor::Cursor, endpoints::Endpoints, rpc::Rpc};
use comparison::Comparison;

pub(crate) use accounts::MirroredAccount;
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
/// - every account of the program: its bytes, its lives, its columns, and the rows that lists are sorted by,
/// - every event: its fields, the rows derived from it, whom it concerns, what it adds to the totals by hour, and its
///   numbers among the events of its accounts,
/// - every slot: its parent and its hash, and what is kept to undo it,
/// - the cursor, the record of missing slots, and the feed.
///
/// All of it by rules of its own, not by the code that writes the mirror. `docs/indexer.md` lists what can't be
/// compared.
///
/// Reports the differences that every pass finds. A difference in the data or lamports of an account
/// names the slot of the mirrored state: an account that changes between two passes yields two
/// distinct differences, and neither is reported.
pub async fn verify(endpoints: &Endpoints) -> anyhow::Result<Report> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("cannot connect to Postgres; check --database-url")?;
    let rpc = Rpc::new(endpoints.rpc()?);

    let mut persistent: Option<BTreeSet<String>> = None;
    let mut pass = 1;
    let mut stalled_at = None;
    loop {
        let mut report = Report::default();
        for kind in AccountKind::ALL.iter().copied().map(Some).chain([None]) {
            compare_kind(&mut connection, &rpc, kind, &mut stalled_at, &mut report).await?;
        }
        compare_rest(&mut connection, &rpc, &mut report).await?;
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

/// Compares the accounts of a type. Only these are in memory at a time.
async fn compare_kind(
    connection: &mut PgConnection,
    rpc: &Rpc,
    kind: Option<AccountKind>,
    stalled_at: &mut Option<i64>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let cursor = read_cursor(connection).await?;
    let on_chain = rpc.accounts_of(kind, cursor.slot).await?;
    wait_for_slot(
        connection,
        on_chain.newest_slot().unsigned_abs(),
        stalled_at,
    )
    .await?;
    let mut comparison = Comparison {
        connection,
        report: std::mem::take(report),
    };
    accounts::compare_bytes(&mut comparison, kind, on_chain.accounts).await?;
    *report = comparison.report;
    Ok(())
}

/// Compares the mirror with itself, in one snapshot of the database, and the snapshot's last slot with the chain.
async fn compare_rest(
    connection: &mut PgConnection,
    rpc: &Rpc,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    for setting in [
        "set transaction isolation level repeatable read read only",
        // Compiling the long statements would take longer than to run them.
        "set local jit = off",
    ] {
        sqlx::query(setting).execute(&mut *transaction).await?;
    }
    let mut comparison = Comparison {
        connection: &mut transaction,
        report: std::mem::take(report),
    };
    accounts::compare_lives(&mut comparison).await?;
    lives::compare(&mut comparison).await?;
    lists::compare(&mut comparison).await?;
    slots::compare_chain(&mut comparison, rpc).await?;
    slots::compare(&mut comparison).await?;
    feed::compare(&mut comparison).await?;
    events::compare(&mut comparison).await?;
    parties::compare(&mut comparison).await?;
    hourly::compare(&mut comparison).await?;
    versions::compare(&mut comparison).await?;
    counters::compare_sequences(&mut comparison).await?;
    counters::compare_last(&mut comparison).await?;
    *report = comparison.report;
    Ok(())
}

/// Reads the cursor.
///
/// # Errors
///
/// The database has no tables, or the mirror is empty.
async fn read_cursor(connection: &mut PgConnection) -> anyhow::Result<Cursor> {
    let cursor = Cursor::read(connection)
        .await
        .map_err(crate::migrate::with_advice)?;
    cursor.context("the mirror is empty; start `indexer run` first")
}

/// Waits until the mirror has all accounts and has applied `slot`, or makes no progress for [`STALL_TIMEOUT`]. If the
/// chain itself has stopped, the mirror may never reach a slot that is still open. The comparison
/// then reports what the mirror lacks. `stalled_at` is the slot at which it made no progress: it is waited for
/// once, not for each type of account.
async fn wait_for_slot(
    connection: &mut PgConnection,
    slot: u64,
    stalled_at: &mut Option<i64>,
) -> anyhow::Result<()> {
    let (mut mirror_slot, mut since) = (0, Instant::now());
    loop {
        let cursor = read_cursor(connection).await?;
        if slot <= cursor.slot.unsigned_abs() && cursor.settled_slot.is_some() {
            return Ok(());
        }
        if *stalled_at == Some(cursor.slot) {
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
            *stalled_at = Some(cursor.slot);
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
}
