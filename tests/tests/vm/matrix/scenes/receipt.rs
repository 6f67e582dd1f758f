use driftshield_sdk::{ChallengePayee, Instruction, Receipt, address, instruction};
use driftshield_tests::{insurance::CALM_DRIFT, world::*};

use crate::matrix::town::Town;

/// The window that a scene is about: the next one to measure.
const WINDOW: u64 = driftshield_tests::insurance::HISTORY;

fn receipt(town: &Town) -> Receipt {
    town.world.receipt(&town.here().model.address, WINDOW)
}

pub fn submit_receipt_first(town: &mut Town) -> Instruction {
    let model = town.here().model.clone();
    town.world.warp_to_end(&model, WINDOW);
    instruction::submit_receipt(
        model.oracles[0].address(),
        model.address,
        WINDOW,
        share(CALM_DRIFT).to_vec(),
        [1; 32],
        "https://evidence.example/1".into(),
    )
}

pub fn submit_receipt(town: &mut Town) -> Instruction {
    let submit = submit_receipt_first(town);
    town.everywhere(|insured, site| {
        let counts = share(CALM_DRIFT);
        insured
            .world
            .submit(&site.model, 1, WINDOW, &counts)
            .unwrap();
    });
    town.window = WINDOW + 1;
    submit
}

pub fn challenge_receipt(town: &mut Town) -> Instruction {
    town.submit(CALM_DRIFT);
    let (model, challenger) = (town.here().model.address, &town.here().winner);
    let state = town.world.model(&model);
    instruction::challenge_receipt(
        challenger.address(),
        model,
        &state,
        WINDOW,
        challenger.tokens,
    )
}

/// Every model's next receipt is challenged by the winner.
fn challenge(town: &mut Town) {
    town.submit(CALM_DRIFT);
    town.everywhere(|insured, site| {
        insured
            .world
            .challenge(&site.model, WINDOW, &site.winner)
            .unwrap();
    });
}

pub fn rule_receipt(town: &mut Town) -> Instruction {
    challenge(town);
    let model = town.here().model.address;
    let state = town.world.model(&model);
    instruction::rule_receipt(
        model,
        &state,
        &receipt(town),
        share(2 * CALM_DRIFT).to_vec(),
    )
}

pub fn finalize_receipt(town: &mut Town) -> Instruction {
    town.submit(CALM_DRIFT);
    town.pass_challenge();
    instruction::finalize_receipt(town.here().model.address, WINDOW)
}

/// The challengers were right at every model.
fn rule(town: &mut Town) {
    challenge(town);
    town.everywhere(|insured, site| {
        let counts = share(10 * CALM_DRIFT);
        insured.world.rule(&site.model, WINDOW, &counts).unwrap();
    });
}

fn collect(town: &mut Town, payee: ChallengePayee) -> Instruction {
    rule(town);
    let model = town.here().model.address;
    let state = town.world.model(&model);
    instruction::collect_challenge(model, &state, &receipt(town), payee)
}

pub fn collect_challenge(town: &mut Town) -> Instruction {
    collect(town, ChallengePayee::Challenger)
}

pub fn collect_challenge_treasury(town: &mut Town) -> Instruction {
    collect(town, ChallengePayee::Treasury)
}

pub fn close_receipt(town: &mut Town) -> Instruction {
    let model = town.here().model.address;
    let state = town.world.model(&model);
    let window = WINDOW - 1;
    town.world.warp_to(state.retention_end(window).unwrap());
    assert!(town.world.exists(&address::receipt(&model, window)));
    instruction::close_receipt(&town.world.receipt(&model, window))
}
