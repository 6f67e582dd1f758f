//! Counting: rows by bin, windows, and the quantiles that bins begin from.

use std::ops::Range;

use driftshield_sdk::{
    Model,
    spec::{Measure, SpecDocument},
};
use sha2::{Digest, Sha256};

use crate::{
    config::{OracleConfig, Windows},
    data::{DataError, KeyKind, MICROS, Table},
};

/// The bin of a value: the number of edges at or under it, so a value equal to an edge belongs to
/// the bin above. `None` of a missing one (NaN).
pub fn bin(edges: &[f64], value: f64) -> Option<usize> {
    (!value.is_nan()).then(|| edges.partition_point(|edge| *edge <= value))
}

/// The columns that a measure looks at, in the order that [`count`] takes them.
pub fn columns(measure: &Measure) -> Vec<&str> {
    match measure {
        Measure::Column { name, .. } => vec![name],
        Measure::Errors { prediction, label } => vec![prediction, label],
    }
}

/// Rows by bin. `columns` are the measure's; rows where one of them is missing are left out.
pub fn count(measure: &Measure, columns: &[&[f64]]) -> Vec<u32> {
    match (measure, columns) {
        (Measure::Column { edges, .. }, [values]) => {
            let mut counts = vec![0; edges.len() + 1];
            for bin in values.iter().filter_map(|value| bin(edges, *value)) {
                counts[bin] += 1;
            }
            counts
        }
        (Measure::Errors { .. }, [predictions, labels]) => {
            let mut counts = vec![0; 2];
            for (prediction, label) in predictions.iter().zip(*labels) {
                if !prediction.is_nan() && !label.is_nan() {
                    counts[usize::from(prediction != label)] += 1;
                }
            }
            counts
        }
        _ => unreachable!("`columns` gives as many as the measure has"),
    }
}

/// Why the values can't be cut into bins at quantiles.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum EdgesError {
    #[error("there are {0} values, fewer than bins: use a larger reference")]
    TooFew(usize),
    #[error("a value is infinite: leave such rows out of the reference")]
    Infinite,
    #[error("edges {0} and {next} are both {1}: many rows share this value; use fewer bins", next = .0 + 1)]
    Tie(usize, f64),
}

/// The `bins - 1` inner edges at the quantiles `k / bins` of the values, missing ones left out:
/// the k-th lies at position `(n - 1) · k / bins` of the sorted values, interpolated linearly
/// between neighbours, as numpy does by default.
pub fn quantile_edges(values: &[f64], bins: usize) -> Result<Vec<f64>, EdgesError> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    if sorted.len() < bins {
        return Err(EdgesError::TooFew(sorted.len()));
    }
    if sorted.iter().any(|value| value.is_infinite()) {
        return Err(EdgesError::Infinite);
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let edge = |k: usize| {
        let (below, rest) = (last * k / bins, last * k % bins);
        let low = sorted[below];
        let high = sorted[(below + 1).min(last)];
        low + (high - low) * (rest as f64 / bins as f64)
    };
    let edges: Vec<f64> = (1..bins).map(edge).collect();
    // By `<`, as edges are compared everywhere: -0.0 equals 0.0.
    match (1..edges.len()).find(|&i| edges[i - 1] >= edges[i]) {
        Some(index) => Err(EdgesError::Tie(index, edges[index])),
        None => Ok(edges),
    }
}

/// A data file's rows in order, ready to be counted by window.
pub struct Dataset {
    windows: Windows,
    measure: Measure,
    /// Ascending; rows of one key in the file's order.
    keys: Vec<i64>,
    columns: Vec<Vec<f64>>,
    /// Of the file.
    pub sha256: [u8; 32],
}

/// What a window holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions of its rows among all, in order; at least one.
    pub rows: Range<usize>,
    /// The keys of the first and the last row.
    pub keys: (i64, i64),
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// SHA-256 of the rows as [`Dataset::window`] serializes them.
    pub sha256: [u8; 32],
}

impl Window {
    /// Rows counted: those with nothing missing.
    pub fn samples(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }
}

/// Why a window can't be counted.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unavailable {
    #[error("the data does not reach to the window's end yet")]
    NotYet,
    #[error("the data holds no row of the window")]
    Empty,
    #[error("{samples} rows can be counted, {min_samples} are needed")]
    TooFew { samples: u64, min_samples: u64 },
}

impl Dataset {
    /// Reads the columns that windows and measure need, and puts the rows in order.
    pub fn read(config: &OracleConfig, spec: &SpecDocument) -> Result<Self, DataError> {
        let kind = match config.windows {
            Windows::Rows { .. } => KeyKind::Integer,
            Windows::Time { .. } => KeyKind::Time,
        };
        let key = Some((config.windows.column(), kind));
        let table = Table::read(&config.data, key, &columns(&spec.measure))?;
        Ok(Self::new(
            table,
            config.windows.clone(),
            spec.measure.clone(),
        ))
    }

    fn new(table: Table, windows: Windows, measure: Measure) -> Self {
        let mut order: Vec<usize> = (0..table.keys.len()).collect();
        order.sort_by_key(|&row| table.keys[row]);
        let columns = table.columns.iter();
        Self {
            windows,
            measure,
            keys: order.iter().map(|&row| table.keys[row]).collect(),
            columns: columns
                .map(|column| order.iter().map(|&row| column[row]).collect())
                .collect(),
            sha256: table.sha256,
        }
    }

    /// Rows of the file.
    #[expect(clippy::len_without_is_empty, reason = "a number to tell")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Counts a window that the data holds completely, with as many rows as a submission needs.
    ///
    /// The hash of its rows is SHA-256 of, row by row in order: the key (i64), then each measured
    /// column's value (f64, missing as 0x7ff8000000000000), little-endian, 8 bytes each.
    pub fn window(&self, model: &Model, window: u64) -> Result<Window, Unavailable> {
        let rows = self.rows(model, window)?;
        let (Some(first), Some(last)) = (
            self.keys[rows.clone()].first(),
            self.keys[rows.clone()].last(),
        ) else {
            return Err(Unavailable::Empty);
        };
        let columns: Vec<&[f64]> = self.columns.iter().map(|c| &c[rows.clone()]).collect();
        let counted = Window {
            keys: (*first, *last),
            counts: count(&self.measure, &columns),
            sha256: hash_rows(&self.keys[rows.clone()], &columns),
            rows,
        };
        let (samples, min_samples) = (counted.samples(), model.min_samples);
        if samples < min_samples {
            return Err(Unavailable::TooFew {
                samples,
                min_samples,
            });
        }
        Ok(counted)
    }

    /// The positions of the window's rows, if the data reaches past them.
    fn rows(&self, model: &Model, window: u64) -> Result<Range<usize>, Unavailable> {
        match &self.windows {
            Windows::Rows { rows, .. } => {
                let range = || {
                    let first = window.checked_mul(rows.get())?;
                    let end = first.checked_add(rows.get())?;
                    Some(usize::try_from(first).ok()?..usize::try_from(end).ok()?)
                };
                let range = range().ok_or(Unavailable::NotYet)?;
                (range.end <= self.keys.len())
                    .then_some(range)
                    .ok_or(Unavailable::NotYet)
            }
            Windows::Time { .. } => {
                let micros = |secs: i64| secs.checked_mul(MICROS).ok_or(Unavailable::NotYet);
                let end = model.window_end(window).map_err(|_| Unavailable::NotYet)?;
                let (start, end) = (micros(end - model.window_secs)?, micros(end)?);
                // Whoever writes the data writes in order of time: a later row says that the
                // window is all there.
                if self.keys.last().is_none_or(|last| *last < end) {
                    return Err(Unavailable::NotYet);
                }
                let first = self.keys.partition_point(|key| *key < start);
                Ok(first..self.keys.partition_point(|key| *key < end))
            }
        }
    }
}

fn hash_rows(keys: &[i64], columns: &[&[f64]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (row, key) in keys.iter().enumerate() {
        hasher.update(key.to_le_bytes());
        for column in columns {
            let value = column[row];
            // NaN has many forms of bits.
            let value = if value.is_nan() {
                MISSING
            } else {
                value.to_bits()
            };
            hasher.update(value.to_le_bytes());
        }
    }
    hasher.finalize().into()
}

/// The bits of a missing value.
const MISSING: u64 = 0x7ff8_0000_0000_0000;

#[cfg(test)]
pub mod tests {
    use std::num::NonZeroU64;

    use driftshield_sdk::math;

    use super::*;

    /// A model whose window `w` is the seconds `100 + 10 · w .. 110 + 10 · w`.
    pub fn model() -> Model {
        let mut model: Model = crate::due::tests::zeroed();
        model.genesis = 100;
        model.window_secs = 10;
        model.min_samples = 2;
        model
    }

    fn score(edges: &[f64]) -> Measure {
        Measure::Column {
            name: "score".into(),
            edges: edges.to_vec(),
        }
    }

    fn dataset(windows: Windows, keys: &[i64], values: &[f64]) -> Dataset {
        let table = Table {
            keys: keys.to_vec(),
            columns: vec![values.to_vec()],
            sha256: [1; 32],
        };
        Dataset::new(table, windows, score(&[0.5]))
    }

    fn by_rows(rows: u64) -> Windows {
        Windows::Rows {
            order_by: "id".into(),
            rows: NonZeroU64::new(rows).expect("above 0"),
        }
    }

    #[test]
    fn a_value_equal_to_an_edge_belongs_to_the_bin_above() {
        let measure = score(&[0.0, 1.0]);
        let values = [-1.0, 0.0, -0.0, 0.5, 1.0, f64::INFINITY, f64::NAN];
        assert_eq!(count(&measure, &[&values]), [1, 3, 2]);
    }

    #[test]
    fn errors_are_rows_where_prediction_and_label_differ() {
        let measure = Measure::Errors {
            prediction: "p".into(),
            label: "l".into(),
        };
        let (p, l) = ([1.0, 0.0, 1.0, f64::NAN], [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(count(&measure, &[&p, &l]), [2, 1]);
    }

    #[test]
    fn edges_are_numpys_quantiles() {
        // numpy.quantile([1, 2, 4, 8, 16], [.25, .5, .75]) and [1/3, 2/3]
        let values = [16.0, 1.0, f64::NAN, 4.0, 8.0, 2.0];
        assert_eq!(quantile_edges(&values, 4), Ok(vec![2.0, 4.0, 8.0]));
        let thirds = quantile_edges(&values, 3).expect("no ties");
        assert!((thirds[0] - (2.0 + 2.0 / 3.0)).abs() < 1e-15);
        assert!((thirds[1] - (4.0 + 4.0 * 2.0 / 3.0)).abs() < 1e-14);
        let ties = [1.0, 1.0, 1.0, 1.0, 2.0];
        assert_eq!(quantile_edges(&ties, 4), Err(EdgesError::Tie(1, 1.0)));
        assert_eq!(quantile_edges(&ties, 6), Err(EdgesError::TooFew(5)));
    }

    #[test]
    fn windows_of_rows_are_complete_or_not_there() {
        let data = dataset(
            by_rows(2),
            &[4, 1, 3, 2, 5],
            &[0.4, 0.1, 0.9, f64::NAN, 0.2],
        );
        let model = model();
        let few = Unavailable::TooFew {
            samples: 1,
            min_samples: 2,
        };
        assert_eq!(data.window(&model, 0), Err(few)); // 1, 2: one missing
        let second = data.window(&model, 1).expect("there");
        assert_eq!((second.rows, second.keys), (2..4, (3, 4)));
        assert_eq!(second.counts, [1, 1]);
        assert_eq!(data.window(&model, 2), Err(Unavailable::NotYet));
        assert_eq!(data.window(&model, u64::MAX), Err(Unavailable::NotYet));
    }

    #[test]
    fn windows_of_time_need_a_later_row() {
        let time = Windows::Time { column: "t".into() };
        let keys = [100, 109, 110, 119].map(|secs| secs * MICROS);
        let data = dataset(time, &keys, &[0.1, 0.9, 0.9, 0.9]);
        let first = data.window(&model(), 0).expect("there");
        assert_eq!(
            (first.rows.clone(), first.counts.clone()),
            (0..2, vec![1, 1])
        );
        assert_eq!(data.window(&model(), 1), Err(Unavailable::NotYet));
    }

    #[test]
    fn the_hash_of_rows_is_of_keys_and_bits() {
        let data = dataset(by_rows(2), &[2, 1], &[f64::NAN, 1.5]);
        let mut model = model();
        model.min_samples = 1;
        let mut bytes = vec![];
        bytes.extend(1i64.to_le_bytes());
        bytes.extend(1.5f64.to_bits().to_le_bytes());
        bytes.extend(2i64.to_le_bytes());
        bytes.extend(MISSING.to_le_bytes());
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(data.window(&model, 0).expect("there").sha256, expected);
    }

    /// Scores of an employment model on the years after it was validated.
    #[test]
    fn real_data_drifts_as_it_is_known_to() {
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/employment-ma/data"
        );
        let read = |file: &str, key| {
            Table::read(format!("{data}/{file}").as_ref(), key, &["score"]).expect("read")
        };
        let reference = read("reference.parquet", None);
        assert_eq!(reference.columns[0].len(), 68_785);
        let edges = quantile_edges(&reference.columns[0], 10).expect("no ties");
        let measure = score(&edges);
        let expected = count(&measure, &[&reference.columns[0]]);

        let analysis = read("analysis.parquet", Some(("id", KeyKind::Integer)));
        assert_eq!(analysis.keys.len(), 208_892);
        let analysis = Dataset::new(analysis, by_rows(5_000), measure);
        let mut model = model();
        model.min_samples = 5_000;
        let values: Vec<u64> = (0..41)
            .map(|window| analysis.window(&model, window).expect("there").counts)
            .map(|counts| math::drift(math::Metric::Psi, &expected, &counts))
            .collect();
        assert_eq!(analysis.window(&model, 41), Err(Unavailable::NotYet));
        assert!(values.iter().any(|value| 2_000_000 < *value), "{values:?}");
        let small = values.iter().filter(|value| **value < 20_000).count();
        assert!(20 < small, "{values:?}");
    }
}
