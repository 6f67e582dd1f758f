//! Price of a purchase or renewal of a policy, and the checks that can refuse it. The program
//! charges what these functions return, and clients call them for quotes.

use anchor_lang::prelude::*;

use crate::{
    math::Premium, DriftShieldError, Exposure, Model, Policy, PolicyTerms, Quote, Vault,
    MAX_HORIZON_SECS, MAX_PERSISTENCE,
};

/// Fewest Final receipts of a model's version with which cover on the model is sold.
pub const MIN_HISTORY: u64 = 8;

/// Returns the first window that a policy bought at `now` covers.
pub fn first_window(vault: &Vault, model: &Model, now: i64) -> u64 {
    let wait = (now + vault.waiting_secs)
        .saturating_sub(model.genesis)
        .max(0);
    (wait as u64).div_ceil(model.window_secs as u64)
}

/// Returns what `buy_policy` charges at `now`, or the error with which it refuses. Accrues `vault`
/// up to `now`.
///
/// Doesn't check what these accounts don't hold: the pause flags, the collateral and its mint, the
/// buyer, and the balance of the buyer's token account.
pub fn quote(
    vault: &mut Vault,
    exposure: &Exposure,
    model: &Model,
    terms: &PolicyTerms,
    now: i64,
) -> Result<Quote> {
    vault.accrue(now);
    let first = first_window(vault, model, now);
    require!(first <= terms.first_window, DriftShieldError::WindowsBegan);
    require!(
        terms.first_window == first,
        DriftShieldError::WindowsTooLate
    );
    Request {
        vault,
        exposure,
        model,
        terms,
        released: 0,
        begins_at: now,
        secured_until: now,
    }
    .quote(now)
}

/// Returns what `renew_policy` charges at `now`, or the error with which it refuses. Accrues
/// `vault` up to `now`.
///
/// A renewal buys the same number of windows after the last covered one. It is priced as if the
/// policy's cover were released first. The paid duration begins at the end of the last covered
/// window.
pub fn quote_renewal(
    vault: &mut Vault,
    exposure: &Exposure,
    model: &Model,
    policy: &Policy,
    now: i64,
) -> Result<Quote> {
    vault.accrue(now);
    policy.require_renewable(now)?;
    let terms = policy.renewal_terms();
    require!(
        first_window(vault, model, now) <= terms.first_window,
        DriftShieldError::WindowsBegan
    );
    Request {
        vault,
        exposure,
        model,
        terms: &terms,
        released: policy.cover,
        begins_at: policy.term.end,
        secured_until: policy.term.end + model.dispute_secs(),
    }
    .quote(now)
}

struct Request<'a> {
    /// Accrued up to `now`.
    vault: &'a Vault,
    exposure: &'a Exposure,
    model: &'a Model,
    terms: &'a PolicyTerms,
    /// Cover that the purchase replaces: 0, or the cover of the renewed policy.
    released: u64,
    /// Unix time at which the paid duration begins: now, or the end of the renewed policy's term.
    begins_at: i64,
    /// Unix time from which the security rent is paid: now, or the time until which the renewed
    /// policy has paid it.
    secured_until: i64,
}

impl Request<'_> {
    fn quote(&self, now: i64) -> Result<Quote> {
        let terms = self.terms;
        self.require_model(now)?;
        self.require_trigger()?;
        let last_window = self.last_window()?;
        let end = self.model.window_end(last_window)?;
        let duration = self.duration(end, now)?;
        self.exposure
            .require_sells(terms.cover, self.released, terms.trigger, now)?;
        // `released` is part of `locked`.
        let locked_before = self.vault.locked.saturating_sub(self.released);
        let locked_after = self.require_capital(locked_before)?;

        let pricing = &self.vault.terms;
        let premium = Premium {
            cover: terms.cover,
            base_bps: pricing.base_bps,
            curve: pricing.curve(),
            risk_slope_bps: pricing.risk_slope_bps,
            drift: self.model.ewma.max(self.drift()),
            trigger: terms.trigger,
            assets: self.vault.assets,
            locked: locked_before,
            duration_secs: duration,
        };
        let premium = premium.charge().ok_or(DriftShieldError::Overflow)?;
        let (rent, rent_end) = self.model.rent(terms.cover, self.secured_until, end)?;
        require!(
            premium
                .checked_add(rent)
                .is_some_and(|price| price <= terms.max_premium),
            DriftShieldError::PremiumTooHigh
        );
        let (protocol_part, manager_part, streamed_part) = self.vault.split_premium(premium);
        Ok(Quote {
            premium,
            rent,
            rent_end,
            protocol_part,
            manager_part,
            streamed_part,
            first_window: terms.first_window,
            last_window,
            end,
            locked_before,
            locked_after,
        })
    }

    /// The higher of the model's `last_value` and `latest`.
    fn drift(&self) -> u64 {
        self.model.last_value.max(self.model.latest)
    }

    fn require_model(&self, now: i64) -> Result<()> {
        let model = self.model;
        model.require_active()?;
        model.require_version(self.terms.model_version)?;
        model.require_version(self.exposure.model_version)?;
        require!(
            MIN_HISTORY <= model.final_count,
            DriftShieldError::TooLittleHistory
        );
        let stale_at =
            model.window_end(model.last_window)? + 2 * model.window_secs + model.dispute_secs();
        require!(now <= stale_at, DriftShieldError::StaleHistory);
        Ok(())
    }

    fn require_trigger(&self) -> Result<()> {
        let terms = self.terms;
        require!(
            terms.trigger <= terms.exhaustion,
            DriftShieldError::InvalidExhaustion
        );
        require!(
            self.model.noise_floor <= terms.trigger,
            DriftShieldError::BelowNoiseFloor
        );
        require!(
            self.drift() < terms.trigger,
            DriftShieldError::TriggerReached
        );
        require!(
            (1..=MAX_PERSISTENCE).contains(&terms.persistence)
                && u64::from(terms.persistence) <= terms.windows,
            DriftShieldError::InvalidPersistence
        );
        Ok(())
    }

    fn last_window(&self) -> Result<u64> {
        let after = self.terms.first_window.checked_add(self.terms.windows);
        Ok(after.ok_or(DriftShieldError::WindowOutOfRange)? - 1) // `windows` is at least 1
    }

    fn duration(&self, end: i64, now: i64) -> Result<u64> {
        let duration = end - self.begins_at;
        let pricing = &self.vault.terms;
        require!(
            (pricing.min_duration_secs..=pricing.max_duration_secs).contains(&duration),
            DriftShieldError::DurationOutOfLimits
        );
        require!(
            end <= now + MAX_HORIZON_SECS && self.vault.has_bucket(end, now),
            DriftShieldError::EndTooFar
        );
        Ok(duration as u64)
    }

    /// Checks cover and capital limits. Returns the vault's locked capital after the purchase.
    fn require_capital(&self, locked_before: u64) -> Result<u64> {
        let (vault, cover) = (self.vault, self.terms.cover);
        require!(
            (vault.terms.min_cover..=vault.terms.max_cover).contains(&cover),
            DriftShieldError::CoverOutOfLimits
        );
        require!(0 < vault.assets, DriftShieldError::NoCapital);
        let locked_after = locked_before.saturating_add(cover); // a saturated sum is refused next
        require!(
            vault.can_lock(locked_after),
            DriftShieldError::UtilisationTooHigh
        );
        let others = self.model.cover_risk.saturating_sub(self.released);
        let cover_risk = others
            .checked_add(cover)
            .ok_or(DriftShieldError::Overflow)?;
        require!(
            self.model.secures_cover(cover_risk),
            DriftShieldError::AboveSecurityLimit
        );
        Ok(locked_after)
    }
}
