//! Payments into the pot: funding, and the rent of bets and policies.

use driftshield_sdk::{
    CollateralTerms, DriftShieldError, Event, PolicyTerms, address,
    instruction::{self, Bet},
};
use driftshield_tests::{insurance::*, world::*};

use crate::pot::total_pay;

#[test]
fn anyone_can_fund_oracles_for_at_most_400_days() {
    // Given a model, and a stranger with tokens
    let mut world = World::new();
    let model = world.default_model();
    let funder = world.wallet(10 * TOKEN);
    // When it funds the oracles for no time, too long a time, or with nothing, it is refused
    for secs in [0, -1, 400 * DAY + 1] {
        assert_refused(
            world.fund(&model, &funder, TOKEN, secs),
            DriftShieldError::InvalidFundingEnd,
        );
    }
    let nothing = world.fund(&model, &funder, 0, DAY);
    assert_refused(nothing, DriftShieldError::ZeroAmount);
    // At the limits, it is accepted
    world.fund(&model, &funder, TOKEN, 1).unwrap();
    let before = world.model(&model.address);
    let sent = world.fund(&model, &funder, TOKEN, 400 * DAY).unwrap();
    let after = world.model(&model.address);
    let Event::OraclesFunded(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.funder, event.amount), (funder.address(), TOKEN));
    assert_eq!(event.until, world.now() + 400 * DAY);
    assert_eq!(event.totals, after.pot_totals());
    assert_eq!(after.held, before.held + TOKEN);
    assert_eq!(world.tokens(&funder.tokens), 8 * TOKEN);
}

#[test]
fn a_bet_pays_rent_until_its_last_window_must_be_decided() {
    // Given a market on windows 1 to 3 of a model with a rent of 2% a year
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(101 * TOKEN);
    let state = world.market(&market);
    let place = |max_rent| {
        let bet = Bet {
            max_rent,
            ..Bet::unlimited(0, 100 * TOKEN)
        };
        instruction::place_bet(bettor.address(), market, &state, bettor.tokens, bet)
    };
    // The rent of an hour to genesis, four days of windows, and 66 hours until the ruling is due.
    let secs = HOUR + 4 * DAY + 6 * HOUR + 12 * HOUR + 2 * DAY;
    let rent = (100 * TOKEN as u128 * 200 * secs as u128).div_ceil(10_000 * 365 * DAY as u128);
    let rent = rent as u64;

    // When a bettor accepts less, the bet is refused
    let outcome = world.send(place(rent - 1), &[&bettor.key]);
    assert_refused(outcome, DriftShieldError::RentTooHigh);
    // When it accepts the rent, the rent goes into the pot
    let sent = world.send(place(rent), &[&bettor.key]).unwrap();
    let Event::BetPlaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let after = world.model(&model.address);
    assert_eq!((event.rent, event.pot), (rent, after.pot_totals()));
    assert_eq!(after.pot.waiting, rent);
    let decided = after.window_end(3).unwrap() + after.dispute_secs();
    assert_eq!(after.pot.until, decided);
    assert_eq!(world.tokens(&bettor.tokens), TOKEN - rent);
    assert_eq!(world.market(&market).total, 100 * TOKEN);
}

#[test]
fn a_bet_of_one_base_unit_pays_one_base_unit() {
    // Given a token whose smallest bet is a base unit
    let terms = CollateralTerms {
        min_bet: 1,
        ..terms()
    };
    let mut world = World::with(params(), terms);
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(3);
    // When somebody bets one base unit three times
    for bets in 1..=3 {
        assert_eq!(world.bet_rent(&market, 1), 1);
        world.bet(&market, &bettor, 0, 1).unwrap();
        // Then each bet pays one, which is too little for any window
        let pot = world.model(&model.address).pot;
        assert_eq!((pot.waiting, pot.next_rate), (bets, 0));
    }
    world.finalize_with(&model, 0, &CALM);
    let state = world.model(&model.address);
    assert_eq!((state.pot.waiting, state.rewards), (3, [0; 7]));
}

#[test]
fn a_policy_and_its_renewal_pay_rent_for_each_second_once() {
    // Given a policy of ten windows
    let mut scene = Insured::new();
    let holder = scene.world.wallet(1_000 * TOKEN);
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    let start = scene.world.now();
    let before = scene.model().pot.waiting;
    let sent = scene.buy(&holder, 1, terms).unwrap();
    let Event::PolicyBought(bought) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let bought = bought.clone();
    assert_eq!(scene.model().pot.waiting, before + bought.rent);
    assert_eq!(bought.pot, scene.model().pot_totals());
    scene.start(&holder, 1);

    // When it is renewed
    let sent = scene.renew(&holder, 1, true).unwrap();
    let Event::PolicyRenewed(renewed) = sent.event() else {
        panic!("{:?}", sent.event())
    };

    // Then both rents together are the rent of the whole time, except for rounding
    let dispute_secs = scene.model().dispute_secs();
    let secs = renewed.end + dispute_secs - start;
    let whole = driftshield_sdk::math::rent(terms.cover, 200, secs as u64).unwrap();
    let paid = bought.rent + renewed.rent;
    assert!((whole..=whole + 1).contains(&paid), "{whole} {paid}");
}

#[test]
fn the_maximum_premium_includes_the_rent() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(1_000 * TOKEN);
    let quote = scene.quote(&scene.terms()).unwrap();
    assert!(0 < quote.rent);
    let terms = |max_premium| PolicyTerms {
        max_premium,
        ..scene.terms()
    };
    let (below, exact) = (terms(quote.price() - 1), terms(quote.price()));
    let outcome = scene.buy(&holder, 1, below);
    assert_refused(outcome, DriftShieldError::PremiumTooHigh);
    let paid_in = world_balance(&scene, &holder);
    scene.buy(&holder, 1, exact).unwrap();
    // `buy` adds the rent first, so only the premium is missing.
    assert_eq!(world_balance(&scene, &holder), paid_in - quote.premium);
}

fn world_balance(scene: &Insured, holder: &Wallet) -> u64 {
    scene.world.tokens(&holder.tokens)
}

#[test]
fn the_rent_of_a_cancelled_policy_stays_paid() {
    // Given a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(1_000 * TOKEN);
    let terms = scene.terms();
    scene.buy(&holder, 1, terms).unwrap();
    let before = scene.model();
    // When its holder cancels it at once
    scene.cancel(&holder, 1).unwrap();
    // Then the bond vault keeps the rent for the oracles
    let after = scene.model();
    assert_eq!(total_pay(&after), total_pay(&before));
    assert_eq!(after.held, before.held);
    let vault = address::bond_vault(&scene.model.address);
    assert_eq!(scene.world.tokens(&vault), before.held);
}

#[test]
fn markets_and_cover_have_budgets_of_their_own() {
    // Given a model whose stakes have reached their budget
    let mut scene = Insured::new();
    let state = scene.model();
    let limit = state.security * u64::from(state.security_multiple) / 2;
    let creator = scene.world.wallet(0);
    let window = scene.window + 1;
    let terms = driftshield_sdk::MarketTerms {
        first_window: window,
        last_window: window,
        close_ts: state.window_start(window).unwrap(),
        ..market_terms(&scene.world, &scene.model)
    };
    let market = scene
        .world
        .create_market(&scene.model, &creator, 1, terms)
        .unwrap();
    let bettor = scene.world.wallet(limit + 1);
    scene.world.bet(&market, &bettor, 0, limit).unwrap();
    assert_refused(
        scene.world.bet(&market, &bettor, 0, TOKEN),
        DriftShieldError::AboveSecurityLimit,
    );
    // When cover is bought, then it is sold: nobody can fill its budget with riskless stakes
    let holder = scene.world.wallet(1_000 * TOKEN);
    let terms = scene.terms();
    scene.buy(&holder, 1, terms).unwrap();
    let state = scene.model();
    assert_eq!((state.market_risk, state.cover_risk), (limit, terms.cover));
}
