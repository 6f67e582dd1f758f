//! The model's statistics of its receipts.

use driftshield_tests::world::*;

use super::{finalize, share_model};

#[test]
fn final_receipts_update_the_statistics() {
    // Given a model
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let values = [80_001, 3, 999_999, 0, 12_345, 500_000];
    let (mut ewma, mut max) = (0, 0);
    for (window, value) in (0..).zip(values) {
        // When its windows become Final one after another
        world.finalize_with(&model, window, &share(value));

        // Then each value counts, with a weight of an eighth in the moving average
        ewma = if window == 0 {
            value
        } else {
            (7 * ewma + value) / 8
        };
        max = max.max(value);
        let state = world.model(&model.address);
        assert_eq!(state.final_count, window + 1);
        assert_eq!((state.last_value, state.last_window), (value, window));
        assert_eq!(
            (state.latest, state.max_value, state.ewma),
            (value, max, ewma)
        );
        assert_eq!(state.open_receipts, 0);
    }
}

#[test]
fn an_earlier_window_that_is_final_later_does_not_change_last_value_and_moving_average() {
    // Given two Final windows, and one between them in dispute
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(80_000));
    world.submit_all(&model, 1, &share(50));
    let challenger = world.wallet(1_000 * TOKEN);
    world
        .challenge(&model, 1, &challenger, &share(700_000))
        .unwrap();
    world.finalize_with(&model, 2, &share(160_000));
    let before = world.model(&model.address);
    assert_eq!((before.last_window, before.ewma), (2, 90_000));

    // When the dispute ends
    world.rule(&model, 1, &share(700_000)).unwrap();

    // Then its value counts and may be the maximum, but last value and moving average are unchanged
    let state = world.model(&model.address);
    assert_eq!((state.final_count, state.max_value), (3, 700_000));
    assert_eq!((state.last_value, state.last_window), (160_000, 2));
    assert_eq!(state.ewma, 90_000);
}

#[test]
fn an_older_receipt_does_not_replace_the_latest_proposed_value() {
    // Given a window with a quorum that is not finalized, and a later window that is Proposed
    let mut world = World::new();
    let model = world.default_model();
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &CALM).unwrap();
    world.submit(&model, 1, 0, &CALM).unwrap();
    world.submit_all(&model, 1, &DRIFTED);
    let drifted = world.receipt(&model.address, 1).value;
    assert_eq!(world.model(&model.address).latest, drifted);

    // When somebody finalizes the earlier one
    finalize(&mut world, &model, 0).unwrap();

    // Then the latest proposed value is still the later window's
    let state = world.model(&model.address);
    assert_eq!((state.latest, state.latest_window), (drifted, 1));
    assert_eq!((state.last_value, state.last_window), (0, 0));
}
