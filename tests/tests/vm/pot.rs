//! The oracles' pay: security rent, funding, rewards, and what the treasury gets.

mod funding;
mod remainder;
mod rewards;
mod schedule;

use driftshield_sdk::{Model, instruction};
use driftshield_tests::world::*;

/// A model with three oracles and windows of a day, which are also the epochs of its pot.
pub(crate) fn paid_model(per_window: u64, windows: i64) -> (World, TestModel) {
    let mut world = World::new();
    let model = world.default_model();
    fund_windows(&mut world, &model, per_window, windows);
    (world, model)
}

/// Before genesis, pays `per_window` base units for each of the first `windows` windows.
fn fund_windows(world: &mut World, model: &TestModel, per_window: u64, windows: i64) {
    let amount = per_window * windows as u64;
    let funder = world.wallet(amount);
    let state = world.model(&model.address);
    let until = state.genesis + windows * state.window_secs;
    let secs = until - world.now();
    world.fund(model, &funder, amount, secs).unwrap();
    assert_eq!(state.pot.epoch_windows, 1);
    assert_eq!(world.model(&model.address).pot.next_rate, per_window);
}

/// The pot of a model, and everything that it can still pay: what waits, what is unearned, and rewards.
pub(crate) fn total_pay(state: &Model) -> u64 {
    state.pot.waiting + state.pot.unearned + state.rewards.iter().sum::<u64>()
}

/// Collects what is left of a pot for the treasury.
pub(crate) fn collect_pot(world: &mut World, model: &TestModel) -> Outcome {
    let state = world.model(&model.address);
    let collect = instruction::collect_pot(model.address, &state);
    world.send(collect, &[])
}

/// Submits `counts` for some of the oracles, and lets the receipt settle.
fn settle_with(world: &mut World, model: &TestModel, window: u64, counts: &[(usize, &[u32])]) {
    world.warp_to_end(model, window);
    for (oracle, counts) in counts {
        world.submit(model, *oracle, window, counts).unwrap();
    }
    let receipt = world.receipt(&model.address, window);
    if receipt.state == driftshield_sdk::ReceiptState::Collecting {
        world.pass(params().submit_secs);
    }
    world.pass(params().challenge_secs);
    world.finalize(model, window).unwrap();
}
