//! Reading the chain and sending transactions to it, at confirmed commitment.

use std::{fmt, path::Path, time::Duration};

use anchor_lang::{
    AccountDeserialize, Address, Discriminator, solana_program::instruction::Instruction,
};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
pub use solana_hash::Hash;
pub use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
pub use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::GetConfirmedSignaturesForAddress2Config;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    config::{
        RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSendTransactionConfig,
        RpcSimulateTransactionConfig, RpcTransactionConfig,
    },
    filter::{Memcmp, RpcFilterType},
    request::{RpcError, RpcResponseErrorData},
    response::{
        OptionSerializer, RpcSimulateTransactionResult, UiAccountEncoding, UiInnerInstructions,
        UiInstruction, UiParsedInstruction,
    },
};
pub use solana_signature::Signature;
pub use solana_signer::Signer;
pub use solana_transaction::versioned::VersionedTransaction;
pub use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{TransactionStatus, UiTransactionEncoding};

use crate::{DecodeError, Event, ID, TokenProgram, error, json, token::TokenAccount};

/// The most bytes that a transaction may have.
pub const TRANSACTION_BYTES: usize = 1_232;

/// Why the chain could not be read or a transaction did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transaction was refused, in simulation or when it landed.
    #[error("{0}")]
    TransactionFailed(Box<TransactionFailure>),
    /// It was sent, and may have landed or land yet.
    #[error(
        "what became of transaction {signature} could not be read: look it up before you send \
         anything again: {error}"
    )]
    OutcomeUnknown {
        signature: Signature,
        error: Box<ClientError>,
    },
    /// Its blockhash is too old: it can't land any more.
    #[error("the transaction did not land in time: send it again")]
    Expired,
    #[error("the transaction has {0} bytes, {TRANSACTION_BYTES} at most: put less into it")]
    TooLarge(usize),
    #[error("could not sign: {0}")]
    Signer(#[from] solana_signer::SignerError),
    #[error("{0} is no mint: check the address")]
    NotAMint(Address),
    #[error("{0} is no token account: check the address")]
    NotATokenAccount(Address),
    #[error("account {0} does not exist: check the address and the cluster")]
    AccountNotFound(Address),
    #[error("account {0} is not the program's: check the address")]
    WrongOwner(Address),
    #[error("account {address} is a {found}, not a {expected}: check the address")]
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
    #[error("the RPC's answer lacks {0}")]
    IncompleteResponse(&'static str),
    // Not its source: it says all that there is to say.
    #[error("RPC: {0}")]
    Rpc(Box<ClientError>),
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match refusal(&error) {
            Some(refusal) => Self::TransactionFailed(Box::new(refusal)),
            None => Self::Rpc(Box::new(error)),
        }
    }
}

/// A transaction that failed.
#[derive(Clone, Debug)]
pub struct TransactionFailure {
    pub error: TransactionError,
    pub logs: Vec<String>,
}

impl TransactionFailure {
    /// The number of the program's error, or of another program's, if one raised it.
    pub fn code(&self) -> Option<u32> {
        use anchor_lang::solana_program::instruction::error::InstructionError;
        match self.error {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => Some(code),
            _ => None,
        }
    }
}

impl TransactionFailure {
    /// What to do about the commonest failures of other programs.
    fn advice(&self) -> Option<&'static str> {
        match (&self.error, self.code()) {
            (TransactionError::AccountNotFound, _) => Some("who pays has no SOL: send it some"),
            (TransactionError::InsufficientFundsForFee, _) => Some("who pays has too little SOL"),
            // Of the system program, when an account is to be made.
            (_, Some(0)) => Some("what it would make exists already: take another id"),
            // Of the system and the token program.
            (_, Some(1)) => Some("too few lamports or tokens are there"),
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

fn refusal(error: &ClientError) -> Option<TransactionFailure> {
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

/// A blockhash and the last block height that takes transactions with it.
#[derive(Clone, Copy, Debug)]
pub struct Blockhash {
    pub hash: Hash,
    pub last_valid_height: u64,
}

/// An event with the transaction that it is of.
#[derive(Clone, Debug)]
pub struct ChainEvent {
    pub slot: u64,
    pub signature: String,
    pub event: Event,
}

/// How often the outcome of a transaction is asked for in vain before it is given up.
const FAILURES: u32 = 30;

/// Whether the request may have reached the node although no answer came.
fn is_transport(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::Io(_) | ErrorKind::Reqwest(_))
}

/// A client of one RPC node.
pub struct Client {
    rpc: RpcClient,
}

impl Client {
    pub fn new(url: String) -> Self {
        let timeout = Duration::from_secs(30);
        let commitment = CommitmentConfig::confirmed();
        Self {
            rpc: RpcClient::new_with_timeout_and_commitment(url, timeout, commitment),
        }
    }

    /// For what this type doesn't do.
    pub fn rpc(&self) -> &RpcClient {
        &self.rpc
    }

    /// The owner and the data of an account; `None` where there is none.
    async fn account(&self, address: &Address) -> Result<Option<(Address, Vec<u8>)>, Error> {
        let commitment = CommitmentConfig::confirmed();
        let response = self
            .rpc
            .get_account_with_commitment(address, commitment)
            .await?;
        let account = response.value.filter(|account| account.lamports > 0);
        Ok(account.map(|account| (account.owner, account.data)))
    }

    async fn data(&self, address: &Address) -> Result<Vec<u8>, Error> {
        let account = self.account(address).await?;
        account
            .map(|(_, data)| data)
            .ok_or(Error::AccountNotFound(*address))
    }

    /// Reads one account of the program; `None` where there is none.
    pub async fn find<T>(&self, address: &Address) -> Result<Option<T>, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let Some((owner, data)) = self.account(address).await? else {
            return Ok(None);
        };
        if owner != ID {
            return Err(Error::WrongOwner(*address));
        }
        decode(*address, &data).map(Some)
    }

    /// Reads one account of the program.
    pub async fn get<T>(&self, address: &Address) -> Result<T, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        self.find(address)
            .await?
            .ok_or(Error::AccountNotFound(*address))
    }

    /// All accounts of one type whose fields hold the given keys. Fields are told by their offset
    /// in the struct (`offset_of!(Position, market)`).
    pub async fn list<T>(&self, keys: &[(usize, Address)]) -> Result<Vec<(Address, T)>, Error>
    where
        T: AccountDeserialize + Discriminator,
    {
        let memcmp =
            |offset, bytes: &[u8]| RpcFilterType::Memcmp(Memcmp::new_base58_encoded(offset, bytes));
        let tag = T::DISCRIMINATOR.len();
        let filters = std::iter::once(memcmp(0, T::DISCRIMINATOR))
            .chain(keys.iter().map(|(at, key)| memcmp(tag + at, key.as_ref())))
            .collect();
        let config = RpcProgramAccountsConfig {
            filters: Some(filters),
            account_config: RpcAccountInfoConfig {
                encoding: Some(UiAccountEncoding::Base64),
                ..Default::default()
            },
            ..Default::default()
        };
        let accounts = self
            .rpc
            .get_program_ui_accounts_with_config(&ID, config)
            .await?;
        accounts
            .into_iter()
            .map(|(address, account)| {
                let data = account.data.decode();
                let data = data.ok_or(Error::IncompleteResponse("an account's data"))?;
                Ok((address, decode(address, &data)?))
            })
            .collect()
    }

    /// The chain's time, unix seconds: what the program goes by.
    pub async fn unix_timestamp(&self) -> Result<i64, Error> {
        const CLOCK: Address = anchor_lang::address!("SysvarC1ock11111111111111111111111111111111");
        const OFFSET: usize = 32; // after slot, epoch start, epoch and leader schedule's epoch
        let data = self.data(&CLOCK).await?;
        let bytes = data.get(OFFSET..).and_then(<[u8]>::first_chunk);
        let bytes = bytes.ok_or(Error::IncompleteResponse("the clock's time"))?;
        Ok(i64::from_le_bytes(*bytes))
    }

    /// The mint's decimals.
    pub async fn decimals(&self, mint: &Address) -> Result<u8, Error> {
        const OFFSET: usize = 44; // after the mint's authority and supply
        let data = self.data(mint).await?;
        let decimals = data.get(OFFSET).copied();
        decimals.ok_or(Error::NotAMint(*mint))
    }

    /// The token program that the mint is of.
    pub async fn token_program(&self, mint: &Address) -> Result<TokenProgram, Error> {
        let account = self.account(mint).await?;
        let (owner, _) = account.ok_or(Error::AccountNotFound(*mint))?;
        let programs = [TokenProgram::SplToken, TokenProgram::Token2022];
        let mut programs = programs.into_iter();
        let program = programs.find(|program| program.id() == owner);
        program.ok_or(Error::NotAMint(*mint))
    }

    /// Reads a token account; `None` where there is none.
    pub async fn token_account(&self, address: &Address) -> Result<Option<TokenAccount>, Error> {
        let Some((_, data)) = self.account(address).await? else {
            return Ok(None);
        };
        let account = TokenAccount::decode(&data);
        account.map(Some).ok_or(Error::NotATokenAccount(*address))
    }

    /// The base units that a token account holds; 0 where there is none.
    pub async fn token_balance(&self, token_account: &Address) -> Result<u64, Error> {
        let account = self.token_account(token_account).await?;
        Ok(account.map_or(0, |account| account.amount))
    }

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

    /// What would happen to the transaction, inner instructions with it. Signatures are not checked.
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

    /// Sends a transaction after simulating it; does not wait until it lands.
    pub async fn submit(&self, transaction: &VersionedTransaction) -> Result<Signature, Error> {
        let config = RpcSendTransactionConfig {
            preflight_commitment: Some(CommitmentLevel::Confirmed),
            ..Default::default()
        };
        let sent = self.rpc.send_transaction_with_config(transaction, config);
        Ok(sent.await?)
    }

    /// What became of transactions, in their order; `None` of those that have not been confirmed.
    pub async fn signature_statuses(
        &self,
        signatures: &[Signature],
    ) -> Result<Vec<Option<Result<(), TransactionError>>>, Error> {
        let confirmed =
            |status: &TransactionStatus| status.satisfies_commitment(CommitmentConfig::confirmed());
        let response = self.rpc.get_signature_statuses(signatures).await?;
        Ok(response
            .value
            .into_iter()
            .map(|status| status.filter(confirmed).map(|status| status.status))
            .collect())
    }

    /// Sends a transaction and waits until it is confirmed.
    ///
    /// Whoever sends anew what has landed pays twice: so [`Error::Expired`] and
    /// [`Error::TransactionFailed`] alone say that it has not.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<Signature, Error> {
        let blockhash = self.blockhash().await?;
        let transaction = transaction(instructions, signers, blockhash.hash)?;
        let signature = transaction.signatures[0];
        match self.submit(&transaction).await {
            // The answer was lost, not necessarily the transaction.
            Err(Error::Rpc(source)) if is_transport(&source) => {}
            sent => _ = sent?,
        }
        let mut failures = 0;
        loop {
            let pause = match self.progress(&signature, &blockhash).await {
                Ok(Some(Ok(()))) => return Ok(signature),
                Ok(Some(Err(error))) => {
                    let logs = vec![];
                    return Err(Error::TransactionFailed(Box::new(TransactionFailure {
                        error,
                        logs,
                    })));
                }
                Ok(None) => Duration::from_millis(200),
                Err(Error::Rpc(error)) => {
                    failures += 1;
                    if FAILURES < failures {
                        return Err(Error::OutcomeUnknown { signature, error });
                    }
                    Duration::from_secs(1)
                }
                Err(error) => return Err(error),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What became of a transaction; `None` where it can still land.
    async fn progress(
        &self,
        signature: &Signature,
        blockhash: &Blockhash,
    ) -> Result<Option<Result<(), TransactionError>>, Error> {
        // The height first: once it is past the last valid one, nothing lands between the two.
        let height = self.rpc.get_block_height().await?;
        let outcome = self
            .signature_statuses(&[*signature])
            .await?
            .into_iter()
            .next();
        match outcome.flatten() {
            None if blockhash.last_valid_height < height => Err(Error::Expired),
            outcome => Ok(outcome),
        }
    }

    /// The events of all successful transactions that named `address`, oldest first, as far back
    /// as the node knows them.
    pub async fn events(&self, address: &Address) -> Result<Vec<ChainEvent>, Error> {
        let mut signatures = vec![];
        let mut before = None;
        loop {
            let config = GetConfirmedSignaturesForAddress2Config {
                before,
                commitment: Some(CommitmentConfig::confirmed()),
                ..Default::default()
            };
            let page = self
                .rpc
                .get_signatures_for_address_with_config(address, config)
                .await?;
            let Some(oldest) = page.last() else { break };
            let oldest = oldest.signature.parse();
            before = Some(oldest.map_err(|_| Error::IncompleteResponse("a signature"))?);
            let succeeded = page.into_iter().filter(|status| status.err.is_none());
            signatures.extend(succeeded.map(|status| status.signature));
        }
        let mut events = vec![];
        for signature in signatures.into_iter().rev() {
            events.extend(self.transaction_events(signature).await?);
        }
        Ok(events)
    }

    async fn transaction_events(&self, signature: String) -> Result<Vec<ChainEvent>, Error> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(CommitmentConfig::confirmed()),
            max_supported_transaction_version: Some(0),
        };
        let parsed = signature
            .parse()
            .map_err(|_| Error::IncompleteResponse("a signature"))?;
        let found = self
            .rpc
            .get_transaction_with_config(&parsed, config)
            .await?;
        let meta = found.transaction.meta;
        let meta = meta.ok_or(Error::IncompleteResponse("a transaction's meta"))?;
        let transaction = found.transaction.transaction.decode();
        let transaction = transaction.ok_or(Error::IncompleteResponse("a transaction"))?;
        let keys = transaction.message.static_account_keys();
        let inner = match &meta.inner_instructions {
            OptionSerializer::Some(inner) => &inner[..],
            _ => &[],
        };
        Ok(own_inner_instructions(inner, keys)
            .filter_map(|data| Event::decode_inner_instruction(&data)?.ok())
            .map(|event| ChainEvent {
                slot: found.slot,
                signature: signature.clone(),
                event,
            })
            .collect())
    }
}

/// The data of the program's own inner instructions. It is no account that a lookup table could
/// load: whoever calls it names it, mostly itself. Nodes tell instructions of programs that they
/// don't know with the program's address, or with its number among the transaction's keys.
pub fn own_inner_instructions(
    inner: &[UiInnerInstructions],
    keys: &[Address],
) -> impl Iterator<Item = Vec<u8>> {
    let id = ID.to_string();
    let instructions = inner.iter().flat_map(|inner| &inner.instructions);
    instructions.filter_map(move |instruction| {
        let (ours, data) = match instruction {
            UiInstruction::Compiled(compiled) => {
                let program = keys.get(usize::from(compiled.program_id_index));
                (program == Some(&ID), &compiled.data)
            }
            UiInstruction::Parsed(UiParsedInstruction::PartiallyDecoded(decoded)) => {
                (decoded.program_id == id, &decoded.data)
            }
            UiInstruction::Parsed(UiParsedInstruction::Parsed(_)) => return None,
        };
        bs58::decode(data).into_vec().ok().filter(|_| ours)
    })
}

fn decode<T>(address: Address, data: &[u8]) -> Result<T, Error>
where
    T: AccountDeserialize + Discriminator,
{
    let undecodable = |error| Error::Decode { address, error };
    let tag = crate::discriminator(data).map_err(undecodable)?;
    if tag != T::DISCRIMINATOR {
        return Err(
            match (
                json::account_name(&tag),
                json::account_name(T::DISCRIMINATOR),
            ) {
                (Some(found), Some(expected)) => Error::WrongType {
                    address,
                    found,
                    expected,
                },
                _ => undecodable(DecodeError::Unknown(tag)),
            },
        );
    }
    T::try_deserialize(&mut &data[..]).map_err(|_| undecodable(DecodeError::Malformed("account")))
}

/// A transaction signed by `signers`, of whom the first pays.
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
    if TRANSACTION_BYTES < bytes {
        return Err(Error::TooLarge(bytes));
    }
    Ok(VersionedTransaction::try_new(message, signers)?)
}

/// Reads a keypair file as Solana's tools write it.
pub fn read_keypair(path: &Path) -> Result<Keypair, String> {
    solana_keypair::read_keypair_file(path).map_err(|error| {
        let path = path.display();
        format!("{path}: {error}: a keypair file is a JSON array of 64 numbers, as `solana-keygen new` writes it")
    })
}
