//! When the capital bears what windows of a policy are worth.

use anchor_lang::prelude::*;

use crate::{Model, Policy, Vault, SLOTS};

/// When windows of a policy's present term are decided and have streamed, in steps of its vault.
pub(super) struct Calendar {
    /// Unix time by which window 0 is decided.
    decided_by: u64,
    window_secs: u64,
    step_secs: u64,
    /// Number of steps that are over.
    steps_over: u64,
    /// First window of the term, when its stream begins, and for how long it streams.
    term_start: u64,
    stream_begins: u64,
    stream_secs: u64,
    /// Number of windows of a term.
    windows: u64,
}

impl Calendar {
    pub(super) fn new(policy: &Policy, model: &Model, vault: &Vault) -> Result<Self> {
        Ok(Self {
            decided_by: model.decided_by(0)? as u64,
            window_secs: model.window_secs as u64,
            step_secs: vault.step_secs() as u64,
            steps_over: vault.steps_over(),
            term_start: policy.term_start(),
            stream_begins: policy.term.begins_at as u64,
            stream_secs: (policy.term.ends_at - policy.term.begins_at) as u64,
            windows: policy.windows,
        })
    }

    /// Returns the Unix time by which `window` is decided.
    fn decided_by(&self, window: u64) -> u64 {
        self.decided_by + window * self.window_secs
    }

    /// Returns the Unix time at which `window` of the term has streamed.
    fn streamed_at(&self, window: u64) -> u64 {
        let nth = window - self.term_start + 1; // a window of the term
        self.stream_begins + (nth * self.stream_secs).div_ceil(self.windows.max(1))
    }

    /// Returns how many steps from now the capital bears a loss of `at`: 0 if the step is over, and
    /// `SLOTS` if that is later than the ring of losses reaches.
    fn steps_to(&self, at: u64) -> usize {
        let step = Vault::step_of(at, self.step_secs);
        (step.saturating_sub(self.steps_over) as usize).min(SLOTS)
    }

    /// Returns how many steps from now the capital gives back the premium of `window`: when it would be
    /// decided after a dispute and has streamed, whenever anybody calls.
    pub(super) fn steps_to_streamed(&self, window: u64) -> usize {
        self.steps_to(self.decided_by(window).max(self.streamed_at(window)))
    }

    /// Returns how many steps from now the capital bears a run that ends with `window`.
    pub(super) fn steps_to_decided(&self, window: u64) -> usize {
        self.steps_to(self.decided_by(window))
    }
}
