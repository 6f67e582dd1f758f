//! The open stream of one client.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{Interval, interval},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use yellowstone_grpc_proto::geyser::{
    SubscribeRequest, SubscribeUpdate, SubscribeUpdatePing, SubscribeUpdatePong,
    subscribe_update::UpdateOneof,
};

use super::{
    connection::ConnectionHandle,
    faults::{
        Faults,
        request::{Ending, Fault, Kind, Refusal},
        updates::StreamFaults,
    },
    feed::{Feed, ReplayError, SlotEvent},
    filter::SubscriptionFilter,
};

const PING_INTERVAL: Duration = Duration::from_secs(10);
const CLOSE_DELAY: Duration = Duration::from_millis(100);

/// The open stream of one client.
pub struct ClientStream {
    feed: Arc<Feed>,
    updates: mpsc::Sender<Result<SubscribeUpdate, Status>>,
    connection: ConnectionHandle,
    /// `None` until the client has sent its first filter.
    subscription: Option<ActiveSubscription>,
    faults: Arc<Faults>,
    stream_faults: StreamFaults,
    fault_changes: watch::Receiver<u64>,
    /// The last silence that kept something from the client.
    counted_silence: Option<u64>,
    ping: Interval,
}

struct ActiveSubscription {
    filter: SubscriptionFilter,
    /// Events to send before live ones.
    queued: VecDeque<SlotEvent>,
    live: broadcast::Receiver<SlotEvent>,
}

/// The reason why a stream ends.
enum StreamEnd {
    /// The client has disconnected.
    Disconnected,
    /// The server ends the stream with this status.
    Status(Status),
    /// The server closes the connection.
    CloseConnection,
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl ClientStream {
    pub fn new(
        faults: Arc<Faults>,
        connection: ConnectionHandle,
        updates: mpsc::Sender<Result<SubscribeUpdate, Status>>,
    ) -> Self {
        Self {
            feed: Arc::clone(faults.feed()),
            updates,
            connection,
            subscription: None,
            stream_faults: StreamFaults::new(Arc::clone(&faults)),
            fault_changes: faults.changes(),
            counted_silence: None,
            ping: interval(PING_INTERVAL),
            faults,
        }
    }

    /// Serves the client until its stream ends or `stop` is cancelled.
    pub async fn run(mut self, requests: Streaming<SubscribeRequest>, stop: CancellationToken) {
        let node_run = self.faults.run();
        let end = tokio::select! {
            // A restarted node sends no new slots on old streams.
            biased;
            () = stop.cancelled() => {
                let status = Status::unavailable("server is shutting down try again later");
                // Not `send`, which waits while the client's queue is full.
                let _ = self.updates.try_send(Err(status));
                return;
            }
            () = node_run.cancelled() => {
                self.faults.count_change(Kind::Restart);
                StreamEnd::Status(Status::unavailable("the node restarts"))
            }
            Err(end) = self.serve(requests) => end,
        };
        match end {
            StreamEnd::Disconnected => {}
            StreamEnd::CloseConnection => self.close_connection().await,
            StreamEnd::Status(status) => {
                tracing::info!(code = ?status.code(), reason = status.message(), "stream ended");
                // A stream that ends without an item has the status OK.
                if status.code() != Code::Ok {
                    let _ = self.updates.send(Err(status)).await;
                }
            }
        }
    }

    /// Closes the connection once the client has got what is queued for it.
    async fn close_connection(&self) {
        let queue = self.updates.max_capacity();
        if self.updates.reserve_many(queue).await.is_ok() {
            // The queue is empty, but the HTTP server may still be writing.
            tokio::time::sleep(CLOSE_DELAY).await;
        }
        self.connection.close();
    }

    async fn serve(
        &mut self,
        mut requests: Streaming<SubscribeRequest>,
    ) -> Result<Infallible, StreamEnd> {
        // A client may close its side of the stream and still receive updates.
        let mut requests_open = true;
        loop {
            let silence = self.faults.silence();
            self.count_silence(silence);
            tokio::select! {
                // A fault takes effect on all events after the request for it.
                biased;
                () = self.updates.closed() => return Err(StreamEnd::Disconnected),
                _ = self.fault_changes.changed() => {}
                _ = self.ping.tick() => self.send_ping(silence.is_some()).await?,
                request = requests.message(), if requests_open => match request {
                    Ok(Some(request)) => self.handle_request(request, silence.is_some()).await?,
                    Ok(None) => requests_open = false,
                    Err(_) => return Err(StreamEnd::Disconnected),
                },
                event = next_event(&mut self.subscription, silence.is_some()) => {
                    self.handle_event(event?, silence.is_some()).await?;
                }
            }
        }
    }

    /// Answers a ping, or subscribes with the filters of the request.
    async fn handle_request(
        &mut self,
        mut request: SubscribeRequest,
        is_silent: bool,
    ) -> Result<(), StreamEnd> {
        if let Some(ping) = request.ping {
            let pong = SubscribeUpdatePong { id: ping.id };
            return match is_silent {
                true => Ok(()),
                false => self.send(unfiltered(UpdateOneof::Pong(pong))).await,
            };
        }
        let from_slot = request.from_slot.take();
        let filter = SubscriptionFilter::parse(request)?;
        // New filters keep the position in the feed, unless the client sets `from_slot`.
        if let Some(active) = &mut self.subscription
            && from_slot.is_none()
        {
            active.filter = filter;
            return Ok(());
        }
        let from_slot = self.refuse_replay(from_slot)?;
        let subscription = self.feed.subscribe(from_slot).map_err(|error| {
            let message = error.to_string();
            match error {
                ReplayError::TooOld { .. } => Status::out_of_range(message),
                ReplayError::Empty => Status::internal(message),
            }
        })?;
        self.subscription = Some(ActiveSubscription {
            filter,
            queued: subscription.replay.into(),
            live: subscription.live,
        });
        Ok(())
    }

    /// Returns the slot from which to replay, unless a fault refuses it.
    fn refuse_replay(&self, from_slot: Option<u64>) -> Result<Option<u64>, Status> {
        let Some(from_slot) = from_slot else {
            return Ok(None);
        };
        let refusal = self.faults.inject(|fault| match fault {
            Fault::RefuseReplay(refusal) => Some((refusal.clone(), fault.kind())),
            _ => None,
        });
        let Some(injection) = refusal else {
            return Ok(Some(from_slot));
        };
        let (refusal, kind) = injection.value;
        let can_replay = self.feed.subscribe(Some(from_slot)).is_ok();
        if can_replay {
            self.faults.count_change(kind);
        }
        match refusal {
            Refusal::Ignored => Ok(None),
            Refusal::Unsupported => Err(Status::internal("from_slot is not supported")),
            Refusal::Error { internal } if injection.number <= internal => {
                Err(Status::internal(ReplayError::Empty.to_string()))
            }
            Refusal::Error { .. } => {
                let error = ReplayError::TooOld {
                    from_slot,
                    first_available: from_slot.saturating_add(1),
                };
                Err(Status::out_of_range(error.to_string()))
            }
        }
    }

    async fn handle_event(&mut self, event: SlotEvent, is_silent: bool) -> Result<(), StreamEnd> {
        let Some(active) = &mut self.subscription else {
            return Ok(());
        };
        if is_silent {
            active.queued.push_back(event);
            return Ok(());
        }
        let updates = active.filter.updates(&event);
        if !updates.is_empty()
            && !self.stream_faults.has_stalled()
            && let Some(pause) = self.stream_faults.stall()
        {
            self.ping = interval(pause);
        }
        if self.stream_faults.has_stalled() {
            return Ok(());
        }
        let faulty = self.stream_faults.apply(event.slot().meta.bank_id, updates);
        for update in faulty.updates {
            self.send(update).await?;
        }
        for kind in faulty.changed {
            self.faults.count_change(kind);
        }
        match faulty.ending {
            None => Ok(()),
            Some(Ending::Connection) => Err(StreamEnd::CloseConnection),
            Some(Ending::Status(code)) => {
                let code = Code::from_i32(code);
                Err(Status::new(code, "the stream was cut").into())
            }
        }
    }

    /// Counts a silence once it keeps an event from the client.
    fn count_silence(&mut self, silence: Option<u64>) {
        let Some(silence) = silence else { return };
        let queued = self.subscription.as_ref().map(|active| &active.queued);
        let holds_events = queued.is_some_and(|queued| !queued.is_empty());
        if holds_events && self.counted_silence != Some(silence) {
            self.counted_silence = Some(silence);
            self.faults.count_change(Kind::Silence);
        }
    }

    async fn send_ping(&self, is_silent: bool) -> Result<(), StreamEnd> {
        if is_silent {
            return Ok(());
        }
        let ping = UpdateOneof::Ping(SubscribeUpdatePing {});
        self.send(unfiltered(ping)).await
    }

    async fn send(&self, update: SubscribeUpdate) -> Result<(), StreamEnd> {
        self.updates
            .send(Ok(update))
            .await
            .map_err(|_| StreamEnd::Disconnected)
    }
}

/// Waits for the next event, or forever without a subscription. During a silence, events stay
/// queued and only live ones are returned.
async fn next_event(
    subscription: &mut Option<ActiveSubscription>,
    is_silent: bool,
) -> Result<SlotEvent, Status> {
    let Some(active) = subscription else {
        return std::future::pending().await;
    };
    if !is_silent && let Some(event) = active.queued.pop_front() {
        return Ok(event);
    }
    active.live.recv().await.map_err(|error| match error {
        // The message of the Yellowstone plugin.
        broadcast::error::RecvError::Lagged(_) => {
            Status::internal("lagged to receive geyser messages")
        }
        broadcast::error::RecvError::Closed => Status::unavailable("the validator ended"),
    })
}

/// A ping or pong, which belongs to no filter.
fn unfiltered(update: UpdateOneof) -> SubscribeUpdate {
    SubscribeUpdate {
        filters: Vec::new(),
        created_at: Some(std::time::SystemTime::now().into()),
        update_oneof: Some(update),
    }
}
