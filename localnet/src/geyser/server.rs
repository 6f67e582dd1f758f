//! The gRPC service.

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
    feed::{Event, Feed, SealedSlot},
    filter::Filter,
};

const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Updates that wait for a client to read them; the feed's own limit comes on top.
const CLIENT_QUEUE: usize = 256;
/// How many blocks a blockhash is good for.
const BLOCKHASH_BLOCKS: u64 = 150;

/// Serves until `stop`.
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
    fn at(&self, commitment: Option<i32>) -> Result<Arc<SealedSlot>, Status> {
        let slot = match commitment.map(CommitmentLevel::try_from) {
            Some(Ok(CommitmentLevel::Finalized)) => self.feed.last_finalized(),
            Some(Ok(CommitmentLevel::Processed | CommitmentLevel::Confirmed)) | None => {
                self.feed.last_confirmed()
            }
            Some(Err(_)) => return Err(Status::invalid_argument("unknown commitment")),
        };
        slot.ok_or_else(|| Status::unavailable("no slot yet: try again"))
    }
}

fn height(slot: &SealedSlot) -> u64 {
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
        let (updates, stream) = mpsc::channel(CLIENT_QUEUE);
        let client = Client {
            feed: Arc::clone(&self.feed),
            updates,
            subscribed: None,
        };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _ = stop
                .run_until_cancelled(client.run(request.into_inner()))
                .await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn subscribe_deshred(
        &self,
        _: Request<Streaming<SubscribeDeshredRequest>>,
    ) -> Result<Response<Self::SubscribeDeshredStream>, Status> {
        Err(Status::unimplemented("deshred updates are not served"))
    }

    async fn subscribe_gossip(
        &self,
        _: Request<SubscribeGossipRequest>,
    ) -> Result<Response<Self::SubscribeGossipStream>, Status> {
        Err(Status::unimplemented("gossip is not served"))
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
        let slot = self.at(request.into_inner().commitment)?;
        Ok(Response::new(GetLatestBlockhashResponse {
            slot: slot.slot,
            blockhash: slot.meta.blockhash.clone(),
            last_valid_block_height: height(&slot) + BLOCKHASH_BLOCKS,
        }))
    }

    async fn get_block_height(
        &self,
        request: Request<GetBlockHeightRequest>,
    ) -> Result<Response<GetBlockHeightResponse>, Status> {
        let slot = self.at(request.into_inner().commitment)?;
        Ok(Response::new(GetBlockHeightResponse {
            block_height: height(&slot),
        }))
    }

    async fn get_slot(
        &self,
        request: Request<GetSlotRequest>,
    ) -> Result<Response<GetSlotResponse>, Status> {
        let slot = self.at(request.into_inner().commitment)?.slot;
        Ok(Response::new(GetSlotResponse { slot }))
    }

    async fn is_blockhash_valid(
        &self,
        request: Request<IsBlockhashValidRequest>,
    ) -> Result<Response<IsBlockhashValidResponse>, Status> {
        let request = request.into_inner();
        let head = self.at(request.commitment)?;
        let block = self.feed.by_blockhash(&request.blockhash);
        let valid = block.is_some_and(|block| {
            block.slot <= head.slot && height(&head) - height(&block) <= BLOCKHASH_BLOCKS
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

/// One open stream.
struct Client {
    feed: Arc<Feed>,
    updates: mpsc::Sender<Result<SubscribeUpdate, Status>>,
    subscribed: Option<Subscribed>,
}

struct Subscribed {
    filter: Filter,
    live: broadcast::Receiver<Event>,
}

/// Why a stream ends.
enum End {
    /// The client is gone.
    Gone,
    /// The client is told why.
    Refused(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl Client {
    async fn run(mut self, requests: Streaming<SubscribeRequest>) {
        if let Err(End::Refused(status)) = self.serve(requests).await {
            tracing::info!(code = ?status.code(), reason = status.message(), "stream ended");
            let _ = self.updates.send(Err(status)).await;
        }
    }

    async fn serve(&mut self, mut requests: Streaming<SubscribeRequest>) -> Result<(), End> {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        // A client that has said all it will still listens.
        let mut asking = true;
        loop {
            tokio::select! {
                () = self.updates.closed() => return Err(End::Gone),
                _ = ping.tick() => self.send(sign(UpdateOneof::Ping(SubscribeUpdatePing {}))).await?,
                request = requests.message(), if asking => match request {
                    Ok(Some(request)) => self.request(request).await?,
                    Ok(None) => asking = false,
                    Err(_) => return Err(End::Gone),
                },
                event = next(&mut self.subscribed) => self.event(event).await?,
            }
        }
    }

    async fn request(&mut self, request: SubscribeRequest) -> Result<(), End> {
        if let Some(ping) = request.ping {
            let pong = SubscribeUpdatePong { id: ping.id };
            return self.send(sign(UpdateOneof::Pong(pong))).await;
        }
        let filter = Filter::parse(request)?;
        // The place in the feed is kept, unless the client names another.
        if let Some(subscribed) = &mut self.subscribed
            && filter.from_slot().is_none()
        {
            subscribed.filter = filter;
            return Ok(());
        }
        let subscription = self
            .feed
            .subscribe(filter.from_slot())
            .map_err(|error| Status::out_of_range(error.to_string()))?;
        for event in &subscription.replay {
            self.send_all(filter.updates(event)).await?;
        }
        self.subscribed = Some(Subscribed {
            filter,
            live: subscription.live,
        });
        Ok(())
    }

    async fn event(
        &mut self,
        event: Result<Event, broadcast::error::RecvError>,
    ) -> Result<(), End> {
        let event = event.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(events) => Status::data_loss(format!(
                "too slow, {events} events were lost: subscribe again with from_slot"
            )),
            broadcast::error::RecvError::Closed => Status::unavailable("the validator ended"),
        })?;
        let updates = match &self.subscribed {
            Some(subscribed) => subscribed.filter.updates(&event),
            None => Vec::new(),
        };
        self.send_all(updates).await
    }

    async fn send_all(&self, updates: Vec<SubscribeUpdate>) -> Result<(), End> {
        for update in updates {
            self.send(update).await?;
        }
        Ok(())
    }

    async fn send(&self, update: SubscribeUpdate) -> Result<(), End> {
        self.updates.send(Ok(update)).await.map_err(|_| End::Gone)
    }
}

/// The next live event; never where nothing is subscribed to.
async fn next(subscribed: &mut Option<Subscribed>) -> Result<Event, broadcast::error::RecvError> {
    match subscribed {
        Some(subscribed) => subscribed.live.recv().await,
        None => std::future::pending().await,
    }
}

fn sign(update: UpdateOneof) -> SubscribeUpdate {
    SubscribeUpdate {
        filters: Vec::new(),
        created_at: Some(std::time::SystemTime::now().into()),
        update_oneof: Some(update),
    }
}
