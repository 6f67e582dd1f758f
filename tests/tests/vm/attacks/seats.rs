//! Attacks on oracles' seats: on oracles that are bound or slashed, and by oracles and owners.

use driftshield_sdk::{
    Address, Aggregate, CollateralTerms, DriftShieldError, Event, MarketState, MarketTerms,
    ModelTerms, instruction,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

use crate::{
    bonds::{replace, start_leaving, unbond, withdraw},
    market::market_with_bet,
    stakeholders::market_terms_on,
};

/// The bond of each oracle of the default model.
const BOND: u64 = 10_000 * TOKEN;

#[test]
fn a_dust_bet_in_a_long_market_binds_oracles_for_63_days_instead_of_399() {
    // Given the least bet, 0.01 token, in a market of 366 windows
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms_on(&world, &model, 1, 366);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN / 100).unwrap();
    let began = world.now();

    // When all oracles want to go, then a quorum can't at once
    unbond(&mut world, &model, 2, BOND).unwrap();
    let outcome = unbond(&mut world, &model, 0, BOND);
    assert_refused(outcome, DriftShieldError::SecurityNeeded);

    // But after their notice and the unbonding period they have all of their bonds
    for oracle in [0, 1] {
        start_leaving(&mut world, &model, oracle).unwrap();
    }
    world.pass(params().leave_secs);
    for oracle in [0, 1] {
        unbond(&mut world, &model, oracle, BOND).unwrap();
    }
    world.pass(params().unbond_secs);
    for oracle in 0..3 {
        withdraw(&mut world, &model, oracle).unwrap();
        assert_eq!(world.tokens(&model.oracles[oracle].tokens), 10 * BOND);
    }
    assert_eq!(world.now() - began, 63 * DAY);

    // The bettor loses nothing: without a quorum, the market refunds the bet
    world.warp_to_end(&model, 366);
    world.pass(params().submit_secs + params().challenge_secs);
    world.settle(&market).unwrap();
    assert_eq!(paid(&mut world, &market, &bettor), TOKEN / 100);
}

#[test]
fn a_leaving_oracle_is_slashed_like_any_other() {
    // Given an oracle that announces its leaving, and lies before its time
    let mut world = World::new();
    let model = world.default_model();
    let challenger = world.wallet(terms().challenge_bond);
    start_leaving(&mut world, &model, 0).unwrap();
    world.submit_all(&model, 0, &DRIFTED);
    world.challenge(&model, 0, &challenger, &CALM).unwrap();
    world.rule(&model, 0, &CALM).unwrap();
    // Then it loses as much as the others: 500 tokens
    let seats = [0, 1, 2].map(|oracle: usize| {
        let oracle = model.oracles[oracle].address();
        world.seat(&model.address, &oracle).bonded
    });
    assert_eq!(seats, [BOND - terms().slash_amount; 3]);
}

#[test]
fn a_slash_of_everybody_ends_no_quorum_at_the_lowest_allowed_bond() {
    // Given the lowest bond that a slash amount allows; a bond of one slash is refused
    let lowest = CollateralTerms {
        min_bond: 2 * terms().slash_amount,
        ..terms()
    };
    let mut world = World::with(params(), lowest);
    let admin = world.admin.insecure_clone();
    let too_low = CollateralTerms {
        min_bond: lowest.min_bond - 1,
        ..lowest
    };
    let update = instruction::update_collateral(admin.pubkey(), world.mint, too_low, true);
    let outcome = world.send(update, &[&admin]);
    assert_refused(outcome, DriftShieldError::InvalidCollateralTerms);
    let spec = spec(&world);
    let model = world.model_with(spec, 3, lowest.min_bond);
    let (market, _) = market_with_bet(&mut world, &model, TOKEN);

    // When a ruling slashes all three, who agreed
    let challenger = world.wallet(terms().challenge_bond);
    world.submit_all(&model, 0, &DRIFTED);
    world.challenge(&model, 0, &challenger, &CALM).unwrap();
    world.rule(&model, 0, &CALM).unwrap();

    // Then the quorum and its security stay, and the market is measured to its end
    let security = world.model(&model.address).security;
    assert_eq!(security, terms().slash_amount / 2);
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market).unwrap();
    assert_eq!(
        MarketState::from(world.market(&market).state),
        MarketState::Resolved
    );
}

/// Seven oracles with a quorum of five, of whom two can be replaced, and a bet.
fn seven_oracles(world: &mut World) -> TestModel {
    let spec = spec(world);
    let model = world.model_with(spec, 7, 0);
    let terms_of_five = ModelTerms {
        quorum: 5,
        ..model_terms(&model.oracles)
    };
    let (owner, state) = (model.owner.address(), world.model(&model.address));
    let update = instruction::update_model(owner, model.address, &state, terms_of_five);
    world.send(update, &[&model.owner.key]).unwrap();
    for oracle in 0..7 {
        let tokens = model.oracles[oracle].tokens;
        world.mint_to(&tokens, 2 * BOND);
        world.bond(&model, oracle, BOND).unwrap();
    }
    market_with_bet(world, &model, TOKEN);
    model
}

#[test]
fn an_owner_replaces_fewer_oracles_than_bend_a_median() {
    // Given a quorum of five whose oracles have all left, by their notice
    let mut world = World::new();
    let model = seven_oracles(&mut world);
    for oracle in 0..7 {
        start_leaving(&mut world, &model, oracle).unwrap();
    }
    world.pass(params().leave_secs);
    for oracle in 0..7 {
        unbond(&mut world, &model, oracle, BOND).unwrap();
    }
    world.pass(params().replace_secs);

    // When the owner replaces them by puppets, then two can be, one fewer than ⌈5/2⌉ that bend a
    // median of five
    let puppets = [(); 3].map(|()| world.wallet(BOND));
    for (oracle, puppet) in puppets[..2].iter().enumerate() {
        replace(&mut world, &model, oracle, puppet).unwrap();
    }
    let outcome = replace(&mut world, &model, 2, &puppets[2]);
    assert_refused(outcome, DriftShieldError::TooManyReplaced);
    // And with two puppets there is no quorum and no new risk: nothing to gain
    assert_eq!(world.model(&model.address).security, 0);
}

#[test]
fn a_slot_hands_over_no_slash_and_no_window_that_has_begun() {
    // Given an oracle that lied and went, with its submission still open
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 5, BOND);
    market_with_bet(&mut world, &model, TOKEN);
    world.warp_to_end(&model, 0);
    for oracle in 0..5 {
        let counts = if oracle == 0 { &DRIFTED } else { &CALM };
        world.submit(&model, oracle, 0, counts).unwrap();
    }
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().replace_secs + HOUR);

    // When the owner replaces it while the receipt is open, so that the slash would find another
    // oracle's seat, then it is refused, until the receipt is settled
    let successor = world.wallet(BOND);
    let outcome = replace(&mut world, &model, 0, &successor);
    assert_refused(outcome, DriftShieldError::SubmissionOpen);
    world.finalize(&model, 0).unwrap();
    let sent = replace(&mut world, &model, 0, &successor).unwrap();
    assert!(matches!(sent.event(), Event::OracleReplaced(_)));

    // And the successor, once bonded, submits for no window that began before it was listed
    let state = world.model(&model.address);
    let bond = instruction::bond(
        successor.address(),
        model.address,
        &state,
        successor.tokens,
        BOND,
    );
    world.send(bond, &[&successor.key]).unwrap();
    let running = ((world.now() - state.genesis) / state.window_secs) as u64;
    assert!(state.window_start(running).unwrap() < world.now());
    let mut listed = model.clone();
    listed.oracles[0] = successor;
    world.warp_to_end(&listed, running);
    let outcome = world.submit(&listed, 0, running, &CALM);
    assert_refused(outcome, DriftShieldError::ListedTooLate);
    world.warp_to_end(&listed, running + 1);
    world.submit(&listed, 0, running + 1, &CALM).unwrap();
}

#[test]
fn a_spread_that_covers_the_lie_is_refused() {
    // Given a metric whose noise floor is about 0.1
    let mut world = World::new();
    let spec = coarse_spec(&world);
    let (owner, floor) = (world.wallet(0), spec.noise_floor());
    let oracles = [(); 3].map(|()| world.wallet(BOND));
    // When a model is registered with a spread of 1.0, or of its noise floor, then it is refused
    for max_spread in [1_000_000, floor] {
        let terms = ModelTerms {
            max_spread,
            ..model_terms(&oracles)
        };
        let register = instruction::register_model(
            owner.address(),
            1,
            &world.collateral(),
            spec.clone(),
            terms,
        );
        let outcome = world.send(register, &[&owner.key]);
        assert_refused(outcome, DriftShieldError::SpreadAboveNoise);
    }

    // And at the widest spread, three who report 0.9 of a truth of 0, or the floor of a truth an eighth
    // below it and more, lose 500 tokens each, and the challenger gets its bond, and twice that once no
    // appeal can be made
    for (lie, truth) in [(900_000, 0), (floor, floor - floor / 8 - 1)] {
        let spec = coarse_spec(&world);
        let model = world.model_with(spec, 3, BOND);
        let challenger = world.wallet(terms().challenge_bond);
        world.submit_all(&model, 0, &share(lie));
        world
            .challenge(&model, 0, &challenger, &share(truth))
            .unwrap();
        let sent = world.rule(&model, 0, &share(truth)).unwrap();
        let Event::ReceiptRuled(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(event.slashed, 1_500 * TOKEN);
        assert_eq!(event.challenger_credit, 100 * TOKEN);
        assert_eq!(event.reward, 200 * TOKEN);
    }
}

/// Bets of 300 on both outcomes of a `Max` market on windows 1 to 3, of which the first is calm and the
/// others are silent. Returns what the bettor on the lower outcome is paid.
fn silence_on_a_max_market(min_observed: u64) -> u64 {
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = MarketTerms {
        aggregate: Aggregate::Max,
        min_observed,
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettors = [0, 1].map(|outcome| {
        let bettor = world.wallet(310 * TOKEN); // 10 for the rent
        world.bet(&market, &bettor, outcome, 300 * TOKEN).unwrap();
        bettor
    });
    world.finalize_with(&model, 1, &CALM);
    world.warp_to_end(&model, 3);
    world.pass(params().submit_secs + params().challenge_secs);
    world.settle(&market).unwrap();
    paid(&mut world, &market, &bettors[0])
}

/// What a claim pays, without the rent that the bet has paid.
fn paid(world: &mut World, market: &Address, bettor: &Wallet) -> u64 {
    let sent = world.claim(market, &bettor.address()).unwrap();
    let Event::Claimed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    event.paid
}

#[test]
fn silence_gains_nothing_where_windows_are_missing() {
    // Without a least number of windows, oracles who stay silent in two drifted windows of three turn a
    // friend's 300 into 591. With four fifths of the windows, it gets back its 300
    assert_eq!(silence_on_a_max_market(0), 591 * TOKEN);
    assert_eq!(silence_on_a_max_market(1), 591 * TOKEN);
    assert_eq!(silence_on_a_max_market(3), 300 * TOKEN);
}
