//! The metric-spec document, which defines how a model's drift is measured. A model pins the
//! document's SHA-256, so the definition cannot change later.

use driftshield::{MetricSpec, math::Metric};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A metric-spec document.
///
/// The document is JSON. The model pins the SHA-256 of its bytes, so keep the file unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecDocument {
    /// Version of this format: 1.
    pub version: u32,
    pub metric: MetricName,
    pub measure: Measure,
    /// Row counts of the reference data, by bin.
    pub reference: Vec<u32>,
    /// Minimum number of rows in a window.
    pub min_samples: u64,
    /// SHA-256 of the reference file, hexadecimal.
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

/// Name of a [`Metric`] in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
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
    #[error("not a metric-spec document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("unknown format version {0}: update the client")]
    Version(u32),
    #[error("bin edges must be finite and strictly ascending")]
    Edges,
    #[error("{edges} edges define {} bins, but the reference has {bins}", edges + 1)]
    Bins { edges: usize, bins: usize },
    #[error(
        "measure `column` requires a metric other than error_rate, and measure `errors` requires error_rate"
    )]
    Metric,
}

impl SpecDocument {
    /// Parses and validates a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let document: Self = serde_json::from_slice(bytes)?;
        if document.version != VERSION {
            return Err(SpecError::Version(document.version));
        }
        document.validate()?;
        Ok(document)
    }

    /// Rejects a document whose bins and metric do not match its measure. The program itself rejects
    /// references from which no sound drift can be computed.
    pub fn validate(&self) -> Result<(), SpecError> {
        let bins = self.reference.len();
        match &self.measure {
            Measure::Column { edges, .. } => {
                let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
                if !ascending || !edges.iter().all(|edge| edge.is_finite()) {
                    return Err(SpecError::Edges);
                }
                if edges.len() + 1 != bins {
                    let edges = edges.len();
                    return Err(SpecError::Bins { edges, bins });
                }
                if self.metric == MetricName::ErrorRate {
                    return Err(SpecError::Metric);
                }
            }
            Measure::Errors { .. } if self.metric != MetricName::ErrorRate => {
                return Err(SpecError::Metric);
            }
            Measure::Errors { .. } if bins != 2 => return Err(SpecError::Bins { edges: 1, bins }),
            Measure::Errors { .. } => {}
        }
        Ok(())
    }

    /// Serialized document: the bytes to store, publish and hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a document serializes to JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The [`MetricSpec`] argument of `register_model`. `bytes` are the document's own bytes;
    /// `genesis` and `window_secs` have the units of [`MetricSpec`].
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
