//! The Yellowstone gRPC service.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, codec::CompressionEncoding, transport::Server};
use yellowstone_grpc_proto::geyser::{
    CommitmentLevel, GetBlockHeightRequest, GetBlockHeightResponse, GetLatestBlockhashRequest,
    GetLatestBlockhashResponse, GetSlotRequest, GetSlotResponse, GetVersionRequest,
    GetVersionResponse, IsBlockhashValidRequest, IsBlockhashValidResponse, PingRequest,
    PongResponse, SubscribeDeshredRequest, SubscribeGossipRequest, SubscribeReplayInfoRequest,
    SubscribeReplayInfoResponse, SubscribeRequest, SubscribeUpdate, SubscribeUpdateDeshred,
    SubscribeUpdateGossip, SubscribeUpdatePing, SubscribeUpdatePong,
    geyser_server::{Geyser, GeyserServer},
    subscribe_update::UpdateOneof,
};

use super::{
    feed::{Feed, SealedSlot, SlotEvent},
    filter::SubscriptionFilter,
};

const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Number of updates queued for a client that reads slowly, in addition to the feed's queue.
const CLIENT_QUEUE: usize = 256;
/// Number of blocks after which a blockhash expires.
const BLOCKHASH_LIFETIME: u64 = 150;

/// Serves until `stop` is cancelled.
pub async fn run(
    listener: TcpListener,
    feed: Arc<Feed>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = GeyserServer::new(Service {
        feed,
        stop: stop.clone(),
    })
    .accept_compressed(CompressionEncoding::Gzip)
    .accept_compressed(CompressionEncoding::Zstd)
    .send_compressed(CompressionEncoding::Gzip)
    .send_compressed(CompressionEncoding::Zstd);
    reporter.set_serving::<GeyserServer<Service>>().await;
    Server::builder()
        .add_service(health)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await
        .context("the gRPC server ended")
}

struct Service {
    feed: Arc<Feed>,
    stop: CancellationToken,
}

impl Service {
    /// The latest slot at a commitment level.
    fn latest_slot(&self, commitment: Option<i32>) -> Result<Arc<SealedSlot>, Status> {
        let slot = match commitment.map(CommitmentLevel::try_from) {
            Some(Ok(CommitmentLevel::Finalized)) => self.feed.last_finalized(),
            Some(Ok(CommitmentLevel::Processed | CommitmentLevel::Confirmed)) | None => {
                self.feed.last_confirmed()
            }
            Some(Err(unknown)) => {
                return Err(Status::invalid_argument(format!(
                    "unknown commitment {}: use processed, confirmed or finalized",
                    unknown.0
                )));
            }
        };
        slot.ok_or_else(|| Status::unavailable("no slot has this commitment yet: try again"))
    }
}

/// Block height of a slot, or the slot's number if its block has no height.
fn block_height(slot: &SealedSlot) -> u64 {
    let height = slot.meta.block_height.as_ref();
    height.map_or(slot.slot, |height| height.block_height)
}

#[tonic::async_trait]
impl Geyser for Service {
    type SubscribeStream = ReceiverStream<Result<SubscribeUpdate, Status>>;
    type SubscribeDeshredStream = ReceiverStream<Result<SubscribeUpdateDeshred, Status>>;
    type SubscribeGossipStream = ReceiverStream<Result<SubscribeUpdateGossip, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (updates, receiver) = mpsc::channel(CLIENT_QUEUE);
        let stream = ClientStream {
            feed: Arc::clone(&self.feed),
            updates,
            subscription: None,
        };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _ = stop
                .run_until_cancelled(stream.run(request.into_inner()))
                .await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn subscribe_deshred(
        &self,
        _: Request<Streaming<SubscribeDeshredRequest>>,
    ) -> Result<Response<Self::SubscribeDeshredStream>, Status> {
        Err(Status::unimplemented(
            "deshred updates are not supported: use Subscribe",
        ))
    }

    async fn subscribe_gossip(
        &self,
        _: Request<SubscribeGossipRequest>,
    ) -> Result<Response<Self::SubscribeGossipStream>, Status> {
        Err(Status::unimplemented(
            "gossip is not supported: use Subscribe",
        ))
    }

    async fn subscribe_replay_info(
        &self,
        _: Request<SubscribeReplayInfoRequest>,
    ) -> Result<Response<SubscribeReplayInfoResponse>, Status> {
        Ok(Response::new(SubscribeReplayInfoResponse {
            first_available: self.feed.first_available(),
        }))
    }

    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        let count = request.into_inner().count;
        Ok(Response::new(PongResponse { count }))
    }

    async fn get_latest_blockhash(
        &self,
        request: Request<GetLatestBlockhashRequest>,
    ) -> Result<Response<GetLatestBlockhashResponse>, Status> {
        let slot = self.latest_slot(request.into_inner().commitment)?;
        Ok(Response::new(GetLatestBlockhashResponse {
            slot: slot.slot,
            blockhash: slot.meta.blockhash.clone(),
            last_valid_block_height: block_height(&slot) + BLOCKHASH_LIFETIME,
        }))
    }

    async fn get_block_height(
        &self,
        request: Request<GetBlockHeightRequest>,
    ) -> Result<Response<GetBlockHeightResponse>, Status> {
        let slot = self.latest_slot(request.into_inner().commitment)?;
        Ok(Response::new(GetBlockHeightResponse {
            block_height: block_height(&slot),
        }))
    }

    async fn get_slot(
        &self,
        request: Request<GetSlotRequest>,
    ) -> Result<Response<GetSlotResponse>, Status> {
        let slot = self.latest_slot(request.into_inner().commitment)?.slot;
        Ok(Response::new(GetSlotResponse { slot }))
    }

    async fn is_blockhash_valid(
        &self,
        request: Request<IsBlockhashValidRequest>,
    ) -> Result<Response<IsBlockhashValidResponse>, Status> {
        let request = request.into_inner();
        let head = self.latest_slot(request.commitment)?;
        let block = self.feed.by_blockhash(&request.blockhash);
        let valid = block.is_some_and(|block| {
            block.slot <= head.slot
                && block_height(&head) - block_height(&block) <= BLOCKHASH_LIFETIME
        });
        Ok(Response::new(IsBlockhashValidResponse {
            slot: head.slot,
            valid,
        }))
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        let version = serde_json::json!({
            "version": {
                "package": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
            },
        });
        Ok(Response::new(GetVersionResponse {
            version: version.to_string(),
        }))
    }
}

/// The open stream of one client.
struct ClientStream {
    feed: Arc<Feed>,
    updates: mpsc::Sender<Result<SubscribeUpdate, Status>>,
    /// `None` until the client has sent its first filter.
    subscription: Option<ActiveSubscription>,
}

struct ActiveSubscription {
    filter: SubscriptionFilter,
    live: broadcast::Receiver<SlotEvent>,
}

/// The reason why a stream ends.
enum StreamEnd {
    /// The client has disconnected.
    Disconnected,
    /// The server ends the stream with this status.
    Status(Status),
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl ClientStream {
    async fn run(mut self, requests: Streaming<SubscribeRequest>) {
        if let Err(StreamEnd::Status(status)) = self.serve(requests).await {
            tracing::info!(code = ?status.code(), reason = status.message(), "stream ended");
            let _ = self.updates.send(Err(status)).await;
        }
    }

    async fn serve(&mut self, mut requests: Streaming<SubscribeRequest>) -> Result<(), StreamEnd> {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        // A client may close its side of the stream and still receive updates.
        let mut requests_open = true;
        loop {
            tokio::select! {
                () = self.updates.closed() => return Err(StreamEnd::Disconnected),
                _ = ping.tick() => self.send_ping().await?,
                request = requests.message(), if requests_open => match request {
                    Ok(Some(request)) => self.handle_request(request).await?,
                    Ok(None) => requests_open = false,
                    Err(_) => return Err(StreamEnd::Disconnected),
                },
                event = next_event(&mut self.subscription) => self.handle_event(event).await?,
            }
        }
    }

    /// Answers a ping, or subscribes with the filters of the request.
    async fn handle_request(&mut self, request: SubscribeRequest) -> Result<(), StreamEnd> {
        if let Some(ping) = request.ping {
            let pong = SubscribeUpdatePong { id: ping.id };
            return self.send(unfiltered(UpdateOneof::Pong(pong))).await;
        }
        let filter = SubscriptionFilter::parse(request)?;
        // New filters keep the position in the feed, unless the client sets `from_slot`.
        if let Some(active) = &mut self.subscription
            && filter.start_slot().is_none()
        {
            active.filter = filter;
            return Ok(());
        }
        let subscription = self
            .feed
            .subscribe(filter.start_slot())
            .map_err(|error| Status::out_of_range(error.to_string()))?;
        for event in &subscription.replay {
            self.send_all(filter.updates(event)).await?;
        }
        self.subscription = Some(ActiveSubscription {
            filter,
            live: subscription.live,
        });
        Ok(())
    }

    async fn handle_event(
        &mut self,
        event: Result<SlotEvent, broadcast::error::RecvError>,
    ) -> Result<(), StreamEnd> {
        let event = event.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(events) => Status::data_loss(format!(
                "client too slow: {events} events were dropped; subscribe again with from_slot"
            )),
            broadcast::error::RecvError::Closed => Status::unavailable("the validator ended"),
        })?;
        let updates = match &self.subscription {
            Some(active) => active.filter.updates(&event),
            None => Vec::new(),
        };
        self.send_all(updates).await
    }

    async fn send_ping(&self) -> Result<(), StreamEnd> {
        let ping = UpdateOneof::Ping(SubscribeUpdatePing {});
        self.send(unfiltered(ping)).await
    }

    async fn send_all(&self, updates: Vec<SubscribeUpdate>) -> Result<(), StreamEnd> {
        for update in updates {
            self.send(update).await?;
        }
        Ok(())
    }

    async fn send(&self, update: SubscribeUpdate) -> Result<(), StreamEnd> {
        self.updates
            .send(Ok(update))
            .await
            .map_err(|_| StreamEnd::Disconnected)
    }
}

/// Waits for the next live event, or forever without a subscription.
async fn next_event(
    subscription: &mut Option<ActiveSubscription>,
) -> Result<SlotEvent, broadcast::error::RecvError> {
    match subscription {
        Some(active) => active.live.recv().await,
        None => std::future::pending().await,
    }
}

/// A ping or pong, which belongs to no filter.
fn unfiltered(update: UpdateOneof) -> SubscribeUpdate {
    SubscribeUpdate {
        filters: Vec::new(),
        created_at: Some(std::time::SystemTime::now().into()),
        update_oneof: Some(update),
    }
}
