//! Appeals: what a ruling slashed is held, and the admin may return it for a time.

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{ChallengePayee, DriftShieldError, Entry, Event, address, instruction};
use driftshield_tests::world::*;

use super::{BOND, CHALLENGE_BOND, SLASH, bonded, challenged, collect, credits};
use crate::{
    bonds::{replace, unbond, withdraw},
    receipt::return_slashes,
    stakeholders::market_terms_on,
};

/// A ruling against two of three oracles, whose slashes are held.
fn slashed() -> (World, TestModel, Wallet) {
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    (world, model, challenger)
}

fn return_instruction(world: &World, model: &TestModel) -> Instruction {
    let state = world.model(&model.address);
    let receipt = world.receipt(&model.address, 0);
    let admin = solana_signer::Signer::pubkey(&world.admin);
    instruction::return_slashes(admin, model.address, &state, &receipt)
}

#[test]
fn the_admin_returns_slashes_within_the_appeal_period() {
    // Given held slashes, in the last second of the time for an appeal
    let (mut world, model, challenger) = slashed();
    let before = world.model(&model.address);
    world.pass(params().appeal_secs - 1);

    // When the admin returns them
    let sent = return_slashes(&mut world, &model, 0).unwrap();

    // Then the oracles have their bonds, and the value stays
    let Event::SlashesReturned(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.amount, event.owed), (2 * SLASH, CHALLENGE_BOND));
    assert_eq!(event.seats.len(), 2);
    assert_eq!(bonded(&world, &model), [BOND; 3]);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND; 3]);
    assert_eq!((state.held, state.open_receipts), (before.held, 0));

    // And the challenger gets its bond alone, the treasury nothing
    assert_eq!(credits(&world, &model), (CHALLENGE_BOND, 0));
    let outcome = return_slashes(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingHeld);
    world.pass(1);
    collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND);
    assert!(!world.exists(&address::receipt(&model.address, 0)));
    assert_eq!(world.model(&model.address).held, 3 * BOND);
}

#[test]
fn slashes_are_credited_once_the_appeal_period_is_over() {
    // Given held slashes
    let (mut world, model, _) = slashed();

    // When the time for an appeal has a second left, then only the challenger's bond can be collected
    world.pass(params().appeal_secs - 1);
    let outcome = collect(&mut world.clone(), &model, ChallengePayee::Treasury);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    let mut early = world.clone();
    collect(&mut early, &model, ChallengePayee::Challenger).unwrap();
    assert_eq!(credits(&early, &model), (0, 0));

    // When it is over, then nothing can be returned, and the rest is collected
    for mut world in [world, early] {
        world.pass(1);
        let outcome = return_slashes(&mut world, &model, 0);
        assert_refused(outcome, DriftShieldError::AppealPeriodOver);
        assert_eq!(world.model(&model.address).open_receipts, 1);
        for payee in [ChallengePayee::Treasury, ChallengePayee::Challenger] {
            collect(&mut world, &model, payee).unwrap();
        }
        let treasury = 2 * SLASH - 2 * CHALLENGE_BOND;
        assert_eq!(world.tokens(&world.treasury()), treasury);
        let state = world.model(&model.address);
        assert_eq!((state.open_receipts, state.held), (0, 3 * BOND - 2 * SLASH));
    }
}

#[test]
fn only_the_admin_returns_slashes_to_the_slashed_seats() {
    // Given held slashes
    let (mut world, model, _) = slashed();
    let right = return_instruction(&world, &model);
    let admin = world.admin.insecure_clone();

    // When the arbiter or an oracle returns them, then it is refused
    let arbiter = world.arbiter.insecure_clone();
    for key in [&arbiter, &model.oracles[0].key] {
        let key_address = solana_signer::Signer::pubkey(key);
        let wrong = swapped(
            right.clone(),
            &solana_signer::Signer::pubkey(&admin),
            &key_address,
        );
        let outcome = world.send(wrong, &[key]);
        assert_refused(outcome, DriftShieldError::NotAdmin);
    }

    // When other seats are passed than those of the slashed oracles, then it is refused
    let seats = [0, 1, 2]
        .map(|oracle: usize| address::seat(&model.address, &model.oracles[oracle].address()));
    let fixed = right.accounts.len() - 2;
    for list in [
        vec![],
        vec![seats[0]],
        vec![seats[1], seats[0]],
        vec![seats[0], seats[2]],
        seats.to_vec(),
    ] {
        let mut wrong = right.clone();
        let meta = wrong.accounts[fixed].clone();
        wrong.accounts.truncate(fixed);
        for seat in list {
            let mut meta = meta.clone();
            meta.pubkey = seat;
            wrong.accounts.push(meta);
        }
        let outcome = world.send(wrong, &[&admin]);
        assert_refused(outcome, DriftShieldError::WrongSeats);
    }
    world.send(right, &[&admin]).unwrap();
}

#[test]
fn a_receipt_without_slashes_has_nothing_to_return() {
    // Given a ruling that upholds the median
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);
    world.rule(&model, 0, &share(100)).unwrap();

    // When the admin returns slashes, then it is refused
    let outcome = return_slashes(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingHeld);
}

#[test]
fn a_slashed_seat_is_neither_closed_nor_replaced_before_the_appeal_ends() {
    // Given held slashes of an oracle that unbonds all of its bond, while a market depends on the model
    let (mut world, model, _) = slashed();
    let creator = world.wallet(0);
    let terms = market_terms_on(&world, &model, 100, 101);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    unbond(&mut world, &model, 0, BOND - SLASH).unwrap();
    world.pass(params().unbond_secs.max(params().replace_secs));
    withdraw(&mut world, &model, 0).unwrap();
    let close = instruction::close_seat(model.oracles[0].address(), model.address);

    // When its seat is closed, or it is replaced, before what is held has been credited, then it is refused
    let outcome = world.send(close.clone(), &[]);
    assert_refused(outcome, DriftShieldError::SeatInUse);
    let successor = world.wallet(0);
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SubmissionOpen);

    // And after that nothing but the number of replacements for so small a quorum is in the way
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::TooManyReplaced);
    world.send(close, &[]).unwrap();
}

#[test]
fn no_oracle_is_removed_while_slashes_are_held() {
    // Given held slashes
    let (mut world, model, _) = slashed();
    let update = |world: &mut World| {
        let mut terms = model_terms(&model.oracles[1..]);
        terms.quorum = 2;
        let state = world.model(&model.address);
        let owner = model.owner.address();
        let update = instruction::update_model(owner, model.address, &state, terms);
        world.send(update, &[&model.owner.key])
    };

    // When the owner removes a slashed oracle, then it is refused, until they are credited or returned
    assert_refused(update(&mut world), DriftShieldError::ReceiptOpen);
    let mut returned = world.clone();
    return_slashes(&mut returned, &model, 0).unwrap();
    update(&mut returned).unwrap();
    world.pass(params().appeal_secs);
    assert_refused(update(&mut world), DriftShieldError::ReceiptOpen);
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    update(&mut world).unwrap();
}

#[test]
fn a_returned_slash_counts_again() {
    // Given a seat that a slash took below half of the least bond
    let mut world = World::new();
    let bond = terms().min_bond;
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], bond);
    let state = world.model(&model.address);
    assert!(state.seat_counts(0));
    world.rule(&model, 0, &share(100)).unwrap();
    assert!(world.model(&model.address).seat_counts(0), "half is left");

    // When it unbonds what is left, and the slash is returned
    let outcome = unbond(&mut world, &model, 0, 1);
    outcome.unwrap();
    assert!(!world.model(&model.address).seat_counts(0));
    return_slashes(&mut world, &model, 0).unwrap();

    // Then the seat begins to count again only with the least bond
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [bond - 1, bond, bond]);
    assert_eq!(
        [0, 1, 2].map(|oracle| state.seat_counts(oracle)),
        [false, true, true]
    );
}
