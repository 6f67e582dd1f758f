//! Disputes: challenges, rulings, slashes and rewards, and the collection of credits.

mod appeal;
mod challenge;
mod collection;
mod lapse;
mod missing;
mod random;
mod ruling;
mod slashing;

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{
    ChallengePayee, Event, ReceiptState, address, events::ReceiptRuled, instruction,
};
use driftshield_tests::world::*;

const BOND: u64 = 10_000 * TOKEN;

const SLASH: u64 = 500 * TOKEN;

const CHALLENGE_BOND: u64 = 100 * TOKEN;

/// A new model, whose oracles have submitted `values` for window 0.
fn submitted(world: &mut World, values: &[u64], bond: u64) -> TestModel {
    let spec = coarse_spec(world);
    let model = world.model_with(spec, values.len(), bond);
    submit_values(world, &model, 0, values);
    model
}

/// The model's first oracles submit one of `values` each.
fn submit_values(world: &mut World, model: &TestModel, window: u64, values: &[u64]) {
    world.warp_to_end(model, window);
    for (oracle, &value) in values.iter().enumerate() {
        world
            .submit(model, oracle, window, &share(value))
            .expect("submit_receipt");
    }
}

/// `N` models like that of [`submitted`], measured at the same time.
fn submitted_at_once<const N: usize>(
    world: &mut World,
    values: &[u64],
    bond: u64,
) -> [TestModel; N] {
    let models = [(); N].map(|()| {
        let spec = coarse_spec(world);
        world.model_with(spec, values.len(), bond)
    });
    for model in &models {
        submit_values(world, model, 0, values);
    }
    models
}

/// Like [`submitted`], with the median challenged by asserting 500,000, or 100 if that is the median.
/// Also returns the challenger.
fn challenged(world: &mut World, values: &[u64], bond: u64) -> (TestModel, Wallet) {
    let model = submitted(world, values, bond);
    let challenger = world.wallet(CHALLENGE_BOND);
    let proposed = world.receipt(&model.address, 0).value;
    let asserted = if proposed < 250_000 { 500_000 } else { 100 };
    world
        .challenge(&model, 0, &challenger, &share(asserted))
        .expect("challenge_receipt");
    (model, challenger)
}

/// The collection of a credit of window 0.
fn collect_instruction(world: &World, model: &TestModel, payee: ChallengePayee) -> Instruction {
    let receipt = world.receipt(&model.address, 0);
    instruction::collect_challenge(model.address, &world.model(&model.address), &receipt, payee)
}

fn collect(world: &mut World, model: &TestModel, payee: ChallengePayee) -> Outcome {
    let collect = collect_instruction(world, model, payee);
    world.send(collect, &[])
}

/// A ruling of `value` on window 0.
fn rule_instruction(world: &World, model: &TestModel, value: u64) -> Instruction {
    instruction::rule_receipt(
        model.address,
        &world.model(&model.address),
        &world.receipt(&model.address, 0),
        Some(share(value).to_vec()),
    )
}

/// The event of a ruling.
fn ruled(sent: &Sent) -> &ReceiptRuled {
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    event
}

/// The bonds in the model's seats, by oracle.
fn bonded(world: &World, model: &TestModel) -> Vec<u64> {
    let seats = model.oracles.iter();
    seats
        .map(|oracle| world.seat(&model.address, &oracle.address()).bonded)
        .collect()
}

/// The credits of the challenger and the treasury on the receipt of window 0.
fn credits(world: &World, model: &TestModel) -> (u64, u64) {
    if !world.exists(&address::receipt(&model.address, 0)) {
        return (0, 0); // closed, because it owes nothing
    }
    let receipt = world.receipt(&model.address, 0);
    (receipt.challenger_credit, receipt.treasury_credit)
}

/// The state of the receipt of window 0.
fn state(world: &World, model: &TestModel) -> ReceiptState {
    world.receipt_state(&model.address, 0)
}
