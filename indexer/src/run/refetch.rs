//! Accounts that the API asks to be read again: `app.refetch`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    RunError,
    task::{Progress, Task},
};
use crate::{
    apply::{MirrorWriter, Request},
    cursor::Cursor,
    reading::{Scope, Taken},
    rpc::Rpc,
    waits::scaled,
};

/// Time between two looks at the requests. Those who ask wait for a second or two.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// Time after which a failed reading is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reads accounts that somebody asked for, beside the stream.
pub struct Refetcher {
    rpc: Arc<Rpc>,
    /// Requests whose accounts are being read.
    reading: Option<(Vec<Request>, Task)>,
    /// When to look at the requests again.
    due: Instant,
}

impl Refetcher {
    pub fn new(rpc: Arc<Rpc>) -> Self {
        Self {
            rpc,
            reading: None,
            due: Instant::now(),
        }
    }

    /// Starts to read what was asked for, or takes over what has been read and the mirror, which is at
    /// `cursor`, has passed. Returns whether events are missing, so that all accounts must be read again.
    pub async fn step(
        &mut self,
        mirror: &mut MirrorWriter<'_>,
        cursor: &Cursor,
    ) -> Result<bool, RunError> {
        let Some((requests, task)) = &mut self.reading else {
            self.look(mirror, cursor).await?;
            return Ok(false);
        };
        match task.next(cursor) {
            Ok(Progress::Pending) => {}
            // Of an account that changed since, the stream has a newer state.
            Ok(Progress::Passed(reading)) => match mirror.store_reading(reading).await? {
                Taken::Stored { lacks_events, .. } => {
                    mirror.answer(requests).await?;
                    self.reading = None;
                    return Ok(lacks_events);
                }
                Taken::OtherFork => self.retry("the RPC node was on another fork"),
            },
            Ok(Progress::Done) => self.reading = None,
            Err(error) => self.retry(&error.to_string()),
        }
        Ok(false)
    }

    fn retry(&mut self, reason: &str) {
        tracing::warn!(reason, "reading accounts again failed; retrying");
        self.reading = None;
        self.due = Instant::now() + scaled(RETRY_DELAY);
    }

    async fn look(
        &mut self,
        mirror: &mut MirrorWriter<'_>,
        cursor: &Cursor,
    ) -> Result<(), RunError> {
        if Instant::now() < self.due {
            return Ok(());
        }
        self.due = Instant::now() + POLL_INTERVAL;
        let requests = mirror.requests().await?;
        if !requests.is_empty() {
            let addresses = requests.iter().map(|request| request.address);
            let scope = Scope::Addresses(addresses.collect());
            // Whoever asks has seen a newer slot than a mirror that is behind.
            let min_slot = cursor.slot.max(cursor.tip_slot);
            let task = Task::begin(&self.rpc, vec![scope], min_slot);
            self.reading = Some((requests, task));
        }
        Ok(())
    }
}
