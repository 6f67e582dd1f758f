//! Yellowstone gRPC subscription to the program at confirmed commitment.

mod whole;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use driftshield_sdk::ID;
use driftshield_service::error_chain;
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
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
    tonic::{self, Code},
};

use crate::{
    cursor::Tip,
    slot::{SlotError, SlotUpdate, assembler::SlotAssembler},
    status::Status,
    waits::scaled,
};
use whole::WholeSlots;

/// Silence after which the connection is considered dead. Servers send a ping every 10 seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// Time without a new confirmed slot after which the server counts as stalled, although it sends pings, or
/// slots that it doesn't confirm. A cluster has a slot every 400 ms.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for opening the connection, and for the server's answer to the slot request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message that is accepted. An account update can exceed 10 MiB, more than gRPC's default
/// limit.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// URL and access token of a Yellowstone gRPC server.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcServer {
    pub url: String,
    pub token: Option<String>,
}

impl GrpcServer {
    pub fn without_token(url: String) -> Self {
        Self { url, token: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("cannot connect to the gRPC server; check --grpc-url and --grpc-token: {0}")]
    Connect(String),
    #[error("the gRPC server ended the stream")]
    Ended,
    #[error("the gRPC server sent nothing for {} s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    #[error("the gRPC server confirmed no new slot for {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
    #[error(
        "the gRPC server is at slot {server_slot}, behind the mirror's slot {from_slot}; if it does \
         not catch up, it belongs to another cluster: correct --grpc-url"
    )]
    Behind { server_slot: u64, from_slot: u64 },
    #[error("gRPC error {:?}: {}{}", .0.code(), .0.message(), advice(.0))]
    Status(Box<tonic::Status>),
    #[error(
        "the gRPC server doesn't replay slots from {from_slot} on ({reason}); with \
         `replay_stored_slots` the Yellowstone plugin keeps slots for this"
    )]
    NoReplay { from_slot: u64, reason: String },
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// What to do about a gRPC status, appended to its message; empty for statuses that a retry can
/// fix.
fn advice(status: &tonic::Status) -> &'static str {
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
            Self::Connect(_)
            | Self::Ended
            | Self::Silent
            | Self::Stalled
            | Self::NoReplay { .. }
            | Self::Behind { .. } => true,
            Self::Status(status) => !matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::Unimplemented
            ),
            Self::Slot(error) => *error == SlotError::NeverSealed,
        }
    }

    /// `from_slot` is the slot that a replay should begin with, until the server sends the first
    /// update.
    fn from_status(status: tonic::Status, from_slot: Option<u64>) -> Self {
        match (status.code(), from_slot) {
            (Code::OutOfRange | Code::Internal, Some(from_slot)) => Self::NoReplay {
                from_slot,
                reason: status.message().to_string(),
            },
            _ => Self::Status(Box::new(status)),
        }
    }

    /// `from_slot` as in [`Self::from_status`].
    fn from_client(error: GeyserGrpcClientError, from_slot: Option<u64>) -> Self {
        match error {
            GeyserGrpcClientError::TonicStatus(status) => Self::from_status(status, from_slot),
            GeyserGrpcClientError::TransportError(error) => Self::Connect(error_chain(&error)),
        }
    }
}

impl From<GeyserGrpcBuilderError> for StreamError {
    fn from(error: GeyserGrpcBuilderError) -> Self {
        // The message of a transport error does not include its cause, but its error chain does.
        Self::Connect(error_chain(&error))
    }
}

/// Where a stream of updates goes.
pub struct Updates {
    pub slots: mpsc::Sender<SlotUpdate>,
    /// The newest confirmed slot that the server has reached.
    pub tip: watch::Sender<Option<Tip>>,
    /// Takes note of the slots that have arrived.
    pub status: Arc<Status>,
}

impl Updates {
    /// Takes note of a slot that the server has reached. A replay begins with earlier ones.
    fn reach(&self, tip: Tip) {
        self.tip.send_if_modified(|newest| {
            let is_newer = newest.is_none_or(|newest| newest.slot < tip.slot);
            if is_newer {
                *newest = Some(tip);
            }
            is_newer
        });
    }
}

/// Sends the slot updates of the program to `updates`, starting with the whole slot `from_slot`, or, if
/// the server doesn't have it or `from_slot` is `None`, with the first slot that the server certainly
/// sends as a whole. Returns when `stop` is cancelled or the receiver is dropped. While the channel is full,
/// nothing is read from the server (backpressure).
///
/// # Errors
///
/// - The connection cannot be opened, ends, is silent for `SILENCE_TIMEOUT` or has no new confirmed slot for
///   `STALL_TIMEOUT`.
/// - The server returns an error, has not reached `from_slot`, or doesn't replay slots.
/// - A message is incomplete or has a number out of range.
pub async fn forward_until_stopped(
    server: GrpcServer,
    from_slot: Option<u64>,
    updates: Updates,
    stop: CancellationToken,
) -> Result<(), StreamError> {
    stop.run_until_cancelled(forward(server, from_slot, updates))
        .await
        .unwrap_or(Ok(()))
}

async fn forward(
    server: GrpcServer,
    mut from_slot: Option<u64>,
    updates: Updates,
) -> Result<(), StreamError> {
    let mut client = connect(server).await?;
    let mut whole = WholeSlots::default();
    if let Some(slot) = &mut from_slot {
        check_server_slot(&mut client, *slot, &updates).await?;
        let first_kept = first_kept(&mut client, *slot).await?;
        // A plugin that is loaded while the node runs keeps only a part of its first slot.
        if first_kept.is_none_or(|first| first < *slot) {
            whole.from_slot = i64::try_from(*slot).ok();
        }
        *slot = first_kept.map_or(*slot, |first| first.max(*slot));
    }
    let subscribed = client.subscribe_with_request(Some(subscription(from_slot)));
    let subscribed = timeout(scaled(SILENCE_TIMEOUT), subscribed).await;
    let (mut requests, mut stream) = subscribed
        .map_err(|_| StreamError::Silent)?
        .map_err(|error| StreamError::from_client(error, from_slot))?;
    tracing::info!(from_slot, "subscribed to the gRPC stream");

    let mut assembler = SlotAssembler::default();
    let mut progress = Progress::new();
    loop {
        let silence = timeout(scaled(SILENCE_TIMEOUT), stream.next());
        let next = timeout(progress.left(), silence).await;
        let message = next
            .map_err(|_| StreamError::Stalled)?
            .map_err(|_| StreamError::Silent)?
            .ok_or(StreamError::Ended)?
            .map_err(|status| StreamError::from_status(status, from_slot))?;
        let Some(message) = message.update_oneof else {
            continue;
        };
        if let UpdateOneof::Ping(_) = message {
            // Some load balancers close streams on which the client sends nothing.
            requests
                .send(ping())
                .await
                .map_err(|_| StreamError::Ended)?;
            continue;
        }
        // From here on, an error doesn't mean that the server refuses to replay.
        from_slot = None;
        if let Some(tip) = progress.observe(&message) {
            updates.reach(tip);
        }
        if let Some(update) = assembler.push(message)?
            && whole.has(&update)
        {
            if let SlotUpdate::Sealed(sealed) = &update {
                updates.status.arrive(sealed.slot);
            }
            let waits = updates.slots.send(update);
            if waits.await.is_err() {
                return Ok(());
            }
            // The time that the database takes is not the server's.
            progress.resume();
        }
    }
}

/// Waits until the server sends the end of a confirmed slot. Returns the slot.
///
/// # Errors
///
/// It refuses the subscription, or sends none for `STALL_TIMEOUT`.
pub async fn probe(server: GrpcServer) -> Result<u64, StreamError> {
    let probed = async {
        let mut client = connect(server).await?;
        let subscribed = client.subscribe_with_request(Some(subscription(None)));
        let subscribed = subscribed.await;
        // The server may end the stream with the requests.
        let (_requests, mut stream) =
            subscribed.map_err(|error| StreamError::from_client(error, None))?;
        while let Some(message) = stream.next().await {
            let message = message.map_err(|status| StreamError::from_status(status, None))?;
            if let Some(UpdateOneof::BlockMeta(meta)) = message.update_oneof {
                return Ok(meta.slot);
            }
        }
        Err(StreamError::Ended)
    };
    let probed = timeout(scaled(STALL_TIMEOUT), probed).await;
    probed.unwrap_or(Err(StreamError::Stalled))
}

/// Watches whether the server confirms new slots.
struct Progress {
    newest: u64,
    at: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            newest: 0,
            at: Instant::now(),
        }
    }

    fn resume(&mut self) {
        self.at = Instant::now();
    }

    /// Time until the server counts as stalled.
    fn left(&self) -> Duration {
        scaled(STALL_TIMEOUT).saturating_sub(self.at.elapsed())
    }

    /// Takes note of a message. Returns the slot that it confirms, if it is new. The metadata of blocks counts,
    /// not the status of slots: a server can process slots that it never confirms.
    fn observe(&mut self, message: &UpdateOneof) -> Option<Tip> {
        let UpdateOneof::BlockMeta(meta) = message else {
            return None;
        };
        if meta.slot <= self.newest {
            return None;
        }
        self.newest = meta.slot;
        self.at = Instant::now();
        Some(Tip {
            slot: i64::try_from(meta.slot).ok()?,
            at: Utc::now(),
        })
    }
}

/// The first slot that the server keeps; `None` if it doesn't say.
///
/// # Errors
///
/// The server says that it keeps no slots.
async fn first_kept(client: &mut GeyserGrpcClient, slot: u64) -> Result<Option<u64>, StreamError> {
    let info = timeout(CONNECT_TIMEOUT, client.subscribe_replay_info()).await;
    match info {
        Ok(Ok(info)) => match info.first_available {
            // A server that has just started may have none yet, and says so in its own way.
            Some(first) if first != u64::MAX => Ok(Some(first)),
            _ => Err(StreamError::NoReplay {
                from_slot: slot,
                reason: "it keeps no slots".to_owned(),
            }),
        },
        // Older servers don't say.
        _ => Ok(None),
    }
}

/// Fails if the server has not reached `from_slot`, because a subscription would stay silent until
/// then. Otherwise reports the server's slot. The check passes if the server returns an error or does
/// not answer in time.
async fn check_server_slot(
    client: &mut GeyserGrpcClient,
    from_slot: u64,
    updates: &Updates,
) -> Result<(), StreamError> {
    let reply = client.get_slot(Some(CommitmentLevel::Confirmed));
    match timeout(CONNECT_TIMEOUT, reply).await {
        Ok(Ok(reply)) if reply.slot < from_slot => Err(StreamError::Behind {
            server_slot: reply.slot,
            from_slot,
        }),
        Ok(Ok(reply)) => {
            let slot = i64::try_from(reply.slot).unwrap_or(i64::MAX);
            let at = Utc::now();
            updates.reach(Tip { slot, at });
            Ok(())
        }
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

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::prelude::{
        SlotStatus, SubscribeUpdateBlockMeta, SubscribeUpdateSlot,
    };

    use super::*;

    #[test]
    fn a_server_stalls_although_it_processes_slots_that_it_does_not_confirm() {
        let block = |slot| {
            UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
                slot,
                ..Default::default()
            })
        };
        let processed = |slot| {
            UpdateOneof::Slot(SubscribeUpdateSlot {
                slot,
                status: SlotStatus::SlotProcessed.into(),
                ..Default::default()
            })
        };
        let mut progress = Progress::new();
        let confirmed = progress.observe(&block(7));
        assert_eq!(confirmed.map(|tip| tip.slot), Some(7));
        let begun = progress.at;
        for no_progress in [processed(8), block(7)] {
            assert_eq!(progress.observe(&no_progress), None);
        }
        assert_eq!(progress.at, begun);
        assert!(progress.observe(&block(8)).is_some());
        assert!(begun < progress.at);
    }

    #[test]
    fn a_replay_does_not_set_the_tip_back() {
        let (slots, _received) = mpsc::channel(1);
        let (sender, tip) = watch::channel(None);
        let updates = Updates {
            slots,
            tip: sender,
            status: Arc::default(),
        };
        for slot in [90, 40, 91] {
            let at = Utc::now();
            updates.reach(Tip { slot, at });
            assert_eq!(tip.borrow().map(|tip| tip.slot), Some(slot.max(90)));
        }
    }
}
