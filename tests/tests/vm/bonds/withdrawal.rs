//! Withdrawals of bonds whose unbonding period is over.

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{DriftShieldError, Event, TokenProgram, address, events, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{BOND, unbond, withdraw};

#[test]
fn a_withdrawal_without_an_unbonding_is_refused() {
    // Given a seat
    let mut world = World::new();
    let model = world.default_model();
    // When somebody withdraws its bond
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NothingUnbonding);
}

#[test]
fn a_bond_cannot_be_withdrawn_before_its_release_time() {
    // Given a bond that unbonds for one more second
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs - 1);
    // When somebody withdraws it
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused, and accepted a second later
    assert_refused(outcome, DriftShieldError::StillUnbonding);
    world.pass(1);
    withdraw(&mut world, &model, 0).unwrap();
}

#[test]
fn a_second_request_restarts_the_unbonding_period() {
    // Given a seat whose oracle requests a part of its bond, and another part a day later
    let mut world = World::new();
    let model = world.default_model();
    let oracle = model.oracles[0].address();
    let first = world.now();
    unbond(&mut world, &model, 0, TOKEN).unwrap();
    world.pass(DAY);
    unbond(&mut world, &model, 0, 2 * TOKEN).unwrap();
    let seat = world.seat(&model.address, &oracle);
    assert_eq!(seat.unbonding, 3 * TOKEN);
    assert_eq!(seat.release_at, first + DAY + params().unbond_secs);
    // When somebody withdraws a second before the second request's release time
    world.warp_to(seat.release_at - 1);
    let outcome = withdraw(&mut world, &model, 0);
    // Then both parts are still unbonding, and a second later both are paid
    assert_refused(outcome, DriftShieldError::StillUnbonding);
    world.pass(1);
    let before = world.tokens(&model.oracles[0].tokens);
    withdraw(&mut world, &model, 0).unwrap();
    let after = world.tokens(&model.oracles[0].tokens);
    assert_eq!(after - before, 3 * TOKEN);
}

/// The default model, with the whole bond of its first oracle past its release time.
fn released() -> (World, TestModel) {
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs);
    (world, model)
}

/// The withdrawal of the first oracle's bond.
fn withdrawal(world: &World, model: &TestModel) -> Instruction {
    let oracle = model.oracles[0].address();
    instruction::withdraw_bond(oracle, model.address, &world.model(&model.address))
}

#[test]
fn a_bond_is_paid_to_its_oracle_only() {
    // Given a released bond
    let (mut world, model) = released();
    let thief = world.wallet(0);
    // When a thief passes itself in place of the oracle
    let to_thief = swapped(
        swapped(
            withdrawal(&world, &model),
            &model.oracles[0].address(),
            &thief.address(),
        ),
        &model.oracles[0].tokens,
        &thief.tokens,
    );
    let outcome = world.send(to_thief, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongPayee);
}

#[test]
fn without_its_oracles_signature_a_bond_goes_to_the_associated_account_only() {
    // Given a released bond, and a second token account of its oracle
    let (mut world, model) = released();
    let thief = world.wallet(0);
    let mut own = world.svm.get_account(&model.oracles[0].tokens).unwrap();
    own.data[64..72].fill(0);
    let second = key("a second account").pubkey();
    world.svm.set_account(second, own).unwrap();
    for destination in [thief.tokens, second, world.treasury()] {
        // When somebody withdraws it to any account but the associated one
        let elsewhere = swapped(
            withdrawal(&world, &model),
            &model.oracles[0].tokens,
            &destination,
        );
        let outcome = world.send(elsewhere, &[]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongDestination);
    }
}

#[test]
fn an_associated_account_of_another_owner_is_not_paid() {
    // Given a released bond, and an associated account that now has another owner
    let (mut world, model) = released();
    let tokens = model.oracles[0].tokens;
    let other = world.wallet(0);
    let mut given = world.svm.get_account(&tokens).unwrap();
    given.data[32..64].copy_from_slice(other.address().as_ref());
    world.svm.set_account(tokens, given).unwrap();
    // When somebody withdraws it there
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn the_caller_can_create_a_missing_associated_account() {
    // Given a released bond, and an oracle without an associated account
    let (mut world, model) = released();
    let oracle = model.oracles[0].address();
    let tokens = model.oracles[0].tokens;
    world.svm.set_account(tokens, Default::default()).unwrap();
    assert_refused(
        withdraw(&mut world, &model, 0),
        DriftShieldError::WrongDestination,
    );
    // When somebody creates the account and withdraws the bond in one transaction
    let payer = world.payer.pubkey();
    let create =
        instruction::create_token_account(&payer, &oracle, &world.mint, TokenProgram::SplToken);
    let withdraw = withdrawal(&world, &model);
    world.send_all(&[create, withdraw], &[]).unwrap();
    // Then the bond is paid to it
    assert_eq!(world.tokens(&tokens), BOND);
}

#[test]
fn an_oracle_that_signs_chooses_the_destination() {
    // Given a released bond, and somebody else's token account
    let (mut world, model) = released();
    let payee = world.wallet(0);
    // When the oracle signs a withdrawal to it
    let mut signed = swapped(
        withdrawal(&world, &model),
        &model.oracles[0].tokens,
        &payee.tokens,
    );
    signed.accounts[0].is_signer = true;
    world.send(signed, &[&model.oracles[0].key]).unwrap();
    // Then the bond is paid to that account
    assert_eq!(world.tokens(&payee.tokens), BOND);
}

#[test]
fn a_bond_is_paid_from_its_own_model() {
    // Given a released bond, and another model
    let (mut world, model) = released();
    let other = world.default_model();
    // When somebody withdraws it with the other model
    let from_other = swapped(withdrawal(&world, &model), &model.address, &other.address);
    let outcome = world.send(from_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn a_bond_is_paid_from_its_own_vault() {
    // Given a released bond, and the bond vault of another model
    let (mut world, model) = released();
    let other = world.default_model();
    let vaults = [&model, &other].map(|model| world.model(&model.address).bond_vault);
    // When somebody withdraws it from the other vault
    let from_other = swapped(withdrawal(&world, &model), &vaults[0], &vaults[1]);
    let outcome = world.send(from_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongVault);
}

#[test]
fn a_bond_is_paid_in_its_own_mint() {
    // Given a released bond, and another collateral
    let (mut world, model) = released();
    let other = world.second_collateral();
    // When somebody withdraws it in the other mint
    let in_other = swapped(withdrawal(&world, &model), &world.mint, &other);
    let outcome = world.send(in_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn anyone_can_withdraw_a_bond_to_its_oracle_once() {
    // Given a released bond
    let (mut world, model) = released();
    let oracle = model.oracles[0].address();
    // When somebody withdraws it
    let sent = withdraw(&mut world, &model, 0).unwrap();
    // Then the oracle receives it
    assert_eq!(
        *sent.event(),
        Event::BondWithdrawn(events::BondWithdrawn {
            model: model.address,
            model_seq: 6,
            seat: address::seat(&model.address, &oracle),
            seat_seq: 3,
            oracle,
            destination: model.oracles[0].tokens,
            amount: BOND,
            bonded: 0,
            held: 2 * BOND,
        })
    );
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND);
    let seat = world.seat(&model.address, &oracle);
    assert_eq!((seat.bonded, seat.unbonding, seat.release_at), (0, 0, 0));
    let vault = world.model(&model.address).bond_vault;
    assert_eq!(world.tokens(&vault), 2 * BOND);
    // And a second withdrawal is refused
    let again = withdraw(&mut world, &model, 0);
    assert_refused(again, DriftShieldError::NothingUnbonding);
}

#[test]
fn a_bond_added_during_an_unbonding_stays() {
    // Given a seat whose whole bond is unbonding
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When its oracle bonds again
    let release_at = world
        .seat(&model.address, &model.oracles[0].address())
        .release_at;
    world.bond(&model, 0, terms().min_bond).unwrap();
    // Then the seat counts again, and only the requested bond is paid
    let state = world.model(&model.address);
    assert_eq!(state.bonds[0], terms().min_bond);
    world.warp_to(release_at);
    withdraw(&mut world, &model, 0).unwrap();
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.unbonding), (terms().min_bond, 0));
}
