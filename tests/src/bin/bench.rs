//! `bench compute`, `bench rent`: compute units and rent of the program, measured in the virtual machine.
//! `bench noise`: how often noise reaches the noise floor. `bench analysis`: how well calibrated the drift
//! analysis is. `bench indexer`: how fast the indexer mirrors. `bench api`: how fast the API serves.

use std::{collections::BTreeMap, fs, net::SocketAddr};

use clap::Parser;
use driftshield_sdk::{
    Collateral, Config, Exposure, Market, Model, PAGE_WINDOWS, Policy, Position, Receipt, Seat,
    Series, Vault, WithdrawRequest,
};
use driftshield_tests::{
    api_load, bench,
    calibration::{self, score::Report},
    ingest::phases,
    noise,
    paths::target_dir,
    results::{machine, versions_of, write_results},
    world::program_file,
};
use serde_json::{Value, json};

/// Number of key sets. The cost of finding PDA bumps depends on the keys, so it is averaged over sets.
const KEY_SETS: usize = 100;

/// Measurements.
#[derive(Parser)]
enum Options {
    /// Compute units of the instructions.
    Compute,
    /// Rent of the accounts.
    Rent,
    /// Share of the years without drift that reach the noise floor.
    Noise {
        /// Years that are simulated of each model.
        #[arg(long, default_value_t = 10_000)]
        years: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Calibration of the drift analysis.
    Analysis {
        /// Number of series of each law.
        #[arg(long, default_value_t = 1_000)]
        series: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Speed of the indexer.
    Indexer {
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Transactions of the recording.
        #[arg(long, default_value_t = 600_000)]
        transactions: u64,
        /// Transactions in a slot of the full load.
        #[arg(long, default_value_t = 1_000)]
        slot_transactions: usize,
        /// Number of slots whose time from slot to row is measured.
        #[arg(long, default_value_t = 250)]
        live_slots: usize,
        /// Slots that an outage misses.
        #[arg(long, default_value_t = 1_500)]
        outage_slots: usize,
    },
    /// Speed of the API.
    Api {
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Transactions of the recording.
        #[arg(long, default_value_t = 600_000)]
        transactions: u64,
        /// Events that are applied in a second meanwhile.
        #[arg(long, default_value_t = 200)]
        updates_per_sec: u64,
        /// Number of times that each answer is measured.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long it is measured each time.
        #[arg(long, default_value_t = 3)]
        round_secs: u64,
        /// Clients that send requests at the same time.
        #[arg(long, default_value_t = 32)]
        clients: usize,
        #[arg(long, default_value_t = 5_000)]
        sockets: usize,
        /// How long the messages of the sockets are measured.
        #[arg(long, default_value_t = 20)]
        socket_secs: u64,
        /// How long a client sends far more than it may.
        #[arg(long, default_value_t = 20)]
        greedy_secs: u64,
    },
    /// Answers with a constant body, to compare the API with.
    #[command(hide = true)]
    Constant {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        bytes: usize,
    },
}

fn main() {
    match Options::parse() {
        Options::Compute => compute(),
        Options::Rent => rent(),
        Options::Noise { years, seed } => noise(years, seed),
        Options::Analysis { series, seed } => analysis(series, seed),
        Options::Indexer {
            seed,
            transactions,
            slot_transactions,
            live_slots,
            outage_slots,
        } => indexer(&phases::Options {
            seed,
            transactions,
            slot_transactions,
            live_slots,
            outage_slots,
        }),
        Options::Api {
            seed,
            transactions,
            updates_per_sec,
            rounds,
            round_secs,
            clients,
            sockets,
            socket_secs,
            greedy_secs,
        } => api(&api_load::Options {
            seed,
            transactions,
            updates_per_sec,
            rounds,
            round_secs,
            clients,
            sockets,
            socket_secs,
            greedy_secs,
        }),
        Options::Constant { listen, bytes } => {
            wait_for(api_load::serve_constant(listen, bytes));
        }
    }
}

/// Runs a measurement to its end, or ends the process if it fails.
fn wait_for<T>(measurement: impl Future<Output = anyhow::Result<T>>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measurement).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        std::process::exit(1);
    })
}

/// Prints how fast the API serves, and writes it to `bench/api.json`.
fn api(options: &api_load::Options) {
    let mut results = wait_for(api_load::run(options, &target_dir()));
    results["machine"] = machine();
    results["versions"] = versions_of(&["axum", "sqlx", "tokio-tungstenite"]);
    write_results("api", &results);
}

/// Prints how fast the indexer mirrors a recorded load, and writes it to `bench/indexer.json`.
fn indexer(options: &phases::Options) {
    let mut results = wait_for(phases::run(options, &target_dir()));
    results["machine"] = machine();
    results["versions"] = versions_of(&["litesvm", "sqlx", "yellowstone-grpc-proto"]);
    write_results("indexer", &results);
}

/// Prints a line for each model, length of windows and metric, and writes all to `bench/noise.json`.
fn noise(years: u64, seed: u64) {
    const HOUR: u64 = 60 * 60;
    let mut outcomes = vec![];
    println!(
        "{:<40} {:>7} {:<18} {:>6} ratio",
        "model", "window", "metric", "above"
    );
    for window_secs in [31 * 24 * HOUR, 24 * HOUR, HOUR] {
        for case in noise::sparsest() {
            let threads = noise::threads();
            for outcome in noise::simulate(&case, window_secs, years, seed, threads) {
                println!(
                    "{:<40} {:>6}h {:<18} {:>5.2}% {:.3}",
                    case.name,
                    window_secs / HOUR,
                    outcome.metric,
                    100.0 * outcome.above,
                    outcome.ratio
                );
                outcomes.push(outcome);
            }
        }
    }
    let results = json!({
        "outcomes": outcomes,
        "machine": machine(),
        "versions": versions_of(&["rand"]),
    });
    write_results("noise", &results);
}

/// Prints how well calibrated the chances of the drift analysis are, on simulated series and on the example's
/// data, and writes it to `bench/analysis.json`.
fn analysis(series: u64, seed: u64) {
    const AHEAD: [usize; 4] = [1, 3, 10, 30];
    let results = calibration::calibrate(series, &AHEAD, seed, noise::threads());
    println!(
        "{:<28} {:>9} {:>7} {:>9} {:>7} {:>11} {:>7}",
        "forecasts", "number", "Brier", "base rate", "skill", "calibration", "bias"
    );
    print_report("all", &results.all);
    let groups = [("law", &results.by_law), ("event", &results.by_event)];
    for (group, reports) in groups {
        for (name, report) in reports {
            print_report(&format!("{group}: {name}"), report);
        }
    }
    let groups = [
        ("history", &results.by_history),
        ("ahead", &results.by_windows_ahead),
    ];
    for (group, reports) in groups {
        for (name, report) in reports {
            print_report(&format!("{group}: {name} windows"), report);
        }
    }
    print_report("max, if independent", &results.max_if_independent);
    let examples = [5_000, 500].map(|rows| calibration::example::calibrate(rows, &AHEAD[..3]));
    for example in &examples {
        let name = format!("example, {} windows", example.windows);
        print_report(&name, &example.all);
        print_report("  max, if independent", &example.max_if_independent);
    }
    println!("forecast chance, share that happened, number of forecasts");
    for bin in &results.all.bins {
        println!(
            "{:>5.3} {:>5.3} {:>8}",
            bin.forecast, bin.happened, bin.forecasts
        );
    }
    println!(
        "law: share with a significant trend, share with change points, number of change points"
    );
    for (law, found) in &results.statistics {
        println!(
            "{law:<28} {:>5.3} {:>5.3} {:>5.2}",
            found.significant_trends, found.with_change_points, found.change_points
        );
    }
    let results = json!({
        "simulated": results,
        "example": examples,
        "machine": machine(),
        "versions": versions_of(&["rand", "rand_distr"]),
    });
    write_results("analysis", &results);
}

fn print_report(name: &str, report: &Report) {
    println!(
        "{name:<28} {:>9} {:>7.4} {:>9.4} {:>7.3} {:>11.4} {:>7.4}",
        report.forecasts,
        report.brier,
        report.brier_of_base_rate,
        report.skill,
        report.calibration_error,
        report.bias,
    );
}

/// Prints a line per benchmark case, its mean and its maximum compute units over all key sets, and writes
/// all to `bench/compute.json`.
fn compute() {
    let mut runs: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for set in 0..KEY_SETS {
        eprint!("\r{}/{KEY_SETS}", set + 1);
        for (name, units) in bench::compute(&format!("bench {set}")) {
            runs.entry(name).or_default().push(units);
        }
    }
    eprintln!();
    println!("instruction mean_units max_units");
    let mut instructions = BTreeMap::new();
    for (name, units) in runs {
        let mean = units.iter().sum::<u64>() / units.len() as u64;
        let max = *units.iter().max().expect("a run");
        println!("{name} {mean} {max}");
        instructions.insert(name, json!({ "mean_units": mean, "max_units": max }));
    }
    let program = fs::metadata(program_file("driftshield.so")).expect("the program is built");
    let results = json!({
        "program_bytes": program.len(),
        "instructions": instructions,
        "machine": machine(),
        "versions": versions(),
    });
    write_results("compute", &results);
}

/// The locked versions of the libraries that the program's costs depend on.
fn versions() -> Value {
    versions_of(&["anchor-lang", "anchor-spl", "litesvm"])
}

/// Prints a line for each account type of the program, and one for token accounts: the size in bytes,
/// discriminator included, and the rent-exempt balance in lamports. The last line is the share of a
/// window, beside its receipt while that is open, in a page that holds 256. Writes all to
/// `bench/rent.json`.
fn rent() {
    let svm = litesvm::LiteSVM::new();
    println!("account bytes lamports");
    let mut accounts = BTreeMap::new();
    let mut print = |name: &'static str, bytes: usize| {
        let lamports = svm.minimum_balance_for_rent_exemption(bytes);
        println!("{name} {bytes} {lamports}");
        accounts.insert(name, json!({ "bytes": bytes, "lamports": lamports }));
    };
    macro_rules! accounts {
        ($($name:ident),*) => {
            $(print(stringify!($name), 8 + size_of::<$name>());)*
        };
    }
    accounts!(
        Config,
        Collateral,
        Model,
        Seat,
        Receipt,
        Series,
        Market,
        Position,
        Vault,
        Exposure,
        WithdrawRequest,
        Policy
    );
    print("token account", 165);
    // A window's receipt is closed when it is settled. For the rest of its life, the window occupies
    // its share of a page.
    let page = 8 + size_of::<Series>();
    let bytes = page as f64 / PAGE_WINDOWS as f64;
    let lamports = svm.minimum_balance_for_rent_exemption(page) / PAGE_WINDOWS;
    println!("window {bytes:.2} {lamports}");
    let results = json!({
        "accounts": accounts,
        "window": { "bytes": bytes, "lamports": lamports },
        "machine": machine(),
        "versions": versions(),
    });
    write_results("rent", &results);
}
