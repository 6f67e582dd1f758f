use anchor_lang::prelude::*;

use crate::{
    math::{Listing, MAX_PERSISTENCE},
    DriftShieldError, Model, ModelStatus, Vault,
};

/// A vault's listing of a model, and the cover that the vault has sold on it.
///
/// Address: PDA of `["exposure", vault, model]`.
/// Amounts are in base units of the vault's mint, drift in micro-units.
#[account]
pub struct Exposure {
    pub vault: Address,
    pub model: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Largest `cover`; 0 if the model is unlisted.
    pub cap: u64,
    /// Lowest trigger that the listing allows.
    pub lowest_trigger: u64,
    /// Cover of open policies, less what they have paid out.
    pub cover: u64,
    /// Number of open policies.
    pub policies: u64,
    /// Unix time of the latest listing.
    pub listed_at: i64,
    /// Unix time from which cover is sold.
    pub active_at: i64,
    /// The only version of the model on which cover is sold.
    pub model_version: u32,
    /// Largest persistence of a policy, 1 to 4.
    pub max_persistence: u8,
    pub bump: u8,
    pub reserved: [u8; 2],
}

const _: () = assert!(core::mem::size_of::<Exposure>() == 2 * 32 + 7 * 8 + 8);

/// Terms on which a manager lists a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct ListingTerms {
    /// Version of the model that the manager has read.
    pub model_version: u32,
    /// Largest cover to sell, in base units; 0 unlists the model.
    pub cap: u64,
    /// Lowest trigger to sell, in micro-units, at least the model's noise floor.
    pub lowest_trigger: u64,
    /// Largest persistence to sell, 1 to 4. As many windows, plus the model's submit, challenge and
    /// ruling periods and a thirtieth of the cooldown, must fit into the vault's cooldown.
    pub max_persistence: u8,
}

impl Exposure {
    /// Whether the running instruction created the account.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    /// Lists the model on `terms`. A new listing, or one that admits more risk than the previous
    /// one, takes effect after the vault's notice period, so that liquidity providers can leave
    /// first; or at once if the vault has no shares. A tighter listing keeps `active_at`.
    pub fn list(
        &mut self,
        vault: &Vault,
        model: &Model,
        terms: &ListingTerms,
        now: i64,
    ) -> Result<()> {
        model.require_version(terms.model_version)?;
        require!(
            (1..=MAX_PERSISTENCE).contains(&terms.max_persistence),
            DriftShieldError::InvalidPersistence
        );
        vault.require_measured_in_time(model, terms.max_persistence)?;
        require!(
            model.noise_floor <= terms.lowest_trigger,
            DriftShieldError::BelowNoiseFloor
        );
        let is_tighter = !self.is_new()
            && terms.cap <= self.cap
            && self.lowest_trigger <= terms.lowest_trigger
            && terms.max_persistence <= self.max_persistence
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
        self.max_persistence = terms.max_persistence;
        self.model_version = terms.model_version;
        Ok(())
    }

    /// Returns what the listing allows, for a quote.
    pub fn listing(&self) -> Listing {
        Listing {
            model_version: self.model_version,
            active_at: self.active_at,
            cap: self.cap,
            cover: self.cover,
            lowest_trigger: self.lowest_trigger,
            max_persistence: self.max_persistence,
        }
    }

    /// Adds a sold policy of `cover`, which is within the cap.
    pub fn sell(&mut self, cover: u64) {
        self.cover += cover;
        self.policies += 1;
    }

    /// Releases `cover` that was paid out, or that an ended policy no longer needs.
    pub fn release(&mut self, cover: u64) {
        self.cover -= cover;
    }

    /// Removes a policy that has ended.
    pub fn end_policy(&mut self) {
        self.policies -= 1;
    }

    /// Whether the listing can sell no more cover, or the vault has been abandoned since the
    /// listing. `circulating` is the supply of the vault's share mint.
    pub fn is_dead(&self, vault: &Vault, model: &Model, circulating: u64, now: i64) -> bool {
        self.cap == 0
            || model.status == ModelStatus::Retired
            || model.version != self.model_version
            || vault.is_abandoned(circulating, self.listed_at, now)
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
