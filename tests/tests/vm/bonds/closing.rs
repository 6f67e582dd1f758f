//! Closing of empty seats.

use driftshield_sdk::{DriftShieldError, Event, address, events, instruction};
use driftshield_tests::world::*;

use super::{BOND, close, leave, unbond};

#[test]
fn a_seat_with_a_bond_is_not_closed() {
    // Given a seat with a bond that its oracle then unbonds completely
    let mut world = World::new();
    let model = world.default_model();
    assert_refused(close(&mut world, &model, 0), DriftShieldError::SeatInUse);
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs);
    // When somebody closes it before the bond is withdrawn
    let outcome = close(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::SeatInUse);
}

#[test]
fn a_seat_is_not_closed_while_a_receipt_is_open() {
    // Given the empty seat of an oracle that submitted to a receipt which is not final
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    leave(&mut world, &model, 0);
    // When somebody closes it
    let outcome = close(&mut world, &model, 0);
    // Then it is refused, until the receipt is final
    assert_refused(outcome, DriftShieldError::SeatInUse);
    world.finalize(&model, 0).unwrap();
    close(&mut world, &model, 0).unwrap();
}

#[test]
fn a_seats_rent_goes_to_its_oracle_only() {
    // Given an empty seat
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    let thief = world.wallet(0);
    // When somebody passes another key as the recipient of the rent
    let oracle = model.oracles[0].address();
    let close = instruction::close_seat(oracle, model.address);
    let outcome = world.send(swapped(close, &oracle, &thief.address()), &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn a_seat_cannot_be_closed_with_another_model() {
    // Given an empty seat, and another model
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    leave(&mut world, &model, 0);
    // When somebody passes the other model
    let close = instruction::close_seat(model.oracles[0].address(), model.address);
    let outcome = world.send(swapped(close, &model.address, &other.address), &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn anyone_can_close_an_empty_seat_and_its_oracle_gets_the_rent() {
    // Given an empty seat
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    let oracle = model.oracles[0].address();
    let seat = address::seat(&model.address, &oracle);
    let (rent, before) = (world.lamports(&seat), world.lamports(&oracle));
    assert!(0 < rent);
    // When somebody closes it
    let sent = close(&mut world, &model, 0).unwrap();
    // Then it is closed, and its oracle receives the rent
    assert_eq!(
        *sent.event(),
        Event::SeatClosed(events::SeatClosed {
            model: model.address,
            seat,
            seat_seq: 4,
            oracle,
        })
    );
    assert!(!world.exists(&seat));
    assert_eq!(world.lamports(&oracle), before + rent);
}

#[test]
fn a_closed_seat_is_created_again_from_scratch() {
    // Given a closed seat
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    close(&mut world, &model, 0).unwrap();
    // When its oracle bonds again
    world.bond(&model, 0, BOND).unwrap();
    // Then a new seat holds the new bond only
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.unbonding, seat.seq), (BOND, 0, 1));
    assert_eq!(world.model(&model.address).bonds[0], BOND);
}
