//! Properties of all parts of the analysis, on random and on degenerate histories.

use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;

const FLOOR: u64 = 40_000;
const THRESHOLDS: [u64; 4] = [20_000, 40_000, 80_000, 200_000];
const AHEAD: usize = 20;

/// An autocorrelated series with gaps and spikes.
fn random_windows(seed: u64) -> Vec<Option<u64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let len = rng.random_range(MIN_VALUES * 2..120);
    let persistence = rng.random_range(0.0..1.0);
    let mut level: f64 = 0.0;
    let mut windows: Vec<_> = (0..len)
        .map(|_| {
            level = persistence * level + rng.random_range(-10_000.0..10_000.0);
            let spike = if rng.random_range(0..30) == 0 {
                100_000.0
            } else {
                0.0
            };
            let drift = (30_000.0 + level + spike).max(0.0);
            (rng.random_range(0..10) != 0).then_some(drift as u64)
        })
        .collect();
    windows[..MIN_VALUES].fill(Some(25_000));
    windows
}

fn convert(windows: &[Option<u64>], convert: impl Fn(u64) -> u64) -> History {
    let windows: Vec<_> = windows.iter().map(|value| value.map(&convert)).collect();
    History::new(&windows)
}

fn ask(history: &History, floor: u64, thresholds: &[u64], ahead: usize) -> Chances {
    let question = Question::new(thresholds.to_vec(), ahead).unwrap();
    chances(history, floor, &question).unwrap()
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn adding_a_constant_shifts() {
    for seed in 0..40 {
        let windows = random_windows(seed);
        let (history, shifted) = (History::new(&windows), convert(&windows, |v| v + 70_000));
        let (a, b) = (trend(&history).unwrap(), trend(&shifted).unwrap());
        assert!(is_close(a.slope, b.slope) && is_close(a.p_value, b.p_value));
        assert_eq!(volatility(&history), volatility(&shifted));
        let (a, b) = (changes(&history).unwrap(), changes(&shifted).unwrap());
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.position, b.position);
            assert!(
                is_close(a.before + 70_000.0, b.before) && is_close(a.after + 70_000.0, b.after)
            );
        }
    }
}

#[test]
fn scaling_scales() {
    for seed in 0..12 {
        let windows = random_windows(seed);
        let (history, scaled) = (History::new(&windows), convert(&windows, |v| v * 1_000));
        let (a, b) = (trend(&history).unwrap(), trend(&scaled).unwrap());
        assert!(is_close(1_000.0 * a.slope, b.slope), "{a:?} {b:?}");
        assert!(is_close(1_000.0 * a.standard_error, b.standard_error));
        let (a, b) = (volatility(&history).unwrap(), volatility(&scaled).unwrap());
        assert!(is_close(
            1_000.0 * a.standard_deviation,
            b.standard_deviation
        ));
        assert!(is_close(1_000.0 * a.ewma, b.ewma));
        let (a, b) = (changes(&history).unwrap(), changes(&scaled).unwrap());
        assert!(
            a.iter()
                .map(|c| c.position)
                .eq(b.iter().map(|c| c.position))
        );
        let a = ask(&history, FLOOR, &THRESHOLDS, AHEAD);
        let b = ask(
            &scaled,
            1_000 * FLOOR,
            &THRESHOLDS.map(|t| 1_000 * t),
            AHEAD,
        );
        for (a, b) in a
            .by_threshold
            .iter()
            .flatten()
            .zip(b.by_threshold.iter().flatten())
        {
            // A path that rounding puts on the other side of a threshold.
            let is_equal = |a: f64, b: f64| (a - b).abs() <= 2.0 / PATHS as f64;
            assert!(is_equal(a.consecutive[0], b.consecutive[0]) && is_equal(a.mean, b.mean));
        }
    }
}

#[test]
fn chances_rise_with_the_windows_and_fall_with_threshold_and_persistence() {
    for seed in 0..10 {
        let history = History::new(&random_windows(seed));
        let found = ask(&history, FLOOR, &THRESHOLDS, AHEAD);
        for chances in &found.by_threshold {
            for pair in chances.windows(2) {
                for (before, after) in pair[0].consecutive.iter().zip(pair[1].consecutive) {
                    assert!(*before <= after);
                }
            }
            for chance in chances {
                assert!(chance.consecutive.is_sorted_by(|more, less| less <= more));
                assert!(
                    chance.last <= chance.consecutive[0] && chance.mean <= chance.consecutive[0]
                );
            }
        }
        for pair in found.by_threshold.windows(2) {
            for (low, high) in pair[0].iter().zip(&pair[1]) {
                assert!(high.last <= low.last && high.mean <= low.mean);
                for (low, high) in low.consecutive.iter().zip(high.consecutive) {
                    assert!(high <= *low);
                }
            }
        }
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let history = History::new(&random_windows(7));
    let first = ask(&history, FLOOR, &THRESHOLDS, AHEAD);
    assert_eq!(first, ask(&history, FLOOR, &THRESHOLDS, AHEAD));
    // It doesn't depend on what else is asked.
    let alone = ask(&history, FLOOR, &THRESHOLDS[1..2], AHEAD);
    assert_eq!(alone.by_threshold[0], first.by_threshold[1]);
}

/// Every number of an analysis. Fails if a part is refused for another reason than a short history.
fn numbers(windows: &[Option<u64>], floor: u64) -> Vec<f64> {
    let history = History::new(windows);
    let mut numbers = vec![];
    let is_short = history.observed().len() < MIN_VALUES;
    let short = Refusal::TooShort {
        values: history.observed().len(),
    };
    match trend(&history) {
        Ok(trend) => numbers.extend([trend.slope, trend.standard_error, trend.p_value]),
        Err(refusal) => assert!(is_short && refusal == short, "{refusal}"),
    }
    match volatility(&history) {
        Ok(volatility) => numbers.extend([volatility.standard_deviation, volatility.ewma]),
        Err(refusal) => assert!(matches!(refusal, Refusal::TooSparse { .. }), "{refusal}"),
    }
    match changes(&history) {
        Ok(changes) => numbers.extend(
            changes
                .iter()
                .flat_map(|change| [change.before, change.after, change.confidence]),
        ),
        Err(refusal) => assert!(is_short && refusal == short, "{refusal}"),
    }
    let question = Question::new(vec![0, 1, floor, u64::MAX], 5).unwrap();
    match chances(&history, floor, &question) {
        Ok(found) => {
            numbers.push(found.effective_windows);
            for chance in found.by_threshold.iter().flatten() {
                numbers.extend(chance.consecutive);
                numbers.extend([chance.last, chance.mean]);
                assert!(chance.consecutive.iter().all(|c| (0.0..=1.0).contains(c)));
            }
        }
        Err(refusal) => assert!(is_short && refusal == short, "{refusal}"),
    }
    numbers
}

#[test]
fn degenerate_histories_give_finite_numbers_or_a_refusal() {
    const MOST: u64 = u64::MAX;
    let alternating: Vec<_> = (0..MAX_WINDOWS)
        .map(|w| Some(if w % 2 == 0 { 0 } else { MOST }))
        .collect();
    let sparse: Vec<_> = (0..MAX_WINDOWS)
        .map(|w| (w % 60 == 0).then_some(w as u64))
        .collect();
    let one_spike: Vec<_> = (0..50)
        .map(|w| Some(if w == 20 { MOST } else { 0 }))
        .collect();
    let step: Vec<_> = (0..40)
        .map(|w| Some(if w < 20 { 0 } else { MOST }))
        .collect();
    let line: Vec<_> = (0..MAX_WINDOWS as u64)
        .map(|w| Some(w * (MOST / 512)))
        .collect();
    let histories: [&[Option<u64>]; 16] = [
        &[],
        &[Some(3)],
        &[Some(3), Some(5)],
        &[Some(0); MIN_VALUES - 1],
        &[Some(0); MIN_VALUES],
        &[Some(0); 600],
        &[Some(9); MIN_VALUES],
        &[Some(9); 600],
        &[Some(MOST); MIN_VALUES],
        &[Some(MOST); 600],
        &[None; 600],
        &alternating,
        &sparse,
        &one_spike,
        &step,
        &line,
    ];
    for (index, windows) in histories.into_iter().enumerate() {
        for floor in [0, 1, FLOOR, MOST] {
            let numbers = numbers(windows, floor);
            assert!(
                numbers.iter().all(|number| number.is_finite()),
                "{index}: {numbers:?}"
            );
        }
    }
}

#[test]
fn the_largest_question_is_answered() {
    let windows: Vec<_> = (0..2_000_u64)
        .map(|window| Some(window * 7_919 % 50_000))
        .collect();
    let thresholds: Vec<_> = (1..=MAX_THRESHOLDS as u64).map(|t| 5_000 * t).collect();
    let found = ask(&History::new(&windows), FLOOR, &thresholds, MAX_AHEAD);
    assert_eq!(found.by_threshold.len(), MAX_THRESHOLDS);
    assert!(
        found
            .by_threshold
            .iter()
            .all(|chances| chances.len() == MAX_AHEAD)
    );
}
