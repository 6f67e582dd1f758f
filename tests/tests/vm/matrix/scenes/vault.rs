use driftshield_sdk::{Address, Instruction, PremiumPayee, instruction};
use driftshield_tests::{insurance::*, world::*};

use crate::matrix::town::Town;

pub fn create_vault(town: &mut Town) -> Instruction {
    instruction::create_vault(
        town.here().manager.address(),
        3,
        &town.world.collateral(),
        COOLDOWN,
        1_000,
        vault_terms(),
    )
}

pub fn update_vault(town: &mut Town) -> Instruction {
    let site = town.here();
    instruction::update_vault(site.manager.address(), site.vault, vault_terms())
}

pub fn list_model(town: &mut Town) -> Instruction {
    list(town, town.here().model.address)
}

pub fn list_model_first(town: &mut Town) -> Instruction {
    list(town, town.here().idle)
}

fn list(town: &Town, model: Address) -> Instruction {
    let site = town.here();
    let manager = site.manager.address();
    instruction::list_model(manager, site.vault, model, site.listing(CAPITAL))
}

pub fn deposit(town: &mut Town) -> Instruction {
    let (vault, lp) = (town.here().vault, &town.here().lp);
    let state = town.world.vault(&vault);
    instruction::deposit(lp.address(), vault, &state, lp.tokens, TOKEN, 0)
}

pub fn request_withdraw(town: &mut Town) -> Instruction {
    let (vault, lp) = (town.here().vault, town.here().lp.address());
    instruction::request_withdraw(lp, vault, &town.world.vault(&vault), TOKEN)
}

pub fn request_withdraw_first(town: &mut Town) -> Instruction {
    town.everywhere(|insured, _| {
        let lp = insured.provider();
        insured.cancel_request(&lp).unwrap();
    });
    request_withdraw(town)
}

pub fn cancel_withdraw(town: &mut Town) -> Instruction {
    let (vault, lp) = (town.here().vault, town.here().lp.address());
    instruction::cancel_withdraw(lp, vault, &town.world.vault(&vault))
}

pub fn withdraw(town: &mut Town) -> Instruction {
    town.world.pass(COOLDOWN);
    let (vault, lp) = (town.here().vault, town.here().lp.address());
    instruction::withdraw(lp, vault, &town.world.vault(&vault))
}

fn collect(town: &Town, payee: PremiumPayee) -> Instruction {
    let vault = town.here().vault;
    instruction::collect_manager_fees(vault, &town.world.vault(&vault), payee)
}

pub fn collect_manager_fees(town: &mut Town) -> Instruction {
    collect(town, PremiumPayee::Manager)
}

pub fn collect_manager_fees_treasury(town: &mut Town) -> Instruction {
    collect(town, PremiumPayee::Treasury)
}

pub fn close_exposure(town: &mut Town) -> Instruction {
    town.list_idle(0);
    let site = town.here();
    instruction::close_exposure(site.vault, &town.world.vault(&site.vault), site.idle)
}

pub fn close_vault(town: &mut Town) -> Instruction {
    let vault = town.here().idle_vault;
    let state = town.world.vault(&vault);
    town.world.warp_to(state.notice_end(town.world.now()));
    instruction::close_vault(vault, &state, false)
}
