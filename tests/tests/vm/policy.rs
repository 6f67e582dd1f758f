//! Policies: premiums, purchases, claims, renewals, expiry and cancellation.

mod claim;
mod ending;
mod examination;
mod premium;
mod probation;
mod purchase;
mod renewal;

use driftshield::math::{BPS, YEAR_SECS};
use driftshield_sdk::{PolicyTerms, Vault};
use driftshield_tests::{insurance::*, world::*};

/// A scene with a policy of changed default terms, and its holder. The next window to measure is
/// the first that the policy covers.
fn insured(change: impl Fn(PolicyTerms) -> PolicyTerms) -> (Insured, Wallet) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, change(scene.terms())).unwrap();
    measure_until_covered(&mut scene, &holder);
    (scene, holder)
}

/// Measures windows with little drift, until the next is the first that the holder's policy 1
/// covers, and begins the policy unless it has begun.
pub(crate) fn measure_until_covered(scene: &mut Insured, holder: &Wallet) {
    let first = scene.policy(holder, 1).first_window;
    scene.measure_until(first, CALM_DRIFT);
    scene.try_to_begin(holder, 1);
}

/// The premium before rounding, `cover · (base + utilisation + risk · shape) · duration / (10 000 ·
/// 365 days)`, in floating point. The utilisation is the mean of many slices of the vault's curve.
fn premium_by_slices(vault: &Vault, terms: &PolicyTerms, drift: u64, duration: i64) -> f64 {
    const SLICES: u32 = 4_096;
    let pricing = &vault.terms;
    let curve = |u: f64| {
        let kink = f64::from(pricing.kink_bps) / 10_000.0;
        if u <= kink {
            f64::from(pricing.slope1_bps) * u / kink
        } else {
            let above = (u - kink) / (1.0 - kink);
            f64::from(pricing.slope1_bps) + f64::from(pricing.slope2_bps) * above
        }
    };
    let curve = |u: f64| curve(u.min(1.0));
    let assets = vault.seasoned.min(vault.seller().staying) as f64;
    let (utilised, added) = (vault.locked as f64 / assets, terms.cover as f64 / assets);
    let slices = (0..SLICES).map(|slice| (f64::from(slice) + 0.5) / f64::from(SLICES));
    let utilisation: f64 =
        slices.map(|at| curve(utilised + added * at)).sum::<f64>() / f64::from(SLICES);
    let risk = f64::from(pricing.risk_slope_bps) * (drift as f64 / terms.trigger as f64).min(1.0);
    let ramp = (1.0 + terms.trigger as f64 / terms.exhaustion as f64) / 2.0;
    let part = f64::from(pricing.persistence_bps[usize::from(terms.persistence) - 1]) / 10_000.0;
    let rate = f64::from(pricing.base_bps) + utilisation + risk * ramp * part;
    terms.cover as f64 * rate * duration as f64 / (BPS as f64 * YEAR_SECS as f64)
}
