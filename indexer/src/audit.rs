//! Continuous comparison of a random sample of the mirror, and of the newest transactions, with an RPC node.

mod transactions;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use driftshield_sdk::Address;
use driftshield_service::error_chain;
use metrics::counter;
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::{
    cursor::Cursor,
    metrics::{AUDIT_DIFFERENCES, AUDIT_FAILURES, AUDITED_ACCOUNTS},
    rpc::{MAX_ACCOUNTS, Rpc, RpcAccount},
    sql::built,
    status::Status,
    store::bytes_of,
    verify::MirroredAccount,
};

/// Time after which an audit is given up.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Time for which an audit waits for the mirror to pass the slot of the RPC node.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Time after which accounts that differ are compared again. The cluster can drop the slot that the
/// RPC node read.
const RECHECK_DELAY: Duration = Duration::from_secs(2);

/// Compares samples with the RPC node, and reports the differences. It changes nothing.
pub struct Audit {
    pub status: Arc<Status>,
    /// Connections that the writer does not use.
    pub db: PgPool,
    pub rpc: Arc<Rpc>,
    /// Number of accounts of a sample.
    pub accounts: u64,
    /// Slot up to which transactions were compared; 0 at first.
    pub compared: i64,
}

/// An account of the mirror.
#[derive(sqlx::FromRow)]
struct AuditedAccount {
    #[sqlx(flatten)]
    account: MirroredAccount,
    closed_slot: Option<i64>,
}

impl AuditedAccount {
    /// Differences from the account that an RPC node has at the end of `slot`, which the mirror has
    /// passed. None if it has changed after `slot`: nothing is known of what it was then.
    fn differences(
        &self,
        address: &Address,
        slot: i64,
        on_chain: Option<&RpcAccount>,
    ) -> Vec<String> {
        if slot < self.account.slot {
            return vec![];
        }
        match (self.closed_slot, on_chain) {
            (Some(_), None) => vec![],
            (Some(closed), Some(_)) => vec![format!(
                "account {address}: is closed in the mirror since slot {closed}, but exists on chain"
            )],
            (None, None) => vec![format!("account {address}: is not on chain")],
            (None, Some(on_chain)) => self.account.differences(on_chain),
        }
    }
}

impl Audit {
    /// Audits a sample once an interval, while this process follows the stream and the mirror has all
    /// accounts. Never returns.
    pub async fn run(mut self, interval: Duration) {
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.status.is_settled() {
                continue;
            }
            let accounts = timeout(TIMEOUT, self.audit_accounts()).await;
            let transactions = timeout(TIMEOUT, self.audit_transactions()).await;
            for (what, audited) in [("accounts", accounts), ("transactions", transactions)] {
                if let Err(error) = audited.context("it took too long").flatten() {
                    counter!(AUDIT_FAILURES).increment(1);
                    let error = error_chain(error.as_ref());
                    tracing::warn!(what, error, "could not be compared with the RPC node");
                }
            }
        }
    }

    async fn audit_transactions(&mut self) -> anyhow::Result<()> {
        for (slot, difference) in self.missing_transactions().await? {
            counter!(AUDIT_DIFFERENCES).increment(1);
            tracing::error!(slot, difference, "the mirror differs from the chain");
        }
        Ok(())
    }

    async fn audit_accounts(&self) -> anyhow::Result<()> {
        let sample = self.sample().await?;
        // Each request has a slot of its own.
        for addresses in sample.chunks(MAX_ACCOUNTS) {
            let suspected = self.differing(addresses).await?;
            counter!(AUDITED_ACCOUNTS).increment(addresses.len() as u64);
            if suspected.is_empty() {
                continue;
            }
            sleep(RECHECK_DELAY).await;
            let addresses: Vec<_> = suspected.iter().map(|found| found.address).collect();
            for found in self.differing(&addresses).await? {
                counter!(AUDIT_DIFFERENCES).increment(1);
                tracing::error!(
                    address = %found.address,
                    mirror_slot = found.mirror_slot,
                    chain_slot = found.chain_slot,
                    difference = found.text,
                    "the mirror differs from the chain"
                );
            }
        }
        Ok(())
    }

    /// Addresses of open accounts: those that follow a random address. Addresses are hashes, so they
    /// have nothing in common.
    async fn sample(&self) -> anyhow::Result<Vec<Address>> {
        let open = "select address from chain.account where is_current and closed_slot is null";
        let sql = format!(
            "with start as materialized (select sha256(random()::text::bytea) as address)
             (({open} and (select address from start) <= address order by address limit $1)
              union all
              ({open} and address < (select address from start) order by address limit $1))
             limit $1"
        );
        let limit = i64::try_from(self.accounts).unwrap_or(i64::MAX);
        let keys: Vec<Vec<u8>> = sqlx::query_scalar(built(sql))
            .bind(limit)
            .fetch_all(&self.db)
            .await
            .context("cannot read a sample")?;
        let addresses = keys.iter().map(|key| Address::try_from(key.as_slice()));
        addresses
            .collect::<Result<_, _>>()
            .context("an address has not 32 bytes")
    }

    /// Accounts that differ from those of the RPC node.
    async fn differing(&self, addresses: &[Address]) -> anyhow::Result<Vec<Difference>> {
        let before = self.cursor().await?;
        let keys: BTreeSet<_> = addresses.iter().copied().collect();
        let found = self.rpc.accounts(&keys, before.slot).await?;
        self.wait_until_past(found.newest_slot()).await?;
        let mirrored: Vec<AuditedAccount> = sqlx::query_as(
            "select address, kind, slot, lamports::text, data, closed_slot from chain.account
             where is_current and address = any($1)",
        )
        .bind(bytes_of(addresses))
        .fetch_all(&self.db)
        .await?;
        let on_chain = found.accounts.iter();
        let on_chain: HashMap<_, _> = on_chain.map(|account| (account.address, account)).collect();
        let mut differing = vec![];
        // An account that is undone meanwhile has no row.
        for mirrored in &mirrored {
            let address = Address::try_from(mirrored.account.address.as_slice())?;
            let on_chain = on_chain.get(&address).copied();
            let texts = mirrored.differences(&address, found.slot(), on_chain);
            differing.extend(texts.into_iter().map(|text| Difference {
                address,
                mirror_slot: mirrored.account.slot,
                chain_slot: found.slot(),
                text,
            }));
        }
        Ok(differing)
    }

    async fn cursor(&self) -> anyhow::Result<Cursor> {
        let mut connection = self.db.acquire().await?;
        let cursor = Cursor::read(&mut connection).await?;
        cursor.context("the mirror is empty")
    }

    /// Waits until the mirror is past `slot` and has all accounts.
    async fn wait_until_past(&self, slot: i64) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let cursor = self.cursor().await?;
            if slot < cursor.slot && cursor.settled_slot.is_some() {
                return Ok(());
            }
            ensure!(
                started.elapsed() < MIRROR_TIMEOUT,
                "the mirror is at slot {}, and the RPC node at slot {slot}",
                cursor.slot
            );
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// A difference between the mirror and the chain.
struct Difference {
    address: Address,
    /// Slot of the mirror's last write.
    mirror_slot: i64,
    /// Slot at which the RPC node read the account.
    chain_slot: i64,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrored(slot: i64, closed_slot: Option<i64>) -> AuditedAccount {
        AuditedAccount {
            account: MirroredAccount {
                address: vec![7; 32],
                kind: None,
                slot,
                lamports: "5".to_owned(),
                data: vec![1, 2, 3],
            },
            closed_slot,
        }
    }

    #[test]
    fn an_account_differs_only_in_a_state_that_both_sides_have() {
        let address = Address::from([7; 32]);
        let count = |row: &AuditedAccount, on_chain: Option<RpcAccount>| {
            row.differences(&address, 10, on_chain.as_ref()).len()
        };
        let account = |lamports, data: &[u8]| {
            Some(RpcAccount {
                address,
                lamports,
                data: data.to_vec(),
            })
        };
        let same = || account(5, &[1, 2, 3]);
        let open = mirrored(10, None);
        assert_eq!(count(&open, same()), 0);
        assert_eq!(count(&open, account(5, &[1, 2, 4])), 1);
        assert_eq!(count(&open, account(6, &[1, 2])), 2);
        assert_eq!(count(&open, None), 1);
        let closed = mirrored(10, Some(10));
        assert_eq!(count(&closed, None), 0);
        assert_eq!(count(&closed, same()), 1);
        // It changed after the RPC node read it.
        assert_eq!(count(&mirrored(11, None), account(6, &[9])), 0);
        assert_eq!(count(&mirrored(11, Some(11)), same()), 0);
    }
}
