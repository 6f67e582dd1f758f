//! Withdrawals from treasuries.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{DriftShieldError, Event, ID, address, events, instruction};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{admin, stranger};
use crate::market::market_with_bet;

/// Mints tokens into the treasury, in place of collected fees.
fn fill_treasury(world: &mut World, amount: u64) {
    let treasury = world.treasury();
    world.mint_to(&treasury, amount);
}

/// A withdrawal of `amount` from the treasury to the payee's account.
fn withdrawal(world: &World, authority: &Keypair, payee: &Wallet, amount: u64) -> Instruction {
    let collateral = world.collateral();
    instruction::withdraw_treasury(authority.pubkey(), &collateral, payee.tokens, amount)
}

#[test]
fn only_the_admin_can_withdraw_from_a_treasury() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let guardian = world.guardian.insecure_clone();
    let thief = world.wallet(0);
    // When the guardian withdraws from it
    let withdraw = withdrawal(&world, &guardian, &thief, TOKEN);
    let outcome = world.send(withdraw, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn a_withdrawal_of_zero_is_refused() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws zero
    let withdraw = withdrawal(&world, &admin, &payee, 0);
    let outcome = world.send(withdraw, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn only_the_treasury_can_be_withdrawn_from() {
    // Given tokens in a market's vault and in a model's bond vault, and the treasury of another
    // collateral
    let mut world = World::new();
    let model = world.default_model();
    let (market, bettor) = market_with_bet(&mut world, &model, TOKEN);
    let other = world.second_collateral();
    let others = [
        world.market(&market).vault,
        world.model(&model.address).bond_vault,
        address::treasury(&address::collateral(&other)),
    ];
    let admin = admin(&world);
    for account in others {
        // When the admin passes one of these accounts in place of the treasury
        let withdraw = withdrawal(&world, &admin, &bettor, TOKEN);
        let outcome = world.send(swapped(withdraw, &world.treasury(), &account), &[&admin]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongTreasury);
    }
}

#[test]
fn a_treasury_pays_in_its_own_mint_only() {
    // Given a treasury with tokens, and another mint
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let other = world.second_collateral();
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin passes the other mint
    let withdraw = withdrawal(&world, &admin, &payee, 1);
    let outcome = world.send(swapped(withdraw, &world.mint, &other), &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn a_treasury_cannot_pay_more_than_its_balance() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws one base unit more than its balance
    let withdraw = withdrawal(&world, &admin, &payee, TOKEN + 1);
    let outcome = world.send(withdraw, &[&admin]);
    // Then the token program refuses it
    assert_eq!(code(outcome), 1, "insufficient funds");
}

#[test]
fn the_admin_can_withdraw_from_a_treasury() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, 3 * TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws a part
    let withdraw = withdrawal(&world, &admin, &payee, 2 * TOKEN);
    let sent = world.send(withdraw, &[&admin]).unwrap();
    // Then the destination receives that part, and the rest stays
    assert_eq!(
        *sent.event(),
        Event::TreasuryWithdrawn(events::TreasuryWithdrawn {
            collateral: address::collateral(&world.mint),
            collateral_seq: 2,
            mint: world.mint,
            destination: payee.tokens,
            amount: 2 * TOKEN,
            remaining: TOKEN,
        })
    );
    assert_eq!(world.tokens(&payee.tokens), 2 * TOKEN);
    assert_eq!(world.tokens(&world.treasury()), TOKEN);
}

#[test]
fn a_config_of_another_owner_is_refused() {
    // Given a copy of the config that another program owns, with a stranger as its admin
    let mut world = World::new();
    let stranger = stranger(&mut world);
    fill_treasury(&mut world, TOKEN);
    let mut forged = world.svm.get_account(&address::config()).unwrap();
    assert_eq!(forged.owner, ID);
    forged.owner = Address::default();
    forged.data[8..40].copy_from_slice(stranger.pubkey().as_ref());
    let place = key("forged config").pubkey();
    world.svm.set_account(place, forged).unwrap();
    let payee = world.wallet(0);
    // When the stranger passes it to withdraw from the treasury
    let withdraw = withdrawal(&world, &stranger, &payee, TOKEN);
    let outcome = world.send(swapped(withdraw, &address::config(), &place), &[&stranger]);
    // Then it is refused
    assert!(outcome.is_err());
    assert_eq!(world.tokens(&world.treasury()), TOKEN);
}
