//! Actions split into many small parts: the parts cost no less and pay no more than the whole action.

use driftshield_sdk::{PolicyTerms, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Splits `whole` at random into `parts` parts. None is 0 if `whole` is at least `2 * parts`.
fn split(random: &mut StdRng, whole: u64, parts: u64) -> Vec<u64> {
    let mut left = whole;
    let mut split: Vec<u64> = (1..parts)
        .map(|part| {
            let most = left / (parts - part + 1);
            let taken = random.random_range(most / 2..=most);
            left -= taken;
            taken
        })
        .collect();
    split.push(left);
    split
}

#[test]
fn cover_bought_in_parts_costs_no_less() {
    let scene = Insured::new();
    let mut random = StdRng::seed_from_u64(5);
    for cover in [20 * TOKEN + 7, 777 * TOKEN + 777_777, 8_999 * TOKEN] {
        // Given the premium of some cover that is bought at once
        let terms = PolicyTerms {
            cover,
            ..scene.terms()
        };
        let whole = scene.quote(&terms).unwrap().premium;

        // When the cover is bought in parts
        let mut split_scene = scene.clone();
        let holder = split_scene.world.wallet(CAPITAL);
        let parts = split(&mut random, cover, 9);
        for (id, part) in (0..).zip(&parts) {
            let terms = PolicyTerms {
                cover: *part,
                ..terms
            };
            split_scene.buy(&holder, id, terms).unwrap();
        }

        // Then the parts cost no less, and at most one base unit per part more
        let paid = CAPITAL - split_scene.world.tokens(&holder.tokens);
        assert!(
            whole <= paid && paid <= whole + 9,
            "in parts {paid}, at once {whole}"
        );
    }
}

#[test]
fn bets_split_over_wallets_win_no_more() {
    // Given a market with losing stakes
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let (loser, other) = (world.wallet(TOKEN), world.wallet(TOKEN));
    world.bet(&market, &loser, 1, 999_983).unwrap();
    world.bet(&market, &other, 0, 10_007).unwrap();
    let mut random = StdRng::seed_from_u64(6);
    let stake = 777_777;

    // When somebody bets a stake at once, in many bets, or from many wallets
    let payout = |mut world: World, bets: &[(Wallet, u64)]| -> (u64, u64) {
        for (bettor, amount) in bets {
            world.bet(&market, bettor, 0, *amount).unwrap();
        }
        for window in 1..=3 {
            world.finalize_with(&model, window, &CALM);
        }
        world.settle(&market).unwrap();
        let mut paid = 0;
        for (index, (bettor, _)) in bets.iter().enumerate() {
            if bets[..index].iter().all(|(b, _)| b.tokens != bettor.tokens) {
                let before = world.tokens(&bettor.tokens);
                world.claim(&market, &bettor.address()).unwrap();
                paid += world.tokens(&bettor.tokens) - before;
            }
        }
        let before = world.tokens(&other.tokens);
        world.claim(&market, &other.address()).unwrap();
        (paid, world.tokens(&other.tokens) - before)
    };
    let wallets: Vec<Wallet> = (0..9).map(|_| world.wallet(TOKEN)).collect();
    let whole = payout(world.clone(), &[(wallets[0].clone(), stake)]);
    let parts = split(&mut random, stake, 9);
    let mine: Vec<_> = parts
        .iter()
        .map(|part| (wallets[0].clone(), *part))
        .collect();
    let in_bets = payout(world.clone(), &mine);
    let many: Vec<_> = wallets.iter().cloned().zip(parts).collect();
    let in_wallets = payout(world, &many);

    // Then the bettor is paid no more, and the other winner no less
    assert_eq!(in_bets, whole);
    assert!(in_wallets.0 <= whole.0 && whole.0 - in_wallets.0 < 9);
    assert_eq!(in_wallets.1, whole.1);
}

#[test]
fn claims_by_every_window_pay_as_much_as_the_last_claim_alone() {
    // Given a policy whose drift rises from window to window
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 777 * TOKEN + 777_777,
        trigger: 100_003,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let first = scene.policy(&holder, 1).first_window;
    scene.measure_until(first, CALM_DRIFT);
    let drifts = [100_003, 100_004, 123_457, 200_001, 251_003];

    // When it is claimed after each window in turn, or after the last window only
    let claimed = |mut scene: Insured, in_parts: bool| {
        let before = scene.world.tokens(&holder.tokens);
        for drift in drifts {
            scene.measure(drift);
            if in_parts || drift == drifts[drifts.len() - 1] {
                scene.claim(&holder, 1).unwrap();
            }
        }
        scene.world.tokens(&holder.tokens) - before
    };
    let in_parts = claimed(scene.clone(), true);
    let at_once = claimed(scene, false);

    // Then both pay the same
    assert_eq!(in_parts, at_once);
}

#[test]
fn deposits_and_withdrawals_in_parts_pay_no_more() {
    // Given a vault whose share price is not a round number
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pass(12_345);
    let mut random = StdRng::seed_from_u64(7);
    let amount = 77 * TOKEN + 77;

    // When somebody deposits and withdraws an amount at once, or deposits it and requests its shares in
    // parts
    let wallet = scene.world.wallet(amount);
    let parts = split(&mut random, amount, 7);
    let mut whole = scene.clone();
    whole.deposit(&wallet, amount).unwrap();
    whole.leave(&wallet);
    for part in parts {
        scene.deposit(&wallet, part).unwrap();
    }
    let shares = scene.shares(&wallet);
    for part in split(&mut random, shares, 7) {
        scene.request(&wallet, part).unwrap();
    }
    scene.world.pass(COOLDOWN);
    scene.withdraw(&wallet).unwrap();

    // Then the parts pay no more
    let [split, whole] = [&scene, &whole].map(|scene| scene.world.tokens(&wallet.tokens));
    assert!(
        split <= whole && whole <= amount,
        "in parts {split}, at once {whole}"
    );
}

#[test]
fn fees_are_collected_once() {
    // Given a resolved market
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let (winner, loser) = (world.wallet(TOKEN), world.wallet(TOKEN));
    world.bet(&market, &winner, 1, TOKEN).unwrap();
    world.bet(&market, &loser, 0, 999_999).unwrap();
    world.finalize_with(&model, 1, &DRIFTED);
    world.settle(&market).unwrap();

    // When the creator's fee is collected twice in a transaction, then it is refused
    let state = world.market(&market);
    let payee = driftshield_sdk::FeePayee::Creator;
    let collect = instruction::collect_fees(market, &state, payee);
    let outcome = world.send_all(&[collect.clone(), collect.clone()], &[]);
    assert_refused(outcome, driftshield_sdk::DriftShieldError::NothingToCollect);
    world.send(collect, &[]).unwrap();
    assert_eq!(world.tokens(&creator.tokens), state.creator_credit);
    assert!(world.exists(&address::market_vault(&market)));
}
