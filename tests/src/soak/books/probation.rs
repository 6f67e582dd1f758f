//! Probation: which terms begin, which are void, and what windows without a value return.

use driftshield_sdk::{Address, address};

use super::{
    Amount, BPS, Books, Policy, PremiumQuote, Verdict, fits, pages, require,
    series::{Decision, PAGE},
};

/// A term on probation. The vault holds its premium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub premium: Amount,
    /// The purchase, or the end of the term before.
    pub start: i64,
    /// The end of the term's last window.
    pub end: i64,
    /// The first window of the probation: before that of the sale, as many as a dispute takes.
    pub from_window: u64,
}

/// What a probation comes to.
enum Outcome {
    Begins,
    /// A window reached the trigger: the cancel fee is due.
    Failed,
    /// No window that ended after the sale has a value.
    Unmeasured,
}

impl Waiting {
    pub(super) fn new(quote: &PremiumQuote, premium: Amount, start: i64) -> Self {
        Self {
            premium,
            start,
            end: quote.end,
            from_window: quote.from_window,
        }
    }
}

impl Policy {
    /// The last window of all terms that were sold.
    pub fn last_sold(&self) -> u64 {
        let waiting = self.waiting.map_or(0, |_| self.terms.windows);
        self.last_window + waiting
    }

    /// The first window of the last term that has begun; the policy's first window if none has.
    fn first_of_term(&self) -> u64 {
        self.first_window
            .max((self.last_window + 1).saturating_sub(self.terms.windows))
    }

    /// The windows that decide about the term on probation, with those of the term before.
    pub fn deciding(&self) -> Option<(u64, u64)> {
        let from = self.waiting?.from_window;
        Some((from.min(self.returned_until), self.last_window))
    }

    /// The windows that an expiry examines: those of the terms that have begun, as far as they were not examined.
    pub fn to_expire(&self) -> (u64, u64) {
        (self.returned_until, self.last_window)
    }

    /// When a window of the last begun term has streamed.
    fn streamed_at(&self, window: u64) -> i64 {
        let stream = self.term.expect("begun");
        let nth = (window - self.first_of_term() + 1) as i64;
        let windows = self.terms.windows as i64;
        stream.begins_at + ((stream.end - stream.begins_at) * nth + windows - 1) / windows
    }

    /// Keeps the run that ends with `window`, if it is one and its lowest drift is above that of the best one.
    fn keep_best(&mut self, window: u64) {
        let length = usize::from(self.terms.persistence);
        let Some(from) = self.drifts.len().checked_sub(length) else {
            return;
        };
        let lowest = self.drifts[from..].iter().min().copied().flatten(); // `None` is below every drift
        if self.best.map(|(best, _)| best) < lowest {
            self.best = lowest.map(|lowest| (lowest, window + 1 - length as u64));
        }
    }

    /// Counts another window of the last begun term that has no value.
    fn return_window(&mut self) {
        self.unmeasured += self.share_of_windows(self.unmeasured_windows + 1)
            - self.share_of_windows(self.unmeasured_windows);
        self.unmeasured = self.unmeasured.min(self.cover);
        self.unmeasured_windows += 1;
    }

    /// What the cancel fee leaves of an amount.
    pub(super) fn after_cancel_fee(&self, amount: Amount) -> Amount {
        amount * (BPS - Amount::from(self.cancel_fee_bps)) / BPS
    }

    /// The share of the last begun term's streaming premium that belongs to so many windows.
    fn share_of_windows(&self, windows: u64) -> Amount {
        let part = self.term.map_or(0, |term| term.part);
        part * Amount::from(windows) / Amount::from(self.terms.windows)
    }
}

impl Books {
    /// What a policy finds in a window now; `None` if it must wait. A page that is missing after the
    /// window's retention hides no drift.
    fn find(&self, model: &Address, window: u64) -> Verdict<Option<Decision>> {
        let is_forgotten = self.model(model)?.retention_end(window)? <= self.now;
        if is_forgotten && self.page(model, window).is_none() {
            return Ok(Some(Decision::Observed(0)));
        }
        self.decision(model, window)
    }

    /// What windows come to, in their order, up to the first undecided one.
    fn decided(&self, model: &Address, first: u64, last: u64) -> Verdict<Vec<Decision>> {
        let mut decided = vec![];
        for window in first..=last {
            match self.find(model, window)? {
                Some(decision) => decided.push(decision),
                None => break,
            }
        }
        Ok(decided)
    }

    /// Examines windows of the terms that have begun up to the first undecided one, and sets aside what each adds
    /// to what the policy is worth. If the term is over, premium that streams much later is taken out of the
    /// stream; else it is left for later. Returns whether there was something to examine.
    fn examine_until(&mut self, policy: &mut Policy, last: u64, is_over: bool) -> Verdict<bool> {
        let first = policy.returned_until;
        let decided = self.decided(&policy.model, first, last)?;
        let model = self.models[&policy.model].clone();
        let was = (policy.examined_until, policy.returned_until);
        let (mut ahead, mut losses) = (0, vec![]);
        let vault = &self.vaults[&policy.vault];
        for (window, decision) in (first..).zip(&decided) {
            let decided_by = model.decided_by(window)?;
            let is_skipped = matches!(decision, Decision::Skipped);
            let known = policy.booked();
            if window == policy.returned_until && !is_skipped {
                policy.returned_until += 1;
            } else if window == policy.returned_until {
                let at = decided_by.max(policy.streamed_at(window));
                let is_far = vault.is_far(at);
                if !is_far || is_over {
                    policy.returned_until += 1;
                    policy.return_window();
                    let amount = policy.booked() - known;
                    if is_far {
                        ahead += amount;
                    } else {
                        losses.push((amount, at));
                    }
                    self.rare_events.premiums_set_aside += u64::from(0 < amount);
                }
            }
            let known = policy.booked();
            if window == policy.examined_until {
                policy.examined_until += 1;
                policy.drifts.push(match decision {
                    Decision::Observed(value) if policy.terms.trigger <= *value => Some(*value),
                    _ => None,
                });
                policy.keep_best(window);
                losses.push((policy.booked() - known, decided_by));
            }
        }
        let vault = self.vaults.get_mut(&policy.vault).expect("a vault");
        vault.lose_all(&losses);
        self.cut_ahead(policy, ahead);
        Ok(was != (policy.examined_until, policy.returned_until))
    }

    /// Takes premium out of the stream of a policy's term, and what has streamed of it out of the capital.
    fn cut_ahead(&mut self, policy: &mut Policy, ahead: Amount) {
        if ahead == 0 {
            return;
        }
        let vault = self.vaults.get_mut(&policy.vault).expect("a vault");
        let stream = policy.term.as_mut().expect("begun");
        let left = (stream.end - vault.accrued_at.max(stream.begins_at)).max(0) as Amount;
        let cut = ahead.min((stream.rate * left) >> 32);
        if 0 < cut {
            vault.reduce_stream(stream, cut);
            self.rare_events.streams_cut += 1;
        }
        vault.lose_at_last(ahead - cut);
    }

    /// Examines windows. Refuses if one of them isn't decided.
    pub(super) fn examine(&mut self, policy: &mut Policy, last: u64) -> Verdict {
        self.examine_until(policy, last, true)?;
        require(last < policy.examined_until, "a window is not decided")
    }

    /// The windows that an examination reads from so many pages: those of begun terms that are over and were not
    /// examined.
    pub fn to_examine(&self, policy: &Policy, pages: usize) -> (u64, u64) {
        let first = policy.returned_until;
        let running = self.models[&policy.model].running_window(self.now);
        let page_end = (first / PAGE)
            .saturating_add(pages as u64)
            .saturating_mul(PAGE);
        let end = running.min(policy.last_window + 1).min(page_end);
        (first, end.max(1) - 1) // of no window: the last one is before the first one
    }

    /// The first window that was not examined, and the time from which it can be if it has no receipt. `None` if
    /// no begun term has it.
    pub fn next_to_examine(&self, policy: &Policy) -> Option<(u64, i64)> {
        let window = policy.examined_until;
        let idle = self.models[&policy.model].idle_from(window).ok()?;
        (window <= policy.last_window).then_some((window, idle))
    }

    pub(super) fn examine_policy(&mut self, at: &Address, passed: &[Address]) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        let (first, last) = self.to_examine(&policy, passed.len());
        require(first <= last, "there is no window to examine")?;
        require(
            *passed == pages(&policy.model, first, last),
            "the pages are not those of the windows to examine",
        )?;
        self.vault_now(&policy.vault)?;
        let has_examined = self.examine_until(&mut policy, last, false)?;
        require(has_examined, "there is nothing to examine")?;
        let vault = policy.vault;
        self.policies.insert(*at, policy);
        self.sweep_orphaned_assets(&vault);
        Ok(())
    }

    /// What the probation of a policy comes to now.
    fn outcome(&self, policy: &Policy, from: u64) -> Verdict<Outcome> {
        // Values that were known at the sale do not count, unless all could be.
        let sale = from + self.model(&policy.model)?.dispute_windows();
        let fresh = sale.min(policy.last_window);
        let (mut values, mut has_fresh) = (Vec::new(), false);
        let mut waits = false;
        for window in from..=policy.last_window {
            match self.find(&policy.model, window)? {
                Some(Decision::Observed(value)) => {
                    values.push(value);
                    has_fresh |= fresh <= window;
                }
                Some(Decision::Skipped) => {}
                None => waits = true,
            }
        }
        if values.iter().any(|value| policy.terms.trigger <= *value) {
            return Ok(Outcome::Failed);
        }
        require(!waits, "a window of the probation is not decided")?;
        Ok(if has_fresh {
            Outcome::Begins
        } else {
            Outcome::Unmeasured
        })
    }

    /// Begins the term on probation, if there is one.
    pub(super) fn begin_term(&mut self, policy: &mut Policy) -> Verdict {
        let Some(waiting) = policy.waiting.take() else {
            return Ok(());
        };
        let previous = policy.term;
        let vault = self.vault_now(&policy.vault)?;
        policy.term = Some(vault.begin(&waiting, previous.as_ref()));
        policy.unmeasured_windows = 0;
        policy.last_window += policy.terms.windows;
        policy.premium = fits(policy.premium + waiting.premium)?;
        Ok(())
    }

    /// Ends the term on probation, if there is one, less the cancel fee on what would have streamed. Returns
    /// the refund.
    pub(super) fn fail_term(&mut self, policy: &mut Policy) -> Verdict<Amount> {
        let Some(waiting) = policy.waiting.take() else {
            return Ok(0);
        };
        let vault = self.vault_now(&policy.vault)?;
        let part = vault.streamed_part(waiting.premium);
        let fee = part - policy.after_cancel_fee(part);
        vault.stream(fee, &waiting, None);
        self.rare_events.terms_voided += 1;
        Ok(waiting.premium - fee)
    }

    pub(super) fn begin_policy(
        &mut self,
        at: &Address,
        passed: &[Address],
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        let waiting = policy.waiting.ok_or("no term is on probation")?;
        let (first, last) = policy.deciding().expect("a term is on probation");
        require(
            *passed == pages(&policy.model, first, last),
            "the pages are not those of the probation",
        )?;
        let outcome = self.outcome(&policy, waiting.from_window)?;
        self.vault_now(&policy.vault)?;
        let is_over = policy.term.is_none_or(|term| term.term_end <= self.now);
        self.examine_until(&mut policy, last, is_over)?;
        let refund = match outcome {
            Outcome::Begins => {
                self.begin_term(&mut policy)?;
                self.rare_events.terms_begun += 1;
                0
            }
            Outcome::Failed => self.fail_term(&mut policy)?,
            Outcome::Unmeasured => {
                policy.waiting = None;
                self.rare_events.terms_voided += 1;
                waiting.premium
            }
        };
        let (holder, vault) = (policy.holder, policy.vault);
        if policy.term.is_some() {
            self.policies.insert(*at, policy);
        } else {
            self.policies.remove(at);
        }
        self.sweep_orphaned_assets(&vault);
        self.refund(&vault, &holder, signed, destination, refund)
    }

    /// Pays a refund, which may be 0: then the destination is not checked.
    pub(super) fn refund(
        &mut self,
        vault: &Address,
        holder: &Address,
        signed: bool,
        destination: &Address,
        refund: Amount,
    ) -> Verdict {
        let tokens = address::vault_tokens(vault);
        require(*destination != tokens, "an account is passed twice")?;
        if refund == 0 {
            return Ok(());
        }
        self.pay(&tokens, holder, signed, destination, refund)
    }
}
