//! The Yellowstone gRPC service.

use std::sync::Arc;

use anyhow::Context;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, codec::CompressionEncoding, transport::Server};
use yellowstone_grpc_proto::geyser::{
    CommitmentLevel, GetBlockHeightRequest, GetBlockHeightResponse, GetLatestBlockhashRequest,
    GetLatestBlockhashResponse, GetSlotRequest, GetSlotResponse, GetVersionRequest,
    GetVersionResponse, IsBlockhashValidRequest, IsBlockhashValidResponse, PingRequest,
    PongResponse, SubscribeDeshredRequest, SubscribeGossipRequest, SubscribeReplayInfoRequest,
    SubscribeReplayInfoResponse, SubscribeRequest, SubscribeUpdate, SubscribeUpdateDeshred,
    SubscribeUpdateGossip,
    geyser_server::{Geyser, GeyserServer},
};

use super::{
    connection::{Connection, ConnectionHandle},
    faults::{
        Faults,
        request::{Fault, Kind, Refusal},
    },
    feed::{Feed, SealedSlot},
    stream::ClientStream,
};

/// Number of updates queued for a client that reads slowly, in addition to the feed's queue.
const CLIENT_QUEUE: usize = 256;
/// Number of blocks after which a blockhash expires.
const BLOCKHASH_LIFETIME: u64 = 150;

/// Serves the feed behind `faults` until `stop` is cancelled.
pub async fn run(
    listener: TcpListener,
    faults: Arc<Faults>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = GeyserServer::new(Service {
        feed: Arc::clone(faults.feed()),
        faults,
        stop: stop.clone(),
    })
    .accept_compressed(CompressionEncoding::Gzip)
    .accept_compressed(CompressionEncoding::Zstd)
    .send_compressed(CompressionEncoding::Gzip)
    .send_compressed(CompressionEncoding::Zstd);
    reporter.set_serving::<GeyserServer<Service>>().await;
    let connections = TcpListenerStream::new(listener);
    let connections = connections.map(|accepted| accepted.map(Connection::new));
    Server::builder()
        .add_service(health)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
        .context("the gRPC server ended")
}

struct Service {
    feed: Arc<Feed>,
    faults: Arc<Faults>,
    stop: CancellationToken,
}

impl Service {
    /// The first slot that can be replayed; like the Yellowstone plugin, the largest number while
    /// there is none.
    fn first_available(&self) -> Option<u64> {
        let unsupported = Fault::RefuseReplay(Refusal::Unsupported);
        if self.faults.inject_exactly(&unsupported).is_some() {
            // Clients that ask don't even subscribe with a slot.
            if self.feed.first_available().is_some() {
                self.faults.count_change(Kind::NoReplay);
            }
            return None;
        }
        let Some(first) = self.feed.first_available() else {
            return Some(u64::MAX);
        };
        let lie = self.faults.inject(|fault| match fault {
            Fault::FalseReplayInfo { slots_early } => Some(*slots_early),
            _ => None,
        });
        let Some(lie) = lie else { return Some(first) };
        let false_first = first.saturating_sub(lie.value);
        if false_first != first {
            self.faults.count_change(Kind::FalseReplayInfo);
        }
        Some(false_first)
    }

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
        slot.ok_or_else(|| Status::internal("block is not available yet"))
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
        let refusal = self.faults.inject_exactly(&Fault::RefuseSubscriptions);
        if refusal.is_some() {
            self.faults.count_change(Kind::RefuseSubscriptions);
            return Err(Status::unavailable("the node accepts no subscriptions"));
        }
        if self
            .faults
            .inject_exactly(&Fault::IgnoreSubscriptions)
            .is_some()
        {
            self.faults.count_change(Kind::IgnoreSubscriptions);
            return std::future::pending().await;
        }
        let (updates, receiver) = mpsc::channel(CLIENT_QUEUE);
        let connection = request.extensions().get::<ConnectionHandle>();
        let connection = connection.cloned().unwrap_or_default();
        let stream = ClientStream::new(Arc::clone(&self.faults), connection, updates);
        tokio::spawn(stream.run(request.into_inner(), self.stop.clone()));
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
            first_available: self.first_available(),
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
        let behind = self.faults.inject(|fault| match fault {
            Fault::Behind { slots } => Some(*slots),
            _ => None,
        });
        let slot = match behind {
            Some(behind) => {
                self.faults.count_change(Kind::Behind);
                slot.saturating_sub(behind.value)
            }
            None => slot,
        };
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

#[cfg(test)]
mod tests {
    use tonic::Code;

    use crate::geyser::test_client::{TestServer, whole};

    #[tokio::test]
    async fn live_slots_follow_replayed_ones() {
        let mut server = TestServer::start().await;
        server.confirm([10, 11]);
        let mut subscriber = server.subscribe(Some(11)).await;
        server.confirm([12]);
        let labels = subscriber.labels(12).await;
        assert_eq!(labels, [whole(11), whole(12)].concat());
        assert!(server.faults.report().counts.is_empty());
    }

    #[tokio::test]
    async fn a_replay_is_refused_like_by_the_plugin() {
        let mut server = TestServer::start().await;
        let no_slot = (Code::Internal, "failed to get replay response".to_owned());
        assert_eq!(server.replay_error(10).await, no_slot);
        server.confirm(10..=12);
        assert_eq!(server.replay_error(13).await, no_slot);
        let too_old = "broadcast from 9 is not available, last available: 10".to_owned();
        let refused = server.replay_error(9).await;
        assert_eq!(refused, (Code::OutOfRange, too_old));
    }

    #[tokio::test]
    async fn slots_are_reported_once_there_are_any() {
        let mut server = TestServer::start().await;
        assert_eq!(server.first_available().await, Some(u64::MAX));
        assert_eq!(server.slot().await.unwrap_err().code(), Code::Internal);
        server.confirm(10..=12);
        assert_eq!(server.first_available().await, Some(10));
        assert_eq!(server.slot().await.unwrap(), 12);
    }

    #[tokio::test]
    async fn a_client_that_falls_behind_gets_an_error() {
        let mut server = TestServer::start().await;
        let mut subscriber = server.subscribe(None).await;
        // More slots than the feed queues, while the server gets no time to send them.
        server.confirm(10..1_000);
        let (_, status) = subscriber.until_end().await;
        let status = status.unwrap();
        let lagged = (Code::Internal, "lagged to receive geyser messages");
        assert_eq!((status.code(), status.message()), lagged);
    }

    #[tokio::test]
    async fn a_server_that_stops_is_unavailable() {
        let mut server = TestServer::start().await;
        let mut subscriber = server.subscribe(None).await;
        drop(server);
        let (_, status) = subscriber.until_end().await;
        assert_eq!(status.unwrap().code(), Code::Unavailable);
    }
}
