//! Terms that registration and updates refuse alike.

use driftshield_sdk::{DriftShieldError, ModelTerms};
use driftshield_tests::world::*;

use super::{register, terms_of, update};

/// Asserts that registration and update refuse the changed terms.
#[track_caller]
fn assert_terms_refused(change: impl Fn(&mut ModelTerms), error: fn() -> DriftShieldError) {
    // Given a model, and invalid terms
    let mut world = World::new();
    let model = world.default_model();
    let before = world.svm.get_account(&model.address).unwrap().data;
    let mut terms = terms_of(3, 2);
    change(&mut terms);
    // When its owner updates it with them, or somebody registers another model with them
    let updated = update(&mut world, &model, terms.clone());
    let spec = spec(&world);
    let registered = register(&mut world, spec, terms);
    // Then both are refused, and the model is unchanged
    assert_refused(updated, error());
    assert_refused(registered, error());
    let after = world.svm.get_account(&model.address).unwrap().data;
    assert_eq!(before, after);
}

#[test]
fn a_model_has_1_to_7_oracles() {
    for count in [0, 8] {
        assert_terms_refused(
            |terms| *terms = terms_of(count, 5),
            || DriftShieldError::InvalidOracles,
        );
    }
}

#[test]
fn oracles_are_distinct() {
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        assert_terms_refused(
            |terms| terms.oracles[second] = terms.oracles[first],
            || DriftShieldError::InvalidOracles,
        );
    }
}

#[test]
fn a_spread_is_within_the_limit() {
    for max_spread in [1_000_001, u64::MAX] {
        assert_terms_refused(
            |terms| terms.max_spread = max_spread,
            || DriftShieldError::InvalidSpread,
        );
    }
}

#[test]
fn a_spread_is_at_most_an_eighth_of_the_noise_floor() {
    // Given every kind of floor: below, at and above eight micro-units
    let mut world = World::new();
    for spec in [share_spec(&world), spec(&world), coarse_spec(&world)] {
        let widest = spec.noise_floor() / 8;
        assert_eq!(spec.widest_spread(), widest);
        for (max_spread, is_allowed) in [(0, true), (widest, true), (widest + 1, false)] {
            // When somebody registers a model with the spread, or updates one
            let terms = ModelTerms {
                max_spread,
                ..terms_of(3, 2)
            };
            let model = world.model_with(spec.clone(), 3, 0);
            let outcomes = [
                register(&mut world, spec.clone(), terms.clone()),
                update(&mut world, &model, terms),
            ];
            // Then it is refused above the limit
            for outcome in outcomes {
                if is_allowed {
                    outcome.unwrap();
                } else {
                    assert_refused(outcome, DriftShieldError::SpreadAboveNoise);
                }
            }
        }
    }
}

#[test]
fn a_security_rent_is_within_the_limits() {
    for security_rent_bps in [0, 5_001, u16::MAX] {
        assert_terms_refused(
            |terms| terms.security_rent_bps = security_rent_bps,
            || DriftShieldError::InvalidSecurityRent,
        );
    }
}

#[test]
fn budgets_are_at_most_the_whole() {
    for (market, cover) in [(5_001, 5_000), (10_001, 0), (u16::MAX, u16::MAX)] {
        assert_terms_refused(
            |terms| (terms.market_budget_bps, terms.cover_budget_bps) = (market, cover),
            || DriftShieldError::InvalidBudgets,
        );
    }
}

#[test]
fn a_name_has_at_most_32_bytes() {
    for name in ["x".repeat(33), format!("{}é", "x".repeat(31))] {
        assert_terms_refused(
            |terms| terms.name.clone_from(&name),
            || DriftShieldError::InvalidText,
        );
    }
}

#[test]
fn a_uri_has_at_most_128_bytes() {
    assert_terms_refused(
        |terms| terms.uri = "x".repeat(129),
        || DriftShieldError::InvalidText,
    );
}

#[test]
fn texts_with_nul_are_refused() {
    assert_terms_refused(
        |terms| terms.name = "a\0b".into(),
        || DriftShieldError::InvalidText,
    );
    assert_terms_refused(
        |terms| terms.uri = "a\0".into(),
        || DriftShieldError::InvalidText,
    );
}

#[test]
fn a_quorum_is_a_majority_but_not_all_of_three_or_more_oracles() {
    // Given every number of oracles and every quorum
    let mut world = World::new();
    for count in 1..=7 {
        for quorum in 0..=8 {
            // When somebody registers a model with them
            let allowed = count < 2 * quorum && quorum <= count && (count < 3 || quorum != count);
            let spec = spec(&world);
            let outcome = register(&mut world, spec, terms_of(count, quorum as u8));
            // Then it is refused, unless the quorum is more than half and leaves one of three or
            // more oracles out
            eprintln!("{quorum} of {count}");
            if allowed {
                outcome.unwrap();
            } else {
                assert_refused(outcome, DriftShieldError::InvalidQuorum);
            }
        }
    }
}
