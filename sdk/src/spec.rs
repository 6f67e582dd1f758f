//! The metric-spec document, which defines how a model's drift is measured. The model pins the
//! SHA-256 of the document's bytes, so the definition cannot change later.

use std::fmt;

use driftshield::{Metric, MetricSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A metric-spec document, stored as JSON.
///
/// Keep the file unchanged: the model pins the SHA-256 of the bytes, not of the parsed document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecDocument {
    /// Version of the document format: [`VERSION`].
    pub version: u32,
    pub metric: MetricName,
    pub measure: Measure,
    /// Row counts of the reference data, by bin.
    pub reference: Vec<u32>,
    /// Minimum number of counted rows in a window.
    pub min_samples: u64,
    /// SHA-256 of the file with the reference data, in hexadecimal.
    pub reference_sha256: String,
}

/// How a row is assigned to a bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// By the value of a numeric column. Bin `i` holds the values from `edges[i - 1]` (inclusive)
    /// to `edges[i]` (exclusive); the first and the last bin are unbounded. Rows whose value is
    /// missing (null or NaN) are skipped.
    Column { name: String, edges: Vec<f64> },
    /// By the correctness of a prediction. Bin 0 holds the rows whose `prediction` equals their
    /// `label`, bin 1 the other rows. Rows in which either value is missing are skipped.
    Errors { prediction: String, label: String },
}

/// A [`Metric`], as named in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
}

impl fmt::Display for MetricName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Psi => Self::Psi,
            MetricName::JensenShannon => Self::JensenShannon,
            MetricName::KolmogorovSmirnov => Self::KolmogorovSmirnov,
            MetricName::TotalVariation => Self::TotalVariation,
            MetricName::ErrorRate => Self::ErrorRate,
        }
    }
}

/// Version of the document format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// Why a metric-spec document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("not a metric-spec document; check the file")]
    Json(#[from] serde_json::Error),
    #[error("unknown format version {0}; update the client")]
    Version(u32),
    #[error(
        "edge {index} ({value}) is not finite or not above the edge before it; correct `edges`"
    )]
    Edges { index: usize, value: f64 },
    #[error(
        "the measure defines {} bins, but `reference` has {bins}; correct one of them",
        .edges + 1
    )]
    Bins { edges: usize, bins: usize },
    #[error(
        "measure `errors` needs 2 bins, but the reference has {0}; give the counts of correct and \
         of wrong rows"
    )]
    ErrorsBins(usize),
    #[error(
        "metric {metric} does not fit measure `{measure}`; use error_rate with `errors`, and \
         another metric with `column`"
    )]
    Metric {
        metric: MetricName,
        measure: &'static str,
    },
}

impl SpecDocument {
    /// Parses and validates a document. Fails if its format version is not [`VERSION`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let document: Self = serde_json::from_slice(bytes)?;
        if document.version != VERSION {
            return Err(SpecError::Version(document.version));
        }
        document.validate()?;
        Ok(document)
    }

    /// Refuses a document whose edges, bins or metric are invalid for its measure. The program also
    /// checks the number of bins, `min_samples` and the rows of the rarest bin.
    pub fn validate(&self) -> Result<(), SpecError> {
        let bins = self.reference.len();
        match &self.measure {
            Measure::Column { edges, .. } => {
                for (index, &value) in edges.iter().enumerate() {
                    let ascending = index == 0 || edges[index - 1] < value;
                    if !ascending || !value.is_finite() {
                        return Err(SpecError::Edges { index, value });
                    }
                }
                if edges.len() + 1 != bins {
                    let edges = edges.len();
                    return Err(SpecError::Bins { edges, bins });
                }
                if self.metric == MetricName::ErrorRate {
                    return Err(self.metric_error("column"));
                }
            }
            Measure::Errors { .. } if self.metric != MetricName::ErrorRate => {
                return Err(self.metric_error("errors"));
            }
            Measure::Errors { .. } if bins != 2 => return Err(SpecError::ErrorsBins(bins)),
            Measure::Errors { .. } => {}
        }
        Ok(())
    }

    fn metric_error(&self, measure: &'static str) -> SpecError {
        SpecError::Metric {
            metric: self.metric,
            measure,
        }
    }

    /// Serializes the document into the bytes to store, publish and hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a document serializes to JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The [`MetricSpec`] argument of `register_model`. `bytes` is the file's content.
    /// `genesis` is a Unix time and `window_secs` a length in seconds.
    pub fn metric_spec(&self, bytes: &[u8], genesis: i64, window_secs: i64) -> MetricSpec {
        MetricSpec {
            metric: self.metric.into(),
            reference: self.reference.clone(),
            min_samples: self.min_samples,
            spec_hash: sha256(bytes),
            genesis,
            window_secs,
        }
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
