//! The RPC node, as far as the mirror reads it beside the stream.

use std::{collections::BTreeSet, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use driftshield_sdk::{Address, ID};
use metrics::counter;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::{RpcError, RpcRequest},
    response::{Response, UiAccount},
};

use crate::{
    error_chain::error_chain,
    metrics::RPC_REQUESTS,
    slot::{
        SlotError,
        rpc_block::{BlockSlot, RpcBlock},
    },
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Most accounts of one request.
pub const MAX_ACCOUNTS: usize = 100;
/// Most slots of one request for blocks; nodes refuse more than 500,000.
const MAX_SLOTS: u64 = 100_000;
/// Number of retries after the node refused a request because of its rate, or failed.
const MAX_RETRIES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("RPC request {method} failed; check --rpc-url: {}", without_url(.error))]
    Request {
        method: &'static str,
        error: Box<ClientError>,
    },
    #[error("the RPC node no longer has the block of slot {0}")]
    NoBlock(u64),
    #[error("RPC node: {0}")]
    Slot(#[from] SlotError),
    #[error("the RPC node sent a malformed account")]
    MalformedAccount,
}

/// An account on chain. `None` if it doesn't exist or belongs to another program.
pub type FoundAccount = Option<(u64, Vec<u8>)>;

/// Accounts at the end of a slot, or later.
pub struct AccountsAt {
    pub slot: i64,
    pub accounts: Vec<(Address, FoundAccount)>,
}

/// Client of an RPC node, at confirmed commitment.
pub struct Rpc(RpcClient);

impl Rpc {
    pub fn new(url: &str) -> Self {
        Self(RpcClient::new_with_timeout(url.to_owned(), REQUEST_TIMEOUT))
    }

    /// The client, for requests that this type doesn't have.
    pub fn client(&self) -> &RpcClient {
        &self.0
    }

    /// Sends a request; retries it if the node or the network fails, or refuses its rate.
    async fn send<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, ReadError> {
        let send = || async {
            let sent = self.0.send(RpcRequest::Custom { method }, params.clone());
            count(method, sent.await).map_err(Box::new)
        };
        let retries = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .with_max_times(MAX_RETRIES);
        send.retry(retries)
            .when(|error| !is_answer(error))
            .notify(|error, _| {
                let error = without_url(error);
                tracing::debug!(method, error, "RPC request failed; retrying");
            })
            .await
            .map_err(|error| ReadError::Request { method, error })
    }

    /// The confirmed slot that the node has reached.
    pub async fn slot(&self) -> Result<u64, ReadError> {
        self.send("getSlot", json!([{ "commitment": "confirmed" }]))
            .await
    }

    /// Slots with a confirmed block in the range, both inclusive, in order.
    pub async fn blocks(&self, first: u64, last: u64) -> Result<Vec<u64>, ReadError> {
        let mut slots = vec![];
        let mut from = first;
        while from <= last {
            let to = last.min(from + MAX_SLOTS - 1);
            let config = json!({ "commitment": "confirmed" });
            slots.extend(
                self.send::<Vec<u64>>("getBlocks", json!([from, to, config]))
                    .await?,
            );
            from = to + 1;
        }
        Ok(slots)
    }

    /// The program's part of a confirmed block.
    pub async fn block(&self, slot: u64) -> Result<BlockSlot, ReadError> {
        let config = json!({
            "encoding": "json",
            "transactionDetails": "full",
            "rewards": false,
            "commitment": "confirmed",
            // All versions: the JSON form of a message has the same fields in each.
            "maxSupportedTransactionVersion": u8::MAX,
        });
        match self.send("getBlock", json!([slot, config])).await {
            Ok(Some(block)) => Ok(RpcBlock::into_slot(block, slot)?),
            Ok(None) => Err(ReadError::NoBlock(slot)),
            Err(ReadError::Request { error, .. }) if is_missing_block(&error) => {
                Err(ReadError::NoBlock(slot))
            }
            Err(error) => Err(error),
        }
    }

    /// Hash of the confirmed block of a slot; `None` if the slot has none.
    pub async fn blockhash(&self, slot: u64) -> Result<Option<String>, ReadError> {
        #[derive(Deserialize)]
        struct Block {
            blockhash: String,
        }
        let config = json!({
            "transactionDetails": "none",
            "rewards": false,
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": u8::MAX,
        });
        match self
            .send::<Option<Block>>("getBlock", json!([slot, config]))
            .await
        {
            Ok(block) => Ok(block.map(|block| block.blockhash)),
            Err(ReadError::Request { error, .. }) if is_missing_block(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The program's accounts among `addresses`, as of a slot that is `min_slot` or later.
    pub async fn accounts(
        &self,
        addresses: &BTreeSet<Address>,
        min_slot: i64,
    ) -> Result<AccountsAt, ReadError> {
        let addresses: Vec<_> = addresses.iter().copied().collect();
        let mut found = AccountsAt {
            slot: min_slot,
            accounts: Vec::with_capacity(addresses.len()),
        };
        for addresses in addresses.chunks(MAX_ACCOUNTS) {
            let keys: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let config = json!({
                "encoding": "base64",
                "commitment": "confirmed",
                "minContextSlot": min_slot,
            });
            let response: Response<Vec<Option<UiAccount>>> = self
                .send("getMultipleAccounts", json!([keys, config]))
                .await?;
            let slot = i64::try_from(response.context.slot).unwrap_or(i64::MAX);
            found.slot = found.slot.max(slot);
            for (address, account) in addresses.iter().zip(response.value) {
                found.accounts.push((*address, own_account(account)?));
            }
        }
        Ok(found)
    }
}

/// Counts a request by its result, which it returns.
pub fn count<T>(method: &'static str, sent: Result<T, ClientError>) -> Result<T, ClientError> {
    let result = if sent.is_ok() { "ok" } else { "error" };
    counter!(RPC_REQUESTS, "method" => method, "result" => result).increment(1);
    sent
}

/// The error with its causes, without the node's URL, which can contain an access key.
pub fn without_url(error: &ClientError) -> String {
    const URL: &str = " for url (";
    let mut rest = error_chain(error);
    let mut message = String::new();
    while let Some(start) = rest.find(URL) {
        message.push_str(&rest[..start]);
        // A URL has no space. It ends with the message, or with a parenthesis and a colon.
        let url = rest.split_off(start + URL.len());
        rest = url
            .find("): ")
            .map_or(String::new(), |end| url[end + 1..].to_owned());
    }
    message + &rest
}

/// The account's lamports and data; `None` if it belongs to another program.
fn own_account(account: Option<UiAccount>) -> Result<FoundAccount, ReadError> {
    let Some(account) = account.filter(|account| account.owner == ID.to_string()) else {
        return Ok(None);
    };
    let data = account.data.decode().ok_or(ReadError::MalformedAccount)?;
    Ok(Some((account.lamports, data)))
}

/// Whether the error is the node's answer to the request, so that a retry gets the same. A node that
/// is behind answers otherwise later.
fn is_answer(error: &ClientError) -> bool {
    const BEHIND: i64 = -32016; // minimum context slot not reached
    const UNHEALTHY: i64 = -32005;
    const NOT_YET: i64 = -32004; // block not available for slot
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, .. }) => {
            ![BEHIND, UNHEALTHY, NOT_YET].contains(code)
        }
        _ => false,
    }
}

/// Whether the node says that it has no block of the slot.
fn is_missing_block(error: &ClientError) -> bool {
    // Cleaned up, not available, skipped, skipped in long-term storage, not in long-term storage
    const MISSING: [i64; 5] = [-32001, -32004, -32007, -32009, -32011];
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => {
            MISSING.contains(code) || message.contains("slot too old")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_keep_the_url_secret_and_name_the_cause() {
        // Nothing listens on port 1.
        let url = "http://user:secret@127.0.0.1:1/path?api-key=secret";
        let client = RpcClient::new(url.to_owned());
        let error = client.get_slot().await.expect_err("refused");
        assert!(error.to_string().contains("secret"));
        let message = without_url(&error);
        assert!(!message.contains("secret"), "{message}");
        assert!(message.contains("refused"), "{message}");
        let error = ReadError::Request {
            method: "getSlot",
            error: Box::new(error),
        };
        assert!(!error_chain(&error).contains("secret"));
        let error = crate::snapshot::read(&client, 0).await.err();
        let message = error_chain(&error.expect("refused"));
        assert!(!message.contains("secret"), "{message}");
    }
}
