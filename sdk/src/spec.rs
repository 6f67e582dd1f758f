//! The metric-spec document: what a model's drift is measured on and how. A model pins its
//! SHA-256, so that nobody can change it afterwards.

use driftshield::{MetricSpec, math::Metric};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A metric-spec document, as JSON.
///
/// The model pins the SHA-256 of the document's bytes: keep the file as it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecDocument {
    /// Version of this format: 1.
    pub version: u32,
    pub metric: MetricName,
    pub measure: Measure,
    /// Rows of the reference by bin.
    pub reference: Vec<u32>,
    /// Fewest rows of a window.
    pub min_samples: u64,
    /// SHA-256 of the reference file, in hexadecimal digits.
    pub reference_sha256: String,
}

/// What is counted of each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// A number, by bins: bin `i` holds the values from `edges[i - 1]` up to, but without, `edges[i]`.
    /// The first and the last bin are open. Rows whose value is missing (null or not a
    /// number) are left out.
    Column { name: String, edges: Vec<f64> },
    /// Whether `prediction` equals `label`: bin 0 where it does, bin 1 where not. Rows where one
    /// of them is missing are left out.
    Errors { prediction: String, label: String },
}

/// [`Metric`] by name.
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

/// The format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// Why a spec document can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("not a metric-spec document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("format version {0} is not known: update the client")]
    Version(u32),
    #[error("bin edges must be finite and ascending")]
    Edges,
    #[error("{edges} edges make {} bins, but the reference has {bins}", edges + 1)]
    Bins { edges: usize, bins: usize },
    #[error("a column takes any metric but error_rate, and errors take only that")]
    Metric,
}

impl SpecDocument {
    /// Reads and checks a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let document: Self = serde_json::from_slice(bytes)?;
        if document.version != VERSION {
            return Err(SpecError::Version(document.version));
        }
        document.validate()?;
        Ok(document)
    }

    /// Refuses what can't be counted. The program refuses what no sound value can be computed from.
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

    /// The bytes to keep, publish and hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data becomes JSON");
        bytes.push(b'\n');
        bytes
    }

    /// What `register_model` takes. `bytes` are the document's own; times as in [`MetricSpec`].
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
