//! Probation of a term: windows that could already be known at its sale decide whether it begins.

use anchor_lang::{bytemuck, prelude::*};

use crate::{math::Quote, DriftShieldError, Policy, Vault};

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

    /// Begins the pending term: credits the protocol's and the manager's part of the premium, and streams
    /// the rest from where the stream of the term before ends, or from now on. The terms before must have
    /// been examined, unless the policy ends.
    pub fn begin(&mut self, vault: &mut Vault) {
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

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::{Entry, Examination, Model};

    const TRIGGER: u64 = 200;
    const PREMIUM: u64 = 1_000;

    /// A vault with fees of 5% and 10%, and a policy on windows 10 to 19 on probation from window 7 on.
    fn bought() -> (Vault, Policy) {
        let (mut vault, mut policy) = (Vault::zeroed(), Policy::zeroed());
        (vault.protocol_fee_bps, vault.manager_fee_bps) = (500, 1_000);
        (vault.bucket_secs, vault.accrued_at, vault.held) = (100, 50, PREMIUM);
        (policy.first_window, policy.last_window, policy.windows) = (10, 9, 10);
        (policy.examined_until, policy.returned_until) = (10, 10);
        policy.persistence = 1;
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
        let mut vault = Vault::zeroed();
        (vault.cooldown_secs, vault.accrued_at) = (6_000, 50);
        let mut policy = *policy; // a copy
        let windows = policy.windows_to_begin();
        let mut examination = Examination::new(&mut policy, &vault, &model, true).unwrap();
        for (window, entry) in windows.zip(entries) {
            examination.visit(window, entry);
        }
        let findings = examination.finish();
        assert_eq!((findings.booked, policy.examined_until), (0, 10));
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
        policy.begin(&mut vault);
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
        policy.begin(&mut vault);
        assert_eq!((policy.term.begins_at, policy.term.ends_at), (449, 600));
    }
}
