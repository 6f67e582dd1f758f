//! Handover of the admin's and the arbiter's role.

use anchor_lang::Address;
use driftshield_sdk::{DriftShieldError, Event, events, instruction};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
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

/// Hands the arbiter's role over to `to`.
pub(crate) fn hand_over_arbiter(world: &mut World, to: &Keypair) {
    let arbiter = world.arbiter.insecure_clone();
    let propose = instruction::propose_arbiter(arbiter.pubkey(), to.pubkey());
    world.send(propose, &[&arbiter]).expect("propose_arbiter");
    let accept = instruction::accept_arbiter(to.pubkey());
    world.send(accept, &[to]).expect("accept_arbiter");
}

#[test]
fn only_the_arbiter_can_propose_an_arbiter() {
    // Given the admin and the guardian, who are not the arbiter
    let mut world = World::new();
    for other in [admin(&world), world.guardian.insecure_clone()] {
        // When one of them proposes itself as the arbiter
        let propose = instruction::propose_arbiter(other.pubkey(), other.pubkey());
        let outcome = world.send(propose, &[&other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotCurrentArbiter);
    }
}

#[test]
fn only_the_proposed_arbiter_can_accept() {
    // Given a proposed arbiter
    let mut world = World::new();
    let arbiter = world.arbiter.insecure_clone();
    let stranger = stranger(&mut world);
    let early = world.send(instruction::accept_arbiter(stranger.pubkey()), &[&stranger]);
    assert_refused(early, DriftShieldError::NotPendingArbiter);
    let propose = instruction::propose_arbiter(arbiter.pubkey(), key("proposed").pubkey());
    let sent = world.send(propose, &[&arbiter]).unwrap();
    assert_eq!(
        *sent.event(),
        Event::ArbiterProposed(events::ArbiterProposed {
            config_seq: 2,
            arbiter: arbiter.pubkey(),
            pending_arbiter: key("proposed").pubkey(),
        })
    );
    for other in [&stranger, &arbiter, &admin(&world)] {
        // When another key accepts
        let outcome = world.send(instruction::accept_arbiter(other.pubkey()), &[other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotPendingArbiter);
    }
}

#[test]
fn the_proposed_arbiter_accepts_the_role_once() {
    // Given a proposed arbiter
    let mut world = World::new();
    let old = world.arbiter.insecure_clone();
    let new = stranger(&mut world);
    let propose = instruction::propose_arbiter(old.pubkey(), new.pubkey());
    world.send(propose, &[&old]).unwrap();
    // When it accepts
    let accept = instruction::accept_arbiter(new.pubkey());
    let sent = world.send(accept.clone(), &[&new]).unwrap();
    // Then it is the arbiter, nobody is proposed, and the old arbiter can propose nobody any more
    assert_eq!(
        *sent.event(),
        Event::ArbiterAccepted(events::ArbiterAccepted {
            config_seq: 3,
            arbiter: new.pubkey(),
        })
    );
    assert_eq!(world.config().arbiter, new.pubkey());
    assert_eq!(world.config().pending_arbiter, Address::default());
    let again = world.send(accept, &[&new]);
    assert_refused(again, DriftShieldError::NotPendingArbiter);
    let propose = instruction::propose_arbiter(old.pubkey(), old.pubkey());
    let outcome = world.send(propose, &[&old]);
    assert_refused(outcome, DriftShieldError::NotCurrentArbiter);
}
