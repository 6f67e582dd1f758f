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
use driftshield_sdk::{ReceiptState, instruction};
use driftshield_tests::world::*;

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
