//! Outcomes of settled markets: aggregates, early resolution, and voids.

use anchor_lang::solana_program::instruction::AccountMeta;
use driftshield_sdk::{Aggregate, DriftShieldError, MarketState, ReceiptState, instruction};
use driftshield_tests::world::*;

use super::{scene, scene_with, settled};

#[test]
fn a_market_pays_its_winners() {
    // Given a market with bets on both outcomes
    let mut s = scene(Aggregate::Max);
    s.world.bet(&s.market, &s.no, 0, 10 * TOKEN).unwrap();

    // When the drift reaches the threshold in the second of three windows
    s.world.finalize_with(&s.model, 1, &CALM);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!((event.state, event.outcome), (MarketState::Open, None));
    s.world.finalize_with(&s.model, 2, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));

    // Then the market resolves, and the winner gets the losing stakes less 3%
    assert_eq!(event.outcome, Some(1));
    assert_eq!(s.world.market(&s.market).state, MarketState::Resolved);
    s.claim_both();
    assert_eq!(
        s.world.tokens(&s.yes.tokens),
        100 * TOKEN + 70 * TOKEN * 97 / 100
    );
    assert_eq!(s.world.tokens(&s.no.tokens), 30 * TOKEN);
    s.collect_both();
    assert_eq!(s.close().swept, 0);
    assert_eq!(s.world.tokens(&s.creator.tokens), 70 * TOKEN / 100);
    assert_eq!(s.world.tokens(&s.world.treasury()), 70 * TOKEN * 2 / 100);
    assert_eq!(s.world.model(&s.model.address).at_risk, 0);
}

#[test]
fn a_market_without_an_observed_window_is_void() {
    // Given a market of three windows
    let mut s = scene(Aggregate::Max);

    // When one window has a receipt without a quorum, and the others have none
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &DRIFTED).unwrap();
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 3));

    // Then it is void, and every stake is paid back
    assert_eq!(
        (event.state, event.outcome, event.observed),
        (MarketState::Void, None, 0)
    );
    assert_eq!(event.receipts[0].state, ReceiptState::Void);
    assert_eq!((event.protocol_fee, event.creator_fee), (0, 0));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
    assert_eq!(s.claim(s.yes.address()).paid, 40 * TOKEN);
    assert_eq!(s.claim(s.no.address()).paid, 60 * TOKEN);
    assert_eq!(s.close().swept, 0);
}

#[test]
fn a_market_without_a_winning_stake_is_void() {
    // Given a market on which nobody bet yes
    let mut s = scene_with(World::new(), Aggregate::Max, 0, 60 * TOKEN);

    // When the drift reaches the threshold
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));

    // Then it is void, and every stake is paid back
    assert_eq!((event.state, event.outcome), (MarketState::Void, None));
    assert_eq!(s.claim(s.no.address()).paid, 60 * TOKEN);
    assert_eq!(s.close().swept, 0);
}

#[test]
fn a_market_settled_after_retention_is_void_without_receipts() {
    // Given a market that nobody settled before the retention of its first window ended
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let over = s.world.model(&s.model.address).window_end(1).unwrap() + params().retention_secs;
    s.world.warp_to(over);

    // When it is settled without receipts
    let event = settled(s.world.settle(&s.market, 0));

    // Then it is void
    assert_eq!((event.state, event.next_window), (MarketState::Void, 1));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
    s.claim_both();
    assert_eq!(s.world.tokens(&s.yes.tokens), 100 * TOKEN);
    assert_eq!(s.world.tokens(&s.no.tokens), 100 * TOKEN);
}

#[test]
fn a_market_settled_a_second_before_retention_ends_resolves() {
    // Given a market that nobody has settled yet
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let over = s.world.model(&s.model.address).window_end(1).unwrap() + params().retention_secs;
    s.world.warp_to(over - 1);

    // When it is settled a second before the retention of its first window ends
    let event = settled(s.world.settle(&s.market, 1));

    // Then the receipt counts
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn a_window_past_retention_voids_a_partly_settled_market() {
    // Given a market with one settled window
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &CALM);
    settled(s.world.settle(&s.market, 1));

    // When the others are settled after the second window's retention
    let over = s.world.model(&s.model.address).window_end(2).unwrap() + params().retention_secs;
    s.world.warp_to(over);
    let event = settled(s.world.settle(&s.market, 2));

    // Then it is void, in spite of the observed window
    assert_eq!(
        (event.state, event.next_window, event.observed),
        (MarketState::Void, 2, 1)
    );
}

#[test]
fn max_resolves_early_and_ignores_the_rest_of_the_batch() {
    // Given a market by Max, with a receipt in its highest bucket
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);

    // When it is settled by a batch that also has a window which has not started and an unrelated
    // account
    let state = s.world.market(&s.market);
    let mut settle = instruction::settle_market(s.market, &state, 2);
    settle
        .accounts
        .push(AccountMeta::new(s.creator.address(), false));
    let event = settled(s.world.send(settle, &[]));

    // Then the first receipt decides, and the rest is not checked
    assert_eq!((event.outcome, event.next_window), (Some(1), 2));
    assert_eq!(event.value, s.world.receipt(&s.model.address, 1).value);
}

#[test]
fn last_uses_the_latest_observed_window() {
    // Given a market by Last
    let mut s = scene(Aggregate::Last);

    // When a drifted window is followed by a calm one and by one without a receipt
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!(event.state, MarketState::Open, "Last decides nothing early");
    s.world.finalize_with(&s.model, 2, &CALM);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 2));

    // Then the calm window decides
    assert_eq!(
        (event.outcome, event.value, event.observed),
        (Some(0), 0, 2)
    );
}

#[test]
fn mean_is_floored_over_the_observed_windows() {
    // Given a market by Mean
    let mut s = scene(Aggregate::Mean);

    // When one of its windows is calm, and two are drifted
    s.world.finalize_with(&s.model, 1, &CALM);
    s.world.finalize_with(&s.model, 2, &DRIFTED);
    let mut counts = DRIFTED;
    counts[0] += 1;
    s.world.finalize_with(&s.model, 3, &counts);
    let [calm, drifted, more] = [1, 2, 3].map(|w| s.world.receipt(&s.model.address, w).value);
    let sum = calm + drifted + more;
    assert_ne!(sum % 3, 0, "the sum is divisible by 3: nothing to floor");
    let event = settled(s.world.settle(&s.market, 3));

    // Then the value is the floored mean of all three
    assert_eq!((event.accumulator, event.value), (sum, sum / 3));
}

#[test]
fn a_market_is_settled_partly_before_and_partly_after_finalization() {
    // Given a finalized window, a proposed one, and one without a receipt
    let mut s = scene(Aggregate::Mean);
    s.world.finalize_with(&s.model, 1, &CALM);
    settled(s.world.settle(&s.market, 1));
    s.world.submit_all(&s.model, 2, &DRIFTED);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);

    // When the last two are settled together
    let event = settled(s.world.settle(&s.market, 2));

    // Then both receipts count
    let value = s.world.receipt(&s.model.address, 2).value;
    assert_eq!((event.observed, event.value), (2, value / 2));
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn settling_finalizes_receipts_whose_periods_are_over() {
    // Given a receipt with a quorum, one without, and a proposed one
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &CALM).unwrap();
    s.world.submit(&s.model, 1, 1, &CALM).unwrap();
    s.world.warp_to_end(&s.model, 2);
    s.world.submit(&s.model, 0, 2, &CALM).unwrap();
    s.world.submit_all(&s.model, 3, &DRIFTED);
    let before = s.world.model(&s.model.address);
    assert_eq!((before.final_count, before.open_receipts), (0, 3));
    assert_eq!((before.at_risk, before.exposure), (100 * TOKEN, 1));

    // When the market is settled once all their periods are over
    s.world.pass(params().challenge_secs);
    let event = settled(s.world.settle(&s.market, 3));

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
        s.world.receipt(&s.model.address, 3).state,
        ReceiptState::Final
    );
    assert_eq!(event.outcome, Some(1));

    // And the model's statistics and chain are updated
    let model = s.world.model(&s.model.address);
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
    let mut s = scene(Aggregate::Max);
    let other = s.second_market();
    s.world.bet(&other, &s.yes, 1, 7 * TOKEN).unwrap();
    let model = s.world.model(&s.model.address);
    assert_eq!((model.at_risk, model.exposure), (107 * TOKEN, 2));

    // When one of them is settled
    s.resolve_yes();

    // Then the stakes of the other are still at risk
    let model = s.world.model(&s.model.address);
    assert_eq!((model.at_risk, model.exposure), (7 * TOKEN, 1));
}
