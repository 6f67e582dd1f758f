//! Client of an RPC node: reads accounts of the program, mints, token accounts and the clock.

use std::time::Duration;

use anchor_lang::{AccountDeserialize, Address, Discriminator, wincode};
use solana_clock::Clock;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    config::{RpcAccountInfoConfig, RpcProgramAccountsConfig},
    filter::{Memcmp, RpcFilterType},
    response::UiAccountEncoding,
};

use super::error::Error;
use crate::{
    DecodeError, ID, TokenProgram, json,
    token::{TokenAccount, mint_decimals},
};

/// Timeout of one RPC request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Client of one RPC node.
pub struct Client {
    pub(super) rpc: RpcClient,
    #[cfg(feature = "send")]
    pub(super) priority_fee: u64,
}

impl Client {
    pub fn new(url: String) -> Self {
        Self::with_timeout(url, TIMEOUT)
    }

    /// A client whose requests may take this long each.
    pub fn with_timeout(url: String, timeout: Duration) -> Self {
        let commitment = CommitmentConfig::confirmed();
        Self {
            rpc: RpcClient::new_with_timeout_and_commitment(url, timeout, commitment),
            #[cfg(feature = "send")]
            priority_fee: 0,
        }
    }

    /// Transactions of the client pay this priority fee, in micro-lamports per compute unit of their
    /// limit. By default they pay none.
    #[cfg(feature = "send")]
    pub fn with_priority_fee(self, priority_fee: u64) -> Self {
        Self {
            priority_fee,
            ..self
        }
    }

    /// The underlying RPC client, for requests that this type does not cover.
    #[cfg(feature = "send")]
    pub fn rpc(&self) -> &RpcClient {
        &self.rpc
    }

    /// Latest slot of the node.
    pub async fn slot(&self) -> Result<u64, Error> {
        Ok(self.rpc.get_slot().await?)
    }

    /// Owner and data of an account; `None` if the account does not exist.
    async fn account(&self, address: &Address) -> Result<Option<(Address, Vec<u8>)>, Error> {
        let commitment = CommitmentConfig::confirmed();
        let response = self
            .rpc
            .get_account_with_commitment(address, commitment)
            .await?;
        let account = response.value.filter(|account| account.lamports > 0);
        Ok(account.map(|account| (account.owner, account.data)))
    }

    async fn existing_account(&self, address: &Address) -> Result<(Address, Vec<u8>), Error> {
        let account = self.account(address).await?;
        account.ok_or(Error::AccountNotFound(*address))
    }

    /// Reads one account of the program; `None` if it does not exist. Fails if the account belongs
    /// to another program or has another type.
    pub async fn find<T>(&self, address: &Address) -> Result<Option<T>, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let Some((owner, data)) = self.account(address).await? else {
            return Ok(None);
        };
        decode_owned(*address, &owner, &data).map(Some)
    }

    /// Reads one account of the program. Fails if it does not exist.
    pub async fn get<T>(&self, address: &Address) -> Result<T, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let account = self.find(address).await?;
        account.ok_or(Error::AccountNotFound(*address))
    }

    /// Reads all accounts of one type whose fields hold the given keys. A field is identified by
    /// its offset in the struct, for example `offset_of!(Position, market)`.
    pub async fn list<T>(&self, keys: &[(usize, Address)]) -> Result<Vec<(Address, T)>, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let memcmp =
            |offset, bytes: &[u8]| RpcFilterType::Memcmp(Memcmp::new_base58_encoded(offset, bytes));
        let body = T::DISCRIMINATOR.len();
        let filters = std::iter::once(memcmp(0, T::DISCRIMINATOR))
            .chain(keys.iter().map(|(at, key)| memcmp(body + at, key.as_ref())))
            .collect();
        let config = RpcProgramAccountsConfig {
            filters: Some(filters),
            account_config: RpcAccountInfoConfig {
                encoding: Some(UiAccountEncoding::Base64),
                ..Default::default()
            },
            ..Default::default()
        };
        let accounts = self
            .rpc
            .get_program_ui_accounts_with_config(&ID, config)
            .await?;
        accounts
            .into_iter()
            .map(|(address, account)| {
                let data = account.data.decode();
                let data = data.ok_or(Error::IncompleteResponse("an account's data"))?;
                Ok((address, decode(address, &data)?))
            })
            .collect()
    }

    /// The cluster's time in unix seconds, from the same clock that the program reads.
    pub async fn unix_timestamp(&self) -> Result<i64, Error> {
        let (_, data) = self.existing_account(&solana_clock::sysvar::ID).await?;
        decode_clock(&data)
    }

    /// Decimals of a mint.
    pub async fn decimals(&self, mint: &Address) -> Result<u8, Error> {
        let (_, data) = self.existing_account(mint).await?;
        mint_decimals(&data).ok_or(Error::NotAMint(*mint))
    }

    /// The token program that owns a mint.
    pub async fn token_program(&self, mint: &Address) -> Result<TokenProgram, Error> {
        let (owner, _) = self.existing_account(mint).await?;
        [TokenProgram::SplToken, TokenProgram::Token2022]
            .into_iter()
            .find(|program| program.id() == owner)
            .ok_or(Error::NotAMint(*mint))
    }

    /// Reads a token account; `None` if it does not exist.
    pub async fn token_account(&self, address: &Address) -> Result<Option<TokenAccount>, Error> {
        let Some((_, data)) = self.account(address).await? else {
            return Ok(None);
        };
        let account = TokenAccount::decode(&data);
        account.map(Some).ok_or(Error::NotATokenAccount(*address))
    }

    /// Balance of a token account in base units; 0 if the account does not exist.
    pub async fn token_balance(&self, token_account: &Address) -> Result<u64, Error> {
        let account = self.token_account(token_account).await?;
        Ok(account.map_or(0, |account| account.amount))
    }
}

/// The time in the data of the clock's account, in unix seconds.
pub(super) fn decode_clock(data: &[u8]) -> Result<i64, Error> {
    let clock: Clock = wincode::deserialize(data)
        .map_err(|_| Error::IncompleteResponse("the fields of the clock"))?;
    Ok(clock.unix_timestamp)
}

/// Decodes an account of the program. Fails if another program owns it, or if it has another type.
pub(super) fn decode_owned<T>(address: Address, owner: &Address, data: &[u8]) -> Result<T, Error>
where
    T: AccountDeserialize + Discriminator,
{
    if *owner != ID {
        return Err(Error::WrongOwner(address));
    }
    decode(address, data)
}

fn decode<T>(address: Address, data: &[u8]) -> Result<T, Error>
where
    T: AccountDeserialize + Discriminator,
{
    let undecodable = |error| Error::Decode { address, error };
    let discriminator = crate::discriminator(data).map_err(undecodable)?;
    if discriminator != T::DISCRIMINATOR {
        let found = json::account_name(&discriminator);
        return Err(match (found, json::account_name(T::DISCRIMINATOR)) {
            (Some(found), Some(expected)) => Error::WrongType {
                address,
                found,
                expected,
            },
            _ => undecodable(DecodeError::Unknown(discriminator)),
        });
    }
    T::try_deserialize(&mut &data[..]).map_err(|_| undecodable(DecodeError::Malformed("account")))
}
