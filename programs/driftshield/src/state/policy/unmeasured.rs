//! Premium of windows without a value: what the vault sets aside of it, and what it is used for.

use crate::{math, Findings, Policy, Vault};

impl Policy {
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

    /// Returns the part of the open cover that the vault has set aside, which comes first in every
    /// payment: the unmeasured premium, less what the policy has paid.
    pub fn set_aside(&self) -> u64 {
        self.unmeasured.min(self.cover).saturating_sub(self.paid)
    }

    /// Takes `amount` of the open cover out of what is set aside, and the rest out of the capital.
    pub fn pay(&mut self, vault: &mut Vault, amount: u64) {
        let before = self.set_aside();
        self.paid += amount; // at most the cover
        let aside = before - self.set_aside();
        vault.set_aside -= aside; // part of it
        vault.bear(amount - aside);
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::Entry;

    /// A begun policy on windows 10 to 19 whose premium streams from 50 to 500, and a vault that can bear its
    /// cover.
    fn begun() -> (Vault, Policy) {
        let (mut vault, mut policy) = (Vault::zeroed(), Policy::zeroed());
        (vault.bucket_secs, vault.season_secs, vault.accrued_at) = (100, 1, 50);
        (policy.first_window, policy.last_window, policy.windows) = (10, 19, 10);
        policy.cover = 500;
        policy.term = vault.stream(850, 50, 450, 0);
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
