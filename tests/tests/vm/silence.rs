//! Penalties of oracles that owed a submission and were silent, and their payment from the seats.

use driftshield_sdk::{DriftShieldError, Entry, Event, instruction};
use driftshield_tests::world::*;

use crate::{
    bonds::{close, leave, unbond},
    market::market_with_bet,
    pot::collect_pot,
};

const BOND: u64 = 10_000 * TOKEN;
/// A stake that allows the whole penalty of 5 tokens each.
const STAKE: u64 = 300 * TOKEN;

/// A model with oracles of this `bond`, and a market with a bet of `stake` on windows 1 to 3.
fn observed(oracles: usize, bond: u64, stake: u64) -> (World, TestModel) {
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, oracles, bond);
    market_with_bet(&mut world, &model, stake);
    (world, model)
}

/// The first `count` oracles measure `window`, the others are silent, and nobody challenges. Returns what
/// the silent lost, by oracle.
fn settle(world: &mut World, model: &TestModel, window: u64, count: usize) -> Vec<(usize, u64)> {
    world.warp_to_end(model, window);
    for oracle in 0..count {
        world.submit(model, oracle, window, &CALM).unwrap();
    }
    world.pass(params().submit_secs + params().challenge_secs);
    let sent = world.finalize(model, window).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let index = |key| {
        model
            .oracles
            .iter()
            .position(|oracle| oracle.address() == key)
    };
    let penalties = event.penalties.iter();
    penalties
        .map(|penalty| (index(penalty.oracle).unwrap(), penalty.amount))
        .collect()
}

fn bonded(world: &World, model: &TestModel, oracle: usize) -> u64 {
    let oracle = model.oracles[oracle].address();
    world.seat(&model.address, &oracle).bonded
}

fn sync(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let sync = instruction::sync_seat(model.oracles[oracle].address(), model.address);
    world.send(sync, &[])
}

#[test]
fn a_silent_oracle_loses_a_penalty_to_the_treasury() {
    // Given a window that a market observes
    let (mut world, model) = observed(3, BOND, STAKE);
    let penalty = terms().absence_penalty;
    let before = world.model(&model.address);

    // When two of three oracles measure it
    assert_eq!(settle(&mut world, &model, 1, 2), [(2, penalty)]);

    // Then the model's copy of the third's bond is lower at once, and its seat once anybody syncs it
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND, BOND, BOND - penalty]);
    assert_eq!(state.penalties[..3], [0, 0, penalty]);
    assert_eq!(state.held, before.held);
    assert_eq!(bonded(&world, &model, 2), BOND);
    let sent = sync(&mut world, &model, 2).unwrap();
    let Event::SeatSynced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.penalty, event.bonded), (penalty, BOND - penalty));
    assert_eq!(bonded(&world, &model, 2), BOND - penalty);
    for oracle in 0..3 {
        let outcome = sync(&mut world, &model, oracle);
        assert_refused(outcome, DriftShieldError::NoPenaltyOpen);
    }

    // And the penalty streams to nobody: the treasury gets it once the pot is over
    assert!(penalty <= state.pot.unearned);
    world.pass(400 * DAY);
    let earned: u64 = world.model(&model.address).rewards.iter().sum();
    collect_pot(&mut world, &model).unwrap();
    let rent = state.pot.waiting + before.pot.unearned;
    assert!(penalty <= world.tokens(&world.treasury()));
    assert!(earned <= before.pot.waiting + rent);
}

#[test]
fn an_oracle_pays_its_penalties_with_its_next_call() {
    // Given an oracle that was silent for two windows
    let (mut world, model) = observed(3, BOND, STAKE);
    let penalty = terms().absence_penalty;
    for window in [1, 2] {
        settle(&mut world, &model, window, 2);
    }
    assert_eq!(world.model(&model.address).penalties[2], 2 * penalty);
    let left = BOND - 2 * penalty;

    // When it bonds, unbonds or submits and is ruled on, then its seat has paid them
    let mut bonding = world.clone();
    bonding.bond(&model, 2, TOKEN).unwrap();
    assert_eq!(bonded(&bonding, &model, 2), left + TOKEN);
    let mut unbonding = world.clone();
    unbond(&mut unbonding, &model, 2, TOKEN).unwrap();
    assert_eq!(bonded(&unbonding, &model, 2), left);
    let mut ruled = world.clone();
    let challenger = ruled.wallet(terms().challenge_bond);
    ruled.submit_all(&model, 4, &DRIFTED);
    ruled.challenge(&model, 4, &challenger, &CALM).unwrap();
    ruled.rule(&model, 4, &CALM).unwrap();
    assert_eq!(bonded(&ruled, &model, 2), left - terms().slash_amount);

    // When it asks for all of what it bonded, then it is refused: that is no longer there
    let outcome = unbond(&mut world, &model, 2, BOND);
    assert_refused(outcome, DriftShieldError::BondTooSmall);

    // And a seat that is left empty closes, without a penalty left
    world.mint_to(&model.oracles[2].tokens, 0);
    unbond(&mut world, &model, 2, left).unwrap();
    world.pass(params().unbond_secs);
    crate::bonds::withdraw(&mut world, &model, 2).unwrap();
    assert_eq!(world.model(&model.address).penalties[2], 0);
    close(&mut world, &model, 2).unwrap();
}

#[test]
fn an_open_penalty_is_paid_before_the_oracle_is_removed() {
    // Given an open penalty, and a market that has ended
    let mut world = World::new();
    let model = world.default_model();
    let (market, _) = market_with_bet(&mut world, &model, STAKE);
    for window in 1..=3 {
        settle(&mut world, &model, window, 2);
    }
    world.settle(&market).unwrap();
    let open = world.model(&model.address).penalties[2];
    assert_eq!(open, 3 * terms().absence_penalty);

    // When the owner removes the oracle, then its seat pays
    let mut terms = model_terms(&model.oracles[..2]);
    terms.quorum = 2;
    let state = world.model(&model.address);
    let owner = model.owner.address();
    let update = instruction::update_model(owner, model.address, &state, terms);
    world.send(update, &[&model.owner.key]).unwrap();
    let reward = state.rewards[2];
    assert_eq!(bonded(&world, &model, 2), BOND - open + reward);
    assert_eq!(world.model(&model.address).penalties, [0; 7]);
    let outcome = sync(&mut world, &model, 2);
    assert_refused(outcome, DriftShieldError::NotListed);
    leave(&mut world, &model, 2);
}

#[test]
fn the_penalties_of_a_window_are_at_most_what_is_at_risk() {
    // Given five oracles with a quorum of three, of whom two are silent
    for (stake, expected) in [
        (STAKE, 5 * TOKEN),
        (10 * TOKEN, 5 * TOKEN),
        (10 * TOKEN - 1, 5 * TOKEN - 1),
        (TOKEN / 100, TOKEN / 200),
    ] {
        let (mut world, model) = observed(5, BOND, stake);
        // When a quorum settles the window, then together they lose at most the stakes
        let penalties = settle(&mut world, &model, 1, 3);
        assert_eq!(penalties, [(3, expected), (4, expected)], "{stake}");
    }
}

#[test]
fn nobody_is_penalised_for_a_window_that_nobody_depends_on() {
    // Given a market on windows 1 to 3
    let (mut world, model) = observed(3, BOND, STAKE);
    // When an oracle is silent before, in and after them, then only those windows cost it
    let penalty = terms().absence_penalty;
    assert_eq!(settle(&mut world, &model, 0, 2), []);
    for window in 1..=3 {
        assert_eq!(settle(&mut world, &model, window, 2), [(2, penalty)]);
    }
    assert_eq!(settle(&mut world, &model, 5, 2), []);

    // And a model without bets penalises nobody
    let mut world = World::new();
    let model = world.default_model();
    assert_eq!(settle(&mut world, &model, 1, 2), []);
}

#[test]
fn nobody_is_penalised_without_a_quorum_and_a_ruling() {
    // Given a window for which one oracle of three submits
    let (mut world, model) = observed(3, BOND, STAKE);
    world.warp_to_end(&model, 1);
    world.submit(&model, 0, 1, &CALM).unwrap();
    world.pass(params().submit_secs + params().challenge_secs);

    // When nobody rules, then it is Void and costs nobody anything; if somebody does, it costs the silent
    let mut ruled = world.clone();
    let sent = ruled.rule(&model, 1, &CALM).unwrap();
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.penalties.len(), 2);
    world.pass(params().ruling_secs);
    let sent = world.finalize(&model, 1).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(event.penalties.is_empty());
    assert_eq!(world.entry(&model.address, 1), Entry::Void);
    assert_eq!(world.model(&model.address).penalties, [0; 7]);
}

#[test]
fn a_penalty_does_not_end_a_seat_that_holds_the_least_bond() {
    // Given three oracles with the least bond
    let bond = terms().min_bond;
    let (mut world, model) = observed(3, bond, STAKE);
    let security = world.model(&model.address).security;
    // When one of them is silent for three windows, then its seat still counts
    for window in 1..=3 {
        settle(&mut world, &model, window, 2);
    }
    let state = world.model(&model.address);
    assert_eq!(state.bonds[2], bond - 3 * terms().absence_penalty);
    assert!(state.seat_counts(2));
    assert_eq!(state.security, security);
}

#[test]
fn a_seat_is_synced_with_its_own_model() {
    // Given an open penalty, and another model
    let (mut world, model) = observed(3, BOND, STAKE);
    settle(&mut world, &model, 1, 2);
    let other = world.default_model();
    // When the other model is passed, then it is refused
    let sync = instruction::sync_seat(model.oracles[2].address(), model.address);
    let wrong = swapped(sync, &model.address, &other.address);
    assert_refused(world.send(wrong, &[]), DriftShieldError::WrongModel);
}
