//! Yellowstone gRPC subscription to the program at confirmed commitment.

use std::time::Duration;

use driftshield_sdk::ID;
use futures::{SinkExt, StreamExt};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use yellowstone_grpc_client::{
    ClientTlsConfig, GeyserGrpcBuilder, GeyserGrpcBuilderError, GeyserGrpcClient,
    GeyserGrpcClientError,
};
use yellowstone_grpc_proto::{
    prelude::{
        CommitmentLevel, SubscribeRequest, SubscribeRequestFilterAccounts,
        SubscribeRequestFilterSlots, SubscribeRequestFilterTransactions, SubscribeRequestPing,
        subscribe_update::UpdateOneof,
    },
    tonic::{Code, Status},
};

use crate::{
    error_chain::error_chain,
    slot::{SlotError, SlotUpdate, assembler::SlotAssembler},
};

/// Silence after which the connection is considered dead. Servers send a ping every 10 seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for opening the connection, and for the server's answer to the slot request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message that is accepted. An account update can exceed 10 MiB, more than gRPC's default
/// limit.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// URL and access token of a Yellowstone gRPC server.
#[derive(Clone)]
pub struct GrpcServer {
    pub url: String,
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("cannot connect to the gRPC server; check --grpc-url and --grpc-token: {0}")]
    Connect(String),
    #[error("the gRPC server ended the stream")]
    Ended,
    #[error("the gRPC server sent nothing for {} s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    #[error(
        "the gRPC server is at slot {server_slot}, behind the mirror's slot {from_slot}; if it does \
         not catch up, it belongs to another cluster: correct --grpc-url"
    )]
    Behind { server_slot: u64, from_slot: u64 },
    #[error("gRPC error {:?}: {}{}", .0.code(), .0.message(), advice(.0))]
    Status(Box<Status>),
    #[error(
        "the gRPC server no longer has slot {from_slot} ({reason}), so the mirror would miss slots; \
         rebuild the mirror in an empty database (`indexer migrate`, then `indexer run`)"
    )]
    SlotPruned { from_slot: u64, reason: String },
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// What to do about a gRPC status, appended to its message; empty for statuses that a retry can
/// fix.
fn advice(status: &Status) -> &'static str {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => "; check --grpc-token",
        Code::InvalidArgument => "; use a server that accepts this subscription",
        Code::Unimplemented => "; check that --grpc-url is a Yellowstone gRPC server",
        _ => "",
    }
}

impl StreamError {
    /// Whether a new connection can succeed. Every `Connect` error counts as transient, although an
    /// invalid URL or token never succeeds.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Ended | Self::Silent | Self::Behind { .. } => true,
            Self::Status(status) => !matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::Unimplemented
            ),
            Self::SlotPruned { .. } | Self::Slot(_) => false,
        }
    }

    fn from_status(status: Status, from_slot: Option<u64>) -> Self {
        match (status.code(), from_slot) {
            (Code::OutOfRange, Some(from_slot)) => Self::SlotPruned {
                from_slot,
                reason: status.message().to_string(),
            },
            _ => Self::Status(Box::new(status)),
        }
    }
}

impl From<GeyserGrpcBuilderError> for StreamError {
    fn from(error: GeyserGrpcBuilderError) -> Self {
        // The message of a transport error does not include its cause, but its error chain does.
        Self::Connect(error_chain(&error))
    }
}

/// Sends the slot updates of the program to `updates`, starting with the whole slot `from_slot`, or
/// with the current slot if `from_slot` is `None`. Returns when `stop` is cancelled or the receiver
/// is dropped. While the channel is full, nothing is read from the server (backpressure).
///
/// # Errors
///
/// - The connection cannot be opened, ends or is silent for `SILENCE_TIMEOUT`.
/// - The server returns an error, has not reached `from_slot`, or no longer has it.
/// - A message is incomplete or has a number out of range.
pub async fn forward_until_stopped(
    server: GrpcServer,
    from_slot: Option<u64>,
    updates: mpsc::Sender<SlotUpdate>,
    stop: CancellationToken,
) -> Result<(), StreamError> {
    stop.run_until_cancelled(forward(server, from_slot, updates))
        .await
        .unwrap_or(Ok(()))
}

async fn forward(
    server: GrpcServer,
    from_slot: Option<u64>,
    updates: mpsc::Sender<SlotUpdate>,
) -> Result<(), StreamError> {
    let mut client = connect(server).await?;
    if let Some(from_slot) = from_slot {
        check_server_slot(&mut client, from_slot).await?;
    }
    let subscribed = client.subscribe_with_request(Some(subscription(from_slot)));
    let (mut requests, mut stream) = subscribed.await.map_err(|error| match error {
        GeyserGrpcClientError::TonicStatus(status) => StreamError::from_status(status, from_slot),
        GeyserGrpcClientError::TransportError(error) => StreamError::Connect(error_chain(&error)),
    })?;
    tracing::info!(from_slot, "subscribed to the gRPC stream");

    let mut assembler = SlotAssembler::default();
    loop {
        let next = timeout(SILENCE_TIMEOUT, stream.next()).await;
        let message = next
            .map_err(|_| StreamError::Silent)?
            .ok_or(StreamError::Ended)?
            .map_err(|status| StreamError::from_status(status, from_slot))?;
        let update = match message.update_oneof {
            Some(UpdateOneof::Ping(_)) => {
                // Some load balancers close streams on which the client sends nothing.
                requests
                    .send(ping())
                    .await
                    .map_err(|_| StreamError::Ended)?;
                None
            }
            Some(message) => assembler.push(message)?,
            None => None,
        };
        if let Some(update) = update
            && updates.send(update).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Fails if the server has not reached `from_slot`, because a subscription would stay silent until
/// then. The check passes if the server returns an error or does not answer in time.
async fn check_server_slot(
    client: &mut GeyserGrpcClient,
    from_slot: u64,
) -> Result<(), StreamError> {
    let reply = client.get_slot(Some(CommitmentLevel::Confirmed));
    match timeout(CONNECT_TIMEOUT, reply).await {
        Ok(Ok(reply)) if reply.slot < from_slot => Err(StreamError::Behind {
            server_slot: reply.slot,
            from_slot,
        }),
        _ => Ok(()),
    }
}

async fn connect(server: GrpcServer) -> Result<GeyserGrpcClient, StreamError> {
    let is_tls = server.url.starts_with("https:");
    let mut builder = GeyserGrpcBuilder::from_shared(server.url)?
        .x_token(server.token)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    if is_tls {
        builder = builder.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(builder.connect().await?)
}

fn ping() -> SubscribeRequest {
    SubscribeRequest {
        ping: Some(SubscribeRequestPing { id: 1 }),
        ..Default::default()
    }
}

/// Request for the program's accounts and successful transactions, and for the metadata of all
/// blocks and the statuses of all slots.
fn subscription(from_slot: Option<u64>) -> SubscribeRequest {
    let program = || vec![ID.to_string()];
    let accounts = SubscribeRequestFilterAccounts {
        owner: program(),
        ..Default::default()
    };
    let transactions = SubscribeRequestFilterTransactions {
        vote: Some(false),
        failed: Some(false),
        account_include: program(),
        ..Default::default()
    };
    // `false`: the stream then also reports finalized slots, not only confirmed ones.
    let slots = SubscribeRequestFilterSlots {
        filter_by_commitment: Some(false),
        ..Default::default()
    };
    let name = || "driftshield".to_string();
    SubscribeRequest {
        commitment: Some(CommitmentLevel::Confirmed.into()),
        accounts: [(name(), accounts)].into(),
        transactions: [(name(), transactions)].into(),
        blocks_meta: [(name(), Default::default())].into(),
        slots: [(name(), slots)].into(),
        from_slot,
        ..Default::default()
    }
}
