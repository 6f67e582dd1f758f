//! Examination of windows: which ones a decision about a policy reads, what they say about a term on
//! probation, and what they are worth.

use core::ops::RangeInclusive;

use anchor_lang::prelude::*;

use super::calendar::Calendar;
use crate::{
    math, Account, DriftShieldError, Entry, Model, Policy, Probation, Series, Stream, Vault,
    PAGE_WINDOWS, SLOTS,
};

/// What the examined windows say.
#[derive(Clone, Copy, Debug)]
pub struct Findings {
    is_reached: bool,
    is_under: bool,
    is_undecided: bool,
    /// What was booked, in base units.
    pub booked: u64,
    /// The part of the premium that streams later than the ring of losses reaches.
    ahead: u64,
    /// The rest, by how many steps from now the capital bears it.
    losses: [u64; SLOTS],
    /// Number of steps up to the last one with a loss.
    steps: usize,
}

impl Findings {
    const NONE: Self = Self {
        is_reached: false,
        is_under: false,
        is_undecided: false,
        booked: 0,
        ahead: 0,
        losses: [0; SLOTS],
        steps: 0,
    };

    /// Sets aside what was booked: takes it out of the capital when the time for it comes, and out of the
    /// `stream` of the term as far as it streams later. The vault must be accrued.
    pub(super) fn set_aside(&self, vault: &mut Vault, stream: &mut Stream) {
        for (steps, amount) in self.losses.iter().take(self.steps).enumerate() {
            if 0 < *amount {
                vault.lose_at_step(*amount, steps);
            }
        }
        if 0 < self.ahead {
            let cut = self.ahead.min(stream.unstreamed(vault.accrued_at));
            if 0 < cut {
                vault.cut_stream(stream, cut);
                vault.unlock(cut);
            }
            vault.lose_at_step(self.ahead - cut, SLOTS - 1); // what has streamed of it
        }
        vault.set_aside += self.booked; // part of the token account's balance
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

/// A walk over windows in their order, which books what they are worth to the policy, up to the first one
/// that is undecided.
pub struct Examination<'a> {
    policy: &'a mut Policy,
    calendar: Calendar,
    /// First window of the probation; none if no term is on probation.
    probation_from: u64,
    /// First window whose value can pass the probation: the window of the sale, which no one could
    /// know. At the latest the last window of the probation.
    fresh_from: u64,
    findings: Findings,
    /// Number of windows without a value that are not booked yet, and how many steps from now the capital
    /// bears their premium.
    unmeasured: u64,
    steps: usize,
    /// Whether no premium of the term may be left for later examinations.
    is_last: bool,
}

impl<'a> Examination<'a> {
    /// The vault must be accrued. `is_last`: whether the term is over, so that premium that streams later
    /// than the ring of losses reaches is taken out of the stream. Otherwise it is left for later: a
    /// cancellation refunds out of the same stream.
    pub fn new(
        policy: &'a mut Policy,
        vault: &Vault,
        model: &Model,
        is_last: bool,
    ) -> Result<Self> {
        let dispute_windows = math::dispute_windows(model.dispute_secs(), model.window_secs);
        let sale = policy.pending.from_window + dispute_windows; // windows of the past
        Ok(Self {
            calendar: Calendar::new(policy, model, vault)?,
            probation_from: if policy.is_pending() {
                policy.pending.from_window
            } else {
                u64::MAX
            },
            fresh_from: sale.min(policy.last_window),
            policy,
            findings: Findings::NONE,
            unmeasured: 0,
            steps: 0,
            is_last,
        })
    }

    /// Examines `window`, whose entry is `entry`.
    #[inline(always)] // thousands of windows
    pub fn visit(&mut self, window: u64, entry: Entry) {
        let trigger = self.policy.trigger;
        let findings = &mut self.findings;
        match entry {
            Entry::Open => findings.is_undecided = true,
            Entry::Final(value) if self.probation_from <= window => {
                findings.is_reached |= trigger <= value;
                findings.is_under |= value < trigger && self.fresh_from <= window;
            }
            _ => {}
        }
        if findings.is_undecided {
            return;
        }
        let value = match entry {
            Entry::Final(value) => Some(value),
            _ => None,
        };
        if window == self.policy.returned_until
            && (value.is_some() || self.count_unmeasured(window))
        {
            self.policy.returned_until += 1; // a window of a page, so it fits
        }
        if window == self.policy.examined_until {
            self.policy.examined_until += 1;
            let reached = value.filter(|value| trigger <= *value);
            let lowest = self.policy.extend_run(reached.unwrap_or(0));
            if self.policy.peak < lowest {
                self.raise(window, lowest);
            }
        }
    }

    /// Counts a window without a value. Those that are borne at the same time are booked together. Returns
    /// false if it is left for a later examination.
    #[inline(always)] // thousands of windows
    fn count_unmeasured(&mut self, window: u64) -> bool {
        let steps = self.calendar.steps_to_streamed(window);
        if steps == SLOTS && !self.is_last {
            return false;
        }
        if self.steps != steps {
            self.book_unmeasured();
            self.steps = steps;
        }
        self.unmeasured += 1;
        true
    }

    fn book_unmeasured(&mut self) {
        if self.unmeasured == 0 {
            return;
        }
        let before = self.policy.booked();
        self.policy.count_unmeasured(self.unmeasured);
        self.unmeasured = 0;
        self.book(before, self.steps);
    }

    /// Books a run whose last window is `window` and whose lowest value is above those of all before.
    fn raise(&mut self, window: u64, lowest: u64) {
        self.book_unmeasured();
        let before = self.policy.booked();
        self.policy.raise(window, lowest);
        self.book(before, self.calendar.steps_to_decided(window));
    }

    /// Notes what was booked since `before`, and that the capital bears it so many steps from now.
    fn book(&mut self, before: u64, steps: usize) {
        let amount = self.policy.booked() - before;
        if amount == 0 {
            return;
        }
        let findings = &mut self.findings;
        findings.booked += amount; // part of the open cover
        match findings.losses.get_mut(steps) {
            Some(loss) => {
                *loss += amount;
                findings.steps = findings.steps.max(steps + 1);
            }
            None => findings.ahead += amount,
        }
    }

    /// Returns what the windows say, and books what is left.
    pub fn finish(mut self) -> Findings {
        self.book_unmeasured();
        self.findings
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

    /// Returns the windows that `examine_policy` reads at `now` from so many pages: those of the terms
    /// that have begun that are over and have not been examined.
    #[allow(clippy::reversed_empty_ranges)]
    pub fn windows_to_examine(&self, model: &Model, now: i64, pages: usize) -> RangeInclusive<u64> {
        let first = self.returned_until;
        let over = model.windows_over(now).min(self.last_window + 1);
        let end =
            (Series::page_of(first).saturating_add(pages as u64)).saturating_mul(PAGE_WINDOWS);
        match over.min(end).checked_sub(1) {
            Some(last) => first..=last,
            None => 1..=0,
        }
    }

    /// Returns the windows that `expire_policy` examines: those of the terms that have begun that have not
    /// been examined.
    pub fn windows_to_expire(&self) -> RangeInclusive<u64> {
        self.returned_until..=self.last_window
    }

    /// Returns the windows that decide whether the pending term begins, and what the terms before are
    /// worth: the probation, and what has not been examined of these terms.
    pub fn windows_to_begin(&self) -> RangeInclusive<u64> {
        self.pending.from_window.min(self.returned_until)..=self.last_window
    }

    /// Reads `windows` of `model` from `pages`, sets aside what they are worth, and returns what they say.
    /// The vault must be accrued. `is_last`: whether the term that has begun last is over.
    #[inline(never)] // one copy keeps the binary small
    pub fn examine(
        &mut self,
        vault: &mut Vault,
        model: &Account<Model>,
        windows: RangeInclusive<u64>,
        pages: Vec<AccountView>,
        is_last: bool,
    ) -> Result<Findings> {
        let now = vault.accrued_at;
        let mut examination = Examination::new(self, vault, model, is_last)?;
        Series::read(model, windows, pages, now, |window, entry| {
            examination.visit(window, entry);
        })?;
        let findings = examination.finish();
        findings.set_aside(vault, &mut self.term);
        Ok(findings)
    }
}
