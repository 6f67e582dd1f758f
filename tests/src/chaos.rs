//! Faults of everything on which the mirror depends, by schedules that a seed determines, and the proof that
//! the mirror is right after each of them.

pub mod comparison;
mod evidence;
pub mod link;
pub mod node;
pub mod report;
pub mod schedule;
mod traffic;
mod world;

use std::{ops::Range, time::Duration};

use futures::future::join_all;
use tokio::time::sleep;

use comparison::{Differences, compare_mirrors};
use report::Report;
use schedule::Schedule;
use traffic::Traffic;
use world::World;

/// The indexer's long waits are this much shorter, and what takes long for it, too.
const TIME_SCALE: u32 = 10;
/// Number of schedules after which the mirror is compared with a clean replay of the chain.
const REPLAY_INTERVAL: u64 = 25;
const REPLAY: &str = "replay";

/// Runs the schedules of these seeds in this number of worlds at a time, each with a part of the seeds.
/// `tell` is called after each schedule.
pub async fn run(seeds: Range<u64>, worlds: u64, tell: impl Fn(&Report)) -> Report {
    let part = (seeds.end - seeds.start).div_ceil(worlds.max(1)).max(1);
    let starts = seeds.clone().step_by(part as usize);
    let parts = starts.map(|start| run_world(start..seeds.end.min(start + part), &tell));
    let mut report = Report::default();
    for part in join_all(parts).await {
        report.merge(part);
    }
    report
}

/// Runs the schedules of these seeds on one chain and one mirror.
async fn run_world(seeds: Range<u64>, tell: impl Fn(&Report)) -> Report {
    let mut world = World::start().await;
    let mut report = Report::default();
    for seed in seeds.clone() {
        let schedule = Schedule::new(seed);
        let recovery = disturb(&mut world, &schedule).await;
        let mut differences = compare(&mut world, &schedule).await;
        if (seed + 1 - seeds.start).is_multiple_of(REPLAY_INTERVAL) || seed + 1 == seeds.end {
            differences.different.extend(compare_replay(&world).await);
        }
        if !differences.is_empty() {
            let logs = world.fixture.network.directory.path();
            let folder = evidence::keep(seed, logs, &mut world.database().await).await;
            println!("seed {seed}: logs and rows are in {}", folder.display());
        }
        report.add(&schedule, recovery, differences);
        report.counts = world.counts().await;
        tell(&report);
        world.make_standby().await;
    }
    report
}

/// Lets the faults of a schedule happen on the busy chain. Returns how long the mirror took to recover at
/// most.
async fn disturb(world: &mut World, schedule: &Schedule) -> Duration {
    let traffic = Traffic::start(world.fixture.clone(), schedule.seed);
    let mut recovery = Duration::ZERO;
    for (pause, disturbance) in &schedule.steps {
        sleep(*pause).await;
        let awaited = world.disturb(disturbance, schedule.seed).await;
        recovery = recovery.max(awaited);
    }
    recovery = recovery.max(world.recover().await);
    traffic.stop().await;
    world.recover().await;
    recovery
}

/// Compares the mirror at rest with the chain, and with itself by `indexer verify`.
async fn compare(world: &mut World, schedule: &Schedule) -> Differences {
    let mut database = world.database().await;
    let adds_accounts = schedule.steps.iter().any(|step| step.1.adds_account());
    if adds_accounts {
        remove_added(&mut database).await;
    }
    let mut differences = world.chain.compare(&mut database).await;
    let (is_right, output) = world.run_indexer("verify", "driftshield");
    if !is_right {
        differences
            .different
            .extend(output.lines().map(str::to_owned));
    }
    differences
}

/// Removes the accounts that faults added to the stream, which the mirror has set aside.
async fn remove_added(database: &mut sqlx::PgConnection) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('chain.%I', table_name) from information_schema.columns
         where table_schema = 'chain' and column_name = 'address'
           and table_name not in ('dead_letter', 'life')",
    )
    .fetch_all(&mut *database)
    .await
    .unwrap();
    for table in tables {
        let sql = format!(
            "delete from {table} where address in (
               select address from chain.dead_letter where subject = 'account')"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut *database)
            .await
            .unwrap();
    }
    sqlx::query("delete from chain.dead_letter where subject = 'account'")
        .execute(database)
        .await
        .unwrap();
}

/// Compares the mirror with one that was made from the chain's past alone.
async fn compare_replay(world: &World) -> Vec<String> {
    let mut replay = world.create_database(REPLAY).await;
    let (is_rebuilt, output) = world.run_indexer("rebuild", REPLAY);
    assert!(is_rebuilt, "{output}");
    // The server sends the last slots as faults have changed them.
    remove_added(&mut replay).await;
    let mut database = world.database().await;
    compare_mirrors(&mut database, &mut replay).await
}
