//! Filters of a subscription: which updates of a slot a client gets.
//!
//! A filter matches if all its conditions hold. A condition with a list holds if one member of the
//! list matches, or if the list is empty. An account filter by owner misses the write that closes
//! an account, because that write assigns the account to the system program.

mod account;
mod parse;
mod slot;
mod transaction;

use std::{collections::HashMap, ops::Range, time::SystemTime};

use tonic::Status;
use yellowstone_grpc_proto::{
    geyser::{
        CommitmentLevel, SlotStatus, SubscribeRequest, SubscribeUpdate, SubscribeUpdateAccount,
        SubscribeUpdateAccountInfo, SubscribeUpdateSlot, SubscribeUpdateTransaction,
        SubscribeUpdateTransactionStatus, subscribe_update::UpdateOneof,
    },
    prost_types::Timestamp,
};

use self::{account::AccountFilter, slot::SlotFilter, transaction::TransactionFilter};
use super::feed::{SealedSlot, SlotEvent};

/// The filters of one subscription.
#[derive(Debug)]
pub struct SubscriptionFilter {
    /// Whether the subscription is at `finalized`. Otherwise it is at `confirmed`.
    finalized: bool,
    /// First slot to send: `from_slot` of the request.
    start_slot: Option<u64>,
    accounts: NamedFilters<AccountFilter>,
    slots: NamedFilters<SlotFilter>,
    transactions: NamedFilters<TransactionFilter>,
    transactions_status: NamedFilters<TransactionFilter>,
    /// Names of the filters for block metadata, which have no conditions.
    blocks_meta: Vec<String>,
    /// Parts of the account data to send; all of it if empty.
    data_slices: Vec<Range<usize>>,
}

/// Filters with the names that the client chose, sorted by name.
#[derive(Debug)]
struct NamedFilters<F>(Vec<(String, F)>);

impl<F> NamedFilters<F> {
    fn parse<P>(
        filters: HashMap<String, P>,
        parse: impl Fn(P) -> Result<F, Status>,
    ) -> Result<Self, Status> {
        let mut named = filters
            .into_iter()
            .map(|(name, filter)| Ok((name, parse(filter)?)))
            .collect::<Result<Vec<_>, Status>>()?;
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(named))
    }

    /// Names of the filters that match; `None` if none does.
    fn matching(&self, matches: impl Fn(&F) -> bool) -> Option<Vec<String>> {
        let matching = self.0.iter().filter(|(_, filter)| matches(filter));
        let names: Vec<String> = matching.map(|(name, _)| name.clone()).collect();
        (!names.is_empty()).then_some(names)
    }
}

impl SubscriptionFilter {
    /// Fails with `InvalidArgument` if the request is malformed, and with `Unimplemented` if this
    /// server does not support a part of it.
    pub fn parse(request: SubscribeRequest) -> Result<Self, Status> {
        let unsupported = [
            ("blocks", request.blocks.is_empty()),
            ("entry", request.entry.is_empty()),
            ("block_footer", request.block_footer.is_empty()),
        ];
        if let Some((name, _)) = unsupported.iter().find(|(_, unused)| !unused) {
            return Err(Status::unimplemented(format!(
                "`{name}` is not supported: subscribe to accounts, transactions and blocks_meta"
            )));
        }
        let commitment = request.commitment.unwrap_or_default();
        let commitment = CommitmentLevel::try_from(commitment).map_err(|_| {
            parse::invalid(format!(
                "unknown commitment {commitment}: use processed, confirmed or finalized"
            ))
        })?;
        let mut blocks_meta: Vec<String> = request.blocks_meta.into_keys().collect();
        blocks_meta.sort();
        Ok(Self {
            finalized: commitment == CommitmentLevel::Finalized,
            start_slot: request.from_slot,
            accounts: NamedFilters::parse(request.accounts, AccountFilter::parse)?,
            slots: NamedFilters::parse(request.slots, |slots| Ok(SlotFilter::parse(slots)))?,
            transactions: NamedFilters::parse(request.transactions, TransactionFilter::parse)?,
            transactions_status: NamedFilters::parse(
                request.transactions_status,
                TransactionFilter::parse,
            )?,
            blocks_meta,
            data_slices: request
                .accounts_data_slice
                .iter()
                .map(|slice| parse::range(slice.offset, slice.length))
                .collect::<Result<_, _>>()?,
        })
    }

    pub fn start_slot(&self) -> Option<u64> {
        self.start_slot
    }

    /// The updates that the client gets for an event, in order.
    pub fn updates(&self, event: &SlotEvent) -> Vec<SubscribeUpdate> {
        let mut updates = Vec::new();
        match event {
            SlotEvent::Confirmed(slot) if self.is_before_start(slot) => {}
            SlotEvent::Confirmed(slot) => {
                if !self.finalized {
                    self.push_content(slot, &mut updates);
                }
                for status in [
                    SlotStatus::SlotCreatedBank,
                    SlotStatus::SlotProcessed,
                    SlotStatus::SlotConfirmed,
                ] {
                    updates.extend(self.slot_status(slot, status, slot.created_at));
                }
            }
            SlotEvent::Finalized(slot) => {
                if self.finalized && !self.is_before_start(slot) {
                    self.push_content(slot, &mut updates);
                }
                let now = SystemTime::now().into();
                updates.extend(self.slot_status(slot, SlotStatus::SlotFinalized, now));
            }
        }
        updates
    }

    fn is_before_start(&self, slot: &SealedSlot) -> bool {
        self.start_slot.is_some_and(|first| slot.slot < first)
    }

    /// Adds the matching accounts, transactions and block metadata of a slot.
    fn push_content(&self, slot: &SealedSlot, updates: &mut Vec<SubscribeUpdate>) {
        let bank_id = slot.meta.bank_id;
        let update = |filters, update| SubscribeUpdate {
            filters,
            created_at: Some(slot.created_at),
            update_oneof: Some(update),
        };
        for account in &slot.accounts {
            if let Some(names) = self.accounts.matching(|filter| filter.matches(account)) {
                let account = UpdateOneof::Account(SubscribeUpdateAccount {
                    account: Some(self.slice_data(account)),
                    slot: slot.slot,
                    is_startup: false,
                    bank_id: Some(bank_id),
                });
                updates.push(update(names, account));
            }
        }
        for transaction in &slot.transactions {
            let matches = |filter: &TransactionFilter| filter.matches(transaction);
            if let Some(names) = self.transactions.matching(matches) {
                let transaction = UpdateOneof::Transaction(SubscribeUpdateTransaction {
                    transaction: Some(transaction.clone()),
                    slot: slot.slot,
                    bank_id,
                });
                updates.push(update(names, transaction));
            }
            if let Some(names) = self.transactions_status.matching(matches) {
                let status = UpdateOneof::TransactionStatus(SubscribeUpdateTransactionStatus {
                    slot: slot.slot,
                    signature: transaction.signature.clone(),
                    is_vote: transaction.is_vote,
                    index: transaction.index,
                    err: transaction.meta.as_ref().and_then(|meta| meta.err.clone()),
                    bank_id,
                });
                updates.push(update(names, status));
            }
        }
        if !self.blocks_meta.is_empty() {
            let meta = UpdateOneof::BlockMeta(slot.meta.clone());
            updates.push(update(self.blocks_meta.clone(), meta));
        }
    }

    fn slot_status(
        &self,
        slot: &SealedSlot,
        status: SlotStatus,
        created_at: Timestamp,
    ) -> Option<SubscribeUpdate> {
        let names = self
            .slots
            .matching(|filter| filter.matches(status, self.finalized))?;
        Some(SubscribeUpdate {
            filters: names,
            created_at: Some(created_at),
            update_oneof: Some(UpdateOneof::Slot(SubscribeUpdateSlot {
                slot: slot.slot,
                parent: Some(slot.meta.parent_slot),
                status: status.into(),
                dead_error: None,
                bank_id: Some(slot.meta.bank_id),
            })),
        })
    }

    /// Returns the account with only the requested slices of its data, joined. A slice that exceeds
    /// the data is skipped.
    fn slice_data(&self, account: &SubscribeUpdateAccountInfo) -> SubscribeUpdateAccountInfo {
        if self.data_slices.is_empty() {
            return account.clone();
        }
        let slices = self
            .data_slices
            .iter()
            .filter_map(|range| account.data.get(range.clone()));
        SubscribeUpdateAccountInfo {
            pubkey: account.pubkey.clone(),
            lamports: account.lamports,
            owner: account.owner.clone(),
            executable: account.executable,
            rent_epoch: account.rent_epoch,
            data: slices.flatten().copied().collect(),
            write_version: account.write_version,
            txn_signature: account.txn_signature.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yellowstone_grpc_proto::geyser::{
        SubscribeRequestAccountsDataSlice, SubscribeRequestFilterAccounts,
        SubscribeRequestFilterBlocks, SubscribeRequestFilterBlocksMeta,
        SubscribeRequestFilterSlots,
    };

    use super::*;
    use crate::geyser::test_data::{account, base58, sealed_slot};

    /// A request with one filter of each supported kind.
    fn everything() -> SubscribeRequest {
        SubscribeRequest {
            accounts: HashMap::from([("a".to_owned(), Default::default())]),
            transactions: HashMap::from([("t".to_owned(), Default::default())]),
            transactions_status: HashMap::from([("ts".to_owned(), Default::default())]),
            slots: HashMap::from([(
                "s".to_owned(),
                SubscribeRequestFilterSlots {
                    interslot_updates: Some(true),
                    ..Default::default()
                },
            )]),
            blocks_meta: HashMap::from([(
                "m".to_owned(),
                SubscribeRequestFilterBlocksMeta::default(),
            )]),
            commitment: Some(CommitmentLevel::Confirmed.into()),
            ..Default::default()
        }
    }

    /// The filter names of each update, or the status for a slot update.
    fn summary(filter: &SubscriptionFilter, event: &SlotEvent) -> Vec<String> {
        let summarize = |update: SubscribeUpdate| match update.update_oneof {
            Some(UpdateOneof::Slot(slot)) => slot.status().as_str_name().to_owned(),
            _ => update.filters.join(","),
        };
        filter.updates(event).into_iter().map(summarize).collect()
    }

    #[test]
    fn a_confirmed_slot_sends_content_then_meta_then_statuses() {
        let filter = SubscriptionFilter::parse(everything()).unwrap();
        let slot = Arc::new(sealed_slot(31));
        assert_eq!(
            summary(&filter, &SlotEvent::Confirmed(Arc::clone(&slot))),
            [
                "a",
                "t",
                "ts",
                "m",
                "SLOT_CREATED_BANK",
                "SLOT_PROCESSED",
                "SLOT_CONFIRMED"
            ]
        );
        assert_eq!(
            summary(&filter, &SlotEvent::Finalized(slot)),
            ["SLOT_FINALIZED"]
        );
    }

    #[test]
    fn at_finalized_content_is_sent_on_finalization() {
        let filter = SubscriptionFilter::parse(SubscribeRequest {
            commitment: Some(CommitmentLevel::Finalized.into()),
            slots: HashMap::from([(
                "s".to_owned(),
                SubscribeRequestFilterSlots {
                    filter_by_commitment: Some(true),
                    ..Default::default()
                },
            )]),
            ..everything()
        })
        .unwrap();
        let slot = Arc::new(sealed_slot(31));
        assert!(summary(&filter, &SlotEvent::Confirmed(Arc::clone(&slot))).is_empty());
        assert_eq!(
            summary(&filter, &SlotEvent::Finalized(slot)),
            ["a", "t", "ts", "m", "SLOT_FINALIZED"]
        );
    }

    #[test]
    fn slots_before_from_slot_are_skipped() {
        let filter = SubscriptionFilter::parse(SubscribeRequest {
            from_slot: Some(32),
            ..everything()
        })
        .unwrap();
        assert!(summary(&filter, &SlotEvent::Confirmed(Arc::new(sealed_slot(31)))).is_empty());
        assert!(!summary(&filter, &SlotEvent::Confirmed(Arc::new(sealed_slot(32)))).is_empty());
    }

    #[test]
    fn an_update_names_all_matching_filters() {
        let filter = SubscriptionFilter::parse(SubscribeRequest {
            accounts: HashMap::from([
                ("b".to_owned(), Default::default()),
                ("a".to_owned(), Default::default()),
                (
                    "other".to_owned(),
                    SubscribeRequestFilterAccounts {
                        account: vec![base58(2)],
                        ..Default::default()
                    },
                ),
            ]),
            ..Default::default()
        })
        .unwrap();
        let event = SlotEvent::Confirmed(Arc::new(sealed_slot(31)));
        assert_eq!(summary(&filter, &event), ["a,b"]);
    }

    #[test]
    fn data_slices_are_joined() {
        let slice = |offset, length| SubscribeRequestAccountsDataSlice { offset, length };
        let filter = SubscriptionFilter::parse(SubscribeRequest {
            accounts_data_slice: vec![slice(0, 1), slice(2, 2), slice(3, 9)],
            ..Default::default()
        })
        .unwrap();
        assert_eq!(filter.slice_data(&account(1, 9)).data, [1, 3, 4]);
    }

    #[test]
    fn unsupported_and_malformed_requests_are_refused() {
        let blocks = SubscriptionFilter::parse(SubscribeRequest {
            blocks: HashMap::from([("b".to_owned(), SubscribeRequestFilterBlocks::default())]),
            ..Default::default()
        });
        assert_eq!(blocks.unwrap_err().code(), tonic::Code::Unimplemented);
        let no_address = SubscriptionFilter::parse(SubscribeRequest {
            accounts: HashMap::from([(
                "a".to_owned(),
                SubscribeRequestFilterAccounts {
                    owner: vec!["no address".to_owned()],
                    ..Default::default()
                },
            )]),
            ..Default::default()
        });
        assert_eq!(no_address.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
