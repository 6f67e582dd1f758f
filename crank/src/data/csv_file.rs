//! Reads columns of a CSV file.

use std::fs::File;

use super::{
    error::DataError,
    value::{INEXACT, KeyKind, MICROS, exact_f64, micros_from_rfc3339, micros_from_secs},
};

/// Reads the key column, if any, and the measured columns. The first line holds the column names.
pub fn read(
    file: File,
    key: Option<(&str, KeyKind)>,
    columns: &[&str],
) -> Result<(Vec<i64>, Vec<Vec<f64>>), DataError> {
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader.headers()?.clone();
    let find = |name: &str| {
        let index = headers.iter().position(|header| header == name);
        index.ok_or_else(|| DataError::no_column(name, headers.iter().map(str::to_owned)))
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
        if let Some((name, index, kind)) = key {
            let text = field(index);
            let key = parse_key(text, kind);
            keys.push(key.ok_or_else(|| {
                DataError::invalid_value(name, row, format!("{text:?} is not {kind}"))
            })?);
        }
        for ((values, index), name) in values.iter_mut().zip(&indices).zip(columns) {
            let value = parse_value(field(*index));
            values.push(value.map_err(|reason| DataError::invalid_value(name, row, reason))?);
        }
    }
    Ok((keys, values))
}

fn parse_key(text: &str, kind: KeyKind) -> Option<i64> {
    let integer = text.parse::<i64>().ok();
    match kind {
        KeyKind::Integer => integer,
        KeyKind::Time => match integer {
            Some(secs) => secs.checked_mul(MICROS),
            None => {
                let secs = text.parse().ok();
                secs.and_then(micros_from_secs)
                    .or_else(|| micros_from_rfc3339(text))
            }
        },
    }
}

/// Parses a measured number. Returns NaN for a missing value: an empty field, `NA`, `NaN` or
/// `null`. `true` is 1 and `false` is 0. The error says why the text is refused.
fn parse_value(text: &str) -> Result<f64, String> {
    if let Ok(integer) = text.parse::<i128>() {
        let exact = i64::try_from(integer).ok().and_then(exact_f64);
        exact.ok_or_else(|| format!("{text} {INEXACT}"))?;
    }
    match text {
        "" | "NA" | "null" => Ok(f64::NAN),
        "true" | "True" => Ok(1.0),
        "false" | "False" => Ok(0.0),
        _ => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number")),
    }
}
