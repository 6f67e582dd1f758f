//! Addresses that were funded before the rent changed. `attacks/prefunding.rs` does so for every account.

use driftshield_sdk::{Address, address};
use driftshield_tests::world::*;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{POSITION_BYTES, rent_at, stakeholders_at};
use crate::stakeholders::Stakeholders;

/// A stranger funds the address of a position at one rent, and its owner bets at another. Returns the
/// owner and the position.
fn funded_position(all: &mut Stakeholders, before: u64, after: u64) -> (Wallet, Address) {
    let market = all.market;
    let world = &mut all.insured.world;
    let bettor = world.wallet(TOKEN);
    let position = address::position(&market, &bettor.address());
    let stranger = world.payer.pubkey();
    let fund = transfer(&stranger, &position, rent_at(before, POSITION_BYTES));
    world.send(fund, &[]).unwrap();
    world.set_rent(after);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    (bettor, position)
}

/// Settles the market and claims the position. Returns the lamports of its owner.
fn lamports_after_claim(all: &mut Stakeholders, owner: &Wallet) -> u64 {
    all.measure(200_000);
    let market = all.market;
    let world = &mut all.insured.world;
    world.settle(&market).unwrap();
    world.claim(&market, &owner.address()).unwrap();
    world.lamports(&owner.address())
}

#[test]
fn an_address_funded_before_the_rent_rose_costs_what_is_missing() {
    // Given the address of a position, which holds all of its rent before the rent rises
    let mut all = stakeholders_at(696);
    let (owner, position) = funded_position(&mut all, 696, 6_960);

    // When its owner bets, then it pays the difference
    let [old, new] = [696, 6_960].map(|rate| rent_at(rate, POSITION_BYTES));
    let world = &all.insured.world;
    assert_eq!(world.lamports(&position), new);
    assert_eq!(
        world.lamports(&owner.address()),
        WALLET_LAMPORTS - (new - old)
    );

    // And gets back everything
    let lamports = lamports_after_claim(&mut all, &owner);
    assert_eq!(lamports, WALLET_LAMPORTS + old);
}

#[test]
fn an_address_funded_before_the_rent_fell_costs_nothing() {
    // Given the address of a position, which holds all of its rent before the rent falls
    let mut all = stakeholders_at(6_960);
    let (owner, position) = funded_position(&mut all, 6_960, 696);

    // When its owner bets, then it pays nothing, and the position keeps what it holds
    let old = rent_at(6_960, POSITION_BYTES);
    let world = &all.insured.world;
    assert_eq!(world.lamports(&position), old);
    assert_eq!(world.lamports(&owner.address()), WALLET_LAMPORTS);

    // And gets back everything
    let lamports = lamports_after_claim(&mut all, &owner);
    assert_eq!(lamports, WALLET_LAMPORTS + old);
}
