//! Comparison of accounts: bytes, columns and versions.

use std::collections::BTreeMap;

use driftshield_sdk::{Account, json};
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::types::Json;

use super::comparison::Comparison;
use crate::{
    accounts::table,
    bulk::MAX_STATEMENT_ROWS,
    snapshot::{RpcAccount, Snapshot},
};

/// Number of closed accounts compared at a time.
const PAGE_ROWS: i64 = MAX_STATEMENT_ROWS as i64;

/// Rows of the tables of account types, as JSON without the columns `slot`, `write_version` and
/// `closed_slot`.
type TypedRows = Vec<Map<String, Value>>;

#[derive(sqlx::FromRow)]
struct MirroredAccount {
    address: String,
    kind: Option<String>,
    slot: i64,
    /// Decimal.
    lamports: String,
    data: Vec<u8>,
}

impl MirroredAccount {
    /// Differences from the account on chain.
    fn differences(&self, on_chain: &RpcAccount) -> Vec<String> {
        let Self {
            address,
            slot,
            lamports,
            data,
            ..
        } = self;
        let mut differences = vec![];
        if *data != on_chain.data {
            let (mirror, chain) = (data.len(), on_chain.data.len());
            let byte = data.iter().zip(&on_chain.data).position(|(a, b)| a != b);
            let byte = byte.unwrap_or(mirror.min(chain));
            differences.push(format!(
                "account {address}: data of slot {slot} differs at byte {byte} ({mirror} bytes in \
                 the mirror, {chain} on chain)"
            ));
        }
        if *lamports != on_chain.lamports.to_string() {
            let chain = on_chain.lamports;
            differences.push(format!(
                "account {address}: {lamports} lamports of slot {slot} in the mirror, {chain} on \
                 chain"
            ));
        }
        let kind = json::account(&on_chain.data)
            .ok()
            .map(|account| account.name);
        if self.kind.as_deref() != kind {
            let mirror = self.kind.as_deref().unwrap_or("unknown");
            let chain = kind.unwrap_or("unknown");
            differences.push(format!(
                "account {address}: kind {mirror} in the mirror, {chain} on chain"
            ));
        }
        differences
    }
}

/// Compares the open accounts of `chain.account` with the accounts on chain.
pub async fn compare_bytes(
    comparison: &mut Comparison<'_>,
    chain: &Snapshot,
) -> anyhow::Result<()> {
    let mut missing: BTreeMap<&str, _> = chain
        .accounts
        .iter()
        .map(|account| (account.address.as_str(), account))
        .collect();
    let mut differences = vec![];
    let mut mirrored = sqlx::query_as::<_, MirroredAccount>(
        "select address, kind, slot, lamports::text, data from chain.account
         where closed_slot is null",
    )
    .fetch(&mut *comparison.connection);
    while let Some(account) = mirrored.try_next().await? {
        match missing.remove(account.address.as_str()) {
            Some(on_chain) => differences.extend(account.differences(on_chain)),
            None => differences.push(format!("account {}: is not on chain", account.address)),
        }
    }
    drop(mirrored);
    let missing = missing.into_keys();
    differences.extend(missing.map(|address| format!("account {address}: is not in the mirror")));
    comparison.report.differences.extend(differences);
    Ok(())
}

/// Compares the tables of the account types with the accounts' bytes, decoded again. Open accounts
/// are decoded from the bytes on chain, closed accounts from the last bytes in the mirror.
pub async fn compare_columns(
    comparison: &mut Comparison<'_>,
    chain: &Snapshot,
) -> anyhow::Result<()> {
    let mut rows_by_kind: BTreeMap<&str, TypedRows> =
        Account::NAMES.iter().map(|&name| (name, vec![])).collect();
    for account in &chain.accounts {
        if let Some(decoded) = decode(&account.address, &account.data) {
            let rows = rows_by_kind.entry(decoded.name).or_default();
            rows.push(decoded.fields);
        }
    }
    for (kind, rows) in rows_by_kind {
        for rows in rows.chunks(MAX_STATEMENT_ROWS) {
            compare_rows(comparison, kind, rows).await?;
        }
        compare_versions(comparison, kind).await?;
    }
    compare_closed_columns(comparison).await
}

/// Decodes an account and adds its address to its fields. `None` if this version cannot decode the
/// account.
fn decode(address: &str, data: &[u8]) -> Option<json::Decoded> {
    let mut decoded = json::account(data).ok()?;
    decoded.fields.insert("address".into(), address.into());
    Some(decoded)
}

async fn compare_closed_columns(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut last = String::new();
    loop {
        let page: Vec<(String, Option<String>, Vec<u8>)> = sqlx::query_as(
            "select address, kind, data from chain.account
             where closed_slot is not null and $1 < address order by address limit $2",
        )
        .bind(&last)
        .bind(PAGE_ROWS)
        .fetch_all(&mut *comparison.connection)
        .await?;
        match page.last() {
            Some((address, ..)) => last.clone_from(address),
            None => return Ok(()),
        }
        let mut rows_by_kind: BTreeMap<&str, TypedRows> = BTreeMap::new();
        for (address, kind, data) in page {
            let decoded = decode(&address, &data);
            if kind.as_deref() != decoded.as_ref().map(|decoded| decoded.name) {
                comparison
                    .add_difference(format!("account {address}: kind differs from its bytes"));
            }
            if let Some(decoded) = decoded {
                let rows = rows_by_kind.entry(decoded.name).or_default();
                rows.push(decoded.fields);
            }
        }
        for (kind, rows) in rows_by_kind {
            compare_rows(comparison, kind, &rows).await?;
        }
    }
}

/// Compares the table of an account type with the expected rows.
async fn compare_rows(
    comparison: &mut Comparison<'_>,
    kind: &str,
    expected: &[Map<String, Value>],
) -> anyhow::Result<()> {
    let table = table(kind);
    let sql = format!(
        "select expected.address, mirrored.slot, array_agg(field.key order by field.key)
         from jsonb_populate_recordset(null::{table}, $1) expected
         left join {table} mirrored on mirrored.address = expected.address,
         jsonb_each(to_jsonb(expected) - '{{slot,write_version,closed_slot}}'::text[]) field
         where to_jsonb(mirrored) -> field.key is distinct from field.value
         group by expected.address, mirrored.slot"
    );
    let differing: Vec<(String, Option<i64>, Vec<String>)> = sqlx::query_as(&sql)
        .bind(Json(expected))
        .fetch_all(&mut *comparison.connection)
        .await?;
    for (address, slot, columns) in differing {
        comparison.add_difference(match slot {
            Some(slot) => {
                let columns = columns.join(", ");
                format!("account {address}: columns of {table} of slot {slot} differ: {columns}")
            }
            None => format!("account {address}: is not in {table}"),
        });
    }
    Ok(())
}

/// Checks that an account's rows in `chain.account` and in the table of its type have the same
/// slot, write version and closed slot.
async fn compare_versions(comparison: &mut Comparison<'_>, kind: &str) -> anyhow::Result<()> {
    let table = table(kind);
    let sql = format!(
        "select coalesce(account.address, typed.address)
         from (select * from chain.account where kind = $1) account
         full join {table} typed on typed.address = account.address
         where (account.slot, account.write_version, account.closed_slot)
           is distinct from (typed.slot, typed.write_version, typed.closed_slot)"
    );
    let differing: Vec<String> = sqlx::query_scalar(&sql)
        .bind(kind)
        .fetch_all(&mut *comparison.connection)
        .await?;
    for address in differing {
        comparison.add_difference(format!(
            "account {address}: versions in chain.account and {table} differ"
        ));
    }
    Ok(())
}
