//! Bonds of oracles: bonding, unbonding, withdrawals, seats, and the security of a model.

mod bonding;
mod closing;
mod leaving;
mod relisting;
mod replacing;
mod security;
mod unbonding;
mod withdrawal;

use driftshield_sdk::instruction;
use driftshield_tests::world::*;

/// The bond of each oracle of the default model.
const BOND: u64 = 10_000 * TOKEN;

/// Requests to unbond `amount` of an oracle's bond.
pub(crate) fn unbond(world: &mut World, model: &TestModel, oracle: usize, amount: u64) -> Outcome {
    let oracle = &model.oracles[oracle];
    let request = instruction::request_unbond(oracle.address(), model.address, amount);
    world.send(request, &[&oracle.key])
}

/// Starts the leaving of an oracle's seat.
pub(crate) fn start_leaving(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let oracle = &model.oracles[oracle];
    let leave = instruction::leave_seat(oracle.address(), model.address);
    world.send(leave, &[&oracle.key])
}

/// Replaces an oracle by `successor`.
pub(crate) fn replace(
    world: &mut World,
    model: &TestModel,
    oracle: usize,
    successor: &Wallet,
) -> Outcome {
    let (owner, oracle) = (&model.owner, model.oracles[oracle].address());
    let (at, successor) = (model.address, successor.address());
    let state = world.model(&at);
    let replace = instruction::replace_oracle(owner.address(), at, &state, oracle, successor);
    world.send(replace, &[&owner.key])
}

/// Withdraws an oracle's bond. Nobody signs but the fee payer.
pub(crate) fn withdraw(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let oracle = model.oracles[oracle].address();
    let state = world.model(&model.address);
    world.send(
        instruction::withdraw_bond(oracle, model.address, &state),
        &[],
    )
}

/// Unbonds and withdraws all of an oracle's bond.
pub(crate) fn leave(world: &mut World, model: &TestModel, oracle: usize) {
    let bonded = world
        .seat(&model.address, &model.oracles[oracle].address())
        .bonded;
    unbond(world, model, oracle, bonded).unwrap();
    world.pass(params().unbond_secs);
    withdraw(world, model, oracle).unwrap();
}

pub(crate) fn close(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let oracle = model.oracles[oracle].address();
    world.send(instruction::close_seat(oracle, model.address), &[])
}
