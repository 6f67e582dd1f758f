//! The measurements, in the order in which they run.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    chain::Chain,
    copy::{self, Copied},
    database::Postgres,
    mirror::{Mirror, Usage},
    recording::Recording,
};

const SLOT: Duration = Duration::from_millis(400);
/// Time for which the server refuses clients in the outage. Longer than the longest pause between two
/// attempts of the indexer, which the recovery then includes as it would after a long outage.
const REFUSAL: Duration = Duration::from_secs(20);
/// Time after which a recovery is given up.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(300);

pub struct Options {
    pub seed: u64,
    /// Number of transactions of the recording.
    pub transactions: u64,
    /// Transactions in a slot of the full load.
    pub slot_transactions: usize,
    /// Slots of the latency measurement.
    pub live_slots: usize,
    pub outage_slots: usize,
}

/// The results as JSON, without machine and versions.
pub async fn run(options: &Options, target: &Path) -> anyhow::Result<Value> {
    let recording =
        Recording::load_or_record(&target.join("bench"), options.seed, options.transactions)?;
    let recording = Arc::new(recording);
    let logs = target.join("bench");
    let postgres = Postgres::start().await?;
    let fdatasync = postgres.fdatasync_micros()?;
    println!("fdatasync of 8 kB: {fdatasync:.0} µs");

    let full = full_load(options, &recording, &postgres, &logs).await?;
    let tenth = tenth_of_load(options, &recording, &postgres, &logs, &full).await?;
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(|folder| folder.file_name()?.to_str());
    Ok(json!({
        "stream": {
            "recording": recording.summary,
            "transactions_per_slot": options.slot_transactions,
        },
        "full_load": full.report,
        "tenth_of_load": tenth,
        "postgres": {
            "version": postgres.version().await?,
            "settings": "the defaults, with fsync and synchronous_commit on, over a Unix socket",
            "fdatasync_micros": round(fdatasync),
        },
        "build_profile": profile,
        "cpu_pinning": "none: the gRPC server, the indexer and Postgres share all threads",
    }))
}

struct FullLoad {
    report: Value,
    transactions_per_sec: f64,
}

/// Replays the whole recording as fast as the indexer takes it, then stores the same rows by `COPY`.
async fn full_load(
    options: &Options,
    recording: &Arc<Recording>,
    postgres: &Postgres,
    logs: &Path,
) -> anyhow::Result<FullLoad> {
    let chain = Arc::new(Chain::new(Arc::clone(recording)));
    let database_url = postgres.create("full_load").await?;
    let mut mirror = Mirror::start("full_load", Arc::clone(&chain), database_url, logs).await?;
    let started = Instant::now();
    chain.confirm(usize::MAX, options.slot_transactions);
    let events = chain.last().context("the recording is empty")?.events;
    let time = mirror.wait_for(events).await? - started;
    let usage = mirror.usage()?;
    mirror.check().await?;
    let database_url = mirror.database_url.clone();
    mirror.stop()?;

    let slots = chain.slots();
    let updates = slots
        .iter()
        .map(|slot| chain.last_updates(slot.transactions.clone()).len());
    let updates: usize = updates.sum();
    let per_sec = |count: usize| count as f64 / time.as_secs_f64();
    println!(
        "full load: {:.0} account updates/s, {:.0} events/s, {:.1} s, peak memory {:.0} MiB",
        per_sec(updates),
        per_sec(events as usize),
        time.as_secs_f64(),
        usage.peak_memory_mib,
    );
    let last_rows = copy::last_rows(&database_url).await?;
    let all_rows = copy::all_rows(&database_url, &chain).await?;
    Ok(FullLoad {
        transactions_per_sec: per_sec(recording.transactions.len()),
        report: json!({
            "secs": round(time.as_secs_f64()),
            "slots": slots.len(),
            "account_updates": updates,
            "account_updates_per_sec": per_sec(updates).round(),
            "events_per_sec": per_sec(events as usize).round(),
            "transactions_per_sec": per_sec(recording.transactions.len()).round(),
            "indexer": report_usage(usage),
            "copy_of_a_row_for_each_update": report_copy("a row for each update", &all_rows, time),
            "copy_of_the_last_rows": report_copy("the last rows only", &last_rows, time),
        }),
    })
}

/// Prints and returns how long `COPY` took, as a share of the time that the indexer took.
fn report_copy(what: &str, copied: &Copied, indexer: Duration) -> Value {
    let share = copied.time.as_secs_f64() / indexer.as_secs_f64();
    println!(
        "COPY of {what}: {:.0} rows/s, {:.1} s; the indexer has {share:.2} of its rate",
        copied.rows_per_sec(),
        copied.time.as_secs_f64(),
    );
    json!({
        "rows": copied.rows,
        "megabytes": copied.bytes / 1_000_000,
        "secs": round(copied.time.as_secs_f64()),
        "rows_per_sec": copied.rows_per_sec().round(),
        "indexer_share": round(share),
    })
}

/// Replays a tenth of the full load in real time, and then an outage.
async fn tenth_of_load(
    options: &Options,
    recording: &Arc<Recording>,
    postgres: &Postgres,
    logs: &Path,
    full: &FullLoad,
) -> anyhow::Result<Value> {
    let per_slot = full.transactions_per_sec / 10.0 * SLOT.as_secs_f64();
    let per_slot = (per_slot.round() as usize).max(1);
    let chain = Arc::new(Chain::new(Arc::clone(recording)));
    let database_url = postgres.create("tenth").await?;
    let mut mirror = Mirror::start("tenth", Arc::clone(&chain), database_url, logs).await?;
    let growth = recording.summary.busy_from as usize;
    chain.confirm(
        growth.div_ceil(options.slot_transactions),
        options.slot_transactions,
    );
    let events = chain.last().context("the recording is empty")?.events;
    mirror.wait_for(events).await?;
    let needed = per_slot * (options.live_slots + options.outage_slots + 100);
    ensure!(
        needed <= chain.left(),
        "the recording has {} transactions left, and a tenth of the load needs {needed}; \
         raise --transactions",
        chain.left()
    );

    let latencies = slot_to_row(options.live_slots, per_slot, &mut mirror).await?;
    let recovery = outage(options.outage_slots, per_slot, &mut mirror).await?;
    let events = chain.last().context("the chain has no slot")?.events;
    mirror.wait_for(events).await?;
    let usage = mirror.usage()?;
    mirror.check().await?;
    mirror.stop()?;
    println!("peak memory {:.0} MiB", usage.peak_memory_mib);
    Ok(json!({
        "transactions_per_slot": per_slot,
        "slot_millis": SLOT.as_millis() as u64,
        "slot_to_row": latencies,
        "outage": recovery,
        "indexer": report_usage(usage),
    }))
}

/// Milliseconds from the time at which the server sends a slot's block metadata to the time at which a
/// listener of the database hears of the commit.
async fn slot_to_row(count: usize, per_slot: usize, mirror: &mut Mirror) -> anyhow::Result<Value> {
    let first = mirror.chain.slots().len();
    let mut clock = interval(SLOT);
    for _ in 0..count {
        clock.tick().await;
        mirror.chain.confirm(1, per_slot);
    }
    let events = mirror.chain.last().context("the chain has no slot")?.events;
    mirror.wait_for(events).await?;
    let slots = mirror.chain.slots();
    let mut millis = vec![];
    for slot in &slots[first..] {
        let sealed = slot.sealed_at.context("the slot was not sent")?;
        let committed = mirror.committed_at(slot.events);
        let committed = committed.context("the slot was not committed")?;
        millis.push((committed - sealed).as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    let quantile = |share: f64| round(millis[((millis.len() - 1) as f64 * share).round() as usize]);
    let updates: usize = slots[first..]
        .iter()
        .map(|slot| mirror.chain.last_updates(slot.transactions.clone()).len())
        .sum();
    let updates_per_sec = updates as f64 / count as f64 / SLOT.as_secs_f64();
    println!(
        "a tenth of it, {updates_per_sec:.0} account updates/s: slot to row p50 {} ms, p99 {} ms",
        quantile(0.5),
        quantile(0.99)
    );
    Ok(json!({
        "slots": count,
        "account_updates_per_sec": updates_per_sec.round(),
        "from": "the block metadata, right after the slot's content, is handed to the server's connection",
        "to": "a listener on Postgres gets the commit's notification",
        "p50_millis": quantile(0.5),
        "p90_millis": quantile(0.9),
        "p99_millis": quantile(0.99),
        "max_millis": quantile(1.0),
    }))
}

/// Seconds from the end of an outage until the mirror has the newest slot, while slots go on.
async fn outage(count: usize, per_slot: usize, mirror: &mut Mirror) -> anyhow::Result<Value> {
    let chain = Arc::clone(&mirror.chain);
    chain.is_down.send_replace(true);
    // The slots of the outage pass at once: the indexer sees none of them before the server is back.
    chain.confirm(count, per_slot);
    sleep(REFUSAL).await;
    chain.is_down.send_replace(false);
    let restored = Instant::now();
    let mut clock = interval(SLOT);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let time = loop {
        tokio::select! {
            _ = clock.tick() => chain.confirm(1, per_slot),
            () = sleep(Duration::from_millis(5)) => {}
        }
        let newest = chain.last().context("the chain has no slot")?.events;
        if let Some(at) = mirror.committed_at(newest) {
            break at - restored;
        }
        ensure!(
            mirror.indexer.is_running() && restored.elapsed() < RECOVERY_TIMEOUT,
            "no recovery: {}",
            mirror.indexer.output()
        );
    };
    println!(
        "outage of {count} slots: made up in {:.1} s",
        time.as_secs_f64()
    );
    Ok(json!({
        "slots": count,
        "refusal_secs": REFUSAL.as_secs(),
        "recovery_secs": round(time.as_secs_f64()),
    }))
}

fn report_usage(usage: Usage) -> Value {
    json!({
        "peak_memory_mib": usage.peak_memory_mib.round(),
        "cpu_secs": round(usage.cpu_secs),
    })
}

/// The number with two decimal places.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
