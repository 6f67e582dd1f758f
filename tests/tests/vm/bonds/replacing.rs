//! Oracles that the owner replaces while the model is exposed.

use driftshield_sdk::{AccountMeta, DriftShieldError, Event, Tenure, address, events, instruction};
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
        let state = world.model(&at);
        let replace =
            instruction::replace_oracle(other.address(), at, &state, removed, successor.address());
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
            seats: vec![],
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
    let (owner, at, state) = (&model.owner, model.address, world.model(&model.address));
    let unknown = instruction::replace_oracle(
        owner.address(),
        at,
        &state,
        owner.address(),
        successor.address(),
    );
    let outcome = world.send(unknown, &[&owner.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotListed);
}

#[test]
fn the_reward_of_a_replaced_oracle_is_added_to_its_bond() {
    // Given a seat that has not counted for long, and whose oracle has not collected its reward
    let (mut world, model, successor) = exposed();
    let funder = world.wallet(30 * TOKEN);
    world.fund(&model, &funder, 30 * TOKEN, 30 * DAY).unwrap();
    world.finalize_with(&model, 2, &CALM);
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs);
    let state = world.model(&model.address);
    let reward = state.rewards[0];
    assert!(0 < reward);
    // When its owner replaces it, then exactly its seat must be passed
    let (owner, oracle) = (&model.owner, model.oracles[0].address());
    let (at, new) = (model.address, successor.address());
    let replace = instruction::replace_oracle(owner.address(), at, &state, oracle, new);
    let [seat, other] = [0, 1].map(|index| address::seat(&at, &state.oracles[index]));
    let mut without = replace.clone();
    without.accounts.pop();
    let mut with_more = replace.clone();
    with_more.accounts.push(AccountMeta::new(other, false));
    let with_other = swapped(replace.clone(), &seat, &other);
    for wrong in [without, with_more, with_other] {
        let outcome = world.send(wrong, &[&owner.key]);
        assert_refused(outcome, DriftShieldError::WrongRewardSeats);
    }
    let sent = world.send(replace, &[&owner.key]).unwrap();
    // And the reward is part of its bond, which it withdraws, and the successor gets nothing
    let Event::OracleReplaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.seats.len(), event.seats[0].seat), (1, seat));
    assert_eq!(event.seats[0].bonded, BOND + reward);
    assert_eq!(world.model(&at).rewards[0], 0);
    unbond(&mut world, &model, 0, reward).unwrap();
    world.pass(params().unbond_secs);
    withdraw(&mut world, &model, 0).unwrap();
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND + reward);
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
