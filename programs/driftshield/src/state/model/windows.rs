//! When a model's windows begin, end, and are decided.

use anchor_lang::prelude::*;

use crate::{math::MAX_HORIZON_SECS, DriftShieldError, Model};

impl Model {
    /// Returns the Unix time at which `window` ends.
    pub fn window_end(&self, window: u64) -> Result<i64> {
        let end = |window: u64| {
            let index = i64::try_from(window.checked_add(1)?).ok()?;
            let end = self
                .window_secs
                .checked_mul(index)?
                .checked_add(self.genesis)?;
            // Leaves room for every period that is added to it.
            (end <= i64::MAX - 100 * MAX_HORIZON_SECS).then_some(end)
        };
        Ok(end(window).ok_or(DriftShieldError::WindowOutOfRange)?)
    }

    pub fn window_start(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? - self.window_secs)
    }

    /// Returns the Unix time at which submissions for `window` end.
    pub fn submit_end(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? + self.submit_secs)
    }

    /// Returns the first window that begins after `now`; 1 before the model's genesis.
    pub fn next_window(&self, now: i64) -> u64 {
        self.windows_over(now) + 1 // one after the running window
    }

    /// Returns the first window that can still get a receipt or a challenge at `now`. Each earlier
    /// window without an entry in the series stays without one.
    pub fn first_undecided(&self, now: i64) -> u64 {
        self.windows_over(now.saturating_sub(self.submit_secs + self.challenge_secs))
    }

    /// Returns the number of windows that are over at `time`, rounded down.
    pub fn windows_over(&self, time: i64) -> u64 {
        let secs = time.saturating_sub(self.genesis).max(0);
        secs as u64 / self.window_secs as u64
    }

    /// Returns the Unix time until which the series keeps the entry of `window`, at least.
    pub fn retention_end(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? + self.retention_secs)
    }

    /// Returns the last time at which a dispute about `window` can be decided.
    pub fn decided_by(&self, window: u64) -> Result<i64> {
        Ok(self.window_end(window)? + self.dispute_secs())
    }

    /// Returns the longest time after a window's end in which its receipt can still be settled.
    pub fn dispute_secs(&self) -> i64 {
        self.submit_secs + self.challenge_secs + self.ruling_secs
    }
}
