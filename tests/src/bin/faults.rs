//! `faults`: runs schedules of faults against the indexer on a busy chain.

use std::process::ExitCode;

use clap::Parser;
use driftshield_tests::{
    chaos,
    results::{machine, versions_of, write_results},
};

/// Runs schedules of faults against the indexer on a busy chain, and proves after each that the mirror
/// equals the chain.
#[derive(Parser)]
struct Options {
    /// Number of schedules.
    #[arg(long, default_value_t = 20)]
    schedules: u64,
    /// The first seed. Ten seeds from a multiple of ten on have all kinds of faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of chains to run at a time. Each gets a part of the schedules.
    #[arg(long, default_value_t = 1)]
    worlds: u64,
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
    let report = chaos::run(seeds, options.worlds, |report| {
        println!("{}", report.last_line());
    })
    .await;
    let mut result = report.to_json();
    result["first_seed"] = options.seed.into();
    result["worlds"] = options.worlds.into();
    result["machine"] = machine();
    result["versions"] = versions_of(&["sqlx", "yellowstone-grpc-proto"]);
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
        write_results("faults", &result);
    }
    if differences.is_empty() && idle.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
