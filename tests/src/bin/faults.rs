//! `faults`: runs schedules of faults against the indexer on a busy chain.

use std::process::ExitCode;

use clap::Parser;
use driftshield_tests::{chaos, paths::root};

/// Runs schedules of faults against the indexer on a busy chain, and proves after each that the mirror
/// equals the chain.
#[derive(Parser)]
struct Options {
    /// Number of schedules.
    #[arg(long, default_value_t = 20)]
    schedules: u64,
    /// The first seed. Seeds that follow each other go through all kinds of faults in turn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Prints the faults of each schedule instead of running it.
    #[arg(long)]
    list: bool,
    /// Writes the result to bench/faults.json.
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let seeds = options.seed..options.seed + options.schedules;
    if options.list {
        for seed in seeds {
            println!("{:#?}", chaos::schedule::Schedule::new(seed));
        }
        return ExitCode::SUCCESS;
    }
    let report = chaos::run(seeds, |report| {
        println!("{}", report.last_line());
    })
    .await;
    let result = report.to_json();
    println!("{result:#}");
    let differences = &report.differences;
    let lines = [
        &differences.lost,
        &differences.duplicated,
        &differences.different,
    ];
    for line in lines.into_iter().flatten() {
        println!("{line}");
    }
    println!(
        "schedules {} lost {} duplicated {} different {}",
        report.schedules,
        differences.lost.len(),
        differences.duplicated.len(),
        differences.different.len()
    );
    let idle = report.idle_kinds();
    if !idle.is_empty() {
        println!("faults that changed nothing: {}", idle.join(", "));
    }
    if options.write {
        let file = root().join("bench/faults.json");
        std::fs::write(file, format!("{result:#}\n")).expect("bench/faults.json");
    }
    if differences.is_empty() && idle.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
