//! Probation: which terms begin, which are void, and what windows without a value return.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, address};

use super::{
    Amount, BPS, Books, Policy, PremiumQuote, Verdict, fits, pages, require, series::Decision,
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
        Some((from.min(self.first_unexamined()), self.last_window))
    }

    /// The windows that an expiry examines: those of the last term that was sold, as far as they were not
    /// examined.
    pub fn to_expire(&self) -> (u64, u64) {
        match self.waiting {
            Some(_) => (self.last_window + 1, self.last_sold()),
            None => (self.first_unexamined(), self.last_window),
        }
    }

    /// The first window of the last begun term that was not examined.
    fn first_unexamined(&self) -> u64 {
        self.first_of_term().max(self.examined_until)
    }

    /// How many windows of the last begun term have streamed.
    fn windows_streamed(&self, now: i64) -> u64 {
        let windows = self.terms.windows;
        let Some(stream) = self.term else {
            return windows;
        };
        let whole = (stream.end - stream.begins_at) as u128;
        let elapsed = (now - stream.begins_at).max(0) as u128;
        (u128::from(windows) * elapsed / whole).min(windows.into()) as u64
    }

    /// When a window of the last begun term has streamed.
    fn streamed_at(&self, window: u64) -> i64 {
        let stream = self.term.expect("begun");
        let nth = (window - self.first_of_term() + 1) as i64;
        let windows = self.terms.windows as i64;
        stream.begins_at + ((stream.end - stream.begins_at) * nth + windows - 1) / windows
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

    /// The windows before the first undecided one that have no value, and the first undecided one or the window
    /// after the last.
    fn unmeasured(&self, model: &Address, first: u64, last: u64) -> Verdict<(Vec<u64>, u64)> {
        let mut unmeasured = vec![];
        for window in first..=last {
            match self.find(model, window)? {
                Some(Decision::Observed(_)) => {}
                Some(Decision::Skipped) => unmeasured.push(window),
                None => return Ok((unmeasured, window)),
            }
        }
        Ok((unmeasured, last + 1))
    }

    /// Sets aside what the windows of the last begun term up to the first undecided one return. Returns the
    /// amount.
    fn set_aside_until(&mut self, policy: &mut Policy, first: u64, last: u64) -> Verdict<Amount> {
        let (windows, until) = self.unmeasured(&policy.model, first, last)?;
        let model = self.models[&policy.model].clone();
        let vault = self.vaults.get_mut(&policy.vault).expect("a vault");
        let now = vault.accrued_at;
        let streamed = policy.first_of_term() + policy.windows_streamed(now);
        let (mut total, mut ahead, mut losses) = (0, 0, BTreeMap::new());
        for window in windows {
            let before = policy.aside();
            policy.unmeasured -= policy.share_of_windows(policy.unmeasured_windows);
            policy.unmeasured_windows += 1;
            policy.unmeasured += policy.share_of_windows(policy.unmeasured_windows);
            let amount = policy.aside() - before;
            if window < streamed {
                // All that is over is borne in one.
                let decided_by = model.decided_by(window)?;
                let at = decided_by.max(policy.streamed_at(window));
                let is_over = vault.borne_at(at) <= now;
                let at = if is_over { 0 } else { at };
                *losses.entry(at).or_default() += amount;
            } else {
                ahead += amount;
            }
            total += amount;
        }
        for (at, amount) in losses {
            vault.lose(amount, at);
        }
        policy.examined_until = policy.examined_until.max(until);
        if 0 < ahead {
            // What has not streamed is taken out of the stream.
            let stream = policy.term.expect("begun");
            let left = (stream.end - now.max(stream.begins_at)).max(0) as Amount;
            let cut = ahead.min((stream.rate * left) >> 32);
            if 0 < cut {
                vault.reduce_stream(&stream, cut);
                self.rare_events.streams_cut += 1;
            }
            vault.lose(ahead - cut, model.decided_by(streamed)?);
        }
        if 0 < total {
            self.rare_events.premiums_set_aside += 1;
        }
        Ok(total)
    }

    /// Sets aside what the windows return. Refuses if one of them isn't decided.
    pub(super) fn examine(&mut self, policy: &mut Policy, first: u64, last: u64) -> Verdict {
        let (_, until) = self.unmeasured(&policy.model, first, last)?;
        require(last < until, "a window is not decided")?;
        self.set_aside_until(policy, first, last)?;
        Ok(())
    }

    /// Pays `payment` of a policy's cover: first out of what is set aside, then out of the vault's capital, which
    /// bears it once `decided_by` is over.
    pub(super) fn pay_from_policy(
        &mut self,
        policy: &mut Policy,
        payment: Amount,
        decided_by: i64,
    ) {
        let before = policy.aside();
        policy.paid += payment;
        let vault = self.vaults.get_mut(&policy.vault).expect("a vault");
        vault.lose(payment - (before - policy.aside()), decided_by);
    }

    /// The windows that can be examined before the policy's end: those of the last begun term that were not
    /// examined, whose premium has streamed, and that have a receipt or can get none any more.
    pub fn to_set_aside(&self, policy: &Policy) -> (u64, u64) {
        let model = &self.models[&policy.model];
        let streamed = policy.first_of_term() + policy.windows_streamed(self.now);
        let end = (policy.last_window + 1).min(streamed);
        let windows = policy.first_unexamined()..end;
        let mut over =
            windows.filter(|window| model.idle_from(*window).is_ok_and(|at| at <= self.now));
        let last = over.next_back().unwrap_or(policy.first_unexamined() - 1); // a vault waits for a window
        (policy.first_unexamined(), last)
    }

    /// The first window of the last begun term that was not examined, and the time from which it can be if it has
    /// no receipt. `None` if there is none.
    pub fn next_to_set_aside(&self, policy: &Policy) -> Option<(u64, i64)> {
        let window = policy.first_unexamined();
        policy.term?;
        let streamed = policy.streamed_at(window);
        let idle = self.models[&policy.model].idle_from(window).ok()?;
        (window <= policy.last_window).then_some((window, idle.max(streamed)))
    }

    pub(super) fn set_aside_premium(&mut self, at: &Address, passed: &[Address]) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        let (first, last) = self.to_set_aside(&policy);
        require(
            *passed == pages(&policy.model, first, last),
            "the pages are not those of the windows to examine",
        )?;
        self.vault_now(&policy.vault)?;
        let amount = self.set_aside_until(&mut policy, first, last)?;
        require(0 < amount, "there is nothing to set aside")?;
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
        policy.last_window += policy.terms.windows;
        policy.unmeasured_windows = 0;
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
        let refund = match outcome {
            Outcome::Begins => {
                // The term before is over, or will be without another window.
                let (first, last) = (policy.first_unexamined(), policy.last_window);
                self.examine(&mut policy, first, last)?;
                self.begin_term(&mut policy)?;
                self.rare_events.terms_begun += 1;
                0
            }
            Outcome::Failed => self.fail_term(&mut policy)?,
            Outcome::Unmeasured => {
                let (first, last) = (policy.first_unexamined(), policy.last_window);
                let (_, until) = self.unmeasured(&policy.model, first, last)?;
                require(last < until, "a window is not decided")?;
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
