use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math, DriftShieldError, Exposure, Model, PolicyTerms, Quote, Receipt, ReceiptState, Vault,
};

/// Most windows in a row that a trigger has to hold for.
pub const MAX_PERSISTENCE: u8 = 4;

/// Cover that a holder bought on a model.
///
/// Address: PDA of `["policy", vault, holder, id (u64 LE)]`. Closed when it ends.
/// Amounts are in base units of the vault's mint, drift in micro-units, times in seconds.
#[account]
pub struct Policy {
    pub vault: Address,
    pub model: Address,
    /// Is paid, and gets the account's rent back.
    pub holder: Address,
    pub id: u64,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// The most that it pays.
    pub cover: u64,
    pub paid: u64,
    /// Drift from which on it pays.
    pub trigger: u64,
    /// Drift from which on it pays all of its cover.
    pub exhaustion: u64,
    /// All premiums paid.
    pub premium: u64,
    /// No renewal costs more.
    pub max_premium: u64,
    pub first_window: u64,
    pub last_window: u64,
    /// Windows of a term.
    pub windows: u64,
    /// How long it can be claimed after its last receipt could become Final.
    pub claim_grace_secs: i64,
    /// What streams of the last purchase or renewal.
    pub term: Stream,
    /// What streams of the one before; all zeros where there was none.
    pub previous_term: Stream,
    pub model_version: u32,
    /// Part of what a cancellation would give back that it doesn't, in bps.
    pub cancel_fee_bps: u16,
    /// Windows in a row that the trigger has to hold for.
    pub persistence: u8,
    /// Whether anyone may renew it at the holder's expense.
    pub auto_renew: PodBool,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Policy>() == 3 * 32 + 12 * 8 + 2 * 40 + 16);

/// A part of a premium that streams to the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IdlType, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Stream {
    /// In 2⁻³² of a base unit a second.
    pub rate: PodU128,
    /// The premium less the protocol's and the manager's part.
    pub part: u64,
    /// When it was paid.
    pub start: i64,
    /// When the last window that it pays for ends; it streams to the end of the bucket.
    pub end: i64,
}

impl Stream {
    pub const NONE: Self = Self {
        rate: PodU128::ZERO,
        part: 0,
        start: 0,
        end: 0,
    };

    /// `⌊part · (end − now) / (end − start)⌋`, nothing once it has ended.
    fn unused(&self, now: i64) -> u64 {
        if self.end <= now {
            return 0;
        }
        let (left, whole) = (self.end - now, self.end - self.start);
        math::mul_div(self.part, left as u64, whole as u64).unwrap_or(0) // at most `part`
    }
}

impl Policy {
    /// Cover that can still be paid.
    pub fn open_cover(&self) -> u64 {
        self.cover - self.paid // never below: see `claim`
    }

    // Claims.

    /// From when on the policy can no longer be claimed: the grace after its last window's receipt
    /// could still become Final.
    pub fn expires_at(&self, model: &Model) -> Result<i64> {
        Ok(model.window_end(self.last_window)? + model.dispute_secs() + self.claim_grace_secs)
    }

    /// The drift of `receipt`, if it is one of a run of consecutive covered windows at or over the
    /// trigger. `next` is the window that the run has come to, `None` before the first.
    pub fn require_in_run(&self, receipt: &Receipt, next: Option<u64>) -> Result<u64> {
        require!(receipt.model == self.model, DriftShieldError::WrongReceipt);
        let window = receipt.window;
        require!(
            (self.first_window..=self.last_window).contains(&window),
            DriftShieldError::WindowNotCovered
        );
        require!(
            next.is_none_or(|next| next == window) && receipt.state != ReceiptState::Void,
            DriftShieldError::BrokenRun
        );
        require!(
            receipt.state == ReceiptState::Final,
            DriftShieldError::ReceiptNotFinal
        );
        require!(
            self.trigger <= receipt.value,
            DriftShieldError::BelowTrigger
        );
        Ok(receipt.value)
    }

    /// What the policy pays for a run whose lowest value is `lowest`: what it is worth then less
    /// what it paid before.
    pub fn claim(&mut self, lowest: u64) -> Result<u64> {
        let worth = math::worth(self.cover, self.trigger, self.exhaustion, lowest);
        let payment = worth.saturating_sub(self.paid);
        require!(0 < payment, DriftShieldError::AlreadyPaid);
        self.paid = worth; // at most the cover
        Ok(payment)
    }

    // Ends.

    /// Takes what a cancellation gives back out of the streams: what is unused, less the fee, and
    /// less what was paid. Anyone may claim, and could else end a refund by the claim of a base unit.
    pub fn cancel(&self, vault: &mut Vault, now: i64) -> u64 {
        let kept_bps = math::BPS as u16 - self.cancel_fee_bps;
        let mut refund = 0;
        let mut paid = self.paid;
        for stream in [&self.term, &self.previous_term] {
            let unused = math::fee(stream.unused(now), kept_bps);
            let part = unused.saturating_sub(paid);
            paid -= unused - part;
            if 0 < part {
                vault.cut_stream(stream, part);
                refund += part; // of what the token account holds
            }
        }
        refund
    }

    /// The policy ends: vault, exposure and model no longer stand for what it could be paid.
    #[inline(never)] // one copy keeps the binary small
    pub fn end(&self, vault: &mut Vault, exposure: &mut Exposure, model: &mut Model) {
        let open = self.open_cover();
        vault.unlock(open);
        vault.policies -= 1;
        exposure.release(open);
        exposure.end_policy();
        model.release_risk(open);
    }

    // Renewals.

    /// Renewed once a term, and never after a payment.
    pub fn require_renewable(&self, now: i64) -> Result<()> {
        require!(self.paid == 0, DriftShieldError::PolicyPaid);
        require!(
            self.previous_term.end <= now,
            DriftShieldError::AlreadyRenewed
        );
        Ok(())
    }

    /// What a renewal buys: as much again, in the windows that follow.
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
            auto_renew: self.auto_renew.get(),
        }
    }

    /// Appends the windows that `quote` is for.
    pub fn renew(&mut self, quote: &Quote, term: Stream) {
        self.last_window = quote.last_window;
        self.premium += quote.premium; // each was paid
        self.previous_term = core::mem::replace(&mut self.term, term);
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
