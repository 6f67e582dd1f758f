//! Challenges of proposed values.

use driftshield_sdk::{DriftShieldError, Event, ReceiptState, address};
use driftshield_tests::world::*;

use super::{BOND, CHALLENGE_BOND, challenged, submit_values, submitted, submitted_at_once};
use crate::receipt::finalize;

#[test]
fn anyone_can_challenge_a_proposed_value_with_a_bond() {
    // Given a proposed value, and a bystander
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200, 300], BOND);
    let challenger = world.wallet(CHALLENGE_BOND + 1);
    world.pass(60);

    // When the bystander challenges
    let sent = world
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();

    // Then the bond is in the vault, and the receipt is in dispute from now on
    let Event::ReceiptChallenged(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(
        (event.challenger, event.bond),
        (challenger.address(), CHALLENGE_BOND)
    );
    assert_eq!((event.window, event.value), (0, 200));
    assert_eq!(event.held, 3 * BOND + CHALLENGE_BOND);
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Challenged);
    assert_eq!(
        (receipt.since, receipt.challenger),
        (world.now(), challenger.address())
    );
    assert_eq!(world.tokens(&challenger.tokens), 1);
    let vault = address::bond_vault(&model.address);
    assert_eq!(world.tokens(&vault), 3 * BOND + CHALLENGE_BOND);
}

#[test]
fn a_value_can_be_challenged_until_its_challenge_period_ends() {
    // Given two proposed values
    let mut world = World::new();
    let models: [_; 2] = submitted_at_once(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    let end = world.receipt(&models[0].address, 0).since + params().challenge_secs;

    // When the challenge period has a second left, then the first can be challenged
    world.warp_to(end - 1);
    world
        .challenge(&models[0], 0, &challenger, &share(500_000))
        .unwrap();

    // When the period is over, then the second can't
    world.warp_to(end);
    let outcome = world.challenge(&models[1], 0, &challenger, &share(500_000));
    assert_refused(outcome, DriftShieldError::ChallengePeriodOver);
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND);
}

#[test]
fn a_collecting_receipt_cannot_be_challenged() {
    // Given a receipt that two of three oracles have submitted to
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    submit_values(&mut world, &model, 0, &[100, 100]);
    let challenger = world.wallet(CHALLENGE_BOND);

    // When somebody challenges it
    let outcome = world.challenge(&model, 0, &challenger, &share(500_000));

    // Then no value is proposed yet, but one is once the submit period is over
    assert_refused(outcome, DriftShieldError::ReceiptNotProposed);
    world.pass(params().submit_secs);
    world
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();
}

#[test]
fn a_receipt_can_be_challenged_once() {
    // Given a challenged receipt, and one in dispute because of its spread
    let mut world = World::new();
    let (challenged, _) = challenged(&mut world, &[100; 3], BOND);
    let spread = submitted(&mut world, &[100, 200_000, 900_000], BOND);
    let second = world.wallet(2 * CHALLENGE_BOND);

    // When somebody challenges the first, then it is refused
    let outcome = world.challenge(&challenged, 0, &second, &share(500_000));
    assert_refused(outcome, DriftShieldError::AlreadyChallenged);

    // When somebody challenges the second, then it is accepted, once
    world
        .challenge(&spread, 0, &second, &share(500_000))
        .unwrap();
    let outcome = world.challenge(&spread, 0, &second, &share(400_000));
    assert_refused(outcome, DriftShieldError::AlreadyChallenged);
}

#[test]
fn a_final_or_void_receipt_cannot_be_challenged() {
    // Given a Final and a Void receipt
    let mut world = World::new();
    let final_model = submitted(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(CHALLENGE_BOND);
    world.pass(params().challenge_secs);
    finalize(&mut world, &final_model, 0).unwrap();
    let spec = coarse_spec(&world);
    let void_model = world.model_with(spec, 3, BOND);
    submit_values(&mut world, &void_model, 0, &[100]);
    world.pass(params().submit_secs + params().challenge_secs + params().ruling_secs);
    finalize(&mut world, &void_model, 0).unwrap();

    // When somebody challenges them
    let models = [&final_model, &void_model];
    let outcomes = models.map(|model| world.challenge(model, 0, &challenger, &share(500_000)));

    // Then it is refused
    for outcome in outcomes {
        assert_refused(outcome, DriftShieldError::WindowSettled);
    }
}
