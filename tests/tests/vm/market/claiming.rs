//! Claims of positions.

use driftshield_sdk::{Aggregate, DriftShieldError, TokenProgram, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{YES_PAID, assert_gone, scene, scene_with};
use crate::tampering::set_frozen;

#[test]
fn anyone_can_claim_for_an_owner() {
    // Given a resolved market
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    let lamports = scene.world.lamports(&scene.yes.address());
    let position = address::position(&scene.market, &scene.yes.address());
    let rent = scene.world.lamports(&position);

    // When somebody claims for an owner who does not sign
    let event = scene.claim(scene.yes.address());

    // Then the owner's associated token account is paid, and the rent goes to the owner
    assert_eq!(event.paid, YES_PAID);
    assert_eq!(
        (event.owner, event.destination),
        (scene.yes.address(), scene.yes.tokens)
    );
    assert_eq!(event.positions, 1);
    assert_eq!(scene.world.tokens(&scene.yes.tokens), 60 * TOKEN + YES_PAID);
    assert_eq!(scene.world.lamports(&scene.yes.address()), lamports + rent);
    assert!(!scene.world.exists(&position));
}

#[test]
fn an_owner_who_signs_chooses_the_destination() {
    // Given a resolved market, and a token account of somebody else
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    let elsewhere = scene.world.wallet(0).tokens;

    // When the winner signs a claim with that destination
    let state = scene.world.market(&scene.market);
    let claim = instruction::claim(scene.yes.address(), scene.market, &state);
    let mut claim = swapped(claim, &scene.yes.tokens, &elsewhere);
    let mut metas = claim.accounts.iter_mut();
    let owner = metas.find(|meta| meta.pubkey == scene.yes.address());
    owner.expect("the owner").is_signer = true;
    scene.world.send(claim, &[&scene.yes.key]).unwrap();

    // Then the payout goes to that account
    assert_eq!(scene.world.tokens(&elsewhere), YES_PAID);
}

#[test]
fn a_loser_needs_no_token_account() {
    // Given a resolved market whose loser has no token account
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    let gone = solana_account::Account::default();
    scene.world.svm.set_account(scene.no.tokens, gone).unwrap();
    assert!(!scene.world.exists(&scene.no.tokens));

    // When its position is claimed
    let event = scene.claim(scene.no.address());

    // Then the position is closed, and nothing is paid
    assert_eq!((event.paid, event.positions), (0, 1));
    assert!(
        !scene
            .world
            .exists(&address::position(&scene.market, &scene.no.address()))
    );
    assert!(!scene.world.exists(&scene.no.tokens));
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

#[test]
fn a_frozen_winner_delays_nobody_else() {
    // Given a resolved market with two winners, one of them with a frozen token account
    let mut scene = scene_with(freezing_world(), Aggregate::Max, 40 * TOKEN, 60 * TOKEN);
    let frozen = scene.world.wallet(100 * TOKEN);
    scene
        .world
        .bet(&scene.market, &frozen, 1, 40 * TOKEN)
        .unwrap();
    scene.resolve_yes();
    set_frozen(&mut scene.world, &frozen.tokens, true);

    // When all positions and fees are claimed
    let refused = scene.world.claim(&scene.market, &frozen.address());
    scene.claim_both();
    scene.collect_both();

    // Then only the frozen winner is not paid
    const ACCOUNT_FROZEN: u32 = 17; // the token program's
    assert_eq!(code(refused), ACCOUNT_FROZEN);
    let paid = 40 * TOKEN + 60 * TOKEN * 97 / 100 / 2;
    assert_eq!(scene.world.tokens(&scene.yes.tokens), 60 * TOKEN + paid);
    let state = scene.world.market(&scene.market);
    assert_eq!((state.owed, state.positions), (paid, 1));

    // And the frozen winner is paid once the account is thawed
    set_frozen(&mut scene.world, &frozen.tokens, false);
    assert_eq!(scene.claim(frozen.address()).paid, paid);
    scene.close();
}

#[test]
fn a_position_cannot_be_claimed_twice_in_a_transaction() {
    // Given a resolved market
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();

    // When a transaction claims the same position twice
    let state = scene.world.market(&scene.market);
    let claim = instruction::claim(scene.yes.address(), scene.market, &state);
    let outcome = scene.world.send_all(&[claim.clone(), claim], &[]);

    // Then it is refused as a whole
    assert_gone(outcome, 1);
    assert_eq!(scene.world.tokens(&scene.yes.tokens), 60 * TOKEN);
}

#[test]
fn a_closed_position_stays_closed() {
    // Given a claimed position
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    scene.claim(scene.yes.address());

    // When it is claimed again
    let outcome = scene.world.claim(&scene.market, &scene.yes.address());

    // Then it is refused because the position is gone
    assert_gone(outcome, 0);
}

#[test]
fn a_claim_before_settlement_is_refused() {
    // Given a market that is not settled
    let mut scene = scene(Aggregate::Max);

    // When a position is claimed, then it is refused
    let outcome = scene.world.claim(&scene.market, &scene.yes.address());
    assert_refused(outcome, DriftShieldError::MarketNotSettled);
}

#[test]
fn a_claim_with_foreign_accounts_is_refused() {
    // Given a resolved market, another market and another mint
    let mut scene = scene(Aggregate::Max);
    let other = scene.second_market();
    let mint = scene.world.second_collateral();
    scene.resolve_yes();
    let state = scene.world.market(&scene.market);

    // When a claim names one of their accounts instead of its own, or pays somebody else, then it
    // is refused
    for (account, instead, error) in [
        (
            scene.yes.address(),
            scene.no.address(),
            DriftShieldError::WrongPayee,
        ),
        (scene.market, other, DriftShieldError::WrongMarket),
        (
            state.vault,
            address::market_vault(&other),
            DriftShieldError::WrongVault,
        ),
        (
            scene.yes.tokens,
            scene.no.tokens,
            DriftShieldError::WrongDestination,
        ),
        (state.mint, mint, DriftShieldError::WrongMint),
    ] {
        let claim = instruction::claim(scene.yes.address(), scene.market, &state);
        let claim = swapped(claim, &account, &instead);
        assert_refused(scene.world.send(claim, &[]), error);
    }
    assert_eq!(scene.world.tokens(&state.vault), 100 * TOKEN);
}

#[test]
fn an_associated_account_of_another_owner_is_not_paid() {
    // Given a winner whose associated token account has another owner
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    let mut tokens = scene.world.svm.get_account(&scene.yes.tokens).unwrap();
    tokens.data[32..64].copy_from_slice(scene.no.address().as_ref());
    scene
        .world
        .svm
        .set_account(scene.yes.tokens, tokens)
        .unwrap();

    // When somebody claims for the winner, then it is refused
    let outcome = scene.world.claim(&scene.market, &scene.yes.address());
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn a_position_cannot_be_claimed_twice() {
    // Given a claimed position
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    scene.claim(scene.yes.address());

    // When it is claimed again, then it is refused because the position is gone
    assert_gone(scene.world.claim(&scene.market, &scene.yes.address()), 0);
    assert_eq!(scene.world.market(&scene.market).positions, 1);
}
