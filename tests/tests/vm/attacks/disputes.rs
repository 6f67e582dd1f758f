//! Attacks by and on challengers and arbiters.

use driftshield_sdk::{ChallengePayee, DriftShieldError, Entry, Event, address};
use driftshield_tests::world::*;

use crate::receipt::{collect_credit, return_slashes};

/// The bond of each oracle.
const BOND: u64 = 10_000 * TOKEN;
/// What three oracles lose by a ruling.
const SLASHES: u64 = 1_500 * TOKEN;

/// Three oracles that agree on a drift, and a challenger who asserts another.
fn challenged(drift: u64, asserted: u64) -> (World, TestModel, Wallet) {
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    let challenger = world.wallet(terms().challenge_bond);
    world.submit_all(&model, 0, &share(drift));
    world
        .challenge(&model, 0, &challenger, &share(asserted))
        .unwrap();
    (world, model, challenger)
}

fn bonds(world: &World, model: &TestModel) -> u64 {
    let seats = model.oracles.iter();
    seats
        .map(|oracle| world.seat(&model.address, &oracle.address()).bonded)
        .sum()
}

/// Collects everything that the receipt owes once no appeal can be made. Returns what the challenger
/// gained.
fn collect(world: &mut World, model: &TestModel, challenger: &Wallet) -> i64 {
    world.pass(params().appeal_secs);
    for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
        if world.exists(&address::receipt(&model.address, 0)) {
            drop(collect_credit(world, model, 0, payee));
        }
    }
    let bond = terms().challenge_bond as i64;
    world.tokens(&challenger.tokens) as i64 - bond
}

#[test]
fn an_arbiter_and_a_friend_take_200_of_1500_and_nothing_if_the_admin_returns_it() {
    // Given three honest oracles, and a dishonest arbiter whose friend challenges them
    let (mut world, model, friend) = challenged(100, 500_000);
    let security = world.model(&model.address).security;
    let sent = world.rule(&model, 0, &share(500_000)).unwrap();
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };

    // Then each oracle has lost 500, but no seat has stopped counting, and nobody has been paid
    assert_eq!((event.slashed, event.reward), (SLASHES, 200 * TOKEN));
    assert_eq!(world.model(&model.address).security, security);
    let early = collect_credit(&mut world.clone(), &model, 0, ChallengePayee::Treasury);
    assert_refused(early, DriftShieldError::NothingToCollect);

    // When the admin returns the slashes, then the friend has gained nothing
    let mut returned = world.clone();
    return_slashes(&mut returned, &model, 0).unwrap();
    assert_eq!(collect(&mut returned, &model, &friend), 0);
    assert_eq!(bonds(&returned, &model), 3 * BOND);

    // When the admin does nothing, then the friend has gained 200, and the treasury has the rest
    assert_eq!(collect(&mut world, &model, &friend), 200 * TOKEN as i64);
    assert_eq!(bonds(&world, &model), 3 * BOND - SLASHES);
    assert_eq!(world.tokens(&world.treasury()), SLASHES - 200 * TOKEN);
}

#[test]
fn i_no_reward_is_paid_of_slashes_that_can_still_be_returned() {
    // Given a ruling against three oracles, and a challenger that collects at once
    let (mut world, model, challenger) = challenged(500_000, 100);
    world.rule(&model, 0, &share(100)).unwrap();
    collect_credit(&mut world, &model, 0, ChallengePayee::Challenger).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), terms().challenge_bond);

    // When the admin returns the slashes in the last second, then all of them are there
    world.pass(params().appeal_secs - 1);
    return_slashes(&mut world, &model, 0).unwrap();
    assert_eq!(bonds(&world, &model), 3 * BOND);
    assert!(!world.exists(&address::receipt(&model.address, 0)));
    assert_eq!(world.model(&model.address).held, 3 * BOND);
    world.check_solvency();
}

#[test]
fn b_a_friend_who_challenges_first_neither_binds_the_ruling_nor_shuts_others_out() {
    // Given three oracles that report 0.5 of a truth of 0.0001, and a friend who challenges first, just
    // beyond the spread of 0.01 on either side
    for (asserted, gain) in [(510_001, -100), (489_999, 200)] {
        let (mut world, model, friend) = challenged(500_000, asserted);
        let other = world.wallet(terms().challenge_bond);
        let outcome = world.challenge(&model, 0, &other, &share(100));
        assert_refused(outcome, DriftShieldError::AlreadyChallenged);

        // When the arbiter rules the truth, then it counts, and all three are slashed
        world.rule(&model, 0, &share(100)).unwrap();
        assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
        let friends = collect(&mut world, &model, &friend);
        assert_eq!(friends, gain * TOKEN as i64);
        // Together they lose at least 1,300 of 1,500: more than what the bonds secure costs to bend
        let lost = (3 * BOND - bonds(&world, &model)) as i64 - friends;
        assert!(1_300 * TOKEN as i64 <= lost, "{lost}");
    }
}

#[test]
fn a_false_challenge_pays_the_oracles_and_never_the_challenger() {
    // Given three honest oracles, and a challenger that the arbiter finds wrong, but near the spread
    for asserted in [110_001, 500_000, 0] {
        let (mut world, model, challenger) = challenged(100_000, asserted);
        world.rule(&model, 0, &share(100_000)).unwrap();
        // Then it has lost its bond, half of which the oracles have got
        assert_eq!(
            collect(&mut world, &model, &challenger),
            -(terms().challenge_bond as i64)
        );
        let half = terms().challenge_bond / 2 / 3 * 3;
        assert_eq!(bonds(&world, &model), 3 * BOND + half);
    }
}

#[test]
fn a_stolen_admin_key_takes_at_most_the_reward_of_a_challenger() {
    // Given a right challenger, and a thief of the admin's key who returns the slashes to the liars
    let (mut world, model, challenger) = challenged(500_000, 100);
    world.rule(&model, 0, &share(100)).unwrap();
    return_slashes(&mut world, &model, 0).unwrap();
    // Then the challenger still has its bond, and the window its true value
    assert_eq!(collect(&mut world, &model, &challenger), 0);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
}
