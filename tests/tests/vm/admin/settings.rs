//! Updates of the config.

use driftshield_sdk::{CollateralTerms, DriftShieldError, Event, events, instruction, pause};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{
    admin, handover::hand_over_arbiter, largest, out_of_range, smallest, smallest_terms, stranger,
    update_collateral, update_config,
};

#[test]
fn only_the_admin_can_update_the_config() {
    // Given keys that are not the admin's: those of a stranger, the guardian and the arbiter
    let mut world = World::new();
    let stranger = stranger(&mut world);
    let others = [
        stranger,
        world.guardian.insecure_clone(),
        world.arbiter.insecure_clone(),
    ];
    for other in others {
        // When one of them updates the config
        let update = update_config(&world, &other, params());
        let outcome = world.send(update, &[&other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotAdmin);
    }
}

#[test]
fn update_config_refuses_settings_out_of_range() {
    // Given a program that is initialized
    let mut world = World::new();
    let admin = admin(&world);
    for (name, params) in out_of_range() {
        // When the admin sets one setting out of its range
        let update = update_config(&world, &admin, params);
        let outcome = world.send(update, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidConfig);
    }
    assert_eq!(world.config().params, params());
}

#[test]
fn settings_at_the_limits_of_their_ranges_are_accepted() {
    // Given a program that is initialized
    let mut world = World::new();
    let admin = admin(&world);
    for params in [largest(), smallest()] {
        // When the admin sets every setting to a limit of its range
        let update = update_config(&world, &admin, params);
        world.send(update, &[&admin]).unwrap();
        // Then the settings are stored
        assert_eq!(world.config().params, params);
    }
}

#[test]
fn update_config_changes_settings_and_guardian_only() {
    // Given a program with a pause flag, a proposed admin and a proposed arbiter
    let mut world = World::new();
    let admin = admin(&world);
    world.pause(pause::BETS);
    let [pending, guardian, next_arbiter] =
        ["pending", "new guardian", "next arbiter"].map(|name| key(name).pubkey());
    let propose = instruction::propose_admin(admin.pubkey(), pending);
    world.send(propose, &[&admin]).unwrap();
    let arbiter = world.arbiter.insecure_clone();
    let propose = instruction::propose_arbiter(arbiter.pubkey(), next_arbiter);
    world.send(propose, &[&arbiter]).unwrap();
    // When the admin updates the config
    let update = instruction::update_config(admin.pubkey(), guardian, largest());
    let sent = world.send(update, &[&admin]).unwrap();
    // Then the event has the new values, and all other fields are unchanged
    assert_eq!(
        *sent.event(),
        Event::ConfigUpdated(events::ConfigUpdated {
            config_seq: 5,
            guardian,
            params: largest(),
        })
    );
    let config = world.config();
    assert_eq!(config.guardian, guardian);
    assert_eq!(config.arbiter, arbiter.pubkey());
    assert_eq!(config.pending_arbiter, next_arbiter);
    assert_eq!(config.params, largest());
    assert_eq!(config.admin, admin.pubkey());
    assert_eq!(config.pending_admin, pending);
    assert_eq!(config.paused, pause::BETS);
}

#[test]
fn a_model_keeps_the_settings_it_was_registered_with() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let before = world.svm.get_account(&model.address).unwrap().data;
    // When the admin changes every setting, the arbiter and the collateral's terms
    let admin = admin(&world);
    let guardian = world.guardian.pubkey();
    let update = instruction::update_config(admin.pubkey(), guardian, smallest());
    world.send(update, &[&admin]).unwrap();
    let next = stranger(&mut world);
    hand_over_arbiter(&mut world, &next);
    let terms = CollateralTerms {
        min_bond: u64::MAX,
        slash_amount: u64::MAX / 2,
        ..smallest_terms()
    };
    update_collateral(&mut world, terms, false);
    // Then no byte of the model has changed
    let after = world.svm.get_account(&model.address).unwrap().data;
    assert_eq!(before, after);
}
