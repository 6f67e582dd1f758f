//! Claims of positions.

use anchor_lang::Address;
use driftshield_sdk::{Aggregate, DriftShieldError, TokenProgram, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{YES_PAID, assert_gone, scene, scene_with};

#[test]
fn anyone_can_claim_for_an_owner() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let lamports = s.world.lamports(&s.yes.address());
    let position = address::position(&s.market, &s.yes.address());
    let rent = s.world.lamports(&position);

    // When somebody claims for an owner who does not sign
    let event = s.claim(s.yes.address());

    // Then the owner's associated token account is paid, and the rent goes to the owner
    assert_eq!(event.paid, YES_PAID);
    assert_eq!(
        (event.owner, event.destination),
        (s.yes.address(), s.yes.tokens)
    );
    assert_eq!(event.positions, 1);
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN + YES_PAID);
    assert_eq!(s.world.lamports(&s.yes.address()), lamports + rent);
    assert!(!s.world.exists(&position));
}

#[test]
fn an_owner_who_signs_chooses_the_destination() {
    // Given a resolved market, and a token account of somebody else
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let elsewhere = s.world.wallet(0).tokens;

    // When the winner signs a claim with that destination
    let state = s.world.market(&s.market);
    let claim = instruction::claim(s.yes.address(), s.market, &state);
    let mut claim = swapped(claim, &s.yes.tokens, &elsewhere);
    let mut metas = claim.accounts.iter_mut();
    let owner = metas.find(|meta| meta.pubkey == s.yes.address());
    owner.expect("the owner").is_signer = true;
    s.world.send(claim, &[&s.yes.key]).unwrap();

    // Then the payout goes to that account
    assert_eq!(s.world.tokens(&elsewhere), YES_PAID);
}

#[test]
fn a_loser_needs_no_token_account() {
    // Given a resolved market whose loser has no token account
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let gone = solana_account::Account::default();
    s.world.svm.set_account(s.no.tokens, gone).unwrap();
    assert!(!s.world.exists(&s.no.tokens));

    // When its position is claimed
    let event = s.claim(s.no.address());

    // Then the position is closed, and nothing is paid
    assert_eq!((event.paid, event.positions), (0, 1));
    assert!(
        !s.world
            .exists(&address::position(&s.market, &s.no.address()))
    );
    assert!(!s.world.exists(&s.no.tokens));
}

/// A world whose mint has a freeze authority.
fn freezing_world() -> World {
    let mut world = World::new();
    let payer = world.payer.pubkey();
    world.mint = set_mint(
        &mut world.svm,
        &key("freezing mint").pubkey(),
        &payer,
        Some(&payer),
    );
    let admin = world.admin.insecure_clone();
    let register = instruction::register_collateral(
        admin.pubkey(),
        world.mint,
        TokenProgram::SplToken,
        terms(),
        true,
    );
    world.send(register, &[&admin]).unwrap();
    world
}

/// Freezes or thaws a token account.
fn set_frozen(world: &mut World, account: &Address, frozen: bool) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[108] = if frozen { 2 } else { 1 };
    world.svm.set_account(*account, state).unwrap();
}

#[test]
fn a_frozen_winner_delays_nobody_else() {
    // Given a resolved market with two winners, one of them with a frozen token account
    let mut s = scene_with(freezing_world(), Aggregate::Max, 40 * TOKEN, 60 * TOKEN);
    let frozen = s.world.wallet(100 * TOKEN);
    s.world.bet(&s.market, &frozen, 1, 40 * TOKEN).unwrap();
    s.resolve_yes();
    set_frozen(&mut s.world, &frozen.tokens, true);

    // When all positions and fees are claimed
    let refused = s.world.claim(&s.market, &frozen.address());
    s.claim_both();
    s.collect_both();

    // Then only the frozen winner is not paid
    const ACCOUNT_FROZEN: u32 = 17; // the token program's
    assert_eq!(code(refused), ACCOUNT_FROZEN);
    let paid = 40 * TOKEN + 60 * TOKEN * 97 / 100 / 2;
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN + paid);
    let state = s.world.market(&s.market);
    assert_eq!((state.owed, state.positions), (paid, 1));

    // And the frozen winner is paid once the account is thawed
    set_frozen(&mut s.world, &frozen.tokens, false);
    assert_eq!(s.claim(frozen.address()).paid, paid);
    s.close();
}

#[test]
fn a_position_cannot_be_claimed_twice_in_a_transaction() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();

    // When a transaction claims the same position twice
    let state = s.world.market(&s.market);
    let claim = instruction::claim(s.yes.address(), s.market, &state);
    let outcome = s.world.send_all(&[claim.clone(), claim], &[]);

    // Then it is refused as a whole
    assert_gone(outcome, 1);
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN);
}

#[test]
fn a_closed_position_stays_closed() {
    // Given a claimed position
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.claim(s.yes.address());

    // When it is claimed again
    let outcome = s.world.claim(&s.market, &s.yes.address());

    // Then the position is gone
    assert_gone(outcome, 0);
}

#[test]
fn a_claim_before_settlement_is_refused() {
    // Given a market that is not settled
    let mut s = scene(Aggregate::Max);

    // When a position is claimed, then it is refused
    let outcome = s.world.claim(&s.market, &s.yes.address());
    assert_refused(outcome, DriftShieldError::MarketNotSettled);
}

#[test]
fn a_claim_with_foreign_accounts_is_refused() {
    // Given a resolved market, another market and another mint
    let mut s = scene(Aggregate::Max);
    let other = s.second_market();
    let mint = s.world.second_collateral();
    s.resolve_yes();
    let state = s.world.market(&s.market);

    // When a claim names one of their accounts instead of its own, or pays somebody else, then it
    // is refused
    for (account, instead, error) in [
        (
            s.yes.address(),
            s.no.address(),
            DriftShieldError::WrongPayee,
        ),
        (s.market, other, DriftShieldError::WrongMarket),
        (
            state.vault,
            address::market_vault(&other),
            DriftShieldError::WrongVault,
        ),
        (
            s.yes.tokens,
            s.no.tokens,
            DriftShieldError::WrongDestination,
        ),
        (state.mint, mint, DriftShieldError::WrongMint),
    ] {
        let claim = instruction::claim(s.yes.address(), s.market, &state);
        let claim = swapped(claim, &account, &instead);
        assert_refused(s.world.send(claim, &[]), error);
    }
    assert_eq!(s.world.tokens(&state.vault), 100 * TOKEN);
}

#[test]
fn an_associated_account_of_another_owner_is_not_paid() {
    // Given a winner whose associated token account has another owner
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let mut tokens = s.world.svm.get_account(&s.yes.tokens).unwrap();
    tokens.data[32..64].copy_from_slice(s.no.address().as_ref());
    s.world.svm.set_account(s.yes.tokens, tokens).unwrap();

    // When somebody claims for the winner, then it is refused
    let outcome = s.world.claim(&s.market, &s.yes.address());
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn a_position_cannot_be_claimed_twice() {
    // Given a claimed position
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.claim(s.yes.address());

    // When it is claimed again, then it is refused because the position is gone
    assert_gone(s.world.claim(&s.market, &s.yes.address()), 0);
    assert_eq!(s.world.market(&s.market).positions, 1);
}
