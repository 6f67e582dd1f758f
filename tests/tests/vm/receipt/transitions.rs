//! Transitions of a receipt from Collecting to Proposed, Challenged, Final and Void.

use anchor_lang::Address;
use driftshield_sdk::{DriftShieldError, Entry, Event, ReceiptState, address, instruction};
use driftshield_tests::world::*;

use super::{BOND, finalize, share_model, state, window_end};
use crate::{bonds::unbond, market::assert_gone};

#[test]
fn a_receipt_is_proposed_once_all_seats_have_submitted() {
    // Given the submissions of two of three oracles
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(300)).unwrap();
    assert_eq!(state(&world, &model, 0), ReceiptState::Collecting);

    // When the third submits
    world.pass(60);
    let sent = world.submit(&model, 2, 0, &share(200)).unwrap();

    // Then the median is proposed at once
    let Event::ReceiptSubmitted(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Proposed, 200));
    let receipt = world.receipt(&model.address, 0);
    assert_eq!((receipt.value, receipt.since), (200, world.now()));
    assert_eq!(world.model(&model.address).latest, 200);
}

#[test]
fn a_quorum_is_proposed_as_of_the_end_of_the_submit_period() {
    // Given the submissions of a quorum
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(300)).unwrap();
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When the submit period has a second left, then nothing can be finalized
    world.warp_to(submit_end - 1);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When the period is long over, then the receipt is Proposed as of its end
    world.warp_to(submit_end + 1_000);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Proposed, 100));
    assert_eq!(world.receipt(&model.address, 0).since, submit_end);
    assert_eq!(world.model(&model.address).latest, 100);
}

#[test]
fn a_receipt_without_a_quorum_is_in_dispute() {
    // Given the submission of one oracle of three
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When the submit period is over, then the receipt is in dispute as of its end
    world.warp_to(submit_end + 60);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Challenged, 100));
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(
        (receipt.since, receipt.challenger),
        (submit_end, Address::default())
    );
    assert_eq!(world.model(&model.address).latest, 0);

    // When nobody rules, then it is Void, and the statistics are unchanged
    let end = submit_end + params().challenge_secs + params().ruling_secs;
    world.warp_to(end - 1);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);
    world.warp_to(end);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Void);
    assert_eq!(world.entry(&model.address, 0), Entry::Void);
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.latest, state.max_value),
        (0, 0, 0)
    );
    assert_eq!(state.open_receipts, 0);
}

#[test]
fn a_lone_submission_is_never_proposed_early() {
    // Given two of three oracles that no longer count
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    unbond(&mut world, &model, 1, BOND).unwrap();
    unbond(&mut world, &model, 2, BOND).unwrap();

    // When the only one that counts submits
    world.submit(&model, 0, 0, &share(100)).unwrap();

    // Then the receipt stays Collecting, and nobody can finalize it
    assert_eq!(state(&world, &model, 0), ReceiptState::Collecting);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);
}

#[test]
fn a_receipt_does_not_wait_for_a_seat_that_stops_counting() {
    // Given a receipt that lacks only the third oracle's submission
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(100)).unwrap();
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When the third oracle unbonds, and somebody finalizes
    world.pass(60);
    unbond(&mut world, &model, 2, BOND).unwrap();
    finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is Proposed as of now
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Proposed);
    assert_eq!(receipt.since, world.now());
}

#[test]
fn the_value_is_the_median_of_all_submissions() {
    const VALUES: [u64; 7] = [40_000, 10_000, 70_000, 20_000, 60_000, 50_000, 30_000];
    let mut world = World::new();
    for oracles in 1..=7 {
        // Given a model with that many oracles
        let model = share_model(&mut world, oracles);
        world.warp_to_end(&model, 0);
        for (oracle, &value) in VALUES[..oracles].iter().enumerate() {
            // When the oracles submit one by one
            world.submit(&model, oracle, 0, &share(value)).unwrap();

            // Then the value is the median of all submissions so far, or the lower of two middle
            // values
            let mut sorted = VALUES[..=oracle].to_vec();
            sorted.sort_unstable();
            let median = sorted[oracle / 2];
            assert_eq!(
                world.receipt(&model.address, 0).value,
                median,
                "{oracles} oracles, after oracle {oracle}"
            );
        }
    }
}

#[test]
fn one_wrong_oracle_of_three_changes_neither_value_nor_timing() {
    // Given two worlds, one of them with a wrong third oracle
    let [agreeing, wrong] = [100_000, 900_000].map(|value| {
        let mut world = World::new();
        let model = share_model(&mut world, 3);
        world.warp_to_end(&model, 0);

        // When all submit and the challenge period passes
        for (oracle, value) in [(0, 100_000), (1, 100_000), (2, value)] {
            world.submit(&model, oracle, 0, &share(value)).unwrap();
        }
        world.pass(params().challenge_secs - 1);
        let outcome = finalize(&mut world, &model, 0);
        assert_refused(outcome, DriftShieldError::NothingToFinalize);
        world.pass(1);
        finalize(&mut world, &model, 0).unwrap();
        world.entry(&model.address, 0)
    });

    // Then both have the same value at the same time
    assert_eq!(agreeing, Entry::Final(100_000));
    assert_eq!(wrong, agreeing);
}

#[test]
fn submissions_far_apart_are_in_dispute_without_a_challenge() {
    // Given submissions exactly the allowed spread apart, and one unit further
    for (value, expected) in [
        (60_000, ReceiptState::Proposed),
        (60_001, ReceiptState::Challenged),
    ] {
        let mut world = World::new();
        let model = share_model(&mut world, 3);
        world.warp_to_end(&model, 0);

        // When the oracle that is nearer to the median is that far from it
        for (oracle, value) in [(0, 10_000), (1, 50_000), (2, value)] {
            world.submit(&model, oracle, 0, &share(value)).unwrap();
        }

        // Then the value is proposed, or the receipt is in dispute as of now and publishes no value
        let receipt = world.receipt(&model.address, 0);
        assert_eq!(ReceiptState::from(receipt.state), expected);
        assert_eq!(receipt.since, world.now());
        assert_eq!(receipt.challenger, Address::default());
        let latest = world.model(&model.address).latest;
        assert_eq!(
            latest,
            if expected == ReceiptState::Proposed {
                50_000
            } else {
                0
            }
        );
    }
}

#[test]
fn a_proposed_value_is_final_when_the_challenge_period_ends() {
    // Given a proposed value
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));

    // When the challenge period has a second left, then nothing can be finalized
    world.pass(params().challenge_secs - 1);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When the period is over, then the value becomes Final, once
    world.pass(1);
    let instruction = instruction::finalize_receipt(&world.receipt(&model.address, 0));
    let sent = world.send(instruction.clone(), &[]).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Final, 100));
    assert_eq!(event.challenger_credit, 0);
    assert_eq!(event.chain, world.model(&model.address).chain);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
    assert_gone(world.send(instruction, &[]), 0);
}

#[test]
fn a_late_finalization_applies_all_steps_that_are_due() {
    // Given the submissions of a quorum, and 100 days without a call
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(100)).unwrap();
    world.pass(100 * DAY);

    // When somebody finalizes
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the value was proposed at the end of the submit period, and is Final
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Final);
    let state = world.model(&model.address);
    assert_eq!(
        (state.latest, state.last_value, state.final_count),
        (100, 100, 1)
    );
}

#[test]
fn a_receipt_is_finalized_with_its_own_model() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let other = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    world.pass(params().challenge_secs);

    // When another model is passed
    let right = instruction::finalize_receipt(&world.receipt(&model.address, 0));
    let wrong = swapped(right.clone(), &model.address, &other.address);
    let outcome = world.send(wrong, &[]);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);

    // When a page of another model is passed, or another page of the model, then it is refused too
    world.submit_all(&other, 1, &share(100));
    world.warp_to_end(&model, 256);
    world.submit_all(&model, 256, &share(100));
    let page = address::series(&model.address, 0);
    for foreign in [
        address::series(&other.address, 1),
        address::series(&model.address, 256),
    ] {
        let outcome = world.send(swapped(right.clone(), &page, &foreign), &[]);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }
    world.send(right, &[]).unwrap();
}
