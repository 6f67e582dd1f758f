//! Examination of windows: which ones a decision about a policy reads, and what they say.

use core::ops::RangeInclusive;

use anchor_lang::{bytemuck, prelude::*};

use super::calendar::Calendar;
use crate::{math, DriftShieldError, Entry, Model, Policy, Probation, Series, Vault, SLOTS};

/// What the windows before a decision about a policy say.
#[derive(Clone, Copy, Debug, bytemuck::Zeroable)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
pub struct Findings {
    /// First window whose value can pass the probation: the window of the sale, which no one could
    /// know. At the latest the last window of the probation.
    pub(super) fresh_from: u64,
    pub(super) is_reached: bool,
    pub(super) is_under: bool,
    pub(super) is_undecided: bool,
    /// Number of windows of the present term that have streamed and have no value, up to the first
    /// undecided one and as far as no earlier examination has counted them: by the step at whose end the
    /// capital bears their premium. First those of steps that are over.
    pub(super) unmeasured: [u32; SLOTS],
    /// Number of steps up to the last one with such a window.
    pub(super) steps: usize,
    /// Number of such windows that have not streamed.
    pub(super) ahead: u64,
    /// Where windows lie in the steps.
    pub(super) calendar: Calendar,
    /// First window of the present term that has not streamed.
    pub(super) streamed_until: u64,
    /// The window after the last one before the first undecided one.
    pub(super) examined_until: u64,
}

impl Findings {
    /// Before any window is examined.
    pub fn none() -> Self {
        bytemuck::Zeroable::zeroed()
    }

    /// Returns the number of windows of the present term without a value that no earlier examination has
    /// counted.
    pub(super) fn unmeasured_windows(&self) -> u64 {
        self.by_step().sum::<u64>() + self.ahead
    }

    /// Returns the number of those that have streamed, by step.
    pub(super) fn by_step(&self) -> impl Iterator<Item = u64> + '_ {
        let steps = self.unmeasured.iter().take(self.steps);
        steps.map(|count| u64::from(*count))
    }

    /// Counts a window without a value that has streamed. Windows come in order, and so do their steps.
    fn count_streamed(&mut self, window: u64) {
        let step = self.calendar.steps_to_streamed(window);
        self.unmeasured[step] += 1; // at most 2048
        self.steps = step + 1;
    }

    /// Refuses if a window is not decided.
    pub fn require_decided(&self) -> Result<()> {
        require!(!self.is_undecided, DriftShieldError::WindowUndecided);
        Ok(())
    }

    /// Returns how the probation ends. One window at the trigger decides it at once; without one,
    /// all windows must be decided.
    pub fn probation(&self) -> Result<Probation> {
        if self.is_reached {
            return Ok(Probation::Failed);
        }
        self.require_decided()?;
        Ok(if self.is_under {
            Probation::Passed
        } else {
            Probation::Unmeasured
        })
    }
}

impl Policy {
    /// Returns the first window of the term that has begun last; the first window of a policy that
    /// has not begun.
    pub(super) fn term_start(&self) -> u64 {
        let start = (self.last_window + 1).saturating_sub(self.windows);
        start.max(self.first_window)
    }

    /// Returns the windows of the term that has begun last.
    pub fn term_windows(&self) -> RangeInclusive<u64> {
        self.term_start()..=self.last_window
    }

    /// Returns the first window of the present term that has not been examined.
    fn unexamined_from(&self) -> u64 {
        self.term_start().max(self.examined_until)
    }

    /// Returns the first window of the present term that has not streamed at `now`.
    pub(super) fn streamed_until(&self, now: i64) -> u64 {
        self.term_start() + self.term.streamed_windows(self.windows, now)
    }

    /// Returns the windows that `set_aside_premium` examines at `now`: those of the present term that
    /// have not been examined, whose premium has streamed, and that have a receipt or get none any
    /// more.
    pub fn windows_to_set_aside(&self, model: &Model, now: i64) -> RangeInclusive<u64> {
        let end = model.first_undecided(now).min(self.last_window + 1);
        windows_before(self.unexamined_from(), end.min(self.streamed_until(now)))
    }

    /// Returns the windows that `expire_policy` examines: those of the last term that have not been
    /// examined. The last term is the one on probation if there is one.
    pub fn windows_to_expire(&self) -> RangeInclusive<u64> {
        if self.is_pending() {
            return self.last_window + 1..=self.last_window + self.windows;
        }
        self.unexamined_from()..=self.last_window
    }

    /// Returns the windows that decide whether the pending term begins, and what it leaves to set
    /// aside of the term before: the probation, and what has not been examined of the present term.
    pub fn windows_to_begin(&self) -> RangeInclusive<u64> {
        self.pending.from_window.min(self.unexamined_from())..=self.last_window
    }

    /// Returns what is known before any window is examined. The vault must be accrued.
    pub fn findings(&self, model: &Model, vault: &Vault) -> Result<Findings> {
        let dispute_windows = math::dispute_windows(model.dispute_secs(), model.window_secs);
        let sale = self.pending.from_window + dispute_windows; // windows of the past
        Ok(Findings {
            fresh_from: sale.min(self.last_window),
            streamed_until: self.streamed_until(vault.accrued_at),
            calendar: Calendar::new(self, model, vault)?,
            ..Findings::none()
        })
    }

    /// Adds the entry of `window` to `findings`.
    #[inline(always)] // thousands of windows
    pub fn examine(&self, window: u64, entry: Entry, findings: &mut Findings) {
        let is_probation = self.is_pending() && self.pending.from_window <= window;
        findings.is_undecided |= entry == Entry::Open;
        if !findings.is_undecided {
            findings.examined_until = window + 1; // a window of a page, so it fits
        }
        match entry {
            Entry::Open => {}
            Entry::Final(value) if is_probation => {
                if self.trigger <= value {
                    findings.is_reached = true;
                } else if findings.fresh_from <= window {
                    findings.is_under = true;
                }
            }
            Entry::Final(_) => {}
            Entry::None | Entry::Void | Entry::Thin => {
                let is_new = self.unexamined_from() <= window && !findings.is_undecided;
                if is_new && findings.streamed_until <= window {
                    findings.ahead += 1;
                } else if is_new {
                    findings.count_streamed(window);
                }
            }
        }
    }

    /// Reads `windows` from `pages`, and returns what they say about the policy. The vault must be
    /// accrued.
    #[inline(never)] // one copy keeps the binary small
    pub fn examine_all(
        &self,
        model: &Account<Model>,
        vault: &Vault,
        windows: RangeInclusive<u64>,
        pages: Vec<AccountView>,
    ) -> Result<Findings> {
        let mut findings = self.findings(model, vault)?;
        Series::read(model, windows, pages, vault.accrued_at, |window, entry| {
            self.examine(window, entry, &mut findings);
        })?;
        Ok(findings)
    }
}

/// Returns the windows from `first` on that are before `end`: an empty range if there are none.
#[allow(clippy::reversed_empty_ranges)]
fn windows_before(first: u64, end: u64) -> RangeInclusive<u64> {
    match end.checked_sub(1) {
        Some(last) => first..=last,
        None => 1..=0,
    }
}
