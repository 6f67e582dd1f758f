//! Payouts that are stranded, redirected or held up, as BriVault's and others' were.

use driftshield_sdk::{
    Address, DriftShieldError, FeePayee, MarketState, MarketTerms, PremiumPayee, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::everybody::Everybody;

#[test]
fn brivault_444_a_market_that_nobody_won_pays_everybody_back() {
    // Given a market on three outcomes of which nobody bet on the one that comes
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = MarketTerms {
        thresholds: vec![150_000, 200_000],
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettors: Vec<_> = (0..3).map(|_| world.wallet(TOKEN)).collect();
    for (bettor, outcome) in bettors.iter().zip([0, 1, 1]) {
        world.bet(&market, bettor, outcome, 777_777).unwrap();
    }
    world.finalize_with(&model, 1, &DRIFTED);
    world.settle(&market, 1).unwrap();
    assert_eq!(world.market(&market).state, MarketState::Void);

    // When all claim, then each has what it had, and the market closes with nothing left
    for bettor in &bettors {
        world.claim(&market, &bettor.address()).unwrap();
        assert_eq!(world.tokens(&bettor.tokens), TOKEN);
    }
    let state = world.market(&market);
    assert_eq!((state.owed, world.tokens(&state.vault)), (0, 0));
    world
        .send(instruction::close_market(market, &state), &[])
        .unwrap();
}

#[test]
fn brivault_600_claims_in_any_order_pay_out_all_but_dust() {
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..5 {
        // Given a market with winners who bet before and after each other, some more than once
        let mut world = World::new();
        let model = world.default_model();
        let creator = world.wallet(0);
        let terms = market_terms(&world, &model);
        let market = world.create_market(&model, &creator, 1, terms).unwrap();
        let mut bettors: Vec<_> = (0..8).map(|_| world.wallet(TOKEN)).collect();
        for _ in 0..20 {
            let bettor = &bettors[random.random_range(0..8)];
            let outcome = random.random_range(0..2);
            let amount = random.random_range(10_000..40_000);
            world.bet(&market, bettor, outcome, amount).unwrap();
        }
        world.finalize_with(&model, 1, &DRIFTED);
        world.settle(&market, 1).unwrap();

        // When they claim in any order, fees in between
        bettors.shuffle(&mut random);
        for (turn, bettor) in bettors.iter().enumerate() {
            if turn == 4 {
                let state = world.market(&market);
                let collect = instruction::collect_fees(market, &state, FeePayee::Creator);
                world.send(collect, &[]).unwrap();
            }
            if world.exists(&address::position(&market, &bettor.address())) {
                world.claim(&market, &bettor.address()).unwrap();
            }
        }
        let state = world.market(&market);
        let collect = instruction::collect_fees(market, &state, FeePayee::Treasury);
        world.send(collect, &[]).unwrap();

        // Then what is left is less than a base unit a winner
        assert!(world.market(&market).owed < 8);
    }
}

#[test]
fn last_second_bets_are_bets_on_what_has_not_begun() {
    // Given a market in the last second of betting
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(TOKEN));
    let terms = market_terms(&world, &model);
    let (closes, first) = (terms.close_ts, terms.first_window);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    world.warp_to(closes - 1);

    // When somebody bets then, and a second later
    world.bet(&market, &bettor, 0, TOKEN / 2).unwrap();
    world.warp_to(closes);
    let late = world.bet(&market, &bettor, 0, TOKEN / 2);

    // Then the last bet came before the first window began
    assert_refused(late, DriftShieldError::BettingClosed);
    let begins = world.model(&model.address).window_start(first).unwrap();
    assert!(closes - 1 < begins);
}

#[test]
fn a_stranger_redirects_no_payout() {
    // Given a claimable position and policy, a request that is due, and a stranger with an account
    let mut all = Everybody::new();
    let provider = all.insured.provider();
    all.insured.request(&provider, CAPITAL).unwrap();
    while all.insured.window < all.window {
        all.insured.measure(CALM_DRIFT);
    }
    all.insured.measure(300_000);
    let market = all.market;
    all.insured.world.settle(&market, 1).unwrap();
    all.insured.world.pass(COOLDOWN);
    let stranger = all.insured.world.wallet(0);
    let (at, vault) = (all.insured.vault, all.insured.vault());
    let state = all.insured.world.market(&market);
    let policy = all.insured.policy(&all.holder, 1);
    for (payout, payee) in [
        (
            instruction::claim(all.winner.address(), market, &state),
            &all.winner,
        ),
        (
            instruction::claim_policy(&policy, &vault, all.window),
            &all.holder,
        ),
        (
            instruction::withdraw(provider.address(), at, &vault),
            &provider,
        ),
        (
            instruction::collect_fees(market, &state, FeePayee::Creator),
            &all.creator,
        ),
        (
            instruction::collect_manager_fees(at, &vault, PremiumPayee::Manager),
            &all.insured.manager,
        ),
    ] {
        // When the stranger sends the payout to its own account, signed as it can, then it is refused
        let mut redirected = swapped(payout.clone(), &payee.tokens, &stranger.tokens);
        let outcome = all.insured.world.clone().send(redirected.clone(), &[]);
        assert_refused(outcome, DriftShieldError::WrongDestination);
        redirected = swapped(redirected, &payee.address(), &stranger.address());
        let place = redirected.accounts.iter_mut();
        let mut place = place.filter(|account| account.pubkey == stranger.address());
        place.next().unwrap().is_signer = true;
        let outcome = all.insured.world.clone().send(redirected, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::WrongPayee);

        // And when it sends it as it should be, the payee has it
        let mut fork = all.insured.world.clone();
        let before = fork.tokens(&payee.tokens);
        fork.send(payout, &[]).unwrap();
        assert!(before < fork.tokens(&payee.tokens));
    }
}

#[test]
fn a_mint_recreated_with_other_decimals_takes_no_money_and_lets_all_out() {
    // Given money in a mint that comes back with other decimals
    let mut all = Everybody::new();
    let (mint, bettor) = (all.insured.world.mint, all.winner.clone());
    let mut account = all.insured.world.svm.get_account(&mint).unwrap();
    account.data[44] = 9;
    all.insured.world.svm.set_account(mint, account).unwrap();

    // When more is put in, then it is refused
    let changed = DriftShieldError::MintChanged;
    let market = all.market;
    let refused = all.insured.world.bet(&market, &bettor, 1, TOKEN);
    assert_refused(refused, changed);
    let refused = all.insured.deposit(&bettor, TOKEN);
    assert_refused(refused, DriftShieldError::MintChanged);

    // But what is there comes out
    let holder = all.holder.clone();
    all.insured.cancel(&holder, 1).unwrap();
    let provider = all.insured.provider();
    let left = all.insured.leave(&provider);
    assert!(CAPITAL <= left);
}

/// What a mint's issuer does to a token account.
fn freeze(world: &mut World, account: &Address) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[108] = 2;
    world.svm.set_account(*account, state).unwrap();
}

#[test]
fn one_frozen_account_keeps_no_other_claim_of_a_batch_waiting() {
    // Given a market with three winners, of whom the mint's issuer froze one, and a frozen holder
    let mut all = Everybody::new();
    let (market, frozen) = (all.market, all.winner.clone());
    let winners: Vec<_> = (0..2).map(|_| all.insured.world.wallet(TOKEN)).collect();
    for winner in &winners {
        all.insured.world.bet(&market, winner, 1, TOKEN).unwrap();
    }
    while all.insured.window < all.window {
        all.insured.measure(CALM_DRIFT);
    }
    all.insured.measure(300_000);
    all.insured.world.settle(&market, 1).unwrap();
    for account in [frozen.tokens, all.holder.tokens] {
        freeze(&mut all.insured.world, &account);
    }

    // When all are claimed, a transaction each
    let (holder, window) = (all.holder.clone(), all.window);
    assert!(all.insured.world.claim(&market, &frozen.address()).is_err());
    assert!(all.insured.claim(&holder, 1, window).is_err());
    for winner in &winners {
        all.insured.world.claim(&market, &winner.address()).unwrap();
        assert!(TOKEN < all.insured.world.tokens(&winner.tokens));
    }
    all.insured
        .world
        .claim(&market, &all.loser.address())
        .unwrap();

    // Then fees are collected too, and the frozen one is paid elsewhere if it signs
    let state = all.insured.world.market(&market);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &state, payee);
        all.insured.world.send(collect, &[]).unwrap();
    }
    let elsewhere = all.insured.world.wallet(0).tokens;
    let claim = instruction::claim(frozen.address(), market, &state);
    let mut claim = swapped(claim, &frozen.tokens, &elsewhere);
    claim.accounts[0].is_signer = true;
    all.insured.world.send(claim, &[&frozen.key]).unwrap();
    assert!(30 * TOKEN < all.insured.world.tokens(&elsewhere));
}
