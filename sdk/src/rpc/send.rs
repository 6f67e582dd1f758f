//! Signing, submitting and waiting for confirmation.
//!
//! Every transaction is simulated before it is signed, and carries limits of what the simulation
//! used plus a margin. The simulation takes the place of the node's preflight check.

use std::time::Duration;

use anchor_lang::{Address, solana_program::instruction::Instruction};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    config::RpcSendTransactionConfig,
};
use solana_signature::Signature;
use solana_signer::{Signer, SignerError};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::TransactionStatus;

use super::{
    client::Client,
    error::{Error, TransactionFailure},
    transaction::{Blockhash, message},
};

/// Interval between polls of a submitted transaction.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after a poll that failed.
const POLL_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum number of failed polls before a transaction's outcome is reported as unknown.
const MAX_POLL_FAILURES: u32 = 30;

impl Client {
    /// Simulates a transaction, and signs it with the limits that the simulation yields. The first
    /// of `signers` is the fee payer. Fails if the simulation fails.
    pub async fn prepare(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
        blockhash: Hash,
    ) -> Result<VersionedTransaction, Error> {
        let payer = fee_payer(signers)?;
        let simulation = self.simulate(instructions, &payer, Some(blockhash)).await?;
        let budget = simulation.budget(self.priority_fee)?;
        let message = message(instructions, budget, &payer, blockhash)?;
        Ok(VersionedTransaction::try_new(message, signers)?)
    }

    /// Submits a simulated transaction. Does not wait until the transaction lands.
    ///
    /// The node simulates the transaction again only if it pays a priority fee, which the first
    /// simulation leaves out: a transaction whose fee its payer can't pay would never land.
    pub async fn submit(&self, transaction: &VersionedTransaction) -> Result<Signature, Error> {
        let config = RpcSendTransactionConfig {
            skip_preflight: self.priority_fee == 0,
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

    /// Simulates, signs and submits a transaction, and waits until it is confirmed. The first of
    /// `signers` is the fee payer. Sends nothing if the simulation fails.
    ///
    /// Once the transaction is submitted, only [`Error::Expired`] and
    /// [`Error::TransactionFailed`] guarantee that it had no effect. After any other error the
    /// transaction may have landed, and sending it again may pay twice.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<Signature, Error> {
        let payer = fee_payer(signers)?;
        let simulation = self.simulate(instructions, &payer, None).await?;
        let budget = simulation.budget(self.priority_fee)?;
        let blockhash = simulation
            .blockhash
            .ok_or(Error::IncompleteResponse("the replacement blockhash"))?;
        let message = message(instructions, budget, &payer, blockhash.hash)?;
        let transaction = VersionedTransaction::try_new(message, signers)?;
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

fn fee_payer(signers: &[&Keypair]) -> Result<Address, Error> {
    let payer = signers.first();
    payer
        .map(|payer| payer.pubkey())
        .ok_or(Error::Signer(SignerError::NotEnoughSigners))
}

/// Whether the request may have reached the node although no response arrived.
fn is_transport(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::Io(_) | ErrorKind::Reqwest(_))
}
