//! Outcomes of settled markets: aggregates, early resolution, and voids.

use anchor_lang::solana_program::instruction::AccountMeta;
use driftshield_sdk::{
    Aggregate, DriftShieldError, MarketState, MarketTerms, ReceiptState, instruction,
};
use driftshield_tests::world::*;

use super::{Scene, scene, scene_with, settled};

/// The time at which the retention of a window's receipt ends.
fn retention_end(scene: &Scene, window: u64) -> i64 {
    let model = scene.world.model(&scene.model.address);
    model.window_end(window).unwrap() + params().retention_secs
}

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
    let event = settled(scene.world.settle(&scene.market, 1));
    assert_eq!((event.state, event.outcome), (MarketState::Open, None));
    scene.world.finalize_with(&scene.model, 2, &DRIFTED);
    let event = settled(scene.world.settle(&scene.market, 1));

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
    assert_eq!(scene.world.model(&scene.model.address).at_risk, 0);
}

#[test]
fn a_market_without_an_observed_window_is_void() {
    // Given a market of three windows
    let mut scene = scene(Aggregate::Max);

    // When one window has a receipt without a quorum, and the others have none
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.submit(&scene.model, 0, 1, &DRIFTED).unwrap();
    scene.world.warp_to_end(&scene.model, 3);
    scene.world.pass(params().submit_secs);
    let event = settled(scene.world.settle(&scene.market, 3));

    // Then the market is void, and every stake is paid back
    assert_eq!(
        (event.state, event.outcome, event.observed),
        (MarketState::Void, None, 0)
    );
    assert_eq!(event.receipts[0].state, ReceiptState::Void);
    assert_eq!((event.protocol_fee, event.creator_fee), (0, 0));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
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
    world.pass(params().submit_secs);
    world.settle(&market, 3).unwrap();
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
    let event = settled(scene.world.settle(&scene.market, 1));

    // Then the market is void, and every stake is paid back
    assert_eq!((event.state, event.outcome), (MarketState::Void, None));
    assert_eq!(scene.claim(scene.no.address()).paid, 60 * TOKEN);
    assert_eq!(scene.close().swept, 0);
}

#[test]
fn a_market_settled_after_retention_is_void_without_receipts() {
    // Given a market that nobody settled before the retention of its first window ended
    let mut scene = scene(Aggregate::Max);
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    let over = retention_end(&scene, 1);
    scene.world.warp_to(over);

    // When it is settled without receipts
    let event = settled(scene.world.settle(&scene.market, 0));

    // Then the market is void
    assert_eq!((event.state, event.next_window), (MarketState::Void, 1));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
    scene.claim_both();
    assert_eq!(scene.world.tokens(&scene.yes.tokens), 100 * TOKEN);
    assert_eq!(scene.world.tokens(&scene.no.tokens), 100 * TOKEN);
}

#[test]
fn a_market_settled_a_second_before_retention_ends_resolves() {
    // Given a market that nobody has settled yet
    let mut scene = scene(Aggregate::Max);
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    let over = retention_end(&scene, 1);
    scene.world.warp_to(over - 1);

    // When it is settled a second before the retention of its first window ends
    let event = settled(scene.world.settle(&scene.market, 1));

    // Then the receipt counts
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn a_window_past_retention_voids_a_partly_settled_market() {
    // Given a market with one settled window
    let mut scene = scene(Aggregate::Max);
    scene.world.finalize_with(&scene.model, 1, &CALM);
    settled(scene.world.settle(&scene.market, 1));

    // When the other windows are settled after the retention of the second
    let over = retention_end(&scene, 2);
    scene.world.warp_to(over);
    let event = settled(scene.world.settle(&scene.market, 2));

    // Then the market is void, in spite of the observed window
    assert_eq!(
        (event.state, event.next_window, event.observed),
        (MarketState::Void, 2, 1)
    );
}

#[test]
fn max_resolves_early_and_ignores_the_rest_of_the_batch() {
    // Given a market by Max, with a receipt in its highest bucket
    let mut scene = scene(Aggregate::Max);
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);

    // When the batch that settles it also has a window that has not started, and an unrelated account
    let state = scene.world.market(&scene.market);
    let mut settle = instruction::settle_market(scene.market, &state, 2);
    settle
        .accounts
        .push(AccountMeta::new(scene.creator.address(), false));
    let event = settled(scene.world.send(settle, &[]));

    // Then the first receipt decides, and the rest is not checked
    assert_eq!((event.outcome, event.next_window), (Some(1), 2));
    assert_eq!(
        event.value,
        scene.world.receipt(&scene.model.address, 1).value
    );
}

#[test]
fn last_uses_the_latest_observed_window() {
    // Given a market by Last
    let mut scene = scene(Aggregate::Last);

    // When a drifted window is followed by a calm one and by one without a receipt
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    let event = settled(scene.world.settle(&scene.market, 1));
    assert_eq!(event.state, MarketState::Open, "Last decides nothing early");
    scene.world.finalize_with(&scene.model, 2, &CALM);
    scene.world.warp_to_end(&scene.model, 3);
    scene.world.pass(params().submit_secs);
    let event = settled(scene.world.settle(&scene.market, 2));

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
    let [calm, drifted, more] =
        [1, 2, 3].map(|w| scene.world.receipt(&scene.model.address, w).value);
    let sum = calm + drifted + more;
    assert_ne!(sum % 3, 0, "the sum is divisible by 3: nothing to floor");
    let event = settled(scene.world.settle(&scene.market, 3));

    // Then the value is the floored mean of all three
    assert_eq!((event.accumulator, event.value), (sum, sum / 3));
}

#[test]
fn a_market_is_settled_in_several_batches() {
    // Given a finalized window, a proposed one, and one without a receipt
    let mut scene = scene(Aggregate::Mean);
    scene.world.finalize_with(&scene.model, 1, &CALM);
    settled(scene.world.settle(&scene.market, 1));
    scene.world.submit_all(&scene.model, 2, &DRIFTED);
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    scene.world.warp_to_end(&scene.model, 3);
    scene.world.pass(params().submit_secs);

    // When the last two are settled together
    let event = settled(scene.world.settle(&scene.market, 2));

    // Then both receipts count
    let value = scene.world.receipt(&scene.model.address, 2).value;
    assert_eq!((event.observed, event.value), (2, value / 2));
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn settling_finalizes_receipts_whose_periods_are_over() {
    // Given a receipt with a quorum, one without, and a proposed one
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.submit(&scene.model, 0, 1, &CALM).unwrap();
    scene.world.submit(&scene.model, 1, 1, &CALM).unwrap();
    scene.world.warp_to_end(&scene.model, 2);
    scene.world.submit(&scene.model, 0, 2, &CALM).unwrap();
    scene.world.submit_all(&scene.model, 3, &DRIFTED);
    let before = scene.world.model(&scene.model.address);
    assert_eq!((before.final_count, before.open_receipts), (0, 3));
    assert_eq!((before.at_risk, before.exposure), (100 * TOKEN, 1));

    // When the market is settled once all their periods are over
    scene.world.pass(params().challenge_secs);
    let event = settled(scene.world.settle(&scene.market, 3));

    // Then settling finalizes all of them
    let states: Vec<_> = event.receipts.iter().map(|r| (r.window, r.state)).collect();
    assert_eq!(
        states,
        [
            (1, ReceiptState::Final),
            (2, ReceiptState::Void),
            (3, ReceiptState::Final)
        ]
    );
    let value = event.receipts[2].value;
    assert_eq!(
        scene.world.receipt(&scene.model.address, 3).state,
        ReceiptState::Final
    );
    assert_eq!(event.outcome, Some(1));

    // And the model's statistics and chain are updated
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.final_count, model.open_receipts), (2, 0));
    assert_eq!(
        (model.last_window, model.last_value, model.max_value),
        (3, value, value)
    );
    assert_eq!(model.ewma, value / 8);
    assert_eq!((model.at_risk, model.exposure), (0, 0));
    assert_ne!(model.chain, before.chain);
    assert_eq!(event.chain, model.chain);
    assert_eq!((event.at_risk, event.exposure), (0, 0));
}

#[test]
fn a_settled_market_releases_only_its_own_risk() {
    // Given two markets on one model
    let mut scene = scene(Aggregate::Max);
    let other = scene.second_market();
    scene.world.bet(&other, &scene.yes, 1, 7 * TOKEN).unwrap();
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.at_risk, model.exposure), (107 * TOKEN, 2));

    // When one of them is settled
    scene.resolve_yes();

    // Then the stakes of the other are still at risk
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.at_risk, model.exposure), (7 * TOKEN, 1));
}
