//! Markets whose windows lie in several pages, and pages that are missing, kept or closed.

use anchor_lang::{Address, solana_program::instruction::AccountMeta};
use driftshield_sdk::{
    Aggregate, DriftShieldError, Entry, MarketState, MarketTerms, MetricSpec, PAGE_WINDOWS,
    address, instruction,
};
use driftshield_tests::world::*;

use super::settled;

/// The most compute units that settling the largest market may take.
const MAX_UNITS: u64 = 40_000;

struct Scene {
    world: World,
    model: TestModel,
    market: Address,
    /// Has bet on the lowest outcome.
    bettor: Wallet,
}

impl Scene {
    /// The page of window `window`.
    fn page(&self, window: u64) -> Address {
        address::series(&self.model.address, window)
    }

    /// All oracles submit `counts` for these windows. Then all of them become Final: a window is shorter
    /// than its challenge period.
    fn measure<const N: usize>(&mut self, windows: [u64; N], counts: &[u32]) {
        for window in windows {
            self.world.submit_all(&self.model, window, counts);
        }
        self.world.pass(params().challenge_secs);
        for window in windows {
            self.world.finalize(&self.model, window).unwrap();
        }
    }

    fn settle_with(&mut self, pages: &[Address]) -> Outcome {
        let state = self.world.market(&self.market);
        let mut settle = instruction::settle_market(self.market, &state);
        let passed = state.last_window / 256 - state.next_window / 256 + 1;
        settle
            .accounts
            .truncate(settle.accounts.len() - passed as usize);
        let pages = pages
            .iter()
            .map(|page| AccountMeta::new_readonly(*page, false));
        settle.accounts.extend(pages);
        self.world.send(settle, &[])
    }
}

/// A market on hourly windows, with a bet on each outcome, right before its first window.
fn scene(first_window: u64, last_window: u64, aggregate: Aggregate) -> Scene {
    let mut world = World::new();
    let spec = MetricSpec {
        window_secs: HOUR,
        ..spec(&world)
    };
    let model = world.model_with(spec, 3, 10_000 * TOKEN);
    let creator = world.wallet(0);
    world.warp_to_end(&model, first_window - 2);
    let terms = MarketTerms {
        first_window,
        last_window,
        aggregate,
        close_ts: world.now() + HOUR,
        thresholds: (1..=7).map(|n| n * 100_000).collect(),
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(100 * TOKEN);
    world.bet(&market, &bettor, 0, 40 * TOKEN).unwrap();
    let other = world.wallet(100 * TOKEN);
    world.bet(&market, &other, 1, 60 * TOKEN).unwrap();
    Scene {
        world,
        model,
        market,
        bettor,
    }
}

#[test]
fn a_market_of_366_windows_is_settled_in_one_instruction() {
    for aggregate in [Aggregate::Max, Aggregate::Last, Aggregate::Mean] {
        // Given a market on 366 windows in three pages, each of which three oracles measure
        let first = PAGE_WINDOWS - 1;
        let mut scene = scene(first, first + 365, aggregate);
        scene.world.solvency_checks = false; // some 1,500 transactions
        for window in first..first + 366 {
            scene.world.submit_all(&scene.model, window, &CALM);
        }
        scene.world.pass(params().challenge_secs);
        for window in first..first + 366 {
            scene.world.finalize(&scene.model, window).unwrap();
        }
        scene.world.solvency_checks = true;

        // When anybody settles it
        let sent = scene.world.settle(&scene.market).unwrap();

        // Then one instruction reads three pages and settles all windows, for few compute units
        assert!(
            sent.units <= MAX_UNITS,
            "{aggregate:?}: {} units",
            sent.units
        );
        let event = settled(Ok(sent));
        assert_eq!((event.observed, event.next_window), (366, first + 366));
        assert_eq!(event.outcome, Some(0));
    }
}

#[test]
fn missing_pages_of_366_windows_are_skipped_in_one_instruction() {
    // Given a market on 366 windows in three pages, none of which exists
    let first = 2 * PAGE_WINDOWS - 1;
    let mut scene = scene(first, first + 365, Aggregate::Mean);
    scene.world.warp_to_end(&scene.model, first + 365);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);

    // When anybody settles it, then it is void, for few compute units
    let sent = scene.world.settle(&scene.market).unwrap();
    assert!(sent.units <= MAX_UNITS, "{} units", sent.units);
    let event = settled(Ok(sent));
    assert_eq!((event.state, event.observed), (MarketState::Void, 0));
}

#[test]
fn pages_are_passed_in_the_order_of_their_windows() {
    // Given a market on the last window of a page and the first of the next
    let mut scene = scene(255, 256, Aggregate::Mean);
    scene.measure([255, 256], &CALM);
    let [first, second] = [255, 256].map(|window| scene.page(window));

    // When the pages are reversed, or the first is missing or passed twice, then settling is refused
    for pages in [&[second, first][..], &[second], &[first, first]] {
        let outcome = scene.settle_with(pages);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }

    // When only the first is passed, then its window is settled; the second settles the rest
    let event = settled(scene.settle_with(&[first]));
    assert_eq!((event.state, event.observed), (MarketState::Open, 1));
    let outcome = scene.settle_with(&[first]);
    assert_refused(outcome, DriftShieldError::WrongSeries);
    let event = settled(scene.settle_with(&[second]));
    assert_eq!((event.state, event.observed), (MarketState::Resolved, 2));
}

#[test]
fn both_pages_of_a_market_are_read_in_one_instruction() {
    let mut scene = scene(255, 256, Aggregate::Mean);
    scene.measure([255, 256], &CALM);
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.state, event.observed), (MarketState::Resolved, 2));
}

#[test]
fn pages_after_the_one_in_which_settling_stops_are_not_read() {
    // Given an open window at the end of a page
    let mut scene = scene(254, 256, Aggregate::Mean);
    scene.world.submit_all(&scene.model, 254, &CALM);
    scene.world.submit_all(&scene.model, 255, &CALM);
    scene.world.pass(params().challenge_secs);
    scene.world.finalize(&scene.model, 254).unwrap();

    // When any account is passed after that page, then it is ignored
    let pages = [scene.page(254), scene.bettor.address()];
    let event = settled(scene.settle_with(&pages));
    assert_eq!((event.next_window, event.observed), (255, 1));
}

#[test]
fn a_missing_page_proves_nothing_after_retention() {
    // Given a market on two windows without a receipt, that nobody has settled
    let mut scene = scene(300, 301, Aggregate::Max);
    let model = scene.world.model(&scene.model.address);
    let over = model.retention_end(300).unwrap();

    // When the retention of the first window has a second left, then both are skipped
    let mut early = scene.world.clone();
    early.warp_to(over - 1);
    let event = settled(early.settle(&scene.market));
    assert_eq!((event.state, event.next_window), (MarketState::Void, 302));

    // When it is over, then the page may have been closed: the market is void at its next window
    scene.world.warp_to(over);
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!((event.state, event.next_window), (MarketState::Void, 300));
    assert_eq!((event.market_risk, event.exposure), (0, 0));
    let refund = scene
        .world
        .claim(&scene.market, &scene.bettor.address())
        .unwrap();
    assert!(
        matches!(refund.event(), driftshield_sdk::Event::Claimed(event) if event.paid == 40 * TOKEN)
    );
}

#[test]
fn a_page_proves_its_windows_as_long_as_it_exists() {
    // Given a market on a measured window and one that nobody measured, that nobody has settled
    let mut scene = scene(300, 301, Aggregate::Max);
    scene.world.finalize_with(&scene.model, 300, &CALM);
    let model = scene.world.model(&scene.model.address);

    // When the retention of both is over, but not that of the last window of their page
    scene.world.warp_to(model.retention_end(511).unwrap() - 1);

    // Then the market resolves by the page
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!(
        (event.state, event.outcome),
        (MarketState::Resolved, Some(0))
    );
    assert_eq!((event.next_window, event.observed), (302, 1));
}

#[test]
fn a_closed_page_voids_a_partly_settled_market() {
    // Given a market whose first window is settled, and whose second lies in a page that was closed
    let mut scene = scene(255, 256, Aggregate::Mean);
    scene.measure([255, 256], &CALM);
    let first = scene.page(255);
    settled(scene.settle_with(&[first]));
    let model = scene.world.model(&scene.model.address);
    scene.world.warp_to(model.retention_end(511).unwrap());
    let close = instruction::close_series(&scene.world.series(&scene.model.address, 1));
    scene.world.send(close, &[]).unwrap();

    // When it is settled, then it is void, in spite of the observed window
    let event = settled(scene.world.settle(&scene.market));
    assert_eq!(
        (event.state, event.next_window, event.observed),
        (MarketState::Void, 256, 1)
    );
}

#[test]
fn any_entry_but_a_final_one_is_skipped_or_waited_for() {
    // Given pages with each kind of entry at a page's last and first window
    for (entry, expected) in [
        (Entry::None, None), // too early to skip
        (Entry::Open, None),
        (Entry::Final(50_000), Some(2)),
        (Entry::Void, Some(0)),
        (Entry::Thin, Some(0)),
    ] {
        let mut scene = scene(255, 256, Aggregate::Mean);
        let mut entries = [Entry::None; PAGE_WINDOWS as usize];
        entries[255] = entry;
        scene.world.set_series(&scene.model, 0, &entries);
        (entries[255], entries[0]) = (Entry::None, entry);
        scene.world.set_series(&scene.model, 1, &entries);
        scene.world.warp_to_end(&scene.model, 256);

        // When the market is settled, then it waits, or observes what is final
        let outcome = scene.world.settle(&scene.market);
        match expected {
            None => assert_refused(outcome, DriftShieldError::WindowUndecided),
            Some(observed) => assert_eq!(settled(outcome).observed, observed, "{entry:?}"),
        }
    }
}
