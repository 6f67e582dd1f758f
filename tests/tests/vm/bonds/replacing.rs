//! Oracles that the owner replaces while the model is exposed.

use driftshield_sdk::{DriftShieldError, Event, Tenure, events, instruction};
use driftshield_tests::world::*;

use super::{BOND, replace, unbond, withdraw};
use crate::market::market_with_bet;

/// A model with five oracles and a quorum of three, of whom one can be replaced, and a bet.
fn exposed() -> (World, TestModel, Wallet) {
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 5, BOND);
    market_with_bet(&mut world, &model, TOKEN);
    let successor = world.wallet(BOND);
    (world, model, successor)
}

#[test]
fn only_the_owner_replaces_an_oracle() {
    // Given a seat that has not counted for long
    let (mut world, model, successor) = exposed();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs);
    // When another oracle, or the successor, replaces it
    for other in [&model.oracles[1], &successor] {
        let (at, removed) = (model.address, model.oracles[0].address());
        let replace =
            instruction::replace_oracle(other.address(), at, removed, successor.address());
        let outcome = world.send(replace, &[&other.key]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotModelOwner);
    }
}

#[test]
fn an_oracle_is_replaced_only_after_its_seat_has_not_counted_for_replace_secs() {
    // Given seats that count
    let (mut world, model, successor) = exposed();
    world.pass(params().replace_secs);
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SeatNotVacant);
    // When one stops, then its oracle can be replaced after the period, not a second earlier
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs - 1);
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SeatNotVacant);
    world.pass(1);
    let sent = replace(&mut world, &model, 0, &successor).unwrap();
    let state = world.model(&model.address);
    assert_eq!(
        *sent.event(),
        Event::OracleReplaced(events::OracleReplaced {
            model: model.address,
            model_seq: state.seq,
            owner: model.owner.address(),
            slot: 0,
            oracle: model.oracles[0].address(),
            successor: successor.address(),
            replaced: 1,
        })
    );
    assert_eq!(state.oracles[0], successor.address());
    assert_eq!(state.bonds[0], 0);
    assert_eq!(state.tenures[0], Tenure::new(world.now()));
    assert_eq!((state.version, state.quorum), (1, 3));

    // And the oracle has its bond back, and can't bond or submit any more
    withdraw(&mut world, &model, 0).unwrap();
    let outcome = world.bond(&model, 0, BOND);
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn topping_up_ends_the_wait() {
    // Given a seat that has not counted for almost long enough
    let (mut world, model, successor) = exposed();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs - 1);
    // When it counts for a second
    world.bond(&model, 0, terms().min_bond).unwrap();
    world.pass(1);
    unbond(&mut world, &model, 0, terms().min_bond).unwrap();
    // Then the wait begins again
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SeatNotVacant);
}

#[test]
fn a_seat_that_never_counted_waits_from_its_listing() {
    // Given oracles of whom one has never bonded
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 5, 0);
    let listed = world.now();
    for oracle in 1..5 {
        world.mint_to(&model.oracles[oracle].tokens, BOND);
        world.bond(&model, oracle, BOND).unwrap();
    }
    market_with_bet(&mut world, &model, TOKEN);
    let successor = world.wallet(0);
    // When the owner replaces it, then it is refused until it has been listed for long enough
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SeatNotVacant);
    world.warp_to(listed + params().replace_secs);
    replace(&mut world, &model, 0, &successor).unwrap();
}

#[test]
fn a_model_without_exposure_is_updated_instead() {
    // Given a model on which nothing depends
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 5, 0);
    world.pass(params().replace_secs);
    let successor = world.wallet(0);
    // When its owner replaces an oracle, then it is refused
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::ModelNotExposed);
}

#[test]
fn the_replaced_and_the_successor_are_checked() {
    // Given a seat that has not counted for long
    let (mut world, model, successor) = exposed();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs);
    // When the successor is listed already, or the replaced is not
    let outcome = replace(&mut world, &model, 0, &model.oracles[1]);
    assert_refused(outcome, DriftShieldError::InvalidOracles);
    let (owner, at) = (&model.owner, model.address);
    let unknown =
        instruction::replace_oracle(owner.address(), at, owner.address(), successor.address());
    let outcome = world.send(unknown, &[&owner.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotListed);
}

#[test]
fn the_count_of_replacements_restarts_without_exposure() {
    // Given a model with a replaced oracle
    let (mut world, model, successor) = exposed();
    let market = driftshield_sdk::address::market(&world_creator(&world, &model), 1);
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs);
    replace(&mut world, &model, 0, &successor).unwrap();
    // When its last market is settled, and it is exposed again
    world.pass(params().submit_secs + params().challenge_secs);
    world.settle(&market).unwrap();
    let state = world.model(&model.address);
    assert_eq!((state.exposure, state.replaced), (0, 0));
}

/// The creator of the only market on a model.
fn world_creator(world: &World, model: &TestModel) -> driftshield_sdk::Address {
    let mut markets = world
        .accounts()
        .into_iter()
        .filter_map(|(_, account)| match account {
            driftshield_sdk::Account::Market(market) if market.model == model.address => {
                Some(market.creator)
            }
            _ => None,
        });
    markets.next().expect("a market")
}
