//! Snapshots that sockets share: one is reused until a record of its channel comes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    channel::Channel,
    limits::{SNAPSHOT_AGE, SNAPSHOT_BYTES, SNAPSHOT_READS},
};
use crate::{feed::Position, mirror::Snapshot, problem::Problem, state::AppState};

/// State of a channel.
pub struct ChannelSnapshot {
    pub position: Position,
    pub slot: i64,
    /// The state in JSON.
    pub data: Utf8Bytes,
    taken_at: Instant,
}

/// Whoever holds the lock reads the snapshot for those who wait for it.
type Shared = Arc<tokio::sync::Mutex<Option<Arc<ChannelSnapshot>>>>;

pub struct Snapshots {
    permits: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_channel: HashMap<Arc<str>, Shared>,
    bytes: usize,
}

impl Snapshots {
    pub fn new() -> Self {
        Self {
            permits: Semaphore::new(SNAPSHOT_READS),
            kept: Mutex::default(),
        }
    }

    /// The state of a channel. Read from the database, unless one is kept that still is the channel's.
    ///
    /// # Errors
    ///
    /// If the mirror is settling or the database fails.
    pub async fn get(
        &self,
        app: &AppState,
        name: &Arc<str>,
        channel: &Channel,
    ) -> Result<Arc<ChannelSnapshot>, Problem> {
        let shared = Arc::clone(self.lock().by_channel.entry(Arc::clone(name)).or_default());
        let mut kept = shared.lock().await;
        let is_current = |kept: &&Arc<ChannelSnapshot>| {
            kept.taken_at.elapsed() < SNAPSHOT_AGE && app.hub.is_current(name, kept.position)
        };
        if let Some(kept) = kept.as_ref().filter(is_current) {
            return Ok(Arc::clone(kept));
        }
        *kept = None;
        let permit = self.permits.acquire().await.expect("is never closed");
        let taken = Arc::new(read(app, channel).await?);
        drop(permit);
        *kept = Some(Arc::clone(&taken));
        drop(kept);
        self.limit(name, taken.data.len());
        Ok(taken)
    }

    /// Forgets old snapshots if all of them take too much memory, and all of them if that isn't enough.
    fn limit(&self, name: &Arc<str>, added: usize) {
        /// Memory of a snapshot besides its data, in bytes.
        const OVERHEAD: usize = 512;
        let mut kept = self.lock();
        kept.bytes += added + OVERHEAD;
        if kept.bytes < SNAPSHOT_BYTES {
            return;
        }
        let mut bytes = 0;
        kept.by_channel.retain(|_, shared| {
            // One that is being read is kept.
            let Ok(snapshot) = shared.try_lock() else {
                return true;
            };
            let young = snapshot
                .as_ref()
                .filter(|snapshot| snapshot.taken_at.elapsed() < SNAPSHOT_AGE);
            bytes += young.map_or(0, |snapshot| snapshot.data.len() + OVERHEAD);
            young.is_some()
        });
        if SNAPSHOT_BYTES < 2 * bytes {
            kept.by_channel.retain(|other, _| other == name);
            bytes = added + OVERHEAD;
        }
        kept.bytes = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(app: &AppState, channel: &Channel) -> Result<ChannelSnapshot, Problem> {
    let taken_at = Instant::now();
    let taken = |position, slot, data| ChannelSnapshot {
        position,
        slot,
        data,
        taken_at,
    };
    if !channel.has_data()
        && let Some(mirror) = app.feed.fresh_mirror()
        && !mirror.settling
    {
        let position = Position {
            epoch: mirror.epoch,
            seq: mirror.seq,
        };
        return Ok(taken(position, mirror.slot, "null".into()));
    }
    let mut snapshot = Snapshot::begin_settled(&app.db).await?;
    let data = channel.data(&mut snapshot).await?.to_string();
    let position = Position {
        epoch: snapshot.epoch(),
        seq: snapshot.seq(),
    };
    let mirror = snapshot.close();
    let slot = mirror.map_or(0, |mirror| mirror.slot);
    Ok(taken(position, slot, data.into()))
}
