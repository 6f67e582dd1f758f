//! Completion of the mirror's accounts from an RPC node, beside the stream.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use driftshield_sdk::Address;

use super::{
    RunError,
    task::{Progress, Task},
};
use crate::{
    apply::MirrorWriter,
    cursor::Cursor,
    reading::{Scope, Taken},
    rpc::Rpc,
    waits::scaled,
};

/// Time after which a failed reading is tried again. The stream is followed meanwhile.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Reads the accounts that the mirror misses, until it has all of them.
pub struct Settler {
    rpc: Arc<Rpc>,
    missing: Missing,
    /// Accounts that are read by their address before the others count as complete.
    doubtful: BTreeSet<Address>,
    /// Accounts that the mirror did not know before, and which are read once more.
    added: BTreeSet<Address>,
    /// Whether what was read shows that events are missing.
    lacks_events: bool,
    task: Option<Task>,
    /// When a reading last failed.
    failed_at: Option<Instant>,
}

/// Which accounts the mirror may miss.
enum Missing {
    /// Those that changed in slots without their writes.
    Some(BTreeSet<Address>),
    All,
}

impl Settler {
    /// Accounts that earlier attempts missed are not known.
    pub fn new(rpc: Arc<Rpc>, cursor: Option<&Cursor>) -> Self {
        let is_settled = cursor.is_some_and(|cursor| cursor.settled_slot.is_some());
        let missing = if is_settled {
            Missing::Some([].into())
        } else {
            Missing::All
        };
        Self {
            rpc,
            missing,
            doubtful: [].into(),
            added: [].into(),
            lacks_events: false,
            task: None,
            failed_at: None,
        }
    }

    /// Takes note of accounts that changed in a slot without their writes.
    pub fn miss(&mut self, touched: impl IntoIterator<Item = Address>) {
        self.task = None;
        if let Missing::Some(missing) = &mut self.missing {
            missing.extend(touched);
        }
    }

    /// Takes note that any account may be missing or old.
    pub fn miss_all(&mut self) {
        self.task = None;
        self.lacks_events = false;
        self.missing = Missing::All;
    }

    /// Starts to read, or stores what has been read and the mirror has passed. `cursor` is the mirror's.
    pub async fn step(
        &mut self,
        mirror: &mut MirrorWriter<'_>,
        cursor: &Cursor,
    ) -> Result<(), RunError> {
        let failed = self.failed_at.map(|at| at.elapsed());
        let task = match &mut self.task {
            Some(task) => task,
            None if failed.is_some_and(|elapsed| elapsed < scaled(RETRY_DELAY)) => return Ok(()),
            None => {
                self.doubtful.clear();
                self.added.clear();
                let scopes = self.missing.scopes();
                self.task
                    .insert(Task::begin(&self.rpc, scopes, cursor.slot))
            }
        };
        loop {
            let reading = match task.next(cursor) {
                Ok(Progress::Passed(reading)) => reading,
                Ok(Progress::Pending) => return Ok(()),
                Ok(Progress::Done) => break,
                Err(error) => {
                    tracing::warn!(%error, "reading accounts failed; retrying");
                    (self.task, self.failed_at) = (None, Some(Instant::now()));
                    return Ok(());
                }
            };
            match mirror.store_reading(reading).await? {
                Taken::Stored {
                    doubtful,
                    added,
                    lacks_events,
                } => {
                    self.lacks_events |= lacks_events;
                    self.doubtful.extend(doubtful);
                    let added = added.into_iter();
                    let again = added.filter(|address| self.added.insert(*address));
                    self.doubtful.extend(again);
                }
                Taken::OtherFork => {
                    tracing::warn!("the RPC node was on another fork; reading the accounts again");
                    self.miss_all();
                    self.failed_at = Some(Instant::now());
                    return Ok(());
                }
            }
        }
        if !self.doubtful.is_empty() {
            let scope = Scope::Addresses(std::mem::take(&mut self.doubtful));
            self.task = Some(Task::begin(&self.rpc, vec![scope], cursor.slot));
            return Ok(());
        }
        if self.lacks_events {
            // What was read before may be older than the missing events.
            self.miss_all();
            return Ok(());
        }
        let settled = mirror.settle().await?;
        tracing::info!(
            slot = settled.slot,
            seq = settled.seq,
            "the mirror has all accounts"
        );
        self.task = None;
        self.missing = Missing::Some([].into());
        Ok(())
    }
}

impl Missing {
    fn scopes(&self) -> Vec<Scope> {
        match self {
            Self::Some(addresses) if addresses.is_empty() => vec![],
            Self::Some(addresses) => vec![Scope::Addresses(addresses.clone())],
            Self::All => Scope::all(),
        }
    }
}
