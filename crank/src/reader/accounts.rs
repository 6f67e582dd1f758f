//! Fetching and decoding of accounts by address.

use anchor_lang::Address;
use anyhow::{Context, Result, ensure};
use driftshield_sdk::{Account, rpc::Client};
use futures::future::try_join_all;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{
    config::RpcAccountInfoConfig,
    response::{UiAccount, UiAccountEncoding},
};

/// Maximum number of accounts that one `getMultipleAccounts` call returns.
const MAX_ACCOUNTS_PER_CALL: usize = 100;

/// Fetches the data of accounts, in the order of `addresses`; `None` for an account that does not
/// exist or is empty. Fails if the node answers from a slot before `min_slot`.
pub async fn fetch(
    client: &Client,
    addresses: &[Address],
    min_slot: u64,
) -> Result<Vec<Option<Vec<u8>>>> {
    let config = || RpcAccountInfoConfig {
        encoding: Some(UiAccountEncoding::Base64),
        commitment: Some(CommitmentConfig::confirmed()),
        ..Default::default()
    };
    let calls = addresses.chunks(MAX_ACCOUNTS_PER_CALL).map(|chunk| {
        let rpc = client.rpc();
        rpc.get_multiple_ui_accounts_with_config(chunk, config())
    });
    let mut accounts = Vec::with_capacity(addresses.len());
    for response in try_join_all(calls).await? {
        ensure!(
            min_slot <= response.context.slot,
            "the RPC node answered from slot {}, older than its blockhash of slot {min_slot}; use \
             a single node, not a pool",
            response.context.slot
        );
        accounts.extend(response.value);
    }
    ensure!(
        accounts.len() == addresses.len(),
        "the RPC node returned {} of {} accounts",
        accounts.len(),
        addresses.len()
    );
    let data = |account: Option<UiAccount>| {
        let account = account.filter(|account| 0 < account.lamports)?;
        account.data.decode().filter(|data| !data.is_empty())
    };
    Ok(accounts.into_iter().map(data).collect())
}

pub fn decode(data: &[u8]) -> Result<Account> {
    Account::decode(data).context("could not decode an account of the program")
}

pub fn without_addresses<T>(accounts: Vec<(Address, T)>) -> Vec<T> {
    accounts.into_iter().map(|(_, account)| account).collect()
}
