//! Scenes of vault instructions.

use driftshield_sdk::{Address, DepositLimits, Instruction, PremiumPayee, instruction};
use driftshield_tests::{insurance::*, world::*};

use crate::matrix::fixture::Fixture;

pub fn create_vault(fixture: &mut Fixture) -> Instruction {
    instruction::create_vault(
        fixture.target().manager.address(),
        3,
        &fixture.world.collateral(),
        COOLDOWN,
        1_000,
        vault_terms(),
    )
}

pub fn update_vault(fixture: &mut Fixture) -> Instruction {
    let set = fixture.target();
    instruction::update_vault(set.manager.address(), set.vault, vault_terms())
}

pub fn list_model(fixture: &mut Fixture) -> Instruction {
    list(fixture, fixture.target().model.address)
}

pub fn list_model_first(fixture: &mut Fixture) -> Instruction {
    list(fixture, fixture.target().idle_model)
}

fn list(fixture: &Fixture, model: Address) -> Instruction {
    let set = fixture.target();
    let manager = set.manager.address();
    instruction::list_model(manager, set.vault, model, set.listing(CAPITAL))
}

pub fn deposit(fixture: &mut Fixture) -> Instruction {
    let (vault, lp) = (fixture.target().vault, &fixture.target().lp);
    let state = fixture.world.vault(&vault);
    instruction::deposit(
        lp.address(),
        vault,
        &state,
        lp.tokens,
        TOKEN,
        DepositLimits::as_read(&state, 0),
    )
}

pub fn request_withdraw(fixture: &mut Fixture) -> Instruction {
    let (vault, lp_address) = (fixture.target().vault, fixture.target().lp.address());
    instruction::request_withdraw(lp_address, vault, &fixture.world.vault(&vault), TOKEN)
}

/// Without an open request: cancels the requests of the fixture.
pub fn request_withdraw_first(fixture: &mut Fixture) -> Instruction {
    fixture.for_each_set(|insured, _| {
        let lp = insured.provider();
        insured.cancel_request(&lp).unwrap();
    });
    request_withdraw(fixture)
}

pub fn cancel_withdraw(fixture: &mut Fixture) -> Instruction {
    let (vault, lp_address) = (fixture.target().vault, fixture.target().lp.address());
    instruction::cancel_withdraw(lp_address, vault, &fixture.world.vault(&vault))
}

pub fn withdraw(fixture: &mut Fixture) -> Instruction {
    fixture.world.pass(COOLDOWN);
    let (vault, lp_address) = (fixture.target().vault, fixture.target().lp.address());
    instruction::withdraw(lp_address, vault, &fixture.world.vault(&vault))
}

fn collect(fixture: &mut Fixture, payee: PremiumPayee) -> Instruction {
    fixture.begin_policies();
    let vault = fixture.target().vault;
    instruction::collect_manager_fees(vault, &fixture.world.vault(&vault), payee)
}

pub fn collect_manager_fees(fixture: &mut Fixture) -> Instruction {
    collect(fixture, PremiumPayee::Manager)
}

pub fn collect_manager_fees_treasury(fixture: &mut Fixture) -> Instruction {
    collect(fixture, PremiumPayee::Treasury)
}

pub fn close_exposure(fixture: &mut Fixture) -> Instruction {
    fixture.list_idle_models(0);
    let set = fixture.target();
    instruction::close_exposure(set.vault, &fixture.world.vault(&set.vault), set.idle_model)
}

pub fn close_vault(fixture: &mut Fixture) -> Instruction {
    let vault = fixture.target().idle_vault;
    let state = fixture.world.vault(&vault);
    fixture.world.warp_to(state.notice_end(fixture.world.now()));
    let manager_signs = false;
    instruction::close_vault(vault, &state, manager_signs)
}
