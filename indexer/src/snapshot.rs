//! The program's accounts as an RPC node has them.

use std::time::Duration;

use driftshield_sdk::ID;
use serde_json::json;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::Error as ClientError,
    request::RpcRequest,
    response::{Response, RpcKeyedAccount},
};

use crate::{
    accounts::Changes,
    slot::{AccountWrite, SealedSlot},
};

const TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(400);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("RPC: {0}")]
    Rpc(#[from] Box<ClientError>),
    #[error("the RPC node is at slot {at}, behind slot {wanted} that the gRPC server has sent")]
    Behind { at: u64, wanted: i64 },
    #[error("the RPC node sent account {0} without its data: use another node")]
    NoData(String),
}

/// All accounts of the program at the end of `slot`, if not a little later.
pub struct Snapshot {
    pub slot: u64,
    pub accounts: Vec<RpcAccount>,
}

pub struct RpcAccount {
    /// Base58.
    pub address: String,
    pub lamports: u64,
    pub data: Vec<u8>,
}

pub fn client(rpc_url: &str) -> RpcClient {
    RpcClient::new_with_timeout(rpc_url.to_string(), TIMEOUT)
}

/// The accounts at confirmed commitment.
pub async fn read(rpc: &RpcClient, min_slot: i64) -> Result<Snapshot, SnapshotError> {
    let config = json!({
        "encoding": "base64",
        "commitment": "confirmed",
        "withContext": true,
        "minContextSlot": min_slot,
    });
    let params = json!([ID.to_string(), config]);
    let response: Response<Vec<RpcKeyedAccount>> = rpc
        .send(RpcRequest::GetProgramAccounts, params)
        .await
        .map_err(Box::new)?;
    let accounts = response.value.into_iter().map(RpcAccount::new);
    Ok(Snapshot {
        slot: response.context.slot,
        accounts: accounts.collect::<Result<_, _>>()?,
    })
}

impl RpcAccount {
    fn new(keyed: RpcKeyedAccount) -> Result<Self, SnapshotError> {
        let RpcKeyedAccount { pubkey, account } = keyed;
        match account.data.decode() {
            Some(data) => Ok(Self {
                address: pubkey,
                lamports: account.lamports,
                data,
            }),
            None => Err(SnapshotError::NoData(pubkey)),
        }
    }
}

/// What was there before `first`, the first slot that the stream gave.
///
/// The accounts are as at a later slot, but are stored as those of the slot before `first`: every
/// write and close from `first` on comes by the stream and is newer than that, wherever in
/// between the node took its snapshot. Stored under the snapshot's own slot, they would hold off
/// writes of a slot that was still open when it was taken.
pub async fn before(rpc: &RpcClient, first: &SealedSlot) -> Result<Changes, SnapshotError> {
    let snapshot = read_from(rpc, first.slot).await?;
    tracing::info!(
        slot = snapshot.slot,
        accounts = snapshot.accounts.len(),
        "snapshot taken"
    );
    let mut changes = Changes::default();
    for account in snapshot.accounts {
        let write = AccountWrite {
            address: account.address,
            write_version: i64::MAX,
            lamports: account.lamports,
            data: account.data,
        };
        changes.write(first.parent_slot, write);
    }
    Ok(changes)
}

/// The accounts at the end of `slot` or later, as soon as the node has come so far: it can be
/// behind the gRPC server.
async fn read_from(rpc: &RpcClient, slot: i64) -> Result<Snapshot, SnapshotError> {
    let mut attempts = 0;
    loop {
        let read = read(rpc, slot).await;
        let behind = match read {
            Ok(snapshot) if i64::try_from(snapshot.slot).is_ok_and(|at| slot <= at) => {
                return Ok(snapshot);
            }
            Ok(snapshot) => SnapshotError::Behind {
                at: snapshot.slot,
                wanted: slot,
            },
            Err(error) => error,
        };
        attempts += 1;
        if ATTEMPTS <= attempts {
            return Err(behind);
        }
        tracing::debug!(%behind, "no snapshot yet");
        tokio::time::sleep(PAUSE).await;
    }
}
