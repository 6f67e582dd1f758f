//! What a policy is worth: what examined windows add to it, and what is paid of it.

use crate::{math, DriftShieldError, Policy, Vault};

use anchor_lang::prelude::*;

impl Policy {
    /// Returns what has been booked for the policy: what its highest run is worth, or the premium of its
    /// windows without a value if that is more. It never falls, and is at most the cover.
    pub fn booked(&self) -> u64 {
        self.worth.max(self.unmeasured)
    }

    /// Returns what the vault has set aside for the policy: what has been booked, less what has been paid.
    pub fn set_aside(&self) -> u64 {
        self.booked().saturating_sub(self.paid) // never below 0: a payment is part of what is set aside
    }

    /// Returns what a claim pays: the worth of the highest run, less earlier payments.
    pub fn due(&self) -> Result<u64> {
        let payment = self.worth.saturating_sub(self.paid);
        require!(0 < payment, DriftShieldError::NothingDue);
        Ok(payment)
    }

    /// Adds the next window's drift to the run: `reached` if it is at or above the trigger, and otherwise
    /// 0. Returns the lowest drift of the last windows, as many as `persistence`: above 0 if they are a
    /// run.
    pub(super) fn extend_run(&mut self, reached: u64) -> u64 {
        let earlier = self.recent.iter().take(usize::from(self.persistence) - 1); // at least 1
        let lowest = earlier.fold(reached, |lowest, drift| lowest.min(*drift));
        self.recent = [reached, self.recent[0], self.recent[1]];
        lowest
    }

    /// Records the run that ends with `window` as the highest one. Its lowest drift is `lowest`.
    pub(super) fn raise(&mut self, window: u64, lowest: u64) {
        self.peak = lowest;
        self.peak_window = window + 1 - u64::from(self.persistence); // a run has as many windows
        self.worth = math::worth(self.cover, self.trigger, self.exhaustion, lowest);
    }

    /// Returns the part of the present term's streaming premium that belongs to `windows` of its windows.
    fn premium_of(&self, windows: u64) -> u64 {
        let premium = math::mul_div(self.term.part, windows, self.windows.max(1));
        premium.unwrap_or(0) // at most `part`: no term has more unmeasured windows than windows
    }

    /// Counts `added` windows without a value. Of a term with `n` of them, `⌊part · n / windows⌋` belongs
    /// to them in total, however often it is examined.
    pub(super) fn count_unmeasured(&mut self, added: u64) {
        let before = self.premium_of(self.unmeasured_windows);
        self.unmeasured_windows += added;
        let added = self.premium_of(self.unmeasured_windows) - before;
        self.unmeasured = (self.unmeasured + added).min(self.cover); // sum of paid amounts
    }

    /// Pays `amount` out of what is set aside.
    pub fn pay(&mut self, vault: &mut Vault, amount: u64) {
        self.paid += amount; // at most what has been booked
        vault.set_aside -= amount; // part of it
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::{Entry, Examination, Findings, Model, Stream};

    const TRIGGER: u64 = 200;

    /// A model with windows of 10 seconds, of which window 0 is decided by 100.
    fn model() -> Model {
        let mut model = Model::zeroed();
        (model.window_secs, model.ruling_secs) = (10, 90);
        model
    }

    /// A begun policy on windows 10 to 19 whose premium streams from 50 to 500, and a vault that can bear its
    /// cover.
    fn begun() -> (Vault, Policy) {
        let (mut vault, mut policy) = (Vault::zeroed(), Policy::zeroed());
        (vault.bucket_secs, vault.season_secs, vault.accrued_at) = (100, 1, 50);
        vault.cooldown_secs = 6_000; // steps of 100 seconds
        (policy.first_window, policy.last_window, policy.windows) = (10, 19, 10);
        (policy.cover, policy.persistence) = (500, 1);
        (policy.examined_until, policy.returned_until) = (10, 10);
        (policy.trigger, policy.exhaustion) = (TRIGGER, 2 * TRIGGER);
        policy.term = vault.stream(850, 50, 450, 0);
        (vault.assets, vault.locked, vault.shares) = (2_000, policy.cover, 1);
        (vault, policy)
    }

    /// The same once all premium has streamed and all windows would be decided.
    fn over() -> (Vault, Policy) {
        let (mut vault, policy) = begun();
        vault.accrue(10_000);
        vault.assets = 2_000;
        (vault, policy)
    }

    /// Examines `entries`, from window `first` on.
    fn examine(vault: &mut Vault, policy: &mut Policy, first: u64, entries: &[Entry]) -> Findings {
        let mut examination = Examination::new(policy, vault, &model(), false).unwrap();
        for (window, entry) in (first..).zip(entries) {
            examination.visit(window, *entry);
        }
        let findings = examination.finish();
        findings.set_aside(vault, &mut policy.term);
        findings
    }

    #[test]
    fn the_part_of_windows_without_a_value_is_set_aside_out_of_the_locked_capital() {
        // A tenth of 850 for each of two windows; the last one is behind an undecided one
        let (mut vault, mut policy) = over();
        let value = Entry::Final(1);
        let entries = [Entry::None, value, Entry::Thin, Entry::Open, Entry::Void];
        let findings = examine(&mut vault, &mut policy, 10, &entries);
        assert_eq!(findings.booked, 170);
        assert!(findings.require_decided().is_err());
        assert_eq!((policy.examined_until, policy.set_aside()), (13, 170));
        assert_eq!(
            (vault.assets, vault.locked, vault.set_aside),
            (1_830, 330, 170)
        );
        assert_eq!(policy.windows_to_expire(), 13..=19);

        // What was examined counts once
        let again = [Entry::None, value, Entry::Thin, value, Entry::Void];
        assert_eq!(examine(&mut vault, &mut policy, 10, &again).booked, 85);
        assert_eq!((policy.examined_until, policy.set_aside()), (15, 255));
    }

    #[test]
    fn a_run_books_what_it_is_worth_above_what_was_booked_before() {
        let (mut vault, mut policy) = over();
        policy.persistence = 2;
        let drift = |value| Entry::Final(TRIGGER + value);
        // One window is no run; the lowest of two counts; a window below the trigger breaks the run
        let mut booked = |entries: &[Entry]| {
            let first = policy.examined_until;
            let findings = examine(&mut vault, &mut policy, first, entries);
            assert_eq!(vault.set_aside, policy.set_aside());
            assert_eq!(vault.locked, 500 - policy.booked());
            assert_eq!(vault.assets, 2_000 - policy.booked());
            (findings.booked, policy.worth, policy.peak_window)
        };
        assert_eq!(booked(&[drift(100)]), (0, 0, 0));
        assert_eq!(booked(&[Entry::Final(TRIGGER - 1)]), (0, 0, 0));
        assert_eq!(booked(&[drift(40), drift(20)]), (50, 50, 12));
        assert_eq!(booked(&[drift(30)]), (0, 50, 12)); // the same lowest value
        assert_eq!(booked(&[drift(40)]), (25, 75, 14));
        assert_eq!(booked(&[Entry::Void, drift(200)]), (10, 75, 14)); // a tenth of 850
        assert_eq!(booked(&[drift(500), drift(500)]), (415, 500, 18));
        assert_eq!((policy.peak, policy.unmeasured), (TRIGGER + 500, 85));
    }

    #[test]
    fn a_claim_pays_the_worth_and_the_end_what_is_left() {
        let (mut vault, mut policy) = over();
        assert!(policy.due().is_err());
        examine(&mut vault, &mut policy, 10, &[Entry::None, Entry::None]);
        assert_eq!((policy.set_aside(), vault.set_aside), (170, 170));
        assert!(policy.due().is_err()); // no run
        examine(&mut vault, &mut policy, 12, &[Entry::Final(TRIGGER + 40)]);
        assert_eq!((policy.due().unwrap(), vault.set_aside), (100, 170));
        policy.pay(&mut vault, 100);
        assert!(policy.due().is_err());
        assert_eq!((policy.set_aside(), vault.set_aside), (70, 70));
        assert_eq!((policy.open_cover(), vault.locked), (400, 330));
    }

    #[test]
    fn no_more_than_the_cover_is_booked() {
        let (mut vault, mut policy) = over();
        policy.cover = 100;
        vault.locked = 100;
        let entries = [Entry::None, Entry::None];
        assert_eq!(examine(&mut vault, &mut policy, 10, &entries).booked, 100);
        assert_eq!((vault.locked, policy.set_aside()), (0, 100));
        assert_eq!(policy.unmeasured, 100);
    }

    #[test]
    fn windows_examined_one_by_one_book_as_much_as_at_once() {
        let entries: Vec<_> = [0, 250, 0, 0, 260, 240, 0, 300, 300, 0]
            .map(|drift| {
                if drift == 0 {
                    Entry::Void
                } else {
                    Entry::Final(drift)
                }
            })
            .into();
        let outcomes = [10, 3, 1].map(|step| {
            let (mut vault, mut policy) = begun();
            policy.term.part = 37; // 3.7 a window
            vault.accrue(260);
            for (nth, part) in entries.chunks(step).enumerate() {
                let first = 10 + (nth * step) as u64;
                examine(&mut vault, &mut policy, first, part);
            }
            (policy, vault.losses, vault.pending_losses, vault.assets)
        });
        assert_eq!(outcomes[0].0.worth, 250);
        assert_eq!(outcomes[0].0.unmeasured, 18);
        for outcome in &outcomes[1..] {
            assert_eq!(outcome.0.booked(), 250);
            assert_eq!(outcome.0.recent, outcomes[0].0.recent);
            assert_eq!(outcome.1, outcomes[0].1);
            assert_eq!((outcome.2, outcome.3), (outcomes[0].2, outcomes[0].3));
        }
    }

    #[test]
    fn what_is_booked_of_earlier_terms_stays_when_the_next_begins() {
        let (mut vault, mut policy) = over();
        let entries = [Entry::None; 10].map(|_| Entry::Final(TRIGGER));
        policy.persistence = 2;
        examine(&mut vault, &mut policy, 10, &[Entry::None]);
        examine(&mut vault, &mut policy, 11, &entries[..9]);
        (policy.pending.premium, vault.held) = (1, 1);
        policy.begin(&mut vault);
        assert_eq!((policy.unmeasured, policy.unmeasured_windows), (85, 0));
        assert_eq!((policy.worth, policy.windows_to_expire()), (1, 20..=29));
        // A run may begin in the term before
        examine(&mut vault, &mut policy, 20, &[Entry::Final(2 * TRIGGER)]);
        assert_eq!((policy.worth, policy.recent[1]), (1, TRIGGER));
    }

    #[test]
    fn a_window_is_borne_once_its_dispute_would_be_over_and_its_premium_has_streamed() {
        // Window 10 is decided by 200, 12 by 220, 18 by 280
        let (mut vault, mut policy) = begun();
        vault.accrue(250);
        let (assets, locked) = (vault.assets, vault.locked);
        policy.term = Stream {
            part: 200,
            ..policy.term
        };
        // Of the 450 seconds of the stream, 45 are for each window: 10 has streamed at 95, 12 at 185, 17 at 410
        let value = Entry::Final(1);
        let drift = Entry::Final(TRIGGER + 80);
        let entries = [Entry::Void, value, Entry::Void, value, value, value, value];
        examine(&mut vault, &mut policy, 10, &entries);
        examine(&mut vault, &mut policy, 17, &[Entry::Void, drift]);
        assert_eq!((policy.unmeasured, policy.worth), (60, 200));
        let pending = |at| {
            let mut later = vault;
            later.accrue(at);
            later.pending_losses
        };
        // 10 at 300, 12 at 400, the rest of the run at 400, 17 at 600
        assert_eq!(
            [250, 299, 300, 399, 400, 599, 600].map(pending),
            [200, 200, 180, 180, 20, 20, 0]
        );
        assert_eq!((vault.assets, vault.locked), (assets, locked));
        assert_eq!(vault.set_aside, 200);
    }

    #[test]
    fn premium_that_streams_much_later_waits_or_is_taken_out_of_the_stream() {
        // Window 10 has streamed at 20,000, later than the ring of losses reaches
        let (mut vault, mut policy) = begun();
        policy.term = vault.stream(1_000, 50, 199_950, 0);
        vault.accrue(400);
        let (assets, locked, unearned) = (vault.assets, vault.locked, vault.unearned);

        // A run is booked, and the windows without a value are not
        let entries = [Entry::Void, Entry::Final(TRIGGER + 20), Entry::Void];
        assert_eq!(examine(&mut vault, &mut policy, 10, &entries).booked, 50);
        assert_eq!((policy.examined_until, policy.returned_until), (13, 10));
        assert_eq!((policy.unmeasured, vault.unearned), (0, unearned));
        let mut later = (vault, policy);
        later.0.accrue(20_000 - 6_000);
        examine(&mut later.0, &mut later.1, 10, &entries);
        assert_eq!((later.1.returned_until, later.1.unmeasured), (12, 100));

        // At the end of the term, they are, out of the stream and not out of the capital
        let mut examination = Examination::new(&mut policy, &vault, &model(), true).unwrap();
        for (window, entry) in (10..).zip(entries) {
            examination.visit(window, entry);
        }
        let findings = examination.finish();
        findings.set_aside(&mut vault, &mut policy.term);
        assert_eq!((findings.booked, policy.unmeasured), (150, 200));
        let borne = assets - 50; // the run
        assert_eq!((vault.assets, vault.unearned), (borne, unearned - 150));
        assert_eq!((vault.locked, vault.set_aside), (locked - 200, 200));
        assert_eq!(vault.pending_losses, 0);
    }
}
