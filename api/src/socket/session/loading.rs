//! Loading: reads the database for a session's subscriptions, one after the other, in a task of its own.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    super::{
        channel::Channel, limits::READ_TIMEOUT, outbox::SubscriptionId, snapshots::ChannelSnapshot,
    },
    Session,
    resumption::{self, ClientPosition, Refusal},
    subscriptions::State,
};
use crate::{
    feed::Position,
    mirror::{MirrorStatus, Snapshot},
    problem::Problem,
    state::AppState,
    updates::Record,
};

/// Number of times that a read is repeated which a standby cancels.
const RECOVERY_CONFLICTS: u32 = 5;
/// Pause before such a repetition, and before a snapshot is read again that the hub cannot continue.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// What was read for a subscription.
pub enum Loaded {
    Snapshot(Arc<ChannelSnapshot>),
    /// The subscription can continue here.
    Resumption(Position, MirrorStatus, OwnedSemaphorePermit),
    Refusal(Refusal),
    /// One batch of records, and the position of the mirror that they were read from.
    Records(Vec<Record>, Position),
}

type Reading = AbortOnDropHandle<Result<Loaded, Problem>>;

#[derive(Default)]
pub struct Loading {
    queue: VecDeque<SubscriptionId>,
    running: Option<(SubscriptionId, Reading)>,
}

impl Loading {
    /// Reads for a subscription after the others.
    pub fn add(&mut self, id: SubscriptionId) {
        self.queue.push_back(id);
    }

    /// Reads for a subscription before the others.
    pub fn add_first(&mut self, id: SubscriptionId) {
        self.queue.push_front(id);
    }

    /// Waits for what is being read. Can be cancelled.
    pub async fn next(&mut self) -> (SubscriptionId, Result<Loaded, Problem>) {
        let Some((id, reading)) = &mut self.running else {
            return pending().await;
        };
        let id = *id;
        let loaded = reading.await;
        self.running = None;
        // A read that panicked was reported by the panic.
        (
            id,
            loaded.unwrap_or(Err(Problem::Internal(sqlx::Error::WorkerCrashed))),
        )
    }
}

impl Session {
    /// Begins to read for the next subscription, unless a read is under way.
    pub(super) fn begin_loading(&mut self) {
        while self.loading.running.is_none()
            && let Some(id) = self.loading.queue.pop_front()
        {
            if let Some(reading) = self.read_for(id) {
                self.loading.running = Some((id, reading));
            }
        }
    }

    /// Begins to read what the subscription needs; `None` if it has ended.
    fn read_for(&self, id: SubscriptionId) -> Option<Reading> {
        let subscription = self.subscriptions.get(id)?;
        let (app, channel) = (self.app.clone(), subscription.channel.clone());
        let task = match &subscription.state {
            State::Snapshot { attempts, .. } => {
                let (name, attempts) = (Arc::clone(&subscription.name), *attempts);
                tokio::spawn(async move {
                    if 0 < attempts {
                        sleep(RETRY_DELAY).await;
                    }
                    let (app, name, channel) = (&app, &name, &channel);
                    let read = || app.hub.snapshots.get(app, name, channel);
                    repeated(read).await.map(Loaded::Snapshot)
                })
            }
            State::Resume { from, .. } => {
                let from = *from;
                tokio::spawn(async move { resume(&app, from).await })
            }
            State::Replay(replay) => {
                let covered = replay.covered;
                tokio::spawn(async move { repeated(|| records(&app, &channel, covered)).await })
            }
            State::Waiting { .. } | State::Active { .. } => return None,
        };
        Some(AbortOnDropHandle::new(task))
    }
}

/// Reads whether a client can resume. Waits for a permit for the replay before.
async fn resume(app: &AppState, from: ClientPosition) -> Result<Loaded, Problem> {
    let permit = permit(&app.hub.replays).await?;
    let (mirror, checked) = repeated(|| check(app, from)).await?;
    Ok(match (checked, mirror) {
        (Ok(position), Some(mirror)) => Loaded::Resumption(position, mirror, permit),
        (Err(refusal), _) => Loaded::Refusal(refusal),
        (Ok(_), None) => Loaded::Refusal(Refusal {
            reason: "mirror is empty".to_owned(),
            rollbacks: vec![],
        }),
    })
}

async fn check(
    app: &AppState,
    from: ClientPosition,
) -> Result<(Option<MirrorStatus>, Result<Position, Refusal>), Problem> {
    let mut snapshot = Snapshot::begin(&app.db).await?;
    let checked = resumption::check(&mut snapshot, from).await?;
    Ok((snapshot.close(), checked))
}

async fn permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = timeout(READ_TIMEOUT, Arc::clone(permits).acquire_owned()).await;
    let permit = permit.map_err(|_| Problem::Unavailable(sqlx::Error::PoolTimedOut))?;
    Ok(permit.expect("is never closed"))
}

async fn records(app: &AppState, channel: &Channel, after: i64) -> Result<Loaded, Problem> {
    let mut snapshot = Snapshot::begin(&app.db).await?;
    let records = channel.records_after(after, &mut snapshot).await?;
    let position = Position {
        epoch: snapshot.epoch(),
        seq: snapshot.seq(),
    };
    snapshot.close();
    Ok(Loaded::Records(records, position))
}

/// Reads within the time limit, and again if a standby cancels the read.
async fn repeated<T, F>(read: impl Fn() -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    let mut conflicts = 0;
    loop {
        let result = timeout(READ_TIMEOUT, read()).await;
        match result.unwrap_or(Err(Problem::Timeout)) {
            Err(problem) if problem.is_recovery_conflict() && conflicts < RECOVERY_CONFLICTS => {
                conflicts += 1;
                sleep(RETRY_DELAY).await;
            }
            result => return result,
        }
    }
}
