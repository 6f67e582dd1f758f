//! Attacks on the oracles' pay.

use driftshield_sdk::{MetricSpec, instruction};
use driftshield_tests::world::*;

use crate::pot::{paid_model, total_pay};

/// The sum of the uncollected rewards of a model's oracles.
fn earned(world: &World, model: &TestModel) -> u64 {
    world.model(&model.address).rewards.iter().sum()
}

#[test]
fn k_oracles_cannot_take_half_of_a_years_pot_in_two_days_and_leave() {
    // Given an hourly model, whose owner has paid 8,760 tokens for a year
    let mut world = World::new();
    let spec = MetricSpec {
        window_secs: HOUR,
        ..spec(&world)
    };
    let model = world.model_with(spec, 3, 10_000 * TOKEN);
    let funder = world.wallet(8_760 * TOKEN);
    world
        .fund(&model, &funder, 8_760 * TOKEN, 365 * DAY)
        .unwrap();
    world.solvency_checks = false; // checked once, at the end
    // When the oracles measure 45 windows and leave
    for window in 0..45 {
        world.submit_all(&model, window, &CALM);
    }
    world.pass(params().challenge_secs);
    for window in 0..45 {
        world.finalize(&model, window).unwrap();
    }
    // Then they have earned the pay of 45 hours: 44.97 tokens, not 4,380
    let earned = earned(&world, &model);
    assert!((44 * TOKEN..=45 * TOKEN).contains(&earned), "{earned}");
    world.solvency_checks = true;
    world.check_solvency();
}

#[test]
fn k_old_receipts_take_nothing_of_a_later_bet_or_funding() {
    // Given windows that pay 3 tokens each: one has an open receipt, the next has none yet
    let pay = 3 * TOKEN;
    let (mut world, model) = paid_model(pay, 30);
    world.submit_all(&model, 0, &CALM);
    world.warp_to_end(&model, 1);
    // When the oracles, or anybody, add 30,000 tokens for the next second
    let funder = world.wallet(30_000 * TOKEN);
    world.fund(&model, &funder, 30_000 * TOKEN, 1).unwrap();
    world.submit_all(&model, 1, &CALM);
    world.pass(params().challenge_secs);
    for window in [0, 1] {
        world.finalize(&model, window).unwrap();
    }
    // Then both windows pay what they paid before
    assert_eq!(earned(&world, &model), 2 * pay);
    // And so does the running one
    world.submit_all(&model, 2, &CALM);
    assert_eq!(world.receipt(&model.address, 2).pay, pay);
    world.submit_all(&model, 3, &CALM);
    assert!(pay < world.receipt(&model.address, 3).pay);
}

#[test]
fn a_bet_around_a_windows_end_pays_only_windows_that_begin_later() {
    // Given windows that pay 3 tokens each, and a market that is open for ten days
    let pay = 3 * TOKEN;
    for (offset, first_raised) in [(-1, 3), (0, 4)] {
        let (mut world, model) = paid_model(pay, 30);
        let creator = world.wallet(0);
        let state = world.model(&model.address);
        let terms = driftshield_sdk::MarketTerms {
            first_window: 10,
            last_window: 12,
            close_ts: state.window_start(10).unwrap(),
            ..market_terms(&world, &model)
        };
        let market = world.create_market(&model, &creator, 1, terms).unwrap();
        let bettor = world.wallet(700 * TOKEN);
        // When somebody bets a second before window 2 ends, or at its end
        world.warp_to(state.window_end(2).unwrap() + offset);
        world.bet(&market, &bettor, 0, 700 * TOKEN).unwrap();
        // Then the rent raises the pay only of windows that had not begun
        for window in 2..=4 {
            world.submit_all(&model, window, &CALM);
            let paid = world.receipt(&model.address, window).pay;
            assert_eq!(pay < paid, first_raised <= window, "{offset} {window}");
        }
    }
}

#[test]
fn f_pay_of_windows_without_a_quorum_never_returns_to_the_oracles() {
    // Given windows that pay 3 tokens each
    let pay = 3 * TOKEN;
    let (mut world, model) = paid_model(pay, 30);
    let before = total_pay(&world.model(&model.address));
    // When two of three oracles are silent for ten windows, and the third submits
    for window in 0..10 {
        world.warp_to_end(&model, window);
        world.submit(&model, 0, window, &CALM).unwrap();
    }
    let undecided = params().submit_secs + params().challenge_secs + params().ruling_secs;
    world.pass(undecided);
    for window in 0..10 {
        world.finalize(&model, window).unwrap();
    }
    // Then nobody has earned anything, and later windows pay no more than they would have
    assert_eq!(earned(&world, &model), 0);
    let next = 10 + (undecided / DAY) as u64; // the rest of them was silent
    for window in next + 1..next + 3 {
        world.finalize_with(&model, window, &CALM);
    }
    assert_eq!(earned(&world, &model), 2 * pay);
    let state = world.model(&model.address);
    assert_eq!(total_pay(&state), before);
    assert!(10 * pay <= state.pot.unearned);
}

#[test]
fn an_oracle_that_joins_late_or_never_inherits_no_reward() {
    // Given three oracles with rewards
    let (mut world, model) = paid_model(3 * TOKEN, 30);
    world.finalize_with(&model, 0, &CALM);
    // When the owner puts another oracle into the first one's place
    let new = world.wallet(20_000 * TOKEN);
    let mut oracles = model.oracles.clone();
    oracles[0] = new;
    let state = world.model(&model.address);
    let (owner, terms) = (&model.owner, model_terms(&oracles));
    let update = instruction::update_model(owner.address(), model.address, &state, terms);
    world.send(update, &[&owner.key]).unwrap();
    // Then the newcomer has nothing to collect
    assert_eq!(world.model(&model.address).rewards[..3], [0, TOKEN, TOKEN]);
}
