//! Runs random sequences on the program and in the books, as long as one likes.
//!
//! `soak [--minutes N] [--seed S] [--steps K] [--keep I,J,…] [--tell]`: fresh seeds from `S` on, `K`
//! actions each. With a seed and no minutes it runs that seed alone; `--keep` runs only these actions
//! of it, `--tell` says what was done.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use driftshield_tests::soak::{
    Action, Driver, Violation, actions,
    report::Tally,
    shrink::{goes_wrong, shrink},
};

const USAGE: &str = "usage: soak [--minutes N] [--seed S] [--steps K] [--keep I,J,...] [--tell]";
/// Actions of a seed, unless said otherwise.
const STEPS: usize = 1_000;

struct Options {
    minutes: Option<f64>,
    seed: Option<u64>,
    steps: usize,
    keep: Option<Vec<usize>>,
    tell: bool,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|_| {})); // they are told as violations
    let start = Driver::new();
    match &options.keep {
        Some(keep) => replay(&start, &options, keep),
        None => soak(&start, &options),
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        minutes: None,
        seed: None,
        steps: STEPS,
        keep: None,
        tell: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--tell" {
            options.tell = true;
            continue;
        }
        let value = arguments.next()?;
        match name.as_str() {
            "--minutes" => options.minutes = Some(value.parse().ok()?),
            "--seed" => options.seed = Some(value.parse().ok()?),
            "--steps" => options.steps = value.parse().ok()?,
            "--keep" => {
                let places = value.split(',').map(|place| place.parse().ok());
                options.keep = Some(places.collect::<Option<_>>()?);
            }
            _ => return None,
        }
    }
    let is_one = options.keep.is_some() && options.seed.is_none();
    (!is_one).then_some(options)
}

fn soak(start: &Driver, options: &Options) -> ExitCode {
    let begun = Instant::now();
    let fresh = rand::random::<u32>().into();
    let only_one = options.seed.is_some() && options.minutes.is_none();
    let until = Duration::from_secs_f64(60.0 * options.minutes.unwrap_or(1.0));
    let mut tally = Tally::default();
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
            println!("{}", driver.tell());
        }
        if let Err(violation) = outcome {
            println!("seed {seed}: {}", violation.0);
            return tell(start, options, seed, &sequence[..done], violation);
        }
        let (steps, secs) = (tally.steps(), begun.elapsed().as_secs_f64());
        eprint!(
            "\rseed {seed}: {steps} steps, {:.0} a second ",
            steps as f64 / secs
        );
        if only_one || until <= begun.elapsed() {
            break;
        }
    }
    eprintln!();
    println!("{}", tally.table());
    println!("{} steps, no violation", tally.steps());
    ExitCode::SUCCESS
}

fn tell(
    start: &Driver,
    options: &Options,
    seed: u64,
    sequence: &[Action],
    violation: Violation,
) -> ExitCode {
    let shrunk = shrink(start, sequence, violation);
    let kept: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
    println!("{}\n{}", shrunk.story, shrunk.violation.0);
    println!(
        "replay: scripts/soak --seed {seed} --steps {} --keep {}",
        options.steps,
        kept.join(",")
    );
    ExitCode::FAILURE
}

fn replay(start: &Driver, options: &Options, keep: &[usize]) -> ExitCode {
    let sequence = actions(options.seed.unwrap_or_default(), options.steps);
    if keep.iter().any(|&place| sequence.len() <= place) {
        eprintln!("the seed has {} actions: pass --steps", sequence.len());
        return ExitCode::from(2);
    }
    match goes_wrong(start, &sequence, keep) {
        Some(shrunk) => {
            println!("{}\n{}", shrunk.story, shrunk.violation.0);
            ExitCode::FAILURE
        }
        None => {
            println!("no violation");
            ExitCode::SUCCESS
        }
    }
}
