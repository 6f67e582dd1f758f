//! Initialization of the program by its upgrade authority.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{DriftShieldError, Event, address, events, instruction};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{admin, out_of_range, smallest, stranger};

fn initialize(world: &World, authority: &Keypair) -> Instruction {
    instruction::initialize(
        authority.pubkey(),
        world.admin.pubkey(),
        world.guardian.pubkey(),
        world.arbiter.pubkey(),
        params(),
    )
}

#[test]
fn a_stranger_cannot_initialize() {
    // Given a program that is deployed but not initialized
    let mut world = World::bare();
    let stranger = stranger(&mut world);
    // When a stranger initializes it
    let initialize = initialize(&world, &stranger);
    let outcome = world.send(initialize, &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn program_data_of_another_program_is_refused() {
    // Given program data of another program, with the stranger as its upgrade authority
    let mut world = World::bare();
    let stranger = stranger(&mut world);
    let mut data = world.svm.get_account(&address::program_data()).unwrap();
    data.data[13..45].copy_from_slice(stranger.pubkey().as_ref());
    let other = key("another program's data").pubkey();
    data.data.truncate(45);
    world.svm.set_account(other, data).unwrap();
    // When the stranger passes it in place of the program's own
    let initialize = swapped(
        initialize(&world, &stranger),
        &address::program_data(),
        &other,
    );
    let outcome = world.send(initialize, &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn a_program_without_an_upgrade_authority_cannot_be_initialized() {
    // Given a program without an upgrade authority, whose program data still holds the old
    // authority's key
    let mut world = World::bare();
    let mut data = world.svm.get_account(&address::program_data()).unwrap();
    data.data[12] = 0;
    world
        .svm
        .set_account(address::program_data(), data)
        .unwrap();
    // When the old authority initializes
    let admin = admin(&world);
    let initialize = initialize(&world, &admin);
    let outcome = world.send(initialize, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn initialize_refuses_settings_out_of_range() {
    // Given a program that is not initialized
    let mut world = World::bare();
    let admin = admin(&world);
    for (name, params) in out_of_range() {
        // When its upgrade authority initializes it with one setting out of range
        let [guardian, arbiter] = [world.guardian.pubkey(), world.arbiter.pubkey()];
        let initialize =
            instruction::initialize(admin.pubkey(), admin.pubkey(), guardian, arbiter, params);
        let outcome = world.send(initialize, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidConfig);
    }
}

#[test]
fn the_program_cannot_be_initialized_twice() {
    // Given a program that is initialized
    let mut world = World::new();
    let before = world.svm.get_account(&address::config()).unwrap().data;
    // When its upgrade authority initializes it again
    let admin = admin(&world);
    let again = initialize(&world, &admin);
    let outcome = world.send(again, &[&admin]);
    // Then it is refused, and the config is unchanged
    assert!(outcome.is_err());
    let after = world.svm.get_account(&address::config()).unwrap().data;
    assert_eq!(before, after);
}

#[test]
fn the_upgrade_authority_can_initialize() {
    // Given a program that is not initialized
    let mut world = World::bare();
    let authority = admin(&world);
    let [new_admin, guardian, arbiter] =
        ["the admin", "the guardian", "the arbiter"].map(|name| key(name).pubkey());
    // When its upgrade authority names other keys for all roles
    let initialize =
        instruction::initialize(authority.pubkey(), new_admin, guardian, arbiter, smallest());
    let sent = world.send(initialize, &[&authority]).unwrap();
    // Then these keys have the roles, and nothing is paused
    assert_eq!(
        *sent.event(),
        Event::Initialized(events::Initialized {
            config_seq: 1,
            admin: new_admin,
            guardian,
            arbiter,
            params: smallest(),
        })
    );
    let config = world.config();
    assert_eq!(config.admin, new_admin);
    assert_eq!(config.pending_admin, Address::default());
    assert_eq!(config.guardian, guardian);
    assert_eq!(config.arbiter, arbiter);
    assert_eq!(config.params, smallest());
    assert_eq!((config.paused, config.seq), (0, 1));
}
