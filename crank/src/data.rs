//! Columns of a Parquet or CSV file.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::Path,
    time::SystemTime,
};

use chrono::DateTime;
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::DataType,
    errors::ParquetError,
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    schema::types::{ColumnDescPtr, ColumnDescriptor},
};
use sha2::{Digest, Sha256};

/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;

/// Why a data file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("not a Parquet file that can be read: {0}")]
    Parquet(#[from] ParquetError),
    #[error("not a CSV file that can be read: {0}")]
    Csv(#[from] csv::Error),
    #[error("the name must end with .parquet or .csv")]
    Format,
    #[error("there is no column {column:?}; there are {there}")]
    NoColumn { column: String, there: String },
    #[error("column {column:?} holds {what}: use a column of numbers")]
    NotNumbers { column: String, what: String },
    #[error("column {column:?}, row {row}: {what}")]
    Value {
        column: String,
        row: usize,
        what: String,
    },
    #[error("changed while it was read: write a new file and rename it into place")]
    Changed,
}

/// What a file's content is told by without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Stamp {
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
        })
    }
}

/// How the column that orders the rows is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Integers as they are, Parquet timestamps in their own unit.
    Integer,
    /// Microseconds since 1970, of unix seconds, RFC 3339 texts or Parquet timestamps.
    Time,
}

/// The rows of a file: what they are ordered by and what is measured, by row. Rows stand as they
/// do in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Empty where no key was asked for.
    pub keys: Vec<i64>,
    /// Each measured column; NaN where the value is missing.
    pub columns: Vec<Vec<f64>>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

impl Table {
    /// Reads the named columns of a file, none of the others.
    pub fn read(
        path: &Path,
        key: Option<(&str, KeyKind)>,
        columns: &[&str],
    ) -> Result<Self, DataError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let read = match extension {
            Some("parquet") => read_parquet,
            Some("csv") => read_csv,
            _ => return Err(DataError::Format),
        };
        let before = Stamp::of(path)?;
        let mut file = File::open(path)?;
        let sha256 = hash(&mut file)?;
        file.rewind()?;
        let (keys, columns) = read(file, key, columns)?;
        if Stamp::of(path)? != before {
            return Err(DataError::Changed);
        }
        Ok(Self {
            keys,
            columns,
            sha256,
        })
    }
}

type Columns = (Vec<i64>, Vec<Vec<f64>>);

fn hash(file: &mut File) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let bytes = file.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..bytes]);
    }
}

fn read_parquet(
    file: File,
    key: Option<(&str, KeyKind)>,
    columns: &[&str],
) -> Result<Columns, DataError> {
    let reader = SerializedFileReader::new(file)?;
    let keys = match key {
        Some((name, kind)) => parquet_keys(&reader, name, kind)?,
        None => vec![],
    };
    let columns = columns.iter().map(|name| parquet_values(&reader, name));
    Ok((keys, columns.collect::<Result<_, _>>()?))
}

fn parquet_keys(
    reader: &SerializedFileReader<File>,
    name: &str,
    kind: KeyKind,
) -> Result<Vec<i64>, DataError> {
    let fault = |row: usize, what: &str| DataError::Value {
        column: name.to_owned(),
        row,
        what: what.to_owned(),
    };
    let (index, descriptor) = parquet_column(reader, name)?;
    let unit = timestamp_unit(&descriptor);
    let mut keys = vec![];
    parquet_cells(reader, index, |cell| {
        let row = keys.len();
        let key = match (cell, kind) {
            (Cell::Missing, _) => Err(fault(row, "missing: every row needs one")),
            (Cell::Integer(value), KeyKind::Integer) => Ok(value),
            (Cell::Integer(value), KeyKind::Time) => {
                micros(value, unit).ok_or_else(|| fault(row, "not a time in unix seconds"))
            }
            (Cell::Text(text), KeyKind::Time) => {
                time(&text).ok_or_else(|| fault(row, "not a time in RFC 3339"))
            }
            (Cell::Real(value), KeyKind::Time) => {
                seconds(value).ok_or_else(|| fault(row, "not a time in unix seconds"))
            }
            (Cell::Huge(_), _) => Err(fault(row, "2^63 or more, which no key may be")),
            (_, KeyKind::Integer) => Err(fault(row, "not an integer")),
        };
        keys.push(key?);
        Ok(())
    })?;
    Ok(keys)
}

fn parquet_values(reader: &SerializedFileReader<File>, name: &str) -> Result<Vec<f64>, DataError> {
    let (index, _) = parquet_column(reader, name)?;
    let inexact = |row: usize, value: i128| DataError::Value {
        column: name.to_owned(),
        row,
        what: format!("{value} {INEXACT}"),
    };
    let mut values = vec![];
    parquet_cells(reader, index, |cell| {
        let row = values.len();
        values.push(match cell {
            Cell::Missing => f64::NAN,
            Cell::Integer(value) => exact(value).ok_or_else(|| inexact(row, value.into()))?,
            Cell::Huge(value) => return Err(inexact(row, value.into())),
            Cell::Real(value) => value,
            Cell::Text(_) => {
                return Err(DataError::NotNumbers {
                    column: name.to_owned(),
                    what: "texts".to_owned(),
                });
            }
        });
        Ok(())
    })?;
    Ok(values)
}

/// Why an integer is refused: two that differ could be counted as equal.
const INEXACT: &str = "is beyond 2^53, more than a measured number holds exactly";

fn exact(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= 1 << 53).then_some(value as f64)
}

/// Which leaf column has this name, and what it is.
fn parquet_column(
    reader: &SerializedFileReader<File>,
    name: &str,
) -> Result<(usize, ColumnDescPtr), DataError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns = schema.columns();
    let index = columns
        .iter()
        .position(|column| column.path().string() == name);
    let index = index.ok_or_else(|| DataError::NoColumn {
        column: name.to_owned(),
        there: list(columns.iter().map(|column| column.path().string())),
    })?;
    let column = &columns[index];
    // A decimal's digits are not its value.
    let decimal = matches!(column.logical_type_ref(), Some(LogicalType::Decimal(_)));
    if 0 < column.max_rep_level() || decimal {
        return Err(DataError::NotNumbers {
            column: name.to_owned(),
            what: if decimal { "decimals" } else { "lists" }.to_owned(),
        });
    }
    Ok((index, column.clone()))
}

/// Whether integers have no sign: they are stored like those that have one.
fn is_unsigned(column: &ColumnDescriptor) -> bool {
    let logical =
        matches!(column.logical_type_ref(), Some(LogicalType::Integer(kind)) if !kind.is_signed);
    let converted = matches!(
        column.converted_type(),
        ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64
    );
    logical || converted
}

fn timestamp_unit(column: &ColumnDescriptor) -> Option<TimeUnit> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(timestamp)), _) => Some(timestamp.unit),
        (_, ConvertedType::TIMESTAMP_MILLIS) => Some(TimeUnit::MILLIS),
        (_, ConvertedType::TIMESTAMP_MICROS) => Some(TimeUnit::MICROS),
        _ => None,
    }
}

/// A time in `unit`, or in seconds, in microseconds. Finer ones are cut towards the past.
fn micros(value: i64, unit: Option<TimeUnit>) -> Option<i64> {
    match unit {
        None => value.checked_mul(MICROS),
        Some(TimeUnit::MILLIS) => value.checked_mul(1_000),
        Some(TimeUnit::MICROS) => Some(value),
        Some(TimeUnit::NANOS) => Some(value.div_euclid(1_000)),
    }
}

fn seconds(value: f64) -> Option<i64> {
    let micros = (value * MICROS as f64).floor();
    // Up to here every integer is a double of its own.
    (micros.abs() < 2f64.powi(53)).then_some(micros as i64)
}

fn time(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    Some(time.timestamp_micros())
}

enum Cell {
    Missing,
    Integer(i64),
    /// Too large for [`Cell::Integer`].
    Huge(u64),
    Real(f64),
    Text(String),
}

/// Calls `each` with every row's value of a column.
fn parquet_cells(
    reader: &SerializedFileReader<File>,
    index: usize,
    mut each: impl FnMut(Cell) -> Result<(), DataError>,
) -> Result<(), DataError> {
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = group.metadata().num_rows();
        let rows = usize::try_from(rows).map_err(|error| ParquetError::External(error.into()))?;
        let column = group.metadata().column(index).column_descr_ptr();
        let levels = column.max_def_level();
        let unsigned = is_unsigned(&column);
        match group.get_column_reader(index)? {
            ColumnReader::BoolColumnReader(reader) => cells(
                reader,
                rows,
                levels,
                |value| Cell::Integer((*value).into()),
                &mut each,
            ),
            ColumnReader::Int32ColumnReader(reader) => {
                let integer = |value: &i32| match *value {
                    value if unsigned => Cell::Integer(value.cast_unsigned().into()),
                    value => Cell::Integer(value.into()),
                };
                cells(reader, rows, levels, integer, &mut each)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                let integer = |value: &i64| match *value {
                    value if unsigned && value < 0 => Cell::Huge(value.cast_unsigned()),
                    value => Cell::Integer(value),
                };
                cells(reader, rows, levels, integer, &mut each)
            }
            ColumnReader::FloatColumnReader(reader) => cells(
                reader,
                rows,
                levels,
                |value| Cell::Real((*value).into()),
                &mut each,
            ),
            ColumnReader::DoubleColumnReader(reader) => {
                cells(reader, rows, levels, |value| Cell::Real(*value), &mut each)
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let text = |value: &parquet::data_type::ByteArray| {
                    Cell::Text(String::from_utf8_lossy(value.data()).into_owned())
                };
                cells(reader, rows, levels, text, &mut each)
            }
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                Err(DataError::NotNumbers {
                    column: column.path().string(),
                    what: format!("values of type {}", column.physical_type()),
                })
            }
        }?;
    }
    Ok(())
}

/// Of one column in one row group. A row is missing where its definition level is below the
/// column's.
fn cells<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    max_level: i16,
    cell: impl Fn(&T::T) -> Cell,
    each: &mut impl FnMut(Cell) -> Result<(), DataError>,
) -> Result<(), DataError> {
    const BATCH: usize = 1 << 14;
    let mut left = rows;
    while 0 < left {
        let (mut levels, mut values) = (vec![], vec![]);
        let (read, _, _) =
            reader.read_records(left.min(BATCH), Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::EOF("a column ends before its row group does".into()).into());
        }
        left -= read;
        let mut values = values.iter();
        for row in 0..read {
            let present = levels.get(row).is_none_or(|level| *level == max_level);
            let value = if present { values.next() } else { None };
            each(value.map_or(Cell::Missing, &cell))?;
        }
    }
    Ok(())
}

fn read_csv(
    file: File,
    key: Option<(&str, KeyKind)>,
    columns: &[&str],
) -> Result<Columns, DataError> {
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader.headers()?.clone();
    let find = |name: &str| {
        let index = headers.iter().position(|header| header == name);
        index.ok_or_else(|| DataError::NoColumn {
            column: name.to_owned(),
            there: list(headers.iter().map(str::to_owned)),
        })
    };
    let key = key
        .map(|(name, kind)| find(name).map(|index| (name, index, kind)))
        .transpose()?;
    let indices = columns
        .iter()
        .map(|name| find(name))
        .collect::<Result<Vec<_>, _>>()?;

    let (mut keys, mut values) = (vec![], vec![vec![]; columns.len()]);
    for (row, record) in reader.records().enumerate() {
        let record = record?;
        let field = |index: usize| record.get(index).unwrap_or_default().trim();
        let fault = |column: &str, what: String| DataError::Value {
            column: column.to_owned(),
            row,
            what,
        };
        if let Some((name, index, kind)) = key {
            let text = field(index);
            let parsed = csv_key(text, kind);
            keys.push(parsed.ok_or_else(|| fault(name, format!("{text:?} is no {kind}")))?);
        }
        for ((values, index), name) in values.iter_mut().zip(&indices).zip(columns) {
            let text = field(*index);
            let integer = text.parse::<i128>().ok();
            let fits = |integer| i64::try_from(integer).ok().and_then(exact).is_some();
            if !integer.is_none_or(fits) {
                return Err(fault(name, format!("{text} {INEXACT}")));
            }
            let value = csv_value(text);
            values.push(value.ok_or_else(|| fault(name, format!("{text:?} is not a number")))?);
        }
    }
    Ok((keys, values))
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Time => "time (unix seconds or RFC 3339)",
        })
    }
}

fn csv_key(text: &str, kind: KeyKind) -> Option<i64> {
    let integer = text.parse::<i64>().ok();
    match kind {
        KeyKind::Integer => integer,
        KeyKind::Time => match integer {
            Some(value) => value.checked_mul(MICROS),
            None => text.parse().ok().and_then(seconds).or_else(|| time(text)),
        },
    }
}

/// Empty, `NA`, `NaN` and `null` are missing.
fn csv_value(text: &str) -> Option<f64> {
    match text {
        "" | "NA" | "null" => Some(f64::NAN),
        "true" | "True" => Some(1.0),
        "false" | "False" => Some(0.0),
        _ => text.parse().ok(),
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use parquet::{
        data_type::{DoubleType, Int32Type, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use super::*;

    /// A Parquet file of the columns `id` and `score`, in row groups of three.
    pub fn write_parquet(path: &Path, rows: &[(i64, Option<f64>)]) {
        let schema = "message rows { required int64 id; optional double score; }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let file = File::create(path).expect("a new file");
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
        for rows in rows.chunks(3) {
            let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let scores: Vec<f64> = rows.iter().filter_map(|row| row.1).collect();
            let levels: Vec<i16> = rows.iter().map(|row| row.1.is_some().into()).collect();
            let mut group = writer.next_row_group().expect("a group");
            let mut column = group.next_column().expect("a column").expect("a column");
            column
                .typed::<Int64Type>()
                .write_batch(&ids, None, None)
                .expect("written");
            column.close().expect("closed");
            let mut column = group.next_column().expect("a column").expect("a column");
            column
                .typed::<DoubleType>()
                .write_batch(&scores, Some(&levels), None)
                .expect("written");
            column.close().expect("closed");
            group.close().expect("closed");
        }
        writer.close().expect("closed");
    }

    /// Equal to the bit, so that a missing value equals another.
    fn bits(table: &Table) -> Vec<Vec<u64>> {
        let bits = |column: &Vec<f64>| column.iter().map(|value| value.to_bits()).collect();
        table.columns.iter().map(bits).collect()
    }

    #[test]
    fn parquet_and_csv_tell_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let (parquet, csv) = (
            directory.path().join("a.parquet"),
            directory.path().join("a.csv"),
        );
        let rows = [
            (4, Some(0.5)),
            (-2, None),
            (9, Some(-0.25)),
            (7, Some(1e-9)),
        ];
        write_parquet(&parquet, &rows);
        fs::write(&csv, "score,id\n0.5,4\n,-2\n-0.25, 9\n1e-9,7\n").expect("written");
        let key = Some(("id", KeyKind::Integer));
        let parquet = Table::read(&parquet, key, &["score"]).expect("read");
        let csv = Table::read(&csv, key, &["score"]).expect("read");
        assert_eq!(parquet.keys, [4, -2, 9, 7]);
        assert_eq!(parquet.keys, csv.keys);
        assert_eq!(bits(&parquet), bits(&csv));
        assert!(parquet.columns[0][1].is_nan());
    }

    #[test]
    fn times_are_seconds_or_texts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.csv");
        fs::write(
            &path,
            "t,x\n1700000000,1\n2023-11-14T22:13:21Z,2\n1700000002.5,3\n",
        )
        .expect("written");
        let table = Table::read(&path, Some(("t", KeyKind::Time)), &["x"]).expect("read");
        let start = 1_700_000_000 * MICROS;
        assert_eq!(table.keys, [start, start + MICROS, start + 2_500_000]);
    }

    #[test]
    fn faults_name_column_and_row() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.csv");
        fs::write(&path, "id,x\n1,2\n2,high\n").expect("written");
        let fault = |key, column: &str| {
            let read = Table::read(&path, Some((key, KeyKind::Integer)), &[column]);
            read.expect_err("refused").to_string()
        };
        assert_eq!(
            fault("id", "x"),
            r#"column "x", row 1: "high" is not a number"#
        );
        assert_eq!(
            fault("id", "y"),
            r#"there is no column "y"; there are id, x"#
        );
        assert_eq!(
            fault("x", "id"),
            r#"column "x", row 1: "high" is no integer"#
        );
    }

    #[test]
    fn unsigned_integers_have_no_sign() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.parquet");
        let schema = "message rows { required int64 big (INTEGER(64, false)); \
                      required int32 small (INTEGER(32, false)); }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let file = File::create(&path).expect("a new file");
        let mut writer = SerializedFileWriter::new(file, schema, Default::default()).expect("open");
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("a column").expect("a column");
        let written = column.typed::<Int64Type>().write_batch(&[-1], None, None);
        written.expect("written");
        column.close().expect("closed");
        let mut column = group.next_column().expect("a column").expect("a column");
        let written = column.typed::<Int32Type>().write_batch(&[-1], None, None);
        written.expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");

        let key = Some(("small", KeyKind::Integer));
        let table = Table::read(&path, key, &["small"]).expect("read");
        assert_eq!(table.keys, [i64::from(u32::MAX)]);
        assert_eq!(table.columns, [[f64::from(u32::MAX)]]);
        assert!(Table::read(&path, Some(("big", KeyKind::Integer)), &[]).is_err());
        assert!(Table::read(&path, None, &["big"]).is_err());
    }

    #[test]
    fn integers_that_would_be_rounded_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.csv");
        for (label, fits) in [
            ("9007199254740992", true),
            ("-9007199254740992", true),
            ("9007199254740993", false),
            ("18446744073709551616", false),
            ("9007199254740993.5", true),
        ] {
            fs::write(&path, format!("label\n{label}\n")).expect("written");
            assert_eq!(
                Table::read(&path, None, &["label"]).is_ok(),
                fits,
                "{label}"
            );
        }
    }
}
