//! Evidence: documents of what an oracle counted, for anyone to check.

mod server;
mod store;

use anchor_lang::Address;
use serde::{Deserialize, Serialize};

pub use self::{server::serve, store::Store};
use crate::{config::Windowing, dataset::CountedWindow};

/// An evidence document, stored as JSON. The SHA-256 of its bytes goes on chain.
///
/// The document depends only on the model, the window, the spec and the data file, so counting the
/// same file again yields the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Format version: 1.
    pub version: u32,
    /// Address of the model.
    pub model: String,
    pub window: u64,
    pub rows: Rows,
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// Number of rows counted.
    pub samples: u64,
    /// Number of rows left out because a value is missing.
    pub missing: u64,
    /// SHA-256 of the metric-spec document, in hexadecimal.
    pub spec_sha256: String,
    /// SHA-256 of the window's rows in order, in hexadecimal. Each row is serialized as its key
    /// (i64) and its measured values (f64; 0x7ff8000000000000 if missing), little-endian.
    pub rows_sha256: String,
    /// SHA-256 of the data file, in hexadecimal.
    pub data_sha256: String,
}

/// The rows of the window, with and without missing values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Name of the column by which the rows are sorted, ascending.
    pub order_by: String,
    /// Position of the first row in that order, from 0.
    pub first: u64,
    /// Number of rows, including those with missing values.
    pub count: u64,
    /// The first row's value of `order_by`; a time is in microseconds since 1970. `null` if the
    /// window has no row.
    pub first_key: Option<i64>,
    /// The last row's value of `order_by`, `null` if the window has no row.
    pub last_key: Option<i64>,
}

impl Document {
    pub fn new(
        model: &Address,
        window: u64,
        counted: &CountedWindow,
        windowing: &Windowing,
        spec_sha256: &[u8; 32],
        data_sha256: &[u8; 32],
    ) -> Self {
        let samples = counted.samples();
        Self {
            version: 1,
            model: model.to_string(),
            window,
            rows: Rows {
                order_by: windowing.key_column().to_owned(),
                first: counted.rows.start as u64,
                count: counted.rows.len() as u64,
                first_key: counted.keys.map(|(first, _)| first),
                last_key: counted.keys.map(|(_, last)| last),
            },
            counts: counted.counts.clone(),
            samples,
            missing: counted.rows.len() as u64 - samples,
            spec_sha256: const_hex::encode(spec_sha256),
            rows_sha256: const_hex::encode(counted.rows_sha256),
            data_sha256: const_hex::encode(data_sha256),
        }
    }

    /// The bytes that are stored, served and hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data serializes to JSON");
        bytes.push(b'\n');
        bytes
    }
}
