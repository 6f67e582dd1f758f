//! What clients fill in where their users state nothing: terms, and the bounds within which a
//! transaction may land although the chain has changed.

use driftshield::{DepositLimits, Entry, Model, ModelTerms, Policy, PolicyTerms, Series, Vault};
use driftshield::{VaultTerms, first_window};

use crate::entry_in;

const DAY_SECS: i64 = 24 * 60 * 60;

/// Rent of secured stakes and cover of a new model, in basis points a year.
pub const SECURITY_RENT_BPS: u16 = 200;
/// Part of what the bonds of a new model secure that its stakes, and its cover, may reach, in basis
/// points.
pub const BUDGET_BPS: u16 = 5_000;
/// Cooldown of a new vault, in seconds.
pub const COOLDOWN_SECS: i64 = 14 * DAY_SECS;

/// Slippage tolerance of a purchase of cover, as a divisor of the quoted price: 1%. Until the
/// purchase lands, other purchases and the model's drift can raise the price.
const PREMIUM_TOLERANCE: u64 = 100;
/// Slippage tolerance of a deposit, as a divisor of the shares that the deposit would buy now, and
/// tolerance of pending losses, as a divisor of the vault's capital: 0.1%. Premiums that accrue until the
/// deposit lands raise the share price.
const DEPOSIT_TOLERANCE: u64 = 1_000;

/// Fewest observed windows of a market on the windows `first..=last`: four fifths of them, rounded up;
/// 0 if there are none.
pub fn min_observed(first: u64, last: u64) -> u64 {
    let windows = last
        .checked_sub(first)
        .map_or(0, |more| more.saturating_add(1));
    windows - windows / 5
}

/// The terms that a model has now.
pub fn model_terms(model: &Model) -> ModelTerms {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_end_matches('\0').to_owned()
    };
    ModelTerms {
        oracles: model.oracles[..usize::from(model.oracle_count)].to_vec(),
        quorum: model.quorum,
        max_spread: model.max_spread,
        security_rent_bps: model.security_rent_bps,
        market_budget_bps: model.market_budget_bps,
        cover_budget_bps: model.cover_budget_bps,
        name: text(&model.name),
        uri: text(&model.uri),
        metadata_hash: model.metadata_hash,
        artifact_hash: model.artifact_hash,
    }
}

/// `count` tokens in base units. `None` if they exceed 64 bits.
pub fn whole_tokens(count: u64, decimals: u8) -> Option<u64> {
    10u64.checked_pow(decimals.into())?.checked_mul(count)
}

/// Terms of a new vault whose mint has `decimals`. `None` if one token exceeds 64 bits.
pub fn vault_terms(decimals: u8) -> Option<VaultTerms> {
    Some(VaultTerms {
        min_cover: whole_tokens(1, decimals)?,
        // No limit if the default exceeds 64 bits.
        max_cover: whole_tokens(100_000, decimals).unwrap_or(u64::MAX),
        min_duration_secs: DAY_SECS,
        max_duration_secs: 400 * DAY_SECS,
        base_bps: 200,
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
        risk_slope_bps: 1_000,
        persistence_bps: [10_000, 9_000, 8_000, 7_000],
        max_utilisation_bps: 9_000,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    })
}

/// Terms of cover that is bought at `now`, from the earliest possible window on: the lowest exhaustion,
/// a persistence of 1, the model's present version, the vault's present cancel fee as the highest, no
/// limit on the premium, and no renewal without a signature.
pub fn policy_terms(
    vault: &Vault,
    model: &Model,
    now: i64,
    cover: u64,
    trigger: u64,
    windows: u64,
) -> PolicyTerms {
    PolicyTerms {
        model_version: model.version,
        cover,
        trigger,
        exhaustion: model.state().lowest_exhaustion(trigger),
        persistence: 1,
        first_window: first_window(vault, model, now),
        windows,
        max_premium: u64::MAX,
        max_cancel_fee_bps: vault.terms.cancel_fee_bps,
        auto_renew: false,
    }
}

/// Highest premium, security rent included, of a purchase that costs `price` now.
pub fn max_premium(price: u64) -> u64 {
    price.saturating_add(price.div_ceil(PREMIUM_TOLERANCE))
}

/// Most losses that may be pending when a deposit lands. The vault must be accrued.
pub fn max_pending_losses(vault: &Vault) -> u64 {
    vault.assets / DEPOSIT_TOLERANCE
}

/// Fewest shares of a deposit of `amount` that accepts these pending losses. Fails with the program's
/// error if the deposit would be refused now. The vault must be accrued.
pub fn min_shares(
    vault: &Vault,
    amount: u64,
    max_pending_losses: u64,
) -> Result<u64, anchor_lang::Error> {
    let limits = DepositLimits {
        min_shares: 0,
        revision: vault.revision,
        max_pending_losses,
    };
    let mut vault = *vault; // a copy
    let shares = vault.deposit(amount, &limits)?;
    Ok(shares - shares.div_ceil(DEPOSIT_TOLERANCE))
}

/// The first window of `policy` that an examination at `now` would read; `None` if there is none.
pub fn first_to_examine(policy: &Policy, model: &Model, now: i64) -> Option<u64> {
    let windows = policy.windows_to_examine(model, now, usize::MAX);
    (!windows.is_empty()).then(|| *windows.start())
}

/// Whether the first window of an examination is decided, so that the examination finds something.
/// `page` is the page of the model's series that holds the window, if it exists.
pub fn is_decided(window: u64, page: Option<&Series>, model: &Model, now: i64) -> bool {
    match entry_in(page, window) {
        Entry::Open => false,
        Entry::None => window < model.first_undecided(now),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_windows_must_be_observed() {
        assert_eq!(min_observed(5, 4), 0);
        assert_eq!(min_observed(5, 5), 1);
        assert_eq!(min_observed(1, 7), 6);
        assert_eq!(min_observed(0, 9), 8);
        assert_eq!(min_observed(0, u64::MAX), u64::MAX - u64::MAX / 5);
    }

    #[test]
    fn the_tolerance_of_a_premium_is_rounded_up_and_saturates() {
        assert_eq!(max_premium(1), 2);
        assert_eq!(max_premium(1_000), 1_010);
        assert_eq!(max_premium(u64::MAX), u64::MAX);
    }

    #[test]
    fn default_terms_are_whole_tokens() {
        let terms = vault_terms(6).unwrap();
        assert_eq!(
            (terms.min_cover, terms.max_cover),
            (1_000_000, 100_000_000_000)
        );
        assert_eq!(vault_terms(19).unwrap().max_cover, u64::MAX);
        assert_eq!(vault_terms(20), None);
    }
}
