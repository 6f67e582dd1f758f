//! Limits of vaults and changes of their terms.

use driftshield_sdk::{DriftShieldError, VaultTerms, instruction};
use driftshield_tests::{insurance::*, world::*};

use crate::admin::update_collateral;

#[test]
fn a_vault_in_disabled_collateral_is_refused() {
    let mut world = World::new();
    let manager = world.wallet(0);
    let (at, collateral) = (manager.address(), world.collateral());
    let create = instruction::create_vault(at, 1, &collateral, DAY, 0, vault_terms());
    update_collateral(&mut world, terms(), false);
    let outcome = world.send(create.clone(), &[&manager.key]);
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    update_collateral(&mut world, terms(), true);
    world.send(create, &[&manager.key]).unwrap();
}

#[test]
fn vaults_out_of_limits_are_refused() {
    let mut world = World::with(params(), insurance_terms());
    let manager = world.wallet(0);
    let collateral = world.collateral();
    let mut create = |cooldown, fee, terms: VaultTerms| {
        let create =
            instruction::create_vault(manager.address(), 1, &collateral, cooldown, fee, terms);
        world.send(create, &[&manager.key])
    };
    let good = vault_terms();
    assert_refused(create(0, 0, good), DriftShieldError::InvalidCooldown);
    assert_refused(
        create(126 * DAY + 1, 0, good),
        DriftShieldError::InvalidCooldown,
    );
    // Together with the protocol's 5%, the manager's fee exceeds 20%.
    assert_refused(create(DAY, 1_501, good), DriftShieldError::FeesTooHigh);
    for (name, terms) in invalid_terms() {
        println!("{name}");
        assert_refused(create(DAY, 0, terms), DriftShieldError::InvalidVaultTerms);
    }
    create(126 * DAY, 1_500, good).unwrap();
}

/// Terms that are each wrong in one way, with what is wrong.
fn invalid_terms() -> impl Iterator<Item = (&'static str, VaultTerms)> {
    type Change = (&'static str, fn(&mut VaultTerms));
    let changes: [Change; 14] = [
        ("min_cover of zero", |t| t.min_cover = 0),
        ("max_cover below min_cover", |t| {
            t.max_cover = t.min_cover - 1
        }),
        ("min_duration_secs of zero", |t| t.min_duration_secs = 0),
        ("negative min_duration_secs", |t| t.min_duration_secs = -1),
        ("max_duration_secs below min_duration_secs", |t| {
            t.max_duration_secs = t.min_duration_secs - 1
        }),
        ("kink_bps of zero", |t| t.kink_bps = 0),
        ("kink_bps of 100%", |t| t.kink_bps = 10_000),
        ("max_utilisation_bps too low", |t| {
            t.max_utilisation_bps = 4_999
        }),
        ("max_utilisation_bps above 100%", |t| {
            t.max_utilisation_bps = 10_001
        }),
        ("cancel_fee_bps above 100%", |t| t.cancel_fee_bps = 10_001),
        ("persistence_bps below 100% for one window", |t| {
            t.persistence_bps = [9_999; 4]
        }),
        ("persistence_bps that rise", |t| {
            t.persistence_bps = [10_000, 5_000, 5_000, 5_001]
        }),
        ("reserved not zero", |t| t.reserved = [1, 0]),
        ("reserved not zero", |t| t.reserved = [0, 1]),
    ];
    changes.into_iter().map(|(name, change)| {
        let mut terms = vault_terms();
        change(&mut terms);
        (name, terms)
    })
}

#[test]
fn terms_out_of_limits_can_not_be_announced() {
    let mut scene = Insured::new();
    let (manager, vault) = (scene.manager.address(), scene.vault);
    for (name, terms) in invalid_terms() {
        println!("{name}");
        let update = instruction::update_vault(manager, vault, terms);
        let outcome = scene.world.send(update, &[&scene.manager.key]);
        assert_refused(outcome, DriftShieldError::InvalidVaultTerms);
    }
}

#[test]
fn new_terms_take_effect_after_the_cooldown_and_a_day() {
    // Given a manager who announces dearer terms
    let mut scene = Insured::new();
    let dearer = VaultTerms {
        base_bps: 5_000,
        ..vault_terms()
    };
    let (manager, vault) = (scene.manager.address(), scene.vault);
    let update = instruction::update_vault(manager, vault, dearer);
    scene.world.send(update, &[&scene.manager.key]).unwrap();
    let announced = scene.world.now();
    let cheap = scene.quote(&scene.terms()).unwrap().premium;
    for _ in 0..6 {
        scene.measure(CALM_DRIFT);
    }

    // When the notice is over, then they apply, and not a second earlier
    scene.world.warp_to(announced + COOLDOWN + DAY - 1);
    let before = scene.quote(&scene.terms()).unwrap().premium;
    scene.world.warp_to(announced + COOLDOWN + DAY);
    let after = scene.quote(&scene.terms()).unwrap().premium;
    assert!(before.abs_diff(cheap) < cheap / 5);
    assert!(
        10 * before < after,
        "premium {before} before, {after} after"
    );
}
