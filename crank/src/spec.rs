//! `crank spec`: creates a metric-spec document from reference data.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use driftshield_sdk::{
    Metric, math,
    spec::{Measure, MetricName, SpecDocument, VERSION, sha256},
};

use crate::{
    data::Table,
    measure::{columns, count, quantile_edges, total},
};

/// Minimum number of rows expected in the rarest bin of a window of `min_samples` rows.
/// Registration requires it for every metric but `error_rate`.
const MIN_EXPECTED_ROWS: u64 = 20;

#[derive(Debug, Args)]
pub struct Options {
    /// Data that the model was validated on: a .parquet or .csv file.
    #[arg(long)]
    reference: PathBuf,
    /// Column to measure. Its bins are cut at the reference's quantiles.
    #[arg(
        long,
        required_unless_present = "prediction",
        conflicts_with = "prediction"
    )]
    column: Option<String>,
    /// Number of bins, 2 to 16.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(2..=16))]
    bins: u8,
    /// Drift metric; psi by default. error_rate takes --prediction and --label, the others --column.
    #[arg(long, value_enum)]
    metric: Option<MetricOption>,
    /// Column with the predictions, for error_rate.
    #[arg(long, requires = "label")]
    prediction: Option<String>,
    /// Column with the labels, for error_rate.
    #[arg(long, requires = "prediction")]
    label: Option<String>,
    /// Minimum number of counted rows of a window [default: 20 rows are expected in the rarest bin]
    #[arg(long)]
    min_samples: Option<u64>,
    /// File to write the document to.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MetricOption {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
}

impl From<MetricOption> for MetricName {
    fn from(option: MetricOption) -> Self {
        match option {
            MetricOption::Psi => Self::Psi,
            MetricOption::JensenShannon => Self::JensenShannon,
            MetricOption::KolmogorovSmirnov => Self::KolmogorovSmirnov,
            MetricOption::TotalVariation => Self::TotalVariation,
            MetricOption::ErrorRate => Self::ErrorRate,
        }
    }
}

/// Writes the document, and prints its hash and content.
pub fn write(options: &Options) -> Result<()> {
    let document = document(options)?;
    let bytes = document.to_bytes();
    let path = options.out.display();
    let draft = options.out.with_extension("tmp");
    fs::write(&draft, &bytes)
        .and_then(|()| fs::rename(&draft, &options.out))
        .with_context(|| format!("could not write {path}"))?;

    println!("document     {path}");
    println!("sha256       {}", const_hex::encode(sha256(&bytes)));
    if let Measure::Column { edges, .. } = &document.measure {
        println!("edges        {edges:?}");
    }
    println!("reference    {:?}", document.reference);
    println!("min_samples  {}", document.min_samples);
    let metric = Metric::from(document.metric);
    let floor = math::noise_floor(metric.into(), &document.reference, document.min_samples);
    println!(
        "noise floor  {floor} micro-units; market thresholds and policy triggers can't be lower"
    );
    Ok(())
}

fn document(options: &Options) -> Result<SpecDocument> {
    let (names, metric) = columns_and_metric(options)?;
    let path = options.reference.display();
    let table = Table::read(&options.reference, None, &names).with_context(|| path.to_string())?;
    let measure = match names[..] {
        [name] => {
            let edges = quantile_edges(&table.columns[0], options.bins.into());
            Measure::Column {
                name: name.to_owned(),
                edges: edges.with_context(|| format!("{path}: column {name:?}"))?,
            }
        }
        [prediction, label] => Measure::Errors {
            prediction: prediction.to_owned(),
            label: label.to_owned(),
        },
        _ => bail!("set --column, or --prediction and --label"),
    };
    debug_assert_eq!(columns(&measure), names);
    let values: Vec<&[f64]> = table.columns.iter().map(Vec::as_slice).collect();
    let reference = count(&measure, &values);
    let least = least_samples(metric, &reference).with_context(|| path.to_string())?;
    let rows = total(&reference);
    let default = if metric == MetricName::ErrorRate {
        default_error_samples(&reference)
    } else {
        least
    };
    let min_samples = options.min_samples.unwrap_or(default);
    if !(least..=rows).contains(&min_samples) {
        bail!(
            "--min-samples is {min_samples}; registration accepts {least} to {rows} with this reference"
        );
    }
    let document = SpecDocument {
        version: VERSION,
        metric,
        measure,
        reference,
        min_samples,
        reference_sha256: const_hex::encode(table.file_sha256),
    };
    document.validate()?;
    Ok(document)
}

/// Names of the columns to read, and the metric.
fn columns_and_metric(options: &Options) -> Result<(Vec<&str>, MetricName)> {
    let metric = options.metric.map(MetricName::from);
    let is_error_rate = metric == Some(MetricName::ErrorRate);
    match (&options.column, &options.prediction, &options.label) {
        (Some(column), None, None) if !is_error_rate => {
            Ok((vec![column], metric.unwrap_or(MetricName::Psi)))
        }
        (None, Some(prediction), Some(label)) if is_error_rate || metric.is_none() => {
            Ok((vec![prediction, label], MetricName::ErrorRate))
        }
        _ => bail!(
            "--metric does not match the columns; error_rate takes --prediction and --label, the \
             other metrics --column"
        ),
    }
}

/// Smallest `min_samples` that registration accepts. Fails if the reference is too small for any.
fn least_samples(metric: MetricName, reference: &[u32]) -> Result<u64> {
    let rows = total(reference);
    if rows == 0 {
        bail!("no row has a value in every measured column; use a reference with complete rows");
    }
    if metric == MetricName::ErrorRate {
        return Ok(1);
    }
    let rarest = reference.iter().copied().min().unwrap_or(0).into();
    if rarest < MIN_EXPECTED_ROWS {
        bail!(
            "the rarest bin has {rarest} rows, but {MIN_EXPECTED_ROWS} are needed; use fewer bins \
             or a larger reference"
        );
    }
    Ok((MIN_EXPECTED_ROWS * rows).div_ceil(rarest))
}

/// Default `min_samples` of `error_rate`: [`MIN_EXPECTED_ROWS`] rows are expected of the rarer
/// outcome, correct or wrong. At most the number of rows of the reference. Registration accepts
/// fewer, but the rate of so few rows is mostly noise.
fn default_error_samples(reference: &[u32]) -> u64 {
    let rows = total(reference);
    let rarest = reference.iter().copied().min().unwrap_or(0);
    let samples = (MIN_EXPECTED_ROWS * rows).checked_div(rarest.into());
    samples.unwrap_or(rows).clamp(1, rows)
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Metric, MetricSpec};

    use super::*;

    fn spec(reference: &[u32], min_samples: u64) -> MetricSpec {
        MetricSpec {
            metric: Metric::Psi,
            reference: reference.to_vec(),
            min_samples,
            spec_hash: [0; 32],
            genesis: 0,
            window_secs: 1,
        }
    }

    #[test]
    fn least_samples_is_the_fewest_that_registration_accepts() {
        for reference in [
            vec![20, 20],
            vec![20, 1_000],
            vec![333, 334, 1_001],
            vec![25; 16],
        ] {
            let least = least_samples(MetricName::Psi, &reference).expect("enough rows");
            assert!(spec(&reference, least).validate().is_ok(), "{reference:?}");
            assert!(
                spec(&reference, least - 1).validate().is_err(),
                "{reference:?}"
            );
        }
        assert!(least_samples(MetricName::Psi, &[19, 500]).is_err());
        assert!(least_samples(MetricName::ErrorRate, &[0, 0]).is_err());
        assert_eq!(
            least_samples(MetricName::ErrorRate, &[5, 0]).expect("rows"),
            1
        );
    }

    #[test]
    fn a_document_is_created_from_a_csv_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let reference = directory.path().join("reference.csv");
        let rows: String = (0..100).map(|row| format!("{row},{}\n", row % 2)).collect();
        fs::write(&reference, format!("score,label\n{rows}")).expect("written");
        let options = Options {
            reference,
            column: Some("score".into()),
            bins: 4,
            metric: None,
            prediction: None,
            label: None,
            min_samples: None,
            out: directory.path().join("spec.json"),
        };
        write(&options).expect("written");
        let bytes = fs::read(&options.out).expect("read");
        let document = SpecDocument::parse(&bytes).expect("valid");
        assert_eq!(document.reference, [25; 4]);
        assert_eq!(document.min_samples, 80);
        let edges = vec![24.75, 49.5, 74.25];
        let name = "score".to_owned();
        assert_eq!(document.measure, Measure::Column { name, edges });
    }
}
