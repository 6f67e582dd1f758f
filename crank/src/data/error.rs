//! Errors of data files.

use parquet::errors::ParquetError;

/// Why a data file can't be used. Print it with its source, which holds the cause.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("could not read the file as Parquet; check that the file is complete and valid")]
    Parquet(#[from] ParquetError),
    #[error("could not read the file as CSV; check that the file is complete and valid")]
    Csv(#[from] csv::Error),
    #[error("unknown file extension {0:?}; use .parquet or .csv")]
    UnknownExtension(String),
    #[error("no column {column:?}; correct its name to one of: {columns}")]
    NoColumn { column: String, columns: String },
    #[error("column {column:?} holds {found}; use a column of numbers")]
    NotNumbers { column: String, found: String },
    #[error("column {column:?}, row {row} (the first is 0): {reason}")]
    InvalidValue {
        column: String,
        /// Counted from 0. The header of a CSV file is not a row.
        row: usize,
        reason: String,
    },
    #[error("the file changed while it was read; write a new file and rename it into place")]
    ChangedWhileRead,
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

    pub fn invalid_value(column: &str, row: usize, reason: impl Into<String>) -> Self {
        Self::InvalidValue {
            column: column.to_owned(),
            row,
            reason: reason.into(),
        }
    }
}
