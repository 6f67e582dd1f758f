//! Fees, closing and cancellation.

use driftshield_sdk::{Aggregate, DriftShieldError, Event, FeePayee, address, instruction};
use driftshield_tests::world::*;

use super::{YES_PAID, assert_gone, open_scene, scene};

#[test]
fn a_donation_changes_no_payout_and_goes_to_the_treasury() {
    // Given a market whose vault received a donation before it resolved
    let mut scene = scene(Aggregate::Max);
    let vault = scene.world.market(&scene.market).vault;
    scene.world.mint_to(&vault, 12_345);
    scene.resolve_yes();

    // When all payouts and fees are paid and the market is closed
    scene.claim_both();
    scene.collect_both();
    let swept = scene.close().swept;

    // Then nobody is paid more, and the treasury receives the donation
    assert_eq!(scene.world.tokens(&scene.yes.tokens), 60 * TOKEN + YES_PAID);
    assert_eq!(scene.world.tokens(&scene.creator.tokens), 60 * TOKEN / 100);
    assert_eq!(swept, 12_345);
    assert_eq!(
        scene.world.tokens(&scene.world.treasury()),
        60 * TOKEN * 2 / 100 + 12_345
    );
}

#[test]
fn a_closed_market_stays_closed() {
    // Given a closed market
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    scene.claim_both();
    scene.collect_both();
    let state = scene.world.market(&scene.market);
    let close = instruction::close_market(scene.market, &state);
    let twice = scene.world.send_all(&[close.clone(), close.clone()], &[]);
    assert_gone(twice, 1);
    scene.world.send(close.clone(), &[]).unwrap();

    // When an instruction uses it, then that is refused because the market is gone
    assert_gone(scene.world.send(close, &[]), 0);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(scene.market, &state, payee);
        assert_gone(scene.world.send(collect, &[]), 0);
    }
    let claim = instruction::claim(scene.yes.address(), scene.market, &state);
    assert_gone(scene.world.send(claim, &[]), 0);
    let settle = instruction::settle_market(scene.market, &state);
    assert_gone(scene.world.send(settle, &[]), 0);
}

#[test]
fn lamports_sent_in_advance_do_not_block_a_market() {
    // Given a lamport at the addresses of a future market, its vault and a position
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let yes = world.wallet(100 * TOKEN);
    let market = address::market(&creator.address(), 1);
    let position = address::position(&market, &yes.address());
    for address in [market, address::market_vault(&market), position] {
        let lamport = solana_account::Account {
            lamports: 1,
            ..Default::default()
        };
        world.svm.set_account(address, lamport).unwrap();
    }
    let before = [&creator, &yes].map(|who| world.lamports(&who.address()));

    // When the market runs from its creation to its end
    let terms = market_terms(&world, &model);
    world.create_market(&model, &creator, 1, terms).unwrap();
    world.bet(&market, &yes, 1, 40 * TOKEN).unwrap();
    world.finalize_with(&model, 1, &DRIFTED);
    world.settle(&market).unwrap();
    world.claim(&market, &yes.address()).unwrap();
    let close = instruction::close_market(market, &world.market(&market));
    world.send(close, &[]).unwrap();

    // Then all is paid, and each lamport goes to the owner of the account that it was sent to
    assert_eq!(world.tokens(&yes.tokens), 100 * TOKEN);
    let after = [&creator, &yes].map(|who| world.lamports(&who.address()));
    assert_eq!(after, [before[0] + 2, before[1] + 1]);
}

#[test]
fn a_fee_cannot_be_collected_before_settlement() {
    // Given a market that is not settled
    let mut scene = scene(Aggregate::Max);

    // When a fee is collected, then it is refused
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        assert_refused(scene.collect(payee), DriftShieldError::MarketNotSettled);
    }
}

#[test]
fn a_fee_cannot_be_collected_twice() {
    // Given a resolved market whose fees are collected
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let sent = scene.collect(payee).unwrap();
        let Event::FeesCollected(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(event.payee, payee);

        // When a fee is collected again, then it is refused
        assert_refused(scene.collect(payee), DriftShieldError::NothingToCollect);
    }
    assert_eq!(
        scene.world.tokens(&scene.world.treasury()),
        60 * TOKEN * 2 / 100
    );
    assert_eq!(scene.world.tokens(&scene.creator.tokens), 60 * TOKEN / 100);
}

#[test]
fn a_void_market_has_no_fees() {
    // Given a void market
    let mut scene = scene(Aggregate::Max);
    scene.void();

    // When a fee is collected, then it is refused
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        assert_refused(scene.collect(payee), DriftShieldError::NothingToCollect);
    }
}

#[test]
fn a_fee_goes_only_to_its_payee() {
    // Given a resolved market, another market and another collateral
    let mut scene = scene(Aggregate::Max);
    let other = scene.second_market();
    let mint = scene.world.second_collateral();
    let collateral = address::collateral(&mint);
    scene.resolve_yes();
    let state = scene.world.market(&scene.market);
    let treasury = scene.world.treasury();

    // When a collection names one of their accounts or a bettor's instead of its own, then it is
    // refused
    use DriftShieldError::*;
    use FeePayee::*;
    for (payee, account, instead, error) in [
        (Treasury, treasury, scene.yes.tokens, WrongTreasury),
        (
            Treasury,
            treasury,
            address::treasury(&collateral),
            WrongTreasury,
        ),
        (
            Creator,
            scene.creator.tokens,
            scene.yes.tokens,
            WrongDestination,
        ),
        (Creator, scene.creator.tokens, treasury, WrongDestination),
        (
            Creator,
            scene.creator.address(),
            scene.yes.address(),
            WrongPayee,
        ),
        (
            Creator,
            state.vault,
            address::market_vault(&other),
            WrongVault,
        ),
        (Treasury, state.mint, mint, WrongMint),
        (
            Treasury,
            address::collateral(&state.mint),
            collateral,
            WrongCollateral,
        ),
    ] {
        let collect = instruction::collect_fees(scene.market, &state, payee);
        let collect = swapped(collect, &account, &instead);
        assert_refused(scene.world.send(collect, &[]), error);
    }
}

#[test]
fn an_unsettled_market_cannot_be_closed() {
    // Given a market that is not settled
    let mut scene = scene(Aggregate::Max);

    // When it is closed, then it is refused
    let close = instruction::close_market(scene.market, &scene.world.market(&scene.market));
    assert_refused(
        scene.world.send(close, &[]),
        DriftShieldError::MarketNotSettled,
    );
}

#[test]
fn a_market_with_positions_cannot_be_closed() {
    // Given a resolved market whose loser has not claimed yet
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();
    scene.collect_both();
    scene.claim(scene.yes.address());

    // When it is closed, then it is refused until the loser's position is claimed
    let close = instruction::close_market(scene.market, &scene.world.market(&scene.market));
    assert_refused(
        scene.world.send(close.clone(), &[]),
        DriftShieldError::PositionsLeft,
    );
    scene.claim(scene.no.address());
    scene.world.send(close, &[]).unwrap();
}

#[test]
fn a_market_with_uncollected_fees_cannot_be_closed() {
    for (first, second) in [
        (FeePayee::Treasury, FeePayee::Creator),
        (FeePayee::Creator, FeePayee::Treasury),
    ] {
        // Given a resolved market with only one fee left to pay
        let mut scene = scene(Aggregate::Max);
        scene.resolve_yes();
        scene.claim_both();
        scene.collect(first).unwrap();

        // When it is closed, then it is refused until that fee is collected
        let close = instruction::close_market(scene.market, &scene.world.market(&scene.market));
        assert_refused(
            scene.world.send(close.clone(), &[]),
            DriftShieldError::FeesLeft,
        );
        scene.collect(second).unwrap();
        scene.world.send(close, &[]).unwrap();
    }
}

#[test]
fn closing_with_foreign_accounts_is_refused() {
    // Given a market that can be closed, another market and another collateral
    let mut scene = scene(Aggregate::Max);
    let other = scene.second_market();
    let mint = scene.world.second_collateral();
    let collateral = address::collateral(&mint);
    scene.resolve_yes();
    scene.claim_both();
    scene.collect_both();
    let state = scene.world.market(&scene.market);
    let treasury = scene.world.treasury();

    // When closing names one of their accounts or a bettor's instead of its own, then it is refused
    for (account, instead, error) in [
        (
            scene.creator.address(),
            scene.yes.address(),
            DriftShieldError::WrongRentPayer,
        ),
        (
            state.vault,
            address::market_vault(&other),
            DriftShieldError::WrongVault,
        ),
        (treasury, scene.yes.tokens, DriftShieldError::WrongTreasury),
        (state.mint, mint, DriftShieldError::WrongMint),
        (
            address::collateral(&state.mint),
            collateral,
            DriftShieldError::WrongCollateral,
        ),
    ] {
        let close = instruction::close_market(scene.market, &state);
        let close = swapped(close, &account, &instead);
        assert_refused(scene.world.send(close, &[]), error);
    }
}

#[test]
fn a_market_with_bets_cannot_be_cancelled() {
    // Given a market with a bet
    let mut scene = scene(Aggregate::Max);
    let state = scene.world.market(&scene.market);

    // When its creator cancels it, or anyone after betting has closed
    let cancel = instruction::cancel_market(scene.market, &state, true);
    let early = scene.world.send(cancel, &[&scene.creator.key]);
    scene.world.warp_to(state.close_ts);
    let late = scene
        .world
        .send(instruction::cancel_market(scene.market, &state, false), &[]);

    // Then it is refused
    assert_refused(early, DriftShieldError::MarketHasBets);
    assert_refused(late, DriftShieldError::MarketHasBets);
}

#[test]
fn a_creator_can_cancel_a_market_without_bets() {
    // Given a market without bets, with a donation in its vault
    let mut scene = open_scene();
    let state = scene.world.market(&scene.market);
    scene.world.mint_to(&state.vault, 5);
    let lamports = scene.world.lamports(&scene.creator.address());
    let rent = scene.world.lamports(&scene.market) + scene.world.lamports(&state.vault);

    // When its creator cancels it
    let cancel = instruction::cancel_market(scene.market, &state, true);
    let sent = scene.world.send(cancel, &[&scene.creator.key]).unwrap();

    // Then the market is closed, the treasury receives the donation, and the creator the rent
    let Event::MarketCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.creator, event.swept), (scene.creator.address(), 5));
    assert!(!scene.world.exists(&scene.market) && !scene.world.exists(&state.vault));
    assert_eq!(scene.world.tokens(&scene.world.treasury()), 5);
    assert_eq!(
        scene.world.lamports(&scene.creator.address()),
        lamports + rent
    );
}

#[test]
fn a_stranger_can_cancel_only_after_betting_has_closed() {
    // Given a market without bets, a second before betting closes
    let mut scene = open_scene();
    let state = scene.world.market(&scene.market);
    let cancel = instruction::cancel_market(scene.market, &state, false);
    scene.world.warp_to(state.close_ts - 1);

    // When a stranger cancels it, then it is refused until betting has closed
    assert_refused(
        scene.world.send(cancel.clone(), &[]),
        DriftShieldError::NotCreator,
    );
    scene.world.pass(1);
    scene.world.send(cancel, &[]).unwrap();
    assert!(!scene.world.exists(&scene.market));
}

#[test]
fn a_stranger_cannot_sign_as_the_creator() {
    // Given a market without bets
    let mut scene = open_scene();

    // When somebody else passes its key as the creator's and signs the cancellation
    let state = scene.world.market(&scene.market);
    let cancel = instruction::cancel_market(scene.market, &state, true);
    let cancel = swapped(cancel, &scene.creator.address(), &scene.yes.address());

    // Then it is refused
    let outcome = scene.world.send(cancel, &[&scene.yes.key]);
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}
