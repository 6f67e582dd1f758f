//! Prices of policies by the accounts of a vault and a model. The program charges what these
//! functions return, and clients call them for quotes. The rules are in [`math::quote`].

use crate::{
    math::{self, ModelState, Quote, Refusal, Rule, Verdict, Wanted},
    DriftShieldError, Exposure, Model, ModelStatus, Policy, PolicyTerms, Vault,
};

/// Returns the first window that a policy bought at `now` covers.
pub fn first_window(vault: &Vault, model: &Model, now: i64) -> u64 {
    model.state().window_from(now + vault.waiting_secs)
}

/// Returns what `buy_policy` charges at `now`, or why it refuses. Accrues `vault` up to `now`.
///
/// Doesn't check what these accounts don't hold: the pause flags, the collateral and its mint, the
/// buyer, and the balance of the buyer's token account.
pub fn quote(
    vault: &mut Vault,
    exposure: &Exposure,
    model: &Model,
    terms: &PolicyTerms,
    now: i64,
) -> Verdict<Quote> {
    price(vault, exposure, model, terms, None, now)
}

/// Returns what `renew_policy` charges at `now`, or why it refuses. `is_signed`: whether the holder
/// signs. Accrues `vault` up to `now`.
///
/// A renewal buys the same number of windows after the last covered one.
pub fn quote_renewal(
    vault: &mut Vault,
    exposure: &Exposure,
    model: &Model,
    policy: &Policy,
    is_signed: bool,
    now: i64,
) -> Verdict<Quote> {
    let terms = policy.renewal_terms();
    price(
        vault,
        exposure,
        model,
        &terms,
        Some((policy, is_signed)),
        now,
    )
}

#[inline(never)] // one copy keeps the binary small
fn price(
    vault: &mut Vault,
    exposure: &Exposure,
    model: &Model,
    terms: &PolicyTerms,
    renewed: Option<(&Policy, bool)>,
    now: i64,
) -> Verdict<Quote> {
    vault.accrue(now);
    let renewed = renewed.map(|(policy, is_signed)| policy.renewed(is_signed));
    math::quote(
        &vault.seller(),
        &exposure.listing(),
        &model.state(),
        &terms.wanted(),
        renewed.as_ref(),
        now,
    )
}

impl Model {
    /// Returns what the model says to a sale of cover on it, for a quote.
    pub fn state(&self) -> ModelState {
        ModelState {
            is_active: self.status == ModelStatus::Active,
            version: self.version,
            genesis: self.genesis,
            window_secs: self.window_secs,
            dispute_secs: self.dispute_secs(),
            noise_floor: self.noise_floor,
            max_spread: self.max_spread,
            final_count: self.final_count,
            last_window: self.last_window,
            drift: self.last_value.max(self.latest),
            ewma: self.ewma,
            cover_risk: self.cover_risk,
            cover_limit: self.cover_limit(),
            security_rent_bps: self.security_rent_bps,
        }
    }
}

impl PolicyTerms {
    fn wanted(&self) -> Wanted {
        Wanted {
            model_version: self.model_version,
            cover: self.cover,
            trigger: self.trigger,
            exhaustion: self.exhaustion,
            persistence: self.persistence,
            first_window: self.first_window,
            windows: self.windows,
            max_premium: self.max_premium,
            max_cancel_fee_bps: self.max_cancel_fee_bps,
        }
    }
}

impl From<Refusal> for DriftShieldError {
    fn from(refusal: Refusal) -> Self {
        match refusal.rule {
            Rule::ModelRetired => Self::ModelRetired,
            Rule::VersionMismatch => Self::VersionMismatch,
            Rule::ListingOutdated => Self::ListingOutdated,
            Rule::TooLittleHistory => Self::TooLittleHistory,
            Rule::StaleHistory => Self::StaleHistory,
            Rule::WindowsBegan => Self::WindowsBegan,
            Rule::WindowsTooLate => Self::WindowsTooLate,
            Rule::WindowOutOfRange => Self::WindowOutOfRange,
            Rule::InvalidExhaustion => Self::InvalidExhaustion,
            Rule::BelowNoiseFloor => Self::BelowNoiseFloor,
            Rule::TriggerReached => Self::TriggerReached,
            Rule::TriggerTooLow => Self::TriggerTooLow,
            Rule::InvalidPersistence => Self::InvalidPersistence,
            Rule::PersistenceTooLong => Self::PersistenceTooLong,
            Rule::ListingNotActive => Self::ListingNotActive,
            Rule::DurationOutOfLimits => Self::DurationOutOfLimits,
            Rule::EndTooFar => Self::EndTooFar,
            Rule::TooManyWindows => Self::TooManyWindows,
            Rule::CoverOutOfLimits => Self::CoverOutOfLimits,
            Rule::ExposureFull => Self::ExposureFull,
            Rule::UtilisationTooHigh => Self::UtilisationTooHigh,
            Rule::AboveSecurityLimit => Self::AboveSecurityLimit,
            Rule::PremiumTooHigh => Self::PremiumTooHigh,
            Rule::Overflow => Self::Overflow,
            Rule::CancelFeeTooHigh => Self::CancelFeeTooHigh,
            Rule::PolicyTriggered => Self::PolicyTriggered,
            Rule::TermPending => Self::TermPending,
            Rule::RenewalTooEarly => Self::RenewalTooEarly,
            Rule::RenewalTooDear => Self::RenewalTooDear,
        }
    }
}
