//! Reads columns of a Parquet or CSV file.

mod csv_file;
mod error;
mod fingerprint;
mod parquet_file;
mod value;

use std::{
    fs::File,
    io::{self, Seek},
    path::Path,
};

use sha2::{Digest, Sha256};

pub use self::{
    error::DataError,
    fingerprint::Fingerprint,
    value::{KeyKind, MICROS},
};

/// Key and measured columns of a file, in the order of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The key of each row; empty if no key was requested.
    pub keys: Vec<i64>,
    /// The measured columns; NaN where the value is missing.
    pub columns: Vec<Vec<f64>>,
    /// SHA-256 of the file.
    pub file_sha256: [u8; 32],
}

impl Table {
    /// Reads the named columns of a file. The file's extension selects the format. Fails if the
    /// file changes while it is read.
    pub fn read(
        path: &Path,
        key: Option<(&str, KeyKind)>,
        columns: &[&str],
    ) -> Result<Self, DataError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let read = match extension {
            Some("parquet") => parquet_file::read,
            Some("csv") => csv_file::read,
            _ => {
                let extension = extension.unwrap_or_default().to_owned();
                return Err(DataError::UnknownExtension(extension));
            }
        };
        let before = Fingerprint::of(path)?;
        let mut file = File::open(path)?;
        let file_sha256 = hash(&mut file)?;
        file.rewind()?;
        let (keys, columns) = read(file, key, columns)?;
        if Fingerprint::of(path)? != before {
            return Err(DataError::ChangedWhileRead);
        }
        Ok(Self {
            keys,
            columns,
            file_sha256,
        })
    }
}

fn hash(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    io::copy(file, &mut hasher)?;
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use parquet::{
        data_type::{DoubleType, Int32Type, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use super::*;

    /// Writes a Parquet file with columns `id` and `score`, in row groups of three.
    fn write_parquet(path: &Path, rows: &[(i64, Option<f64>)]) {
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

    /// The bits of all values, so that NaN equals NaN.
    fn bits(table: &Table) -> Vec<Vec<u64>> {
        let bits = |column: &Vec<f64>| column.iter().map(|value| value.to_bits()).collect();
        table.columns.iter().map(bits).collect()
    }

    #[test]
    fn equal_rows_of_parquet_and_csv_files_are_read_alike() {
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
    fn times_are_unix_seconds_or_rfc_3339() {
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
    fn errors_name_column_and_row() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.csv");
        fs::write(&path, "id,x\n1,2\n2,high\n").expect("written");
        let error = |key, column: &str| {
            let read = Table::read(&path, Some((key, KeyKind::Integer)), &[column]);
            read.expect_err("refused").to_string()
        };
        assert_eq!(
            error("id", "x"),
            r#"column "x", row 1 (the first is 0): "high" is not a number"#
        );
        assert_eq!(
            error("id", "y"),
            r#"no column "y"; correct its name to one of: id, x"#
        );
        assert_eq!(
            error("x", "id"),
            r#"column "x", row 1 (the first is 0): "high" is not an integer"#
        );
    }

    #[test]
    fn large_unsigned_integers_are_not_read_as_negative() {
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
    fn integers_that_an_f64_would_round_are_refused() {
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
