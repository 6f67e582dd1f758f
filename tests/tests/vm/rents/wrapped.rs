//! Wrapped SOL as collateral: the lamports of a token account are its tokens and its rent.

use driftshield_sdk::instruction;
use driftshield_tests::world::*;
use solana_program_pack::Pack;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use spl_token_interface::{
    native_mint,
    state::{Account as TokenAccount, Mint},
};

use super::{assert_below_rent, rent_at};

/// A world whose collateral is wrapped SOL, at a rent of `rate`.
fn world_of_sol(rate: u64) -> World {
    let mut world = World::bare();
    world.set_rent(rate);
    world.mint = native_mint::ID;
    let mint = Mint {
        decimals: native_mint::DECIMALS,
        is_initialized: true,
        ..Mint::default()
    };
    let mut data = vec![0; Mint::LEN];
    mint.pack_into_slice(&mut data);
    let account = solana_account::Account {
        lamports: 1_000_000_000,
        data,
        owner: spl_token_interface::ID,
        ..Default::default()
    };
    world.svm.set_account(native_mint::ID, account).unwrap();
    world.set_up(params(), terms())
}

#[test]
fn the_last_payouts_of_wrapped_sol_wait_for_lamports_after_the_rent_rose() {
    // Given a settled market in wrapped SOL, whose vault was created before the rent rose tenfold
    let mut world = world_of_sol(696);
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let [yes, no] = [(); 2].map(|()| world.wallet(100 * TOKEN));
    world.bet(&market, &yes, 1, 40 * TOKEN).unwrap();
    world.bet(&market, &no, 0, 60 * TOKEN).unwrap();
    world.set_rent(6_960);
    world.finalize_with(&model, 1, &DRIFTED);
    world.settle(&market).unwrap();

    // When the winner claims, then its payout waits, because it would leave the vault with less than the
    // new rent
    world.claim(&market, &no.address()).unwrap();
    assert_below_rent(world.claim(&market, &yes.address()));

    // Until anyone adds the difference, which the creator gets when the market is closed
    let [old, new] = [696, 6_960].map(|rate| rent_at(rate, TokenAccount::LEN));
    let vault = world.market(&market).vault;
    let add = transfer(&world.payer.pubkey(), &vault, new - old);
    world.send(add, &[]).unwrap();
    world.claim(&market, &yes.address()).unwrap();
    world.collect_fees(&market);
    let state = world.market(&market);
    world
        .send(instruction::close_market(market, &state), &[])
        .unwrap();
    assert!(!world.exists(&state.vault));
    assert_eq!(
        world.lamports(&creator.address()),
        WALLET_LAMPORTS + (new - old)
    );
}
