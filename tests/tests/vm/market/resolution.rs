//! Outcomes of settled markets: aggregates, early resolution, and voids.

use anchor_lang::solana_program::instruction::AccountMeta;
use driftshield_sdk::{Aggregate, DriftShieldError, Entry, MarketState, MarketTerms, instruction};
use driftshield_tests::world::*;

use super::{scene, scene_with, settled};

#[test]
fn a_market_pays_its_winners() {
    // Given a market with bets on both outcomes
    let mut scene = scene(Aggregate::Max);
    scene
        .world
        .bet(&scene.market, &scene.no, 0, 10 * TOKEN)
        .unwrap();

    // When the drift reaches the threshold in the second of three windows
    scene.world.finalize_with(&scene.model, 1, &CALM);
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.state, event.outcome), (MarketState::Open, None));
    scene.world.finalize_with(&scene.model, 2, &DRIFTED);
    let event = settled(scene.world.settle(&scene.market));

    // Then the market resolves, and the winner gets the losing stakes less 3%
    assert_eq!(event.outcome, Some(1));
    assert_eq!(
        scene.world.market(&scene.market).state,
        MarketState::Resolved
    );
    scene.claim_both();
    assert_eq!(
        scene.world.tokens(&scene.yes.tokens),
        100 * TOKEN + 70 * TOKEN * 97 / 100
    );
    assert_eq!(scene.world.tokens(&scene.no.tokens), 30 * TOKEN);
    scene.collect_both();
    assert_eq!(scene.close().swept, 0);
    assert_eq!(scene.world.tokens(&scene.creator.tokens), 70 * TOKEN / 100);
    assert_eq!(
        scene.world.tokens(&scene.world.treasury()),
        70 * TOKEN * 2 / 100
    );
    assert_eq!(scene.world.model(&scene.model.address).market_risk, 0);
}

#[test]
fn a_market_without_an_observed_window_is_void() {
    // Given a market of three windows
    let mut scene = scene(Aggregate::Max);

    // When one window has a receipt without a quorum, and the others have none
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.submit(&scene.model, 0, 1, &DRIFTED).unwrap();
    let model = scene.world.model(&scene.model.address);
    scene.world.pass(model.dispute_secs());
    scene.world.finalize(&scene.model, 1).unwrap();
    assert_eq!(scene.world.entry(&scene.model.address, 1), Entry::Void);
    let event = scene.void();

    // Then the market is void, and every stake is paid back
    assert_eq!(
        (event.state, event.outcome, event.observed),
        (MarketState::Void, None, 0)
    );
    assert_eq!((event.protocol_fee, event.creator_fee), (0, 0));
    assert_eq!((event.market_risk, event.exposure), (0, 0));
    assert_eq!(scene.claim(scene.yes.address()).paid, 40 * TOKEN);
    assert_eq!(scene.claim(scene.no.address()).paid, 60 * TOKEN);
    assert_eq!(scene.close().swept, 0);
}

/// The state of a market of three windows that requires `min_observed`, of which the first two are
/// measured with these counts, and the third is missing.
fn settled_with_two_of_three(
    aggregate: Aggregate,
    min_observed: u64,
    counts: [&[u32]; 2],
) -> MarketState {
    let mut scene = scene(aggregate);
    let terms = MarketTerms {
        aggregate,
        min_observed,
        ..market_terms(&scene.world, &scene.model)
    };
    let (world, model) = (&mut scene.world, &scene.model);
    let market = world
        .create_market(model, &scene.creator, 2, terms)
        .unwrap();
    for (bettor, outcome) in [(&scene.yes, 1), (&scene.no, 0)] {
        world.bet(&market, bettor, outcome, TOKEN).unwrap();
    }
    for (window, counts) in [1, 2].into_iter().zip(counts) {
        world.finalize_with(model, window, counts);
    }
    world.warp_to_end(model, 3);
    world.pass(params().submit_secs + params().challenge_secs);
    world.settle(&market).unwrap();
    world.market(&market).state.into()
}

#[test]
fn a_market_with_too_few_observed_windows_is_void() {
    for aggregate in [Aggregate::Max, Aggregate::Last, Aggregate::Mean] {
        for (min_observed, state) in [
            (0, MarketState::Resolved),
            (2, MarketState::Resolved),
            (3, MarketState::Void),
        ] {
            let settled = settled_with_two_of_three(aggregate, min_observed, [&CALM, &CALM]);
            assert_eq!(settled, state, "{aggregate:?} of {min_observed}");
        }
    }
}

#[test]
fn a_value_in_the_highest_outcome_resolves_a_max_market_whatever_it_requires() {
    for (aggregate, state) in [
        (Aggregate::Max, MarketState::Resolved),
        (Aggregate::Last, MarketState::Void),
        (Aggregate::Mean, MarketState::Void),
    ] {
        let settled = settled_with_two_of_three(aggregate, 3, [&CALM, &DRIFTED]);
        assert_eq!(settled, state, "{aggregate:?}");
    }
}

#[test]
fn a_market_without_a_winning_stake_is_void() {
    // Given a market on which nobody bet yes
    let mut scene = scene_with(World::new(), Aggregate::Max, 0, 60 * TOKEN);

    // When the drift reaches the threshold
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    let event = settled(scene.world.settle(&scene.market));

    // Then the market is void, and every stake is paid back
    assert_eq!((event.state, event.outcome), (MarketState::Void, None));
    assert_eq!(scene.claim(scene.no.address()).paid, 60 * TOKEN);
    assert_eq!(scene.close().swept, 0);
}

#[test]
fn max_resolves_early_and_reads_no_further_page() {
    // Given a market by Max, with a window in its highest bucket
    let mut scene = scene(Aggregate::Max);
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);

    // When an unrelated account is passed after the page
    let state = scene.world.market(&scene.market);
    let mut settle = instruction::settle_market(scene.market, &state);
    settle
        .accounts
        .push(AccountMeta::new(scene.creator.address(), false));
    let event = settled(scene.world.send(settle, &[]));

    // Then the first window decides, and the rest is not checked
    assert_eq!((event.outcome, event.next_window), (Some(1), 2));
    assert_eq!(event.value, scene.value(1));
}

#[test]
fn last_uses_the_latest_observed_window() {
    // Given a market by Last
    let mut scene = scene(Aggregate::Last);

    // When a drifted window is followed by a calm one and by one without a receipt
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!(event.state, MarketState::Open, "Last decides nothing early");
    scene.world.finalize_with(&scene.model, 2, &CALM);
    scene.world.warp_to_end(&scene.model, 3);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);
    let event = settled(scene.world.settle(&scene.market));

    // Then the calm window decides
    assert_eq!(
        (event.outcome, event.value, event.observed),
        (Some(0), 0, 2)
    );
}

#[test]
fn mean_is_floored_over_the_observed_windows() {
    // Given a market by Mean
    let mut scene = scene(Aggregate::Mean);

    // When one of its windows is calm, and two are drifted
    scene.world.finalize_with(&scene.model, 1, &CALM);
    scene.world.finalize_with(&scene.model, 2, &DRIFTED);
    let mut counts = DRIFTED;
    counts[0] += 1;
    scene.world.finalize_with(&scene.model, 3, &counts);
    let [calm, drifted, more] = [1, 2, 3].map(|window| scene.value(window));
    let sum = calm + drifted + more;
    assert_ne!(sum % 3, 0, "the sum is divisible by 3: nothing to floor");
    let event = settled(scene.world.settle(&scene.market));

    // Then the value is the floored mean of all three
    assert_eq!((event.accumulator, event.value), (sum, sum / 3));
}

#[test]
fn a_market_is_settled_in_several_calls() {
    // Given a finalized window, a proposed one, and one without a receipt
    let mut scene = scene(Aggregate::Mean);
    scene.world.finalize_with(&scene.model, 1, &CALM);
    settled(scene.world.settle(&scene.market));
    scene.world.submit_all(&scene.model, 2, &DRIFTED);
    assert_refused(
        scene.world.settle(&scene.market),
        DriftShieldError::WindowUndecided,
    );
    scene.world.pass(params().challenge_secs);
    scene.world.finalize(&scene.model, 2).unwrap();
    scene.world.warp_to_end(&scene.model, 3);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);

    // When the last two are settled together
    let event = settled(scene.world.settle(&scene.market));

    // Then both values count
    let value = scene.value(2);
    assert_eq!((event.observed, event.value), (2, value / 2));
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn a_settled_market_releases_only_its_own_risk() {
    // Given two markets on one model
    let mut scene = scene(Aggregate::Max);
    let other = scene.second_market();
    scene.world.bet(&other, &scene.yes, 1, 7 * TOKEN).unwrap();
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.market_risk, model.exposure), (107 * TOKEN, 2));

    // When one of them is settled
    scene.resolve_yes();

    // Then the stakes of the other are still at risk
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.market_risk, model.exposure), (7 * TOKEN, 1));
}
