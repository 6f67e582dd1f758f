//! How well calibrated the drift analysis of the API is: its chances are compared with what happens, on
//! simulated series of known laws and on the data of the example.

pub mod example;
pub mod laws;
pub mod score;

use std::{collections::BTreeMap, sync::atomic::AtomicU64, sync::atomic::Ordering, thread};

use driftshield_api::analysis::{Chance, Chances, History, Question, chances, changes, trend};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use laws::{Law, NOISE_FLOOR};
use score::{Report, Score};

/// Lengths of the histories, in windows.
const HISTORIES: [usize; 6] = [8, 12, 20, 40, 100, 250];
/// Number of thresholds of each series.
const THRESHOLDS: usize = 4;

/// What a threshold can be reached by, as the chances name it.
const EVENTS: [&str; 6] = [
    "max",
    "last",
    "mean",
    "persistence 2",
    "persistence 3",
    "persistence 4",
];

/// A forecast, and whether it came true.
#[derive(Clone, Copy)]
struct Forecast {
    event: usize,
    ahead: usize,
    chance: f64,
    /// What the chance would be if windows were independent; for `max` only.
    independent: Option<f64>,
    happened: bool,
}

/// All forecasts of one series, and what else the analysis says of its history.
struct Outcome {
    law: usize,
    history: usize,
    forecasts: Vec<Forecast>,
    has_trend: bool,
    change_points: usize,
}

/// What a calibration shows.
#[derive(Serialize)]
pub struct Results {
    pub series_of_each_law: u64,
    pub seed: u64,
    pub all: Report,
    pub by_law: BTreeMap<&'static str, Report>,
    pub by_event: BTreeMap<&'static str, Report>,
    pub by_history: BTreeMap<String, Report>,
    pub by_windows_ahead: BTreeMap<String, Report>,
    /// The chances of the maximum, and those of a method that takes windows for independent.
    pub max: Report,
    pub max_if_independent: Report,
    pub statistics: BTreeMap<&'static str, Statistics>,
}

/// What the analysis finds in the histories of a law.
#[derive(Serialize)]
pub struct Statistics {
    /// Share of the histories with a significant trend.
    pub significant_trends: f64,
    /// Share of the histories with a change point.
    pub with_change_points: f64,
    /// Mean number of change points.
    pub change_points: f64,
}

/// Forecasts `series` series of each law, for the numbers of windows in `ahead`, on `threads` threads. The
/// results depend on `seed` alone.
pub fn calibrate(series: u64, ahead: &[usize], seed: u64, threads: usize) -> Results {
    let next = AtomicU64::new(0);
    let run = || {
        let mut done = vec![];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if series * Law::ALL.len() as u64 <= number {
                return done;
            }
            let seed = seed.wrapping_mul(1 << 32).wrapping_add(number);
            done.push(outcome(number, ahead, &mut StdRng::seed_from_u64(seed)));
        }
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let done = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        done.flatten().collect()
    });
    results(series, seed, &outcomes)
}

fn outcome(number: u64, ahead: &[usize], rng: &mut StdRng) -> Outcome {
    let law = number as usize % Law::ALL.len();
    let len = HISTORIES[number as usize / Law::ALL.len() % HISTORIES.len()];
    let windows = *ahead.iter().max().expect("a number of windows");
    let drift = Law::ALL[law].draw(len + windows, rng);
    let (past, future) = drift.split_at(len);
    let thresholds = thresholds(past, rng);
    let values: Vec<_> = past.iter().copied().map(Some).collect();
    let history = History::new(&values);
    let question = Question::new(thresholds.clone(), windows).expect("within the limits");
    let found = chances(&history, NOISE_FLOOR, &question).expect("enough windows");
    Outcome {
        law,
        history: len,
        forecasts: forecasts(past, future, &thresholds, ahead, &found),
        has_trend: trend(&history).expect("enough windows").is_significant(),
        change_points: changes(&history).expect("enough windows").len(),
    }
}

/// Thresholds around the upper values of a history and above. They depend on nothing else, so that they
/// tell nothing about the windows to come.
fn thresholds(past: &[u64], rng: &mut StdRng) -> Vec<u64> {
    let mut sorted = past.to_vec();
    sorted.sort_unstable();
    let mut draw = || {
        let share: f64 = rng.random_range(0.3..1.0);
        let factor: f64 = rng.random_range(0.9..1.8);
        let value = sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        (value as f64 * factor) as u64
    };
    (0..THRESHOLDS).map(|_| draw()).collect()
}

/// The chances for each threshold, event and number of windows, and what happened in the future.
fn forecasts(
    past: &[u64],
    future: &[u64],
    thresholds: &[u64],
    ahead: &[usize],
    found: &Chances,
) -> Vec<Forecast> {
    let mut forecasts = vec![];
    for (&threshold, chances) in thresholds.iter().zip(&found.by_threshold) {
        for &ahead in ahead {
            let chance = chances[ahead - 1];
            let happened = events(&future[..ahead], threshold);
            for (event, (chance, happened)) in
                by_event(&chance).into_iter().zip(happened).enumerate()
            {
                // A run needs as many windows.
                if event.saturating_sub(1) <= ahead {
                    forecasts.push(Forecast {
                        event,
                        ahead,
                        chance,
                        independent: (event == 0).then(|| independent(past, threshold, ahead)),
                        happened,
                    });
                }
            }
        }
    }
    forecasts
}

fn by_event(chance: &Chance) -> [f64; EVENTS.len()] {
    let [max, two, three, four] = chance.consecutive;
    [max, chance.last, chance.mean, two, three, four]
}

/// Which events happened in the windows of `future`.
fn events(future: &[u64], threshold: u64) -> [bool; EVENTS.len()] {
    let run = |len: usize| {
        let mut runs = future.windows(len);
        runs.any(|run| run.iter().all(|value| threshold <= *value))
    };
    let sum: u128 = future.iter().map(|value| u128::from(*value)).sum();
    let mean = sum / future.len() as u128;
    let last = *future.last().expect("a window");
    let mean = u128::from(threshold) <= mean;
    [run(1), threshold <= last, mean, run(2), run(3), run(4)]
}

/// The chance of the maximum, if each window reached the threshold as often as those of the history did.
fn independent(past: &[u64], threshold: u64, ahead: usize) -> f64 {
    let reached = past.iter().filter(|value| threshold <= **value).count() as f64;
    let share = (reached + 0.5) / (past.len() as f64 + 1.0);
    1.0 - (1.0 - share).powi(ahead as i32)
}

fn results(series: u64, seed: u64, outcomes: &[Outcome]) -> Results {
    let score = |select: &dyn Fn(&Outcome, &Forecast) -> bool| {
        let mut score = Score::default();
        for outcome in outcomes {
            for forecast in outcome
                .forecasts
                .iter()
                .filter(|forecast| select(outcome, forecast))
            {
                score.add(forecast.chance, forecast.happened);
            }
        }
        score.report()
    };
    let mut independent = Score::default();
    for forecast in outcomes.iter().flat_map(|outcome| &outcome.forecasts) {
        if let Some(chance) = forecast.independent {
            independent.add(chance, forecast.happened);
        }
    }
    let laws = || Law::ALL.iter().enumerate();
    let mut ahead: Vec<usize> = outcomes[0]
        .forecasts
        .iter()
        .map(|forecast| forecast.ahead)
        .collect();
    ahead.dedup();
    Results {
        series_of_each_law: series,
        seed,
        all: score(&|_, _| true),
        by_law: laws()
            .map(|(index, law)| (law.name(), score(&|outcome, _| outcome.law == index)))
            .collect(),
        by_event: EVENTS
            .iter()
            .enumerate()
            .map(|(index, event)| (*event, score(&|_, forecast| forecast.event == index)))
            .collect(),
        by_history: HISTORIES
            .map(|len| {
                (
                    format!("{len:>3}"),
                    score(&|outcome, _| outcome.history == len),
                )
            })
            .into(),
        by_windows_ahead: ahead
            .into_iter()
            .map(|ahead| {
                (
                    format!("{ahead:>3}"),
                    score(&|_, forecast| forecast.ahead == ahead),
                )
            })
            .collect(),
        max: score(&|_, forecast| forecast.event == 0),
        max_if_independent: independent.report(),
        statistics: laws()
            .map(|(index, law)| (law.name(), statistics(outcomes, index)))
            .collect(),
    }
}

fn statistics(outcomes: &[Outcome], law: usize) -> Statistics {
    let of_law = || outcomes.iter().filter(|outcome| outcome.law == law);
    let count = of_law().count() as f64;
    let mean = |of: &dyn Fn(&Outcome) -> usize| {
        score::rounded(of_law().map(of).sum::<usize>() as f64 / count)
    };
    Statistics {
        significant_trends: mean(&|outcome| outcome.has_trend.into()),
        with_change_points: mean(&|outcome| (0 < outcome.change_points).into()),
        change_points: mean(&|outcome| outcome.change_points),
    }
}
