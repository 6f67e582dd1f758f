//! Snapshots of the program's accounts from an RPC node.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use driftshield_sdk::{Account, AccountKind, Address, ID};
use serde_json::json;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    request::RpcRequest,
    response::{Response, RpcKeyedAccount},
};

use crate::{
    lives::{ChangedLife, Facts, Life, RPC_VERSION},
    rpc::{self, AccountsAt},
    slot::SealedSlot,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of retries. With [`RETRY_DELAY`], an RPC node that is behind the gRPC server has
/// about 20 s to catch up.
const MAX_RETRIES: usize = 49;
/// Delay between retries: the duration of a slot.
const RETRY_DELAY: Duration = Duration::from_millis(400);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("RPC request failed; check --rpc-url: {0}")]
    Rpc(String),
    #[error(
        "the RPC node is at slot {node_slot}, behind slot {min_slot} of the gRPC server; if it does \
         not catch up, correct --rpc-url"
    )]
    Behind { node_slot: u64, min_slot: i64 },
    #[error("the RPC node sent account {0} without its data; use another node")]
    NoData(String),
    #[error("the RPC node sent an account with the malformed key {0}; use another node")]
    MalformedKey(String),
}

/// All accounts of the program.
pub struct Snapshot {
    /// The accounts contain all writes up to the end of this slot, and possibly later writes.
    pub slot: u64,
    pub accounts: Vec<RpcAccount>,
}

/// An account that the program owns.
pub struct RpcAccount {
    pub address: Address,
    pub lamports: u64,
    pub data: Vec<u8>,
}

pub fn client(rpc_url: &str) -> RpcClient {
    RpcClient::new_with_timeout(rpc_url.to_string(), REQUEST_TIMEOUT)
}

/// Reads all accounts of the program at confirmed commitment.
///
/// # Errors
///
/// The request fails, for example because the node has not reached `min_slot`, or an account comes
/// without its data.
pub async fn read(rpc: &RpcClient, min_slot: i64) -> Result<Snapshot, SnapshotError> {
    read_filtered(rpc, json!([]), min_slot).await
}

/// Reads the accounts of a type; `None` for the accounts of no known type.
///
/// # Errors
///
/// As of [`read`].
pub async fn read_kind(
    rpc: &RpcClient,
    kind: Option<AccountKind>,
    min_slot: i64,
) -> Result<Snapshot, SnapshotError> {
    let Some(kind) = kind else {
        // There is no filter for them: read the others and leave them out.
        let mut snapshot = read_filtered(rpc, json!([]), min_slot).await?;
        let is_unknown = |account: &RpcAccount| AccountKind::of_data(&account.data).is_none();
        snapshot.accounts.retain(is_unknown);
        return Ok(snapshot);
    };
    let discriminator = &Account::zeroed(kind).encode()[..8];
    let bytes = bs58::encode(discriminator).into_string();
    let filters = json!([{ "memcmp": { "offset": 0, "bytes": bytes } }]);
    read_filtered(rpc, filters, min_slot).await
}

async fn read_filtered(
    rpc: &RpcClient,
    filters: serde_json::Value,
    min_slot: i64,
) -> Result<Snapshot, SnapshotError> {
    let config = json!({
        "encoding": "base64",
        "commitment": "confirmed",
        "withContext": true,
        "minContextSlot": min_slot,
        "filters": filters,
    });
    // A raw request, because `get_program_accounts_with_config` drops the context's slot.
    let params = json!([ID.to_string(), config]);
    let sent = rpc.send(RpcRequest::GetProgramAccounts, params).await;
    let response: Response<Vec<RpcKeyedAccount>> = rpc::count("getProgramAccounts", sent)
        .map_err(|error| SnapshotError::Rpc(rpc::without_url(&error)))?;
    let accounts = response.value.into_iter().map(RpcAccount::new);
    Ok(Snapshot {
        slot: response.context.slot,
        accounts: accounts.collect::<Result<_, _>>()?,
    })
}

impl RpcAccount {
    fn new(keyed: RpcKeyedAccount) -> Result<Self, SnapshotError> {
        let RpcKeyedAccount { pubkey, account } = keyed;
        let address = pubkey
            .parse()
            .map_err(|_| SnapshotError::MalformedKey(pubkey.clone()))?;
        match account.data.decode() {
            Some(data) => Ok(Self {
                address,
                lamports: account.lamports,
                data,
            }),
            None => Err(SnapshotError::NoData(pubkey)),
        }
    }
}

/// The accounts before the first slot of the stream.
pub struct InitialAccounts {
    pub lives: Vec<ChangedLife>,
    /// The accounts may contain writes up to the end of this slot.
    pub settles_at: i64,
}

/// Reads the accounts that exist before `first`, the first slot of the stream.
///
/// The snapshot is taken at `first` or later, but its accounts are stored with the slot before
/// `first`. The stream delivers every write and close from `first` on, and each of them counts as
/// newer than the stored accounts. Accounts that were stored with the snapshot's slot would block
/// writes of a slot that was still open when the snapshot was taken.
pub async fn initial_accounts(
    rpc: &RpcClient,
    first: &SealedSlot,
) -> Result<InitialAccounts, SnapshotError> {
    let snapshot = read_from(rpc, first.slot).await?;
    tracing::info!(
        slot = snapshot.slot,
        accounts = snapshot.accounts.len(),
        "snapshot read"
    );
    let lives = snapshot.accounts.into_iter();
    Ok(InitialAccounts {
        lives: lives
            .map(|account| account.into_life(first.parent_slot))
            .collect(),
        // The slot after it includes what the node had executed of a slot that was still open.
        settles_at: i64::try_from(snapshot.slot).map_or(i64::MAX, |slot| slot + 1),
    })
}

impl From<Snapshot> for AccountsAt {
    fn from(snapshot: Snapshot) -> Self {
        let accounts = snapshot.accounts.into_iter();
        Self {
            slot: i64::try_from(snapshot.slot).unwrap_or(i64::MAX - 1),
            accounts: accounts
                .map(|account| (account.address, Some((account.lamports, account.data))))
                .collect(),
        }
    }
}

impl RpcAccount {
    /// The account as a life without a known beginning.
    fn into_life(self, slot: i64) -> ChangedLife {
        let life = Life {
            address: self.address,
            life: 0,
            is_current: true,
            kind: AccountKind::of_data(&self.data),
            slot,
            write_version: RPC_VERSION,
            closed_slot: None,
            lamports: self.lamports,
            data: self.data,
            is_exact: true,
            facts: Facts::default(),
        };
        life.into()
    }
}

/// Reads the accounts at the end of `min_slot` or later. Retries after every error, because the RPC
/// node can be behind the gRPC server.
pub async fn read_from(rpc: &RpcClient, min_slot: i64) -> Result<Snapshot, SnapshotError> {
    let read = || async {
        let snapshot = read(rpc, min_slot).await?;
        if i64::try_from(snapshot.slot).is_ok_and(|slot| min_slot <= slot) {
            return Ok(snapshot);
        }
        Err(SnapshotError::Behind {
            node_slot: snapshot.slot,
            min_slot,
        })
    };
    let retries = ConstantBuilder::new()
        .with_delay(RETRY_DELAY)
        .with_max_times(MAX_RETRIES);
    read.retry(retries)
        .notify(|error, _| tracing::debug!(%error, "snapshot not available yet; retrying"))
        .await
}
