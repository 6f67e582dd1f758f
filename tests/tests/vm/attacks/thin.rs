//! Oracles that call a window thin to hide its drift, or drifted to hide that it is thin.

use driftshield_sdk::{ChallengePayee, DriftShieldError, Entry, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::covered;

/// Counts with too few rows for a value.
const THIN: [u32; 2] = [3, 1];
const COVER: u64 = 8_000 * TOKEN;
/// Drift that pays the whole cover.
const DRIFT: u64 = 300_000;

/// The oracles submit these counts for the running window, which is over then.
fn submit(scene: &mut Insured, counts: [[u32; 2]; 3]) {
    scene.world.warp_to_end(&scene.model, scene.window);
    for (oracle, counts) in counts.iter().enumerate() {
        scene
            .world
            .submit(&scene.model, oracle, scene.window, counts)
            .expect("submit_receipt");
    }
}

fn bonds(scene: &Insured) -> u64 {
    let seats = scene.model.oracles.iter();
    seats
        .map(|oracle| {
            let seat = scene.world.seat(&scene.model.address, &oracle.address());
            seat.bonded
        })
        .sum()
}

/// Challenges the window, lets the arbiter rule, and pays the challenger after the time for an appeal.
/// Returns the challenger's gain.
fn dispute(scene: &mut Insured, ruling: &[u32]) -> i64 {
    let bond = insurance_terms().challenge_bond;
    let challenger = scene.world.wallet(bond);
    let (model, window) = (scene.model.clone(), scene.window);
    scene
        .world
        .challenge(&model, window, &challenger, ruling)
        .expect("challenge_receipt");
    scene
        .world
        .rule(&model, window, ruling)
        .expect("rule_receipt");
    scene.world.pass(params().appeal_secs);
    let receipt = scene.world.receipt(&model.address, window);
    let state = scene.world.model(&model.address);
    let payee = ChallengePayee::Challenger;
    let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
    scene.world.send(collect, &[]).expect("collect_challenge");
    scene.world.tokens(&challenger.tokens) as i64 - bond as i64
}

#[test]
fn calling_a_drifted_window_thin_costs_more_than_it_hides() {
    // Given a drifted window, which two of three oracles call thin to save the vault 8,000 tokens
    let (mut scene, holder) = covered(COVER);
    let window = scene.window;
    let before = (bonds(&scene), scene.world.tokens(&holder.tokens));
    submit(&mut scene, [THIN, THIN, share(DRIFT)]);

    // When anybody recounts and challenges
    let gain = dispute(&mut scene, &share(DRIFT));

    // Then the window counts, and the holder is paid all of its cover
    assert_eq!(
        scene.world.entry(&scene.model.address, window),
        Entry::Final(DRIFT)
    );
    scene.claim(&holder, 1).expect("claim_policy");
    assert_eq!(scene.world.tokens(&holder.tokens) - before.1, COVER);
    // And the two have lost a slash each, of which the challenger has earned twice its bond
    let slashes = 2 * insurance_terms().slash_amount;
    assert_eq!(before.0 - bonds(&scene), slashes);
    assert_eq!(gain, 2 * insurance_terms().challenge_bond as i64);
}

#[test]
fn reporting_drift_in_a_thin_window_costs_more_than_it_pays() {
    // Given a thin window, for which two of three oracles report drift to be paid 8,000 tokens of cover
    let (mut scene, holder) = covered(COVER);
    let window = scene.window;
    let before = bonds(&scene);
    submit(&mut scene, [share(DRIFT), share(DRIFT), THIN]);

    // When anybody recounts and challenges
    let gain = dispute(&mut scene, &THIN);

    // Then the window is thin, and nothing is paid
    assert_eq!(scene.world.entry(&scene.model.address, window), Entry::Thin);
    let claim = scene.claim(&holder, 1);
    assert_refused(claim, DriftShieldError::NothingDue);
    // And the two have lost a slash each
    let slashes = 2 * insurance_terms().slash_amount;
    assert_eq!(before - bonds(&scene), slashes);
    assert_eq!(gain, 2 * insurance_terms().challenge_bond as i64);
}

#[test]
fn refuted_drift_stops_sales_only_until_the_ruling() {
    // Given two of three oracles that report drift in a thin window, so that no cover is sold
    let (mut scene, _) = covered(COVER);
    let buyer = scene.world.wallet(CAPITAL);
    submit(&mut scene, [share(DRIFT), share(DRIFT), THIN]);
    let terms = scene.terms();
    let refused = scene.buy(&buyer, 1, terms);
    assert_refused(refused, DriftShieldError::TriggerReached);

    // When the window is ruled thin, then cover is sold again: no slash has ended a quorum
    let bond = insurance_terms().challenge_bond;
    let challenger = scene.world.wallet(bond);
    let (model, window) = (scene.model.clone(), scene.window);
    let world = &mut scene.world;
    world.challenge(&model, window, &challenger, &THIN).unwrap();
    world.rule(&model, window, &THIN).unwrap();
    assert_eq!(scene.model().latest, CALM_DRIFT);
    let terms = scene.terms();
    scene.buy(&buyer, 1, terms).expect("buy_policy");
}

#[test]
fn one_of_three_cannot_make_a_window_thin_or_drifted() {
    for (liar, truth, expected) in [
        (THIN, share(DRIFT), Entry::Final(DRIFT)),
        (share(DRIFT), THIN, Entry::Thin),
    ] {
        // Given one oracle that differs from the two others
        let (mut scene, _) = covered(COVER);
        let window = scene.window;
        submit(&mut scene, [liar, truth, truth]);

        // When nobody challenges, then the two decide
        scene.world.pass(params().challenge_secs);
        scene
            .world
            .finalize(&scene.model, window)
            .expect("finalize_receipt");
        assert_eq!(scene.world.entry(&scene.model.address, window), expected);
    }
}
