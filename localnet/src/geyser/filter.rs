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

/// Statuses of the commitment levels, in the order of [`CommitmentLevel`].
const LEVELS: [SlotStatus; 3] = [
    SlotStatus::SlotProcessed,
    SlotStatus::SlotConfirmed,
    SlotStatus::SlotFinalized,
];
/// Statuses that a slot has before it is processed.
const LIFECYCLE: [SlotStatus; 3] = [
    SlotStatus::SlotFirstShredReceived,
    SlotStatus::SlotCreatedBank,
    SlotStatus::SlotCompleted,
];

/// The filters of one subscription.
#[derive(Debug)]
pub struct SubscriptionFilter {
    commitment: CommitmentLevel,
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
            commitment,
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

    /// The updates that the client gets for an event, in the order of a Yellowstone server: content
    /// and block metadata once the slot reaches the commitment level of the subscription, and every
    /// status that it reaches.
    pub fn updates(&self, event: &SlotEvent) -> Vec<SubscribeUpdate> {
        use CommitmentLevel::{Confirmed, Finalized, Processed};

        let slot = event.slot();
        let mut updates = Vec::new();
        match event {
            SlotEvent::Confirmed(_) => {
                let created_at = slot.created_at;
                self.push_statuses(slot, &LIFECYCLE, created_at, &mut updates);
                self.push_level(slot, Processed, created_at, &mut updates);
                self.push_level(slot, Confirmed, created_at, &mut updates);
            }
            SlotEvent::Finalized(_) => {
                let now = SystemTime::now().into();
                self.push_level(slot, Finalized, now, &mut updates);
            }
            SlotEvent::Dead(_) => {
                let now = SystemTime::now().into();
                self.push_statuses(slot, &[SlotStatus::SlotDead], now, &mut updates);
            }
            SlotEvent::Replayed { finalized, .. } => {
                if self.commitment != Finalized || *finalized {
                    self.push_content(slot, &mut updates);
                    let now = SystemTime::now().into();
                    let levels = if *finalized { &LEVELS } else { &LEVELS[..2] };
                    self.push_statuses(slot, levels, now, &mut updates);
                }
            }
        }
        updates
    }

    /// Adds what the client gets when a slot reaches a commitment level.
    fn push_level(
        &self,
        slot: &SealedSlot,
        level: CommitmentLevel,
        created_at: Timestamp,
        updates: &mut Vec<SubscribeUpdate>,
    ) {
        if self.commitment == level {
            self.push_content(slot, updates);
        }
        let status = LEVELS[level as usize];
        self.push_statuses(slot, &[status], created_at, updates);
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

    fn push_statuses(
        &self,
        slot: &SealedSlot,
        statuses: &[SlotStatus],
        created_at: Timestamp,
        updates: &mut Vec<SubscribeUpdate>,
    ) {
        for status in statuses {
            let matches = |filter: &SlotFilter| filter.matches(*status, self.commitment);
            if let Some(names) = self.slots.matching(matches) {
                updates.push(SubscribeUpdate {
                    filters: names,
                    created_at: Some(created_at),
                    update_oneof: Some(UpdateOneof::Slot(slot_update(slot, *status))),
                });
            }
        }
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

/// Only statuses of a bank have its id and parent.
fn slot_update(slot: &SealedSlot, status: SlotStatus) -> SubscribeUpdateSlot {
    let is_of_shreds = matches!(
        status,
        SlotStatus::SlotFirstShredReceived | SlotStatus::SlotCompleted
    );
    let is_dead = status == SlotStatus::SlotDead;
    SubscribeUpdateSlot {
        slot: slot.slot,
        parent: (!is_of_shreds).then_some(slot.meta.parent_slot),
        status: status.into(),
        dead_error: is_dead.then(|| "the block is not on the chain".to_owned()),
        bank_id: (!is_of_shreds && !is_dead).then_some(slot.meta.bank_id),
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

    /// [`everything`] at a commitment level.
    fn everything_at(commitment: CommitmentLevel) -> SubscriptionFilter {
        SubscriptionFilter::parse(SubscribeRequest {
            commitment: Some(commitment.into()),
            ..everything()
        })
        .unwrap()
    }

    const CONTENT: [&str; 4] = ["a", "t", "ts", "m"];
    const CREATED: [&str; 3] = [
        "SLOT_FIRST_SHRED_RECEIVED",
        "SLOT_CREATED_BANK",
        "SLOT_COMPLETED",
    ];
    const PROCESSED: [&str; 1] = ["SLOT_PROCESSED"];
    const CONFIRMED: [&str; 1] = ["SLOT_CONFIRMED"];
    const FINALIZED: [&str; 1] = ["SLOT_FINALIZED"];

    #[test]
    fn content_and_meta_are_sent_before_the_status_of_the_commitment() {
        let slot = Arc::new(sealed_slot(31));
        let confirmed = SlotEvent::Confirmed(Arc::clone(&slot));
        let finalized = SlotEvent::Finalized(slot);
        for (commitment, at_confirmation, at_finalization) in [
            (
                CommitmentLevel::Processed,
                [&CREATED[..], &CONTENT, &PROCESSED, &CONFIRMED].concat(),
                FINALIZED.to_vec(),
            ),
            (
                CommitmentLevel::Confirmed,
                [&CREATED[..], &PROCESSED, &CONTENT, &CONFIRMED].concat(),
                FINALIZED.to_vec(),
            ),
            (
                CommitmentLevel::Finalized,
                [&CREATED[..], &PROCESSED, &CONFIRMED].concat(),
                [&CONTENT[..], &FINALIZED].concat(),
            ),
        ] {
            let filter = everything_at(commitment);
            assert_eq!(summary(&filter, &confirmed), at_confirmation);
            assert_eq!(summary(&filter, &finalized), at_finalization);
        }
    }

    #[test]
    fn a_replayed_slot_has_the_statuses_after_its_content() {
        let slot = Arc::new(sealed_slot(31));
        let replayed = |finalized| SlotEvent::Replayed {
            slot: Arc::clone(&slot),
            finalized,
        };
        let at_confirmed = everything_at(CommitmentLevel::Confirmed);
        let at_finalized = everything_at(CommitmentLevel::Finalized);
        let not_final = [&CONTENT[..], &PROCESSED, &CONFIRMED].concat();
        let all = [&not_final[..], &FINALIZED].concat();
        assert_eq!(summary(&at_confirmed, &replayed(false)), not_final);
        assert_eq!(summary(&at_confirmed, &replayed(true)), all);
        assert!(summary(&at_finalized, &replayed(false)).is_empty());
        assert_eq!(summary(&at_finalized, &replayed(true)), all);
    }

    #[test]
    fn slot_filters_select_statuses() {
        let statuses = |by_commitment, interslot, commitment: CommitmentLevel| {
            let slots = SubscribeRequestFilterSlots {
                filter_by_commitment: Some(by_commitment),
                interslot_updates: Some(interslot),
            };
            let filter = SubscriptionFilter::parse(SubscribeRequest {
                slots: HashMap::from([("s".to_owned(), slots)]),
                commitment: Some(commitment.into()),
                ..Default::default()
            })
            .unwrap();
            let slot = Arc::new(sealed_slot(31));
            let events = [SlotEvent::Confirmed, SlotEvent::Dead, SlotEvent::Finalized];
            let summaries = events.map(|event| summary(&filter, &event(Arc::clone(&slot))));
            summaries.concat()
        };
        let levels = ["SLOT_PROCESSED", "SLOT_CONFIRMED", "SLOT_FINALIZED"];
        assert_eq!(statuses(false, false, CommitmentLevel::Confirmed), levels);
        let all = [
            &CREATED[..],
            &PROCESSED,
            &CONFIRMED,
            &["SLOT_DEAD"],
            &FINALIZED,
        ]
        .concat();
        assert_eq!(statuses(false, true, CommitmentLevel::Confirmed), all);
        for (commitment, status) in [
            (CommitmentLevel::Processed, PROCESSED),
            (CommitmentLevel::Confirmed, CONFIRMED),
            (CommitmentLevel::Finalized, FINALIZED),
        ] {
            assert_eq!(statuses(true, true, commitment), status);
        }
    }

    #[test]
    fn every_update_has_a_creation_time() {
        let filter = everything_at(CommitmentLevel::Confirmed);
        let slot = Arc::new(sealed_slot(31));
        for event in [
            SlotEvent::Confirmed(Arc::clone(&slot)),
            SlotEvent::Finalized(Arc::clone(&slot)),
            SlotEvent::Dead(Arc::clone(&slot)),
            SlotEvent::Replayed {
                slot,
                finalized: true,
            },
        ] {
            let updates = filter.updates(&event);
            assert!(!updates.is_empty());
            assert!(updates.iter().all(|update| update.created_at.is_some()));
        }
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
