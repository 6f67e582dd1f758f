//! Premium of windows without a value: what the vault sets aside of it, and what it is used for.

use crate::{math, Findings, Policy, Vault};

impl Policy {
    /// Returns the part of the present term's streaming premium that belongs to `windows` of its windows.
    fn premium_of(&self, windows: u64) -> u64 {
        let premium = math::mul_div(self.term.part, windows, self.windows.max(1));
        premium.unwrap_or(0) // at most `part`: no term has more unmeasured windows than windows
    }

    /// Counts `added` windows without a value. Returns the part of the term's premium to set aside for
    /// them, which is at most the open cover. Of a term with `n` such windows, it is
    /// `⌊part · n / windows⌋` in total, however often it is examined.
    fn count_unmeasured(&mut self, added: u64) -> u64 {
        let windows = self.unmeasured_windows + added;
        let added = self.premium_of(windows) - self.premium_of(self.unmeasured_windows);
        let before = self.set_aside();
        self.unmeasured += added; // sum of paid amounts
        self.unmeasured_windows = windows;
        self.set_aside() - before
    }

    /// Returns what [`Self::set_premium_aside`] sets aside for `findings`.
    pub fn premium_to_set_aside(&self, findings: &Findings) -> u64 {
        let mut policy = *self; // a copy
        policy.count_unmeasured(findings.unmeasured_windows())
    }

    /// Sets the premium of the windows without a value in `findings` aside, and returns the amount: out
    /// of the capital as far as it has streamed, and out of its stream as far as it has not. The vault
    /// must be accrued.
    #[inline(never)] // one copy keeps the binary small
    pub fn set_premium_aside(&mut self, vault: &mut Vault, findings: &Findings) -> u64 {
        let mut amount = 0;
        for (steps, count) in findings.by_step().enumerate() {
            if 0 < count {
                let part = self.count_unmeasured(count);
                vault.lose_at_step(part, steps);
                amount += part; // part of the open cover
            }
        }
        if 0 < findings.ahead {
            let part = self.count_unmeasured(findings.ahead);
            let cut = part.min(self.term.unstreamed(vault.accrued_at));
            if 0 < cut {
                vault.cut_stream(&self.term, cut);
                vault.unlock(cut);
            }
            let steps = findings
                .calendar
                .steps_to_streaming(findings.streamed_until);
            vault.lose_at_step(part - cut, steps);
            amount += part; // part of the open cover
        }
        self.examined_until = self.examined_until.max(findings.examined_until);
        vault.set_aside += amount; // part of the token account's balance
        amount
    }

    /// Returns the part of the open cover that the vault has set aside, which comes first in every
    /// payment: the unmeasured premium, less what the policy has paid.
    pub fn set_aside(&self) -> u64 {
        self.unmeasured.min(self.cover).saturating_sub(self.paid)
    }

    /// Takes `amount` of the open cover out of what is set aside, and the rest out of the capital, as a
    /// loss of `at`.
    pub fn pay(&mut self, vault: &mut Vault, amount: u64, at: i64) {
        let before = self.set_aside();
        self.paid += amount; // at most the cover
        let aside = before - self.set_aside();
        vault.set_aside -= aside; // part of it
        vault.lose(amount - aside, at);
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::{state::policy::calendar::Calendar, Entry};

    /// A begun policy on windows 10 to 19 whose premium streams from 50 to 500, and a vault that can bear its
    /// cover.
    fn begun() -> (Vault, Policy) {
        let (mut vault, mut policy) = (Vault::zeroed(), Policy::zeroed());
        (vault.bucket_secs, vault.season_secs, vault.accrued_at) = (100, 1, 50);
        vault.cooldown_secs = 6_000; // steps of 100 seconds
        (policy.first_window, policy.last_window, policy.windows) = (10, 19, 10);
        policy.cover = 500;
        policy.term = vault.stream(850, 50, 450, 0);
        (vault.assets, vault.locked, vault.shares) = (2_000, policy.cover, 1);
        (vault, policy)
    }

    /// What is known of windows before `streamed_until`, which are decided at 0.
    fn findings(streamed_until: u64) -> Findings {
        Findings {
            streamed_until,
            calendar: Calendar {
                step_secs: 100,
                steps_over: 1,
                ..Findings::none().calendar
            },
            ..Findings::none()
        }
    }

    /// Examines `entries`, from window `first` on.
    fn examine(vault: &mut Vault, policy: &mut Policy, first: u64, entries: &[Entry]) -> u64 {
        let mut findings = findings(20);
        for (window, entry) in (first..).zip(entries) {
            policy.examine(window, *entry, &mut findings);
        }
        policy.set_premium_aside(vault, &findings)
    }

    #[test]
    fn the_part_of_windows_without_a_value_is_set_aside_out_of_the_locked_capital() {
        // A tenth of 850 for each of two windows; the last one is behind an undecided one
        let (mut vault, mut policy) = begun();
        let value = Entry::Final(1);
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

        // A payment comes out of it first, and the rest out of the capital, at its time
        policy.pay(&mut vault, 200, 0);
        assert_eq!((policy.set_aside(), vault.set_aside), (55, 55));
        assert_eq!((vault.assets, vault.locked), (1_745, 245));
        policy.pay(&mut vault, 100, 0);
        assert_eq!((policy.set_aside(), vault.set_aside), (0, 0));
        assert_eq!((vault.assets, vault.locked), (1_745, 245));
        assert_eq!(vault.pending_losses, 45);
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
        let mut findings = findings(12);
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
        let mut findings = Findings {
            examined_until: 20,
            ..Findings::none()
        };
        (findings.unmeasured[0], findings.steps) = (1, 1);
        policy.begin(&mut vault, &findings);
        assert_eq!((policy.set_aside(), policy.unmeasured_windows), (170, 0));
        assert_eq!(policy.windows_to_expire(), 20..=29);
    }
    #[test]
    fn a_window_is_borne_once_its_dispute_would_be_over_and_its_premium_has_streamed() {
        // At 350, window 10 is decided by 190, 11 by 200, 12 by 210, 14 by 230, and 22 by 310
        let (mut vault, mut policy) = begun();
        (policy.windows, policy.last_window, policy.term.part) = (20, 29, 200);
        vault.accrue(350);
        let (assets, locked) = (vault.assets, vault.locked);
        let mut findings = findings(30);
        (findings.calendar.decided_by, findings.calendar.window_secs) = (90, 10);
        findings.calendar.steps_over = 3;
        // Window 13 has streamed at 400
        findings.calendar.windows = 20;
        (
            findings.calendar.term_start,
            findings.calendar.stream_begins,
        ) = (10, 200);
        for window in [10, 11, 12, 13, 14, 22] {
            findings.calendar.stream_secs = if window == 13 { 1_000 } else { 0 };
            policy.examine(window, Entry::Void, &mut findings);
        }
        assert_eq!(policy.set_premium_aside(&mut vault, &findings), 60);
        // 10 and 11 are borne at 300; 12 and 14 at 400; 13, which has streamed at 400, and 22 at 500
        assert_eq!((vault.assets, vault.set_aside), (assets - 20, 60));
        assert_eq!((vault.locked, vault.pending_losses), (locked - 20, 40));
        let pending = |at| {
            let mut later = vault;
            later.accrue(at);
            later.pending_losses
        };
        assert_eq!([399, 400, 499, 500].map(pending), [40, 20, 20, 0]);
    }
}
