//! What a subscription wants of a slot.
//!
//! Of the kinds of condition that a filter names all must hold, and of each list one member. An
//! account filter by owner does not see the account closed: the closing write gives the account to
//! the system program.

use std::{collections::HashMap, ops::Range, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use tonic::Status;
use yellowstone_grpc_proto::{
    geyser::{
        CommitmentLevel, SlotStatus, SubscribeRequest, SubscribeRequestFilterAccounts,
        SubscribeRequestFilterAccountsFilter, SubscribeRequestFilterAccountsFilterLamports,
        SubscribeRequestFilterAccountsFilterMemcmp, SubscribeRequestFilterSlots,
        SubscribeRequestFilterTransactions, SubscribeUpdate, SubscribeUpdateAccount,
        SubscribeUpdateAccountInfo, SubscribeUpdateSlot, SubscribeUpdateTransaction,
        SubscribeUpdateTransactionInfo, SubscribeUpdateTransactionStatus,
        subscribe_request_filter_accounts_filter::Filter as DataFilter,
        subscribe_request_filter_accounts_filter_lamports::Cmp,
        subscribe_request_filter_accounts_filter_memcmp::Data, subscribe_update::UpdateOneof,
    },
    prost_types::Timestamp,
};

use super::feed::{Event, SealedSlot};

type Key = [u8; 32];

/// A subscription's filters, by name.
#[derive(Debug)]
pub struct Filter {
    finalized: bool,
    from_slot: Option<u64>,
    accounts: Named<Accounts>,
    slots: Named<Slots>,
    transactions: Named<Transactions>,
    transactions_status: Named<Transactions>,
    blocks_meta: Vec<String>,
    slices: Vec<Range<usize>>,
}

/// Sorted by name.
#[derive(Debug)]
struct Named<F>(Vec<(String, F)>);

impl<F> Named<F> {
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

    /// The names of the filters that match; `None` where there is none.
    fn matching(&self, matches: impl Fn(&F) -> bool) -> Option<Vec<String>> {
        let matching = self.0.iter().filter(|(_, filter)| matches(filter));
        let names: Vec<String> = matching.map(|(name, _)| name.clone()).collect();
        (!names.is_empty()).then_some(names)
    }
}

#[derive(Debug)]
struct Accounts {
    keys: Vec<Key>,
    owners: Vec<Key>,
    data: Vec<AccountCondition>,
    nonempty_txn_signature: Option<bool>,
}

#[derive(Debug)]
enum AccountCondition {
    Bytes { offset: usize, bytes: Vec<u8> },
    Size(u64),
    TokenAccount,
    Lamports(Cmp),
}

#[derive(Debug)]
struct Slots {
    by_commitment: bool,
    interslot: bool,
}

#[derive(Debug)]
struct Transactions {
    vote: Option<bool>,
    failed: Option<bool>,
    signature: Option<Vec<u8>>,
    include: Vec<Key>,
    exclude: Vec<Key>,
    required: Vec<Key>,
}

impl Filter {
    /// `InvalidArgument` for what cannot be read, `Unimplemented` for what is not served here.
    pub fn parse(request: SubscribeRequest) -> Result<Self, Status> {
        let unserved = [
            ("blocks", request.blocks.is_empty()),
            ("entry", request.entry.is_empty()),
            ("block_footer", request.block_footer.is_empty()),
        ];
        if let Some((name, _)) = unserved.iter().find(|(_, unused)| !unused) {
            return Err(Status::unimplemented(format!(
                "`{name}` is not served: subscribe to accounts, transactions and blocks_meta"
            )));
        }
        let commitment = request.commitment.unwrap_or_default();
        let commitment = CommitmentLevel::try_from(commitment)
            .map_err(|_| invalid(format!("unknown commitment {commitment}")))?;
        let mut blocks_meta: Vec<String> = request.blocks_meta.into_keys().collect();
        blocks_meta.sort();
        Ok(Self {
            finalized: commitment == CommitmentLevel::Finalized,
            from_slot: request.from_slot,
            accounts: Named::parse(request.accounts, Accounts::parse)?,
            slots: Named::parse(request.slots, |slots| Ok(Slots::parse(slots)))?,
            transactions: Named::parse(request.transactions, Transactions::parse)?,
            transactions_status: Named::parse(request.transactions_status, Transactions::parse)?,
            blocks_meta,
            slices: request
                .accounts_data_slice
                .iter()
                .map(|slice| range(slice.offset, slice.length))
                .collect::<Result<_, _>>()?,
        })
    }

    pub fn from_slot(&self) -> Option<u64> {
        self.from_slot
    }

    /// What this subscription is sent of an event, in order.
    pub fn updates(&self, event: &Event) -> Vec<SubscribeUpdate> {
        let mut updates = Vec::new();
        match event {
            Event::Confirmed(slot) if self.is_before(slot) => {}
            Event::Confirmed(slot) => {
                if !self.finalized {
                    self.content(slot, &mut updates);
                }
                for status in [
                    SlotStatus::SlotCreatedBank,
                    SlotStatus::SlotProcessed,
                    SlotStatus::SlotConfirmed,
                ] {
                    updates.extend(self.status(slot, status, slot.created_at));
                }
            }
            Event::Finalized(slot) => {
                if self.finalized && !self.is_before(slot) {
                    self.content(slot, &mut updates);
                }
                let now = SystemTime::now().into();
                updates.extend(self.status(slot, SlotStatus::SlotFinalized, now));
            }
        }
        updates
    }

    fn is_before(&self, slot: &SealedSlot) -> bool {
        self.from_slot.is_some_and(|first| slot.slot < first)
    }

    fn content(&self, slot: &SealedSlot, updates: &mut Vec<SubscribeUpdate>) {
        let bank_id = slot.meta.bank_id;
        let update = |filters, update| SubscribeUpdate {
            filters,
            created_at: Some(slot.created_at),
            update_oneof: Some(update),
        };
        for account in &slot.accounts {
            if let Some(names) = self.accounts.matching(|filter| filter.matches(account)) {
                let account = UpdateOneof::Account(SubscribeUpdateAccount {
                    account: Some(self.sliced(account)),
                    slot: slot.slot,
                    is_startup: false,
                    bank_id: Some(bank_id),
                });
                updates.push(update(names, account));
            }
        }
        for transaction in &slot.transactions {
            let matches = |filter: &Transactions| filter.matches(transaction);
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

    fn status(
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

    /// The account with the parts of its data that were asked for; a part that its data does not
    /// have in full is left out.
    fn sliced(&self, account: &SubscribeUpdateAccountInfo) -> SubscribeUpdateAccountInfo {
        if self.slices.is_empty() {
            return account.clone();
        }
        let parts = self
            .slices
            .iter()
            .filter_map(|range| account.data.get(range.clone()));
        SubscribeUpdateAccountInfo {
            pubkey: account.pubkey.clone(),
            lamports: account.lamports,
            owner: account.owner.clone(),
            executable: account.executable,
            rent_epoch: account.rent_epoch,
            data: parts.flatten().copied().collect(),
            write_version: account.write_version,
            txn_signature: account.txn_signature.clone(),
        }
    }
}

impl Accounts {
    fn parse(filter: SubscribeRequestFilterAccounts) -> Result<Self, Status> {
        if filter.cuckoo_accounts_filter.is_some() {
            return Err(no_cuckoo());
        }
        Ok(Self {
            keys: keys(&filter.account)?,
            owners: keys(&filter.owner)?,
            data: filter
                .filters
                .into_iter()
                .map(AccountCondition::parse)
                .collect::<Result<_, _>>()?,
            nonempty_txn_signature: filter.nonempty_txn_signature,
        })
    }

    fn matches(&self, account: &SubscribeUpdateAccountInfo) -> bool {
        holds(&self.keys, &account.pubkey)
            && holds(&self.owners, &account.owner)
            && self.data.iter().all(|condition| condition.matches(account))
            && self
                .nonempty_txn_signature
                .is_none_or(|wanted| wanted == account.txn_signature.is_some())
    }
}

impl AccountCondition {
    fn parse(filter: SubscribeRequestFilterAccountsFilter) -> Result<Self, Status> {
        match filter.filter {
            Some(DataFilter::Memcmp(memcmp)) => Self::parse_memcmp(memcmp),
            Some(DataFilter::Datasize(size)) => Ok(Self::Size(size)),
            Some(DataFilter::TokenAccountState(true)) => Ok(Self::TokenAccount),
            Some(DataFilter::TokenAccountState(false)) => {
                Err(invalid("token_account_state can only be true"))
            }
            Some(DataFilter::Lamports(SubscribeRequestFilterAccountsFilterLamports {
                cmp: Some(cmp),
            })) => Ok(Self::Lamports(cmp)),
            Some(DataFilter::Lamports(_)) => Err(invalid("a lamports filter needs a comparison")),
            None => Err(invalid("an account filter is empty")),
        }
    }

    fn parse_memcmp(memcmp: SubscribeRequestFilterAccountsFilterMemcmp) -> Result<Self, Status> {
        let bytes = match memcmp.data {
            Some(Data::Bytes(bytes)) => bytes,
            Some(Data::Base58(text)) => bs58::decode(&text)
                .into_vec()
                .map_err(|error| invalid(format!("memcmp base58 `{text}`: {error}")))?,
            Some(Data::Base64(text)) => BASE64_STANDARD
                .decode(&text)
                .map_err(|error| invalid(format!("memcmp base64 `{text}`: {error}")))?,
            None => return Err(invalid("a memcmp filter needs data")),
        };
        let offset = range(memcmp.offset, bytes.len() as u64)?.start;
        Ok(Self::Bytes { offset, bytes })
    }

    fn matches(&self, account: &SubscribeUpdateAccountInfo) -> bool {
        match self {
            Self::Bytes { offset, bytes } => account
                .data
                .get(*offset..)
                .is_some_and(|data| data.starts_with(bytes)),
            Self::Size(size) => account.data.len() as u64 == *size,
            Self::TokenAccount => is_token_account(&account.data),
            Self::Lamports(Cmp::Eq(lamports)) => account.lamports == *lamports,
            Self::Lamports(Cmp::Ne(lamports)) => account.lamports != *lamports,
            Self::Lamports(Cmp::Lt(lamports)) => account.lamports < *lamports,
            Self::Lamports(Cmp::Gt(lamports)) => account.lamports > *lamports,
        }
    }
}

/// An initialised token account, with or without extensions.
fn is_token_account(data: &[u8]) -> bool {
    const SIZE: usize = 165;
    const STATE: usize = 108;
    const MULTISIG_SIZE: usize = 355;
    const ACCOUNT_TYPE: u8 = 2;
    data.get(STATE).is_some_and(|state| *state != 0)
        && match data.len() {
            SIZE => true,
            MULTISIG_SIZE => false,
            _ => data.get(SIZE) == Some(&ACCOUNT_TYPE),
        }
}

impl Slots {
    fn parse(filter: SubscribeRequestFilterSlots) -> Self {
        Self {
            by_commitment: filter.filter_by_commitment.unwrap_or_default(),
            interslot: filter.interslot_updates.unwrap_or_default(),
        }
    }

    /// A subscription at `processed` is one at `confirmed` here.
    fn matches(&self, status: SlotStatus, finalized: bool) -> bool {
        let commitment = match finalized {
            true => SlotStatus::SlotFinalized,
            false => SlotStatus::SlotConfirmed,
        };
        let is_commitment = matches!(
            status,
            SlotStatus::SlotProcessed | SlotStatus::SlotConfirmed | SlotStatus::SlotFinalized
        );
        (!self.by_commitment || status == commitment) && (self.interslot || is_commitment)
    }
}

impl Transactions {
    fn parse(filter: SubscribeRequestFilterTransactions) -> Result<Self, Status> {
        if filter.cuckoo_account_include.is_some() {
            return Err(no_cuckoo());
        }
        if filter.token_accounts.is_some() {
            return Err(Status::unimplemented(
                "token_accounts is not served: name the token accounts themselves",
            ));
        }
        let signature = filter
            .signature
            .map(|text| match bs58::decode(&text).into_vec() {
                Ok(signature) if signature.len() == 64 => Ok(signature),
                _ => Err(invalid(format!("`{text}` is not a signature"))),
            });
        Ok(Self {
            vote: filter.vote,
            failed: filter.failed,
            signature: signature.transpose()?,
            include: keys(&filter.account_include)?,
            exclude: keys(&filter.account_exclude)?,
            required: keys(&filter.account_required)?,
        })
    }

    fn matches(&self, transaction: &SubscribeUpdateTransactionInfo) -> bool {
        let failed = transaction
            .meta
            .as_ref()
            .is_some_and(|meta| meta.err.is_some());
        let names = |key: &Key| account_keys(transaction).any(|named| named == key);
        self.vote.is_none_or(|wanted| wanted == transaction.is_vote)
            && self.failed.is_none_or(|wanted| wanted == failed)
            && self
                .signature
                .as_ref()
                .is_none_or(|wanted| *wanted == transaction.signature)
            && (self.include.is_empty() || self.include.iter().any(names))
            && !self.exclude.iter().any(names)
            && self.required.iter().all(names)
    }
}

/// The keys in the message and those loaded from tables.
fn account_keys(transaction: &SubscribeUpdateTransactionInfo) -> impl Iterator<Item = &[u8]> {
    let message = transaction
        .transaction
        .as_ref()
        .and_then(|transaction| transaction.message.as_ref());
    let loaded = transaction.meta.iter().flat_map(|meta| {
        let writable = meta.loaded_writable_addresses.iter();
        writable.chain(&meta.loaded_readonly_addresses)
    });
    message
        .into_iter()
        .flat_map(|message| &message.account_keys)
        .chain(loaded)
        .map(Vec::as_slice)
}

/// An empty list asks for nothing.
fn holds(list: &[Key], key: &[u8]) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == key)
}

fn keys(texts: &[String]) -> Result<Vec<Key>, Status> {
    let key = |text: &String| {
        let bytes = bs58::decode(text).into_vec().ok();
        bytes
            .and_then(|bytes| Key::try_from(bytes).ok())
            .ok_or_else(|| invalid(format!("`{text}` is not an address")))
    };
    texts.iter().map(key).collect()
}

fn range(offset: u64, length: u64) -> Result<Range<usize>, Status> {
    let bounds = offset
        .checked_add(length)
        .and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    bounds.ok_or_else(|| invalid("an offset is too large"))
}

fn invalid(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

fn no_cuckoo() -> Status {
    Status::unimplemented("cuckoo filters are not served: name the accounts themselves")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yellowstone_grpc_proto::geyser::{
        SubscribeRequestAccountsDataSlice, SubscribeRequestFilterBlocks,
        SubscribeRequestFilterBlocksMeta,
    };
    use yellowstone_grpc_proto::solana::storage::confirmed_block::TransactionError;

    use super::*;
    use crate::geyser::test_data::{account, base58, sealed, transaction};

    fn accounts(filter: SubscribeRequestFilterAccounts) -> Accounts {
        Accounts::parse(filter).unwrap()
    }

    fn transactions(filter: SubscribeRequestFilterTransactions) -> Transactions {
        Transactions::parse(filter).unwrap()
    }

    fn data_filter(filter: DataFilter) -> SubscribeRequestFilterAccountsFilter {
        SubscribeRequestFilterAccountsFilter {
            filter: Some(filter),
        }
    }

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

    /// Each update's filters and, for a slot's status, the status.
    fn told(filter: &Filter, event: &Event) -> Vec<String> {
        let tell = |update: SubscribeUpdate| match update.update_oneof {
            Some(UpdateOneof::Slot(slot)) => slot.status().as_str_name().to_owned(),
            _ => update.filters.join(","),
        };
        filter.updates(event).into_iter().map(tell).collect()
    }

    #[test]
    fn an_empty_account_filter_wants_all() {
        assert!(accounts(Default::default()).matches(&account(1, 9)));
    }

    #[test]
    fn of_a_list_one_and_of_the_kinds_all() {
        let filter = accounts(SubscribeRequestFilterAccounts {
            account: vec![base58(1), base58(2)],
            owner: vec![base58(9)],
            ..Default::default()
        });
        assert!(filter.matches(&account(1, 9)));
        assert!(filter.matches(&account(2, 9)));
        assert!(!filter.matches(&account(3, 9)));
        assert!(!filter.matches(&account(1, 8)));
    }

    #[test]
    fn an_owner_filter_does_not_see_the_account_closed() {
        let filter = accounts(SubscribeRequestFilterAccounts {
            owner: vec![base58(9)],
            ..Default::default()
        });
        assert!(!filter.matches(&account(1, 0)));
    }

    #[test]
    fn bytes_size_and_lamports_must_all_hold() {
        let memcmp = |data| {
            data_filter(DataFilter::Memcmp(
                SubscribeRequestFilterAccountsFilterMemcmp {
                    offset: 1,
                    data: Some(data),
                },
            ))
        };
        let filter = |filters| {
            accounts(SubscribeRequestFilterAccounts {
                filters,
                ..Default::default()
            })
        };
        let size = |size| data_filter(DataFilter::Datasize(size));
        let lamports = |cmp| {
            data_filter(DataFilter::Lamports(
                SubscribeRequestFilterAccountsFilterLamports { cmp: Some(cmp) },
            ))
        };
        let matches = |filters| filter(filters).matches(&account(1, 9));
        assert!(matches(vec![memcmp(Data::Bytes(vec![2, 3])), size(4)]));
        assert!(matches(vec![memcmp(Data::Base64("AgM=".to_owned()))]));
        assert!(matches(vec![memcmp(Data::Base58(
            bs58::encode([2, 3]).into_string()
        ))]));
        assert!(!matches(vec![memcmp(Data::Bytes(vec![2, 3])), size(5)]));
        assert!(!matches(vec![memcmp(Data::Bytes(vec![2, 3, 4, 5]))]));
        assert!(matches(vec![
            lamports(Cmp::Gt(9)),
            lamports(Cmp::Lt(11)),
            lamports(Cmp::Eq(10))
        ]));
        assert!(!matches(vec![lamports(Cmp::Ne(10))]));
    }

    #[test]
    fn token_accounts_are_known_by_size_and_state() {
        let mut data = vec![0; 165];
        assert!(!is_token_account(&data));
        data[108] = 1;
        assert!(is_token_account(&data));
        data.extend([2, 0]);
        assert!(is_token_account(&data));
        data[165] = 1; // a mint
        assert!(!is_token_account(&data));
    }

    #[test]
    fn a_transaction_is_found_by_static_and_loaded_keys() {
        let include = |byte| {
            transactions(SubscribeRequestFilterTransactions {
                account_include: vec![base58(byte), base58(99)],
                ..Default::default()
            })
        };
        let transaction = transaction(&[1, 2], &[3]);
        assert!(include(2).matches(&transaction));
        assert!(include(3).matches(&transaction));
        assert!(!include(4).matches(&transaction));
    }

    #[test]
    fn exclude_and_required_narrow_down() {
        let filter = |exclude: &[u8], required: &[u8]| {
            transactions(SubscribeRequestFilterTransactions {
                account_exclude: exclude.iter().map(|byte| base58(*byte)).collect(),
                account_required: required.iter().map(|byte| base58(*byte)).collect(),
                ..Default::default()
            })
        };
        let transaction = transaction(&[1, 2], &[3]);
        assert!(filter(&[4], &[1, 3]).matches(&transaction));
        assert!(!filter(&[3], &[]).matches(&transaction));
        assert!(!filter(&[], &[1, 4]).matches(&transaction));
    }

    #[test]
    fn failed_vote_and_signature() {
        let mut failed = transaction(&[1], &[]);
        if let Some(meta) = &mut failed.meta {
            meta.err = Some(TransactionError { err: vec![1] });
        }
        let wants_failed = |failed| {
            transactions(SubscribeRequestFilterTransactions {
                failed: Some(failed),
                vote: Some(false),
                signature: Some(bs58::encode([7; 64]).into_string()),
                ..Default::default()
            })
        };
        assert!(wants_failed(true).matches(&failed));
        assert!(!wants_failed(false).matches(&failed));
        assert!(wants_failed(false).matches(&transaction(&[1], &[])));
    }

    #[test]
    fn confirmed_content_comes_before_meta_and_statuses() {
        let filter = Filter::parse(everything()).unwrap();
        let slot = Arc::new(sealed(31));
        assert_eq!(
            told(&filter, &Event::Confirmed(Arc::clone(&slot))),
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
        assert_eq!(told(&filter, &Event::Finalized(slot)), ["SLOT_FINALIZED"]);
    }

    #[test]
    fn finalized_content_waits() {
        let filter = Filter::parse(SubscribeRequest {
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
        let slot = Arc::new(sealed(31));
        assert!(told(&filter, &Event::Confirmed(Arc::clone(&slot))).is_empty());
        assert_eq!(
            told(&filter, &Event::Finalized(slot)),
            ["a", "t", "ts", "m", "SLOT_FINALIZED"]
        );
    }

    #[test]
    fn nothing_comes_before_from_slot() {
        let filter = Filter::parse(SubscribeRequest {
            from_slot: Some(32),
            ..everything()
        })
        .unwrap();
        assert!(told(&filter, &Event::Confirmed(Arc::new(sealed(31)))).is_empty());
        assert!(!told(&filter, &Event::Confirmed(Arc::new(sealed(32)))).is_empty());
    }

    #[test]
    fn names_of_all_matching_filters_are_sent_once() {
        let filter = Filter::parse(SubscribeRequest {
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
        let event = Event::Confirmed(Arc::new(sealed(31)));
        assert_eq!(told(&filter, &event), ["a,b"]);
    }

    #[test]
    fn slices_are_joined() {
        let slice = |offset, length| SubscribeRequestAccountsDataSlice { offset, length };
        let filter = Filter::parse(SubscribeRequest {
            accounts_data_slice: vec![slice(0, 1), slice(2, 2), slice(3, 9)],
            ..Default::default()
        })
        .unwrap();
        assert_eq!(filter.sliced(&account(1, 9)).data, [1, 3, 4]);
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let blocks = Filter::parse(SubscribeRequest {
            blocks: HashMap::from([("b".to_owned(), SubscribeRequestFilterBlocks::default())]),
            ..Default::default()
        });
        assert_eq!(blocks.unwrap_err().code(), tonic::Code::Unimplemented);
        let no_address = Filter::parse(SubscribeRequest {
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
