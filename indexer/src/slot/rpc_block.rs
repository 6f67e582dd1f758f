//! Blocks from an RPC node, as `getBlock` returns them with full transactions in JSON.
//!
//! The types name only what the mirror needs. The client library's types would refuse a block in which
//! any transaction failed with an error that they don't know.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use driftshield_sdk::{Address, ID};
use serde::Deserialize;
use serde_json::Value;

use super::{
    SealedSlot, Signature, SlotError, blockhash, bytes, to_i64,
    transaction::{ExecutedTransaction, InnerInstructions, WritableKeys},
};

/// Most of a block's transactions are votes, and they change no account of another program.
const VOTE_PROGRAM: &str = "Vote111111111111111111111111111111111111111";

/// A confirmed block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcBlock {
    pub blockhash: String,
    previous_blockhash: String,
    pub parent_slot: u64,
    block_time: Option<i64>,
    transactions: Vec<RpcTransaction>,
}

#[derive(Deserialize)]
struct RpcTransaction {
    transaction: Transaction,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Transaction {
    signatures: Vec<String>,
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    header: Header,
    account_keys: Vec<String>,
    #[serde(default)]
    instructions: Vec<OuterInstruction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OuterInstruction {
    program_id_index: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    num_required_signatures: usize,
    num_readonly_signed_accounts: usize,
    num_readonly_unsigned_accounts: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    err: Option<Value>,
    post_balances: Vec<u64>,
    inner_instructions: Option<Vec<Inner>>,
    loaded_addresses: Option<LoadedAddresses>,
}

#[derive(Deserialize)]
struct Inner {
    index: u64,
    instructions: Vec<Instruction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instruction {
    program_id_index: usize,
    /// Base58.
    data: String,
}

#[derive(Default, Deserialize)]
struct LoadedAddresses {
    writable: Vec<String>,
    readonly: Vec<String>,
}

/// A slot as its block shows it: with all events, but without the contents of accounts.
pub struct BlockSlot {
    pub sealed: SealedSlot,
    /// Accounts that transactions with the program may have changed.
    pub touched: BTreeSet<Address>,
    /// Accounts that other transactions may have changed: anybody can send lamports to an account of the
    /// program.
    pub others: BTreeSet<Address>,
    /// Lamports at the end of the slot of all these accounts.
    pub lamports: BTreeMap<Address, u64>,
}

impl RpcBlock {
    /// The program's part of the block of `slot`.
    pub fn into_slot(self, slot: u64) -> Result<BlockSlot, SlotError> {
        let (mut events, mut emptied) = (vec![], BTreeSet::new());
        let (mut touched, mut others) = (BTreeSet::new(), BTreeSet::new());
        let mut lamports = BTreeMap::new();
        for (index, transaction) in self.transactions.into_iter().enumerate() {
            let Some(transaction) = transaction.execute(slot, index as u64)? else {
                continue;
            };
            lamports.extend(transaction.written_lamports());
            if !transaction.keys.contains(&ID) {
                others.extend(transaction.writable_keys());
                continue;
            }
            events.extend(transaction.events()?);
            emptied.extend(transaction.emptied_accounts());
            touched.extend(transaction.writable_keys());
        }
        let sealed = SealedSlot {
            slot: to_i64("slot", slot)?,
            blockhash: blockhash(&self.blockhash)?,
            parent_slot: to_i64("slot", self.parent_slot)?,
            parent_blockhash: blockhash(&self.previous_blockhash)?,
            block_time: self
                .block_time
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            writes: vec![],
            emptied,
            events,
        };
        Ok(BlockSlot {
            sealed,
            touched,
            others,
            lamports,
        })
    }
}

impl RpcTransaction {
    /// `None` if the transaction failed or does nothing but vote.
    fn execute(self, slot: u64, index: u64) -> Result<Option<ExecutedTransaction>, SlotError> {
        let incomplete = |missing| SlotError::Incomplete {
            message: "a transaction",
            missing,
        };
        let meta = self.meta.ok_or(incomplete("its metadata"))?;
        let message = self.transaction.message;
        let loaded = meta.loaded_addresses.unwrap_or_default();
        let names = message.account_keys.iter();
        let names = names.chain(&loaded.writable).chain(&loaded.readonly);
        // Anybody can name the vote program beside other programs.
        let is_vote = |outer: &OuterInstruction| {
            let program = message.account_keys.get(outer.program_id_index);
            program.is_some_and(|key| key == VOTE_PROGRAM)
        };
        let outer = &message.instructions;
        if meta.err.is_some() || !outer.is_empty() && outer.iter().all(is_vote) {
            return Ok(None);
        }
        let keys: Vec<Address> = names.map(|key| address(key)).collect::<Result<_, _>>()?;
        let signature = self.transaction.signatures.first();
        let signature = signature.ok_or(incomplete("its signature"))?;
        let records_inner = meta.inner_instructions.is_some();
        // Those of other transactions are not needed, and need not be of a known form.
        let inner = meta.inner_instructions.filter(|_| keys.contains(&ID));
        let inner = inner.unwrap_or_default();
        let header = message.header;
        let transaction = ExecutedTransaction {
            slot,
            signature: decode::<64>("signature", signature)? as Signature,
            index,
            failed: false,
            keys,
            writable: WritableKeys {
                static_keys: message.account_keys.len(),
                signers: header.num_required_signatures,
                readonly_signers: header.num_readonly_signed_accounts,
                readonly_others: header.num_readonly_unsigned_accounts,
                loaded: loaded.writable.len(),
            },
            post_balances: meta.post_balances,
            inner: inner
                .into_iter()
                .map(Inner::decode)
                .collect::<Result<_, _>>()?,
        };
        transaction.complete(records_inner).map(Some)
    }
}

impl Inner {
    fn decode(self) -> Result<InnerInstructions, SlotError> {
        let instructions = self.instructions.into_iter().map(|instruction| {
            let data = bs58::decode(&instruction.data).into_vec();
            let data = data.map_err(|_| SlotError::Malformed {
                field: "instruction data",
                value: instruction.data.clone(),
            })?;
            Ok((instruction.program_id_index, data))
        });
        Ok(InnerInstructions {
            outer: self.index,
            instructions: instructions.collect::<Result<_, SlotError>>()?,
        })
    }
}

fn address(key: &str) -> Result<Address, SlotError> {
    decode::<32>("account key", key).map(Address::from)
}

pub fn decode<const N: usize>(field: &'static str, base58: &str) -> Result<[u8; N], SlotError> {
    let decoded = bs58::decode(base58).into_vec().unwrap_or_default();
    bytes(field, &decoded).map_err(|_| SlotError::Malformed {
        field,
        value: base58.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event_id::EventId;

    const OTHER: &str = "SysvarC1ock11111111111111111111111111111111";

    fn transaction(signature: u8, err: Value, keys: Value, loaded: Value) -> Value {
        let mut event = vec![0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];
        event.extend([7; 9]);
        json!({
            "version": 1,
            "transaction": {
                "signatures": [bs58::encode([signature; 64]).into_string()],
                "message": {
                    "header": {
                        "numRequiredSignatures": 1,
                        "numReadonlySignedAccounts": 0,
                        "numReadonlyUnsignedAccounts": 1,
                    },
                    "accountKeys": keys,
                    "instructions": [],
                },
            },
            "meta": {
                "err": err,
                "postBalances": [5, 0, 1],
                "innerInstructions": [{
                    "index": 2,
                    "instructions": [
                        { "programIdIndex": 0, "data": "" },
                        { "programIdIndex": 2, "data": bs58::encode(&event).into_string() },
                    ],
                }],
                "loadedAddresses": loaded,
            },
        })
    }

    fn slot(transactions: Value) -> Result<BlockSlot, SlotError> {
        let hash = |byte: u8| bs58::encode([byte; 32]).into_string();
        let block = json!({
            "blockhash": hash(7), "previousBlockhash": hash(6), "parentSlot": 6,
            "blockTime": 1_700_000_000, "blockHeight": null, "transactions": transactions,
        });
        serde_json::from_value::<RpcBlock>(block)
            .unwrap()
            .into_slot(7)
    }

    #[test]
    fn events_have_the_position_of_their_transaction_in_the_block() {
        let payer = bs58::encode([1; 32]).into_string();
        let account = bs58::encode([2; 32]).into_string();
        let keys = json!([payer, account, ID.to_string()]);
        let none = json!({ "writable": [], "readonly": [] });
        let unknown_error = json!({ "InstructionError": [0, { "FromTheFuture": 9 }] });
        let found = slot(json!([
            transaction(1, Value::Null, json!([payer, account, OTHER]), none.clone()),
            transaction(2, unknown_error, keys.clone(), none.clone()),
            transaction(3, Value::Null, keys, none),
        ]))
        .unwrap();
        let events: Vec<_> = found
            .sealed
            .events
            .iter()
            .map(|e| (e.id, e.signature))
            .collect();
        assert_eq!(events, [(EventId::new(7, 2, 2, 1).unwrap(), [3; 64])]);
        assert_eq!(found.sealed.emptied, [Address::from([2; 32])].into());
        assert_eq!(found.touched, [[1; 32].into(), [2; 32].into()].into());
    }

    #[test]
    fn the_program_can_come_from_a_lookup_table() {
        let payer = bs58::encode([1; 32]).into_string();
        let loaded = json!({ "writable": [OTHER], "readonly": [ID.to_string()] });
        let found = slot(json!([transaction(1, Value::Null, json!([payer]), loaded)])).unwrap();
        assert_eq!(found.sealed.events.len(), 1);
    }

    #[test]
    fn a_transaction_without_recorded_inner_instructions_is_refused() {
        let mut transaction = transaction(
            1,
            Value::Null,
            json!([OTHER, OTHER, ID.to_string()]),
            Value::Null,
        );
        transaction["meta"]["innerInstructions"] = Value::Null;
        let signature = bs58::encode([1; 64]).into_string();
        let error = slot(json!([transaction])).err();
        assert_eq!(error, Some(SlotError::NoInnerInstructions(signature)));
    }

    #[test]
    fn a_transaction_without_a_balance_of_each_key_is_refused() {
        let keys = json!([OTHER, OTHER, ID.to_string()]);
        let mut transaction = transaction(1, Value::Null, keys, Value::Null);
        transaction["meta"]["postBalances"] = json!([5, 0]);
        let error = slot(json!([transaction])).err().expect("a refusal");
        assert!(error.to_string().contains("its balances"), "{error}");
    }
}
