//! Yellowstone's stream of the program at confirmed commitment.

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

use crate::slot::{Assembler, SlotError, Update};

/// Servers send a ping every 10 seconds.
const SILENCE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(10);
/// An account can have 10 MiB.
const MESSAGE_BYTES: usize = 64 << 20;

#[derive(Clone)]
pub struct Server {
    pub url: String,
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("could not connect to the gRPC server: {0}")]
    Connect(String),
    #[error("the gRPC server ended the stream")]
    Ended,
    #[error("the gRPC server was silent for {} s", SILENCE.as_secs())]
    Silent,
    #[error(
        "the gRPC server is at slot {at}, behind slot {from_slot} that the mirror has come to: if \
         it does not catch up, it is of another chain"
    )]
    Behind { at: u64, from_slot: u64 },
    #[error("gRPC: {:?}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    #[error(
        "the gRPC server has no blocks from slot {from_slot} on any more ({reason}), so slots are \
         missing: make the mirror anew in an empty database (`indexer migrate`, `indexer run`)"
    )]
    TooOld { from_slot: u64, reason: String },
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl StreamError {
    /// Whether connecting again can help.
    pub fn passes(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Ended | Self::Silent | Self::Behind { .. } => true,
            Self::Status(status) => !matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::Unimplemented
            ),
            Self::TooOld { .. } | Self::Slot(_) => false,
        }
    }

    fn of_status(status: Status, from_slot: Option<u64>) -> Self {
        match (status.code(), from_slot) {
            (Code::OutOfRange, Some(from_slot)) => Self::TooOld {
                from_slot,
                reason: status.message().to_string(),
            },
            _ => Self::Status(Box::new(status)),
        }
    }
}

impl From<GeyserGrpcBuilderError> for StreamError {
    fn from(error: GeyserGrpcBuilderError) -> Self {
        Self::Connect(chain(&error))
    }
}

/// Sends what the server tells, from the whole of `from_slot` on, until the connection breaks
/// (an error), `stop` is cancelled or nobody receives any more.
///
/// A full channel makes this wait, and with it the server.
pub async fn follow(
    server: Server,
    from_slot: Option<u64>,
    updates: mpsc::Sender<Update>,
    stop: CancellationToken,
) -> Result<(), StreamError> {
    stop.run_until_cancelled(forward(server, from_slot, updates))
        .await
        .unwrap_or(Ok(()))
}

async fn forward(
    server: Server,
    from_slot: Option<u64>,
    updates: mpsc::Sender<Update>,
) -> Result<(), StreamError> {
    let mut client = connect(server).await?;
    if let Some(from_slot) = from_slot {
        reaches(&mut client, from_slot).await?;
    }
    let subscribed = client.subscribe_with_request(Some(request(from_slot)));
    let (mut requests, mut stream) = subscribed.await.map_err(|error| match error {
        GeyserGrpcClientError::TonicStatus(status) => StreamError::of_status(status, from_slot),
        GeyserGrpcClientError::TransportError(error) => StreamError::Connect(chain(&error)),
    })?;
    tracing::info!(from_slot, "subscribed");

    let mut assembler = Assembler::default();
    loop {
        let next = timeout(SILENCE, stream.next()).await;
        let update = next
            .map_err(|_| StreamError::Silent)?
            .ok_or(StreamError::Ended)?
            .map_err(|status| StreamError::of_status(status, from_slot))?;
        let assembled = match update.update_oneof {
            Some(UpdateOneof::Ping(_)) => {
                let ping = Some(SubscribeRequestPing { id: 1 });
                let request = SubscribeRequest {
                    ping,
                    ..Default::default()
                };
                // Some load balancers end streams on which the client says nothing.
                requests
                    .send(request)
                    .await
                    .map_err(|_| StreamError::Ended)?;
                None
            }
            Some(update) => assembler.push(update)?,
            None => None,
        };
        if let Some(update) = assembled
            && updates.send(update).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Fails where the server has not come to the slot: a stream from there on would be silent until it
/// has. One that does not tell where it is, is believed.
async fn reaches(client: &mut GeyserGrpcClient, from_slot: u64) -> Result<(), StreamError> {
    let asked = client.get_slot(Some(CommitmentLevel::Confirmed));
    match timeout(CONNECT, asked).await {
        Ok(Ok(reply)) if reply.slot < from_slot => Err(StreamError::Behind {
            at: reply.slot,
            from_slot,
        }),
        _ => Ok(()),
    }
}

async fn connect(server: Server) -> Result<GeyserGrpcClient, StreamError> {
    let is_tls = server.url.starts_with("https:");
    let mut builder = GeyserGrpcBuilder::from_shared(server.url)?
        .x_token(server.token)?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .max_decoding_message_size(MESSAGE_BYTES);
    if is_tls {
        builder = builder.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(builder.connect().await?)
}

fn request(from_slot: Option<u64>) -> SubscribeRequest {
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

/// The error with what caused it: of transport errors the cause alone says something.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        if !message.ends_with(&reason) {
            message.push_str(": ");
            message.push_str(&reason);
        }
        source = cause.source();
    }
    message
}
