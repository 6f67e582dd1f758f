//! Pages of a model's series: creation, closing, rent.

use driftshield_sdk::{DriftShieldError, Entry, Event, PAGE_WINDOWS, address, instruction};
use driftshield_tests::world::*;

use super::{finalize, share_model, submission};

fn close(world: &mut World, model: &TestModel, page: u64) -> Outcome {
    let series = world.series(&model.address, page);
    world.send(instruction::close_series(&series), &[])
}

fn warp_to_retention_end(world: &mut World, model: &TestModel, window: u64) {
    let end = world.model(&model.address).retention_end(window);
    world.warp_to(end.expect("in range"));
}

#[test]
fn each_page_is_paid_by_its_first_submitter() {
    // Given the last window of a page and the first of the next
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    for (oracle, window) in [(1, 255), (2, 256)] {
        // When an oracle is the first to submit, then it pays the page
        world.warp_to_end(&model, window);
        world.submit(&model, oracle, window, &share(100)).unwrap();
        let series = world.series(&model.address, window / PAGE_WINDOWS);
        assert_eq!(series.payer, model.oracles[oracle].address());
        assert_eq!(series.windows().contains(&255), window == 255);
        assert_eq!(world.entry(&model.address, window), Entry::Open);
    }
    // And later windows of the page cost only their receipts
    world.warp_to_end(&model, 257);
    world.submit(&model, 0, 257, &share(100)).unwrap();
    let series = world.series(&model.address, 1);
    assert_eq!(series.payer, model.oracles[2].address());
}

#[test]
fn a_page_is_closed_after_the_retention_of_its_last_window() {
    // Given a page with one settled window
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 3, &share(100));
    let payer = model.oracles[0].address();

    // When the retention of that window is over, or that of the page's last has a second left, then
    // closing is refused
    warp_to_retention_end(&mut world, &model, 3);
    let outcome = close(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::SeriesStillNeeded);
    warp_to_retention_end(&mut world, &model, 255);
    world.pass(-1);
    let outcome = close(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::SeriesStillNeeded);

    // When it is over, then anyone can close the page, and the rent goes back to its payer
    world.pass(1);
    let address = address::series(&model.address, 3);
    let (rent, before) = (world.lamports(&address), world.lamports(&payer));
    let sent = close(&mut world, &model, 0).unwrap();
    let Event::SeriesClosed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.series, event.payer), (address, payer));
    assert_eq!((event.model, event.page), (model.address, 0));
    assert!(!world.exists(&address));
    assert!(0 < rent);
    assert_eq!(world.lamports(&payer), before + rent);
}

#[test]
fn a_pages_rent_goes_to_its_payer_only() {
    // Given a page past its retention
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 255);

    // When another account is passed as the rent's payer
    let series = world.series(&model.address, 0);
    let other = model.oracles[1].address();
    let close = swapped(instruction::close_series(&series), &series.payer, &other);

    // Then it is refused
    let outcome = world.send(close, &[]);
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn a_page_is_closed_with_its_own_model() {
    // Given a page whose retention is not over, and a model with a shorter one
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    let other = world.default_model();

    // When the other model is passed, then it is refused
    let series = world.series(&model.address, 0);
    let close = instruction::close_series(&series);
    let close = swapped(close, &model.address, &other.address);
    assert_refused(world.send(close, &[]), DriftShieldError::WrongModel);
}

#[test]
fn a_page_with_an_open_receipt_is_not_closed() {
    // Given receipts that nobody finalized until their page's retention was over
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    world.submit_all(&model, 255, &share(200));
    warp_to_retention_end(&mut world, &model, 255);

    // When somebody closes the page, then it is refused until both are finalized
    for window in [0, 255] {
        let outcome = close(&mut world, &model, 0);
        assert_refused(outcome, DriftShieldError::SeriesStillNeeded);
        finalize(&mut world, &model, window).unwrap();
    }
    assert_eq!(world.model(&model.address).open_receipts, 0);
    close(&mut world, &model, 0).unwrap();
}

#[test]
fn a_closed_page_cannot_be_created_again() {
    // Given a page past its retention
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 255);
    let oracle = &model.oracles[0];
    let close = instruction::close_series(&world.series(&model.address, 0));

    // When an oracle submits for any of its windows, in the closing transaction or later
    for window in [0, 1, 254, 255] {
        let submit = submission(oracle, &model, window, &share(200));
        let mut world = world.clone();
        let outcome = world.send_all(&[close.clone(), submit.clone()], &[&oracle.key]);

        // Then it is refused
        assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
        world.send(close.clone(), &[]).unwrap();
        let outcome = world.send(submit, &[&oracle.key]);
        assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
        assert!(!world.exists(&address::series(&model.address, 0)));
    }
}

#[test]
fn a_submission_names_the_page_of_its_window() {
    // Given a page, and a window of the next one
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 255);
    world.submit(&model, 0, 255, &share(100)).unwrap();
    world.warp_to_end(&model, 256);
    let [first, second] = [255, 256].map(|window| address::series(&model.address, window));

    // When an oracle submits for that window with the first page
    let oracle = &model.oracles[0];
    let submit = submission(oracle, &model, 256, &share(100));
    let outcome = world.send(swapped(submit, &second, &first), &[&oracle.key]);

    // Then it is refused
    assert!(outcome.is_err());
    assert_eq!(world.entry(&model.address, 256), Entry::None);
}
