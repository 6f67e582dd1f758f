mod booking;
mod calendar;
mod examination;
mod probation;

use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math::{self, Renewed, Term},
    Exposure, Model, Vault, RATE_BITS,
};

pub use self::{
    examination::{Examination, Findings},
    probation::{Pending, Probation},
};

/// Terms of a policy that a holder buys. Drift is in micro-units, amounts are in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct PolicyTerms {
    /// Version of the model that the holder has read.
    pub model_version: u32,
    /// Maximum total payment of the policy.
    pub cover: u64,
    /// Drift from which the policy pays. Above the model's last and latest value by more than twice
    /// its `max_spread`, and at least its noise floor and the listing's lowest trigger.
    pub trigger: u64,
    /// Drift from which the policy pays its whole cover: at least eight times the model's `max_spread`
    /// above `trigger`.
    pub exhaustion: u64,
    /// Number of consecutive windows that must reach the trigger: 1 to 4, and at most the listing's
    /// `max_persistence`.
    pub persistence: u8,
    /// First covered window: the first one that begins at least the vault's `waiting_secs` after
    /// the purchase.
    pub first_window: u64,
    /// Number of covered windows, at least `persistence`.
    pub windows: u64,
    /// Highest premium, security rent included, of the purchase and of each renewal.
    pub max_premium: u64,
    /// Highest cancel fee of the vault, in bps. The policy keeps the fee of its purchase.
    pub max_cancel_fee_bps: u16,
    /// Whether anyone may renew the policy at the holder's expense.
    pub auto_renew: bool,
}

/// Cover that a holder bought on a model.
///
/// Address: PDA of `["policy", vault, holder, id (u64 LE)]`. Closed when the policy ends.
/// Amounts are in base units of the vault's mint, drift in micro-units, times in seconds.
#[account]
pub struct Policy {
    pub vault: Address,
    pub model: Address,
    /// Receives payments and refunds, and the account's rent.
    pub holder: Address,
    /// Chosen by the holder.
    pub id: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Maximum total payment of the policy.
    pub cover: u64,
    /// Total paid out so far.
    pub paid: u64,
    /// Drift from which the policy pays.
    pub trigger: u64,
    /// Drift from which the policy pays its whole cover.
    pub exhaustion: u64,
    /// Premiums of the terms that have begun, without security rent.
    pub premium: u64,
    /// Highest premium of a renewal, security rent included.
    pub max_premium: u64,
    /// First window that has not been examined for runs.
    pub examined_until: u64,
    /// First window that has not been examined for a missing value: at most `examined_until`, and less
    /// if the premium of a window without a value streams too late to be set aside yet.
    pub returned_until: u64,
    /// Highest drift that a run of examined windows has kept: the lowest value of the run, in
    /// micro-units; 0 if no run has reached the trigger.
    pub peak: u64,
    /// First window of that run.
    pub peak_window: u64,
    /// What the policy is worth at `peak`. Claims pay it.
    pub worth: u64,
    /// Part of the premiums that belongs to examined windows without a value, at most `cover`. Returned
    /// when the policy ends, less what it has paid out.
    pub unmeasured: u64,
    /// Number of the present term's windows to which it belongs.
    pub unmeasured_windows: u64,
    /// Drift of the last three examined windows, newest first, in micro-units; 0 for one that hasn't
    /// reached the trigger.
    pub recent: [u64; 3],
    /// First covered window.
    pub first_window: u64,
    /// Last covered window of the terms that have begun: the one before `first_window` until the
    /// first term begins.
    pub last_window: u64,
    /// Number of windows of a term.
    pub windows: u64,
    /// How long the policy waits, after its last window could be settled, before it can be expired.
    pub claim_grace_secs: i64,
    /// Term that is on probation; all zeros if there is none.
    pub pending: Pending,
    /// Premium stream of the term that has begun last; all zeros if there was none.
    pub term: Stream,
    /// Version of the model.
    pub model_version: u32,
    /// Part of the unused premium that the vault keeps on cancellation, in bps.
    pub cancel_fee_bps: u16,
    /// Number of consecutive windows that must reach the trigger.
    pub persistence: u8,
    /// Whether anyone may renew the policy at the holder's expense.
    pub auto_renew: PodBool,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Policy>() == 3 * 32 + 22 * 8 + 32 + 56 + 16);

/// A premium's stream to the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IdlType, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Stream {
    /// Rate, in 2⁻³² base units per second.
    pub rate: PodU128,
    /// Streamed amount: the premium less the protocol's and the manager's part.
    pub part: u64,
    /// Unix time at which the paid time begins: the purchase, or the end of the term before.
    pub start: i64,
    /// Unix time at which the last paid window ends.
    pub end: i64,
    /// Unix time at which the stream begins: the purchase, or the end of the stream before.
    pub begins_at: i64,
    /// Unix time at which the stream ends: the end of the bucket in which `end` lies, and at least
    /// one bucket after `begins_at`.
    pub ends_at: i64,
}

impl Stream {
    pub const NONE: Self = Self {
        rate: PodU128::ZERO,
        part: 0,
        start: 0,
        end: 0,
        begins_at: 0,
        ends_at: 0,
    };

    /// Returns the amount that has not streamed at `now`, rounded down.
    fn unstreamed(&self, now: i64) -> u64 {
        let left = (self.ends_at - now.max(self.begins_at)).max(0);
        ((self.rate.get() * left as u128) >> RATE_BITS) as u64 // at most `part`
    }

    /// Returns the unused part of the premium: all of it before `start`, then
    /// `⌊part · (end − now) / (end − start)⌋`, and 0 from `end` on. It is never more than what has
    /// not streamed, because the stream neither begins nor ends before the paid time.
    fn unused(&self, now: i64) -> u64 {
        if self.end <= now {
            return 0;
        }
        let (left, whole) = (self.end - now.max(self.start), self.end - self.start);
        math::mul_div(self.part, left as u64, whole as u64).unwrap_or(0) // at most `part`
    }
}

impl Policy {
    /// Returns the cover that can still be paid.
    pub fn open_cover(&self) -> u64 {
        self.cover - self.paid // never below 0: what is paid has been booked
    }

    // Ends.

    /// Returns the Unix time from which the policy can be ended: `claim_grace_secs` after the last time
    /// at which its last window, or that of a term on probation, can be settled.
    pub fn expires_at(&self, model: &Model) -> Result<i64> {
        let pending = if self.is_pending() { self.windows } else { 0 };
        Ok(model.decided_by(self.last_window + pending)? + self.claim_grace_secs)
    }

    /// Returns the Unix time from which an expired policy pays nothing: another `claim_grace_secs`
    /// later. From then on, no account of the holder and no page is needed to release the cover.
    pub fn lapses_at(&self, model: &Model) -> Result<i64> {
        Ok(self.expires_at(model)? + self.claim_grace_secs)
    }

    /// Subtracts the refund of a cancellation from the streams and returns it: the unused premium,
    /// less the cancel fee, less the policy's worth as far as it exceeds the unmeasured premium. A claim
    /// reduces the refund by its amount only. If any claim excluded a refund, anyone could exclude it by
    /// one of one base unit.
    ///
    /// A term on probation is cancelled as if it had begun. If it returned the whole premium, a
    /// holder could leave it on probation, and choose between claim and cancellation at its end.
    pub fn cancel(&mut self, vault: &mut Vault, now: i64) -> u64 {
        let mut before = Stream::NONE;
        if self.is_pending() {
            before = self.term; // may still have unused time
            self.begin(vault);
        }
        let mut refund = 0;
        let mut claimed = self.booked() - self.unmeasured; // the larger one
        for mut stream in [self.term, before] {
            let unused = self.less_cancel_fee(stream.unused(now));
            let part = unused.saturating_sub(claimed);
            claimed -= unused - part;
            if 0 < part {
                vault.cut_stream(&mut stream, part);
                refund += part; // part of the token account's balance
            }
        }
        refund
    }

    /// Returns `amount` less the cancel fee, rounded down.
    fn less_cancel_fee(&self, amount: u64) -> u64 {
        math::fee(amount, math::BPS as u16 - self.cancel_fee_bps)
    }

    /// Ends the policy: releases its open cover from vault, exposure and model. What is still set
    /// aside streams to the vault, so that no share's price jumps. The vault must be accrued.
    #[inline(never)] // one copy keeps the binary small
    pub fn end(&self, vault: &mut Vault, exposure: &mut Exposure, model: &mut Model) {
        let (open, aside) = (self.open_cover(), self.set_aside());
        vault.unlock(open - aside);
        if 0 < aside {
            vault.set_aside -= aside;
            let now = vault.accrued_at;
            vault.stream(aside, now, now, now);
        }
        vault.policies -= 1;
        exposure.release(open);
        exposure.end_policy();
        model.remove_policy(open);
    }

    // Renewals.

    /// Returns what decides whether the policy can be renewed. `is_signed`: whether its holder signs.
    pub fn renewed(&self, is_signed: bool) -> Renewed {
        Renewed {
            term: Term {
                part: self.term.part,
                start: self.term.start,
                end: self.term.end,
                stream_end: self.term.ends_at,
            },
            worth: self.worth,
            is_pending: self.is_pending(),
            is_signed,
        }
    }

    /// Returns the terms of a renewal: the same cover for the same number of windows after the last
    /// covered one.
    pub fn renewal_terms(&self) -> PolicyTerms {
        PolicyTerms {
            model_version: self.model_version,
            cover: self.cover,
            trigger: self.trigger,
            exhaustion: self.exhaustion,
            persistence: self.persistence,
            first_window: self.last_window + 1, // its times fit an i64
            windows: self.windows,
            max_premium: self.max_premium,
            max_cancel_fee_bps: self.cancel_fee_bps,
            auto_renew: self.auto_renew.get(),
        }
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
