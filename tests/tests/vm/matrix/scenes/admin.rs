use driftshield_sdk::{Address, Instruction, TokenProgram, address, instruction, pause};
use driftshield_tests::world::*;
use solana_account::Account;
use solana_signer::Signer;

use crate::matrix::town::Town;

pub fn initialize(town: &mut Town) -> Instruction {
    let (world, config) = (&mut town.world, address::config());
    world.svm.set_account(config, Account::default()).unwrap();
    let [admin, guardian, arbiter] =
        [&world.admin, &world.guardian, &world.arbiter].map(|key| key.pubkey());
    instruction::initialize(admin, admin, guardian, arbiter, params())
}

pub fn update_config(town: &mut Town) -> Instruction {
    let world = &town.world;
    let [admin, guardian, arbiter] =
        [&world.admin, &world.guardian, &world.arbiter].map(|key| key.pubkey());
    instruction::update_config(admin, guardian, arbiter, params())
}

pub fn propose_admin(town: &mut Town) -> Instruction {
    instruction::propose_admin(town.world.admin.pubkey(), town.world.guardian.pubkey())
}

pub fn accept_admin(town: &mut Town) -> Instruction {
    let propose = propose_admin(town);
    town.send(propose).unwrap();
    instruction::accept_admin(town.world.guardian.pubkey())
}

pub fn set_pause(town: &mut Town) -> Instruction {
    instruction::set_pause(town.world.guardian.pubkey(), pause::BETS)
}

pub fn register_collateral(town: &mut Town) -> Instruction {
    let (payer, mint) = (town.world.payer.pubkey(), new_mint());
    set_mint(&mut town.world.svm, &mint, &payer, None);
    instruction::register_collateral(
        town.world.admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        false,
    )
}

fn new_mint() -> Address {
    key("a third mint").pubkey()
}

pub fn update_collateral(town: &mut Town) -> Instruction {
    let (admin, mint) = (town.world.admin.pubkey(), town.here().mint);
    instruction::update_collateral(admin, mint, terms(), false)
}

pub fn withdraw_treasury(town: &mut Town) -> Instruction {
    town.everywhere(|insured, _| {
        let treasury = insured.world.treasury();
        insured.world.mint_to(&treasury, TOKEN);
    });
    let (admin, state) = (town.world.admin.pubkey(), town.world.collateral());
    let (payer, program) = (town.world.payer.pubkey(), TokenProgram::SplToken);
    let create = instruction::create_token_account(&payer, &admin, &state.mint, program);
    let destination = create.accounts[1].pubkey;
    town.world.send(create, &[]).unwrap();
    instruction::withdraw_treasury(admin, &state, destination, TOKEN)
}
