//! Reads columns of a Parquet file.

use std::fs::File;

use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    schema::types::{ColumnDescPtr, ColumnDescriptor},
};

use super::{
    error::DataError,
    value::{INEXACT, KeyKind, MICROS, exact_f64, micros_from_rfc3339, micros_from_secs},
};

/// Number of rows that are decoded at a time.
const BATCH_ROWS: usize = 1 << 14;

/// A row's value in one column.
enum Cell {
    Missing,
    Integer(i64),
    /// An unsigned integer of 2^63 or more.
    HugeInteger(u64),
    Float(f64),
    Text(String),
}

/// Reads the key column, if any, and the measured columns.
pub fn read(
    file: File,
    key: Option<(&str, KeyKind)>,
    columns: &[&str],
) -> Result<(Vec<i64>, Vec<Vec<f64>>), DataError> {
    let reader = SerializedFileReader::new(file)?;
    let keys = match key {
        Some((name, kind)) => read_keys(&reader, name, kind)?,
        None => vec![],
    };
    let columns = columns.iter().map(|name| read_values(&reader, name));
    Ok((keys, columns.collect::<Result<_, _>>()?))
}

fn read_keys(
    reader: &SerializedFileReader<File>,
    name: &str,
    kind: KeyKind,
) -> Result<Vec<i64>, DataError> {
    let (index, descriptor) = find_column(reader, name)?;
    let unit = timestamp_unit(&descriptor);
    let mut keys = vec![];
    for_each_cell(reader, index, |cell| {
        let key = match (cell, kind) {
            (Cell::Missing, _) => Err("is missing; every row needs a key"),
            (Cell::Integer(value), KeyKind::Integer) => Ok(value),
            (Cell::Integer(value), KeyKind::Time) => {
                micros(value, unit).ok_or("is not a time in unix seconds")
            }
            (Cell::Text(text), KeyKind::Time) => {
                micros_from_rfc3339(&text).ok_or("is not a time in RFC 3339")
            }
            (Cell::Float(value), KeyKind::Time) => {
                micros_from_secs(value).ok_or("is not a time in unix seconds")
            }
            (Cell::HugeInteger(_), _) => Err("is 2^63 or more, too large for a key"),
            (_, KeyKind::Integer) => Err("is not an integer"),
        };
        let row = keys.len();
        keys.push(key.map_err(|reason| DataError::invalid_value(name, row, reason))?);
        Ok(())
    })?;
    Ok(keys)
}

fn read_values(reader: &SerializedFileReader<File>, name: &str) -> Result<Vec<f64>, DataError> {
    let (index, _) = find_column(reader, name)?;
    let inexact =
        |row: usize, value: i128| DataError::invalid_value(name, row, format!("{value} {INEXACT}"));
    let mut values = vec![];
    for_each_cell(reader, index, |cell| {
        let row = values.len();
        values.push(match cell {
            Cell::Missing => f64::NAN,
            Cell::Integer(value) => exact_f64(value).ok_or_else(|| inexact(row, value.into()))?,
            Cell::HugeInteger(value) => return Err(inexact(row, value.into())),
            Cell::Float(value) => value,
            Cell::Text(_) => return Err(DataError::not_numbers(name, "texts")),
        });
        Ok(())
    })?;
    Ok(values)
}

/// Index and descriptor of the leaf column with this name. Refuses lists, and decimals: a
/// decimal's stored digits are not its value.
fn find_column(
    reader: &SerializedFileReader<File>,
    name: &str,
) -> Result<(usize, ColumnDescPtr), DataError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns = schema.columns();
    let names = || columns.iter().map(|column| column.path().string());
    let index = names().position(|column| column == name);
    let index = index.ok_or_else(|| DataError::no_column(name, names()))?;
    let column = &columns[index];
    if matches!(column.logical_type_ref(), Some(LogicalType::Decimal(_))) {
        return Err(DataError::not_numbers(name, "decimals"));
    }
    if 0 < column.max_rep_level() {
        return Err(DataError::not_numbers(name, "lists"));
    }
    Ok((index, column.clone()))
}

/// Whether the column's integers are unsigned. The physical type does not show it: unsigned
/// integers are stored as signed ones.
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

/// Converts a time in `unit`, or in seconds if `unit` is `None`, to microseconds. Nanoseconds are
/// rounded down.
fn micros(value: i64, unit: Option<TimeUnit>) -> Option<i64> {
    match unit {
        None => value.checked_mul(MICROS),
        Some(TimeUnit::MILLIS) => value.checked_mul(1_000),
        Some(TimeUnit::MICROS) => Some(value),
        Some(TimeUnit::NANOS) => Some(value.div_euclid(1_000)),
    }
}

/// Calls `each` with the cell of every row of a column.
fn for_each_cell(
    reader: &SerializedFileReader<File>,
    index: usize,
    mut each: impl FnMut(Cell) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let each = &mut each;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = group.metadata().num_rows();
        let rows = usize::try_from(rows).map_err(|error| ParquetError::External(error.into()))?;
        let column = group.metadata().column(index).column_descr_ptr();
        let max_level = column.max_def_level();
        let unsigned = is_unsigned(&column);
        match group.get_column_reader(index)? {
            ColumnReader::BoolColumnReader(reader) => {
                let cell = |value: &bool| Cell::Integer((*value).into());
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let cell = |value: &i32| match *value {
                    value if unsigned => Cell::Integer(value.cast_unsigned().into()),
                    value => Cell::Integer(value.into()),
                };
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                let cell = |value: &i64| match *value {
                    value if unsigned && value < 0 => Cell::HugeInteger(value.cast_unsigned()),
                    value => Cell::Integer(value),
                };
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::FloatColumnReader(reader) => {
                let cell = |value: &f32| Cell::Float((*value).into());
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::DoubleColumnReader(reader) => {
                let cell = |value: &f64| Cell::Float(*value);
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let cell = |value: &ByteArray| {
                    Cell::Text(String::from_utf8_lossy(value.data()).into_owned())
                };
                for_each_group_cell(reader, rows, max_level, cell, each)
            }
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                Err(DataError::not_numbers(
                    &column.path().string(),
                    format!("values of type {}", column.physical_type()),
                ))
            }
        }?;
    }
    Ok(())
}

/// Calls `each` with the cell of every row of a column in one row group. A row's value is missing
/// if its definition level is below the column's maximum, `max_level`.
fn for_each_group_cell<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    max_level: i16,
    cell: impl Fn(&T::T) -> Cell,
    each: &mut impl FnMut(Cell) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut remaining = rows;
    while 0 < remaining {
        let (mut levels, mut values) = (vec![], vec![]);
        let batch = remaining.min(BATCH_ROWS);
        let (read, _, _) = reader.read_records(batch, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::EOF("a column ends before its row group does".into()).into());
        }
        remaining -= read;
        let mut values = values.iter();
        for row in 0..read {
            let is_present = levels.get(row).is_none_or(|level| *level == max_level);
            let value = if is_present { values.next() } else { None };
            each(value.map_or(Cell::Missing, &cell))?;
        }
    }
    Ok(())
}
