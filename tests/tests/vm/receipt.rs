//! Receipts and series: submissions, thin windows, transitions, statistics of the model, the chain of
//! hashes, and closing.

mod chain;
mod closing;
mod series;
mod statistics;
mod submission;
mod thin;
mod transitions;

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{ChallengePayee, ReceiptState, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

const BOND: u64 = 10_000 * TOKEN;

/// A model with `oracles` oracles, in which counts of `share(value)` have the drift `value`.
fn share_model(world: &mut World, oracles: usize) -> TestModel {
    let spec = coarse_spec(world);
    world.model_with(spec, oracles, BOND)
}

/// A submission with fixed evidence.
fn submission(oracle: &Wallet, model: &TestModel, window: u64, counts: &[u32]) -> Instruction {
    instruction::submit_receipt(
        oracle.address(),
        model.address,
        window,
        counts.to_vec(),
        [1; 32],
        "https://evidence.example/1".into(),
    )
}

/// The arbiter rules that there is no data.
pub(crate) fn rule_no_data(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    let (state, receipt) = (
        world.model(&model.address),
        world.receipt(&model.address, window),
    );
    let rule = instruction::rule_receipt(model.address, &state, &receipt, None);
    let arbiter = world.arbiter.insecure_clone();
    world.send(rule, &[&arbiter])
}

/// The admin returns what a ruling slashed.
pub(crate) fn return_slashes(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    let (state, receipt) = (
        world.model(&model.address),
        world.receipt(&model.address, window),
    );
    let admin = world.admin.insecure_clone();
    let at = admin.pubkey();
    let give_back = instruction::return_slashes(at, model.address, &state, &receipt);
    world.send(give_back, &[&admin])
}

/// Collects a credit of the receipt of `window`.
pub(crate) fn collect_credit(
    world: &mut World,
    model: &TestModel,
    window: u64,
    payee: ChallengePayee,
) -> Outcome {
    let (state, receipt) = (
        world.model(&model.address),
        world.receipt(&model.address, window),
    );
    let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
    world.send(collect, &[])
}

pub(crate) fn finalize(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    world.finalize(model, window)
}

fn window_end(world: &World, model: &TestModel, window: u64) -> i64 {
    world
        .model(&model.address)
        .window_end(window)
        .expect("in range")
}

fn state(world: &World, model: &TestModel, window: u64) -> ReceiptState {
    world.receipt_state(&model.address, window)
}
