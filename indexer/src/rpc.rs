//! The RPC node, as far as the mirror reads it beside the stream.

mod client;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use driftshield_sdk::{Account, AccountKind, Address, ID};
use futures::{StreamExt, TryStreamExt, future::ready, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::RpcError,
    response::{Response, RpcKeyedAccount, UiAccount},
};

use crate::slot::{
    self, Blockhash, Signature, SlotError,
    rpc_block::{BlockSlot, RpcBlock, decode},
    to_i64,
};
pub use client::Rpc;
use client::{LIST, without_url};

/// Bytes with which an account's data begins, and which tell its type.
const DISCRIMINATOR_BYTES: usize = 8;
/// Most accounts of one request.
pub const MAX_ACCOUNTS: usize = 100;
/// Most slots of one request for blocks; nodes refuse more than 500,000.
const MAX_SLOTS: u64 = 100_000;
/// Most signatures of an answer.
const MAX_SIGNATURES: usize = 1_000;
/// Number of blocks that are requested at a time.
const CONCURRENT_BLOCKS: usize = 8;
/// Number of blocks that one transaction applies.
pub const BLOCK_BATCH: usize = 16;

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
    #[error(
        "the RPC node sent account {0}, which is malformed or without its data; use another node"
    )]
    MalformedAccount(String),
    #[error(
        "the RPC node is at slot {node_slot}, behind slot {min_slot} of the mirror; if it does not \
         catch up, correct --rpc-url"
    )]
    Behind { node_slot: u64, min_slot: i64 },
}

/// A transaction that names the program.
#[derive(Deserialize)]
struct Signed {
    signature: String,
    slot: u64,
    err: Option<Value>,
}

/// A successful transaction that names the program.
pub struct ProgramTransaction {
    pub slot: i64,
    pub signature: Signature,
}

impl TryFrom<&Signed> for ProgramTransaction {
    type Error = SlotError;

    fn try_from(signed: &Signed) -> Result<Self, SlotError> {
        Ok(Self {
            slot: to_i64("slot", signed.slot)?,
            signature: decode("signature", &signed.signature)?,
        })
    }
}

/// An account that the program owns.
pub struct RpcAccount {
    pub address: Address,
    pub lamports: u64,
    pub data: Vec<u8>,
}

/// The program's accounts among those that were asked for.
#[derive(Default)]
pub struct AccountsAt {
    /// The slots that the node answered with, one for each request.
    pub slots: BTreeSet<i64>,
    pub accounts: Vec<RpcAccount>,
}

/// The blockhash of each slot that a node answered with; `None` if the node has no such block.
pub type Blockhashes = BTreeMap<i64, Option<Blockhash>>;

impl AccountsAt {
    /// The accounts contain all writes up to the end of this slot.
    pub fn slot(&self) -> i64 {
        self.slots.first().copied().unwrap_or_default()
    }

    /// No account contains a write after the slot that follows this one. The node may have executed a
    /// part of that slot.
    pub fn newest_slot(&self) -> i64 {
        self.slots.last().copied().unwrap_or_default()
    }
}

impl Rpc {
    /// The confirmed slot that the node has reached.
    pub async fn slot(&self) -> Result<u64, ReadError> {
        self.send("getSlot", json!([{ "commitment": "confirmed" }]))
            .await
    }

    /// The finalized slot that the node has reached.
    pub async fn finalized_slot(&self) -> Result<u64, ReadError> {
        self.send("getSlot", json!([{ "commitment": "finalized" }]))
            .await
    }

    /// First slot whose block the node still has.
    pub async fn first_available_slot(&self) -> Result<u64, ReadError> {
        self.send("getFirstAvailableBlock", json!([])).await
    }

    /// The newest finalized transactions that name the program and were successful, newest first.
    pub async fn finalized_transactions(&self) -> Result<Vec<ProgramTransaction>, ReadError> {
        let page = self
            .signatures(json!({ "commitment": "finalized" }))
            .await?;
        let successful = page.iter().filter(|signed| signed.err.is_none());
        Ok(successful
            .map(ProgramTransaction::try_from)
            .collect::<Result<_, _>>()?)
    }

    /// Slots after `after`, up to `last`, with a successful transaction that names the program, in order.
    pub async fn program_slots(&self, after: u64, last: u64) -> Result<Vec<u64>, ReadError> {
        let mut slots = BTreeSet::new();
        let mut before: Option<String> = None;
        loop {
            let config = json!({ "before": before, "commitment": "confirmed",
                                 "minContextSlot": last });
            let page = self.signatures(config).await?;
            let successful = page.iter().filter(|signed| signed.err.is_none());
            let in_range = |slot: &u64| after < *slot && *slot <= last;
            slots.extend(successful.map(|signed| signed.slot).filter(in_range));
            match page.last() {
                // Newest first
                Some(oldest) if after < oldest.slot && page.len() == MAX_SIGNATURES => {
                    before = Some(oldest.signature.clone());
                }
                _ => return Ok(slots.into_iter().collect()),
            }
        }
    }

    async fn signatures(&self, mut config: Value) -> Result<Vec<Signed>, ReadError> {
        config["limit"] = MAX_SIGNATURES.into();
        self.send("getSignaturesForAddress", json!([ID.to_string(), config]))
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

    /// The program's parts of confirmed blocks, in the order of `slots`.
    pub async fn blocks_of(&self, slots: &[u64]) -> Result<Vec<BlockSlot>, ReadError> {
        stream::iter(slots.to_vec())
            .map(|slot| self.block(slot))
            .buffered(CONCURRENT_BLOCKS)
            .try_collect()
            .await
    }

    /// As [`Self::blocks_of`], without the blocks that the node lacks.
    pub async fn blocks_left_of(&self, slots: &[u64]) -> Result<Vec<BlockSlot>, ReadError> {
        stream::iter(slots.to_vec())
            .map(|slot| self.block(slot))
            .buffered(CONCURRENT_BLOCKS)
            .filter(|block| ready(!matches!(block, Err(ReadError::NoBlock(_)))))
            .try_collect()
            .await
    }

    /// The blockhashes of slots.
    pub async fn blockhashes(&self, slots: &BTreeSet<i64>) -> Result<Blockhashes, ReadError> {
        let mut hashes = Blockhashes::new();
        for slot in slots {
            self.add_blockhash(&mut hashes, *slot).await?;
        }
        Ok(hashes)
    }

    async fn add_blockhash(&self, hashes: &mut Blockhashes, slot: i64) -> Result<(), ReadError> {
        if let Entry::Vacant(entry) = hashes.entry(slot) {
            let hash = self.blockhash(slot.unsigned_abs()).await?;
            entry.insert(hash.as_deref().map(slot::blockhash).transpose()?);
        }
        Ok(())
    }

    /// The program's accounts among `addresses`, as of a slot that is `min_slot` or later.
    pub async fn accounts(
        &self,
        addresses: &BTreeSet<Address>,
        min_slot: i64,
    ) -> Result<AccountsAt, ReadError> {
        let addresses: Vec<_> = addresses.iter().copied().collect();
        let mut found = AccountsAt::default();
        for chunk in addresses.chunks(MAX_ACCOUNTS) {
            self.add_accounts(&mut found, chunk, min_slot).await?;
        }
        if found.slots.is_empty() {
            found.slots.insert(min_slot);
        }
        Ok(found)
    }

    /// As [`Self::accounts`], with the blockhash of each slot that the node answered with.
    pub async fn accounts_with_blockhashes(
        &self,
        addresses: &BTreeSet<Address>,
        min_slot: i64,
    ) -> Result<(AccountsAt, Blockhashes), ReadError> {
        let addresses: Vec<_> = addresses.iter().copied().collect();
        let (mut found, mut hashes) = (AccountsAt::default(), Blockhashes::new());
        for chunk in addresses.chunks(MAX_ACCOUNTS) {
            let slot = self.add_accounts(&mut found, chunk, min_slot).await?;
            // Not after all chunks: the cluster can drop the block until then, and have another one in its
            // slot.
            self.add_blockhash(&mut hashes, slot).await?;
        }
        if found.slots.is_empty() {
            found.slots.insert(min_slot);
        }
        Ok((found, hashes))
    }

    /// Adds what the node has of at most [`MAX_ACCOUNTS`] accounts. Returns the slot of the answer.
    async fn add_accounts(
        &self,
        found: &mut AccountsAt,
        addresses: &[Address],
        min_slot: i64,
    ) -> Result<i64, ReadError> {
        let keys: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let config = json!({
            "encoding": "base64",
            "commitment": "confirmed",
            "minContextSlot": min_slot,
        });
        let response: Response<Vec<Option<UiAccount>>> = self
            .send("getMultipleAccounts", json!([keys, config]))
            .await?;
        let slot = context_slot(response.context.slot, min_slot)?;
        found.slots.insert(slot);
        for (address, account) in addresses.iter().zip(response.value) {
            let own = account.filter(|account| account.owner == ID.to_string());
            if let Some(account) = own {
                found.accounts.push(RpcAccount::new(*address, &account)?);
            }
        }
        Ok(slot)
    }

    /// All accounts of a type, as of a slot that is `min_slot` or later; `None` for the accounts of no
    /// known type.
    pub async fn accounts_of(
        &self,
        kind: Option<AccountKind>,
        min_slot: i64,
    ) -> Result<AccountsAt, ReadError> {
        let Some(kind) = kind else {
            return self.unknown_accounts(min_slot).await;
        };
        let discriminator = &Account::zeroed(kind).encode()[..DISCRIMINATOR_BYTES];
        let bytes = bs58::encode(discriminator).into_string();
        let filters = json!([{ "memcmp": { "offset": 0, "bytes": bytes } }]);
        self.program_accounts(json!({ "filters": filters }), min_slot)
            .await
    }

    /// Accounts of no known type. There is no filter for them: the node sends the beginning of every
    /// account first.
    async fn unknown_accounts(&self, min_slot: i64) -> Result<AccountsAt, ReadError> {
        let slice = json!({ "dataSlice": { "offset": 0, "length": DISCRIMINATOR_BYTES } });
        let mut found = self.program_accounts(slice, min_slot).await?;
        let is_unknown = |account: &RpcAccount| AccountKind::of_data(&account.data).is_none();
        found.accounts.retain(is_unknown);
        let unknown = found.accounts.iter().map(|account| account.address);
        let mut whole = self.accounts(&unknown.collect(), found.slot()).await?;
        whole.slots.extend(found.slots);
        Ok(whole)
    }

    async fn program_accounts(
        &self,
        mut config: Value,
        min_slot: i64,
    ) -> Result<AccountsAt, ReadError> {
        config["encoding"] = "base64".into();
        config["commitment"] = "confirmed".into();
        config["withContext"] = true.into();
        config["minContextSlot"] = min_slot.into();
        let response: Response<Vec<RpcKeyedAccount>> =
            self.send(LIST, json!([ID.to_string(), config])).await?;
        let slot = context_slot(response.context.slot, min_slot)?;
        let accounts = response.value.into_iter().map(|keyed| {
            let malformed = |_| ReadError::MalformedAccount(keyed.pubkey.clone());
            RpcAccount::new(keyed.pubkey.parse().map_err(malformed)?, &keyed.account)
        });
        Ok(AccountsAt {
            slots: [slot].into(),
            accounts: accounts.collect::<Result<_, _>>()?,
        })
    }
}

impl RpcAccount {
    fn new(address: Address, account: &UiAccount) -> Result<Self, ReadError> {
        let data = account.data.decode();
        Ok(Self {
            address,
            lamports: account.lamports,
            data: data.ok_or_else(|| ReadError::MalformedAccount(address.to_string()))?,
        })
    }
}

/// The slot of an answer. Some nodes don't heed the minimum.
fn context_slot(node_slot: u64, min_slot: i64) -> Result<i64, ReadError> {
    match i64::try_from(node_slot) {
        Ok(slot) if min_slot <= slot => Ok(slot),
        _ => Err(ReadError::Behind {
            node_slot,
            min_slot,
        }),
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
