//! Comparison of the open accounts with those on chain, byte by byte.

use std::collections::BTreeMap;

use driftshield_sdk::{AccountKind, Address};
use futures::TryStreamExt;

use super::comparison::{Comparison, base58};
use crate::{rpc::RpcAccount, sql::built};

/// An account in the mirror.
#[derive(sqlx::FromRow)]
pub struct MirroredAccount {
    pub address: Vec<u8>,
    pub kind: Option<String>,
    /// Slot of the last write or close.
    pub slot: i64,
    /// Decimal.
    pub lamports: String,
    pub data: Vec<u8>,
}

impl MirroredAccount {
    /// Differences from the account on chain.
    pub fn differences(&self, on_chain: &RpcAccount) -> Vec<String> {
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

/// Checks that each life has a row of its type with the same slots, that the lives of an address are those that its
/// events began and the last one is current, and that nothing waits as a dead letter.
pub async fn compare_lives(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    for &kind in AccountKind::ALL {
        let table = crate::kinds::table(kind);
        let sql = format!(
            "select coalesce(account.address, typed.address), array_remove(array[
               case when account.address is null or typed.address is null then 'row' end,
               case when account.slot is distinct from typed.slot then 'slot' end,
               case when account.closed_slot is distinct from typed.ended_slot then 'ended_slot' end,
               case when account.is_current is distinct from typed.is_current then 'is_current' end,
               case when typed.is_stale is distinct from false then 'is_stale' end], null)
             from (select * from chain.account where kind = $1) account
             full join {table} typed
               on typed.address = account.address and typed.life = account.life
             where (account.slot, account.closed_slot, account.is_current, false)
               is distinct from (typed.slot, typed.ended_slot, typed.is_current, typed.is_stale)"
        );
        let differing: Vec<(Vec<u8>, Vec<String>)> = sqlx::query_as(built(sql))
            .bind(kind.name())
            .fetch_all(&mut *comparison.connection)
            .await?;
        for (address, columns) in differing {
            let (address, columns) = (base58(&address), columns.join(", "));
            comparison.add_difference(format!(
                "account {address}: lives in chain.account and {table} differ: {columns}"
            ));
        }
    }
    let wrong: Vec<(Vec<u8>, String)> = sqlx::query_as(LIVES)
        .fetch_all(&mut *comparison.connection)
        .await?;
    for (address, what) in wrong {
        let address = base58(&address);
        comparison.add_difference(format!("account {address}: {what}"));
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

/// Lives that are not what the events of their address began. A life is named after its first event; after a
/// slot, if the mirror lacks that event; or 0, if the account is older than the mirror. Events that were
/// dropped began lives that are not compared.
const LIVES: &str = "
    select address, 'no life is current, or an earlier one' from chain.account
    group by address
    having count(*) filter (where is_current) <> 1 or not bool_or(is_current and life = (
      select max(life) from chain.account last where last.address = account.address))
    union all
    select account, 'event ' || event_id || ' began no life in chain.account'
    from chain.event_account began
    where number = 1 and not exists (
      select from chain.account where (address, life) = (account, event_id))
    union all
    select account, 'event ' || min(event_id) || ' is of no life in chain.account'
    from chain.event_account
    group by account
    having not exists (select from chain.account where address = account and life <= min(event_id))
    union all
    select address, 'no event began the life ' || life || ' in chain.account'
    from chain.account
    where life <> 0 and life & 2147483647 <> 0 and (select min(id) from chain.event) <= life
      and not exists (select from chain.event_account
        where (event_account.account, event_id, number) = (address, life, 1))
    union all
    select address, 'slot in chain.account is after the mirror''s'
    from chain.account where (select slot from chain.cursor) < slot
    union all
    select address, 'slot in chain.account is before its last event'
    from chain.account
    where closed_slot is null and slot < (
      select max(event_id) >> 31 from chain.event_account where account = address)
    union all
    select address, 'is_exact in chain.account is false, although the mirror has all accounts'
    from chain.account
    where closed_slot is null and not is_exact
      and (select settled_slot from chain.cursor) is not null";
