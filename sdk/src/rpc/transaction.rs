//! Transactions: building, simulating, submitting and waiting for confirmation.

use std::time::Duration;

use anchor_lang::solana_program::instruction::Instruction;
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_packet::PACKET_DATA_SIZE;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    config::{RpcSendTransactionConfig, RpcSimulateTransactionConfig},
    response::RpcSimulateTransactionResult,
};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{TransactionStatus, UiTransactionEncoding};

use super::{
    client::Client,
    error::{Error, TransactionFailure},
};

/// Interval between polls of a submitted transaction.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after a poll that failed.
const POLL_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum number of failed polls before a transaction's outcome is reported as unknown.
const MAX_POLL_FAILURES: u32 = 30;

/// A blockhash and the last block height at which a transaction with it can land.
#[derive(Clone, Copy, Debug)]
pub struct Blockhash {
    pub hash: Hash,
    pub last_valid_height: u64,
}

/// Builds and signs a transaction. The first of `signers` is the fee payer.
pub fn transaction(
    instructions: &[Instruction],
    signers: &[&Keypair],
    blockhash: Hash,
) -> Result<VersionedTransaction, Error> {
    let payer = signers.first().map(|signer| signer.pubkey());
    let message = Message::new_with_blockhash(instructions, payer.as_ref(), &blockhash);
    let message = VersionedMessage::Legacy(message);
    let bytes =
        1 + 64 * usize::from(message.header().num_required_signatures) + message.serialize().len();
    if PACKET_DATA_SIZE < bytes {
        return Err(Error::TooLarge(bytes));
    }
    Ok(VersionedTransaction::try_new(message, signers)?)
}

impl Client {
    /// Latest confirmed blockhash.
    pub async fn blockhash(&self) -> Result<Blockhash, Error> {
        let commitment = CommitmentConfig::confirmed();
        let (hash, last_valid_height) = self
            .rpc
            .get_latest_blockhash_with_commitment(commitment)
            .await?;
        Ok(Blockhash {
            hash,
            last_valid_height,
        })
    }

    /// Simulates a transaction, with a recent blockhash in place of its own. The result includes
    /// inner instructions. Signatures are not verified.
    pub async fn simulate(
        &self,
        transaction: &VersionedTransaction,
    ) -> Result<RpcSimulateTransactionResult, Error> {
        let config = RpcSimulateTransactionConfig {
            replace_recent_blockhash: true,
            commitment: Some(CommitmentConfig::confirmed()),
            encoding: Some(UiTransactionEncoding::Base64),
            inner_instructions: true,
            ..Default::default()
        };
        let response = self
            .rpc
            .simulate_transaction_with_config(transaction, config)
            .await?;
        Ok(response.value)
    }

    /// Submits a transaction, which the node simulates first. Does not wait until the transaction
    /// lands.
    pub async fn submit(&self, transaction: &VersionedTransaction) -> Result<Signature, Error> {
        let config = RpcSendTransactionConfig {
            preflight_commitment: Some(CommitmentLevel::Confirmed),
            ..Default::default()
        };
        let submitted = self.rpc.send_transaction_with_config(transaction, config);
        Ok(submitted.await?)
    }

    /// Results of the transactions with these signatures, in the same order. `None` for a
    /// transaction that is not confirmed yet, or that the node does not know any more.
    pub async fn signature_statuses(
        &self,
        signatures: &[Signature],
    ) -> Result<Vec<Option<Result<(), TransactionError>>>, Error> {
        let is_confirmed =
            |status: &TransactionStatus| status.satisfies_commitment(CommitmentConfig::confirmed());
        let response = self.rpc.get_signature_statuses(signatures).await?;
        Ok(response
            .value
            .into_iter()
            .map(|status| status.filter(is_confirmed).map(|status| status.status))
            .collect())
    }

    /// Signs and submits a transaction, and waits until it is confirmed.
    ///
    /// Once the transaction is submitted, only [`Error::Expired`] and
    /// [`Error::TransactionFailed`] guarantee that it had no effect. After any other error the
    /// transaction may have landed, and sending it again may pay twice.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<Signature, Error> {
        let blockhash = self.blockhash().await?;
        let transaction = transaction(instructions, signers, blockhash.hash)?;
        let signature = transaction.signatures[0];
        match self.submit(&transaction).await {
            // The node may have received the transaction although its response was lost.
            Err(Error::Rpc(source)) if is_transport(&source) => {}
            submitted => _ = submitted?,
        }
        self.wait_until_confirmed(signature, &blockhash).await
    }

    async fn wait_until_confirmed(
        &self,
        signature: Signature,
        blockhash: &Blockhash,
    ) -> Result<Signature, Error> {
        let mut failures = 0;
        loop {
            let pause = match self.poll(&signature, blockhash).await {
                Ok(Some(Ok(()))) => return Ok(signature),
                Ok(Some(Err(error))) => {
                    let logs = vec![];
                    return Err(TransactionFailure { error, logs }.into());
                }
                Ok(None) => POLL_INTERVAL,
                Err(Error::Rpc(error)) => {
                    failures += 1;
                    if MAX_POLL_FAILURES < failures {
                        return Err(Error::OutcomeUnknown { signature, error });
                    }
                    POLL_RETRY_DELAY
                }
                Err(error) => return Err(error),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Result of a submitted transaction; `None` while it can still land.
    async fn poll(
        &self,
        signature: &Signature,
        blockhash: &Blockhash,
    ) -> Result<Option<Result<(), TransactionError>>, Error> {
        // Read the height before the status: if the height is past the last valid one, the
        // transaction cannot land between the two requests.
        let height = self.rpc.get_block_height().await?;
        let statuses = self.signature_statuses(&[*signature]).await?;
        match statuses.into_iter().next().flatten() {
            None if blockhash.last_valid_height < height => Err(Error::Expired),
            status => Ok(status),
        }
    }
}

/// Whether the request may have reached the node although no response arrived.
fn is_transport(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::Io(_) | ErrorKind::Reqwest(_))
}
