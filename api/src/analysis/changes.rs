//! Change points: windows from which on drift has another mean.

use super::{History, Refusal, finite};

/// Largest number of change points of a history.
pub const MAX_CHANGES: usize = 5;
/// Smallest number of windows with values between two change points.
const MIN_SEGMENT: usize = 3;
/// Number of windows with values that one change point needs.
const WINDOWS_PER_CHANGE: usize = 8;
/// Assumed correlations of consecutive windows. A random walk is also tried.
const CORRELATIONS: [f64; 6] = [0.0, 0.3, 0.5, 0.7, 0.85, 0.95];
/// By how much a change point must lower the criterion, in units of the logarithm of the number of windows.
const PENALTY: f64 = 5.0;
/// The same if consecutive windows are correlated: a change then has a window of transition, too.
const PENALTY_IF_CORRELATED: f64 = 6.0;
/// Windows on each side among which a spike stands out.
const NEIGHBOURS: usize = 2;
/// Distance from the median of the neighbours to which spikes are cut, in standard deviations.
const SPIKE: f64 = 3.0;
/// Standard deviation of a normal variable whose absolute median is 1.
const DEVIATION_OF_MEDIAN: f64 = 1.482_602_218_505_602;

/// A change of the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Position in the history of the first window with the new mean.
    pub position: usize,
    /// Mean drift from the previous change point, or the start, in micro-units.
    pub before: f64,
    /// Mean drift up to the next change point, or the end.
    pub after: f64,
    /// Probability of the change, by the criterion, if the history with it and the history without it were
    /// equally probable before.
    pub confidence: f64,
}

/// Finds the change points, oldest first.
///
/// For each assumed correlation of consecutive windows and each number of change points, it finds the
/// segmentation with the least squares of what is new in each window, and chooses among all by a criterion
/// that penalises change points.
pub fn changes(history: &History) -> Result<Vec<Change>, Refusal> {
    let observed = history.enough()?;
    let drift: Vec<f64> = observed.iter().map(|(_, drift)| *drift).collect();
    let search = Search::new(&without_spikes(&drift));
    let cuts = search.best();
    let least = search.criterion(&cuts);
    let bounds = [&[0], &cuts[..], &[drift.len()]].concat();
    let mean = |from: usize, to: usize| drift[from..to].iter().sum::<f64>() / (to - from) as f64;
    let change = |bounds: &[usize]| {
        let [from, at, to] = [bounds[0], bounds[1], bounds[2]];
        let others: Vec<_> = cuts.iter().copied().filter(|cut| *cut != at).collect();
        let gain = search.criterion(&others) - least;
        Ok(Change {
            position: observed[at].0,
            before: finite(mean(from, at))?,
            after: finite(mean(at, to))?,
            confidence: finite(1.0 / (1.0 + (-gain / 2.0).exp()))?,
        })
    };
    bounds.windows(3).map(change).collect()
}

/// Cuts values that stand out among their neighbours (a Hampel filter): a spike of one or two windows is no
/// change of the mean.
fn without_spikes(drift: &[f64]) -> Vec<f64> {
    let steps = drift.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let limit = SPIKE * DEVIATION_OF_MEDIAN * median(steps.collect()) / 2.0_f64.sqrt();
    if limit == 0.0 {
        return drift.to_vec();
    }
    let clip = |(position, value): (usize, &f64)| {
        let from = position.saturating_sub(NEIGHBOURS);
        let to = (position + NEIGHBOURS + 1).min(drift.len());
        let middle = median(drift[from..to].to_vec());
        value.clamp(middle - limit, middle + limit)
    };
    drift.iter().enumerate().map(clip).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    (values[(count - 1) / 2] + values[count / 2]) / 2.0
}

/// All that explains the values: a random walk, a straight line, or segments with means of their own.
struct Search {
    count: usize,
    /// Sum of the squared steps. A random walk has no mean that could change.
    walk: f64,
    /// The least sum of squares with a straight line, or with a random walk that has one.
    line: f64,
    /// For each correlation of consecutive windows.
    costs: Vec<Costs>,
}

impl Search {
    fn new(values: &[f64]) -> Self {
        let costs = CORRELATIONS.map(|correlation| Costs::new(values, correlation));
        let steps = news(values, 1.0);
        let lines = CORRELATIONS.map(|correlation| squares_around_line(&news(values, correlation)));
        Self {
            count: values.len(),
            walk: steps.iter().map(|step| step * step).sum(),
            line: lines
                .into_iter()
                .fold(squares_around_mean(&steps), f64::min),
            costs: costs.into(),
        }
    }

    /// The change points with the least criterion.
    fn best(&self) -> Vec<usize> {
        let most = MAX_CHANGES.min(self.count / WINDOWS_PER_CHANGE);
        let mut best = (self.criterion(&[]), vec![]);
        for costs in &self.costs {
            for cuts in costs.segmentations(most) {
                let found = self.criterion_of(costs, &cuts);
                if found < best.0 {
                    best = (found, cuts);
                }
            }
        }
        best.1
    }

    /// The least criterion with these change points, whatever the correlation.
    fn criterion(&self, cuts: &[usize]) -> f64 {
        let of_costs = self
            .costs
            .iter()
            .map(|costs| self.criterion_of(costs, cuts));
        let least = of_costs.fold(f64::INFINITY, f64::min);
        if !cuts.is_empty() {
            return least;
        }
        let slope = (self.count as f64).ln();
        least
            .min(self.without_penalty(self.walk))
            .min(self.without_penalty(self.line) + slope)
    }

    fn criterion_of(&self, costs: &Costs, cuts: &[usize]) -> f64 {
        let bounds = [&[0], cuts, &[self.count]].concat();
        let penalty = if costs.is_correlated {
            PENALTY_IF_CORRELATED
        } else {
            PENALTY
        };
        let penalties = penalty * cuts.len() as f64 * (self.count as f64).ln();
        self.without_penalty(costs.total(&bounds)) + penalties
    }

    /// Minus twice the logarithm of the likelihood of residuals with this sum of squares, up to a constant.
    fn without_penalty(&self, squares: f64) -> f64 {
        // Rounding to micro-units adds a variance of 1/12 to each value.
        let count = self.count as f64;
        count * (squares + count / 12.0).ln()
    }
}

/// What is new in each window but the first, if a part of the window before is left.
fn news(values: &[f64], correlation: f64) -> Vec<f64> {
    // Nothing is lost by rounding if the values are far from 0.
    let centre = values.iter().sum::<f64>() / values.len() as f64;
    let pairs = values.windows(2);
    pairs
        .map(|pair| (pair[1] - centre) - correlation * (pair[0] - centre))
        .collect()
}

fn squares_around_mean(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

fn squares_around_line(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let positions = || (0..values.len()).map(|position| position as f64 - middle);
    let product: f64 = positions()
        .zip(values)
        .map(|(position, value)| position * value)
        .sum();
    let length: f64 = positions().map(|position| position * position).sum();
    (squares_around_mean(values) - product * product / length).max(0.0)
}

/// Sums of squares of what is new in the windows of a segment, for one correlation of consecutive windows.
struct Costs {
    is_correlated: bool,
    count: usize,
    /// Sums of what is new in the windows before each position, and of its squares.
    sums: Vec<(f64, f64)>,
}

impl Costs {
    fn new(values: &[f64], correlation: f64) -> Self {
        let mut sums = vec![(0.0, 0.0); 2]; // nothing is known of the first window
        let mut sum = (0.0, 0.0);
        for new in news(values, correlation) {
            sum = (sum.0 + new, sum.1 + new * new);
            sums.push(sum);
        }
        Self {
            is_correlated: correlation != 0.0,
            count: values.len(),
            sums,
        }
    }

    /// Sum of the squares around the mean of the windows `from..to`, without the first one if it depends on
    /// the window before the segment.
    fn of(&self, from: usize, to: usize) -> f64 {
        let first = if self.is_correlated {
            from + 1
        } else {
            from.max(1)
        };
        let (before, after) = (self.sums[first], self.sums[to]);
        let sum = after.0 - before.0;
        (after.1 - before.1 - sum * sum / (to - first) as f64).max(0.0)
    }

    fn total(&self, bounds: &[usize]) -> f64 {
        bounds
            .windows(2)
            .map(|pair| self.of(pair[0], pair[1]))
            .sum()
    }

    /// For each number of change points up to `most`: those with the least sum of squares.
    fn segmentations(&self, most: usize) -> Vec<Vec<usize>> {
        let ends = 0..=self.count;
        let single = |to| match to {
            MIN_SEGMENT.. => self.of(0, to),
            _ => f64::INFINITY,
        };
        let mut least: Vec<f64> = ends.clone().map(single).collect();
        let mut starts: Vec<Vec<usize>> = vec![];
        let mut found = vec![vec![]];
        for changes in 1..=most {
            let last_segment = |to: usize| {
                let starts = MIN_SEGMENT * changes..=to.saturating_sub(MIN_SEGMENT);
                let costs = starts.map(|from| (least[from] + self.of(from, to), from));
                let best = costs.min_by(|a, b| a.0.total_cmp(&b.0));
                best.unwrap_or((f64::INFINITY, 0))
            };
            let (costs, from): (Vec<f64>, Vec<usize>) = ends.clone().map(last_segment).unzip();
            least = costs;
            starts.push(from);
            found.push(self.trace(&starts));
        }
        found
    }

    /// The change points, from the starts of the last segments for each number of segments and each end.
    fn trace(&self, starts: &[Vec<usize>]) -> Vec<usize> {
        let mut to = self.count;
        let mut cuts: Vec<usize> = starts
            .iter()
            .rev()
            .map(|starts| {
                to = starts[to];
                to
            })
            .collect();
        cuts.reverse();
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drift around a level, up and down.
    fn around(level: u64, windows: usize) -> Vec<Option<u64>> {
        const NOISE: [u64; 8] = [50, 20, 90, 10, 70, 0, 60, 40];
        (0..windows)
            .map(|window| Some(level + 10 * NOISE[window % 8]))
            .collect()
    }

    fn of(windows: &[Option<u64>]) -> Vec<Change> {
        changes(&History::new(windows)).unwrap()
    }

    #[test]
    fn a_step_is_found_at_its_window() {
        let found = of(&[around(1_000, 24), around(5_000, 16)].concat());
        let [change] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(change.position, 24);
        // The noise is 425 on average.
        assert_eq!((change.before, change.after), (1_425.0, 5_425.0));
        assert!(0.99 < change.confidence, "{change:?}");
    }

    #[test]
    fn windows_without_a_value_keep_their_position() {
        let gap = [None; 5];
        let found = of(&[&around(1_000, 16)[..], &gap, &around(9_000, 16)].concat());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].position, 21);
    }

    #[test]
    fn a_passing_rise_has_two_change_points() {
        let found = of(&[around(1_000, 24), around(90_000, 4), around(1_000, 12)].concat());
        let positions: Vec<_> = found.iter().map(|change| change.position).collect();
        assert_eq!(positions, [24, 28]);
    }

    #[test]
    fn a_spike_is_no_change_point() {
        let mut windows = around(1_000, 40);
        windows[20] = Some(500_000);
        assert_eq!(of(&windows), []);
        windows[0] = Some(500_000);
        windows[39] = Some(500_000);
        assert_eq!(of(&windows), []);
    }

    #[test]
    fn noise_and_a_line_have_no_change_points() {
        assert_eq!(of(&around(1_000, 200)), []);
        assert_eq!(of(&[Some(7); 100]), []);
        let ramp: Vec<_> = (0..60).map(|window| Some(1_000 * window)).collect();
        assert_eq!(of(&ramp), []);
    }

    #[test]
    fn there_are_at_most_five_change_points() {
        let steps = |levels: &[u64]| {
            let windows: Vec<_> = levels.iter().flat_map(|level| around(*level, 16)).collect();
            of(&windows).len()
        };
        let levels = [0, 90_000, 30_000, 70_000, 10_000, 200_000, 195_000];
        assert_eq!(steps(&levels[..5]), 4);
        assert_eq!(steps(&levels[..6]), MAX_CHANGES);
        assert_eq!(steps(&levels), MAX_CHANGES);
    }

    #[test]
    fn a_step_without_noise_is_certain() {
        let found = of(&[[Some(0); 10], [Some(1_000); 10]].concat());
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].position, found[0].before, found[0].after),
            (10, 0.0, 1_000.0)
        );
        assert!(0.9999 < found[0].confidence);
    }

    #[test]
    fn the_segmentation_is_the_best_one() {
        // All pairs of change points of a short series, by their squares.
        let values = [
            3.0, 1.0, 4.0, 9.0, 2.0, 6.0, 15.0, 13.0, 17.0, 1.0, 8.0, 2.0, 8.0,
        ];
        for correlation in [0.0, 0.5] {
            let costs = Costs::new(&values, correlation);
            let pairs =
                (3..=7).flat_map(|first| (first + 3..=10).map(move |second| [first, second]));
            let total = |pair: &[usize; 2]| costs.total(&[0, pair[0], pair[1], 13]);
            let best = pairs.min_by(|a, b| total(a).total_cmp(&total(b))).unwrap();
            assert_eq!(costs.segmentations(2)[2], best);
        }
    }

    #[test]
    fn squares_are_around_the_mean() {
        let costs = Costs::new(&[5.0, 1.0, 3.0, 8.0], 0.0);
        assert!((costs.of(1, 3) - 2.0).abs() < 1e-12); // 1 and 3
        assert!((costs.of(0, 4) - 26.0).abs() < 1e-12); // 1, 3 and 8: the first has none before it
        let costs = Costs::new(&[0.0, 2.0, 5.0, 4.5], 0.5);
        // 2 − 0, 5 − 1 and 4.5 − 2.5, without what depends on the segment before.
        assert!((costs.of(0, 4) - 8.0 / 3.0).abs() < 1e-12);
        assert!((costs.of(1, 4) - 2.0).abs() < 1e-12);
    }
}
