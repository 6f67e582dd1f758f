//! Bonds and seats of oracles that the owner unlists or lists again.

use driftshield_sdk::{DriftShieldError, ModelTerms, instruction};
use driftshield_tests::world::*;

use super::{BOND, close, leave};
use crate::market::market_with_bet;

/// Updates the model to list only these of its oracles, by index.
fn list(world: &mut World, model: &TestModel, oracles: &[usize], quorum: u8) {
    let terms = ModelTerms {
        oracles: oracles
            .iter()
            .map(|&i| model.oracles[i].address())
            .collect(),
        quorum,
        ..model_terms(&[])
    };
    let state = world.model(&model.address);
    let owner = model.owner.address();
    let update = instruction::update_model(owner, model.address, &state, terms);
    world.send(update, &[&model.owner.key]).unwrap();
}

#[test]
fn an_unlisted_oracle_gets_its_bond_back() {
    // Given an oracle that is no longer listed, and a bet as high as the other seats secure
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    let security = world.model(&model.address).security;
    market_with_bet(&mut world, &model, 3 * security);
    // When it unbonds and withdraws
    leave(&mut world, &model, 0);
    // Then it has its bond back, and the security is unchanged
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND);
    assert_eq!(world.model(&model.address).security, security);
    close(&mut world, &model, 0).unwrap();
}

#[test]
fn an_unlisted_oracle_cannot_bond() {
    // Given an oracle that is no longer listed
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    // When it bonds
    let outcome = world.bond(&model, 0, TOKEN);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn a_relisted_oracles_seat_counts_once_it_bonds() {
    // Given an oracle that is unlisted and listed again, with its bond still in its seat
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    list(&mut world, &model, &[1, 2, 0], 2);
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND, BOND, 0]);
    world.warp_to_end(&model, 0);
    assert_refused(
        world.submit(&model, 0, 0, &CALM),
        DriftShieldError::SeatDoesNotCount,
    );
    // When it bonds one base unit
    world.bond(&model, 0, 1).unwrap();
    // Then its seat counts with its whole bond
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND, BOND, BOND + 1]);
    world.submit(&model, 0, 0, &CALM).unwrap();
}

#[test]
fn an_unbonding_does_not_make_a_relisted_oracles_seat_count() {
    // Given an oracle with a bond that is unlisted and listed again
    let mut world = World::new();
    let model = world.default_model();
    let owner = &model.owner;
    let state = world.model(&model.address);
    let update = |terms| instruction::update_model(owner.address(), model.address, &state, terms);
    let [first, second, third] = &model.oracles[..] else {
        unreachable!("three oracles")
    };
    let all = model_terms(&model.oracles);
    let mut fewer = all.clone();
    fewer.oracles = vec![second.address(), third.address()];
    world.send(update(fewer), &[&owner.key]).unwrap();
    world.send(update(all), &[&owner.key]).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 0);

    // When it requests a part of its bond back, then its seat still does not count until it bonds
    let unbond = instruction::request_unbond(first.address(), model.address, 1);
    world.send(unbond, &[&first.key]).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 0);
    world.bond(&model, 0, 1).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 10_000 * TOKEN);
}
