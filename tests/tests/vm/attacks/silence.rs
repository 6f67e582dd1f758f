//! Attacks by oracles that are silent, and on oracles for their silence.

use driftshield_sdk::{ChallengePayee, DriftShieldError, Entry, Event, MarketTerms, address};
use driftshield_tests::{insurance::*, world::*};

use super::covered;
use crate::{
    bonds::{start_leaving, unbond},
    market::market_with_bet,
    receipt::collect_credit,
};

const COVER: u64 = 8_000 * TOKEN;
/// Drift that pays the whole cover.
const DRIFT: u64 = 300_000;
const PENALTY: u64 = 5 * TOKEN;

fn lost(scene: &Insured) -> [u64; 3] {
    let state = scene.model();
    [0, 1, 2].map(|oracle| 20_000 * TOKEN - state.bonds[oracle])
}

/// The arbiter rules a calm window for which fewer than a quorum have submitted.
fn rule_calm(world: &mut World, model: &TestModel, window: u64) {
    world.finalize(model, window).unwrap();
    world.rule(model, window, &CALM).unwrap();
}

#[test]
fn silence_of_two_of_three_leaves_no_cover_unpaid() {
    for submitting in [1, 0] {
        // Given a covered window that drifts, for which one honest oracle, or none, submits
        let (mut scene, holder) = covered(COVER);
        let (model, window) = (scene.model.clone(), scene.window);
        let before = scene.world.tokens(&holder.tokens);
        scene.world.warp_to_end(&model, window);
        for oracle in 0..submitting {
            let counts = share(DRIFT);
            scene.world.submit(&model, oracle, window, &counts).unwrap();
        }
        scene.world.pass(params().submit_secs);

        // When anybody asserts the counts, and the arbiter rules them
        let bond = insurance_terms().challenge_bond;
        let challenger = scene.world.wallet(bond);
        let world = &mut scene.world;
        world
            .challenge(&model, window, &challenger, &share(DRIFT))
            .unwrap();
        world.rule(&model, window, &share(DRIFT)).unwrap();

        // Then the holder is paid all of its cover
        assert_eq!(world.entry(&model.address, window), Entry::Final(DRIFT));
        scene.claim(&holder, 1).expect("claim_policy");
        assert_eq!(scene.world.tokens(&holder.tokens) - before, COVER);
        // And each silent oracle has lost 5, half of which the challenger has gained
        let silent = 3 - submitting as u64;
        let expected = [0, 1, 2].map(|oracle| if oracle < submitting { 0 } else { PENALTY });
        assert_eq!(lost(&scene), expected);
        let payee = ChallengePayee::Challenger;
        collect_credit(&mut scene.world, &model, window, payee).unwrap();
        let gain = scene.world.tokens(&challenger.tokens) - bond;
        assert_eq!(gain, silent * PENALTY / 2);
    }
}

#[test]
fn a_market_with_missing_windows_is_refunded_unless_somebody_asserts_them() {
    // Given a market of three windows that needs all of them, with bets of 300 on both outcomes
    for asserted in [false, true] {
        let mut world = World::new();
        let model = world.default_model();
        let creator = world.wallet(0);
        let terms = MarketTerms {
            min_observed: 3,
            ..market_terms(&world, &model)
        };
        let market = world.create_market(&model, &creator, 1, terms).unwrap();
        let bettors = [0, 1].map(|outcome| {
            let bettor = world.wallet(300 * TOKEN);
            world.bet(&market, &bettor, outcome, 300 * TOKEN).unwrap();
            bettor
        });
        // When two drift, and the oracles, friends of the lower outcome, are silent
        world.finalize_with(&model, 1, &CALM);
        for window in [2, 3] {
            world.warp_to_end(&model, window);
            world.pass(params().submit_secs);
            if asserted {
                let challenger = world.wallet(100 * TOKEN);
                world
                    .challenge(&model, window, &challenger, &DRIFTED)
                    .unwrap();
                world.rule(&model, window, &DRIFTED).unwrap();
            }
        }
        world.pass(params().challenge_secs);
        world.settle(&market).unwrap();

        // Then the friend gets back its 300, or has lost them, and the oracles have lost penalties
        let sent = world.claim(&market, &bettors[0].address()).unwrap();
        let Event::Claimed(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        let penalties: u64 = world.model(&model.address).penalties.iter().sum();
        let (paid, lost) = if asserted {
            (0, 6 * PENALTY)
        } else {
            (300 * TOKEN, 0)
        };
        assert_eq!((event.paid, penalties), (paid, lost));
    }
}

#[test]
fn d_windows_of_an_idle_model_are_not_challenged_and_dust_makes_dust() {
    // Given oracles that measure nothing, because nothing depends on their model
    let mut world = World::new();
    let model = world.default_model();
    let attacker = world.wallet(100 * TOKEN);
    let end = world.model(&model.address).submit_end(1).unwrap();
    let mut idle = world.clone();
    idle.warp_to(end);
    let outcome = idle.challenge(&model, 1, &attacker, &CALM);
    assert_refused(outcome, DriftShieldError::WindowNotObserved);

    // When somebody bets the least, 0.01, to make them owe submissions, and challenges a window
    let (_, bettor) = market_with_bet(&mut world, &model, terms().min_bet);
    assert_eq!(world.tokens(&bettor.tokens), 0);
    world.warp_to(end);
    world.challenge(&model, 1, &attacker, &CALM).unwrap();
    world.rule(&model, 1, &CALM).unwrap();

    // Then all of them together lose at most the 0.01 that was at risk, and it gains at most half of that
    let penalties: u64 = world.model(&model.address).penalties.iter().sum();
    assert!(penalties <= terms().min_bet, "{penalties}");
    collect_credit(&mut world, &model, 1, ChallengePayee::Challenger).unwrap();
    let gain = world.tokens(&attacker.tokens) - 100 * TOKEN;
    assert!(gain <= terms().min_bet / 2, "{gain}");
}

#[test]
fn e_two_of_three_cannot_stop_counting_to_be_silent_for_free() {
    // Given a bet, and two of three oracles that want to be silent for a window without a penalty
    let mut world = World::new();
    let spec = spec(&world);
    let bond = 10_000 * TOKEN;
    let model = world.model_with(spec, 3, bond);
    market_with_bet(&mut world, &model, 300 * TOKEN);
    // When both unbond before its submit period ends, then only the first can
    world.warp_to_end(&model, 1);
    unbond(&mut world, &model, 1, bond).unwrap();
    let outcome = unbond(&mut world, &model, 2, bond);
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    // And the second owes its submission even if it is leaving
    start_leaving(&mut world, &model, 2).unwrap();
    world.submit(&model, 0, 1, &CALM).unwrap();
    world.pass(params().submit_secs);
    rule_calm(&mut world, &model, 1);
    let state = world.model(&model.address);
    assert_eq!(state.penalties[..3], [0, 0, PENALTY]);

    // When it unbonds after the submit period of the next window, then it owes that one all the same
    world.warp_to_end(&model, 2);
    world.submit(&model, 0, 2, &CALM).unwrap();
    world.pass(params().submit_secs);
    let at = address::receipt(&model.address, 2);
    assert!(world.exists(&at));
    rule_calm(&mut world, &model, 2);
    let state = world.model(&model.address);
    assert_eq!(state.penalties[..3], [0, 0, 2 * PENALTY]);
}

#[test]
fn f_penalties_never_stream_back_to_the_silent() {
    // Given a market, whose rent streams to the oracles, and one silent oracle of three
    let mut world = World::new();
    let model = world.default_model();
    let (market, _) = market_with_bet(&mut world, &model, 300 * TOKEN);
    let rent = world.model(&model.address).pot;
    let rent = rent.waiting + rent.unearned;
    for window in 1..=3 {
        world.warp_to_end(&model, window);
        for oracle in [0, 1] {
            world.submit(&model, oracle, window, &CALM).unwrap();
        }
        world.pass(params().submit_secs + params().challenge_secs);
        world.finalize(&model, window).unwrap();
    }
    world.settle(&market).unwrap();
    // When all submit for six more windows, then nobody has earned more than the rent
    for window in 4..10 {
        world.finalize_with(&model, window, &CALM);
    }
    let state = world.model(&model.address);
    assert!(state.rewards.iter().sum::<u64>() <= rent);
    assert_eq!(state.penalties[2], 3 * PENALTY);
    assert!(3 * PENALTY <= state.pot.unearned);
}
