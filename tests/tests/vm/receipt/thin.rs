//! Thin windows: submissions of fewer rows than a value needs.

use driftshield_sdk::{DriftShieldError, Entry, Event, Measurement, ReceiptState};
use driftshield_tests::world::*;

use super::{finalize, share_model, state};

/// Too few rows for a value by one.
const THIN: [u32; 2] = [48, 1];
const SLASH: u64 = 500 * TOKEN;

/// A model with `counts.len()` oracles that have submitted these for window 0.
fn submitted(world: &mut World, counts: &[[u32; 2]]) -> TestModel {
    let model = share_model(world, counts.len());
    world.warp_to_end(&model, 0);
    for (oracle, counts) in counts.iter().enumerate() {
        world.submit(&model, oracle, 0, counts).unwrap();
    }
    model
}

fn bonded(world: &World, model: &TestModel) -> Vec<u64> {
    let seats = model.oracles.iter();
    seats
        .map(|oracle| world.seat(&model.address, &oracle.address()).bonded)
        .collect()
}

#[test]
fn a_submission_is_thin_below_min_samples() {
    // Given submissions of min_samples rows, of one row less, and of none
    let mut world = World::new();
    let model = share_model(&mut world, 4);
    world.warp_to_end(&model, 0);
    for (oracle, counts, samples, thin) in [
        (0, [49, 1], 50, 0b000),
        (1, THIN, 49, 0b010),
        (2, [0, 0], 0, 0b110),
    ] {
        let sent = world.submit(&model, oracle, 0, &counts).unwrap();

        // Then the first has a value, and the others are thin
        let Event::ReceiptSubmitted(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!((event.samples, event.thin), (samples, thin));
        assert_eq!(event.submission, if oracle == 0 { 20_000 } else { 0 });
        assert_eq!(event.value, 20_000, "the median of the only value");
    }
    let receipt = world.receipt(&model.address, 0);
    let submissions = [0, 1, 2].map(|oracle| receipt.submission(oracle));
    assert_eq!(
        submissions,
        [
            Measurement::Value(20_000),
            Measurement::Thin,
            Measurement::Thin
        ]
    );
}

#[test]
fn a_quorum_of_thin_submissions_is_proposed_as_thin() {
    // Given two of three oracles that count too few rows
    let mut world = World::new();
    let model = submitted(&mut world, &[THIN, share(500_000), [0, 0]]);
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
    let receipt = world.receipt(&model.address, 0);
    let agreed = receipt.agreed(&world.model(&model.address));
    assert_eq!(agreed, Some(Measurement::Thin));

    // When nobody challenges
    world.pass(params().challenge_secs);
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the window is thin, and has no value
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Thin, 0));
    assert_eq!(world.entry(&model.address, 0), Entry::Thin);
    let state = world.model(&model.address);
    assert_eq!((state.final_count, state.latest), (0, 0));
    assert_eq!(
        (state.max_value, state.ewma, state.open_receipts),
        (0, 0, 0)
    );
}

#[test]
fn thin_submissions_do_not_move_the_median() {
    // Given three of five oracles with values, and two that are thin
    let mut world = World::new();
    let values = [share(1_000), share(3_000), THIN, THIN, share(2_000)];
    let model = submitted(&mut world, &values);

    // Then the median of the three is proposed
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
    assert_eq!(world.receipt(&model.address, 0).value, 2_000);
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 0).unwrap();
    assert_eq!(world.entry(&model.address, 0), Entry::Final(2_000));
}

#[test]
fn a_mixture_without_a_quorum_of_either_is_in_dispute() {
    for counts in [
        // two of three have submitted, a quorum
        &[THIN, share(100)][..],
        // three values, which are too far apart, and two thin ones
        &[share(100), share(300_000), share(600_000), THIN, THIN],
    ] {
        let mut world = World::new();
        let oracles = counts.len() / 2 * 2 + 1;
        let model = share_model(&mut world, oracles);
        world.warp_to_end(&model, 0);
        for (oracle, counts) in counts.iter().enumerate() {
            world.submit(&model, oracle, 0, counts).unwrap();
        }
        world.pass(params().submit_secs);
        if counts.len() == 2 {
            finalize(&mut world, &model, 0).unwrap();
        }
        assert_eq!(state(&world, &model, 0), ReceiptState::Challenged);

        // When nobody rules, then the window is void, and nobody is slashed
        let before = bonded(&world, &model);
        world.pass(params().challenge_secs + params().ruling_secs);
        finalize(&mut world, &model, 0).unwrap();
        assert_eq!(world.entry(&model.address, 0), Entry::Void);
        assert_eq!(bonded(&world, &model), before);
        assert_eq!(world.model(&model.address).latest, 0);
    }
}

#[test]
fn thin_submissions_where_the_ruling_gives_a_value_are_slashed() {
    // Given two of three oracles that call a drifted window thin, and a challenger
    let mut world = World::new();
    let model = submitted(&mut world, &[THIN, THIN, share(500_000)]);
    let before = bonded(&world, &model);
    let challenger = world.wallet(100 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();

    // When the arbiter counts enough rows
    let sent = world.rule(&model, 0, &share(500_000)).unwrap();

    // Then both are slashed, and the window has the value
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Final, 500_000));
    assert_eq!((event.slashed, event.vindicated), (2 * SLASH, true));
    let after = bonded(&world, &model);
    let lost: Vec<u64> = std::iter::zip(before, after).map(|(a, b)| a - b).collect();
    assert_eq!(lost, [SLASH, SLASH, 0]);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(500_000));
    assert_eq!(world.model(&model.address).latest, 500_000);
}

#[test]
fn a_ruling_that_the_latest_window_is_thin_takes_back_its_value() {
    // Given a final window, a disputed one, and a later one, for which the oracles report drift
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let latest = |world: &World| {
        let state = world.model(&model.address);
        (state.latest_window, state.latest)
    };
    world.finalize_with(&model, 0, &share(10_000));
    let challenger = world.wallet(200 * TOKEN);
    for (window, drift) in [(1, 20_000), (2, 500_000)] {
        world.submit_all(&model, window, &share(drift));
        world.challenge(&model, window, &challenger, &THIN).unwrap();
        assert_eq!(latest(&world), (window, drift));
    }

    // When the later one is ruled thin, then the value of the final window takes its place
    world.rule(&model, 2, &THIN).unwrap();
    assert_eq!(latest(&world), (0, 10_000));

    // And that of the disputed window when it is final
    world.pass(params().ruling_secs);
    finalize(&mut world, &model, 1).unwrap();
    assert_eq!(latest(&world), (1, 20_000));
}

#[test]
fn values_where_the_ruling_is_thin_are_slashed() {
    // Given two of three oracles that report drift in a window with too few rows, and a challenger
    let mut world = World::new();
    let model = submitted(&mut world, &[share(500_000), share(500_000), THIN]);
    let before = bonded(&world, &model);
    let challenger = world.wallet(100 * TOKEN);
    world.challenge(&model, 0, &challenger, &THIN).unwrap();

    // When the arbiter counts too few rows, or none
    for counts in [THIN, [0, 0]] {
        let mut world = world.clone();
        let sent = world.rule(&model, 0, &counts).unwrap();

        // Then both are slashed, and the window is thin
        let Event::ReceiptRuled(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!((event.state, event.value), (ReceiptState::Thin, 0));
        assert_eq!((event.slashed, event.vindicated), (2 * SLASH, true));
        let after = bonded(&world, &model);
        let lost: Vec<u64> = std::iter::zip(&before, after).map(|(a, b)| a - b).collect();
        assert_eq!(lost, [SLASH, SLASH, 0]);
        assert_eq!(world.entry(&model.address, 0), Entry::Thin);
        assert_eq!(world.model(&model.address).final_count, 0);
    }
}

#[test]
fn a_challenge_of_a_thin_window_that_is_thin_is_lost() {
    // Given three oracles that call a window thin, and a challenger
    let mut world = World::new();
    let model = submitted(&mut world, &[THIN, [0, 0], [5, 5]]);
    let before = bonded(&world, &model);
    let challenger = world.wallet(100 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();

    // When the arbiter counts too few rows too
    let sent = world.rule(&model, 0, &[3, 1]).unwrap();

    // Then nobody is slashed, and half of the challenger's bond goes to the submitters
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.slashed, event.vindicated), (0, false));
    let reward = 100 * TOKEN / 2 / 3;
    assert_eq!(event.compensation, reward);
    let expected: Vec<u64> = before.iter().map(|bond| bond + reward).collect();
    assert_eq!(bonded(&world, &model), expected);
}

#[test]
fn a_thin_window_without_a_ruling_stays_thin() {
    // Given a challenged thin window
    let mut world = World::new();
    let model = submitted(&mut world, &[THIN; 3]);
    let challenger = world.wallet(100 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();

    // When nobody rules, then it is thin, and the challenger gets its bond back
    world.pass(params().ruling_secs);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Thin);
    assert_eq!(event.challenger_credit, 100 * TOKEN);
}

#[test]
fn a_thin_window_can_be_challenged_until_its_challenge_period_ends() {
    // Given a thin window
    let mut world = World::new();
    let model = submitted(&mut world, &[THIN; 3]);
    let challenger = world.wallet(100 * TOKEN);

    // When its challenge period has a second left, then it can be challenged; a second later not
    world.pass(params().challenge_secs - 1);
    let mut early = world.clone();
    early
        .challenge(&model, 0, &challenger, &share(500_000))
        .unwrap();
    world.pass(1);
    let outcome = world.challenge(&model, 0, &challenger, &share(500_000));
    assert_refused(outcome, DriftShieldError::ChallengePeriodOver);
}

#[test]
fn thin_windows_count_for_no_history() {
    // Given eight windows, all but one of which are measured
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    for window in 0..8 {
        let counts = if window == 5 { THIN } else { share(100) };
        world.finalize_with(&model, window, &counts);
    }

    // Then the model has seven values
    let state = world.model(&model.address);
    assert_eq!((state.final_count, state.last_window), (7, 7));
}
