//! Errors of the RPC client, and transactions that failed.

use std::fmt;

use anchor_lang::{Address, solana_program::instruction::error::InstructionError};
use solana_packet::PACKET_DATA_SIZE;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::{RpcError, RpcResponseErrorData},
};
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::{DecodeError, error};

/// Code of the response of a node that has not reached `minContextSlot`.
const MIN_CONTEXT_SLOT_NOT_REACHED: i64 = -32016;

/// Why the chain could not be read, or why a transaction did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transaction failed, in simulation or in a block.
    #[error("{0}")]
    TransactionFailed(Box<TransactionFailure>),
    /// The transaction was submitted. It may have landed, or may still land.
    #[error(
        "the outcome of transaction {signature} is unknown: look it up before you send anything \
         again: {error}"
    )]
    OutcomeUnknown {
        signature: Signature,
        error: Box<ClientError>,
    },
    /// The transaction's blockhash is too old: the transaction cannot land any more.
    #[error("the transaction's blockhash expired before the transaction landed; send it again")]
    Expired,
    /// The serialized transaction exceeds a packet.
    #[error(
        "transaction too large: {0} bytes, at most {PACKET_DATA_SIZE} fit; pass fewer or shorter \
         arguments"
    )]
    TooLarge(usize),
    #[cfg(feature = "send")]
    #[error("could not sign: {0}")]
    Signer(#[from] solana_signer::SignerError),
    #[error("{0} is not a mint; check the address")]
    NotAMint(Address),
    #[error("{0} is not a token account; check the address")]
    NotATokenAccount(Address),
    #[error("account {0} does not exist; check the address and the cluster")]
    AccountNotFound(Address),
    #[error("account {0} does not belong to the program; check the address")]
    WrongOwner(Address),
    #[error("account {address} is a {found}, not a {expected}; check the address")]
    WrongType {
        address: Address,
        found: &'static str,
        expected: &'static str,
    },
    #[error("account {address}: {error}")]
    Decode {
        address: Address,
        error: DecodeError,
    },
    #[error("the RPC response lacks {0}; try again, or use another node")]
    IncompleteResponse(&'static str),
    // Not a `#[source]`: the message already includes the cause.
    #[error("RPC request failed: {0}")]
    Rpc(Box<ClientError>),
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match transaction_failure(&error) {
            Some(failure) => Self::TransactionFailed(Box::new(failure)),
            None => Self::Rpc(Box::new(error)),
        }
    }
}

impl Error {
    /// Whether the node has not reached the slot that the request demanded.
    pub fn is_slot_not_reached(&self) -> bool {
        let Self::Rpc(error) = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::RpcError(RpcError::RpcResponseError {
                code: MIN_CONTEXT_SLOT_NOT_REACHED,
                ..
            })
        )
    }

    /// The message, without the node's URL, which may contain a secret.
    pub fn without_url(&self) -> String {
        let Self::Rpc(error) = self else {
            return self.to_string();
        };
        match error.kind() {
            ErrorKind::Reqwest(error) if error.is_timeout() => "no response in time".to_owned(),
            ErrorKind::Reqwest(error) if error.is_connect() => "no connection".to_owned(),
            ErrorKind::Reqwest(error) => match error.status() {
                Some(status) => format!("HTTP status {status}"),
                None => "HTTP failed".to_owned(),
            },
            ErrorKind::RpcError(error) => error.to_string(),
            _ => "the request failed".to_owned(),
        }
    }
}

impl From<TransactionFailure> for Error {
    fn from(failure: TransactionFailure) -> Self {
        Self::TransactionFailed(Box::new(failure))
    }
}

/// The failure that a response to `sendTransaction` reports, with the logs of its simulation.
fn transaction_failure(error: &ClientError) -> Option<TransactionFailure> {
    let logs = match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(result),
            ..
        }) => result.logs.clone().unwrap_or_default(),
        _ => vec![],
    };
    let error = error.get_transaction_error()?;
    Some(TransactionFailure { error, logs })
}

/// Why a transaction failed.
#[derive(Clone, Debug)]
pub struct TransactionFailure {
    pub error: TransactionError,
    /// Program logs, if the failure occurred in a simulation.
    pub logs: Vec<String>,
}

impl TransactionFailure {
    /// Code of the custom error that DriftShield or another program returned. `None` for any other
    /// error.
    pub fn code(&self) -> Option<u32> {
        match self.error {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => Some(code),
            _ => None,
        }
    }

    /// Advice on the most common failures outside the program.
    fn advice(&self) -> Option<&'static str> {
        match (&self.error, self.code()) {
            (TransactionError::AccountNotFound, _) => Some("the fee payer has no SOL; fund it"),
            (TransactionError::InsufficientFundsForFee, _) => {
                Some("the fee payer has too little SOL; fund it")
            }
            // `AccountAlreadyInUse` of the system program.
            (_, Some(0)) => Some("the account already exists; choose another id"),
            // Insufficient funds, in the system program and in both token programs.
            (_, Some(1)) => Some("insufficient lamports or tokens; fund the account that pays"),
            _ => None,
        }
    }
}

impl fmt::Display for TransactionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code().and_then(error::by_code) {
            Some(info) => write!(f, "{} ({}): {}", info.name, info.code, info.message),
            None => {
                write!(f, "{}", self.error)?;
                if let Some(advice) = self.advice() {
                    write!(f, ": {advice}")?;
                }
                self.logs.iter().try_for_each(|log| write!(f, "\n  {log}"))
            }
        }
    }
}
