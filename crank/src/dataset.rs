//! An oracle's data: sorted, assigned to windows, and counted.

use std::ops::Range;

use driftshield_sdk::{
    Model,
    spec::{Measure, SpecDocument},
};
use sha2::{Digest, Sha256};

use crate::{
    config::{OracleConfig, Windowing},
    data::{DataError, KeyKind, MICROS, Table},
    measure::{columns, count, total},
};

/// Bits that stand for a missing value in the hash of rows: NaN has many representations.
const MISSING_VALUE_BITS: u64 = 0x7ff8_0000_0000_0000;

/// The rows of a data file in ascending order of their key.
pub struct Dataset {
    windowing: Windowing,
    measure: Measure,
    /// Ascending; rows with equal keys keep the file's order.
    keys: Vec<i64>,
    columns: Vec<Vec<f64>>,
    /// SHA-256 of the data file.
    pub file_sha256: [u8; 32],
}

/// The counts of a window, and the rows of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedWindow {
    /// Positions of the window's rows in the dataset.
    pub rows: Range<usize>,
    /// Keys of the first and the last row; `None` if the window has no row.
    pub keys: Option<(i64, i64)>,
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// SHA-256 of the rows; [`Dataset::count_window`] defines their serialization.
    pub rows_sha256: [u8; 32],
}

impl CountedWindow {
    /// Number of rows counted: those without a missing value.
    pub fn samples(&self) -> u64 {
        total(&self.counts)
    }
}

/// Why a window is not counted.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CountError {
    #[error("the data does not reach the window's end yet")]
    Incomplete,
}

impl Dataset {
    /// Reads the key and the measured columns of the configured data file, and sorts the rows.
    pub fn read(config: &OracleConfig, spec: &SpecDocument) -> Result<Self, DataError> {
        let kind = match config.windowing {
            Windowing::Rows { .. } => KeyKind::Integer,
            Windowing::Time { .. } => KeyKind::Time,
        };
        let key = Some((config.windowing.key_column(), kind));
        let table = Table::read(&config.data, key, &columns(&spec.measure))?;
        Ok(Self::new(
            table,
            config.windowing.clone(),
            spec.measure.clone(),
        ))
    }

    fn new(table: Table, windowing: Windowing, measure: Measure) -> Self {
        let mut order: Vec<usize> = (0..table.keys.len()).collect();
        order.sort_by_key(|&row| table.keys[row]);
        let columns = table.columns.iter();
        Self {
            windowing,
            measure,
            keys: order.iter().map(|&row| table.keys[row]).collect(),
            columns: columns
                .map(|column| order.iter().map(|&row| column[row]).collect())
                .collect(),
            file_sha256: table.file_sha256,
        }
    }

    /// Number of rows of the file.
    pub fn row_count(&self) -> usize {
        self.keys.len()
    }

    /// Counts a window. Fails unless the data holds all rows of the window. The window is thin if
    /// fewer than the model's `min_samples` of them have no missing value.
    ///
    /// `rows_sha256` is the SHA-256 of the rows in order, each serialized as the key (i64) and the
    /// value of each measured column (f64; 0x7ff8000000000000 if missing), little-endian, 8 bytes
    /// each.
    pub fn count_window(&self, model: &Model, window: u64) -> Result<CountedWindow, CountError> {
        let rows = self.rows(model, window)?;
        let keys = &self.keys[rows.clone()];
        let columns: Vec<&[f64]> = self.columns.iter().map(|c| &c[rows.clone()]).collect();
        Ok(CountedWindow {
            keys: keys.first().copied().zip(keys.last().copied()),
            counts: count(&self.measure, &columns),
            rows_sha256: hash_rows(keys, &columns),
            rows,
        })
    }

    /// Positions of the window's rows. Fails until the data holds all of them.
    fn rows(&self, model: &Model, window: u64) -> Result<Range<usize>, CountError> {
        match &self.windowing {
            Windowing::Rows { rows, .. } => {
                let range = || {
                    let first = window.checked_mul(rows.get())?;
                    let end = first.checked_add(rows.get())?;
                    Some(usize::try_from(first).ok()?..usize::try_from(end).ok()?)
                };
                range()
                    .filter(|range| range.end <= self.keys.len())
                    .ok_or(CountError::Incomplete)
            }
            Windowing::Time { .. } => {
                let micros = |secs: i64| secs.checked_mul(MICROS).ok_or(CountError::Incomplete);
                let end = model.window_end(window);
                let end = end.map_err(|_| CountError::Incomplete)?;
                let (start, end) = (micros(end - model.window_secs)?, micros(end)?);
                // Rows are written in order of time, so a row at or after the window's end proves
                // that the window is complete.
                if self.keys.last().is_none_or(|last| *last < end) {
                    return Err(CountError::Incomplete);
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
            let bits = if value.is_nan() {
                MISSING_VALUE_BITS
            } else {
                value.to_bits()
            };
            hasher.update(bits.to_le_bytes());
        }
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use driftshield_sdk::math;

    use super::*;
    use crate::{fixtures::zeroed, measure::quantile_edges};

    /// A model whose window `w` is the seconds `100 + 10 · w .. 110 + 10 · w`.
    fn model() -> Model {
        let mut model: Model = zeroed();
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

    fn dataset(windowing: Windowing, keys: &[i64], values: &[f64]) -> Dataset {
        let table = Table {
            keys: keys.to_vec(),
            columns: vec![values.to_vec()],
            file_sha256: [1; 32],
        };
        Dataset::new(table, windowing, score(&[0.5]))
    }

    fn by_rows(rows: u64) -> Windowing {
        Windowing::Rows {
            order_by: "id".into(),
            rows: NonZeroU64::new(rows).expect("above 0"),
        }
    }

    #[test]
    fn windows_by_rows_are_counted_once_the_data_holds_all_their_rows() {
        let data = dataset(
            by_rows(2),
            &[4, 1, 3, 2, 5],
            &[0.4, 0.1, 0.9, f64::NAN, 0.2],
        );
        let model = model();
        let first = data.count_window(&model, 0).expect("counted");
        assert_eq!(first.counts, [1, 0]); // keys 1 and 2; 2 has no value
        assert_eq!(first.samples(), 1);
        let second = data.count_window(&model, 1).expect("counted");
        assert_eq!(second.rows, 2..4);
        assert_eq!(second.keys, Some((3, 4)));
        assert_eq!(second.counts, [1, 1]);
        let incomplete = Err(CountError::Incomplete);
        assert_eq!(data.count_window(&model, 2), incomplete);
        assert_eq!(data.count_window(&model, u64::MAX), incomplete);
    }

    #[test]
    fn windows_by_time_are_counted_once_the_data_holds_a_row_after_them() {
        let time = Windowing::Time { column: "t".into() };
        let keys = [100, 109, 110, 119].map(|secs| secs * MICROS);
        let data = dataset(time, &keys, &[0.1, 0.9, 0.9, 0.9]);
        let first = data.count_window(&model(), 0).expect("counted");
        assert_eq!(
            (first.rows.clone(), first.counts.clone()),
            (0..2, vec![1, 1])
        );
        let second = data.count_window(&model(), 1);
        assert_eq!(second, Err(CountError::Incomplete));

        let time = Windowing::Time { column: "t".into() };
        let gap = dataset(time, &[100, 120].map(|secs| secs * MICROS), &[0.1, 0.9]);
        let empty = gap.count_window(&model(), 1).expect("counted");
        assert_eq!(
            (empty.rows, empty.keys, empty.counts),
            (1..1, None, vec![0, 0])
        );
    }

    #[test]
    fn the_hash_of_rows_covers_keys_and_value_bits() {
        let data = dataset(by_rows(2), &[2, 1], &[f64::NAN, 1.5]);
        let mut model = model();
        model.min_samples = 1;
        let mut bytes = vec![];
        bytes.extend(1i64.to_le_bytes());
        bytes.extend(1.5f64.to_bits().to_le_bytes());
        bytes.extend(2i64.to_le_bytes());
        bytes.extend(MISSING_VALUE_BITS.to_le_bytes());
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        let counted = data.count_window(&model, 0).expect("counted");
        assert_eq!(counted.rows_sha256, expected);
    }

    #[test]
    fn some_windows_of_the_example_data_drift_and_most_do_not() {
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
            .map(|window| analysis.count_window(&model, window).expect("counted"))
            .map(|window| math::drift(math::Metric::Psi, &expected, &window.counts))
            .collect();
        let incomplete = Err(CountError::Incomplete);
        assert_eq!(analysis.count_window(&model, 41), incomplete);
        assert!(values.iter().any(|value| 2_000_000 < *value), "{values:?}");
        let small = values.iter().filter(|value| **value < 20_000).count();
        assert!(20 < small, "{values:?}");
    }
}
