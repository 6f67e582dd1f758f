//! Counts rows by bin, and computes bin edges at the quantiles of a reference.

use driftshield_sdk::spec::Measure;

/// Index of the value's bin: the number of edges at or below it, so a value equal to an edge
/// belongs to the bin above. `None` if the value is missing (NaN).
fn bin(edges: &[f64], value: f64) -> Option<usize> {
    (!value.is_nan()).then(|| edges.partition_point(|edge| *edge <= value))
}

/// Names of the columns that a measure reads, in the order that [`count`] expects.
pub fn columns(measure: &Measure) -> Vec<&str> {
    match measure {
        Measure::Column { name, .. } => vec![name],
        Measure::Errors { prediction, label } => vec![prediction, label],
    }
}

/// Number of rows in each bin. `columns` holds the values of the columns that [`columns`] names, in
/// the same order. Rows in which one of the values is missing are left out.
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
        _ => unreachable!("`columns` returns as many columns as the measure has"),
    }
}

/// Number of rows in all bins together.
pub fn total(counts: &[u32]) -> u64 {
    counts.iter().map(|&count| u64::from(count)).sum()
}

/// Why no bin edges can be computed from the values.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum EdgesError {
    #[error("{0} values are fewer than the bins; use fewer bins or a larger reference")]
    TooFew(usize),
    #[error("a value is infinite; remove rows with infinite values from the reference")]
    Infinite,
    #[error(
        "edges {index} and {} are both {value}, a value that many rows share; use fewer bins",
        .index + 1
    )]
    Tie { index: usize, value: f64 },
}

/// The `bins - 1` inner edges at the quantiles `k / bins` of the values. Missing values are left
/// out.
///
/// The k-th edge lies at position `(n - 1) · k / bins` of the sorted values, interpolated linearly
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
    // Not by `total_cmp`: -0.0 and 0.0 are equal edges.
    match (1..edges.len()).find(|&i| edges[i - 1] >= edges[i]) {
        Some(index) => Err(EdgesError::Tie {
            index,
            value: edges[index],
        }),
        None => Ok(edges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_equal_to_an_edge_belongs_to_the_bin_above() {
        let measure = Measure::Column {
            name: "score".into(),
            edges: vec![0.0, 1.0],
        };
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
    fn quantile_edges_equal_those_of_numpy_and_ties_are_refused() {
        // numpy.quantile([1, 2, 4, 8, 16], [.25, .5, .75]) and [1/3, 2/3]
        let values = [16.0, 1.0, f64::NAN, 4.0, 8.0, 2.0];
        assert_eq!(quantile_edges(&values, 4), Ok(vec![2.0, 4.0, 8.0]));
        let thirds = quantile_edges(&values, 3).expect("no ties");
        assert!((thirds[0] - (2.0 + 2.0 / 3.0)).abs() < 1e-15);
        assert!((thirds[1] - (4.0 + 4.0 * 2.0 / 3.0)).abs() < 1e-14);
        let ties = [1.0, 1.0, 1.0, 1.0, 2.0];
        let tie = EdgesError::Tie {
            index: 1,
            value: 1.0,
        };
        assert_eq!(quantile_edges(&ties, 4), Err(tie));
        assert_eq!(quantile_edges(&ties, 6), Err(EdgesError::TooFew(5)));
    }
}
