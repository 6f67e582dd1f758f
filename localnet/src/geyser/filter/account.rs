//! Filters for accounts.

use base64::{Engine, prelude::BASE64_STANDARD};
use spl_token_2022_interface::{
    generic_token_account::GenericTokenAccount, state::Account as TokenAccount,
};
use tonic::Status;
use yellowstone_grpc_proto::geyser::{
    SubscribeRequestFilterAccounts, SubscribeRequestFilterAccountsFilter,
    SubscribeRequestFilterAccountsFilterLamports, SubscribeRequestFilterAccountsFilterMemcmp,
    SubscribeUpdateAccountInfo, subscribe_request_filter_accounts_filter::Filter as DataFilter,
    subscribe_request_filter_accounts_filter_lamports::Cmp,
    subscribe_request_filter_accounts_filter_memcmp::Data,
};

use super::parse::{self, AddressBytes};

#[derive(Debug)]
pub struct AccountFilter {
    addresses: Vec<AddressBytes>,
    owners: Vec<AddressBytes>,
    conditions: Vec<Condition>,
    nonempty_txn_signature: Option<bool>,
}

/// A condition on an account's data or balance.
#[derive(Debug)]
enum Condition {
    Bytes {
        offset: usize,
        bytes: Vec<u8>,
    },
    Size(u64),
    /// An initialized token account of either token program, with or without extensions.
    TokenAccount,
    Lamports(Cmp),
}

impl AccountFilter {
    pub fn parse(filter: SubscribeRequestFilterAccounts) -> Result<Self, Status> {
        if filter.cuckoo_accounts_filter.is_some() {
            return Err(parse::unsupported_cuckoo_filter());
        }
        Ok(Self {
            addresses: parse::addresses(&filter.account)?,
            owners: parse::addresses(&filter.owner)?,
            conditions: filter
                .filters
                .into_iter()
                .map(Condition::parse)
                .collect::<Result<_, _>>()?,
            nonempty_txn_signature: filter.nonempty_txn_signature,
        })
    }

    pub fn matches(&self, account: &SubscribeUpdateAccountInfo) -> bool {
        is_listed(&self.addresses, &account.pubkey)
            && is_listed(&self.owners, &account.owner)
            && self
                .conditions
                .iter()
                .all(|condition| condition.matches(account))
            && self
                .nonempty_txn_signature
                .is_none_or(|wanted| wanted == account.txn_signature.is_some())
    }
}

impl Condition {
    fn parse(filter: SubscribeRequestFilterAccountsFilter) -> Result<Self, Status> {
        match filter.filter {
            Some(DataFilter::Memcmp(memcmp)) => Self::parse_memcmp(memcmp),
            Some(DataFilter::Datasize(size)) => Ok(Self::Size(size)),
            Some(DataFilter::TokenAccountState(true)) => Ok(Self::TokenAccount),
            Some(DataFilter::TokenAccountState(false)) => {
                Err(parse::invalid("token_account_state must be true"))
            }
            Some(DataFilter::Lamports(SubscribeRequestFilterAccountsFilterLamports {
                cmp: Some(cmp),
            })) => Ok(Self::Lamports(cmp)),
            Some(DataFilter::Lamports(_)) => Err(parse::invalid(
                "a lamports filter has no comparison: set eq, ne, lt or gt",
            )),
            None => Err(parse::invalid(
                "an account filter is empty: set a condition or omit the filter",
            )),
        }
    }

    fn parse_memcmp(memcmp: SubscribeRequestFilterAccountsFilterMemcmp) -> Result<Self, Status> {
        let bytes = match memcmp.data {
            Some(Data::Bytes(bytes)) => bytes,
            Some(Data::Base58(text)) => bs58::decode(&text)
                .into_vec()
                .map_err(|error| parse::invalid(format!("memcmp base58 `{text}`: {error}")))?,
            Some(Data::Base64(text)) => BASE64_STANDARD
                .decode(&text)
                .map_err(|error| parse::invalid(format!("memcmp base64 `{text}`: {error}")))?,
            None => {
                return Err(parse::invalid(
                    "a memcmp filter has no data: set bytes, base58 or base64",
                ));
            }
        };
        let offset = parse::range(memcmp.offset, bytes.len() as u64)?.start;
        Ok(Self::Bytes { offset, bytes })
    }

    fn matches(&self, account: &SubscribeUpdateAccountInfo) -> bool {
        match self {
            Self::Bytes { offset, bytes } => account
                .data
                .get(*offset..)
                .is_some_and(|data| data.starts_with(bytes)),
            Self::Size(size) => account.data.len() as u64 == *size,
            Self::TokenAccount => TokenAccount::valid_account_data(&account.data),
            Self::Lamports(Cmp::Eq(lamports)) => account.lamports == *lamports,
            Self::Lamports(Cmp::Ne(lamports)) => account.lamports != *lamports,
            Self::Lamports(Cmp::Lt(lamports)) => account.lamports < *lamports,
            Self::Lamports(Cmp::Gt(lamports)) => account.lamports > *lamports,
        }
    }
}

/// Whether a list contains an address. True for an empty list.
fn is_listed(list: &[AddressBytes], address: &[u8]) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geyser::test_data::{account, base58};

    fn filter(filter: SubscribeRequestFilterAccounts) -> AccountFilter {
        AccountFilter::parse(filter).unwrap()
    }

    fn data_filter(filter: DataFilter) -> SubscribeRequestFilterAccountsFilter {
        SubscribeRequestFilterAccountsFilter {
            filter: Some(filter),
        }
    }

    #[test]
    fn an_empty_filter_matches_all() {
        assert!(filter(Default::default()).matches(&account(1, 9)));
    }

    #[test]
    fn one_of_each_list_must_match() {
        let filter = filter(SubscribeRequestFilterAccounts {
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
    fn an_owner_filter_misses_the_closing_write() {
        let filter = filter(SubscribeRequestFilterAccounts {
            owner: vec![base58(9)],
            ..Default::default()
        });
        assert!(!filter.matches(&account(1, 0)));
    }

    #[test]
    fn data_size_and_lamports_must_all_match() {
        let memcmp = |data| {
            data_filter(DataFilter::Memcmp(
                SubscribeRequestFilterAccountsFilterMemcmp {
                    offset: 1,
                    data: Some(data),
                },
            ))
        };
        let with = |filters| {
            filter(SubscribeRequestFilterAccounts {
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
        let matches = |filters| with(filters).matches(&account(1, 9));
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
    fn token_accounts_are_recognized_by_size_and_state() {
        let matches = |data: &[u8]| {
            Condition::TokenAccount.matches(&SubscribeUpdateAccountInfo {
                data: data.to_vec(),
                ..account(1, 9)
            })
        };
        let mut data = vec![0; 165];
        assert!(!matches(&data));
        data[108] = 1;
        assert!(matches(&data));
        data.extend([2, 0]);
        assert!(matches(&data));
        data[165] = 1; // a mint
        assert!(!matches(&data));
    }
}
