//! Storage of the program's accounts: their bytes in `chain.account`, their fields in one table for
//! each account type.

use std::collections::{BTreeMap, HashMap, HashSet};

use driftshield_sdk::json;
use heck::ToSnakeCase;
use serde_json::{Map, Value};
use sqlx::{PgConnection, types::Json};

use crate::{bulk::MAX_STATEMENT_ROWS, slot::AccountWrite};

/// Write version of accounts from the initial snapshot: newer than all writes of their slot.
pub const SNAPSHOT_VERSION: i64 = i64::MAX;
/// Write version of a close: newer than all writes of its slot. On chain, a close has no write
/// version.
const CLOSE_VERSION: i64 = i64::MAX - 1;

/// Newest writes and closes of the accounts in several slots.
#[derive(Default)]
pub struct AccountChanges {
    /// Slot and content of the newest write, by address.
    writes: BTreeMap<String, (i64, AccountWrite)>,
    /// Slot of the newest close, by address.
    closes: BTreeMap<String, i64>,
}

impl AccountChanges {
    /// Adds a write; ignores the write if a newer one is known.
    pub fn write(&mut self, slot: i64, write: AccountWrite) {
        let version = (slot, write.write_version);
        match self.writes.get(&write.address) {
            Some((slot, newest)) if version < (*slot, newest.write_version) => {}
            _ => {
                self.writes.insert(write.address.clone(), (slot, write));
            }
        }
    }

    /// Adds a close; ignores the close if a newer one is known.
    pub fn close(&mut self, slot: i64, address: String) {
        let newest = self.closes.entry(address).or_insert(slot);
        *newest = slot.max(*newest);
    }

    /// Stores the changes that are newer than the rows in the database.
    pub async fn store(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = self.writes.into_values().map(AccountRow::new).collect();
        for rows in rows.chunks(MAX_STATEMENT_ROWS) {
            store_rows(connection, rows).await?;
        }
        if !self.closes.is_empty() {
            store_closes(connection, self.closes).await?;
        }
        Ok(())
    }
}

/// An account to store.
struct AccountRow {
    slot: i64,
    write: AccountWrite,
    /// `None` if this version cannot decode the account.
    decoded: Option<json::Decoded>,
}

impl AccountRow {
    fn new((slot, write): (i64, AccountWrite)) -> Self {
        let decoded = json::account(&write.data)
            .inspect_err(|error| {
                let address = &write.address;
                tracing::error!(address, slot, %error, "account not decoded; stored as bytes only");
            })
            .ok();
        Self {
            slot,
            write,
            decoded,
        }
    }
}

/// Writes the rows that are newer than those in the database, to `chain.account` and to the tables
/// of the account types.
async fn store_rows(connection: &mut PgConnection, rows: &[AccountRow]) -> Result<(), sqlx::Error> {
    let stored = store_bytes(connection, rows).await?;
    let mut typed_rows: HashMap<&str, Vec<Map<String, Value>>> = HashMap::new();
    for row in rows
        .iter()
        .filter(|row| stored.contains(&row.write.address))
    {
        if let Some(decoded) = &row.decoded {
            let mut columns = decoded.fields.clone();
            columns.insert("address".into(), row.write.address.as_str().into());
            columns.insert("slot".into(), row.slot.into());
            columns.insert("write_version".into(), row.write.write_version.into());
            typed_rows.entry(decoded.name).or_default().push(columns);
        }
    }
    for (kind, rows) in typed_rows {
        let sql = upsert(kind);
        sqlx::query(&sql)
            .bind(Json(rows))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes newer rows to `chain.account`, and returns their addresses.
async fn store_bytes(
    connection: &mut PgConnection,
    rows: &[AccountRow],
) -> Result<HashSet<String>, sqlx::Error> {
    let kinds = rows.iter().map(|row| row.decoded.as_ref().map(|d| d.name));
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
    Ok(stored.into_iter().collect())
}

/// SQL that inserts or updates rows, given as JSON, in the table of an account type. The SQL does
/// not compare versions: the caller passes only rows that were newer in `chain.account`.
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

/// Marks accounts as closed, unless they are closed already or the database has a newer write.
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

    let mut by_kind: HashMap<String, (Vec<String>, Vec<i64>)> = HashMap::new();
    for (address, kind, slot) in closed {
        if let Some(kind) = kind {
            let (addresses, slots) = by_kind.entry(kind).or_default();
            addresses.push(address);
            slots.push(slot);
        }
    }
    for (kind, (addresses, slots)) in by_kind {
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

/// Qualified and quoted name of the table of an account type.
pub fn table(kind: &str) -> String {
    format!("chain.{}", quoted(&kind.to_snake_case()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_are_types_in_snake_case() {
        assert_eq!(table("Market"), "chain.\"market\"");
        assert_eq!(table("CoverPool"), "chain.\"cover_pool\"");
    }

    #[test]
    fn the_newest_of_several_writes_is_kept() {
        let write = |write_version| AccountWrite {
            address: "a".into(),
            write_version,
            lamports: 1,
            data: vec![],
        };
        let mut changes = AccountChanges::default();
        for (slot, version) in [(7, 5), (8, 2), (8, 1), (7, 9)] {
            changes.write(slot, write(version));
        }
        assert_eq!(changes.writes["a"], (8, write(2)));
    }
}
