//! `crank spec`: makes a metric-spec document from reference data.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use driftshield_sdk::{
    json::hex,
    math,
    spec::{Measure, MetricName, SpecDocument, VERSION, sha256},
};

use crate::{
    data::Table,
    measure::{columns, count, quantile_edges},
};

/// Rows that the rarest bin of the reference must stand for in a window of `min_samples`: the
/// program demands it at registration.
const EXPECTED_ROWS: u64 = 20;

#[derive(Debug, Args)]
pub struct Options {
    /// Data that the model was validated on, a .parquet or .csv file.
    #[arg(long)]
    reference: PathBuf,
    /// Column to measure, cut into bins at the reference's quantiles.
    #[arg(
        long,
        required_unless_present = "prediction",
        conflicts_with = "prediction"
    )]
    column: Option<String>,
    /// Number of bins, 2 to 16.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(2..=16))]
    bins: u8,
    /// How drift is computed. error_rate takes --prediction and --label, the others --column.
    #[arg(long, value_enum)]
    metric: Option<MetricOption>,
    /// Column of predictions, for error_rate.
    #[arg(long, requires = "label")]
    prediction: Option<String>,
    /// Column of labels, for error_rate.
    #[arg(long, requires = "prediction")]
    label: Option<String>,
    /// Fewest rows of a window; unless given, as many as make the rarest bin stand for 20 rows.
    #[arg(long)]
    min_samples: Option<u64>,
    /// Where to write the document.
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

/// Writes the document, and prints its hash and what it holds.
pub fn write(options: &Options) -> Result<()> {
    let document = document(options)?;
    let bytes = document.to_bytes();
    let path = options.out.display();
    let draft = options.out.with_extension("tmp");
    fs::write(&draft, &bytes)
        .and_then(|()| fs::rename(&draft, &options.out))
        .with_context(|| format!("{path}: could not be written"))?;

    println!("document     {path}");
    println!("sha256       {}", hex(&sha256(&bytes)));
    if let Measure::Column { edges, .. } = &document.measure {
        println!("edges        {edges:?}");
    }
    println!("reference    {:?}", document.reference);
    println!("min_samples  {}", document.min_samples);
    let metric = document.metric.into();
    let floor = math::noise_floor(metric, &document.reference, document.min_samples);
    println!("noise floor  {floor} micro-units: no market threshold lies under it");
    Ok(())
}

fn document(options: &Options) -> Result<SpecDocument> {
    let (names, metric) = measured(options)?;
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
        _ => bail!("give --column, or --prediction and --label"),
    };
    debug_assert_eq!(columns(&measure), names);
    let values: Vec<&[f64]> = table.columns.iter().map(Vec::as_slice).collect();
    let reference = count(&measure, &values);
    let least = least_samples(metric, &reference).with_context(|| path.to_string())?;
    let rows: u64 = reference.iter().map(|&count| u64::from(count)).sum();
    let default = if metric == MetricName::ErrorRate {
        error_samples(&reference)
    } else {
        least
    };
    let min_samples = options.min_samples.unwrap_or(default);
    if !(least..=rows).contains(&min_samples) {
        bail!(
            "--min-samples {min_samples}: registration accepts {least} to {rows} with this reference"
        );
    }
    let document = SpecDocument {
        version: VERSION,
        metric,
        measure,
        reference,
        min_samples,
        reference_sha256: hex(&table.sha256),
    };
    document.validate()?;
    Ok(document)
}

/// The columns to read, and the metric.
fn measured(options: &Options) -> Result<(Vec<&str>, MetricName)> {
    let metric = options.metric.map(MetricName::from);
    let errors = metric == Some(MetricName::ErrorRate);
    match (&options.column, &options.prediction, &options.label) {
        (Some(column), None, None) if !errors => {
            Ok((vec![column], metric.unwrap_or(MetricName::Psi)))
        }
        (None, Some(prediction), Some(label)) if errors || metric.is_none() => {
            Ok((vec![prediction, label], MetricName::ErrorRate))
        }
        _ => bail!("error_rate takes --prediction and --label, the other metrics --column"),
    }
}

/// The smallest `min_samples` with which the rarest bin stands for enough rows, and all bins for
/// no more than the reference has.
fn least_samples(metric: MetricName, reference: &[u32]) -> Result<u64> {
    let rows: u64 = reference.iter().map(|&count| u64::from(count)).sum();
    if rows == 0 {
        bail!("no row has all the values that are measured");
    }
    if metric == MetricName::ErrorRate {
        return Ok(1);
    }
    let rarest = reference.iter().copied().min().unwrap_or(0).into();
    if rarest < EXPECTED_ROWS {
        bail!(
            "the rarest bin has {rarest} rows, {EXPECTED_ROWS} are needed: use fewer bins or a \
             larger reference"
        );
    }
    Ok((EXPECTED_ROWS * rows).div_ceil(rarest))
}

/// As many as make the rarer of right and wrong stand for enough rows, of what the reference has.
/// Registration would accept fewer, but so few tell nothing.
fn error_samples(reference: &[u32]) -> u64 {
    let rows: u64 = reference.iter().map(|&count| u64::from(count)).sum();
    let rarest = reference.iter().copied().min().unwrap_or(0);
    let samples = (EXPECTED_ROWS * rows).checked_div(rarest.into());
    samples.unwrap_or(rows).clamp(1, rows)
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{MetricSpec, math::Metric};

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
    fn the_fewest_samples_are_the_fewest_that_registration_accepts() {
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
    fn a_document_of_a_csv_file() {
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
        write(&options).expect("made");
        let bytes = fs::read(&options.out).expect("there");
        let document = SpecDocument::parse(&bytes).expect("valid");
        assert_eq!(document.reference, [25; 4]);
        assert_eq!(document.min_samples, 80);
        let edges = vec![24.75, 49.5, 74.25];
        let name = "score".to_owned();
        assert_eq!(document.measure, Measure::Column { name, edges });
    }
}
