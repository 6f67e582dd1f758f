use driftshield_sdk::{Address, Instruction, instruction};
use driftshield_tests::world::*;

use crate::matrix::town::Town;

pub fn register_model(town: &mut Town) -> Instruction {
    let (world, owner) = (&town.world, &town.here().model.owner);
    instruction::register_model(
        owner.address(),
        3,
        &world.collateral(),
        share_spec(world),
        model_terms(&town.here().model.oracles),
    )
}

pub fn update_model(town: &mut Town) -> Instruction {
    let site = town.here();
    let terms = model_terms(&site.model.oracles);
    instruction::update_model(site.model.owner.address(), site.idle, terms)
}

pub fn retire_model(town: &mut Town) -> Instruction {
    let model = &town.here().model;
    instruction::retire_model(model.owner.address(), model.address)
}

pub fn bond(town: &mut Town) -> Instruction {
    bond_on(town, town.here().model.address)
}

pub fn bond_first(town: &mut Town) -> Instruction {
    bond_on(town, town.here().idle)
}

fn bond_on(town: &Town, model: Address) -> Instruction {
    let oracle = &town.here().model.oracles[0];
    let state = town.world.model(&model);
    instruction::bond(oracle.address(), model, &state, oracle.tokens, TOKEN)
}

pub fn request_unbond(town: &mut Town) -> Instruction {
    let model = &town.here().model;
    instruction::request_unbond(model.oracles[0].address(), model.address, TOKEN)
}

/// Every model's first oracle takes `amount` of its bond, or all of it, back.
fn unbond(town: &mut Town, amount: Option<u64>) {
    town.everywhere(|insured, site| {
        let (oracle, model) = (&site.model.oracles[0], site.model.address);
        let seat = insured.world.seat(&model, &oracle.address());
        let amount = amount.unwrap_or(seat.bonded);
        let request = instruction::request_unbond(oracle.address(), model, amount);
        insured.world.send(request, &[&oracle.key]).unwrap();
    });
    let model = town.world.model(&town.here().model.address);
    town.world.pass(model.unbond_secs);
}

pub fn withdraw_bond(town: &mut Town) -> Instruction {
    unbond(town, Some(TOKEN));
    let model = &town.here().model;
    let state = town.world.model(&model.address);
    instruction::withdraw_bond(model.oracles[0].address(), model.address, &state)
}

pub fn close_seat(town: &mut Town) -> Instruction {
    unbond(town, None);
    town.everywhere(|insured, site| {
        let (oracle, model) = (site.model.oracles[0].address(), site.model.address);
        let state = insured.world.model(&model);
        let withdraw = instruction::withdraw_bond(oracle, model, &state);
        insured.world.send(withdraw, &[]).unwrap();
    });
    let model = &town.here().model;
    instruction::close_seat(model.oracles[0].address(), model.address)
}
