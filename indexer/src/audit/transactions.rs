//! Comparison of the newest finalized transactions of the program with the RPC node's.
//!
//! The accounts' counters show most events that a stream loses, but not those of an account that was opened and
//! closed in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use anyhow::Context;

use super::Audit;
use crate::{event_id::first_id, rpc::ProgramTransaction, slot::Signature};

/// Most blocks that are read in one audit. Anybody can name the program in transactions without events.
const MAX_BLOCKS: usize = 16;

impl Audit {
    /// Describes the transactions with events that the mirror lacks, of those that no earlier call has compared.
    pub(super) async fn missing_transactions(&mut self) -> anyhow::Result<Vec<(i64, String)>> {
        let listed = self.rpc.finalized_transactions().await?;
        let cursor = self.cursor().await?;
        let (Some(newest), Some(oldest)) = (listed.first(), listed.last()) else {
            return Ok(vec![]);
        };
        // The list may have a part of its oldest slot.
        let after = self.compared.max(cursor.history_from - 1).max(oldest.slot);
        let mut last = cursor.finalized_slot.min(newest.slot);
        let mirrored = self.signatures(after, last).await?;
        let mut unknown = unknown(&listed, &mirrored, after, last);
        let on_record = self.on_record().await?;
        unknown.retain(|slot, _| !on_record.iter().any(|slots| slots.contains(slot)));
        if let Some(left) = unknown.keys().nth(MAX_BLOCKS) {
            // The next audit goes on there.
            last = left - 1;
        }
        let mut missing = vec![];
        for (slot, signatures) in unknown.range(..=last) {
            let slot = *slot;
            let block = self.rpc.block(slot.unsigned_abs()).await?.sealed;
            let events = block.events.iter();
            let events = events.filter(|event| signatures.contains(&event.signature));
            let transactions: BTreeSet<_> = events.map(|event| event.signature).collect();
            missing.extend(transactions.into_iter().map(|signature| {
                let signature = bs58::encode(signature).into_string();
                (
                    slot,
                    format!("the events of transaction {signature} are missing"),
                )
            }));
        }
        self.compared = self.compared.max(last);
        Ok(missing)
    }

    /// Slots whose events are on record as missing.
    async fn on_record(&self) -> anyhow::Result<Vec<RangeInclusive<i64>>> {
        let slots: Vec<(i64, i64)> = sqlx::query_as(
            "select coalesce(event_id >> 31, since, slot), coalesce(event_id >> 31, slot)
             from chain.dead_letter
             where resolved_at is null and subject in ('history', 'chain.event')",
        )
        .fetch_all(&self.db)
        .await?;
        Ok(slots
            .into_iter()
            .map(|(first, last)| first..=last)
            .collect())
    }

    /// Signatures of the transactions whose events the mirror has in the slots after `after`, up to `last`.
    async fn signatures(&self, after: i64, last: i64) -> anyhow::Result<BTreeSet<Signature>> {
        let sql = "select distinct signature from chain.event where $1 <= id and id < $2";
        let mirrored: Vec<Vec<u8>> = sqlx::query_scalar(sql)
            .bind(first_id(after + 1))
            .bind(first_id(last + 1))
            .fetch_all(&self.db)
            .await?;
        let mirrored = mirrored.into_iter().map(Signature::try_from);
        let mirrored: Result<_, _> = mirrored.collect();
        mirrored.ok().context("a signature has not 64 bytes")
    }
}

/// The listed transactions that the mirror doesn't know, in the slots after `after`, up to `last`.
fn unknown(
    listed: &[ProgramTransaction],
    mirrored: &BTreeSet<Signature>,
    after: i64,
    last: i64,
) -> BTreeMap<i64, BTreeSet<Signature>> {
    let mut unknown: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for transaction in listed {
        let slot = transaction.slot;
        if after < slot && slot <= last && !mirrored.contains(&transaction.signature) {
            unknown
                .entry(slot)
                .or_default()
                .insert(transaction.signature);
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transactions_that_both_sides_have_finalized_are_compared() {
        let transaction = |slot, name| ProgramTransaction {
            slot,
            signature: [name; 64],
        };
        let listed = [(9, 5), (8, 4), (8, 3), (7, 2), (6, 1)];
        let listed = listed.map(|(slot, name)| transaction(slot, name));
        let unknown = unknown(&listed, &[[3; 64]].into(), 6, 8);
        let expected = [(7, [[2; 64]].into()), (8, [[4; 64]].into())];
        assert_eq!(unknown, expected.into());
    }
}
