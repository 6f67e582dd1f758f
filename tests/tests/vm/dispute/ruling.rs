//! Rulings: their signer, time, counts and seats.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{DriftShieldError, ReceiptState, address};
use driftshield_tests::world::*;

use super::{
    BOND, CHALLENGE_BOND, challenged, rule_instruction, ruled, state, submit_values,
    submitted_at_once,
};
use crate::{admin::handover::hand_over_arbiter, receipt::finalize};

/// Anchor's error for a mutable account that is passed twice.
const DUPLICATE_MUTABLE: u32 = 2040;

/// Sends a ruling that the arbiter signs.
fn send_ruling(world: &mut World, instruction: Instruction) -> Outcome {
    let arbiter = world.arbiter.insecure_clone();
    world.send(instruction, &[&arbiter])
}

#[test]
fn only_the_models_arbiter_can_rule() {
    // Given a dispute, and a new arbiter in the config since the model was registered
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);
    let other = world.wallet(0);
    hand_over_arbiter(&mut world, &other.key);

    // When the new arbiter or a stranger rules
    let stranger = world.wallet(0);
    for key in [&other, &stranger] {
        let arbiter = world.model(&model.address).arbiter;
        let rule = rule_instruction(&world, &model, 100);
        let rule = swapped(rule, &arbiter, &key.address());
        let outcome = world.send(rule, &[&key.key]);

        // Then it is refused, because the model keeps the arbiter of its registration
        assert_refused(outcome, DriftShieldError::NotArbiter);
    }
    world.rule(&model, 0, &share(100)).unwrap();
}

#[test]
fn a_dispute_can_be_ruled_until_its_ruling_period_ends() {
    // Given two disputes
    let mut world = World::new();
    let models: [_; 2] = submitted_at_once(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    for model in &models {
        world
            .challenge(model, 0, &challenger, &share(500_000))
            .unwrap();
    }
    let end = world.receipt(&models[0].address, 0).since + params().ruling_secs;

    // When the ruling period has a second left, then the first can be ruled
    world.warp_to(end - 1);
    world.rule(&models[0], 0, &share(100)).unwrap();

    // When the period is over, then the second can't
    world.warp_to(end);
    let outcome = world.rule(&models[1], 0, &share(100));
    assert_refused(outcome, DriftShieldError::ReceiptNotChallenged);
}

#[test]
fn a_receipt_without_a_dispute_cannot_be_ruled() {
    // Given receipts that are Collecting, Proposed, and ruled already
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let collecting = world.model_with(spec, 3, BOND);
    let [proposed, ruled] = submitted_at_once(&mut world, &[100; 3], BOND);
    submit_values(&mut world, &collecting, 0, &[100]);
    let challenger = world.wallet(CHALLENGE_BOND);
    world
        .challenge(&ruled, 0, &challenger, &share(500_000))
        .unwrap();
    world.rule(&ruled, 0, &share(100)).unwrap();
    assert_eq!(state(&world, &collecting), ReceiptState::Collecting);
    assert_eq!(state(&world, &proposed), ReceiptState::Proposed);

    // When the arbiter rules
    for model in [&collecting, &proposed, &ruled] {
        let outcome = world.rule(model, 0, &share(100));

        // Then it is refused
        assert_refused(outcome, DriftShieldError::ReceiptNotChallenged);
    }
}

#[test]
fn a_ruling_needs_every_bin() {
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);

    // When a bin is missing, or there is one too many, then the ruling is refused
    let outcome = world.rule(&model, 0, &[1_000_000]);
    assert_refused(outcome, DriftShieldError::WrongBinCount);
    let outcome = world.rule(&model, 0, &[1_000_000, 0, 0]);
    assert_refused(outcome, DriftShieldError::WrongBinCount);
    let sent = world.rule(&model, 0, &[750_000, 250_000]).unwrap();
    assert_eq!(ruled(&sent).value, 250_000);
}

#[test]
fn a_ruling_accepts_exactly_the_submitters_seats() {
    // Given a dispute that two of three oracles have submitted to, and a seat of another model
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    let other = world.default_model();
    submit_values(&mut world, &model, 0, &[100, 900_000]);
    world.pass(params().submit_secs);
    finalize(&mut world, &model, 0).unwrap();
    assert_eq!(state(&world, &model), ReceiptState::Challenged);
    let seats: Vec<Address> = (model.oracles.iter())
        .map(|oracle| address::seat(&model.address, &oracle.address()))
        .collect();
    let foreign = address::seat(&other.address, &other.oracles[0].address());
    let receipt = address::receipt(&model.address, 0);

    // When the arbiter passes any other list of seats
    let right = rule_instruction(&world, &model, 100);
    let fixed = right.accounts.len() - 2;
    assert_eq!(right.accounts[fixed].pubkey, seats[0]);
    let wrong_lists = [
        vec![],
        vec![seats[0]],
        vec![seats[1]],
        vec![seats[1], seats[0]],
        vec![seats[0], seats[2]],
        vec![seats[0], foreign],
        vec![foreign, seats[1]],
        vec![seats[0], seats[1], seats[2]],
        vec![seats[0], address::config()],
        vec![seats[0], world.mint],
    ];
    for list in wrong_lists {
        let mut rule = right.clone();
        let mut meta = rule.accounts[fixed].clone();
        rule.accounts.truncate(fixed);
        for seat in &list {
            meta.pubkey = *seat;
            rule.accounts.push(meta.clone());
        }
        let outcome = send_ruling(&mut world, rule);

        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongSeats);
    }
    // And a seat that is passed twice is refused, and so is the receipt in place of a seat
    let twice = [seats[0], receipt].map(|address| {
        let mut rule = right.clone();
        rule.accounts[fixed + 1].pubkey = address;
        send_ruling(&mut world, rule)
    });
    let [seat, receipt] = twice;
    assert_refused(seat, DriftShieldError::WrongSeats);
    assert_eq!(code(receipt), DUPLICATE_MUTABLE);
    send_ruling(&mut world, right).unwrap();
}
