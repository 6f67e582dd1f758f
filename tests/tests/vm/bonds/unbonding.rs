//! Requests to unbond.

use driftshield_sdk::{DriftShieldError, Event, ModelTerms, address, events, instruction};
use driftshield_tests::world::*;

use super::{BOND, unbond, withdraw};
use crate::market::market_with_bet;

#[test]
fn only_the_oracle_can_unbond() {
    // Given an oracle's seat
    let mut world = World::new();
    let model = world.default_model();
    let seat = address::seat(&model.address, &model.oracles[0].address());
    for thief in [&model.oracles[1], &model.owner] {
        // When another key requests to unbond from that seat
        let request = instruction::request_unbond(thief.address(), model.address, 1);
        let own = address::seat(&model.address, &thief.address());
        let outcome = world.send(swapped(request, &own, &seat), &[&thief.key]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotAnOracle);
    }
}

#[test]
fn an_unbonding_with_another_model_is_refused() {
    // Given another model
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    // When an oracle passes it together with its own seat
    let oracle = &model.oracles[0];
    let request = instruction::request_unbond(oracle.address(), model.address, 1);
    let outcome = world.send(
        swapped(request, &model.address, &other.address),
        &[&oracle.key],
    );
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn an_unbonding_of_zero_is_refused() {
    // Given a seat
    let mut world = World::new();
    let model = world.default_model();
    // When its oracle requests zero
    let outcome = unbond(&mut world, &model, 0, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn an_unbonding_of_more_than_the_bond_is_refused() {
    // Given a seat with a part of its bond unbonding
    let mut world = World::new();
    let model = world.default_model();
    assert_refused(
        unbond(&mut world, &model, 0, BOND + 1),
        DriftShieldError::BondTooSmall,
    );
    unbond(&mut world, &model, 0, 1).unwrap();
    // When its oracle requests the whole bond in addition
    let outcome = unbond(&mut world, &model, 0, BOND);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::BondTooSmall);
}

#[test]
fn an_unbonding_keeps_the_amount_at_risk_secured() {
    // Given a bet on a model with a quorum of two, and two of its three seats left
    let mut world = World::new();
    let model = world.default_model();
    let (market, _) = market_with_bet(&mut world, &model, TOKEN);
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When a second oracle requests so much that its seat would no longer count
    let all_but_minimum = BOND - terms().min_bond;
    let outcome = unbond(&mut world, &model, 1, all_but_minimum + 1);
    // Then it is refused. Unbonding down to the minimum bond is allowed, and unbonding more once nothing
    // is at risk
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    unbond(&mut world, &model, 1, all_but_minimum).unwrap();
    assert_refused(
        unbond(&mut world, &model, 1, 1),
        DriftShieldError::SecurityNeeded,
    );
    world.warp_to_end(&model, 3);
    world.pass(params().submit_secs + params().challenge_secs);
    world.settle(&market).unwrap();
    unbond(&mut world, &model, 1, 1).unwrap();
}

#[test]
fn an_unbonding_may_leave_exactly_the_required_security() {
    // Given a model with six oracles, a quorum of five and a security of 1.5 slashes, and a bet as
    // high as the security allows
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 6, 0);
    let terms_of_five = ModelTerms {
        quorum: 5,
        ..model_terms(&model.oracles)
    };
    let state = world.model(&model.address);
    let owner = model.owner.address();
    let update = instruction::update_model(owner, model.address, &state, terms_of_five);
    world.send(update, &[&model.owner.key]).unwrap();
    for oracle in 0..6 {
        let tokens = model.oracles[oracle].tokens;
        world.mint_to(&tokens, BOND);
        world.bond(&model, oracle, BOND).unwrap();
    }
    let security = world.model(&model.address).security;
    assert_eq!(security, 3 * terms().slash_amount / 2);
    market_with_bet(&mut world, &model, 3 * security);
    // When one of the six oracles unbonds, and then a second
    unbond(&mut world, &model, 5, BOND).unwrap();
    let outcome = unbond(&mut world, &model, 0, BOND);
    // Then the first is allowed, because five seats have the same security, and the second is refused
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    assert_eq!(world.model(&model.address).security, security);
}

#[test]
fn an_unbonding_bond_no_longer_counts() {
    // Given a seat of ten minimum bonds
    let mut world = World::new();
    let model = world.default_model();
    let oracle = model.oracles[0].address();
    let held = world.model(&model.address).held;
    // When its oracle requests all of it
    let sent = unbond(&mut world, &model, 0, BOND).unwrap();
    // Then the seat holds the bond until its release time, but no longer counts
    let release_at = world.now() + params().unbond_secs;
    assert_eq!(
        *sent.event(),
        Event::UnbondRequested(events::UnbondRequested {
            model: model.address,
            model_seq: 5,
            seat: address::seat(&model.address, &oracle),
            seat_seq: 2,
            oracle,
            amount: BOND,
            bonded: BOND,
            unbonding: BOND,
            release_at,
            security: terms().slash_amount / 2,
            lasting_security: terms().slash_amount / 2,
        })
    );
    let seat = world.seat(&model.address, &oracle);
    assert_eq!((seat.bonded, seat.unbonding), (BOND, BOND));
    assert_eq!(seat.release_at, release_at);
    let state = world.model(&model.address);
    assert_eq!((state.bonds[0], state.held), (0, held));
    world.warp_to_end(&model, 0);
    assert_refused(
        world.submit(&model, 0, 0, &CALM),
        DriftShieldError::SeatDoesNotCount,
    );
}

#[test]
fn an_unbonding_bond_stays_slashable() {
    // Given an oracle that submitted wrong counts and requested its whole bond at once
    let mut world = World::new();
    let model = world.default_model();
    let challenger = world.wallet(terms().challenge_bond);
    world.submit_all(&model, 0, &CALM);
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When the receipt is challenged and the ruling overturns its value
    world.challenge(&model, 0, &challenger, &DRIFTED).unwrap();
    world.rule(&model, 0, &DRIFTED).unwrap();
    // Then the oracle is slashed, and can withdraw only the rest
    world.pass(params().unbond_secs);
    let before = world.tokens(&model.oracles[0].tokens);
    withdraw(&mut world, &model, 0).unwrap();
    let paid = world.tokens(&model.oracles[0].tokens) - before;
    assert_eq!(paid, BOND - terms().slash_amount);
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.slashes), (0, 1));
}

#[test]
fn bonds_that_no_longer_secure_anything_can_unbond() {
    // Given a bet as high as three bonds secure, and two rulings that slashed all three below half of
    // the minimum
    let mut world = World::new();
    let spec = spec(&world);
    let rest = terms().min_bond / 2 - 1;
    let model = world.model_with(spec, 3, 2 * terms().slash_amount + rest);
    market_with_bet(&mut world, &model, 750 * TOKEN);
    let challenger = world.wallet(1_000 * TOKEN);
    for window in 0..2 {
        world.submit_all(&model, window, &DRIFTED);
        world.challenge(&model, window, &challenger, &CALM).unwrap();
        world.rule(&model, window, &CALM).unwrap();
    }
    assert_eq!(world.model(&model.address).security, 0);

    // When the oracles request the rest, then it is allowed, because the rest no longer secures
    // anything
    for oracle in &model.oracles {
        let unbond = instruction::request_unbond(oracle.address(), model.address, rest);
        world.send(unbond, &[&oracle.key]).unwrap();
    }
}

#[test]
fn an_unbonding_below_the_minimum_ends_a_seat_that_a_slash_did_not() {
    // Given a seat that a slash has left with half of the minimum, and that counts
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 3, terms().min_bond);
    let challenger = world.wallet(terms().challenge_bond);
    world.submit_all(&model, 0, &DRIFTED);
    world.challenge(&model, 0, &challenger, &CALM).unwrap();
    world.rule(&model, 0, &CALM).unwrap();
    assert_eq!(world.model(&model.address).tenures[0].counts, 1);
    // When its oracle unbonds a base unit, which nothing at risk forbids
    unbond(&mut world, &model, 0, 1).unwrap();
    // Then the seat stops, and counts again only at the minimum
    assert_eq!(world.model(&model.address).tenures[0].counts, 0);
    world.bond(&model, 0, terms().slash_amount).unwrap();
    assert_eq!(world.model(&model.address).tenures[0].counts, 0);
    world.bond(&model, 0, 1).unwrap();
    assert_eq!(world.model(&model.address).tenures[0].counts, 1);
}
