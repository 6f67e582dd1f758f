//! A Yellowstone gRPC server of a [`Chain`]. It replays every slot.

use std::sync::Arc;

use futures::{Stream, stream};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use yellowstone_grpc_proto::{
    geyser::{
        GetBlockHeightRequest, GetBlockHeightResponse, GetLatestBlockhashRequest,
        GetLatestBlockhashResponse, GetSlotRequest, GetSlotResponse, GetVersionRequest,
        GetVersionResponse, IsBlockhashValidRequest, IsBlockhashValidResponse, PingRequest,
        PongResponse, SubscribeDeshredRequest, SubscribeGossipRequest, SubscribeReplayInfoRequest,
        SubscribeReplayInfoResponse, SubscribeRequest, SubscribeUpdate, SubscribeUpdateDeshred,
        SubscribeUpdateGossip,
        geyser_server::{Geyser, GeyserServer},
    },
    tonic::{self, Request, Response, Status, Streaming, transport::Server},
};

use super::chain::{Chain, FIRST_SLOT};

/// Messages that wait for the connection. Few, so that a message is on its way soon after it was queued.
const QUEUE: usize = 8;

/// Serves the chain on a loopback port until the handle is aborted. Returns the URL.
pub async fn serve(chain: Arc<Chain>) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let connections = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(connection, _)| {
            // Otherwise the kernel holds back the end of a slot.
            let _ = connection.set_nodelay(true);
            connection
        });
        Some((accepted, listener))
    });
    let server = Server::builder().add_service(GeyserServer::new(Service { chain }));
    let serving = tokio::spawn(async move {
        let served = server.serve_with_incoming(connections).await;
        served.expect("the gRPC server serves");
    });
    Ok((url, serving))
}

struct Service {
    chain: Arc<Chain>,
}

impl Service {
    fn require_up(&self) -> Result<(), Status> {
        if *self.chain.is_down.borrow() {
            return Err(Status::unavailable("the node is down"));
        }
        Ok(())
    }
}

/// Sends the chain from the slot with index `next` on, until the client leaves or the server goes down.
async fn send_slots(
    chain: Arc<Chain>,
    mut next: u64,
    updates: mpsc::Sender<Result<SubscribeUpdate, Status>>,
) {
    let mut confirmed = chain.confirmed.subscribe();
    let mut is_down = chain.is_down.subscribe();
    let sending = async {
        loop {
            // The sender lives as long as the chain.
            let _ = confirmed.wait_for(|count| next < *count).await;
            for update in chain.content(next) {
                updates.send(Ok(update)).await.ok()?;
            }
            let meta = chain.block_meta(next);
            let place = updates.reserve().await.ok()?;
            chain.note_sealed(next);
            place.send(Ok(meta));
            for update in chain.statuses(next) {
                updates.send(Ok(update)).await.ok()?;
            }
            next += 1;
        }
    };
    let goes_down = async {
        let _ = is_down.wait_for(|is_down| *is_down).await;
    };
    tokio::select! {
        // The client has left.
        None::<()> = sending => {}
        () = goes_down => {
            let error = Status::unavailable("the node goes down");
            let _ = updates.send(Err(error)).await;
        }
    }
}

type Updates<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn from_queue<T: Send + 'static>(queue: mpsc::Receiver<Result<T, Status>>) -> Updates<T> {
    Box::pin(stream::unfold(queue, |mut queue| async {
        Some((queue.recv().await?, queue))
    }))
}

#[tonic::async_trait]
impl Geyser for Service {
    type SubscribeStream = Updates<SubscribeUpdate>;
    type SubscribeDeshredStream = Updates<SubscribeUpdateDeshred>;
    type SubscribeGossipStream = Updates<SubscribeUpdateGossip>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.require_up()?;
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        let from_slot = first.and_then(|request| request.from_slot);
        let next = match from_slot {
            Some(slot) => self.chain.index_of(slot),
            None => *self.chain.confirmed.borrow(),
        };
        let (updates, queue) = mpsc::channel(QUEUE);
        if from_slot.is_some_and(|slot| slot < FIRST_SLOT) {
            let base = updates.try_send(Ok(Chain::base_meta()));
            base.expect("the queue is empty");
        }
        let chain = Arc::clone(&self.chain);
        tokio::spawn(async move {
            send_slots(chain, next, updates).await;
            // Until then, because the client may send pings.
            drop(requests);
        });
        self.chain.subscriptions.send_modify(|count| *count += 1);
        Ok(Response::new(from_queue(queue)))
    }

    async fn subscribe_replay_info(
        &self,
        _: Request<SubscribeReplayInfoRequest>,
    ) -> Result<Response<SubscribeReplayInfoResponse>, Status> {
        self.require_up()?;
        Ok(Response::new(SubscribeReplayInfoResponse {
            // The block before the first slot, and one before it.
            first_available: Some(FIRST_SLOT - 2),
        }))
    }

    async fn get_slot(
        &self,
        _: Request<GetSlotRequest>,
    ) -> Result<Response<GetSlotResponse>, Status> {
        self.require_up()?;
        let slot = self.chain.tip().slot;
        Ok(Response::new(GetSlotResponse { slot }))
    }

    async fn subscribe_deshred(
        &self,
        _: Request<Streaming<SubscribeDeshredRequest>>,
    ) -> Result<Response<Self::SubscribeDeshredStream>, Status> {
        Err(unused())
    }

    async fn subscribe_gossip(
        &self,
        _: Request<SubscribeGossipRequest>,
    ) -> Result<Response<Self::SubscribeGossipStream>, Status> {
        Err(unused())
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        Err(unused())
    }

    async fn get_latest_blockhash(
        &self,
        _: Request<GetLatestBlockhashRequest>,
    ) -> Result<Response<GetLatestBlockhashResponse>, Status> {
        Err(unused())
    }

    async fn get_block_height(
        &self,
        _: Request<GetBlockHeightRequest>,
    ) -> Result<Response<GetBlockHeightResponse>, Status> {
        Err(unused())
    }

    async fn is_blockhash_valid(
        &self,
        _: Request<IsBlockhashValidRequest>,
    ) -> Result<Response<IsBlockhashValidResponse>, Status> {
        Err(unused())
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Err(unused())
    }
}

fn unused() -> Status {
    Status::unimplemented("the indexer doesn't ask for this")
}
