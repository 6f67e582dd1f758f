//! `soak`: runs random sequences of actions on the built program and in the books, and coalitions with
//! motives.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use driftshield_tests::{
    motives::{Pair, tally::Tally as Profits},
    soak::{
        Action, Driver, Violation, actions,
        report::Tally,
        shrink::{find_violation, shrink},
    },
};

/// Runs random sequences of actions on the built program and in the books: of consecutive seeds for
/// `--minutes`, or, with `--seed` and without `--minutes`, of that seed alone. After each seed, the coalition
/// of that seed acts, and its profit is checked.
#[derive(Parser)]
struct Options {
    /// Minutes after which no further seed starts [default: 1, unless --seed is given].
    #[arg(long)]
    minutes: Option<f64>,
    /// The first seed [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Actions per seed.
    #[arg(long, default_value_t = 1_000)]
    steps: usize,
    /// Runs only the actions of the seed with these indices.
    #[arg(long, value_delimiter = ',', requires = "seed")]
    keep: Option<Vec<usize>>,
    /// Runs only the coalition of this seed, and prints its profit.
    #[arg(long, conflicts_with_all = ["minutes", "seed", "tell"])]
    motives: Option<u64>,
    /// Prints a transcript of each seed.
    #[arg(long)]
    tell: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    std::panic::set_hook(Box::new(|_| {})); // panics are reported as violations
    if let Some(seed) = options.motives {
        let mut profits = Profits::default();
        let is_allowed = run_coalition(seed, &mut profits);
        print!("{}", profits.table());
        return exit_code(is_allowed);
    }
    let start = Driver::new();
    match &options.keep {
        Some(keep) => replay(&start, &options, keep),
        None => soak(&start, &options),
    }
}

fn soak(start: &Driver, options: &Options) -> ExitCode {
    let start_time = Instant::now();
    let fresh = rand::random::<u32>().into();
    let only_one = options.seed.is_some() && options.minutes.is_none();
    let limit = Duration::from_secs_f64(60.0 * options.minutes.unwrap_or(1.0));
    let mut tally = Tally::default();
    let mut profits = Profits::default();
    for seed in options.seed.unwrap_or(fresh).. {
        let sequence = actions(seed, options.steps);
        let mut driver = start.fork();
        driver.tally = Tally::default();
        let mut done = 0;
        let outcome = sequence.iter().try_for_each(|action| {
            done += 1;
            driver.act(action)
        });
        tally.add(&driver.tally);
        if options.tell {
            println!("{}", driver.transcript());
        }
        if let Err(violation) = outcome {
            println!("seed {seed}: {}", violation.0);
            return report_violation(start, options, seed, &sequence[..done], violation);
        }
        if !run_coalition(seed, &mut profits) {
            return ExitCode::FAILURE;
        }
        let (steps, secs) = (tally.steps(), start_time.elapsed().as_secs_f64());
        eprint!(
            "\rseed {seed}: {steps} steps, {:.0} a second ",
            steps as f64 / secs
        );
        if only_one || limit <= start_time.elapsed() {
            break;
        }
    }
    eprintln!();
    println!("{}\n{}", tally.table(), profits.table());
    println!("{} steps, no violation", tally.steps());
    ExitCode::SUCCESS
}

/// Runs the coalition of a seed. Returns whether it profits by no more than it may; prints a violation, and
/// how to replay it.
fn run_coalition(seed: u64, profits: &mut Profits) -> bool {
    match Pair::run(seed) {
        Ok(pair) => profits.count(&pair),
        Err(violation) => {
            println!("coalition of seed {seed}: {}", violation.0);
            println!("replay: scripts/soak --motives {seed}");
            return false;
        }
    }
    true
}

fn exit_code(is_success: bool) -> ExitCode {
    if is_success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Shrinks the sequence that ends in `violation`, and prints how to replay it.
fn report_violation(
    start: &Driver,
    options: &Options,
    seed: u64,
    sequence: &[Action],
    violation: Violation,
) -> ExitCode {
    let shrunk = shrink(start, sequence, violation);
    let kept: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
    println!("{}\n{}", shrunk.transcript, shrunk.violation.0);
    println!(
        "replay: scripts/soak --seed {seed} --steps {} --keep {}",
        options.steps,
        kept.join(",")
    );
    ExitCode::FAILURE
}

fn replay(start: &Driver, options: &Options, keep: &[usize]) -> ExitCode {
    let sequence = actions(options.seed.unwrap_or_default(), options.steps);
    if keep.iter().any(|&index| sequence.len() <= index) {
        let steps = sequence.len();
        eprintln!("--keep {keep:?} has an index of {steps} or more; raise --steps");
        return ExitCode::from(2);
    }
    match find_violation(start, &sequence, keep) {
        Some(shrunk) => {
            println!("{}\n{}", shrunk.transcript, shrunk.violation.0);
            ExitCode::FAILURE
        }
        None => {
            println!("no violation");
            ExitCode::SUCCESS
        }
    }
}
