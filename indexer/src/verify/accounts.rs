//! Comparison of the open accounts with those on chain, byte by byte.

use std::collections::BTreeMap;

use driftshield_sdk::{AccountKind, Address};
use futures::TryStreamExt;

use super::comparison::{Comparison, base58};
use crate::rpc::RpcAccount;

#[derive(sqlx::FromRow)]
struct MirroredAccount {
    address: Vec<u8>,
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
            slot,
            lamports,
            data,
            ..
        } = self;
        let address = base58(&self.address);
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
        differences
    }
}

/// Compares the open accounts of a type with those on chain; `None` for accounts of no known type.
pub async fn compare_bytes(
    comparison: &mut Comparison<'_>,
    kind: Option<AccountKind>,
    on_chain: Vec<RpcAccount>,
) -> anyhow::Result<()> {
    let name = kind.map(AccountKind::name);
    comparison.report.accounts += on_chain.len();
    let mut missing: BTreeMap<Address, _> = on_chain
        .into_iter()
        .map(|account| (account.address, account))
        .collect();
    let mut differences = vec![];
    let mut mirrored = sqlx::query_as::<_, MirroredAccount>(
        "select address, kind, slot, lamports::text, data from chain.account
         where is_current and closed_slot is null and kind is not distinct from $1",
    )
    .bind(name)
    .fetch(&mut *comparison.connection);
    while let Some(account) = mirrored.try_next().await? {
        let address = Address::try_from(account.address.as_slice()).ok();
        match address.and_then(|address| missing.remove(&address)) {
            Some(on_chain) => differences.extend(account.differences(&on_chain)),
            None => differences.push(format!(
                "account {}: {} is not on chain",
                base58(&account.address),
                account.kind.as_deref().unwrap_or("of an unknown type")
            )),
        }
    }
    drop(mirrored);
    let missing = missing.into_keys();
    differences.extend(missing.map(|address| format!("account {address}: is not in the mirror")));
    comparison.report.differences.extend(differences);
    Ok(())
}

/// Checks that each life has a row of its type with the same slots, that each address has one current
/// life, and that nothing waits as a dead letter.
pub async fn compare_lives(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    for &kind in AccountKind::ALL {
        let table = crate::kinds::table(kind);
        let sql = format!(
            "select coalesce(account.address, typed.address)
             from (select * from chain.account where kind = $1) account
             full join {table} typed
               on typed.address = account.address and typed.life = account.life
             where (account.slot, account.closed_slot, account.is_current, false)
               is distinct from (typed.slot, typed.ended_slot, typed.is_current, typed.is_stale)"
        );
        let differing: Vec<Vec<u8>> = sqlx::query_scalar(&sql)
            .bind(kind.name())
            .fetch_all(&mut *comparison.connection)
            .await?;
        for address in differing {
            let address = base58(&address);
            comparison.add_difference(format!(
                "account {address}: lives in chain.account and {table} differ"
            ));
        }
    }
    let letters: Vec<(String, i64, String)> = sqlx::query_as(
        "select subject, slot, reason from chain.dead_letter where resolved_at is null",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (subject, slot, reason) in letters {
        comparison.add_difference(format!(
            "{subject} of slot {slot}: was set aside as a dead letter: {reason}"
        ));
    }
    Ok(())
}
