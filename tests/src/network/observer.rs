//! Observation of the program's transactions, independent of the indexer.

use std::collections::HashMap;

use driftshield_sdk::ID;
use futures::{SinkExt, StreamExt};
use tokio::sync::watch;
use yellowstone_grpc_client::GeyserGrpcBuilder;
use yellowstone_grpc_proto::prelude::{
    CommitmentLevel, SubscribeRequest, SubscribeRequestFilterBlocksMeta,
    SubscribeRequestFilterTransactions, SubscribeRequestPing, SubscribeUpdateTransactionInfo,
    subscribe_update::UpdateOneof,
};

/// A signed transaction, whether it landed or not.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    pub signature: String,
    pub blockhash: String,
    pub fee_payer: String,
    /// Keys that the message marks as writable.
    pub writable: Vec<String>,
}

/// A transaction in a block that names the program.
#[derive(Clone, Debug)]
pub struct LandedTransaction {
    pub slot: u64,
    /// Position in the block.
    pub index: u64,
    pub failed: bool,
    pub signed: SignedTransaction,
    /// Inner instructions that the program executes, in order: its events among them.
    pub inner_instructions: Vec<InnerInstruction>,
}

/// An inner instruction and its position in the transaction.
#[derive(Clone, Debug)]
pub struct InnerInstruction {
    pub outer_index: u32,
    pub inner_index: u32,
    pub data: Vec<u8>,
}

/// Everything observed so far.
#[derive(Clone, Debug, Default)]
pub struct ObservedChain {
    /// Transactions of complete slots, in order.
    pub transactions: Vec<LandedTransaction>,
    /// Slot of each blockhash.
    pub blockhash_slots: HashMap<String, u64>,
    /// Unix timestamp of each slot's block.
    pub block_times: HashMap<u64, i64>,
    pub last_slot: u64,
}

/// Observes every transaction of the program, including failed ones, through the validator's gRPC:
/// first as many past slots as the validator can replay, then live.
pub fn observe(grpc_url: &str) -> watch::Receiver<ObservedChain> {
    let (sender, receiver) = watch::channel(ObservedChain::default());
    let url = grpc_url.to_owned();
    tokio::spawn(async move {
        let of_program = SubscribeRequestFilterTransactions {
            vote: Some(false),
            account_include: vec![ID.to_string()],
            ..Default::default()
        };
        let builder = GeyserGrpcBuilder::from_shared(url).unwrap();
        let builder = builder.max_decoding_message_size(64 << 20);
        let mut client = builder.connect().await.unwrap();
        let replay = client.subscribe_replay_info().await.unwrap();
        let request = SubscribeRequest {
            commitment: Some(CommitmentLevel::Confirmed as i32),
            from_slot: replay.first_available,
            transactions: [("program".to_owned(), of_program)].into(),
            blocks_meta: [("all".to_owned(), SubscribeRequestFilterBlocksMeta {})].into(),
            ..Default::default()
        };
        let (mut sink, mut stream) = client.subscribe_with_request(Some(request)).await.unwrap();
        // Transactions of the current slot, until the slot's block metadata arrives.
        let mut transactions = vec![];
        while let Some(Ok(update)) = stream.next().await {
            match update.update_oneof {
                Some(UpdateOneof::Transaction(update)) => {
                    let info = update
                        .transaction
                        .expect("a transaction update has a transaction");
                    transactions.push(landed_transaction(update.slot, info));
                }
                Some(UpdateOneof::BlockMeta(meta)) => sender.send_modify(|chain| {
                    chain.blockhash_slots.insert(meta.blockhash, meta.slot);
                    let time = meta.block_time.expect("a block has a time");
                    chain.block_times.insert(meta.slot, time.timestamp);
                    chain.last_slot = meta.slot;
                    chain.transactions.append(&mut transactions);
                }),
                Some(UpdateOneof::Ping(_)) => {
                    let ping = SubscribeRequest {
                        ping: Some(SubscribeRequestPing { id: 1 }),
                        ..Default::default()
                    };
                    let _ = sink.send(ping).await;
                }
                _ => {}
            }
        }
    });
    receiver
}

/// The keys that a message marks as writable. The numbers are those of the message's header.
pub fn writable_keys(
    keys: &[String],
    signers: usize,
    readonly_signed: usize,
    readonly_unsigned: usize,
) -> Vec<String> {
    let (signer_keys, other_keys) = keys.split_at(signers);
    let writable_signers = &signer_keys[..signers - readonly_signed];
    let writable_others = &other_keys[..other_keys.len() - readonly_unsigned];
    [writable_signers, writable_others].concat()
}

fn landed_transaction(slot: u64, info: SubscribeUpdateTransactionInfo) -> LandedTransaction {
    let meta = info.meta.expect("a transaction has a status");
    let message = info.transaction.and_then(|transaction| transaction.message);
    let message = message.expect("a transaction has a message");
    let header = message.header.expect("a message has a header");
    let program = message
        .account_keys
        .iter()
        .position(|key| key == ID.as_ref());
    let key = |bytes: &Vec<u8>| bs58::encode(bytes).into_string();
    let keys: Vec<_> = message.account_keys.iter().map(key).collect();
    let inner_instructions = meta.inner_instructions.iter().flat_map(|outer| {
        let instructions = (0u32..).zip(&outer.instructions);
        instructions
            .filter(|(_, inner)| Some(inner.program_id_index as usize) == program)
            .map(|(index, inner)| InnerInstruction {
                outer_index: outer.index,
                inner_index: index,
                data: inner.data.clone(),
            })
    });
    LandedTransaction {
        slot,
        index: info.index,
        failed: meta.err.is_some(),
        signed: SignedTransaction {
            signature: bs58::encode(&info.signature).into_string(),
            blockhash: bs58::encode(&message.recent_blockhash).into_string(),
            fee_payer: keys[0].clone(),
            writable: writable_keys(
                &keys,
                header.num_required_signatures as usize,
                header.num_readonly_signed_accounts as usize,
                header.num_readonly_unsigned_accounts as usize,
            ),
        },
        inner_instructions: inner_instructions.collect(),
    }
}
