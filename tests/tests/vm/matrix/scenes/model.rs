//! Scenes of the instructions on models, their oracles and bonds.

use std::mem::offset_of;

use driftshield_sdk::{Address, Instruction, Model, instruction};
use driftshield_tests::{insurance::CALM_DRIFT, world::*};

use crate::matrix::fixture::{FIRST_WINDOW, Fixture};

pub fn register_model(fixture: &mut Fixture) -> Instruction {
    let (world, owner) = (&fixture.world, &fixture.target().model.owner);
    instruction::register_model(
        owner.address(),
        3,
        &world.collateral(),
        share_spec(world),
        model_terms(&fixture.target().model.oracles),
    )
}

pub fn update_model(fixture: &mut Fixture) -> Instruction {
    let set = fixture.target();
    let terms = model_terms(&set.model.oracles);
    let state = fixture.world.model(&set.idle_model);
    instruction::update_model(set.model.owner.address(), set.idle_model, &state, terms)
}

pub fn retire_model(fixture: &mut Fixture) -> Instruction {
    let model = &fixture.target().model;
    instruction::retire_model(model.owner.address(), model.address)
}

pub fn bond(fixture: &mut Fixture) -> Instruction {
    bond_on(fixture, fixture.target().model.address)
}

pub fn bond_first(fixture: &mut Fixture) -> Instruction {
    bond_on(fixture, fixture.target().idle_model)
}

fn bond_on(fixture: &Fixture, model: Address) -> Instruction {
    let oracle = &fixture.target().model.oracles[0];
    let state = fixture.world.model(&model);
    instruction::bond(oracle.address(), model, &state, oracle.tokens, TOKEN)
}

pub fn request_unbond(fixture: &mut Fixture) -> Instruction {
    let model = &fixture.target().model;
    instruction::request_unbond(model.oracles[0].address(), model.address, TOKEN)
}

/// The first oracle of each set requests `amount` of its bond, or all of it if `None`, and waits until
/// it can be withdrawn.
fn unbond(fixture: &mut Fixture, amount: Option<u64>) {
    fixture.for_each_set(|insured, set| {
        let (oracle, model) = (&set.model.oracles[0], set.model.address);
        let seat = insured.world.seat(&model, &oracle.address());
        let amount = amount.unwrap_or(seat.bonded);
        let request = instruction::request_unbond(oracle.address(), model, amount);
        insured.world.send(request, &[&oracle.key]).unwrap();
    });
    let model = fixture.world.model(&fixture.target().model.address);
    fixture.world.pass(model.unbond_secs);
}

pub fn withdraw_bond(fixture: &mut Fixture) -> Instruction {
    unbond(fixture, Some(TOKEN));
    let model = &fixture.target().model;
    let state = fixture.world.model(&model.address);
    instruction::withdraw_bond(model.oracles[0].address(), model.address, &state)
}

pub fn close_seat(fixture: &mut Fixture) -> Instruction {
    unbond(fixture, None);
    fixture.for_each_set(|insured, set| {
        let (oracle, model) = (set.model.oracles[0].address(), set.model.address);
        let state = insured.world.model(&model);
        let withdraw = instruction::withdraw_bond(oracle, model, &state);
        insured.world.send(withdraw, &[]).unwrap();
        insured.world.collect_reward(&set.model, 0).unwrap();
    });
    let model = &fixture.target().model;
    instruction::close_seat(model.oracles[0].address(), model.address)
}

pub fn leave_seat(fixture: &mut Fixture) -> Instruction {
    let model = &fixture.target().model;
    instruction::leave_seat(model.oracles[0].address(), model.address)
}

/// The first oracle of each set was silent in the first window of the market.
pub fn sync_seat(fixture: &mut Fixture) -> Instruction {
    fixture.measure_through(FIRST_WINDOW - 1, CALM_DRIFT);
    fixture.for_each_set(|insured, set| {
        insured.world.warp_to_end(&set.model, FIRST_WINDOW);
        for oracle in 1..3 {
            let counts = share(CALM_DRIFT);
            let outcome = insured
                .world
                .submit(&set.model, oracle, FIRST_WINDOW, &counts);
            outcome.unwrap();
        }
    });
    fixture
        .world
        .pass(params().submit_secs + params().challenge_secs);
    fixture.for_each_set(|insured, set| {
        insured.world.finalize(&set.model, FIRST_WINDOW).unwrap();
    });
    let model = &fixture.target().model;
    instruction::sync_seat(model.oracles[0].address(), model.address)
}

/// The models have three oracles, of whom none could be replaced: their quorum is set to three. The
/// replaced oracle has a reward.
pub fn replace_oracle(fixture: &mut Fixture) -> Instruction {
    const DISCRIMINATOR_BYTES: usize = 8;
    unbond(fixture, None);
    fixture.for_each_set(|insured, set| {
        let (svm, model) = (&mut insured.world.svm, set.model.address);
        let mut account = svm.get_account(&model).unwrap();
        account.data[DISCRIMINATOR_BYTES + offset_of!(Model, quorum)] = 3;
        svm.set_account(model, account).unwrap();
    });
    fixture.world.pass(params().replace_secs);
    let model = &fixture.target().model;
    let (owner, oracle) = (model.owner.address(), model.oracles[0].address());
    let successor = fixture.stranger.address();
    let state = fixture.world.model(&model.address);
    instruction::replace_oracle(owner, model.address, &state, oracle, successor)
}

pub fn fund_oracles(fixture: &mut Fixture) -> Instruction {
    let (model, funder) = (fixture.target().model.address, &fixture.target().winner);
    let state = fixture.world.model(&model);
    let until = fixture.world.now() + DAY;
    instruction::fund_oracles(funder.address(), model, &state, funder.tokens, TOKEN, until)
}

/// The rent of the fixture's bets has paid for its windows.
pub fn collect_reward(fixture: &mut Fixture) -> Instruction {
    let model = fixture.target().model.address;
    instruction::collect_reward(model, &fixture.world.model(&model), 0)
}

/// The streams of all idle models are over.
pub fn collect_reward_treasury(fixture: &mut Fixture) -> Instruction {
    fixture.for_each_set(|insured, set| {
        let state = insured.world.model(&set.idle_model);
        let (funder, until) = (&set.winner, insured.world.now() + 1);
        let (at, from) = (funder.address(), funder.tokens);
        let fund = instruction::fund_oracles(at, set.idle_model, &state, from, TOKEN, until);
        insured.world.send(fund, &[&funder.key]).unwrap();
    });
    fixture.world.pass(3 * DAY);
    let model = fixture.target().idle_model;
    instruction::collect_pot(model, &fixture.world.model(&model))
}
