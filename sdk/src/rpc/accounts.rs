//! Several accounts, read together in one state of the chain.

use std::collections::HashMap;

use anchor_lang::{AccountDeserialize, Address, Discriminator};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{config::RpcAccountInfoConfig, response::UiAccountEncoding};

use super::{
    CLOCK,
    client::{Client, decode_clock, decode_owned},
    error::Error,
};
use crate::token::TokenAccount;

/// Most accounts that a node returns at once.
const MAX_ACCOUNTS: usize = 100;

/// Accounts as of one slot.
#[derive(Debug)]
pub struct Accounts {
    pub slot: u64,
    found: HashMap<Address, Found>,
}

#[derive(Debug)]
struct Found {
    owner: Address,
    data: Vec<u8>,
    lamports: u64,
}

impl Client {
    /// Reads at most 100 accounts in one request. Fails if the node has not reached `min_slot`.
    pub async fn accounts(
        &self,
        addresses: &[Address],
        min_slot: Option<u64>,
    ) -> Result<Accounts, Error> {
        debug_assert!(addresses.len() <= MAX_ACCOUNTS);
        let config = RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64),
            commitment: Some(CommitmentConfig::confirmed()),
            min_context_slot: min_slot,
            ..Default::default()
        };
        let response = self
            .rpc
            .get_multiple_ui_accounts_with_config(addresses, config)
            .await?;
        if response.value.len() != addresses.len() {
            return Err(Error::IncompleteResponse("some of the accounts"));
        }
        let mut found = HashMap::new();
        for (address, account) in addresses.iter().zip(response.value) {
            let Some(account) = account.filter(|account| 0 < account.lamports) else {
                continue;
            };
            let data = account.data.decode();
            let data = data.ok_or(Error::IncompleteResponse("an account's data"))?;
            let owner = account.owner.parse::<Address>();
            let owner = owner.map_err(|_| Error::IncompleteResponse("an account's owner"))?;
            let lamports = account.lamports;
            found.insert(
                *address,
                Found {
                    owner,
                    data,
                    lamports,
                },
            );
        }
        Ok(Accounts {
            slot: response.context.slot,
            found,
        })
    }
}

impl Accounts {
    /// Whether the account exists.
    pub fn contains(&self, address: &Address) -> bool {
        self.found.contains_key(address)
    }

    /// Lamports of an account; 0 if it does not exist.
    pub fn lamports(&self, address: &Address) -> u64 {
        self.found.get(address).map_or(0, |found| found.lamports)
    }

    /// Decodes an account of the program; `None` if it does not exist. Fails if it belongs to another
    /// program or has another type.
    pub fn find<T>(&self, address: &Address) -> Result<Option<T>, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let found = self.found.get(address);
        found
            .map(|found| decode_owned(*address, &found.owner, &found.data))
            .transpose()
    }

    /// Decodes an account of the program. Fails if it does not exist.
    pub fn get<T>(&self, address: &Address) -> Result<T, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let account = self.find(address)?;
        account.ok_or(Error::AccountNotFound(*address))
    }

    /// Decodes a token account; `None` if it does not exist.
    pub fn token_account(&self, address: &Address) -> Result<Option<TokenAccount>, Error> {
        let Some(found) = self.found.get(address) else {
            return Ok(None);
        };
        let account = TokenAccount::decode(&found.data);
        account.map(Some).ok_or(Error::NotATokenAccount(*address))
    }

    /// The cluster's time in unix seconds. [`CLOCK`] must be among the accounts.
    pub fn unix_timestamp(&self) -> Result<i64, Error> {
        let clock = self.found.get(&CLOCK);
        let clock = clock.ok_or(Error::AccountNotFound(CLOCK))?;
        decode_clock(&clock.data)
    }
}
