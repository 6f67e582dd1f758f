//! Accounts that the API asks to be read again: `app.refetch`.

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
use crate::{apply::MirrorWriter, cursor::Cursor, reading::Scope, rpc::Rpc, waits::scaled};

/// Time between two looks at the requests. Those who ask wait for a second or two.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// Time after which a failed reading is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Reads accounts that somebody asked for, beside the stream.
pub struct Refetcher {
    rpc: Arc<Rpc>,
    /// Accounts that are being read.
    reading: Option<(BTreeSet<Address>, Task)>,
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
    /// `cursor`, has passed.
    pub async fn step(
        &mut self,
        mirror: &mut MirrorWriter<'_>,
        cursor: &Cursor,
    ) -> Result<(), RunError> {
        let Some((addresses, task)) = &mut self.reading else {
            return self.look(mirror, cursor).await;
        };
        match task.next(cursor) {
            Ok(Progress::Pending) => {}
            // Of an account that changed since, the stream has a newer state.
            Ok(Progress::Passed(reading)) => {
                mirror.store_reading(reading).await?;
                mirror.answer(addresses).await?;
                self.reading = None;
            }
            Ok(Progress::Done) => self.reading = None,
            Err(error) => {
                tracing::warn!(%error, "reading accounts again failed; retrying");
                self.reading = None;
                self.due = Instant::now() + scaled(RETRY_DELAY);
            }
        }
        Ok(())
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
        let asked = mirror.asked().await?;
        if !asked.is_empty() {
            let scope = Scope::Addresses(asked.clone());
            let task = Task::begin(&self.rpc, vec![scope], cursor.slot);
            self.reading = Some((asked, task));
        }
        Ok(())
    }
}
