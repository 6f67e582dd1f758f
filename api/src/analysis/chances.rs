//! Chances that drift reaches thresholds in the windows to come.

use super::{
    History, Refusal, finite,
    paths::{PATHS, simulate},
    regression::{Prior, fit_all},
};

/// Largest number of thresholds.
pub const MAX_THRESHOLDS: usize = 16;
/// Largest number of windows ahead: those that a market observes at most.
pub const MAX_AHEAD: usize = 366;
/// Largest number of consecutive windows in which a policy asks for its trigger.
const MAX_PERSISTENCE: usize = driftshield_sdk::math::MAX_PERSISTENCE as usize;

/// What is known of the size of what is new in a window, before the first value.
const PRIOR: Prior = Prior {
    residuals: 2.0,
    square: 0.3 * 0.3,
};

/// Which chances are asked for.
pub struct Question {
    thresholds: Vec<u64>,
    windows: usize,
}

impl Question {
    /// `None` if there are more than [`MAX_THRESHOLDS`] thresholds, no window or more than [`MAX_AHEAD`].
    pub fn new(thresholds: Vec<u64>, windows: usize) -> Option<Self> {
        let is_bounded = thresholds.len() <= MAX_THRESHOLDS && (1..=MAX_AHEAD).contains(&windows);
        is_bounded.then_some(Self {
            thresholds,
            windows,
        })
    }
}

/// Chances for each threshold, in the order of the question.
#[derive(Clone, Debug, PartialEq)]
pub struct Chances {
    /// Number of independent windows that would say as much about the mean as the history does.
    pub effective_windows: f64,
    /// For each threshold, the chances in the next 1, 2, … windows.
    pub by_threshold: Vec<Vec<Chance>>,
}

/// Probabilities that drift reaches a threshold in the next windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chance {
    /// That it does so in 1, 2, 3 and 4 consecutive ones of them. The first is that of the maximum.
    pub consecutive: [f64; MAX_PERSISTENCE],
    /// That it does so in the last one of them.
    pub last: f64,
    /// That the mean of them reaches the threshold.
    pub mean: f64,
}

/// Simulates the windows after the history. `noise_floor` is that of the model, in micro-units.
pub fn chances(
    history: &History,
    noise_floor: u64,
    question: &Question,
) -> Result<Chances, Refusal> {
    history.enough()?;
    let unit = noise_floor.max(1) as f64;
    let level = |drift: f64| (drift / unit).ln_1p();
    let levels = history.map(level);
    let fits = fit_all(levels.windows(), |_| [1.0], PRIOR);
    let thresholds = question.thresholds.iter();
    let mut tallies: Vec<Tally> = thresholds
        .map(|&threshold| Tally::new(threshold as f64 / unit, question.windows))
        .collect();
    let mut means = Vec::with_capacity(question.windows);
    simulate(&fits, question.windows, |path| {
        means.clear();
        let mut sum = 0.0;
        for (count, level) in (1_u32..).zip(path) {
            sum += level.exp_m1();
            means.push(sum / f64::from(count));
        }
        tallies.iter_mut().for_each(|tally| tally.add(path, &means));
    });
    Ok(Chances {
        effective_windows: effective_windows(&levels)?,
        by_threshold: tallies.into_iter().map(Tally::chances).collect(),
    })
}

/// Number of paths that reach a threshold.
struct Tally {
    /// The threshold in noise floors, and as a level.
    threshold: f64,
    level: f64,
    counts: Vec<Counts>,
}

/// Numbers of paths, for one number of windows.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// That reach the threshold in so many consecutive windows, in this window for the first time.
    first_run: [u32; MAX_PERSISTENCE],
    last: u32,
    mean: u32,
}

impl Tally {
    fn new(threshold: f64, windows: usize) -> Self {
        Self {
            threshold,
            level: threshold.ln_1p(),
            counts: vec![Counts::default(); windows],
        }
    }

    fn add(&mut self, path: &[f64], means: &[f64]) {
        let (mut run, mut longest) = (0, 0);
        for ((counts, level), mean) in self.counts.iter_mut().zip(path).zip(means) {
            counts.mean += u32::from(self.threshold <= *mean);
            if *level < self.level {
                run = 0;
                continue;
            }
            counts.last += 1;
            run += 1;
            if longest < run && longest < MAX_PERSISTENCE {
                counts.first_run[longest] += 1;
                longest = run;
            }
        }
    }

    fn chances(self) -> Vec<Chance> {
        let share = |count: u32| f64::from(count) / PATHS as f64;
        let mut reached = [0; MAX_PERSISTENCE];
        let counts = self.counts.into_iter();
        counts
            .map(|counts| {
                for (reached, first) in reached.iter_mut().zip(counts.first_run) {
                    *reached += first;
                }
                Chance {
                    consecutive: reached.map(share),
                    last: share(counts.last),
                    mean: share(counts.mean),
                }
            })
            .collect()
    }
}

/// n · (1 − r) / (1 + r), where r is the correlation of consecutive windows, corrected for its bias in short
/// histories.
fn effective_windows(levels: &History) -> Result<f64, Refusal> {
    let observed = levels.observed();
    let count = observed.len() as f64;
    let mean = observed.iter().map(|(_, level)| level).sum::<f64>() / count;
    let variance = observed
        .iter()
        .map(|(_, level)| (level - mean).powi(2))
        .sum::<f64>()
        / count;
    let pairs = levels.pairs();
    let products: Vec<f64> = pairs.map(|(a, b)| (a - mean) * (b - mean)).collect();
    let correlation = if variance == 0.0 || products.is_empty() {
        0.0
    } else {
        products.iter().sum::<f64>() / products.len() as f64 / variance
    };
    let correlation = (correlation + (1.0 + 3.0 * correlation) / count).clamp(0.0, 0.99);
    finite((count * (1.0 - correlation) / (1.0 + correlation)).max(1.0))
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    const FLOOR: u64 = 40_000;

    fn of(windows: &[Option<u64>], thresholds: &[u64], ahead: usize) -> Chances {
        let question = Question::new(thresholds.to_vec(), ahead).unwrap();
        chances(&History::new(windows), FLOOR, &question).unwrap()
    }

    fn max(chances: &Chances, threshold: usize, ahead: usize) -> f64 {
        chances.by_threshold[threshold][ahead - 1].consecutive[0]
    }

    /// Independent windows, each from 0 to 20,000 with equal probability.
    fn uniform(windows: usize) -> Vec<Option<u64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..windows)
            .map(|_| Some(rng.random_range(0..=20_000)))
            .collect()
    }

    #[test]
    fn a_tally_counts_runs_the_last_value_and_the_mean() {
        let mut tally = Tally::new(1.0, 4);
        let path = [2.0, 0.5, 1.0, 3.0].map(f64::ln_1p);
        tally.add(&path, &[2.0, 1.25, 3.5 / 3.0, 1.625]);
        tally.add(&[0.0; 4], &[0.0; 4]);
        let each = 1.0 / PATHS as f64;
        let chances = tally.chances();
        let runs: Vec<_> = chances
            .iter()
            .map(|chance| chance.consecutive.map(|c| c / each))
            .collect();
        assert_eq!(runs[0], [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(runs[2], [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(runs[3], [1.0, 1.0, 0.0, 0.0]);
        let last: Vec<_> = chances.iter().map(|chance| chance.last / each).collect();
        assert_eq!(last, [1.0, 0.0, 1.0, 1.0]);
        let mean: Vec<_> = chances.iter().map(|chance| chance.mean / each).collect();
        assert_eq!(mean, [1.0; 4]);
    }

    #[test]
    fn a_long_run_counts_as_four_consecutive_windows() {
        let mut tally = Tally::new(1.0, 6);
        tally.add(&[1.0; 6], &[2.0; 6]);
        let chances = tally.chances();
        assert_eq!(chances[5].consecutive, [1.0 / PATHS as f64; 4]);
        assert_eq!(chances[2].consecutive[3], 0.0);
    }

    #[test]
    fn independent_windows_give_the_shares_of_the_history() {
        let found = of(&uniform(400), &[10_000], 3);
        let [one, _, three] = [1, 2, 3].map(|ahead| max(&found, 0, ahead));
        assert!((one - 0.5).abs() < 0.05, "{one}");
        assert!((three - 0.875).abs() < 0.05, "{three}");
        let last = found.by_threshold[0][2].last;
        assert!((last - one).abs() < 0.04, "{last}");
    }

    #[test]
    fn a_persistent_series_stays_where_it_is() {
        // The same values in order.
        let mut windows = uniform(200);
        windows.sort_unstable();
        let found = of(&windows, &[10_000], 3);
        assert!(0.99 < found.by_threshold[0][0].last);
        assert!(0.99 < found.by_threshold[0][2].consecutive[2]);
        windows.reverse();
        let found = of(&windows, &[10_000], 3);
        assert!(max(&found, 0, 3) < 0.05);
    }

    #[test]
    fn a_high_threshold_is_rarely_reached_and_zero_always() {
        let found = of(&uniform(100), &[0, 10 * FLOOR, u64::MAX], 30);
        let last = &found.by_threshold[0][29];
        assert_eq!(
            (last.consecutive, last.last, last.mean),
            ([1.0; 4], 1.0, 1.0)
        );
        assert!(max(&found, 1, 30) < 0.02);
        assert!(max(&found, 2, 30) < 0.001);
    }

    #[test]
    fn autocorrelation_lowers_the_number_of_effective_windows() {
        let independent = of(&uniform(200), &[], 1).effective_windows;
        let mut windows = uniform(200);
        windows.sort_unstable();
        let persistent = of(&windows, &[], 1).effective_windows;
        assert!(
            100.0 < independent && persistent < 10.0,
            "{independent}, {persistent}"
        );
        // Eight windows, correlation 0, corrected to 1/8: 8 · 7/9.
        let equal = of(&[Some(5); 8], &[], 1).effective_windows;
        assert!((equal - 56.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn a_question_is_bounded() {
        assert!(Question::new(vec![1; MAX_THRESHOLDS], MAX_AHEAD).is_some());
        assert!(Question::new(vec![1; MAX_THRESHOLDS + 1], 1).is_none());
        assert!(Question::new(vec![], 0).is_none());
        assert!(Question::new(vec![], MAX_AHEAD + 1).is_none());
    }
}
