//! The program's accounts in the database: their bytes, and a table of each type.

use std::collections::{BTreeMap, HashMap, HashSet};

use driftshield_sdk::json;
use serde_json::{Map, Value};
use sqlx::{PgConnection, types::Json};

use crate::{rows::STATEMENT_ROWS, slot::AccountWrite};

/// Write versions are the chain's; a close has none and comes after them all.
const CLOSE_VERSION: i64 = i64::MAX - 1;

/// Tells the newest states of accounts and closes of several slots.
#[derive(Default)]
pub struct Changes {
    /// By address, with the slot.
    writes: BTreeMap<String, (i64, AccountWrite)>,
    closes: BTreeMap<String, i64>,
}

impl Changes {
    pub fn write(&mut self, slot: i64, write: AccountWrite) {
        let version = (slot, write.write_version);
        match self.writes.get(&write.address) {
            Some((slot, newest)) if version < (*slot, newest.write_version) => {}
            _ => {
                self.writes.insert(write.address.clone(), (slot, write));
            }
        }
    }

    pub fn close(&mut self, slot: i64, address: String) {
        let newest = self.closes.entry(address).or_insert(slot);
        *newest = slot.max(*newest);
    }

    /// Stores what is newer than what is there.
    pub async fn store(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = self.writes.into_values().map(Row::new).collect();
        for rows in rows.chunks(STATEMENT_ROWS) {
            store_rows(connection, rows).await?;
        }
        if !self.closes.is_empty() {
            store_closes(connection, self.closes).await?;
        }
        Ok(())
    }
}

/// An account to store.
struct Row {
    slot: i64,
    write: AccountWrite,
    described: Option<json::Decoded>,
}

impl Row {
    fn new((slot, write): (i64, AccountWrite)) -> Self {
        let described = json::account(&write.data)
            .inspect_err(|error| {
                let address = &write.address;
                tracing::error!(address, slot, %error, "account not understood, kept as bytes");
            })
            .ok();
        Self {
            slot,
            write,
            described,
        }
    }
}

async fn store_rows(connection: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let kinds = rows
        .iter()
        .map(|row| row.described.as_ref().map(|d| d.name));
    let lamports = rows.iter().map(|row| row.write.lamports.to_string());
    let stored: Vec<String> = sqlx::query_scalar(
        "insert into chain.account as stored
           (address, kind, slot, write_version, first_slot, lamports, data)
         select address, kind, slot, write_version, slot, lamports::numeric, data
         from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[])
           as given (address, kind, slot, write_version, lamports, data)
         on conflict (address) do update set
           kind = excluded.kind, slot = excluded.slot, write_version = excluded.write_version,
           closed_slot = null, lamports = excluded.lamports, data = excluded.data
         where (stored.slot, stored.write_version) < (excluded.slot, excluded.write_version)
         returning address",
    )
    .bind(
        rows.iter()
            .map(|row| row.write.address.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(kinds.collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.slot).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|row| row.write.write_version)
            .collect::<Vec<_>>(),
    )
    .bind(lamports.collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|row| row.write.data.as_slice())
            .collect::<Vec<_>>(),
    )
    .fetch_all(&mut *connection)
    .await?;

    let stored: HashSet<String> = stored.into_iter().collect();
    let mut typed: HashMap<&str, Vec<Map<String, Value>>> = HashMap::new();
    for row in rows
        .iter()
        .filter(|row| stored.contains(&row.write.address))
    {
        if let Some(described) = &row.described {
            let mut columns = described.fields.clone();
            columns.insert("address".into(), row.write.address.as_str().into());
            columns.insert("slot".into(), row.slot.into());
            columns.insert("write_version".into(), row.write.write_version.into());
            typed.entry(described.name).or_default().push(columns);
        }
    }
    for (kind, rows) in typed {
        let sql = upsert(kind);
        sqlx::query(&sql)
            .bind(Json(rows))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Puts rows, given as JSON, into the table of an account type. No guard: what is given has
/// passed that of `chain.account`.
fn upsert(kind: &str) -> String {
    let fields = json::account_fields(kind).unwrap_or_default();
    let columns: Vec<String> = ["address", "slot", "write_version", "closed_slot"]
        .into_iter()
        .chain(fields)
        .map(quoted)
        .collect();
    let updates: Vec<String> = columns[1..]
        .iter()
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let (table, columns, updates) = (table(kind), columns.join(", "), updates.join(", "));
    format!(
        "insert into {table} ({columns})
         select {columns} from jsonb_populate_recordset(null::{table}, $1)
         on conflict (address) do update set {updates}"
    )
}

async fn store_closes(
    connection: &mut PgConnection,
    closes: BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    let (addresses, slots): (Vec<_>, Vec<_>) = closes.into_iter().unzip();
    let closed: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "update chain.account as stored
         set slot = given.slot, write_version = $3, closed_slot = given.slot
         from unnest($1::text[], $2::bigint[]) as given (address, slot)
         where stored.address = given.address and stored.closed_slot is null
           and (stored.slot, stored.write_version) < (given.slot, $3)
         returning stored.address, stored.kind, stored.slot",
    )
    .bind(addresses)
    .bind(slots)
    .bind(CLOSE_VERSION)
    .fetch_all(&mut *connection)
    .await?;

    let mut typed: HashMap<String, (Vec<String>, Vec<i64>)> = HashMap::new();
    for (address, kind, slot) in closed {
        if let Some(kind) = kind {
            let (addresses, slots) = typed.entry(kind).or_default();
            addresses.push(address);
            slots.push(slot);
        }
    }
    for (kind, (addresses, slots)) in typed {
        let table = table(&kind);
        let sql = format!(
            "update {table} as stored
             set slot = given.slot, write_version = $3, closed_slot = given.slot
             from unnest($1::text[], $2::bigint[]) as given (address, slot)
             where stored.address = given.address"
        );
        sqlx::query(&sql)
            .bind(addresses)
            .bind(slots)
            .bind(CLOSE_VERSION)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The table of an account type, ready for SQL.
pub fn table(kind: &str) -> String {
    let mut name = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    format!("chain.{}", quoted(&name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_after_types() {
        assert_eq!(table("Market"), "chain.\"market\"");
        assert_eq!(table("CoverPool"), "chain.\"cover_pool\"");
    }

    #[test]
    fn of_several_writes_the_newest_counts() {
        let write = |write_version| AccountWrite {
            address: "a".into(),
            write_version,
            lamports: 1,
            data: vec![],
        };
        let mut changes = Changes::default();
        for (slot, version) in [(7, 5), (8, 2), (8, 1), (7, 9)] {
            changes.write(slot, write(version));
        }
        assert_eq!(changes.writes["a"], (8, write(2)));
    }
}
