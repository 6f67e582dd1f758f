//! Pause flags.

use driftshield_sdk::{DriftShieldError, Event, events, instruction, pause};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::stranger;

#[test]
fn only_the_guardian_and_the_admin_can_pause() {
    // Given keys that are neither the guardian nor the admin
    let mut world = World::new();
    let stranger = stranger(&mut world);
    for other in [stranger, world.arbiter.insecure_clone()] {
        // When one of them pauses the program
        let outcome = world.send(instruction::set_pause(other.pubkey(), 1), &[&other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotGuardian);
    }
}

#[test]
fn the_guardian_cannot_unpause() {
    // Given two pause flags that are set
    let mut world = World::new();
    world.pause(pause::MARKETS | pause::BETS);
    let guardian = world.guardian.insecure_clone();
    for flags in [
        0,
        pause::BETS,
        pause::MARKETS,
        pause::MODELS,
        pause::ALL & !pause::BETS,
    ] {
        // When the guardian clears one of them, even if it sets others
        let outcome = world.send(
            instruction::set_pause(guardian.pubkey(), flags),
            &[&guardian],
        );
        // Then it is refused
        assert_refused(outcome, DriftShieldError::GuardianCannotUnpause);
    }
    assert_eq!(world.config().paused, pause::MARKETS | pause::BETS);
}

#[test]
fn an_unknown_pause_flag_is_refused() {
    // Given the admin and the guardian
    let mut world = World::new();
    for authority in [
        world.admin.insecure_clone(),
        world.guardian.insecure_clone(),
    ] {
        for flags in [1 << 6, 1 << 7, u8::MAX] {
            // When one of them sets an unknown flag
            let set = instruction::set_pause(authority.pubkey(), flags);
            let outcome = world.send(set, &[&authority]);
            // Then it is refused
            assert_refused(outcome, DriftShieldError::UnknownPauseFlag);
        }
    }
}

#[test]
fn the_guardian_can_add_pause_flags() {
    // Given one pause flag that is set
    let mut world = World::new();
    world.pause(pause::MARKETS);
    let guardian = world.guardian.insecure_clone();
    // When the guardian adds another
    let flags = pause::MARKETS | pause::RENEWALS;
    let set = instruction::set_pause(guardian.pubkey(), flags);
    let sent = world.send(set, &[&guardian]).unwrap();
    // Then both are set
    assert_eq!(
        *sent.event(),
        Event::PauseSet(events::PauseSet {
            config_seq: 3,
            authority: guardian.pubkey(),
            paused: flags,
        })
    );
    assert_eq!(world.config().paused, flags);
}

#[test]
fn the_admin_can_unpause() {
    // Given a program with all pause flags set
    let mut world = World::new();
    world.pause(pause::ALL);
    // When the admin clears all flags
    world.pause(0);
    // Then nothing is paused
    assert_eq!(world.config().paused, 0);
}
