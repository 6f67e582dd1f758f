//! RPC client: reads the chain and simulates transactions, at confirmed commitment. With the feature
//! `send`, it also signs and sends them.

mod accounts;
mod budget;
mod client;
mod error;
mod events;
mod fees;
#[cfg(feature = "send")]
mod send;
mod simulation;
mod transaction;

pub use anchor_lang::solana_program::instruction::error::InstructionError;
pub use solana_clock::sysvar::ID as CLOCK;
pub use solana_hash::Hash;
#[cfg(feature = "send")]
pub use solana_keypair::Keypair;
pub use solana_message::VersionedMessage;
#[cfg(feature = "send")]
pub use solana_rpc_client::nonblocking::rpc_client::RpcClient;
pub use solana_signature::Signature;
#[cfg(feature = "send")]
pub use solana_signer::Signer;
pub use solana_transaction::versioned::VersionedTransaction;
pub use solana_transaction_error::TransactionError;

pub use self::{
    accounts::Accounts,
    budget::Budget,
    client::Client,
    error::{Error, TransactionFailure},
    events::{ChainEvent, event_data},
    simulation::Simulation,
    transaction::{Blockhash, message, transaction_size, unsigned},
};

/// Reads a keypair file in the format of Solana's tools.
#[cfg(feature = "send")]
pub fn read_keypair(path: &std::path::Path) -> Result<Keypair, String> {
    solana_keypair::read_keypair_file(path).map_err(|error| {
        let path = path.display();
        format!(
            "could not read keypair file {path}: {error}; pass a JSON array of 64 numbers, as \
             written by `solana-keygen new`"
        )
    })
}
