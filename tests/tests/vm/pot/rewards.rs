//! Who earns the pay of a window, and how it is collected.

use driftshield_sdk::{AccountMeta, DriftShieldError, Event, RewardPayee, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{paid_model, settle_with};

const PAY: u64 = 3 * TOKEN;

fn rewards(world: &World, model: &TestModel) -> [u64; 3] {
    world.model(&model.address).rewards[..3].try_into().unwrap()
}

#[test]
fn the_agreeing_submitters_share_the_pay_of_a_final_receipt() {
    let (mut world, model) = paid_model(PAY + 2, 30);
    world.submit_all(&model, 0, &CALM);
    world.pass(params().challenge_secs);
    let settled = world.finalize(&model, 0).unwrap();
    let Event::ReceiptFinalized(settled) = settled.event() else {
        panic!("another event than ReceiptFinalized");
    };
    // Two base units can't be divided, and stay in the pot with the pay of the running window.
    assert_eq!(rewards(&world, &model), [TOKEN; 3]);
    assert_eq!((settled.pay, settled.earners), (PAY + 2, 0b111));
    assert_eq!(world.model(&model.address).pot.unearned, PAY + 4);
}

#[test]
fn an_oracle_that_is_silent_or_wrong_earns_nothing() {
    let (mut world, model) = paid_model(PAY, 30);
    settle_with(&mut world, &model, 0, &[(0, &CALM), (1, &CALM)]);
    assert_eq!(rewards(&world, &model), [PAY / 2, PAY / 2, 0]);
    settle_with(
        &mut world,
        &model,
        1,
        &[(0, &CALM), (1, &CALM), (2, &DRIFTED)],
    );
    assert_eq!(rewards(&world, &model), [PAY, PAY, 0]);
}

#[test]
fn a_ruling_pays_the_submitters_that_it_confirms() {
    // Given a dispute between a quorum and one oracle
    let (mut world, model) = paid_model(PAY, 30);
    world.warp_to_end(&model, 0);
    for (oracle, counts) in [(0, &CALM), (1, &CALM), (2, &DRIFTED)] {
        world.submit(&model, oracle, 0, counts).unwrap();
    }
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 0, &challenger, &DRIFTED).unwrap();
    // When the arbiter confirms the one, then it earns all of the pay
    let sent = world.rule(&model, 0, &DRIFTED).unwrap();
    assert_eq!(rewards(&world, &model), [0, 0, PAY]);
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.pay, event.earners), (PAY, 0b100));
}

#[test]
fn anyone_collects_a_reward_once_for_the_oracle() {
    let (mut world, model) = paid_model(PAY, 30);
    world.finalize_with(&model, 0, &CALM);
    let oracle = &model.oracles[1];
    let before = world.tokens(&oracle.tokens);
    let sent = world.collect_reward(&model, 1).unwrap();
    let Event::RewardCollected(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.payee, event.amount), (RewardPayee::Oracle, TOKEN));
    assert_eq!(
        (event.oracle, event.destination),
        (oracle.address(), oracle.tokens)
    );
    assert_eq!(world.tokens(&oracle.tokens), before + TOKEN);
    let again = world.collect_reward(&model, 1);
    assert_refused(again, DriftShieldError::NothingToCollect);
}

#[test]
fn a_reward_goes_elsewhere_only_if_the_oracle_signs() {
    let (mut world, model) = paid_model(PAY, 30);
    world.finalize_with(&model, 0, &CALM);
    let (state, thief) = (world.model(&model.address), world.wallet(0));
    let oracle = &model.oracles[0];
    let collect = instruction::collect_reward(model.address, &state, 0);
    let mut collect = swapped(collect, &oracle.tokens, &thief.tokens);
    let outcome = world.send(collect.clone(), &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let stranger = swapped(collect.clone(), &oracle.address(), &thief.address());
    let outcome = world.send(stranger, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);
    collect.accounts[0].is_signer = true;
    world.send(collect, &[&oracle.key]).unwrap();
    assert_eq!(world.tokens(&thief.tokens), TOKEN);
}

#[test]
fn the_reward_of_a_removed_oracle_is_added_to_its_bond() {
    // Given an oracle with a reward and a token account that it has given away
    let (mut world, model) = paid_model(PAY, 30);
    world.finalize_with(&model, 0, &CALM);
    let oracle = &model.oracles[0];
    let thief = key("somebody else").pubkey();
    world.give_away(oracle, &thief);
    assert_refused(
        world.collect_reward(&model, 0),
        DriftShieldError::WrongDestination,
    );
    // When the owner replaces it
    let new = world.wallet(0);
    let oracles = [new, model.oracles[2].clone(), model.oracles[1].clone()];
    let state = world.model(&model.address);
    let (owner, terms) = (&model.owner, model_terms(&oracles));
    let update = instruction::update_model(owner.address(), model.address, &state, terms);
    let seat = address::seat(&model.address, &oracle.address());
    let bonded = world.seat(&model.address, &oracle.address()).bonded;

    // Then exactly its seat must be passed
    let mut without = update.clone();
    without.accounts.pop();
    let mut with_more = update.clone();
    let other = address::seat(&model.address, &model.oracles[1].address());
    with_more.accounts.push(AccountMeta::new(other, false));
    let with_other = swapped(update.clone(), &seat, &other);
    for wrong in [without, with_more, with_other] {
        let outcome = world.send(wrong, &[&owner.key]);
        assert_refused(outcome, DriftShieldError::WrongRewardSeats);
    }
    // And the reward is part of its bond; the others keep theirs in their new order
    let sent = world.send(update, &[&owner.key]).unwrap();
    let Event::ModelUpdated(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.seats.len(), event.seats[0].seat), (1, seat));
    assert_eq!(event.seats[0].bonded, bonded + TOKEN);
    assert_eq!(rewards(&world, &model), [0, TOKEN, TOKEN]);
}

#[test]
fn a_seat_stays_open_for_a_reward() {
    // Given an oracle that has withdrawn its bond, and not its reward
    let (mut world, model) = paid_model(PAY, 30);
    world.finalize_with(&model, 0, &CALM);
    let oracle = &model.oracles[0];
    let bonded = world.seat(&model.address, &oracle.address()).bonded;
    let unbond = instruction::request_unbond(oracle.address(), model.address, bonded);
    world.send(unbond, &[&oracle.key]).unwrap();
    world.pass(params().unbond_secs);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    world.send(withdraw, &[]).unwrap();
    // When its seat is closed, then it is refused until the reward is collected
    let close = instruction::close_seat(oracle.address(), model.address);
    let outcome = world.send(close.clone(), &[]);
    assert_refused(outcome, DriftShieldError::SeatInUse);
    world.collect_reward(&model, 0).unwrap();
    world.send(close, &[]).unwrap();
}
