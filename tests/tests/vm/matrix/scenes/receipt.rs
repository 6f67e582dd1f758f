//! Scenes of the instructions on receipts.

use driftshield_sdk::{ChallengePayee, Instruction, PAGE_WINDOWS, Receipt, instruction};
use driftshield_tests::{insurance::CALM_DRIFT, world::*};
use solana_signer::Signer;

use crate::matrix::fixture::{FIRST_WINDOW, Fixture};

/// The next window to measure, whose receipt the instructions act on.
const WINDOW: u64 = driftshield_tests::insurance::HISTORY;

fn receipt(fixture: &Fixture) -> Receipt {
    fixture
        .world
        .receipt(&fixture.target().model.address, WINDOW)
}

pub fn submit_receipt_first(fixture: &mut Fixture) -> Instruction {
    let model = fixture.target().model.clone();
    fixture.world.warp_to_end(&model, WINDOW);
    instruction::submit_receipt(
        model.oracles[0].address(),
        model.address,
        WINDOW,
        share(CALM_DRIFT).to_vec(),
        [1; 32],
        "https://evidence.example/1".into(),
    )
}

pub fn submit_receipt(fixture: &mut Fixture) -> Instruction {
    let submit = submit_receipt_first(fixture);
    fixture.for_each_set(|insured, set| {
        let counts = share(CALM_DRIFT);
        insured
            .world
            .submit(&set.model, 1, WINDOW, &counts)
            .unwrap();
    });
    fixture.window = WINDOW + 1;
    submit
}

pub fn challenge_receipt(fixture: &mut Fixture) -> Instruction {
    fixture.submit(CALM_DRIFT);
    let (model, challenger) = (fixture.target().model.address, &fixture.target().winner);
    let state = fixture.world.model(&model);
    instruction::challenge_receipt(
        challenger.address(),
        model,
        &state,
        WINDOW,
        share(2 * CALM_DRIFT).to_vec(),
        challenger.tokens,
    )
}

/// Nobody has submitted to the first window of the fixture's market.
pub fn challenge_receipt_first(fixture: &mut Fixture) -> Instruction {
    fixture.measure_through(FIRST_WINDOW - 1, CALM_DRIFT);
    let model = fixture.target().model.clone();
    fixture.world.warp_to_end(&model, FIRST_WINDOW);
    fixture.world.pass(params().submit_secs);
    let challenger = &fixture.target().winner;
    instruction::challenge_receipt(
        challenger.address(),
        model.address,
        &fixture.world.model(&model.address),
        FIRST_WINDOW,
        share(CALM_DRIFT).to_vec(),
        challenger.tokens,
    )
}

/// The winner of each set challenges the next receipt.
fn challenge(fixture: &mut Fixture) {
    fixture.submit(CALM_DRIFT);
    fixture.for_each_set(|insured, set| {
        insured
            .world
            .challenge(&set.model, WINDOW, &set.winner, &share(2 * CALM_DRIFT))
            .unwrap();
    });
}

pub fn rule_receipt(fixture: &mut Fixture) -> Instruction {
    challenge(fixture);
    let model = fixture.target().model.address;
    let state = fixture.world.model(&model);
    instruction::rule_receipt(
        model,
        &state,
        &receipt(fixture),
        Some(share(2 * CALM_DRIFT).to_vec()),
    )
}

pub fn finalize_receipt(fixture: &mut Fixture) -> Instruction {
    fixture.submit(CALM_DRIFT);
    fixture.pass_challenge_period();
    instruction::finalize_receipt(&receipt(fixture))
}

/// The arbiter rules for the challenger in each set.
fn rule(fixture: &mut Fixture) {
    challenge(fixture);
    fixture.for_each_set(|insured, set| {
        let counts = share(10 * CALM_DRIFT);
        insured.world.rule(&set.model, WINDOW, &counts).unwrap();
    });
}

fn collect(fixture: &mut Fixture, payee: ChallengePayee) -> Instruction {
    rule(fixture);
    fixture.world.pass(params().appeal_secs);
    let model = fixture.target().model.address;
    let state = fixture.world.model(&model);
    instruction::collect_challenge(model, &state, &receipt(fixture), payee)
}

pub fn collect_challenge(fixture: &mut Fixture) -> Instruction {
    collect(fixture, ChallengePayee::Challenger)
}

pub fn collect_challenge_treasury(fixture: &mut Fixture) -> Instruction {
    collect(fixture, ChallengePayee::Treasury)
}

pub fn return_slashes(fixture: &mut Fixture) -> Instruction {
    rule(fixture);
    let (admin, model) = (fixture.world.admin.pubkey(), fixture.target().model.address);
    let state = fixture.world.model(&model);
    instruction::return_slashes(admin, model, &state, &receipt(fixture))
}

pub fn close_series(fixture: &mut Fixture) -> Instruction {
    let model = fixture.target().model.address;
    let state = fixture.world.model(&model);
    let last_window = PAGE_WINDOWS - 1;
    fixture
        .world
        .warp_to(state.retention_end(last_window).unwrap());
    instruction::close_series(&fixture.world.series(&model, 0))
}
