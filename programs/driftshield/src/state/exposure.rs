use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, ModelStatus, Vault};

/// That a vault covers a model.
///
/// Address: PDA of `["exposure", vault, model]`.
/// Amounts are in base units of the vault's mint, drift in micro-units.
#[account]
pub struct Exposure {
    pub vault: Address,
    pub model: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// `cover` may reach it.
    pub cap: u64,
    /// No trigger lies under it.
    pub lowest_trigger: u64,
    /// Cover of open policies, less what they were paid.
    pub cover: u64,
    /// Open policies.
    pub policies: u64,
    pub listed_at: i64,
    /// No cover is sold earlier.
    pub active_at: i64,
    /// The only version of the model that is covered.
    pub model_version: u32,
    pub bump: u8,
    pub reserved: [u8; 3],
}

const _: () = assert!(core::mem::size_of::<Exposure>() == 2 * 32 + 7 * 8 + 8);

/// On what terms a manager lists a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct ListingTerms {
    /// The model's version that the manager has seen.
    pub model_version: u32,
    /// Most cover to sell, in base units; 0 takes the model off the list.
    pub cap: u64,
    /// Lowest trigger to sell, in micro-units, not under the model's noise floor.
    pub lowest_trigger: u64,
}

impl Exposure {
    /// Whether the account was made by the running instruction.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    /// Lists the model on `terms`. Whoever provides liquidity can leave before a listing takes
    /// effect that lets more risk in than the one before.
    pub fn list(
        &mut self,
        vault: &Vault,
        model: &Model,
        terms: &ListingTerms,
        now: i64,
    ) -> Result<()> {
        model.require_version(terms.model_version)?;
        vault.require_measured_in_time(model)?;
        require!(
            model.noise_floor <= terms.lowest_trigger,
            DriftShieldError::BelowNoiseFloor
        );
        let is_tighter = !self.is_new()
            && terms.cap <= self.cap
            && self.lowest_trigger <= terms.lowest_trigger
            && self.model_version == terms.model_version;
        if !is_tighter {
            self.active_at = if vault.shares == 0 {
                now
            } else {
                vault.notice_end(now)
            };
        }
        self.listed_at = now;
        self.cap = terms.cap;
        self.lowest_trigger = terms.lowest_trigger;
        self.model_version = terms.model_version;
        Ok(())
    }

    /// Refuses to sell `cover` at `trigger`, `released` of the cover that is sold aside.
    pub fn require_sells(&self, cover: u64, released: u64, trigger: u64, now: i64) -> Result<()> {
        require!(self.active_at <= now, DriftShieldError::ListingNotActive);
        require!(
            self.lowest_trigger <= trigger,
            DriftShieldError::TriggerTooLow
        );
        let others = u128::from(self.cover.saturating_sub(released));
        require!(
            others + u128::from(cover) <= u128::from(self.cap),
            DriftShieldError::ExposureFull
        );
        Ok(())
    }

    /// A policy of `cover` was sold, within the cap.
    pub fn sell(&mut self, cover: u64) {
        self.cover += cover;
        self.policies += 1;
    }

    /// A policy no longer needs `cover`.
    pub fn release(&mut self, cover: u64) {
        self.cover -= cover;
    }

    /// A policy has ended.
    pub fn end_policy(&mut self) {
        self.policies -= 1;
    }

    /// Whether no cover can be sold on it any more, or nobody is left whose capital could back it.
    /// `in_hands` are the vault's shares that somebody holds.
    pub fn is_dead(&self, vault: &Vault, model: &Model, in_hands: u64, now: i64) -> bool {
        self.cap == 0
            || model.status == ModelStatus::Retired
            || model.version != self.model_version
            || vault.is_abandoned(in_hands, self.listed_at, now)
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
