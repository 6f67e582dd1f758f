//! Probation of a term: windows that could already be known at its sale decide whether it begins.

use core::ops::RangeInclusive;

use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math::{self, Quote},
    DriftShieldError, Entry, Model, Policy, Series, Vault,
};

/// A term of a policy that is on probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IdlType, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Pending {
    /// Premium of the term, which the vault holds, in base units; 0 if no term is on probation.
    pub premium: u64,
    /// Unix time at which the paid time begins: the purchase, or the end of the term before.
    pub start: i64,
    /// Unix time at which the last window of the term ends.
    pub end: i64,
    /// First window of the probation: as many windows before the one of the sale as a dispute takes,
    /// rounded up, or 0. The last one is the window before the term.
    pub from_window: u64,
}

impl Pending {
    pub const NONE: Self = Self {
        premium: 0,
        start: 0,
        end: 0,
        from_window: 0,
    };
}

/// How a probation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum Probation {
    /// A window that ended after the sale is final under the trigger, and none reached it: the term
    /// begins.
    Passed = 0,
    /// A window reached the trigger: the term is void, less the cancel fee.
    Failed = 1,
    /// No window that ended after the sale is final: the term is void without a fee.
    Unmeasured = 2,
}

/// What the windows before a decision about a policy say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Findings {
    /// First window whose value can pass the probation: the window of the sale, which no one could
    /// know. At the latest the last window of the probation.
    fresh_from: u64,
    is_reached: bool,
    is_under: bool,
    is_undecided: bool,
    /// Number of windows of the present term without a value, up to the first undecided one and as
    /// far as no earlier examination has counted them.
    unmeasured: u64,
    /// Number of these that have not streamed.
    ahead: u64,
    /// First window of the present term that has not streamed.
    streamed_until: u64,
    /// The window after the last one before the first undecided one.
    examined_until: u64,
}

impl Findings {
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
    /// Whether a term is on probation.
    pub fn is_pending(&self) -> bool {
        0 < self.pending.premium // a premium is at least 1
    }

    pub fn require_pending(&self) -> Result<()> {
        require!(self.is_pending(), DriftShieldError::NothingPending);
        Ok(())
    }

    /// Puts the term of `quote` on probation, and its premium aside.
    pub fn hold(&mut self, vault: &mut Vault, quote: &Quote) {
        vault.held += quote.premium; // part of the token account's balance
        self.pending = Pending {
            premium: quote.premium,
            start: quote.start,
            end: quote.end,
            from_window: quote.from_window,
        };
    }

    /// Returns the first window of the term that has begun last; the first window of a policy that
    /// has not begun.
    fn term_start(&self) -> u64 {
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
    fn streamed_until(&self, now: i64) -> u64 {
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
        windows_before(self.unexamined_from(), self.last_window + 1)
    }

    /// Returns the windows that decide whether the pending term begins, and what it leaves to set
    /// aside of the term before: the probation, and what has not been examined of the present term.
    pub fn windows_to_begin(&self) -> RangeInclusive<u64> {
        self.pending.from_window.min(self.unexamined_from())..=self.last_window
    }

    /// Returns what is known before any window is examined.
    pub fn findings(&self, model: &Model, now: i64) -> Findings {
        let dispute_windows = math::dispute_windows(model.dispute_secs(), model.window_secs);
        let sale = self.pending.from_window + dispute_windows; // windows of the past
        Findings {
            fresh_from: sale.min(self.last_window),
            streamed_until: self.streamed_until(now),
            ..Findings::default()
        }
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
                let is_ahead = is_new && findings.streamed_until <= window;
                findings.unmeasured += u64::from(is_new);
                findings.ahead += u64::from(is_ahead);
            }
        }
    }

    /// Reads `windows` from `pages`, and returns what they say about the policy.
    #[inline(never)] // one copy keeps the binary small
    pub fn examine_all(
        &self,
        model: &Account<Model>,
        windows: RangeInclusive<u64>,
        pages: Vec<AccountView>,
        now: i64,
    ) -> Result<Findings> {
        let mut findings = self.findings(model, now);
        Series::read(model, windows, pages, now, |window, entry| {
            self.examine(window, entry, &mut findings);
        })?;
        Ok(findings)
    }

    /// Returns the part of the present term's streaming premium that belongs to `windows` of its windows.
    fn premium_of(&self, windows: u64) -> u64 {
        let premium = math::mul_div(self.term.part, windows, self.windows.max(1));
        premium.unwrap_or(0) // at most `part`: no term has more unmeasured windows than windows
    }

    /// Counts the windows without a value in `findings`. Returns the part of the term's premium to set
    /// aside for them, which is at most the open cover. Of a term with `n` such windows, it is
    /// `⌊part · n / windows⌋` in total, however often it is examined.
    pub fn count_unmeasured(&mut self, findings: &Findings) -> u64 {
        let windows = self.unmeasured_windows + findings.unmeasured;
        let added = self.premium_of(windows) - self.premium_of(self.unmeasured_windows);
        let before = self.set_aside();
        self.unmeasured += added; // sum of paid amounts
        self.unmeasured_windows = windows;
        self.examined_until = findings.examined_until;
        self.set_aside() - before
    }

    /// Sets the premium of the windows without a value in `findings` aside, and returns the amount: out
    /// of the capital as far as it has streamed, and out of its stream as far as it has not. The vault
    /// must be accrued.
    pub fn set_premium_aside(&mut self, vault: &mut Vault, findings: &Findings) -> u64 {
        let amount = self.count_unmeasured(findings);
        let unstreamed = self.term.unstreamed(vault.accrued_at);
        let cut = amount.min(self.premium_of(findings.ahead)).min(unstreamed);
        if 0 < cut {
            vault.cut_stream(&self.term, cut);
            vault.unlock(cut);
        }
        if cut < amount {
            vault.bear(amount - cut);
        }
        vault.set_aside += amount; // part of the token account's balance
        amount
    }

    /// Begins the pending term: sets aside what the `findings` leave of the term before, credits the protocol's and the manager's part of its premium, and
    /// streams the rest from where the stream of the term before ends, or from now on.
    pub fn begin(&mut self, vault: &mut Vault, findings: &Findings) {
        self.set_premium_aside(vault, findings);
        self.unmeasured_windows = 0;
        let pending = core::mem::replace(&mut self.pending, Pending::NONE);
        let (protocol, manager, part) = vault.split(pending.premium);
        vault.held -= pending.premium;
        vault.protocol_credit += protocol;
        vault.manager_credit += manager;
        self.term = vault.stream(part, pending.start, pending.end, self.term.ends_at);
        self.last_window += self.windows; // its times fit an i64
        self.premium += pending.premium; // sum of paid amounts
    }

    /// Ends the pending term without beginning it, and returns the refund: the premium, less the
    /// cancel fee on its streamed part if the term has `failed`. The fee streams to the vault over
    /// the term, so that no share's price jumps.
    pub fn void(&mut self, vault: &mut Vault, failed: bool) -> u64 {
        let pending = core::mem::replace(&mut self.pending, Pending::NONE);
        vault.held -= pending.premium;
        let mut kept = 0;
        if failed {
            let (_, _, part) = vault.split(pending.premium);
            kept = part - self.less_cancel_fee(part); // rounded up
            vault.stream(kept, pending.start, pending.end, 0);
        }
        pending.premium - kept
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

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;

    const TRIGGER: u64 = 200;
    const PREMIUM: u64 = 1_000;

    /// A vault with fees of 5% and 10%, and a policy on windows 10 to 19 on probation from window 7 on.
    fn bought() -> (Vault, Policy) {
        let (mut vault, mut policy) = (Vault::zeroed(), Policy::zeroed());
        (vault.protocol_fee_bps, vault.manager_fee_bps) = (500, 1_000);
        (vault.bucket_secs, vault.accrued_at, vault.held) = (100, 50, PREMIUM);
        (policy.first_window, policy.last_window, policy.windows) = (10, 9, 10);
        (policy.trigger, policy.cancel_fee_bps, policy.cover) = (TRIGGER, 1_000, 500);
        policy.pending = Pending {
            premium: PREMIUM,
            start: 50,
            end: 450,
            from_window: 7,
        };
        (vault, policy)
    }

    /// Decides about a policy on a model whose disputes take a window: that of the sale is 8.
    fn decide(policy: &Policy, entries: [Entry; 3]) -> Option<Probation> {
        let mut model = Model::zeroed();
        (model.window_secs, model.ruling_secs) = (100, 100);
        let mut findings = policy.findings(&model, 50);
        for (window, entry) in policy.windows_to_begin().zip(entries) {
            policy.examine(window, entry, &mut findings);
        }
        findings.probation().ok()
    }

    #[test]
    fn one_window_at_the_trigger_fails_at_once() {
        let (_, policy) = bought();
        assert_eq!(policy.windows_to_begin(), 7..=9);
        let (under, reached) = (Entry::Final(TRIGGER - 1), Entry::Final(TRIGGER));
        let failed = [Entry::Open, reached, under];
        assert_eq!(decide(&policy, failed), Some(Probation::Failed));
        assert_eq!(decide(&policy, [under, under, Entry::Open]), None);
        let passed = [Entry::Void, under, Entry::None];
        assert_eq!(decide(&policy, passed), Some(Probation::Passed));
        for known in [Entry::Void, under] {
            let silent = [known, Entry::Thin, Entry::None];
            assert_eq!(decide(&policy, silent), Some(Probation::Unmeasured));
        }
    }

    #[test]
    fn a_held_premium_is_credited_and_streamed_or_refunded_but_never_lost() {
        // Begun: 5% and 10% are credited, the rest streams to the end of the last bucket
        let (mut vault, mut policy) = bought();
        policy.begin(&mut vault, &Findings::default());
        let credits = (vault.protocol_credit, vault.manager_credit);
        assert_eq!((credits, vault.unearned, vault.held), ((50, 100), 850, 0));
        let times = (policy.term.begins_at, policy.term.ends_at);
        assert_eq!((times, policy.last_window), ((50, 500), 19));

        // Void: a tenth of the 850 that would stream is kept, and streams
        for (failed, kept) in [(true, 85), (false, 0)] {
            let (mut vault, mut policy) = bought();
            assert_eq!(policy.void(&mut vault, failed), PREMIUM - kept);
            assert_eq!((vault.held, vault.unearned), (0, kept));
            assert_eq!((policy.is_pending(), policy.last_window), (false, 9));
        }
    }

    #[test]
    fn a_late_stream_flows_faster_for_at_least_one_bucket() {
        let (mut vault, mut policy) = bought();
        vault.accrued_at = 449;
        policy.begin(&mut vault, &Findings::default());
        assert_eq!((policy.term.begins_at, policy.term.ends_at), (449, 600));
    }

    /// A begun policy whose vault can bear its cover.
    fn begun() -> (Vault, Policy) {
        let (mut vault, mut policy) = bought();
        policy.begin(&mut vault, &Findings::default());
        (vault.assets, vault.locked, vault.shares) = (2_000, policy.cover, 1);
        (vault, policy)
    }

    /// Examines `entries`, from window `first` on.
    fn examine(vault: &mut Vault, policy: &mut Policy, first: u64, entries: &[Entry]) -> u64 {
        let mut findings = Findings {
            streamed_until: 20,
            ..Findings::default()
        };
        for (window, entry) in (first..).zip(entries) {
            policy.examine(window, *entry, &mut findings);
        }
        policy.set_premium_aside(vault, &findings)
    }

    #[test]
    fn the_part_of_windows_without_a_value_is_set_aside_out_of_the_locked_capital() {
        // A tenth of 850 for each of two windows; the last one is behind an undecided one
        let (mut vault, mut policy) = begun();
        let value = Entry::Final(TRIGGER);
        let entries = [Entry::None, value, Entry::Thin, Entry::Open, Entry::Void];
        assert_eq!(examine(&mut vault, &mut policy, 10, &entries), 170);
        assert_eq!((policy.examined_until, policy.set_aside()), (13, 170));
        assert_eq!(
            (vault.assets, vault.locked, vault.set_aside),
            (1_830, 330, 170)
        );
        assert_eq!(policy.windows_to_expire(), 13..=19);

        // What was examined counts once
        let again = [Entry::None, value, Entry::Thin, value, Entry::Void];
        assert_eq!(examine(&mut vault, &mut policy, 10, &again), 85);
        assert_eq!((policy.examined_until, policy.set_aside()), (15, 255));

        // A payment comes out of it first, and the rest out of the capital
        policy.pay(&mut vault, 200);
        assert_eq!((policy.set_aside(), vault.set_aside), (55, 55));
        assert_eq!((vault.assets, vault.locked), (1_745, 245));
        policy.pay(&mut vault, 100);
        assert_eq!((policy.set_aside(), vault.set_aside), (0, 0));
        assert_eq!((vault.assets, vault.locked), (1_700, 200));
        assert_eq!(policy.open_cover(), 200);
    }

    #[test]
    fn premium_that_has_not_streamed_is_set_aside_out_of_its_stream() {
        // Of the 450 seconds from 50 to 500, 45 are for each window: at 140, two windows have streamed
        let (mut vault, mut policy) = begun();
        vault.accrue(140);
        let (assets, unearned) = (vault.assets, vault.unearned);
        assert_eq!(unearned, 850 * 8 / 10 + 1); // the stream's rate is rounded down
        assert_eq!(policy.streamed_until(139), 11);
        assert_eq!(policy.streamed_until(140), 12);
        let mut findings = Findings {
            streamed_until: 12,
            ..Findings::default()
        };
        for window in [11, 12, 13] {
            policy.examine(window, Entry::None, &mut findings);
        }
        assert_eq!(policy.set_premium_aside(&mut vault, &findings), 255);
        assert_eq!(
            (vault.assets, vault.unearned),
            (assets - 85, unearned - 170)
        );
        assert_eq!((vault.locked, vault.set_aside), (245, 255));

        // The rest streams until the same time
        vault.accrue(500);
        assert_eq!((vault.assets, vault.unearned), (assets - 85 + 511, 0));
    }

    #[test]
    fn no_more_than_the_open_cover_is_set_aside() {
        let (mut vault, mut policy) = begun();
        policy.cover = 100;
        (vault.locked, policy.paid) = (90, 10);
        let entries = [Entry::None, Entry::None];
        assert_eq!(examine(&mut vault, &mut policy, 10, &entries), 90);
        assert_eq!((vault.locked, policy.set_aside()), (0, 90));
    }

    #[test]
    fn a_term_examined_window_by_window_sets_aside_as_much_as_at_once() {
        let mut totals = [0, 0];
        for (at_once, total) in [true, false].into_iter().zip(&mut totals) {
            let (mut vault, mut policy) = begun();
            policy.term.part = 37; // 3.7 a window
            let entries = [Entry::Void; 7];
            let step = if at_once { 7 } else { 1 };
            for (first, part) in (10..).step_by(step).zip(entries.chunks(step)) {
                *total += examine(&mut vault, &mut policy, first, part);
            }
        }
        assert_eq!(totals, [25, 25]);
    }

    #[test]
    fn what_is_set_aside_of_earlier_terms_stays_when_the_next_begins() {
        let (mut vault, mut policy) = begun();
        examine(&mut vault, &mut policy, 10, &[Entry::None]);
        policy.pending.premium = 1;
        vault.held = 1;
        let findings = Findings {
            unmeasured: 1,
            examined_until: 20,
            ..Findings::default()
        };
        policy.begin(&mut vault, &findings);
        assert_eq!((policy.set_aside(), policy.unmeasured_windows), (170, 0));
        assert_eq!(policy.windows_to_expire(), 20..=29);
    }
}
