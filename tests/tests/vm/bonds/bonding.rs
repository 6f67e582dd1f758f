//! Bonding into a seat.

use driftshield_sdk::{DriftShieldError, Event, address, events, instruction};
use driftshield_tests::world::*;

use super::BOND;

#[test]
fn a_stranger_cannot_bond() {
    // Given a model and a stranger with tokens
    let mut world = World::new();
    let model = world.default_model();
    let stranger = world.wallet(BOND);
    // When the stranger bonds
    let state = world.model(&model.address);
    let bond = instruction::bond(
        stranger.address(),
        model.address,
        &state,
        stranger.tokens,
        BOND,
    );
    let outcome = world.send(bond, &[&stranger.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn a_bond_of_zero_is_refused() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When an oracle bonds zero
    let outcome = world.bond(&model, 0, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn a_bond_goes_to_the_models_own_vault() {
    // Given two models
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    let oracle = &model.oracles[0];
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let other_vault = world.model(&other.address).bond_vault;
    for wrong in [other_vault, world.treasury()] {
        // When an oracle passes another account in place of the bond vault
        let outcome = world.send(
            swapped(bond.clone(), &state.bond_vault, &wrong),
            &[&oracle.key],
        );
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongVault);
    }
}

#[test]
fn a_bond_in_another_mint_is_refused() {
    // Given another collateral
    let mut world = World::new();
    let model = world.default_model();
    let other = world.second_collateral();
    // When an oracle passes the mint of the other collateral
    let oracle = &model.oracles[0];
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let outcome = world.send(swapped(bond, &world.mint, &other), &[&oracle.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn an_oracle_cannot_bond_into_another_seat() {
    // Given another oracle's seat
    let mut world = World::new();
    let model = world.default_model();
    let [oracle, other] = [&model.oracles[0], &model.oracles[1]];
    let seats = [oracle, other].map(|o| address::seat(&model.address, &o.address()));
    // When an oracle passes it in place of its own seat
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let outcome = world.send(swapped(bond, &seats[0], &seats[1]), &[&oracle.key]);
    // Then it is refused
    assert!(outcome.is_err());
    assert_eq!(world.seat(&model.address, &other.address()).bonded, BOND);
}

#[test]
fn an_oracle_cannot_bond_more_than_its_balance() {
    // Given an oracle with a balance of nine bonds
    let mut world = World::new();
    let model = world.default_model();
    // When it bonds one base unit more
    let outcome = world.bond(&model, 0, 9 * BOND + 1);
    // Then the token program refuses it
    assert_eq!(code(outcome), 1, "insufficient funds");
}

#[test]
fn the_first_bond_creates_the_seat_and_a_later_one_adds_to_it() {
    // Given a model without bonds, and an oracle with tokens
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 1, 0);
    let oracle = &model.oracles[0];
    world.mint_to(&oracle.tokens, BOND);
    // When the oracle bonds twice
    for (seq, amount, bonded, security) in [
        (1, terms().min_bond - 1, terms().min_bond - 1, 0),
        (2, 1, terms().min_bond, terms().slash_amount / 2),
    ] {
        let sent = world.bond(&model, 0, amount).unwrap();
        // Then the seat holds both bonds, and secures the model once they reach the minimum
        assert_eq!(
            *sent.event(),
            Event::Bonded(events::Bonded {
                model: model.address,
                model_seq: seq + 1,
                seat: address::seat(&model.address, &oracle.address()),
                seat_seq: seq,
                oracle: oracle.address(),
                amount,
                bonded,
                unbonding: 0,
                security,
                lasting_security: security,
                held: bonded,
            })
        );
        assert_eq!(world.model(&model.address).security, security);
    }
    let seat = world.seat(&model.address, &oracle.address());
    assert_eq!((seat.model, seat.oracle), (model.address, oracle.address()));
    assert_eq!((seat.bonded, seat.unbonding), (terms().min_bond, 0));
    let vault = world.model(&model.address).bond_vault;
    assert_eq!(world.tokens(&vault), terms().min_bond);
    assert_eq!(world.tokens(&oracle.tokens), BOND - terms().min_bond);
}

#[test]
fn a_seat_is_created_at_an_address_that_holds_lamports() {
    // Given a model without bonds, and lamports at the address of an oracle's seat
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 1, 0);
    let oracle = &model.oracles[0];
    let seat = address::seat(&model.address, &oracle.address());
    world.svm.airdrop(&seat, 1_000_000).unwrap();
    world.mint_to(&oracle.tokens, BOND);
    // When the oracle bonds
    world.bond(&model, 0, BOND).unwrap();
    // Then its seat is created
    assert_eq!(world.seat(&model.address, &oracle.address()).bonded, BOND);
}
