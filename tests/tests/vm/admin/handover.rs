//! Handover of the admin role.

use anchor_lang::Address;
use driftshield_sdk::{DriftShieldError, Event, events, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{admin, stranger, update_config};

#[test]
fn only_the_admin_can_propose_an_admin() {
    // Given the guardian, who is not the admin
    let mut world = World::new();
    let guardian = world.guardian.insecure_clone();
    // When it proposes itself
    let propose = instruction::propose_admin(guardian.pubkey(), guardian.pubkey());
    let outcome = world.send(propose, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn only_the_proposed_admin_can_accept() {
    // Given a proposed admin
    let mut world = World::new();
    let admin = admin(&world);
    let stranger = stranger(&mut world);
    let propose = instruction::propose_admin(admin.pubkey(), key("proposed").pubkey());
    world.send(propose, &[&admin]).unwrap();
    for other in [&stranger, &admin] {
        // When another key accepts, even the admin's
        let outcome = world.send(instruction::accept_admin(other.pubkey()), &[other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotPendingAdmin);
    }
}

#[test]
fn accept_admin_without_a_proposal_is_refused() {
    // Given a program without a proposed admin
    let mut world = World::new();
    let stranger = stranger(&mut world);
    // When somebody accepts
    let outcome = world.send(instruction::accept_admin(stranger.pubkey()), &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotPendingAdmin);
}

#[test]
fn a_later_proposal_replaces_an_earlier_one() {
    // Given a proposed admin
    let mut world = World::new();
    let admin = admin(&world);
    let [first, second] = [stranger(&mut world), stranger(&mut world)];
    let propose = instruction::propose_admin(admin.pubkey(), first.pubkey());
    world.send(propose, &[&admin]).unwrap();
    // When the admin proposes another key
    let propose = instruction::propose_admin(admin.pubkey(), second.pubkey());
    world.send(propose, &[&admin]).unwrap();
    // Then only the second can accept
    let outcome = world.send(instruction::accept_admin(first.pubkey()), &[&first]);
    assert_refused(outcome, DriftShieldError::NotPendingAdmin);
    let accept = instruction::accept_admin(second.pubkey());
    world.send(accept, &[&second]).unwrap();
}

#[test]
fn a_proposal_changes_nothing_until_it_is_accepted() {
    // Given a program that is initialized
    let mut world = World::new();
    let admin = admin(&world);
    let proposed = stranger(&mut world);
    // When the admin proposes a key
    let propose = instruction::propose_admin(admin.pubkey(), proposed.pubkey());
    let sent = world.send(propose, &[&admin]).unwrap();
    // Then the key is only proposed, and the admin keeps the role
    assert_eq!(
        *sent.event(),
        Event::AdminProposed(events::AdminProposed {
            config_seq: 2,
            admin: admin.pubkey(),
            pending_admin: proposed.pubkey(),
        })
    );
    assert_eq!(world.config().pending_admin, proposed.pubkey());
    assert_eq!(world.config().admin, admin.pubkey());
    let update = update_config(&world, &proposed, params());
    assert_refused(world.send(update, &[&proposed]), DriftShieldError::NotAdmin);
}

#[test]
fn the_proposed_admin_accepts_the_role_once() {
    // Given a proposed admin
    let mut world = World::new();
    let old = admin(&world);
    let new = stranger(&mut world);
    let propose = instruction::propose_admin(old.pubkey(), new.pubkey());
    world.send(propose, &[&old]).unwrap();
    // When it accepts
    let sent = world
        .send(instruction::accept_admin(new.pubkey()), &[&new])
        .unwrap();
    // Then it is the admin, the old admin has no role, and nobody is proposed
    assert_eq!(
        *sent.event(),
        Event::AdminAccepted(events::AdminAccepted {
            config_seq: 3,
            admin: new.pubkey(),
        })
    );
    assert_eq!(world.config().admin, new.pubkey());
    assert_eq!(world.config().pending_admin, Address::default());
    let update = update_config(&world, &old, params());
    assert_refused(world.send(update, &[&old]), DriftShieldError::NotAdmin);
    let again = world.send(instruction::accept_admin(new.pubkey()), &[&new]);
    assert_refused(again, DriftShieldError::NotPendingAdmin);
}
