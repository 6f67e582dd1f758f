//! RPC client: reads the chain and sends transactions, at confirmed commitment.

mod budget;
mod client;
mod error;
mod events;
mod simulation;
mod transaction;

use std::path::Path;

pub use solana_hash::Hash;
pub use solana_keypair::Keypair;
pub use solana_rpc_client::nonblocking::rpc_client::RpcClient;
pub use solana_signature::Signature;
pub use solana_signer::Signer;
pub use solana_transaction::versioned::VersionedTransaction;
pub use solana_transaction_error::TransactionError;

pub use self::{
    budget::Budget,
    client::Client,
    error::{Error, TransactionFailure},
    events::{ChainEvent, event_data},
    simulation::Simulation,
    transaction::{Blockhash, message, transaction_size},
};

/// Reads a keypair file in the format of Solana's tools.
pub fn read_keypair(path: &Path) -> Result<Keypair, String> {
    solana_keypair::read_keypair_file(path).map_err(|error| {
        let path = path.display();
        format!(
            "could not read keypair file {path}: {error}; pass a JSON array of 64 numbers, as \
             written by `solana-keygen new`"
        )
    })
}
