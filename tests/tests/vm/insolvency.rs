//! Every instruction that moves money counts what is left, and refuses to end with less than is
//! owed. That can't come about: here tokens vanish.

use anchor_lang::Address;
use driftshield_sdk::{
    ChallengePayee, DriftShieldError, FeePayee, PremiumPayee, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// Takes a base unit away from a token account, and no longer expects the world to be solvent.
fn lose_a_unit(world: &mut World, account: &Address) {
    let mut damaged = world.svm.get_account(account).expect("a token account");
    let amount = world.tokens(account) - 1;
    damaged.data[64..72].copy_from_slice(&amount.to_le_bytes());
    world.svm.set_account(*account, damaged).expect("it is set");
    world.solvency_checks = false;
}

#[track_caller]
fn assert_insolvent(outcome: Outcome) {
    assert_refused(outcome, DriftShieldError::Insolvent);
}

#[test]
fn bonds_and_challenges_count_what_the_model_holds() {
    // Given a proposed receipt of a model whose bond vault lacks a unit, and a seat that unbonds
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    let oracle = &model.oracles[0];
    let unbond = instruction::request_unbond(oracle.address(), model.address, TOKEN);
    world.send(unbond, &[&oracle.key]).expect("request_unbond");
    lose_a_unit(&mut world, &address::bond_vault(&model.address));
    // When money goes in or out, then it is refused
    let challenger = world.wallet(1_000 * TOKEN);
    assert_insolvent(world.challenge(&model, 0, &challenger));
    assert_insolvent(world.bond(&model, 0, TOKEN));
    world.pass(params().unbond_secs);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    assert_insolvent(world.send(withdraw, &[]));
}

#[test]
fn what_a_dispute_credits_is_not_paid_out_of_bonds() {
    // Given a ruling against the challenger, and a bond vault that lacks a unit
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 0, &challenger).expect("challenge");
    world.rule(&model, 0, &CALM).expect("rule_receipt");
    lose_a_unit(&mut world, &address::bond_vault(&model.address));
    // When the treasury collects its part, then it is refused
    let collect = instruction::collect_challenge(
        model.address,
        &world.model(&model.address),
        &world.receipt(&model.address, 0),
        ChallengePayee::Treasury,
    );
    assert_insolvent(world.send(collect, &[]));
}

#[test]
fn bets_claims_and_fees_count_what_the_market_holds() {
    // Given a market with a bet on either outcome, whose vault lacks a unit
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
    lose_a_unit(&mut world, &vault);
    // When somebody bets, then it is refused
    assert_insolvent(world.bet(&market, &one, 0, TOKEN));
    // When it is resolved, then neither winners nor fees are paid
    for window in 1..=3 {
        world.submit_all(&model, window, &CALM);
    }
    world.pass(params().challenge_secs);
    world.settle(&market, 3).expect("settle_market");
    assert_insolvent(world.claim(&market, &one.address()));
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &world.market(&market), payee);
        assert_insolvent(world.send(collect, &[]));
    }
}

#[test]
fn a_vault_counts_what_it_holds_whenever_money_moves() {
    // Given a vault with two policies, one that can be claimed, and a request that can be paid
    let mut scene = Insured::new();
    let holder = scene.world.wallet(1_000 * TOKEN);
    let terms = scene.terms();
    for id in [1, 2] {
        scene.buy(&holder, id, terms).expect("buy_policy");
    }
    let provider = scene.provider();
    scene.request(&provider, 1_000).expect("request_withdraw");
    scene.skip_window(); // it waits a day at least
    scene.skip_window();
    scene.window = terms.first_window;
    scene.measure(CALM_DRIFT);
    scene.measure(400_000);
    scene.measure(CALM_DRIFT);
    scene.world.pass(COOLDOWN);
    let state = scene.vault();
    lose_a_unit(&mut scene.world, &state.tokens);
    // When money goes in or out, then it is refused
    assert_insolvent(scene.deposit(&provider, TOKEN));
    assert_insolvent(scene.withdraw(&provider));
    assert_insolvent(scene.claim(&holder, 1, terms.first_window + 1));
    assert_insolvent(scene.cancel(&holder, 2));
    assert_insolvent(scene.renew(&holder, 2, true));
    let terms = scene.terms();
    assert_insolvent(scene.buy(&holder, 3, terms));
    for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
        let collect = instruction::collect_manager_fees(scene.vault, &state, payee);
        assert_insolvent(scene.world.send(collect, &[]));
    }
}
