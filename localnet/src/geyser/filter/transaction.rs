//! Filters for transactions and transaction statuses.

use tonic::Status;
use yellowstone_grpc_proto::geyser::{
    SubscribeRequestFilterTransactions, SubscribeUpdateTransactionInfo,
};

use super::parse::{self, AddressBytes};

#[derive(Debug)]
pub struct TransactionFilter {
    vote: Option<bool>,
    failed: Option<bool>,
    signature: Option<Vec<u8>>,
    /// The transaction must have one of these keys, unless the list is empty.
    include: Vec<AddressBytes>,
    /// The transaction must have none of these keys.
    exclude: Vec<AddressBytes>,
    /// The transaction must have all of these keys.
    required: Vec<AddressBytes>,
}

impl TransactionFilter {
    pub fn parse(filter: SubscribeRequestFilterTransactions) -> Result<Self, Status> {
        if filter.cuckoo_account_include.is_some() {
            return Err(parse::unsupported_cuckoo_filter());
        }
        if filter.token_accounts.is_some() {
            return Err(Status::unimplemented(
                "`token_accounts` is not supported: list the token accounts instead",
            ));
        }
        let signature = filter
            .signature
            .map(|text| match bs58::decode(&text).into_vec() {
                Ok(signature) if signature.len() == 64 => Ok(signature),
                _ => Err(parse::invalid(format!(
                    "`{text}` is not a signature: pass 64 bytes in base58"
                ))),
            });
        Ok(Self {
            vote: filter.vote,
            failed: filter.failed,
            signature: signature.transpose()?,
            include: parse::addresses(&filter.account_include)?,
            exclude: parse::addresses(&filter.account_exclude)?,
            required: parse::addresses(&filter.account_required)?,
        })
    }

    pub fn matches(&self, transaction: &SubscribeUpdateTransactionInfo) -> bool {
        let failed = transaction
            .meta
            .as_ref()
            .is_some_and(|meta| meta.err.is_some());
        let has_key = |key: &AddressBytes| account_keys(transaction).any(|found| found == key);
        self.vote.is_none_or(|wanted| wanted == transaction.is_vote)
            && self.failed.is_none_or(|wanted| wanted == failed)
            && self
                .signature
                .as_ref()
                .is_none_or(|wanted| *wanted == transaction.signature)
            && (self.include.is_empty() || self.include.iter().any(has_key))
            && !self.exclude.iter().any(has_key)
            && self.required.iter().all(has_key)
    }
}

/// The static account keys of a transaction, and those loaded from address lookup tables.
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

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::solana::storage::confirmed_block::TransactionError;

    use super::*;
    use crate::geyser::test_data::{base58, transaction};

    fn filter(filter: SubscribeRequestFilterTransactions) -> TransactionFilter {
        TransactionFilter::parse(filter).unwrap()
    }

    #[test]
    fn include_matches_static_and_loaded_keys() {
        let include = |byte| {
            filter(SubscribeRequestFilterTransactions {
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
    fn exclude_and_required_restrict_the_match() {
        let with = |exclude: &[u8], required: &[u8]| {
            filter(SubscribeRequestFilterTransactions {
                account_exclude: exclude.iter().map(|byte| base58(*byte)).collect(),
                account_required: required.iter().map(|byte| base58(*byte)).collect(),
                ..Default::default()
            })
        };
        let transaction = transaction(&[1, 2], &[3]);
        assert!(with(&[4], &[1, 3]).matches(&transaction));
        assert!(!with(&[3], &[]).matches(&transaction));
        assert!(!with(&[], &[1, 4]).matches(&transaction));
    }

    #[test]
    fn failed_vote_and_signature_must_all_match() {
        let mut failed = transaction(&[1], &[]);
        if let Some(meta) = &mut failed.meta {
            meta.err = Some(TransactionError { err: vec![1] });
        }
        let wants_failed = |failed| {
            filter(SubscribeRequestFilterTransactions {
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
}
