//! Disputes about windows for which nobody, or less than a quorum, has submitted.

use driftshield_sdk::{Address, ChallengePayee, DriftShieldError, Entry, Event, address};
use driftshield_tests::world::*;

use super::{BOND, CHALLENGE_BOND, SLASH, submit_values};
use crate::{
    market::market_with_bet,
    receipt::{collect_credit, finalize, rule_no_data},
};

/// A window that the market observes.
const WINDOW: u64 = 1;
/// Counts with too few rows for a value.
const THIN: [u32; 2] = [48, 1];

/// A model with three oracles, and a market with a bet of 300 on windows 1 to 3.
fn observed() -> (World, TestModel) {
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    market_with_bet(&mut world, &model, 300 * TOKEN);
    (world, model)
}

fn submit_end(world: &World, model: &TestModel, window: u64) -> i64 {
    let state = world.model(&model.address);
    state.submit_end(window).unwrap()
}

/// An observed window that is over without submissions, challenged with an assertion of `drift`.
fn missing(drift: u64) -> (World, TestModel, Wallet) {
    let (mut world, model) = observed();
    let challenger = world.wallet(CHALLENGE_BOND);
    world.warp_to(submit_end(&world, &model, WINDOW));
    world
        .challenge(&model, WINDOW, &challenger, &share(drift))
        .unwrap();
    (world, model, challenger)
}

#[test]
fn a_missing_window_is_challenged_after_its_submit_period() {
    // Given a window for which nobody submits
    let (mut world, model) = observed();
    let challenger = world.wallet(CHALLENGE_BOND);
    let end = submit_end(&world, &model, WINDOW);

    // When its submit period has a second left, then it can't be challenged
    world.warp_to(end - 1);
    let outcome = world.challenge(&model, WINDOW, &challenger, &share(500_000));
    assert_refused(outcome, DriftShieldError::SubmitPeriodOpen);

    // When the submit period is over, then it can, until the challenge period is over
    world.warp_to(end + params().challenge_secs);
    let outcome = world.challenge(&model, WINDOW, &challenger, &share(500_000));
    assert_refused(outcome, DriftShieldError::ChallengePeriodOver);
    let (mut world, model) = observed();
    let challenger = world.wallet(CHALLENGE_BOND);
    let end = submit_end(&world, &model, WINDOW);
    world.warp_to(end + params().challenge_secs - 1);
    let lamports = world.lamports(&challenger.address());
    let sent = world
        .challenge(&model, WINDOW, &challenger, &share(500_000))
        .unwrap();

    // And the challenger has paid for the receipt and the page, which say what it asserts
    let Event::ReceiptChallenged(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(
        (event.asserted, event.asserts_thin, event.value),
        (500_000, false, 0)
    );
    let receipt = world.receipt(&model.address, WINDOW);
    assert_eq!(receipt.payer, challenger.address());
    assert_eq!((receipt.since, receipt.submitted), (world.now(), 0));
    assert_eq!(world.entry(&model.address, WINDOW), Entry::Open);
    let rents = [
        address::receipt(&model.address, WINDOW),
        address::series_page(&model.address, 0),
    ];
    let rents: u64 = rents.iter().map(|account| world.lamports(account)).sum();
    assert!(rents <= lamports - world.lamports(&challenger.address()));

    // And the arbiter rules until `ruling_secs` after the challenge
    world.pass(params().ruling_secs - 1);
    let mut ruled = world.clone();
    ruled.rule(&model, WINDOW, &share(500_000)).unwrap();
    assert_eq!(ruled.entry(&model.address, WINDOW), Entry::Final(500_000));
    world.pass(1);
    let outcome = world.rule(&model, WINDOW, &share(500_000));
    assert_refused(outcome, DriftShieldError::ReceiptNotChallenged);
    finalize(&mut world, &model, WINDOW).unwrap();
    assert_eq!(world.entry(&model.address, WINDOW), Entry::Void);
}

#[test]
fn a_missing_window_is_challenged_only_if_something_depends_on_it() {
    // Given a market on windows 1 to 3, which was made before window 0 began
    let (mut world, model) = observed();
    let challenger = world.wallet(CHALLENGE_BOND);

    // When the window before or after them is challenged, then it is refused
    for window in [0, 4] {
        let mut world = world.clone();
        world.warp_to(submit_end(&world, &model, window));
        let outcome = world.challenge(&model, window, &challenger, &share(500_000));
        assert_refused(outcome, DriftShieldError::WindowNotObserved);
    }

    // When one of them is challenged, then it is accepted
    for window in [1, 3] {
        let mut world = world.clone();
        world.warp_to(submit_end(&world, &model, window));
        let asserted = share(500_000);
        world
            .challenge(&model, window, &challenger, &asserted)
            .unwrap();
    }

    // When nothing has a bet, then there is nothing to challenge
    let mut idle = World::new();
    let spec = coarse_spec(&idle);
    let model = idle.model_with(spec, 3, BOND);
    let challenger = idle.wallet(CHALLENGE_BOND);
    idle.warp_to(submit_end(&idle, &model, WINDOW));
    let outcome = idle.challenge(&model, WINDOW, &challenger, &share(500_000));
    assert_refused(outcome, DriftShieldError::WindowNotObserved);
    world.check_solvency();
}

#[test]
fn a_challenge_asserts_something_else_than_what_is_proposed() {
    // Given a proposed value of 0.1, whose spread is 0.01
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    submit_values(&mut world, &model, 0, &[100_000; 3]);
    let challenger = world.wallet(CHALLENGE_BOND);

    // When somebody asserts a value within the spread of it, then it is refused
    for asserted in [90_000, 100_000, 110_000] {
        let outcome = world.challenge(&model, 0, &challenger, &share(asserted));
        assert_refused(outcome, DriftShieldError::AssertionAgrees);
    }

    // When somebody asserts a value outside of it, or that the window is thin, then it is accepted
    for asserted in [share(89_999), share(110_001), THIN] {
        let mut world = world.clone();
        world.challenge(&model, 0, &challenger, &asserted).unwrap();
    }

    // Given a window that is proposed as thin, then thin is refused, and any value accepted
    for oracle in 0..3 {
        world.warp_to_end(&model, 1);
        world.submit(&model, oracle, 1, &THIN).unwrap();
    }
    let outcome = world.challenge(&model, 1, &challenger, &THIN);
    assert_refused(outcome, DriftShieldError::AssertionAgrees);
    world.challenge(&model, 1, &challenger, &share(0)).unwrap();
}

#[test]
fn a_missing_window_is_not_asserted_to_be_thin() {
    // Given a window for which nobody has submitted, and one for which one oracle has
    let (mut world, model) = observed();
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    world.warp_to(submit_end(&world, &model, WINDOW));
    let outcome = world.challenge(&model, WINDOW, &challenger, &THIN);
    // Then only the second can be asserted to be thin
    assert_refused(outcome, DriftShieldError::AssertionThin);
    submit_values(&mut world, &model, 2, &[100]);
    world.pass(params().submit_secs);
    world.challenge(&model, 2, &challenger, &THIN).unwrap();
}

#[test]
fn the_arbiter_may_find_no_data_unless_a_quorum_has_submitted() {
    // Given a missing window, a lone submission, and a proposed value, all challenged
    let (mut missing, model, challenger) = missing(500_000);
    rule_no_data(&mut missing, &model, WINDOW).unwrap();

    // When the arbiter finds no data, then the window is Void, and the challenger has lost its bond
    assert_eq!(missing.entry(&model.address, WINDOW), Entry::Void);
    collect_credit(&mut missing, &model, WINDOW, ChallengePayee::Treasury).unwrap();
    assert_eq!(missing.tokens(&missing.treasury()), CHALLENGE_BOND);
    assert_eq!(missing.tokens(&challenger.tokens), 0);
    assert_eq!(missing.model(&model.address).open_receipts, 0);

    // And a lone submitter isn't slashed
    let (mut lone, model) = observed();
    submit_values(&mut lone, &model, WINDOW, &[100]);
    lone.pass(params().submit_secs);
    finalize(&mut lone, &model, WINDOW).unwrap();
    let sent = rule_no_data(&mut lone, &model, WINDOW).unwrap();
    let event = super::ruled(&sent);
    assert_eq!((event.slashed, event.penalties.len()), (0, 0));
    assert_eq!(event.counts, None);
    assert_eq!(lone.entry(&model.address, WINDOW), Entry::Void);

    // And where a quorum has submitted, it is refused
    let (mut quorum, model) = observed();
    let challenger = quorum.wallet(CHALLENGE_BOND);
    submit_values(&mut quorum, &model, WINDOW, &[100, 100]);
    quorum.pass(params().submit_secs);
    quorum
        .challenge(&model, WINDOW, &challenger, &share(500_000))
        .unwrap();
    let outcome = rule_no_data(&mut quorum, &model, WINDOW);
    assert_refused(outcome, DriftShieldError::QuorumSubmitted);
    // Even if the quorum disagrees, so that nobody has to challenge
    submit_values(&mut quorum, &model, 2, &[100, 400_000]);
    quorum.pass(params().submit_secs);
    finalize(&mut quorum, &model, 2).unwrap();
    let outcome = rule_no_data(&mut quorum, &model, 2);
    assert_refused(outcome, DriftShieldError::QuorumSubmitted);
}

/// What a challenger who asserts 0.5 has after a ruling of a missing window, and what the oracles lost.
fn outcome_of(counts: &[u32]) -> (u64, u64) {
    let (mut world, model, challenger) = missing(500_000);
    world.rule(&model, WINDOW, counts).unwrap();
    let penalties = world.model(&model.address).penalties.iter().sum();
    for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
        if world.exists(&address::receipt(&model.address, WINDOW)) {
            drop(collect_credit(&mut world, &model, WINDOW, payee));
        }
    }
    (world.tokens(&challenger.tokens), penalties)
}

#[test]
fn a_right_challenge_of_a_missing_window_earns_half_of_the_penalties() {
    // Given a missing window for which three oracles owed submissions
    let penalties = 3 * terms().absence_penalty;
    // When the ruling is within the spread of the assertion, then the challenger gets half of them
    let won = CHALLENGE_BOND + penalties / 2;
    for drift in [490_000, 500_000, 510_000] {
        assert_eq!(outcome_of(&share(drift)), (won, penalties));
    }
    // When it is further away, or the window is thin, then the challenger loses its bond
    for counts in [share(489_999), share(510_001), THIN] {
        assert_eq!(outcome_of(&counts), (0, penalties));
    }
}

#[test]
fn a_dispute_without_a_quorum_is_challenged_until_the_challenge_period_ends() {
    // Given one submission of three, which is in dispute from the end of the submit period on
    let (mut world, model) = observed();
    let challenger = world.wallet(CHALLENGE_BOND);
    submit_values(&mut world, &model, WINDOW, &[900_000]);
    let end = submit_end(&world, &model, WINDOW) + params().challenge_secs;
    let mut late = world.clone();
    late.warp_to(end);
    let outcome = late.challenge(&model, WINDOW, &challenger, &share(100));
    assert_refused(outcome, DriftShieldError::ChallengePeriodOver);
    assert_eq!(late.tokens(&challenger.tokens), CHALLENGE_BOND);

    // When somebody asserts counts a second before, and the arbiter rules them in the last second
    world.warp_to(end - 1);
    world
        .challenge(&model, WINDOW, &challenger, &share(100))
        .unwrap();
    world.pass(params().ruling_secs - 1);
    let sent = world.rule(&model, WINDOW, &share(100)).unwrap();

    // Then the liar loses a slash, two silent oracles a penalty each
    let event = super::ruled(&sent);
    assert!(event.vindicated);
    assert_eq!((event.slashed, event.reward), (SLASH, 2 * CHALLENGE_BOND));
    let penalty = terms().absence_penalty;
    let penalties: Vec<(Address, u64)> = event
        .penalties
        .iter()
        .map(|penalty| (penalty.oracle, penalty.amount))
        .collect();
    let [_, second, third] = [0, 1, 2].map(|oracle: usize| model.oracles[oracle].address());
    assert_eq!(penalties, [(second, penalty), (third, penalty)]);
    // And the challenger its bond and half of the penalties at once, and its reward after the appeal
    assert_eq!(event.challenger_credit, CHALLENGE_BOND + penalty);
    world.pass(params().appeal_secs);
    collect_credit(&mut world, &model, WINDOW, ChallengePayee::Challenger).unwrap();
    let won = 3 * CHALLENGE_BOND + penalty;
    assert_eq!(world.tokens(&challenger.tokens), won);
}
