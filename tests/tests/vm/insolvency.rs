//! The solvency check of every instruction that moves tokens: it fails if a token account then holds less
//! than the program owes from it. No instruction can cause such a deficit, so the tests remove tokens
//! directly.

use anchor_lang::Address;
use driftshield_sdk::{
    ChallengePayee, DriftShieldError, FeePayee, MarketTerms, PolicyTerms, PremiumPayee, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};

use crate::tampering::set_token_balance;

/// Removes a base unit from a token account, and turns the world's own solvency checks off.
fn remove_a_unit(world: &mut World, account: &Address) {
    let amount = world.tokens(account) - 1;
    set_token_balance(world, account, amount);
    world.solvency_checks = false;
}

#[track_caller]
fn assert_insolvent(outcome: Outcome) {
    assert_refused(outcome, DriftShieldError::Insolvent);
}

#[test]
fn bonds_and_challenges_check_the_bond_vault() {
    // Given a model with a proposed receipt, an unbonding seat and a bond vault that lacks a base unit
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    let oracle = &model.oracles[0];
    let unbond = instruction::request_unbond(oracle.address(), model.address, TOKEN);
    world.send(unbond, &[&oracle.key]).expect("request_unbond");
    remove_a_unit(&mut world, &address::bond_vault(&model.address));
    // When tokens are paid in or out, then it is refused
    let challenger = world.wallet(1_000 * TOKEN);
    assert_insolvent(world.challenge(&model, 0, &challenger, &DRIFTED));
    assert_insolvent(world.bond(&model, 0, TOKEN));
    world.pass(params().unbond_secs);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    assert_insolvent(world.send(withdraw, &[]));
}

#[test]
fn a_challenge_credit_is_not_paid_from_bonds() {
    // Given a ruling against the challenger, and a bond vault that lacks a base unit
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    let challenger = world.wallet(1_000 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &DRIFTED)
        .expect("challenge");
    world.rule(&model, 0, &CALM).expect("rule_receipt");
    remove_a_unit(&mut world, &address::bond_vault(&model.address));
    // When the treasury's credit is collected, then it is refused
    let collect = instruction::collect_challenge(
        model.address,
        &world.model(&model.address),
        &world.receipt(&model.address, 0),
        ChallengePayee::Treasury,
    );
    assert_insolvent(world.send(collect, &[]));
}

#[test]
fn bets_claims_and_fees_check_the_market_vault() {
    // Given a market with a bet on each outcome, whose vault lacks a base unit
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms)
        .expect("create_market");
    let [one, other] = [(); 2].map(|()| world.wallet(1_000 * TOKEN));
    world.bet(&market, &one, 0, 100 * TOKEN).expect("a bet");
    world.bet(&market, &other, 1, 100 * TOKEN).expect("a bet");
    let vault = world.market(&market).vault;
    remove_a_unit(&mut world, &vault);
    // When somebody bets, then it is refused
    assert_insolvent(world.bet(&market, &one, 0, TOKEN));
    // When the market is resolved, then claims and fee collections are refused
    for window in 1..=3 {
        world.submit_all(&model, window, &CALM);
    }
    world.pass(params().challenge_secs);
    for window in 1..=3 {
        world.finalize(&model, window).expect("finalize_receipt");
    }
    world.settle(&market).expect("settle_market");
    assert_insolvent(world.claim(&market, &one.address()));
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &world.market(&market), payee);
        assert_insolvent(world.send(collect, &[]));
    }
}

#[test]
fn deposits_payouts_and_premiums_check_the_vault_tokens() {
    // Given a vault with two policies, one of them claimable, a third that is void, a due withdrawal request,
    // and a token account that lacks a base unit
    let mut scene = Insured::new();
    let holder = scene.world.wallet(1_000 * TOKEN);
    let terms = PolicyTerms {
        windows: 20,
        ..scene.terms()
    };
    for id in [1, 2] {
        scene.buy(&holder, id, terms).expect("buy_policy");
    }
    for id in [1, 2] {
        scene.start(&holder, id);
    }
    scene.buy(&holder, 4, scene.terms()).expect("buy_policy");
    let provider = scene.provider();
    scene.request(&provider, 1_000).expect("request_withdraw");
    let due = scene.world.now() + COOLDOWN;
    scene.measure(CALM_DRIFT);
    scene.measure(400_000);
    while scene.world.now() < due {
        scene.measure(CALM_DRIFT);
    }
    let state = scene.vault();
    remove_a_unit(&mut scene.world, &state.tokens);
    // When tokens are paid in or out, then it is refused
    assert_insolvent(scene.deposit(&provider, TOKEN));
    assert_insolvent(scene.withdraw(&provider));
    assert_insolvent(scene.claim(&holder, 1));
    assert_insolvent(scene.begin(&holder, 4));
    assert_insolvent(scene.cancel(&holder, 2));
    assert_insolvent(scene.renew(&holder, 2, true));
    let terms = scene.terms();
    assert_insolvent(scene.buy(&holder, 3, terms));
    for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
        let collect = instruction::collect_manager_fees(scene.vault, &state, payee);
        assert_insolvent(scene.world.send(collect, &[]));
    }
}

#[test]
fn rents_and_funding_check_the_bond_vault() {
    // Given a market, a policy that can be renewed, and a bond vault that lacks a base unit
    let mut scene = Insured::new();
    let (creator, holder) = (scene.world.wallet(0), scene.world.wallet(CAPITAL));
    scene.buy(&holder, 1, scene.terms()).expect("buy_policy");
    scene.start(&holder, 1);
    let first_window = scene.window + 2;
    let terms = MarketTerms {
        first_window,
        last_window: first_window + 1,
        close_ts: scene.model().window_start(first_window).expect("in range"),
        ..market_terms(&scene.world, &scene.model)
    };
    let market = scene
        .world
        .create_market(&scene.model, &creator, 1, terms)
        .expect("create_market");
    let bettor = scene.world.wallet(CAPITAL);
    scene.world.bet(&market, &bettor, 0, TOKEN).expect("a bet");
    let bond_vault = address::bond_vault(&scene.model.address);
    remove_a_unit(&mut scene.world, &bond_vault);

    // When security rent or funding is paid in, or the treasury's part is paid out, then it is refused
    assert_insolvent(scene.world.bet(&market, &bettor, 0, TOKEN));
    assert_insolvent(scene.buy(&holder, 2, scene.terms()));
    assert_insolvent(scene.renew(&holder, 1, true));
    assert_insolvent(scene.world.fund(&scene.model, &holder, TOKEN, DAY));
}
