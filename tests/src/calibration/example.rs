//! Forecasts of the example's data: the drift of each window is forecast from the windows before it.

use std::{fs, path::Path};

use driftshield::{Metric, math};
use driftshield_api::analysis::{History, MIN_VALUES, Question, chances};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde::Serialize;

use super::{Forecast, forecasts, score};
use crate::paths::root;

/// Length of the windows that the noise floor assumes.
const WINDOW_SECS: u64 = 24 * 60 * 60;

/// The calibration on the example's scores, in windows of one size.
#[derive(Serialize)]
pub struct Example {
    pub rows: usize,
    pub windows: usize,
    pub noise_floor: u64,
    /// Outcomes overlap, so that these are far fewer independent forecasts than it seems.
    pub all: score::Report,
    pub max_if_independent: score::Report,
}

/// Forecasts the drift of the example's model in windows of `rows` rows. From every window on, it asks for
/// the chances of the noise floor and of quantiles of the windows before.
pub fn calibrate(rows: usize, ahead: &[usize]) -> Example {
    let (noise_floor, drift) = series(rows);
    let longest = *ahead.iter().max().expect("a number of windows");
    let mut forecast: Vec<Forecast> = vec![];
    for now in MIN_VALUES..=drift.len() - longest {
        let (past, future) = drift.split_at(now);
        let values: Vec<_> = past.iter().copied().map(Some).collect();
        let thresholds = thresholds(past, noise_floor);
        let question = Question::new(thresholds.clone(), longest).expect("within the limits");
        let found =
            chances(&History::new(&values), noise_floor, &question).expect("enough windows");
        forecast.extend(forecasts(past, future, &thresholds, ahead, &found));
    }
    let (mut all, mut independent) = (score::Score::default(), score::Score::default());
    for forecast in forecast {
        all.add(forecast.chance, forecast.happened);
        if let Some(chance) = forecast.independent {
            independent.add(chance, forecast.happened);
        }
    }
    Example {
        rows,
        windows: drift.len(),
        noise_floor,
        all: all.report(),
        max_if_independent: independent.report(),
    }
}

fn thresholds(past: &[u64], noise_floor: u64) -> Vec<u64> {
    let mut sorted = past.to_vec();
    sorted.sort_unstable();
    let quantile = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    vec![quantile(0.5), quantile(0.9), 2 * quantile(1.0), noise_floor]
}

/// The noise floor and the drift (PSI) of the example's model in windows of `rows` rows.
pub fn series(rows: usize) -> (u64, Vec<u64>) {
    let data = root().join("examples/employment-ma/data");
    let reference = scores(&data.join("reference.parquet"));
    let edges = deciles(reference.clone());
    let reference = counts(&edges, &reference);
    let metric = Metric::Psi.into();
    let floor = math::noise_floor(metric, &reference, rows as u64, WINDOW_SECS);
    let analysis = scores(&data.join("analysis.parquet"));
    let windows = analysis.chunks_exact(rows);
    let drift = windows.map(|window| math::drift(metric, &reference, &counts(&edges, window)));
    (floor, drift.collect())
}

/// The `score` column of a Parquet file, in the order of `id`.
pub fn scores(file: &Path) -> Vec<f64> {
    let file = fs::File::open(file).expect("the example's data");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<_> = schema
        .get_fields()
        .iter()
        .map(|field| field.name())
        .collect();
    let column = |name| {
        names
            .iter()
            .position(|known| *known == name)
            .expect("a column")
    };
    let (id, score) = (column("id"), column("score"));
    let rows = reader.get_row_iter(None).expect("rows");
    let mut rows: Vec<(i64, f64)> = rows
        .map(|row| {
            let row = row.expect("a row");
            (
                row.get_long(id).expect("an id"),
                row.get_double(score).expect("a score"),
            )
        })
        .collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.into_iter().map(|(_, score)| score).collect()
}

/// The nine deciles, with linear interpolation.
pub fn deciles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    (1..10)
        .map(|k| {
            let position = (values.len() - 1) as f64 * f64::from(k) / 10.0;
            let (below, above) = (values[position as usize], values[position as usize + 1]);
            below + position.fract() * (above - below)
        })
        .collect()
}

/// Number of scores per bin. A score that equals an edge belongs to the bin above it.
pub fn counts(edges: &[f64], scores: &[f64]) -> Vec<u32> {
    let mut counts = vec![0; edges.len() + 1];
    for score in scores {
        counts[edges.iter().filter(|edge| *edge <= score).count()] += 1;
    }
    counts
}
