//! Attacks on what a model's owner, its oracles and the bettors on it expect of it.

use driftshield_sdk::{
    ChallengePayee, DriftShieldError, MarketTerms, ModelTerms, PolicyTerms, ReceiptState, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// The smallest bet.
const DUST: u64 = TOKEN / 100;

#[test]
fn dust_bets_keep_an_oracle_in_its_seat_for_as_long_as_it_likes() {
    // Given a model whose owner wants another oracle instead of the first, whose friend has bet the smallest
    // amount on a market of a year
    let mut world = World::new();
    let model = world.default_model();
    let (friend, successor) = (world.wallet(TOKEN), world.wallet(0));
    let start = world.tokens(&friend.tokens);
    let year = |first: u64, world: &World| MarketTerms {
        first_window: first,
        last_window: first + 365,
        close_ts: world
            .model(&model.address)
            .window_start(first)
            .expect("in range"),
        ..market_terms(world, &model)
    };
    let bet = |world: &mut World, id, first| {
        let terms = year(first, world);
        let market = world.create_market(&model, &friend, id, terms).unwrap();
        let rent = world.bet_rent(&market, DUST);
        world.bet(&market, &friend, 0, DUST).unwrap();
        (market, rent)
    };
    let update = |world: &mut World| {
        let oracles = [
            successor.clone(),
            model.oracles[1].clone(),
            model.oracles[2].clone(),
        ];
        let terms = ModelTerms {
            max_spread: spread(&spec(world)),
            ..model_terms(&oracles)
        };
        let state = world.model(&model.address);
        let owner = model.owner.address();
        let update = instruction::update_model(owner, model.address, &state, terms);
        world.send(update, &[&model.owner.key])
    };
    let mut unexposed = world.clone();
    update(&mut unexposed).unwrap();
    let (first, first_rent) = bet(&mut world, 1, 1);

    // When the owner tries to replace the oracle at any time of the year, and the friend bets again before its
    // end
    for _ in 0..12 {
        assert_refused(update(&mut world), DriftShieldError::ModelExposed);
        world.pass(30 * DAY);
    }
    let (second, second_rent) = bet(&mut world, 2, 361);
    world.pass(8 * DAY);
    world.settle(&first).unwrap();
    world.claim(&first, &friend.address()).unwrap();

    // Then it is refused, and goes on to be: the stake comes back, and two years cost two rents
    assert_refused(update(&mut world), DriftShieldError::ModelExposed);
    world.pass(365 * DAY);
    assert_refused(update(&mut world), DriftShieldError::ModelExposed);
    world.settle(&second).unwrap();
    world.claim(&second, &friend.address()).unwrap();
    assert_eq!(world.tokens(&friend.tokens), start); // the rents were added by `bet`
    assert_eq!((first_rent, second_rent), (203, 203));
    update(&mut world).unwrap();
}

#[test]
fn an_owner_who_retires_an_idle_model_sends_its_funding_to_the_treasury() {
    // Given a model without bets or cover, which somebody has funded for a year
    let mut world = World::new();
    let model = world.default_model();
    let funder = world.wallet(1_000 * TOKEN);
    world.pass(HOUR);
    world
        .fund(&model, &funder, 1_000 * TOKEN, 365 * DAY)
        .unwrap();
    world.finalize_with(&model, 0, &CALM);
    world.finalize_with(&model, 1, &CALM);
    let rewards: u64 = world.model(&model.address).rewards.iter().sum();

    // When its owner, in league with the admin, retires it
    let retire = instruction::retire_model(model.owner.address(), model.address);
    world.send(retire, &[&model.owner.key]).unwrap();
    let before = world.tokens(&world.treasury());
    let collect = instruction::collect_pot(model.address, &world.model(&model.address));
    world.send(collect, &[]).unwrap();

    // Then the treasury has at once what the oracles haven't earned, and the funder nothing
    let swept = world.tokens(&world.treasury()) - before;
    assert_eq!(swept + rewards, 1_000 * TOKEN);
    assert_eq!((swept, rewards), (997_252_750, 2_747_250));
    assert_eq!(world.tokens(&funder.tokens), 0);
}

#[test]
fn a_dust_bet_on_an_outcome_that_nobody_expects_takes_the_pool_instead_of_a_refund() {
    for sniped in [false, true] {
        // Given a market on which all have bet that drift stays low, and a bet of dust on the other outcome in
        // the last second
        let mut world = World::new();
        let model = world.default_model();
        let (crowd, sniper) = (world.wallet(1_000 * TOKEN), world.wallet(TOKEN));
        let terms = market_terms(&world, &model);
        let close = terms.close_ts;
        let market = world.create_market(&model, &crowd, 1, terms).unwrap();
        world.bet(&market, &crowd, 0, 700 * TOKEN).unwrap();
        world.warp_to(close - 1);
        if sniped {
            world.bet(&market, &sniper, 1, DUST).unwrap();
        }

        // When drift is high
        world.finalize_with(&model, 1, &DRIFTED);
        world.settle(&market).unwrap();
        world.claim(&market, &crowd.address()).unwrap();

        // Then the crowd loses everything to the dust, less the fees of 3%, where it would be refunded
        // otherwise
        let rest = world.tokens(&crowd.tokens);
        if sniped {
            let before = world.tokens(&sniper.tokens);
            world.claim(&market, &sniper.address()).unwrap();
            let payout = world.tokens(&sniper.tokens) - before;
            assert_eq!((rest, payout), (300 * TOKEN, DUST + 679 * TOKEN));
        } else {
            assert_eq!(rest, 1_000 * TOKEN);
        }
    }
}

#[test]
fn a_bettor_on_both_sides_lives_on_the_penalties_of_oracles_who_sleep() {
    // Given oracles of an idle model who expect no work, and somebody who bets on both outcomes of its own
    // market, enough to make three penalties due
    let mut world = World::new();
    let model = world.default_model();
    let attacker = world.wallet(1_000 * TOKEN);
    let terms = market_terms(&world, &model);
    let windows = terms.first_window..=terms.last_window;
    let market = world.create_market(&model, &attacker, 1, terms).unwrap();
    let start = world.tokens(&attacker.tokens);
    let mut rent = 0;
    for outcome in [0, 1] {
        rent += world.bet_rent(&market, 10 * TOKEN);
        world.bet(&market, &attacker, outcome, 10 * TOKEN).unwrap();
    }
    let bonds: u64 = world.model(&model.address).bonds.iter().sum();

    // When it asserts the true counts of each window for which they are silent, and the arbiter agrees
    for window in windows {
        world.warp_to_end(&model, window);
        world.pass(params().submit_secs);
        world.challenge(&model, window, &attacker, &CALM).unwrap();
        world.rule(&model, window, &CALM).unwrap();
        let receipt = address::receipt(&model.address, window);
        if world.exists(&receipt) {
            let receipt = world.receipt(&model.address, window);
            let state = world.model(&model.address);
            let payee = ChallengePayee::Challenger;
            let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
            world.send(collect, &[]).unwrap();
        }
    }
    world.settle(&market).unwrap();
    world.claim(&market, &attacker.address()).unwrap();
    world.collect_fees(&market);

    // Then it gets half of their penalties, for a fraction of that in fees and rent: whoever holds a seat that
    // counts has to measure from the first bet on
    let lost = bonds - world.model(&model.address).bonds.iter().sum::<u64>();
    let won = world.tokens(&attacker.tokens) - start;
    assert_eq!(lost, 3 * 3 * 5 * TOKEN);
    assert_eq!((won, rent), (22_300_000, 7_444));
}

#[test]
fn windows_can_be_asserted_one_by_one_after_all_oracles_have_left_at_no_cost_to_them() {
    // Given cover for a year, whose sale is followed by the notice of all oracles
    let mut scene = Insured::new();
    let model = scene.model.clone();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows: 363,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    for oracle in &model.oracles {
        let leave = instruction::leave_seat(oracle.address(), model.address);
        scene.world.send(leave, &[&oracle.key]).unwrap();
    }
    let notice = scene.world.now() + params().leave_secs;
    while scene.model().window_end(scene.window).unwrap() < notice {
        scene.measure(CALM_DRIFT);
    }
    scene.begin(&holder, 1).unwrap();

    // When the notice is over, and they take out their bonds
    scene.world.warp_to(notice.max(scene.world.now()));
    for oracle in &model.oracles {
        let unbond = instruction::request_unbond(oracle.address(), model.address, 20_000 * TOKEN);
        scene.world.send(unbond, &[&oracle.key]).unwrap();
    }
    let bad = scene.window + 5;
    scene.world.warp_to_end(&model, bad);
    scene.world.pass(params().submit_secs);

    // Then the holder can still assert a window that has drifted, and the arbiter makes it final: five
    // sixths of the cover hang on somebody who does this for every window, for nothing but its bond
    let before = scene.world.tokens(&holder.tokens);
    let counts = share(500_000);
    scene
        .world
        .challenge(&model, bad, &holder, &counts)
        .unwrap();
    scene.world.rule(&model, bad, &counts).unwrap();
    assert_eq!(
        scene.world.receipt_state(&model.address, bad),
        ReceiptState::Final
    );
    scene.claim(&holder, 1).unwrap();
    let receipt = scene.world.receipt(&model.address, bad);
    let (state, payee) = (scene.model(), ChallengePayee::Challenger);
    let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
    scene.world.send(collect, &[]).unwrap();
    let after = scene.world.tokens(&holder.tokens);
    assert_eq!(after - before, terms.cover);
    for oracle in &model.oracles {
        let seat = scene.world.seat(&model.address, &oracle.address());
        assert_eq!(seat.bonded, 20_000 * TOKEN);
    }
}
