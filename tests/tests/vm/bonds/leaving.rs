//! Seats that leave.

use driftshield_sdk::{DriftShieldError, Event, events, instruction};
use driftshield_tests::world::*;

use super::{BOND, start_leaving, unbond, withdraw};
use crate::market::market_with_bet;

#[test]
fn only_a_listed_oracle_leaves() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When somebody else calls leave_seat
    let leave = instruction::leave_seat(model.owner.address(), model.address);
    let outcome = world.send(leave, &[&model.owner.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn a_seat_that_does_not_count_has_nothing_to_leave() {
    // Given a seat below the minimum bond
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 3, terms().min_bond - 1);
    // When its oracle leaves, then it is refused, until the seat counts
    let outcome = start_leaving(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToLeave);
    world.bond(&model, 0, 1).unwrap();
    start_leaving(&mut world, &model, 0).unwrap();
}

#[test]
fn a_leaving_seat_counts_and_secures_no_new_risk() {
    // Given a quorum of two, and a bet
    let mut world = World::new();
    let model = world.default_model();
    let (market, bettor) = market_with_bet(&mut world, &model, TOKEN);
    world.mint_to(&bettor.tokens, 3 * TOKEN);
    let security = terms().slash_amount / 2;

    // When one of three oracles leaves, then the other two secure new bets
    let sent = start_leaving(&mut world, &model, 0).unwrap();
    assert_eq!(
        *sent.event(),
        Event::LeaveRequested(events::LeaveRequested {
            model: model.address,
            model_seq: 6,
            oracle: model.oracles[0].address(),
            leave_at: world.now() + params().leave_secs,
            lasting_security: security,
        })
    );
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    // And it can't leave again
    let again = start_leaving(&mut world, &model, 0);
    assert_refused(again, DriftShieldError::AlreadyLeaving);

    // When a second leaves, then what is at risk keeps its security, and nothing new is secured
    start_leaving(&mut world, &model, 1).unwrap();
    let state = world.model(&model.address);
    assert_eq!((state.security, state.lasting_security), (security, 0));
    let outcome = world.bet(&market, &bettor, 0, TOKEN);
    assert_refused(outcome, DriftShieldError::AboveSecurityLimit);
    // And the leaving seats still submit
    world.submit_all(&model, 0, &CALM);
}

#[test]
fn a_leaving_seat_unbonds_from_its_time_on_whatever_is_at_risk() {
    // Given a quorum of two that leaves while a bet is at risk, and whose third oracle has gone
    let mut world = World::new();
    let model = world.default_model();
    market_with_bet(&mut world, &model, TOKEN);
    unbond(&mut world, &model, 2, BOND).unwrap();
    for oracle in [0, 1] {
        start_leaving(&mut world, &model, oracle).unwrap();
    }
    // When one requests its bond a second too early, then it is refused
    world.pass(params().leave_secs - 1);
    let outcome = unbond(&mut world, &model, 0, BOND);
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    // And allowed a second later, and paid after the unbonding period
    world.pass(1);
    unbond(&mut world, &model, 0, BOND).unwrap();
    assert_eq!(world.model(&model.address).security, 0);
    world.pass(params().unbond_secs);
    withdraw(&mut world, &model, 0).unwrap();
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND);
}

#[test]
fn nobody_unbonds_at_once_because_another_leaves() {
    // Given three oracles of whom one leaves, and a bet
    let mut world = World::new();
    let model = world.default_model();
    market_with_bet(&mut world, &model, TOKEN);
    start_leaving(&mut world, &model, 0).unwrap();
    // When another unbonds, so that too few would stay when the first has gone, then it is refused
    let outcome = unbond(&mut world, &model, 1, BOND);
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    // But the leaving one may unbond at once, because the others are a quorum
    unbond(&mut world, &model, 0, BOND).unwrap();
}

#[test]
fn leaving_ends_when_the_seat_stops_counting() {
    // Given a leaving seat
    let mut world = World::new();
    let model = world.default_model();
    start_leaving(&mut world, &model, 0).unwrap();
    // When it bonds more, then it is still leaving
    let leave_at = world.model(&model.address).tenures[0].leave_at;
    world.bond(&model, 0, TOKEN).unwrap();
    assert_eq!(world.model(&model.address).tenures[0].leave_at, leave_at);
    // When it unbonds and bonds again, then it is not
    unbond(&mut world, &model, 0, BOND + TOKEN).unwrap();
    world.bond(&model, 0, terms().min_bond).unwrap();
    let tenure = world.model(&model.address).tenures[0];
    assert_eq!((tenure.leave_at, tenure.counts), (0, 1));
}
