//! Rows in the binary format of Postgres' `COPY`, and their transfer to a table.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Address, fields::FieldValue};
use serde::Serialize;
use sqlx::PgConnection;

/// Rows of one table.
///
/// Postgres checks the length of each value, but not its type: the values must have the types of the
/// columns, in the order given to [`CopyRows::new`].
pub struct CopyRows {
    table: String,
    statement: String,
    columns: Vec<String>,
    rows: Vec<Vec<u8>>,
}

/// A row of [`CopyRows`], to which values are appended in the order of the columns.
pub struct CopyRow<'a>(&'a mut Vec<u8>);

/// Microseconds from the unix epoch to 2000-01-01, from which Postgres counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Numbers of Postgres' types, which arrays carry.
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;

impl CopyRows {
    /// `table` is qualified and quoted.
    pub fn new(table: &str, columns: &[String]) -> Self {
        let quoted: Vec<_> = columns.iter().map(|name| format!("\"{name}\"")).collect();
        Self {
            table: table.to_owned(),
            statement: format!(
                "copy {table} ({}) from stdin (format binary)",
                quoted.join(", ")
            ),
            columns: columns.to_owned(),
            rows: vec![],
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// A row in the format of `COPY`.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.rows[index]
    }

    /// A value of a row in the format of `COPY`. `None` if it is null or the table has no such column.
    pub fn value(&self, index: usize, column: &str) -> Option<&[u8]> {
        let place = self.columns.iter().position(|name| name == column)?;
        *values(&self.rows[index]).get(place)?
    }

    /// The event that a row is of. `None` if the table has no rows of events.
    pub fn event_id(&self, index: usize) -> Option<i64> {
        let id = self.value(index, "event_id");
        let id = id.or_else(|| self.value(index, "id"))?;
        Some(i64::from_be_bytes(id.try_into().ok()?))
    }

    /// Some of the rows, with nulls in these columns.
    pub fn with_nulls(&self, indexes: &[usize], columns: &[&str]) -> Self {
        let mut rows = Self {
            table: self.table.clone(),
            statement: self.statement.clone(),
            columns: self.columns.clone(),
            rows: vec![],
        };
        for &index in indexes {
            let mut row = rows.row();
            for (name, value) in self.columns.iter().zip(values(&self.rows[index])) {
                let value = value.filter(|_| !columns.contains(&name.as_str()));
                row.optional(value, CopyRow::bytes);
            }
        }
        rows
    }

    /// Adds a row in the format of `COPY`. Returns whether it has as many values as there are columns.
    #[must_use]
    pub fn push(&mut self, row: &[u8]) -> bool {
        let fits = values(row).len() == self.columns.len();
        if fits {
            self.rows.push(row.to_vec());
        }
        fits
    }

    /// Starts a row. The caller must append as many values as there are columns.
    pub fn row(&mut self) -> CopyRow<'_> {
        let columns = i16::try_from(self.columns.len()).expect("a table has at most 1,600 columns");
        // Rows of a table are of similar size.
        let size = self.rows.last().map_or(0, Vec::len);
        let mut row = Vec::with_capacity(size + size / 8 + 2);
        row.extend(columns.to_be_bytes());
        CopyRow(self.rows.push_mut(row))
    }

    /// Sends all rows to the table.
    pub async fn store(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.store_range(connection, 0..self.rows.len()).await
    }

    /// Sends some of the rows to the table; nothing if there are none.
    pub async fn store_range(
        &self,
        connection: &mut PgConnection,
        range: std::ops::Range<usize>,
    ) -> Result<(), sqlx::Error> {
        /// Size from which a message is sent.
        const MESSAGE_BYTES: usize = 64 << 10;
        let rows = &self.rows[range];
        if rows.is_empty() {
            return Ok(());
        }
        let mut copy = connection.copy_in_raw(&self.statement).await?;
        // The signature is followed by the flags and the length of the header's extension.
        let mut message = [SIGNATURE, &[0; 8]].concat();
        for row in rows {
            message.extend(row);
            if MESSAGE_BYTES < message.len() {
                copy.send(std::mem::take(&mut message)).await?;
            }
        }
        message.extend((-1_i16).to_be_bytes());
        copy.send(message).await?;
        copy.finish().await?;
        Ok(())
    }
}

impl CopyRow<'_> {
    pub fn null(&mut self) {
        self.0.extend((-1_i32).to_be_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }

    pub fn key(&mut self, key: &Address) {
        self.bytes(key.as_ref());
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn bool(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A `numeric`.
    pub fn number(&mut self, value: impl Into<i128>) {
        let numeric = numeric(value.into());
        self.bytes(&numeric);
    }

    /// A `numeric` in decimal digits below 10^39.
    pub fn u128(&mut self, value: u128) {
        let numeric = encode_numeric(value, false);
        self.bytes(&numeric);
    }

    pub fn time(&mut self, time: DateTime<Utc>) {
        self.i64(time.timestamp_micros() - POSTGRES_EPOCH);
    }

    /// The time `-infinity`.
    pub fn before_all_time(&mut self) {
        self.i64(i64::MIN);
    }

    pub fn json(&mut self, value: &impl Serialize) {
        let start = self.0.len();
        self.length(0);
        self.0.push(1); // version of the binary form of jsonb
        serde_json::to_writer(&mut *self.0, value).expect("rows serialise to JSON");
        self.set_length(start);
    }

    pub fn texts(&mut self, texts: &[String]) {
        self.array(TEXT, texts, |row, text| row.text(text));
    }

    pub fn numbers(&mut self, numbers: &[u64]) {
        self.array(NUMERIC, numbers, |row, number| row.number(*number));
    }

    pub fn optional<T>(&mut self, value: Option<T>, push: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => push(self, value),
            None => self.null(),
        }
    }

    /// A field of an account.
    pub fn field(&mut self, value: &FieldValue) {
        match value {
            FieldValue::Bytes(bytes) => self.bytes(bytes),
            FieldValue::Text(text) => self.text(text),
            FieldValue::Bool(value) => self.bool(*value),
            FieldValue::U8(value) => self.i16((*value).into()),
            FieldValue::U16(value) => self.i32((*value).into()),
            FieldValue::U32(value) => self.i64((*value).into()),
            FieldValue::I64(value) => self.i64(*value),
            FieldValue::U64(value) => self.number(*value),
            FieldValue::U128(value) => self.u128(*value),
            FieldValue::BytesList(list) => self.array(BYTEA, list, |row, bytes| row.bytes(bytes)),
            FieldValue::U32List(list) => {
                self.array(INT8, list, |row, value| row.i64((*value).into()));
            }
            FieldValue::U64List(list) => self.numbers(list),
            FieldValue::I128List(list) => self.array(NUMERIC, list, |row, value| {
                row.bytes(&numeric(*value));
            }),
            FieldValue::Json(value) => self.json(value),
        }
    }

    fn array<T>(&mut self, element: u32, values: &[T], push: impl Fn(&mut Self, &T)) {
        let start = self.0.len();
        self.length(0);
        let dimensions = u32::from(!values.is_empty());
        for word in [dimensions, 0, element] {
            self.0.extend(word.to_be_bytes());
        }
        if !values.is_empty() {
            self.length(values.len());
            self.length(1); // index of the first element
            for value in values {
                push(self, value);
            }
        }
        self.set_length(start);
    }

    fn length(&mut self, length: usize) {
        let length = i32::try_from(length).expect("a value has less than 2 GiB");
        self.0.extend(length.to_be_bytes());
    }

    /// Sets the length of the value whose length field is at `start` and which ends here.
    fn set_length(&mut self, start: usize) {
        let length = i32::try_from(self.0.len() - start - 4).expect("a value has less than 2 GiB");
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// The values of a row in the format of `COPY`, up to the first one that is cut off.
pub fn values(row: &[u8]) -> Vec<Option<&[u8]>> {
    let mut values = vec![];
    let mut rest = row.get(2..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            rest = after;
            continue;
        };
        let Some((value, after)) = after.split_at_checked(length) else {
            break;
        };
        values.push(Some(value));
        rest = after;
    }
    values
}

/// A time in the format of `COPY`.
pub fn time_of(value: &[u8]) -> Option<DateTime<Utc>> {
    let micros = i64::from_be_bytes(value.try_into().ok()?);
    DateTime::from_timestamp_micros(micros.checked_add(POSTGRES_EPOCH)?)
}

fn numeric(value: i128) -> Vec<u8> {
    encode_numeric(value.unsigned_abs(), value < 0)
}

/// The binary form of a `numeric`: number of digits, weight of the first digit, sign, decimal places,
/// then the digits. A digit is 0 to 9,999.
fn encode_numeric(magnitude: u128, is_negative: bool) -> Vec<u8> {
    const BASE: u128 = 10_000;
    const NEGATIVE: i16 = 0x4000;
    let mut digits = vec![];
    let mut rest = magnitude;
    while 0 < rest {
        digits.push((rest % BASE) as i16);
        rest /= BASE;
    }
    let weight = (digits.len() as i16 - 1).max(0);
    let sign = if is_negative { NEGATIVE } else { 0 };
    let header = [digits.len() as i16, weight, sign, 0];
    let words = header.into_iter().chain(digits.into_iter().rev());
    words.flat_map(i16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value of a binary `numeric` without decimal places.
    fn decode(bytes: &[u8]) -> i128 {
        let words: Vec<i16> = bytes
            .chunks(2)
            .map(|word| i16::from_be_bytes([word[0], word[1]]))
            .collect();
        let [count, weight, sign, scale] = words[..4] else {
            panic!("too short");
        };
        let digits = &words[4..];
        assert_eq!((digits.len(), scale), (count as usize, 0));
        let place = |index: usize| 10_000_i128.pow(weight as u32 - index as u32);
        let digits = digits.iter().enumerate();
        let value: i128 = digits
            .map(|(index, digit)| i128::from(*digit) * place(index))
            .sum();
        if sign == 0 { value } else { -value }
    }

    #[test]
    fn numbers_keep_their_value() {
        for value in [
            0,
            1,
            9_999,
            10_000,
            12_345_678,
            u64::MAX.into(),
            -1,
            -98_765_432_109,
            i128::MAX,
        ] {
            assert_eq!(decode(&numeric(value)), value, "{value}");
        }
    }

    #[test]
    fn a_value_is_preceded_by_its_length() {
        let mut rows = CopyRows::new("t", &["a".into(), "b".into(), "c".into()]);
        let mut row = rows.row();
        row.text("ab");
        row.null();
        row.json(&serde_json::json!({}));
        let expected = [
            &[0, 3][..],
            &[0, 0, 0, 2, b'a', b'b'],
            &[0xff; 4],
            &[0, 0, 0, 3, 1, b'{', b'}'],
        ];
        assert_eq!(rows.rows, [expected.concat()]);
    }

    #[test]
    fn rows_are_taken_over_with_nulls_and_as_they_are() {
        let mut rows = CopyRows::new("t", &["id".into(), "name".into()]);
        for name in ["first", "second"] {
            let mut row = rows.row();
            row.i64(7);
            row.text(name);
        }
        let mut nulled = rows.with_nulls(&[1], &["name"]);
        assert_eq!(nulled.value(0, "id"), rows.value(1, "id"));
        assert_eq!((nulled.len(), nulled.value(0, "name")), (1, None));
        assert!(nulled.push(rows.get(0)));
        assert_eq!(nulled.value(1, "name"), Some(&b"first"[..]));
        assert!(!nulled.push(&rows.get(0)[..14]));
    }

    #[test]
    fn the_values_of_a_row_can_be_read_back() {
        let mut rows = CopyRows::new("t", &["key".into(), "event_id".into(), "at".into()]);
        let mut row = rows.row();
        row.null();
        row.i64(77);
        let time = DateTime::from_timestamp(1_000, 5_000).unwrap();
        row.time(time);
        assert_eq!((rows.value(0, "key"), rows.value(0, "other")), (None, None));
        assert_eq!(rows.event_id(0), Some(77));
        assert_eq!(rows.value(0, "at").and_then(time_of), Some(time));
        assert_eq!(
            values(&rows.get(0)[..20]),
            [None, rows.value(0, "event_id")]
        );
    }
}
