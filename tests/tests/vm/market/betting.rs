//! Bets, and their refusals.

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{
    DriftShieldError, Event, address,
    instruction::{self, Bet},
};
use driftshield_tests::world::*;

use super::{Scene, open_scene};

/// A bet of the yes bettor.
fn bet_instruction(scene: &Scene, outcome: u8, amount: u64, min_multiple: u64) -> Instruction {
    let state = scene.world.market(&scene.market);
    instruction::place_bet(
        scene.yes.address(),
        scene.market,
        &state,
        scene.yes.tokens,
        Bet {
            min_multiple,
            ..Bet::unlimited(outcome, amount)
        },
    )
}

#[test]
fn an_oracle_cannot_bet_on_its_model() {
    // Given the oracles of a model
    let mut scene = open_scene();

    // When one of them bets on it, then it is refused
    for oracle in &scene.model.oracles {
        let outcome = scene.world.bet(&scene.market, oracle, 0, TOKEN);
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn an_owner_cannot_bet_on_its_model() {
    // Given a model's owner with tokens
    let mut scene = open_scene();
    scene.world.mint_to(&scene.model.owner.tokens, TOKEN);

    // When the owner bets on the model, then it is refused
    let outcome = scene.world.bet(&scene.market, &scene.model.owner, 1, TOKEN);
    assert_refused(outcome, DriftShieldError::Insider);
}

#[test]
fn bets_are_refused_from_the_close_time() {
    // Given a market a second before its betting closes
    let mut scene = open_scene();
    let close_ts = scene.world.market(&scene.market).close_ts;
    scene.world.warp_to(close_ts - 1);

    // Then a bet is accepted, and bets are refused from the next second on
    scene
        .world
        .bet(&scene.market, &scene.yes, 1, TOKEN)
        .unwrap();
    for _ in 0..2 {
        scene.world.pass(1);
        let outcome = scene.world.bet(&scene.market, &scene.yes, 1, TOKEN);
        assert_refused(outcome, DriftShieldError::BettingClosed);
    }
    assert_eq!(scene.world.market(&scene.market).total, TOKEN);
}

#[test]
fn a_bet_on_an_outcome_that_the_market_lacks_is_refused() {
    // Given a yes/no market
    let mut scene = open_scene();

    // When somebody bets on a third outcome, or on one beyond the maximum of eight
    for outcome in [2, 7, 8, u8::MAX] {
        let outcome = scene.world.bet(&scene.market, &scene.yes, outcome, TOKEN);

        // Then it is refused
        assert_refused(outcome, DriftShieldError::NoSuchOutcome);
    }
}

#[test]
fn a_bet_below_the_minimum_is_refused() {
    // Given the minimum bet of the collateral
    let mut scene = open_scene();
    let min_bet = terms().min_bet;

    // When a bet is one base unit smaller, or zero
    for amount in [0, min_bet - 1] {
        let outcome = scene.world.bet(&scene.market, &scene.yes, 1, amount);

        // Then it is refused, and accepted at the minimum
        assert_refused(outcome, DriftShieldError::BetTooSmall);
    }
    scene
        .world
        .bet(&scene.market, &scene.yes, 1, min_bet)
        .unwrap();
}

#[test]
fn bets_stay_within_the_security_limit() {
    // Given a model with a limit of three times its security, which is half of a slash of 500
    // tokens
    let mut scene = open_scene();
    let limit = 500 * TOKEN / 2 * 3;
    let rich = scene.world.wallet(2 * limit);

    // When bets on two markets reach the limit exactly
    scene
        .world
        .bet(&scene.market, &rich, 1, limit - TOKEN)
        .unwrap();
    let other = scene.second_market();
    assert_refused(
        scene.world.bet(&other, &rich, 0, TOKEN + 1),
        DriftShieldError::AboveSecurityLimit,
    );
    let sent = scene.world.bet(&other, &rich, 0, TOKEN).unwrap();

    // Then the stakes at risk equal the limit, and even the smallest further bet is refused
    let Event::BetPlaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.market_risk, event.exposure), (limit, 2));
    assert_refused(
        scene.world.bet(&scene.market, &rich, 1, terms().min_bet),
        DriftShieldError::AboveSecurityLimit,
    );
}

#[test]
fn a_bet_that_overflows_the_total_is_refused() {
    // Given a market with a bet
    let mut scene = open_scene();
    scene.world.bet(&scene.market, &scene.no, 0, TOKEN).unwrap();

    // When the next bet would overflow the total
    let outcome = scene.world.bet(&scene.market, &scene.yes, 1, u64::MAX);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::Overflow);
}

#[test]
fn a_bet_below_its_minimum_multiple_is_refused() {
    // Given a bet with a multiple of 1000 + ⌊1000 · (losing − fees) / winning⌋ thousandths, where
    // the fees are 2% and 1%, each floored
    let mut scene = open_scene();
    let (losing, winning) = (7_000_033_u128, 3_000_001_u128);
    scene
        .world
        .bet(&scene.market, &scene.no, 0, losing as u64)
        .unwrap();
    let fees = losing * 200 / 10_000 + losing * 100 / 10_000;
    let multiple = (1_000 + 1_000 * (losing - fees) / winning) as u64;
    assert_eq!(multiple, 3_263);

    // When the bettor's minimum is one thousandth more
    let bet = bet_instruction(&scene, 1, winning as u64, multiple + 1);
    let refused = scene.world.send(bet, &[&scene.yes.key]);

    // Then it is refused, and accepted if the minimum is exactly the multiple
    assert_refused(refused, DriftShieldError::MultipleTooLow);
    let bet = bet_instruction(&scene, 1, winning as u64, multiple);
    let sent = scene.world.send(bet, &[&scene.yes.key]).unwrap();
    let Event::BetPlaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.multiple, multiple);
}

#[test]
fn the_first_bet_has_a_multiple_of_one() {
    // Given a market without bets
    let mut scene = open_scene();

    // When the first bettor's minimum is above one, then the bet is refused, and accepted at one
    let bet = bet_instruction(&scene, 1, TOKEN, 1_001);
    let refused = scene.world.send(bet, &[&scene.yes.key]);
    assert_refused(refused, DriftShieldError::MultipleTooLow);
    let bet = bet_instruction(&scene, 1, TOKEN, 1_000);
    scene.world.send(bet, &[&scene.yes.key]).unwrap();
}

#[test]
fn a_bet_with_foreign_accounts_is_refused() {
    // Given another model with a market, and another collateral
    let mut scene = open_scene();
    let other = scene.world.default_model();
    let terms = market_terms(&scene.world, &other);
    let other_market = scene
        .world
        .create_market(&other, &scene.creator, 2, terms)
        .unwrap();
    let mint = scene.world.second_collateral();
    let collateral = address::collateral(&mint);
    let state = scene.world.market(&scene.market);

    // When a bet names one of their accounts instead of its market's, then it is refused
    for (account, instead, error) in [
        (
            scene.model.address,
            other.address,
            DriftShieldError::WrongModel,
        ),
        (
            state.vault,
            address::market_vault(&other_market),
            DriftShieldError::WrongVault,
        ),
        (state.mint, mint, DriftShieldError::WrongMint),
        (
            address::collateral(&state.mint),
            collateral,
            DriftShieldError::WrongCollateral,
        ),
    ] {
        let bet = swapped(bet_instruction(&scene, 1, TOKEN, 0), &account, &instead);
        assert_refused(scene.world.send(bet, &[&scene.yes.key]), error);
    }
}

#[test]
fn a_bet_on_a_market_replaced_with_other_terms_is_refused() {
    // Given a signed bet on a market that its creator then replaces with another of the same id
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(100 * TOKEN));
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let seen = world.market(&market);
    let bet = instruction::place_bet(
        bettor.address(),
        market,
        &seen,
        bettor.tokens,
        Bet {
            min_multiple: 1_000,
            ..Bet::unlimited(1, TOKEN)
        },
    );
    let mut other_terms = terms.clone();
    other_terms.thresholds = vec![5_000_000];
    let cancel = instruction::cancel_market(market, &seen, true);
    let state = world.model(&model.address);
    let create =
        |terms| instruction::create_market(creator.address(), 1, model.address, &state, terms);
    world
        .send_all(&[cancel.clone(), create(other_terms)], &[&creator.key])
        .unwrap();

    // When the bet lands, then it is refused, and accepted once the market has the same terms again
    assert_refused(
        world.send(bet.clone(), &[&bettor.key]),
        DriftShieldError::TermsMismatch,
    );
    world
        .send_all(&[cancel, create(terms)], &[&creator.key])
        .unwrap();
    world.send(bet, &[&bettor.key]).unwrap();
}

#[test]
fn a_bet_is_placed_only_in_the_bettors_own_position() {
    // Given two bettors, one of them with a position
    let mut scene = open_scene();
    let (market, no) = (scene.market, scene.no.clone());
    scene.world.bet(&market, &no, 0, TOKEN).unwrap();
    let position = |owner| address::position(&scene.market, owner);
    let (own, other) = (
        position(&scene.yes.address()),
        position(&scene.no.address()),
    );
    let nobody = address::position(&scene.market, &scene.market);
    let bet = bet_instruction(&scene, 1, TOKEN, 0);
    // When the other bets in that position, or in one that nobody can have
    for wrong in [other, nobody] {
        let outcome = scene
            .world
            .send(swapped(bet.clone(), &own, &wrong), &[&scene.yes.key]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongPosition);
    }
}
