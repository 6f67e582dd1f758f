//! Windows that settling waits for, skips or refuses.

use driftshield_sdk::{Aggregate, DriftShieldError, Entry, MarketState, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{Scene, scene, settled};

/// The address of the page that holds the windows of the scene's market.
fn page(scene: &Scene) -> anchor_lang::Address {
    address::series(&scene.model.address, 1)
}

/// Settles the scene's market with another account in place of its page.
fn settle_with(scene: &mut Scene, foreign: &anchor_lang::Address) -> Outcome {
    let state = scene.world.market(&scene.market);
    let settle = instruction::settle_market(scene.market, &state);
    let settle = swapped(settle, &page(scene), foreign);
    scene.world.send(settle, &[])
}

/// Lets the first window of the scene's market pass, until it can get neither a submission nor a
/// challenge any more.
fn let_first_window_pass(scene: &mut Scene) {
    scene.world.warp_to_end(&scene.model, 1);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);
}

#[test]
fn all_decided_windows_are_settled_at_once() {
    // Given a Final, a Void and a thin window
    let mut scene = scene(Aggregate::Last);
    scene.world.finalize_with(&scene.model, 1, &DRIFTED);
    scene.world.warp_to_end(&scene.model, 2);
    scene.world.submit(&scene.model, 0, 2, &CALM).unwrap();
    scene.world.finalize_with(&scene.model, 3, &[1; 10]);
    let model = scene.world.model(&scene.model.address);
    scene.world.pass(model.dispute_secs());
    scene.world.finalize(&scene.model, 2).unwrap();
    let entries = [1, 2, 3].map(|window| scene.world.entry(&scene.model.address, window));
    assert!(matches!(
        entries,
        [Entry::Final(_), Entry::Void, Entry::Thin]
    ));

    // When the market is settled
    let event = settled(scene.world.settle(&scene.market));

    // Then the Final window is observed, and the others are skipped
    assert_eq!((event.next_window, event.observed), (4, 1));
    assert_eq!(
        (event.state, event.outcome),
        (MarketState::Resolved, Some(1))
    );
}

#[test]
fn settling_stops_at_the_first_undecided_window() {
    // Given a Final window, an open one, and another Final one
    let mut scene = scene(Aggregate::Last);
    scene.world.finalize_with(&scene.model, 1, &CALM);
    scene.world.submit_all(&scene.model, 2, &CALM);
    let challenger = scene.world.wallet(1_000 * TOKEN);
    scene
        .world
        .challenge(&scene.model, 2, &challenger, &DRIFTED)
        .unwrap();
    scene.world.finalize_with(&scene.model, 3, &DRIFTED);

    // When the market is settled, then it stops at the open one, and is refused there
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.next_window, event.observed), (2, 1));
    assert_eq!(event.state, MarketState::Open);
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::WindowUndecided);

    // When the dispute is over, then the rest is settled
    scene.world.rule(&scene.model, 2, &CALM).unwrap();
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.next_window, event.observed), (4, 3));
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn settling_waits_until_the_receipt_is_finalized() {
    // Given a receipt that is Collecting
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.submit(&scene.model, 0, 1, &CALM).unwrap();
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::WindowUndecided);

    // When it is Proposed, or its challenge period is over, then settling is still refused
    for oracle in 1..3 {
        scene.world.submit(&scene.model, oracle, 1, &CALM).unwrap();
    }
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::WindowUndecided);
    scene.world.pass(params().challenge_secs);
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::WindowUndecided);

    // When anybody finalizes it, then it is settled
    scene.world.finalize(&scene.model, 1).unwrap();
    assert_eq!(settled(scene.world.settle(&scene.market)).observed, 1);
}

#[test]
fn a_window_without_a_receipt_is_skipped_once_nobody_can_challenge_it() {
    // Given a window without a receipt, with a page or without
    for has_page in [false, true] {
        let mut scene = scene(Aggregate::Last);
        if has_page {
            scene.world.finalize_with(&scene.model, 0, &CALM);
        }
        assert_eq!(scene.world.exists(&page(&scene)), has_page);

        // When its submit and its challenge period have a second left, then settling is refused
        let_first_window_pass(&mut scene);
        scene.world.pass(-1);
        let outcome = scene.world.settle(&scene.market);
        assert_refused(outcome, DriftShieldError::WindowUndecided);

        // When they are over, then the window is skipped
        scene.world.pass(1);
        let event = settled(scene.world.settle(&scene.market));
        assert_eq!((event.next_window, event.observed), (2, 0));
    }
}

#[test]
fn a_missing_page_with_lamports_is_still_missing() {
    // Given lamports at the address of the page of a market's windows
    let mut scene = scene(Aggregate::Max);
    scene.world.svm.airdrop(&page(&scene), 1_000_000).unwrap();

    // When nobody submits in time, then the window is skipped
    let_first_window_pass(&mut scene);
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn settling_with_a_page_of_another_model_is_refused() {
    // Given another model with a drifted window
    let mut scene = scene(Aggregate::Last);
    let other = scene.world.default_model();
    for has_page in [false, true] {
        let mut scene = scene.clone();
        scene.world.warp_to_end(&scene.model, 1);
        if has_page {
            scene.world.submit(&scene.model, 0, 1, &CALM).unwrap();
        }
        scene.world.finalize_with(&other, 1, &DRIFTED);

        // When a market is settled with that model's page, whether its own exists or not, then it is
        // refused
        let outcome = settle_with(&mut scene, &address::series(&other.address, 1));
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }
}

#[test]
fn settling_with_another_model_is_refused() {
    // Given another model with a Final window
    let mut scene = scene(Aggregate::Last);
    let other = scene.world.default_model();
    scene.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled with that model
    let state = scene.world.market(&scene.market);
    let settle = instruction::settle_market(scene.market, &state);
    let settle = swapped(settle, &scene.model.address, &other.address);

    // Then it is refused
    assert_refused(scene.world.send(settle, &[]), DriftShieldError::WrongModel);
}

#[test]
fn a_foreign_account_is_not_accepted_as_a_missing_page() {
    // Given a window without a receipt that has passed
    let mut scene = scene(Aggregate::Last);
    let_first_window_pass(&mut scene);

    // When another address is passed in place of its page's: a wallet, a token account, the next
    // page's, the receipt's, or an unused one
    for foreign in [
        scene.yes.address(),
        scene.yes.tokens,
        address::series_page(&scene.model.address, 1),
        address::receipt(&scene.model.address, 1),
        key("nobody").pubkey(),
    ] {
        // Then it is refused
        let outcome = settle_with(&mut scene, &foreign);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }
}

#[test]
fn another_account_of_the_program_is_not_accepted_as_a_page() {
    // Given a window without a receipt that has passed, and an open receipt of the window before
    let mut scene = scene(Aggregate::Last);
    scene.world.submit_all(&scene.model, 0, &CALM);
    let_first_window_pass(&mut scene);

    // When another account of the program is passed in place of its page
    for foreign in [
        address::config(),
        address::position(&scene.market, &scene.yes.address()),
        address::seat(&scene.model.address, &scene.model.oracles[0].address()),
        address::receipt(&scene.model.address, 0),
    ] {
        // Then it is refused
        let outcome = settle_with(&mut scene, &foreign);
        assert_refused(outcome, DriftShieldError::WrongSeries);
        assert_eq!(scene.world.market(&scene.market).next_window, 1);
    }
}

#[test]
fn settling_without_pages_is_refused() {
    // Given a market whose windows have passed
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 4);

    // When it is settled without pages
    let state = scene.world.market(&scene.market);
    let mut settle = instruction::settle_market(scene.market, &state);
    settle.accounts.pop();

    // Then it is refused
    assert_refused(scene.world.send(settle, &[]), DriftShieldError::NoSeries);
}

#[test]
fn a_settled_market_cannot_be_settled_again() {
    // Given a resolved market
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();

    // When it is settled again, then it is refused
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::MarketSettled);
}

#[test]
fn a_void_market_cannot_be_settled_again() {
    // Given a void market
    let mut scene = scene(Aggregate::Max);
    assert_eq!(scene.void().state, MarketState::Void);

    // When it is settled again, then it is refused
    let outcome = scene.world.settle(&scene.market);
    assert_refused(outcome, DriftShieldError::MarketSettled);
}
