//! Disputes that end without a ruling.

use driftshield_sdk::{ChallengePayee, DriftShieldError, Event, ReceiptState};
use driftshield_tests::world::*;

use super::{BOND, CHALLENGE_BOND, bonded, challenged, collect, credits, submitted};
use crate::receipt::finalize;

#[test]
fn an_unruled_dispute_ends_with_the_median_if_a_quorum_agrees() {
    // Given a challenged value without a ruling
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[100, 200, 900_000], BOND);
    let end = world.now() + params().ruling_secs;
    world.warp_to(end - 1);
    assert_refused(
        finalize(&mut world, &model, 0),
        DriftShieldError::NothingToFinalize,
    );

    // When the ruling period is over
    world.warp_to(end);
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the median is Final, nobody is slashed, and the challenger is credited the bond
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Final, 200));
    assert_eq!(event.challenger_credit, CHALLENGE_BOND);
    assert_eq!(credits(&world, &model), (CHALLENGE_BOND, 0));
    assert_eq!(bonded(&world, &model), [BOND; 3]);
    assert_eq!(world.receipt(&model.address, 0).since, end);
    let outcome = collect(&mut world, &model, ChallengePayee::Treasury);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND);
}

#[test]
fn an_unruled_dispute_without_agreement_is_void() {
    // Given a dispute without a challenger
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200_000, 900_000], BOND);

    // When the ruling period ends without a ruling
    world.pass(params().challenge_secs + params().ruling_secs);
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is Void, nobody is slashed, and the statistics are unchanged
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Void);
    assert_eq!(credits(&world, &model), (0, 0));
    assert_eq!(bonded(&world, &model), [BOND; 3]);
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.open_receipts, state.latest),
        (0, 0, 0)
    );
}
