//! Payouts that are stranded, redirected or blocked, as audits found in BriVault and other protocols.

use driftshield_sdk::{
    DriftShieldError, FeePayee, MarketState, MarketTerms, PremiumPayee, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::{stakeholders::Stakeholders, tampering::set_frozen};

#[test]
fn brivault_444_a_market_without_winners_refunds_all_stakes() {
    // Given a market with three outcomes, and no bet on the one that wins
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
    world.settle(&market).unwrap();
    assert_eq!(world.market(&market).state, MarketState::Void);

    // When all bettors claim, then each gets its stake back, and the market closes with nothing left
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
fn brivault_600_claims_in_any_order_leave_only_dust() {
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..5 {
        // Given a settled market with many bets in random order, several of them by the same bettors
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
        world.settle(&market).unwrap();

        // When the bettors claim in random order, and fees are collected in between
        bettors.shuffle(&mut random);
        for (index, bettor) in bettors.iter().enumerate() {
            if index == 4 {
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

        // Then less than a base unit per winner is left
        assert!(world.market(&market).owed < 8);
    }
}

#[test]
fn betting_closes_before_the_first_window_begins() {
    // Given a market in the last second of betting
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(TOKEN));
    let terms = market_terms(&world, &model);
    let (closes, first) = (terms.close_ts, terms.first_window);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    world.warp_to(closes - 1);

    // When somebody bets then, and again a second later
    world.bet(&market, &bettor, 0, TOKEN / 2).unwrap();
    world.warp_to(closes);
    let late = world.bet(&market, &bettor, 0, TOKEN / 2);

    // Then the second bet is refused, and the first was placed before the first window began
    assert_refused(late, DriftShieldError::BettingClosed);
    let begins = world.model(&model.address).window_start(first).unwrap();
    assert!(closes - 1 < begins);
}

#[test]
fn a_stranger_cannot_redirect_a_payout() {
    // Given a claimable position and policy, fees, a due request, and a stranger with a token account
    let mut all = Stakeholders::new();
    let provider = all.insured.provider();
    all.insured.request(&provider, CAPITAL).unwrap();
    all.measure(300_000);
    let market = all.market;
    all.insured.world.settle(&market).unwrap();
    all.insured.examine(&all.holder, 1).unwrap();
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
        (instruction::claim_policy(&policy, &vault), &all.holder),
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
        // When the stranger replaces the destination with its own account, and then also the payee with
        // itself as a signer, then it is refused
        let mut redirected = swapped(payout.clone(), &payee.tokens, &stranger.tokens);
        let outcome = all.insured.world.clone().send(redirected.clone(), &[]);
        assert_refused(outcome, DriftShieldError::WrongDestination);
        redirected = swapped(redirected, &payee.address(), &stranger.address());
        let mut metas = redirected.accounts.iter_mut();
        let meta = metas.find(|meta| meta.pubkey == stranger.address());
        meta.unwrap().is_signer = true;
        let outcome = all.insured.world.clone().send(redirected, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::WrongPayee);

        // And when the stranger sends the unchanged instruction, then the payee is paid
        let mut fork = all.insured.world.clone();
        let before = fork.tokens(&payee.tokens);
        fork.send(payout, &[]).unwrap();
        assert!(before < fork.tokens(&payee.tokens));
    }
}

#[test]
fn a_mint_recreated_with_other_decimals_pays_out_and_accepts_no_payments() {
    // Given stakes and capital in a mint that is recreated with other decimals
    let mut all = Stakeholders::new();
    let (mint, bettor) = (all.insured.world.mint, all.winner.clone());
    let mut account = all.insured.world.svm.get_account(&mint).unwrap();
    account.data[44] = 9;
    all.insured.world.svm.set_account(mint, account).unwrap();

    // When more is bet or deposited, then it is refused
    let changed = DriftShieldError::MintChanged;
    let market = all.market;
    let refused = all.insured.world.bet(&market, &bettor, 1, TOKEN);
    assert_refused(refused, changed);
    let refused = all.insured.deposit(&bettor, TOKEN);
    assert_refused(refused, DriftShieldError::MintChanged);

    // But a policy can be cancelled and the capital withdrawn
    let holder = all.holder.clone();
    all.insured.cancel(&holder, 1).unwrap();
    let provider = all.insured.provider();
    let left = all.insured.leave(&provider);
    assert!(CAPITAL <= left);
}

#[test]
fn a_frozen_token_account_blocks_only_its_own_payout() {
    // Given a market with three winners, and the token accounts of one winner and of a policy's holder
    // frozen
    let mut all = Stakeholders::new();
    let (market, frozen) = (all.market, all.winner.clone());
    let winners: Vec<_> = (0..2).map(|_| all.insured.world.wallet(TOKEN)).collect();
    for winner in &winners {
        all.insured.world.bet(&market, winner, 1, TOKEN).unwrap();
    }
    all.measure(300_000);
    all.insured.world.settle(&market).unwrap();
    for account in [frozen.tokens, all.holder.tokens] {
        set_frozen(&mut all.insured.world, &account, true);
    }

    // When everything is claimed, each in a transaction of its own, then only the frozen ones fail
    let holder = all.holder.clone();
    assert!(all.insured.world.claim(&market, &frozen.address()).is_err());
    assert!(all.insured.claim(&holder, 1).is_err());
    for winner in &winners {
        all.insured.world.claim(&market, &winner.address()).unwrap();
        assert!(TOKEN < all.insured.world.tokens(&winner.tokens));
    }
    all.insured
        .world
        .claim(&market, &all.loser.address())
        .unwrap();

    // And fees are collected too, and the frozen winner is paid elsewhere if it signs
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
