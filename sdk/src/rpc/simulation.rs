//! Simulation of transactions that are not signed yet.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_rpc_client_api::{
    config::RpcSimulateTransactionConfig, response::RpcSimulateTransactionResult,
};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status_client_types::UiTransactionEncoding;

use super::{
    budget::Budget,
    client::Client,
    error::{Error, TransactionFailure},
    events::event_data,
    transaction::{Blockhash, message},
};

/// Outcome of a simulated transaction, and what the transaction used.
#[derive(Debug)]
pub struct Simulation {
    /// Slot of the state that the transaction was simulated on.
    pub slot: u64,
    /// Why the transaction would fail; `None` if it would succeed.
    pub failure: Option<TransactionFailure>,
    pub logs: Vec<String>,
    /// Events, each as `discriminator ‖ body`.
    pub events: Vec<Vec<u8>>,
    /// Consumed compute units.
    pub units: Option<u64>,
    /// Loaded bytes of accounts and of programs' code. `None` from an old node.
    pub loaded_bytes: Option<u32>,
    /// The recent blockhash that the node simulated with, if the transaction had none.
    pub blockhash: Option<Blockhash>,
}

impl Simulation {
    /// `keys` are those of the transaction.
    fn read(
        slot: u64,
        result: RpcSimulateTransactionResult,
        keys: &[Address],
    ) -> Result<Self, Error> {
        let logs = result.logs.unwrap_or_default();
        let inner = result.inner_instructions.unwrap_or_default();
        let blockhash = result.replacement_blockhash.map(|replacement| {
            let hash = replacement.blockhash.parse();
            let hash = hash.map_err(|_| Error::IncompleteResponse("a valid blockhash"))?;
            Ok::<_, Error>(Blockhash {
                hash,
                last_valid_height: replacement.last_valid_block_height,
            })
        });
        Ok(Self {
            slot,
            failure: result.err.map(|error| TransactionFailure {
                error: error.into(),
                logs: logs.clone(),
            }),
            logs,
            events: event_data(&inner, keys),
            units: result.units_consumed,
            loaded_bytes: result.loaded_accounts_data_size,
            blockhash: blockhash.transpose()?,
        })
    }

    /// The budget with which to send the transaction. Fails if the transaction would fail.
    pub fn budget(&self, priority_fee: u64) -> Result<Budget, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let units = self
            .units
            .ok_or(Error::IncompleteResponse("the consumed compute units"))?;
        let loaded_bytes = self.loaded_bytes.unwrap_or(Budget::MAX.loaded_bytes);
        Ok(Budget::with_margin(units, loaded_bytes, priority_fee))
    }
}

impl Client {
    /// Simulates a transaction of `instructions`, unsigned, with the highest limits and without a
    /// priority fee. Without a `blockhash`, the node uses a recent one and returns it.
    pub async fn simulate(
        &self,
        instructions: &[Instruction],
        payer: &Address,
        blockhash: Option<Hash>,
    ) -> Result<Simulation, Error> {
        let hash = blockhash.unwrap_or_default();
        let message = message(instructions, Budget::MAX, payer, hash)?;
        let config = RpcSimulateTransactionConfig {
            replace_recent_blockhash: blockhash.is_none(),
            ..Default::default()
        };
        self.simulate_with(message, config).await
    }

    /// Simulates a transaction, unsigned, with a recent blockhash in place of its own, which the node
    /// returns. Fails if the node has not reached `min_slot`.
    pub async fn simulate_message(
        &self,
        message: VersionedMessage,
        min_slot: u64,
    ) -> Result<Simulation, Error> {
        let config = RpcSimulateTransactionConfig {
            replace_recent_blockhash: true,
            min_context_slot: Some(min_slot),
            ..Default::default()
        };
        self.simulate_with(message, config).await
    }

    async fn simulate_with(
        &self,
        message: VersionedMessage,
        config: RpcSimulateTransactionConfig,
    ) -> Result<Simulation, Error> {
        let signers = usize::from(message.header().num_required_signatures);
        let transaction = VersionedTransaction {
            signatures: vec![Signature::default(); signers],
            message,
        };
        let config = RpcSimulateTransactionConfig {
            commitment: Some(CommitmentConfig::confirmed()),
            encoding: Some(UiTransactionEncoding::Base64),
            inner_instructions: true,
            ..config
        };
        let response = self
            .rpc
            .simulate_transaction_with_config(&transaction, config)
            .await?;
        let keys = transaction.message.static_account_keys();
        Simulation::read(response.context.slot, response.value, keys)
    }
}
