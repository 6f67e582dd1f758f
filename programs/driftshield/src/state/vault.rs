mod capital;
mod liquidity;
mod losses;
mod streams;
mod terms;

use anchor_lang::prelude::*;

use crate::{
    math::BUCKETS, token::PodTokenProgram, DriftShieldError, Model, PdaSigner, TokenOwner,
    DAY_SECS, MAX_FEES_BPS, MAX_PERIOD_SECS,
};

pub use {
    capital::WHOLE_INDEX,
    liquidity::{DepositLimits, RESERVE_SECS},
    losses::SLOTS,
    streams::RATE_BITS,
    terms::VaultTerms,
};

/// Longest cooldown: fits a model with the longest window and the longest periods, and two steps.
pub const MAX_COOLDOWN_SECS: i64 = 36 * DAY_SECS + 3 * MAX_PERIOD_SECS;
/// Time between the end of the cooldown and the effect of new terms or a listing that admits more
/// risk, in seconds. Liquidity providers who disagree can leave before.
pub const NOTICE_SECS: i64 = DAY_SECS;

/// Payee of a vault's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum PremiumPayee {
    Treasury = 0,
    Manager = 1,
}

/// Capital of liquidity providers. It backs policies and earns premiums.
///
/// Address: PDA of `["vault", manager, id (u64 LE)]`.
/// Amounts are in base units of `mint`, times in seconds. The share mint is never closed, so that
/// the vault's address is never used again.
#[account]
pub struct Vault {
    pub manager: Address,
    pub mint: Address,
    /// Token account of capital, premiums and credits: PDA of `["vault_tokens", vault]`.
    pub tokens: Address,
    /// SPL Token mint of the shares: PDA of `["shares", vault]`.
    pub share_mint: Address,
    /// Chosen by the manager.
    pub id: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Capital: deposits and streamed premium, less withdrawals and the losses that it has borne: what was
    /// set aside for policies. All shares own it, except for the part that is leaving.
    pub assets: u64,
    /// Part of `assets` that is requested for withdrawal. It bears its part of every payment and
    /// earns nothing.
    pub leaving: u64,
    /// What losses have left of each base unit that is leaving, in 2⁻⁶² base units, times 2³⁰ for each
    /// `leaving_scale`.
    pub leaving_index: u64,
    /// Capital by which cover is priced. It follows the capital that isn't leaving, by at most
    /// `assets` in `season_secs`, and is at most `assets`.
    pub seasoned: u64,
    /// Cover of open policies, less what they have paid out and what is set aside for them, and with
    /// the pending losses. Never above `assets`.
    pub locked: u64,
    /// Part of `assets` and of `locked` that has been set aside, and paid or not, and that the capital
    /// bears when the time for it has come.
    pub pending_losses: u64,
    /// Premium that has not streamed yet.
    pub unearned: u64,
    /// Premium of terms that are on probation.
    pub held: u64,
    /// What has been booked for policies and not paid yet: claims, and premium of windows without a value.
    pub set_aside: u64,
    /// Shares that own the capital that isn't leaving.
    pub shares: u64,
    /// Part of `shares` whose value purchases keep free: shares of requests that could not be paid.
    pub reserved_shares: u64,
    /// Credit of the treasury, not collected yet: the protocol's part of premiums, premium that
    /// streamed for capital that was leaving or while the vault had no shares, and assets that were
    /// left without shares and cover.
    pub protocol_credit: u64,
    /// The manager's part of premiums, not collected yet.
    pub manager_credit: u64,
    /// Number of open policies.
    pub policies: u64,
    /// Number of exposures.
    pub exposures: u64,
    /// Number of withdrawal requests.
    pub requests: u64,
    /// Unix time of the vault's creation.
    pub created_at: i64,
    /// How long after its request capital can be withdrawn.
    pub cooldown_secs: i64,
    /// Shortest time between the purchase of a policy and its first covered window. Copied from
    /// Config.
    pub waiting_secs: i64,
    /// How long a policy waits for claims, after its last receipt could become Final, before it can be
    /// expired. Copied from Config.
    pub claim_grace_secs: i64,
    /// Length of a bucket. Copied from Config.
    pub bucket_secs: i64,
    /// How long a withdrawal request can be paid after its cooldown. Copied from Config.
    pub exit_secs: i64,
    /// Time in which `seasoned` follows all capital. Copied from Config.
    pub season_secs: i64,
    /// Unix time up to which premium has streamed.
    pub accrued_at: i64,
    /// Unix time at which the last premium stream ends.
    pub streams_end: i64,
    /// Unix time at which `next_terms` take effect; 0 if none are announced.
    pub terms_at: i64,
    /// Terms in effect at `accrued_at`.
    pub terms: VaultTerms,
    /// Announced terms; equal to `terms` if none are announced.
    pub next_terms: VaultTerms,
    /// Pending losses by the time at which the capital bears them. The index is the number of that
    /// step, modulo 64.
    pub losses: [u64; SLOTS],
    /// Rate of all premium streams that have begun, in 2⁻³² base units per second.
    pub rate: PodU128,
    /// Change of `rate` at the start of a bucket: streams that begin less streams that end. The
    /// index is the number of the bucket, modulo 64.
    pub rate_changes: [PodI128; BUCKETS],
    /// Streamed premium below a whole base unit, in 2⁻³² base units.
    pub fraction: u32,
    /// Number of times that the manager has listed a model, changed a listing or announced terms. A
    /// deposit states this number.
    pub revision: u32,
    /// Number of times that `leaving_index` was multiplied by 2³⁰, and 5 for each time that a loss has
    /// used up all capital that was leaving.
    pub leaving_scale: u32,
    /// The protocol's part of a premium, in bps. Copied from Config.
    pub protocol_fee_bps: u16,
    /// The manager's part of a premium, in bps.
    pub manager_fee_bps: u16,
    /// Token program of `mint`.
    pub token_program: PodTokenProgram,
    /// Decimals of `mint`.
    pub decimals: u8,
    pub bump: u8,
    pub reserved: [u8; 5],
}

const _: () =
    assert!(core::mem::size_of::<Vault>() == 4 * 32 + (28 + SLOTS) * 8 + 2 * 56 + 65 * 16 + 24);

/// A vault's balances, as reported in events.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType,
)]
pub struct VaultTotals {
    /// Capital: deposits and streamed premium, less withdrawals and the losses that it has borne.
    pub assets: u64,
    /// Part of `assets` that is requested for withdrawal.
    pub leaving: u64,
    /// Capital by which cover is priced.
    pub seasoned: u64,
    /// Cover of open policies, less what they have paid out and what is set aside for them, and with
    /// the pending losses.
    pub locked: u64,
    /// Part of `assets` and of `locked` that has been set aside, and paid or not, and that the capital
    /// bears later.
    pub pending_losses: u64,
    /// Premium that has not streamed yet.
    pub unearned: u64,
    /// Premium of terms that are on probation.
    pub held: u64,
    /// What has been booked for policies and not paid yet: claims, and premium of windows without a value.
    pub set_aside: u64,
    /// Shares that own the capital that isn't leaving.
    pub shares: u64,
    /// Part of `shares` whose value purchases keep free.
    pub reserved_shares: u64,
    /// Credit of the treasury, not collected yet.
    pub protocol_credit: u64,
    /// The manager's part of premiums, not collected yet.
    pub manager_credit: u64,
}

impl Vault {
    /// Checks the cooldown and fees with which the vault is created. They never change.
    pub fn require_creation(&self) -> Result<()> {
        require!(
            (1..=MAX_COOLDOWN_SECS).contains(&self.cooldown_secs),
            DriftShieldError::InvalidCooldown
        );
        require!(
            u32::from(self.protocol_fee_bps) + u32::from(self.manager_fee_bps)
                <= u32::from(MAX_FEES_BPS),
            DriftShieldError::FeesTooHigh
        );
        Ok(())
    }

    pub fn totals(&self) -> VaultTotals {
        VaultTotals {
            assets: self.assets,
            leaving: self.leaving,
            seasoned: self.seasoned,
            locked: self.locked,
            pending_losses: self.pending_losses,
            unearned: self.unearned,
            held: self.held,
            set_aside: self.set_aside,
            shares: self.shares,
            reserved_shares: self.reserved_shares,
            protocol_credit: self.protocol_credit,
            manager_credit: self.manager_credit,
        }
    }

    // Terms and listings.

    /// Returns the end of a notice period that begins at `now`: the cooldown plus a day later.
    pub fn notice_end(&self, now: i64) -> i64 {
        now + self.cooldown_secs + NOTICE_SECS
    }

    /// Announces `terms`, which replace announced terms that have not taken effect yet.
    pub fn announce(&mut self, terms: VaultTerms, now: i64) -> Result<()> {
        terms.validate()?;
        self.accrue(now);
        self.next_terms = terms;
        self.terms_at = self.notice_end(now);
        self.revise();
        Ok(())
    }

    /// Counts a change that a depositor must have seen.
    pub fn revise(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// Refuses a model of which a policy's probation has no whole window. Also refuses it for policies
    /// of up to `persistence` windows, if providers who request a withdrawal in the first of these
    /// windows could leave before the capital bears the claim.
    pub fn require_measured_in_time(&self, model: &Model, persistence: u8) -> Result<()> {
        require!(
            model.window_secs + model.submit_secs <= self.waiting_secs,
            DriftShieldError::WaitingTooShort
        );
        let run_secs = i64::from(persistence) * model.window_secs;
        require!(
            run_secs + model.dispute_secs() + 2 * self.step_secs() <= self.cooldown_secs,
            DriftShieldError::ModelTooSlow
        );
        Ok(())
    }

    /// Refuses a buyer who is an insider of the model or the vault's manager.
    pub fn require_outsider(&self, holder: &Address, model: &Model) -> Result<()> {
        require!(
            !model.is_insider(holder) && !anchor_lang::address_eq(&self.manager, holder),
            DriftShieldError::Insider
        );
        Ok(())
    }

    // Ends.

    /// Whether nobody has a claim on the vault's capital. `circulating` is the supply of the share
    /// mint. It can be lower than the vault's own count, because holders may burn shares.
    fn is_unowned(&self, circulating: u64) -> bool {
        circulating == 0 && self.requests == 0
    }

    /// Whether nobody has a claim on the vault's capital, and the notice period since `since`, in
    /// which the manager could attract deposits, is over.
    pub fn is_abandoned(&self, circulating: u64, since: i64, now: i64) -> bool {
        self.is_unowned(circulating) && self.notice_end(since) <= now
    }

    /// Whether the vault has no circulating shares, withdrawal requests, exposures and policies.
    pub fn is_empty(&self, circulating: u64) -> bool {
        self.is_unowned(circulating) && self.exposures == 0 && self.policies == 0
    }

    /// Whether the notice period since the vault's creation is over. From then on, anyone may close
    /// an empty vault.
    pub fn is_notice_over(&self, now: i64) -> bool {
        self.notice_end(self.created_at) <= now
    }

    /// Returns the amount that the token account owes.
    pub fn owed(&self) -> Result<u64> {
        [
            self.unearned,
            self.held,
            self.set_aside,
            self.protocol_credit,
            self.manager_credit,
        ]
        .into_iter()
        .try_fold(self.assets - self.pending_losses, u64::checked_add) // part of them
        .ok_or(DriftShieldError::Overflow.into())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

impl TokenOwner for Vault {
    fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"vault", &self.manager, self.id, self.bump)
    }

    /// Also refuses a vault that has locked more than its capital, or less than its pending losses.
    #[inline(never)] // one copy keeps the binary small
    fn invariant(&self, balance: u64) -> Result<()> {
        require!(
            self.pending_losses <= self.locked
                && self.locked <= self.assets
                && self.leaving <= self.assets
                && self.owed()? <= balance,
            DriftShieldError::Insolvent
        );
        Ok(())
    }
}
