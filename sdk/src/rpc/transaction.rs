//! Building of transactions.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use solana_hash::Hash;
use solana_message::{Message, VersionedMessage};
use solana_packet::PACKET_DATA_SIZE;

use super::{budget::Budget, error::Error};

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;

/// A blockhash and the last block height at which a transaction with it can land.
#[derive(Clone, Copy, Debug)]
pub struct Blockhash {
    pub hash: Hash,
    pub last_valid_height: u64,
}

/// Builds the message of a transaction with a budget. Fails if the transaction exceeds a packet.
pub fn message(
    instructions: &[Instruction],
    budget: Budget,
    payer: &Address,
    blockhash: Hash,
) -> Result<VersionedMessage, Error> {
    let instructions = budget.append_to(instructions);
    let message = Message::new_with_blockhash(&instructions, Some(payer), &blockhash);
    let message = VersionedMessage::Legacy(message);
    let bytes = transaction_size(&message);
    if PACKET_DATA_SIZE < bytes {
        return Err(Error::TooLarge(bytes));
    }
    Ok(message)
}

/// Size of the serialized transaction of a message. Fewer than 128 signatures are counted by one
/// byte.
pub fn transaction_size(message: &VersionedMessage) -> usize {
    let signatures = usize::from(message.header().num_required_signatures);
    1 + SIGNATURE_BYTES * signatures + message.serialize().len()
}

/// The serialized transaction of a message, with zeros in place of its signatures. Fewer than 128
/// signatures are counted by one byte.
pub fn unsigned(message: &VersionedMessage) -> Vec<u8> {
    let signatures = message.header().num_required_signatures;
    let mut bytes = vec![signatures];
    bytes.resize(1 + SIGNATURE_BYTES * usize::from(signatures), 0);
    bytes.extend(message.serialize());
    bytes
}
