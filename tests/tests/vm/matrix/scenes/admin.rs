//! Scenes of the admin's and the guardian's instructions.

use driftshield_sdk::{Address, Instruction, TokenProgram, address, instruction, pause};
use driftshield_tests::world::*;
use solana_account::Account;
use solana_signer::Signer;

use crate::matrix::fixture::Fixture;

pub fn initialize(fixture: &mut Fixture) -> Instruction {
    let (world, config) = (&mut fixture.world, address::config());
    world.svm.set_account(config, Account::default()).unwrap();
    let [admin, guardian, arbiter] =
        [&world.admin, &world.guardian, &world.arbiter].map(|key| key.pubkey());
    instruction::initialize(admin, admin, guardian, arbiter, params())
}

pub fn update_config(fixture: &mut Fixture) -> Instruction {
    let world = &fixture.world;
    instruction::update_config(world.admin.pubkey(), world.guardian.pubkey(), params())
}

pub fn propose_admin(fixture: &mut Fixture) -> Instruction {
    instruction::propose_admin(
        fixture.world.admin.pubkey(),
        fixture.world.guardian.pubkey(),
    )
}

pub fn accept_admin(fixture: &mut Fixture) -> Instruction {
    let propose = propose_admin(fixture);
    fixture.send(propose).unwrap();
    instruction::accept_admin(fixture.world.guardian.pubkey())
}

pub fn propose_arbiter(fixture: &mut Fixture) -> Instruction {
    instruction::propose_arbiter(
        fixture.world.arbiter.pubkey(),
        fixture.world.guardian.pubkey(),
    )
}

pub fn accept_arbiter(fixture: &mut Fixture) -> Instruction {
    let propose = propose_arbiter(fixture);
    fixture.send(propose).unwrap();
    instruction::accept_arbiter(fixture.world.guardian.pubkey())
}

pub fn set_pause(fixture: &mut Fixture) -> Instruction {
    instruction::set_pause(fixture.world.guardian.pubkey(), pause::BETS)
}

pub fn register_collateral(fixture: &mut Fixture) -> Instruction {
    let (payer, mint) = (fixture.world.payer.pubkey(), new_mint());
    set_mint(&mut fixture.world.svm, &mint, &payer, None);
    instruction::register_collateral(
        fixture.world.admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        false,
    )
}

/// A mint without collateral.
fn new_mint() -> Address {
    key("a third mint").pubkey()
}

pub fn update_collateral(fixture: &mut Fixture) -> Instruction {
    let (admin, mint) = (fixture.world.admin.pubkey(), fixture.target().mint);
    instruction::update_collateral(admin, mint, terms(), false)
}

pub fn withdraw_treasury(fixture: &mut Fixture) -> Instruction {
    fixture.for_each_set(|insured, _| {
        let treasury = insured.world.treasury();
        insured.world.mint_to(&treasury, TOKEN);
    });
    let (admin, state) = (fixture.world.admin.pubkey(), fixture.world.collateral());
    let (payer, program) = (fixture.world.payer.pubkey(), TokenProgram::SplToken);
    let create = instruction::create_token_account(&payer, &admin, &state.mint, program);
    let destination = create.accounts[1].pubkey;
    fixture.world.send(create, &[]).unwrap();
    instruction::withdraw_treasury(admin, &state, destination, TOKEN)
}
