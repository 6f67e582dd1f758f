//! Faults of a node, injected on request, to test that clients survive them.
//!
//! Without an armed fault, nothing here changes what clients get.
//!
//! - [`request`]: faults and their parameters, and reports
//! - [`control`]: the HTTP interface through which other processes request faults
//! - [`updates`]: faults of one stream: its messages are cut, lost, late, doubled or reordered, or end
//! - [`node`]: faults that all streams see: false forks and malformed accounts

pub mod control;
pub mod node;
mod random;
pub mod request;
pub mod updates;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    random::Random,
    request::{Armed, Counts, Ending, Fault, Kind, Report, Request},
};
use super::feed::Feed;

/// Limit of false children. Fewer slots than the 31 after which Surfpool finalizes a slot, because
/// no false slot may be finalized.
const MAX_CHILDREN: u32 = 16;
/// Largest injected account. Clients accept messages of 64 MiB.
const MAX_ACCOUNT_BYTES: usize = 32 << 20;

/// The faults to inject, shared by everything that injects them.
pub struct Faults {
    feed: Arc<Feed>,
    state: Mutex<State>,
    /// Changes when a fault is armed or is over.
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    armed: Vec<Armed>,
    last_id: u64,
    counts: BTreeMap<Kind, Counts>,
    /// What is false in a slot, by bank id.
    marks: HashMap<u64, Mark>,
    /// Cancelled when the node restarts.
    run: CancellationToken,
    restarts: u64,
}

/// What is false in a slot.
#[derive(Clone, Debug)]
pub enum Mark {
    /// The whole slot.
    Slot,
    /// The account with this address, which does not exist on chain.
    Account { kind: Kind, address: Vec<u8> },
}

/// One injection of an armed fault.
pub struct Injection<T> {
    pub value: T,
    /// Number of the injection among those of the same request, from 1.
    pub number: u32,
    pub random: Random,
}

/// The request has parameters that no fault of its kind can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid fault: {0}")]
pub struct InvalidRequest(&'static str);

impl Faults {
    pub fn new(feed: Arc<Feed>) -> Arc<Self> {
        Arc::new(Self {
            feed,
            state: Mutex::default(),
            revision: watch::Sender::default(),
        })
    }

    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Arms a fault, or restarts the node at once. Returns the fault's id.
    pub fn arm(self: &Arc<Self>, request: Request) -> Result<u64, InvalidRequest> {
        validate(&request)?;
        tracing::info!(?request, "fault requested");
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let mut injected = 0;
        match request.fault {
            Fault::Restart => {
                self.restart(&mut state);
                return Ok(id);
            }
            // The silence falls on the whole node as soon as it is armed.
            Fault::Silence => {
                injected = 1;
                state.counts.entry(Kind::Silence).or_default().injected += 1;
            }
            _ => {}
        }
        if let Some(duration) = request.for_ms {
            let faults = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(duration)).await;
                faults.release(id);
            });
        }
        state.armed.push(Armed {
            id,
            request,
            injected,
        });
        drop(state);
        self.announce_change();
        Ok(id)
    }

    /// Ends a fault. Returns whether it was armed.
    pub fn release(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|armed| armed.id != id);
        let was_armed = state.armed.len() < before;
        drop(state);
        self.announce_change();
        was_armed
    }

    /// Ends all faults.
    pub fn release_all(&self) {
        self.state().armed.clear();
        self.announce_change();
    }

    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            armed: state.armed.clone(),
            counts: state.counts.clone(),
        }
    }

    /// Finds the oldest armed fault that is chosen and counts an injection of it.
    pub fn inject<T>(&self, choose: impl Fn(&Fault) -> Option<T>) -> Option<Injection<T>> {
        let mut state = self.state();
        let (index, value) = state
            .armed
            .iter()
            .enumerate()
            .find_map(|(index, armed)| Some((index, choose(&armed.request.fault)?)))?;
        let armed = state.armed.get_mut(index)?;
        armed.injected += 1;
        let number = armed.injected;
        let Request { seed, times, .. } = armed.request;
        let kind = armed.request.fault.kind();
        let is_last = times == Some(number);
        if is_last {
            state.armed.remove(index);
        }
        state.counts.entry(kind).or_default().injected += 1;
        drop(state);
        if is_last {
            self.announce_change();
        }
        Some(Injection {
            value,
            number,
            random: Random::new(seed ^ u64::from(number).rotate_right(16)),
        })
    }

    /// Counts an injection of this fault if it is armed.
    pub fn inject_exactly(&self, fault: &Fault) -> Option<Injection<()>> {
        self.inject(|armed| (armed == fault).then_some(()))
    }

    /// Counts that a client got something else because of a fault.
    pub fn count_change(&self, kind: Kind) {
        self.state().counts.entry(kind).or_default().changed += 1;
    }

    /// Id of the silence that is in effect.
    pub fn silence(&self) -> Option<u64> {
        let state = self.state();
        let mut armed = state.armed.iter();
        let silence = armed.find(|armed| armed.request.fault == Fault::Silence);
        silence.map(|armed| armed.id)
    }

    /// Reports each time that a fault is armed or is over.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Cancelled when the node restarts.
    pub fn run(&self) -> CancellationToken {
        self.state().run.clone()
    }

    fn restart(&self, state: &mut State) {
        state.counts.entry(Kind::Restart).or_default().injected += 1;
        state.restarts += 1;
        self.feed.clear();
        std::mem::take(&mut state.run).cancel();
    }

    fn restarts(&self) -> u64 {
        self.state().restarts
    }

    fn is_idle(&self) -> bool {
        self.state().armed.is_empty()
    }

    fn mark(&self, bank_id: u64, mark: Mark) {
        self.state().marks.insert(bank_id, mark);
    }

    fn mark_of(&self, bank_id: u64) -> Option<Mark> {
        self.state().marks.get(&bank_id).cloned()
    }

    fn announce_change(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Locks despite poisoning: no code panics halfway through a change of the state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn validate(request: &Request) -> Result<(), InvalidRequest> {
    let limits = (request.times, request.for_ms);
    let invalid = match &request.fault {
        _ if request.times == Some(0) => "`times` must be at least 1",
        Fault::Restart if !matches!(limits, (None | Some(1), None)) => {
            "a restart happens once and at once: remove `times` and `for_ms`"
        }
        Fault::Silence if request.times.is_some() => {
            "a silence ends with `for_ms` or its release: remove `times`"
        }
        Fault::Cut(Ending::Status(code)) if !(0..=16).contains(code) => {
            "a gRPC status code is a number from 0 to 16"
        }
        Fault::DelayMeta { slots: 0 } => "`slots` must be at least 1",
        Fault::PingsOnly { ping_ms: 0 } => "`ping_ms` must be at least 1",
        Fault::DeadSlot { children } if MAX_CHILDREN < *children => {
            "a dead slot has at most 16 `children`"
        }
        Fault::OversizedAccount { bytes } if MAX_ACCOUNT_BYTES < *bytes => {
            "an account has at most 33554432 `bytes`"
        }
        _ => return Ok(()),
    };
    Err(InvalidRequest(invalid))
}
