//! Listings of models.

use driftshield_sdk::{DriftShieldError, ListingTerms, PolicyTerms, address, instruction};
use driftshield_tests::{insurance::*, world::*};

#[test]
fn only_the_manager_can_update_a_vault_and_list_models() {
    let mut scene = Insured::new();
    let stranger = scene.world.wallet(0);
    let (manager, vault, model) = (scene.manager.address(), scene.vault, scene.model.address);
    let listing = ListingTerms {
        model_version: 1,
        cap: 0,
        lowest_trigger: 20_000,
        max_persistence: 1,
    };
    for instruction in [
        instruction::update_vault(manager, vault, vault_terms()),
        instruction::list_model(manager, vault, model, listing),
    ] {
        let other = swapped(instruction, &manager, &stranger.address());
        let outcome = scene.world.send(other, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::NotManager);
    }
}

#[test]
fn a_looser_listing_needs_notice_and_a_tighter_one_does_not() {
    // Given a vault with shares that lists a model
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let notice = COOLDOWN + DAY;

    // When the manager tightens the listing, then it applies at once
    scene.list(1_000 * TOKEN, 30_000).unwrap();
    let terms = PolicyTerms {
        trigger: 29_999,
        ..scene.terms()
    };
    assert_refused(
        scene.buy(&holder, 1, terms),
        DriftShieldError::TriggerTooLow,
    );
    let terms = PolicyTerms {
        cover: 1_001 * TOKEN,
        ..scene.terms()
    };
    assert_refused(scene.buy(&holder, 1, terms), DriftShieldError::ExposureFull);
    scene
        .buy(
            &holder,
            1,
            PolicyTerms {
                cover: 1_000 * TOKEN,
                ..terms
            },
        )
        .unwrap();

    // When the manager loosens it, then nothing is sold until providers who disagree had time to
    // withdraw
    for (cap, lowest) in [(1_001 * TOKEN, 30_000), (1_001 * TOKEN, 29_999)] {
        scene.list(cap, lowest).unwrap();
        assert_eq!(scene.exposure().active_at, scene.world.now() + notice);
        let terms = least_terms(&scene);
        assert_refused(
            scene.buy(&holder, 2, terms),
            DriftShieldError::ListingNotActive,
        );
    }
    let active = scene.exposure().active_at;
    for _ in 0..6 {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(active - 1);
    let terms = least_terms(&scene);
    assert_refused(
        scene.buy(&holder, 2, terms),
        DriftShieldError::ListingNotActive,
    );
    scene.world.warp_to(active);
    scene.buy(&holder, 2, least_terms(&scene)).unwrap();
}

/// Terms with the vault's minimum cover.
fn least_terms(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: TOKEN,
        ..scene.terms()
    }
}

#[test]
fn a_model_measured_slower_than_the_cooldown_is_refused() {
    // Given a vault whose cooldown is a second shorter than the measurement of three windows, and one
    // whose cooldown is as long
    let mut world = World::with(params(), insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let manager = world.wallet(0);
    // The second has the shortest cooldown that leaves time for the windows, the dispute and two steps. A step is a
    // sixtieth of the cooldown
    let run = world.model(&model.address).dispute_secs() + 3 * DAY;
    let needed = |cooldown: i64| run + 2 * ((cooldown + 59) / 60);
    let slowest = (run..).find(|cooldown| needed(*cooldown) <= *cooldown);
    let slowest = slowest.expect("a cooldown");
    let collateral = world.collateral();
    for (id, cooldown) in [(1, slowest - 1), (2, slowest)] {
        let create = instruction::create_vault(
            manager.address(),
            id,
            &collateral,
            cooldown,
            0,
            vault_terms(),
        );
        world.send(create, &[&manager.key]).unwrap();
    }
    let listing = |lowest_trigger, model_version| ListingTerms {
        model_version,
        cap: TOKEN,
        lowest_trigger,
        max_persistence: 3,
    };
    let list = |world: &mut World, id, terms| {
        let vault = address::vault(&manager.address(), id);
        let list = instruction::list_model(manager.address(), vault, model.address, terms);
        world.send(list, &[&manager.key])
    };

    // Then the first refuses the model, except for shorter runs; and the second refuses a longer
    // persistence or none, a trigger below the noise floor, and another version
    let floor = world.model(&model.address).noise_floor;
    let outcome = list(&mut world, 1, listing(floor, 1));
    assert_refused(outcome, DriftShieldError::ModelTooSlow);
    let with = |max_persistence| ListingTerms {
        max_persistence,
        ..listing(floor, 1)
    };
    list(&mut world, 1, with(2)).unwrap();
    for (persistence, error) in [
        (0, DriftShieldError::InvalidPersistence),
        (4, DriftShieldError::ModelTooSlow),
        (5, DriftShieldError::InvalidPersistence),
    ] {
        assert_refused(list(&mut world, 2, with(persistence)), error);
    }
    let outcome = list(&mut world, 2, listing(floor - 1, 1));
    assert_refused(outcome, DriftShieldError::BelowNoiseFloor);
    let outcome = list(&mut world, 2, listing(floor, 2));
    assert_refused(outcome, DriftShieldError::VersionMismatch);
    list(&mut world, 2, listing(floor, 1)).unwrap();
}
