//! Errors of data files.

use parquet::errors::ParquetError;

/// Why a data file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("could not read the file as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("could not read the file as CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("unknown file format; name the file .parquet or .csv")]
    Format,
    #[error("no column {column:?}; the columns are {columns}")]
    NoColumn { column: String, columns: String },
    #[error("column {column:?} holds {found}; use a column of numbers")]
    NotNumbers { column: String, found: String },
    #[error("column {column:?}, row {row}: {reason}")]
    Value {
        column: String,
        /// Counted from 0, without a CSV file's header.
        row: usize,
        reason: String,
    },
    #[error("the file changed while it was read; write a new file and rename it into place")]
    Changed,
}

impl DataError {
    pub fn no_column(column: &str, columns: impl Iterator<Item = String>) -> Self {
        Self::NoColumn {
            column: column.to_owned(),
            columns: columns.collect::<Vec<_>>().join(", "),
        }
    }

    pub fn not_numbers(column: &str, found: impl Into<String>) -> Self {
        Self::NotNumbers {
            column: column.to_owned(),
            found: found.into(),
        }
    }

    pub fn value(column: &str, row: usize, reason: impl Into<String>) -> Self {
        Self::Value {
            column: column.to_owned(),
            row,
            reason: reason.into(),
        }
    }
}
