//! Reading of accounts beside the stream.

use std::sync::Arc;

use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    task::JoinHandle,
};

use crate::{
    cursor::Cursor,
    reading::{Reading, Scope},
    rpc::{ReadError, Rpc},
};

/// Number of answers that are kept until the mirror has passed their slots. Each can have all accounts
/// of a type.
const KEPT_READINGS: usize = 3;

/// Readings in progress, one for each scope.
pub struct Task {
    readings: mpsc::Receiver<Result<Reading, ReadError>>,
    /// The next one to store.
    next: Option<Reading>,
    /// Number of readings that are still to come.
    left: usize,
    handle: JoinHandle<()>,
}

/// What there is to store.
pub enum Progress {
    /// A reading that the mirror has passed.
    Passed(Reading),
    /// None yet.
    Pending,
    /// All were returned.
    Done,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Task {
    /// Begins to read accounts as of `min_slot` or later.
    pub fn begin(rpc: &Arc<Rpc>, scopes: Vec<Scope>, min_slot: i64) -> Self {
        let (sender, readings) = mpsc::channel(KEPT_READINGS);
        let rpc = Arc::clone(rpc);
        let left = scopes.len();
        let handle = tokio::spawn(async move {
            for scope in scopes {
                let reading = Reading::read(&rpc, scope, min_slot).await;
                let failed = reading.is_err();
                if sender.send(reading).await.is_err() || failed {
                    return;
                }
            }
        });
        Self {
            readings,
            next: None,
            left,
            handle,
        }
    }

    /// The next reading, once the mirror, which is at `cursor`, has passed it.
    ///
    /// # Errors
    ///
    /// It failed. No other one follows.
    pub fn next(&mut self, cursor: &Cursor) -> Result<Progress, ReadError> {
        let reading = match self.next.take() {
            Some(reading) => reading,
            None => match self.readings.try_recv() {
                Ok(reading) => {
                    self.left -= 1;
                    reading?
                }
                Err(TryRecvError::Empty) => return Ok(Progress::Pending),
                Err(TryRecvError::Disconnected) => {
                    assert_eq!(self.left, 0, "a reading ended without an answer");
                    return Ok(Progress::Done);
                }
            },
        };
        if reading.is_passed_by(cursor) {
            return Ok(Progress::Passed(reading));
        }
        self.next = Some(reading);
        Ok(Progress::Pending)
    }
}
