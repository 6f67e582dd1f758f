//! Receipts: submissions, the median, time, statistics, the chain, closing.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    DriftShieldError, Event, Model, Receipt, ReceiptState, address, instruction,
};
use driftshield_tests::world::*;
use sha2::{Digest, Sha256};
use solana_signer::Signer;

const BOND: u64 = 10_000 * TOKEN;

/// A model of which `share(value)` has the drift `value`, with `oracles` oracles.
fn share_model(world: &mut World, oracles: usize) -> TestModel {
    let spec = share_spec(world);
    world.model_with(spec, oracles, BOND)
}

fn submission(oracle: &Wallet, model: &TestModel, window: u64, counts: &[u32]) -> Instruction {
    instruction::submit_receipt(
        oracle.address(),
        model.address,
        window,
        counts.to_vec(),
        [1; 32],
        "https://evidence.example/1".into(),
    )
}

/// The instruction with `old` replaced by `new` among its accounts.
fn with_account(mut instruction: Instruction, old: Address, new: Address) -> Instruction {
    let mut metas = instruction.accounts.iter_mut();
    let meta = metas.find(|meta| meta.pubkey == old).expect("is there");
    meta.pubkey = new;
    instruction
}

fn finalize(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    world.send(instruction::finalize_receipt(model.address, window), &[])
}

fn close(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    let receipt = world.receipt(&model.address, window);
    world.send(instruction::close_receipt(&receipt), &[])
}

fn unbond(world: &mut World, model: &TestModel, oracle: usize, amount: u64) {
    let oracle = &model.oracles[oracle];
    let request = instruction::request_unbond(oracle.address(), model.address, amount);
    world.send(request, &[&oracle.key]).expect("request_unbond");
}

fn window_end(world: &World, model: &TestModel, window: u64) -> i64 {
    world
        .model(&model.address)
        .window_end(window)
        .expect("in range")
}

fn warp_to_retention_end(world: &mut World, model: &TestModel, window: u64) {
    let end = world
        .model(&model.address)
        .retention_end(window)
        .expect("in range");
    world.warp_to(end);
}

fn state(world: &World, model: &TestModel, window: u64) -> ReceiptState {
    world.receipt(&model.address, window).state.into()
}

// Who may submit.

#[test]
fn a_stranger_may_not_submit() {
    // Given a window that is over
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let stranger = world.wallet(0);
    world.warp_to_end(&model, 0);

    // When a stranger submits, with no seat and with an oracle's
    let without_seat = submission(&stranger, &model, 0, &share(1));
    let with_seat = with_account(
        without_seat.clone(),
        address::seat(&model.address, &stranger.address()),
        address::seat(&model.address, &model.oracles[0].address()),
    );

    // Then it is told that it is no oracle
    for submit in [without_seat, with_seat] {
        let outcome = world.send(submit, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::NotAnOracle);
    }
}

#[test]
fn an_oracle_submits_by_its_own_seat_only() {
    // Given an oracle that sits on two models
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let other_owner = world.wallet(0);
    let register = instruction::register_model(
        other_owner.address(),
        2,
        &world.collateral(),
        share_spec(&world),
        model_terms(&model.oracles),
    );
    world.send(register, &[&other_owner.key]).unwrap();
    let other = address::model(&other_owner.address(), 2);
    let oracle = &model.oracles[0];
    let bond = instruction::bond(
        oracle.address(),
        other,
        &world.model(&other),
        oracle.tokens,
        BOND,
    );
    world.send(bond, &[&oracle.key]).unwrap();
    world.warp_to_end(&model, 0);

    // When it submits with another oracle's seat, its own of the other model, or no seat at all
    let own = address::seat(&model.address, &oracle.address());
    let wrong_ones = [
        address::seat(&model.address, &model.oracles[1].address()),
        address::seat(&other, &oracle.address()),
        other,
    ];

    // Then it is told so
    for wrong in wrong_ones {
        let submit = with_account(submission(oracle, &model, 0, &share(1)), own, wrong);
        let outcome = world.send(submit, &[&oracle.key]);
        assert_refused(outcome, DriftShieldError::WrongSeat);
    }
}

#[test]
fn a_seat_without_bond_does_not_count() {
    // Given a model on which nobody has bonded
    let mut world = World::new();
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 0);
    world.warp_to_end(&model, 0);

    // When a listed oracle submits
    let outcome = world.submit(&model, 0, 0, &share(1));

    // Then its seat does not count
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
}

#[test]
fn a_seat_that_unbonds_below_the_minimum_does_not_count() {
    // Given an oracle that asked all but a unit less than the minimum back
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let min_bond = world.model(&model.address).min_bond;
    unbond(&mut world, &model, 0, BOND - min_bond);
    world.warp_to_end(&model, 0);
    world
        .submit(&model, 0, 0, &share(1))
        .expect("the minimum is left");
    unbond(&mut world, &model, 0, 1);

    // When it submits
    world.warp_to_end(&model, 1);
    let outcome = world.submit(&model, 0, 1, &share(1));

    // Then its seat does not count
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
}

#[test]
fn a_seat_slashed_below_the_minimum_does_not_count() {
    // Given an oracle that was slashed from the minimum bond
    let mut world = World::new();
    let spec = share_spec(&world);
    let min_bond = terms().min_bond;
    let model = world.model_with(spec, 3, min_bond);
    world.warp_to_end(&model, 0);
    for (oracle, value) in [(0, 500_000), (1, 100), (2, 100)] {
        world.submit(&model, oracle, 0, &share(value)).unwrap();
    }
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 0, &challenger).unwrap();
    world.rule(&model, 0, &share(100)).unwrap();

    // When it submits for the next window
    world.warp_to_end(&model, 1);
    let outcome = world.submit(&model, 0, 1, &share(1));

    // Then its seat does not count until it bonds again
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
    world.bond(&model, 0, terms().slash_amount).unwrap();
    world.submit(&model, 0, 1, &share(1)).unwrap();
}

// What may be submitted.

#[test]
fn a_window_of_too_few_rows_is_refused() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);

    // When a row is missing
    let outcome = world.submit(&model, 0, 0, &[999_998, 1]);

    // Then it is refused, and the full number is not
    assert_refused(outcome, DriftShieldError::TooFewSamples);
    world.submit(&model, 0, 0, &[999_999, 1]).unwrap();
}

#[test]
fn every_bin_is_counted() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);

    // When a bin is missing, or there is one too many
    for counts in [&[][..], &[1_000_000], &[1_000_000, 0, 0]] {
        let outcome = world.submit(&model, 0, 0, counts);

        // Then the submission is refused
        assert_refused(outcome, DriftShieldError::WrongBinCount);
    }
}

#[test]
fn an_evidence_uri_has_128_bytes_at_most() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    let oracle = &model.oracles[0];
    let with_uri = |uri: String| {
        let counts = share(1).to_vec();
        instruction::submit_receipt(oracle.address(), model.address, 0, counts, [1; 32], uri)
    };

    // When it has one byte more
    let outcome = world.send(with_uri("u".repeat(129)), &[&oracle.key]);

    // Then it is refused, and the longest is in the event
    assert_refused(outcome, DriftShieldError::InvalidText);
    let sent = world
        .send(with_uri("u".repeat(128)), &[&oracle.key])
        .unwrap();
    let Event::ReceiptSubmitted(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.evidence_uri, "u".repeat(128));
}

#[test]
fn a_window_beyond_all_time_is_refused() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);

    // When the window's end does not fit, by the index, by its product with the length or with genesis
    let last = (i64::MAX / DAY) as u64;
    for window in [u64::MAX, i64::MAX as u64, last, last - 1] {
        let outcome = world.submit(&model, 0, window, &share(1));

        // Then it is refused for that
        assert_refused(outcome, DriftShieldError::WindowOutOfRange);
    }
}

#[test]
fn an_oracle_submits_once() {
    // Given a submission
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(1)).unwrap();

    // When the same oracle submits again
    let outcome = world.submit(&model, 0, 0, &share(2));

    // Then it is told that it has
    assert_refused(outcome, DriftShieldError::AlreadySubmitted);
}

#[test]
fn a_receipt_past_collecting_takes_no_submission() {
    // Given a receipt that was proposed without the third oracle, which has since bonded again
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    unbond(&mut world, &model, 2, BOND);
    world.submit(&model, 0, 0, &share(1)).unwrap();
    world.submit(&model, 1, 0, &share(1)).unwrap();
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
    world.bond(&model, 2, BOND).unwrap();

    // When it submits, and when one submits again that did
    for oracle in [2, 0] {
        let outcome = world.submit(&model, oracle, 0, &share(1));

        // Then it is told that this window is done
        assert_refused(outcome, DriftShieldError::ReceiptNotCollecting);
    }
    // And likewise once it is Final, and the submit period long over
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 0).unwrap();
    let outcome = world.submit(&model, 2, 0, &share(1));
    assert_refused(outcome, DriftShieldError::ReceiptNotCollecting);
}

// When.

#[test]
fn a_window_takes_submissions_from_its_end_on() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let end = window_end(&world, &model, 3);

    // When it has a second left, then it takes none
    world.warp_to(end - 1);
    let outcome = world.submit(&model, 0, 3, &share(1));
    assert_refused(outcome, DriftShieldError::WindowNotOver);
    assert!(!world.exists(&address::receipt(&model.address, 3)));

    // When it is over, then it does
    world.warp_to(end);
    world.submit(&model, 0, 3, &share(1)).unwrap();
}

#[test]
fn a_window_takes_submissions_until_its_submit_period_ends() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When a second is left, then it takes one
    world.warp_to(submit_end - 1);
    world.submit(&model, 0, 0, &share(1)).unwrap();

    // When the period is over, then it takes none, whether there is a receipt or not
    world.warp_to(submit_end);
    let outcome = world.submit(&model, 1, 0, &share(1));
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
    world.warp_to(submit_end + DAY);
    let outcome = world.submit(&model, 1, 1, &share(1));
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
}

#[test]
fn a_retired_model_opens_receipts_only_while_exposed() {
    // Given a retired model with a bet on it, and one without
    let mut world = World::new();
    let exposed = world.default_model();
    let idle = share_model(&mut world, 3);
    let (creator, bettor) = (world.wallet(0), world.wallet(100 * TOKEN));
    let mut terms = market_terms(&world, &exposed);
    terms.last_window = 1;
    let market = world.create_market(&exposed, &creator, 1, terms).unwrap();
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    for model in [&exposed, &idle] {
        let retire = instruction::retire_model(model.owner.address(), model.address);
        world.send(retire, &[&model.owner.key]).unwrap();
    }

    // When a window is over
    world.warp_to_end(&exposed, 1);

    // Then only the bet's model gets a receipt, and none any more once that is settled
    let outcome = world.submit(&idle, 0, 1, &share(1));
    assert_refused(outcome, DriftShieldError::ModelRetired);
    world.finalize_with(&exposed, 1, &CALM);
    world.settle(&market, 1).unwrap();
    assert_eq!(world.model(&exposed.address).exposure, 0);
    world.warp_to_end(&exposed, 2);
    let outcome = world.submit(&exposed, 0, 2, &CALM);
    assert_refused(outcome, DriftShieldError::ModelRetired);
}

#[test]
fn a_receipt_that_was_open_goes_on_after_retirement() {
    // Given a receipt with a submission, and its model retired
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(1)).unwrap();
    let retire = instruction::retire_model(model.owner.address(), model.address);
    world.send(retire, &[&model.owner.key]).unwrap();

    // When the others submit
    world.submit(&model, 1, 0, &share(1)).unwrap();
    world.submit(&model, 2, 0, &share(1)).unwrap();

    // Then it is proposed
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
}

// What becomes of it.

#[test]
fn a_submission_is_recorded_and_told() {
    // Given a window that is over
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    let oracle = &model.oracles[1];

    // When an oracle submits for it
    let submit = submission(oracle, &model, 0, &share(123));
    let sent = world.send(submit, &[&oracle.key]).unwrap();

    // Then the event and the accounts say so
    let Event::ReceiptSubmitted(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.model, model.address);
    assert_eq!(event.receipt, address::receipt(&model.address, 0));
    assert_eq!(event.seat, address::seat(&model.address, &oracle.address()));
    assert_eq!(event.oracle, oracle.address());
    assert_eq!((event.window, event.version, event.receipt_seq), (0, 1, 1));
    assert_eq!(event.counts, share(123));
    assert_eq!(event.samples, 1_000_000);
    assert_eq!((event.submission, event.value), (123, 123));
    assert_eq!(event.evidence_hash, [1; 32]);
    assert_eq!(event.evidence_uri, "https://evidence.example/1");
    assert_eq!(
        (event.state, event.submitted),
        (ReceiptState::Collecting, 0b10)
    );
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(receipt.model, model.address);
    assert_eq!(receipt.payer, oracle.address());
    assert_eq!(receipt.challenger, Address::default());
    assert_eq!(receipt.values, [0, 123, 0, 0, 0, 0, 0]);
    assert_eq!(receipt.samples, [0, 1_000_000, 0, 0, 0, 0, 0]);
    assert_eq!(receipt.evidence[1], [1; 32]);
    assert_eq!(
        (receipt.value, receipt.version, receipt.submitted),
        (123, 1, 0b10)
    );
    let seat = world.seat(&model.address, &oracle.address());
    assert_eq!((seat.submissions, seat.slashes), (1, 0));
    let state = world.model(&model.address);
    assert_eq!(
        (state.open_receipts, state.latest, state.final_count),
        (1, 0, 0)
    );
}

#[test]
fn a_receipt_is_proposed_once_all_seats_have_submitted() {
    // Given submissions of two of three oracles
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(300)).unwrap();
    assert_eq!(state(&world, &model, 0), ReceiptState::Collecting);

    // When the third submits
    world.pass(60);
    let sent = world.submit(&model, 2, 0, &share(200)).unwrap();

    // Then the median is proposed at once
    let Event::ReceiptSubmitted(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Proposed, 200));
    let receipt = world.receipt(&model.address, 0);
    assert_eq!((receipt.value, receipt.since), (200, world.now()));
    assert_eq!(world.model(&model.address).latest, 200);
}

#[test]
fn a_quorum_proposes_as_of_the_end_of_the_submit_period() {
    // Given submissions of a quorum
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(300)).unwrap();
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When a second of the period is left, then time has decided nothing
    world.warp_to(submit_end - 1);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When it is long over, then the receipt is Proposed as of its end
    world.warp_to(submit_end + 1_000);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Proposed, 100));
    assert_eq!(world.receipt(&model.address, 0).since, submit_end);
    assert_eq!(world.model(&model.address).latest, 100);
}

#[test]
fn less_than_a_quorum_makes_a_receipt_void() {
    // Given the submission of one oracle of three
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When the submit period is over
    world.warp_to(submit_end);
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is Void and counts nowhere
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Void);
    assert_eq!(world.receipt(&model.address, 0).since, submit_end);
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.latest, state.max_value),
        (0, 0, 0)
    );
    assert_eq!(state.open_receipts, 0);
}

#[test]
fn a_lone_submission_never_proposes_ahead_of_time() {
    // Given two oracles of three that do not count any more
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    unbond(&mut world, &model, 1, BOND);
    unbond(&mut world, &model, 2, BOND);

    // When the only one that does submits
    world.submit(&model, 0, 0, &share(100)).unwrap();

    // Then the receipt waits, and nobody can move it on
    assert_eq!(state(&world, &model, 0), ReceiptState::Collecting);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);
}

#[test]
fn a_seat_that_stops_counting_is_not_waited_for() {
    // Given a receipt that waits for the third oracle
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(100)).unwrap();
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When that one unbonds, and somebody finalizes
    world.pass(60);
    unbond(&mut world, &model, 2, BOND);
    finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is proposed as of now
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Proposed);
    assert_eq!(receipt.since, world.now());
}

#[test]
fn the_value_is_the_median_of_all_submissions() {
    const VALUES: [u64; 7] = [40_000, 10_000, 70_000, 20_000, 60_000, 50_000, 30_000];
    let mut world = World::new();
    for oracles in 1..=7 {
        // Given as many oracles
        let model = share_model(&mut world, oracles);
        world.warp_to_end(&model, 0);
        for (oracle, &value) in VALUES[..oracles].iter().enumerate() {
            // When they submit one by one
            world.submit(&model, oracle, 0, &share(value)).unwrap();

            // Then the value is the median so far, the lower of the middle two
            let mut sorted = VALUES[..=oracle].to_vec();
            sorted.sort_unstable();
            let median = sorted[oracle / 2];
            assert_eq!(
                world.receipt(&model.address, 0).value,
                median,
                "{oracles} {oracle}"
            );
        }
    }
}

#[test]
fn one_wrong_oracle_of_three_changes_neither_value_nor_timing() {
    // Given two worlds, in one of which the third oracle is wrong
    let [agreeing, wrong] = [100_000, 900_000].map(|value| {
        let mut world = World::new();
        let model = share_model(&mut world, 3);
        world.warp_to_end(&model, 0);

        // When all submit and time passes
        for (oracle, value) in [(0, 100_000), (1, 100_000), (2, value)] {
            world.submit(&model, oracle, 0, &share(value)).unwrap();
        }
        world.pass(params().challenge_secs - 1);
        let outcome = finalize(&mut world, &model, 0);
        assert_refused(outcome, DriftShieldError::NothingToFinalize);
        world.pass(1);
        finalize(&mut world, &model, 0).unwrap();
        world.receipt(&model.address, 0)
    });

    // Then both have the same value at the same time
    assert_eq!(ReceiptState::from(wrong.state), ReceiptState::Final);
    assert_eq!(agreeing.state.0, wrong.state.0);
    assert_eq!((wrong.value, wrong.value), (100_000, agreeing.value));
    assert_eq!(wrong.since, agreeing.since);
}

#[test]
fn submissions_far_apart_are_in_dispute_without_a_challenge() {
    // Given the spread that is allowed, and one unit more
    for (value, expected) in [
        (60_000, ReceiptState::Proposed),
        (60_001, ReceiptState::Challenged),
    ] {
        let mut world = World::new();
        let model = share_model(&mut world, 3);
        world.warp_to_end(&model, 0);

        // When the oracle nearer to the median is that far from it
        for (oracle, value) in [(0, 10_000), (1, 50_000), (2, value)] {
            world.submit(&model, oracle, 0, &share(value)).unwrap();
        }

        // Then a quorum agrees, or the receipt is in dispute as of now and tells no value
        let receipt = world.receipt(&model.address, 0);
        assert_eq!(ReceiptState::from(receipt.state), expected);
        assert_eq!(receipt.since, world.now());
        assert_eq!(receipt.challenger, Address::default());
        let latest = world.model(&model.address).latest;
        assert_eq!(
            latest,
            if expected == ReceiptState::Proposed {
                50_000
            } else {
                0
            }
        );
    }
}

#[test]
fn a_proposed_value_is_final_when_the_challenge_period_ends() {
    // Given a proposed value
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let proposed = world.now();

    // When the period has a second left, then nothing is decided
    world.pass(params().challenge_secs - 1);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);

    // When it is over, then the value is final, once
    world.pass(1);
    let sent = finalize(&mut world, &model, 0).unwrap();
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Final, 100));
    assert_eq!(event.challenger_credit, 0);
    assert_eq!(event.chain, world.model(&model.address).chain);
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(receipt.since, proposed + params().challenge_secs);
    let outcome = finalize(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::NothingToFinalize);
}

#[test]
fn a_late_call_takes_all_steps_as_of_their_times() {
    // Given submissions of a quorum, and long nothing
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit(&model, 1, 0, &share(100)).unwrap();
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;
    world.pass(100 * DAY);

    // When somebody finalizes
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is Final as of when it would have been
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Final);
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(receipt.since, submit_end + params().challenge_secs);
    let state = world.model(&model.address);
    assert_eq!(
        (state.latest, state.last_value, state.final_count),
        (100, 100, 1)
    );
}

#[test]
fn a_receipt_is_finalized_with_its_own_model() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let other = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    world.pass(params().challenge_secs);

    // When another model is passed
    let instruction = instruction::finalize_receipt(model.address, 0);
    let outcome = world.send(with_account(instruction, model.address, other.address), &[]);

    // Then that is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

// Statistics.

#[test]
fn final_receipts_make_the_statistics() {
    // Given a model
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let values = [80_001, 3, 999_999, 0, 12_345, 500_000];
    let (mut ewma, mut max) = (0, 0);
    for (window, value) in (0..).zip(values) {
        // When its windows become Final one after another
        world.finalize_with(&model, window, &share(value));

        // Then each value counts, and weighs an eighth in the mean
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
fn an_earlier_window_counts_but_is_not_the_last() {
    // Given two windows that are Final, and an earlier one that is in dispute
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(80_000));
    world.submit_all(&model, 1, &share(50));
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 1, &challenger).unwrap();
    world.finalize_with(&model, 2, &share(160_000));
    let before = world.model(&model.address);
    assert_eq!((before.last_window, before.ewma), (2, 90_000));

    // When the dispute ends
    world.rule(&model, 1, &share(700_000)).unwrap();

    // Then it counts and may be the highest, but last value and mean stay
    let state = world.model(&model.address);
    assert_eq!((state.final_count, state.max_value), (3, 700_000));
    assert_eq!((state.last_value, state.last_window), (160_000, 2));
    assert_eq!(state.ewma, 90_000);
}

// The chain.

/// SHA-256 of head ‖ window ‖ state ‖ value ‖ total samples ‖ evidence hashes.
fn link(head: [u8; 32], receipt: &Receipt) -> [u8; 32] {
    let samples: u64 = receipt.samples.iter().sum();
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(receipt.window.to_le_bytes());
    hash.update([receipt.state.0]);
    hash.update(receipt.value.to_le_bytes());
    hash.update(samples.to_le_bytes());
    for evidence in &receipt.evidence {
        hash.update(evidence);
    }
    hash.finalize().into()
}

#[test]
fn the_chain_proves_that_no_receipt_is_missing() {
    // Given Final and Void receipts of every kind
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    world.warp_to_end(&model, 1);
    world.submit(&model, 2, 1, &share(200)).unwrap();
    world.pass(params().submit_secs);
    finalize(&mut world, &model, 1).unwrap();
    world.submit_all(&model, 2, &share(300));
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 2, &challenger).unwrap();
    world.rule(&model, 2, &share(400_000)).unwrap();
    world.warp_to_end(&model, 4);
    for (oracle, value) in [(0, 1_000), (1, 200_000), (2, 900_000)] {
        world.submit(&model, oracle, 4, &share(value)).unwrap();
    }
    world.pass(params().ruling_secs);
    finalize(&mut world, &model, 4).unwrap();

    // When a reader, who has them all, hashes them
    let receipts = [0, 1, 2, 4].map(|window| world.receipt(&model.address, window));
    let states = receipts.each_ref().map(|receipt| receipt.state.0);
    let (end, void) = (ReceiptState::Final as u8, ReceiptState::Void as u8);
    assert_eq!(states, [end, void, end, void]);
    let head = receipts.iter().fold([0; 32], link);

    // Then that is the head that the model holds, and without any of them it is not
    let chain = world.model(&model.address).chain;
    assert_eq!(head, chain);
    for missing in 0..receipts.len() {
        let others = (0..).zip(&receipts).filter(|(index, _)| *index != missing);
        let head = others.fold([0; 32], |head, (_, receipt)| link(head, receipt));
        assert_ne!(head, chain, "without receipt {missing}");
    }
}

#[test]
fn the_chain_has_receipts_in_the_order_in_which_they_were_decided() {
    // Given a later window that is decided before an earlier one
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 0, &challenger).unwrap();
    world.finalize_with(&model, 1, &share(200));
    world.rule(&model, 0, &share(100)).unwrap();

    // When a reader hashes them in that order
    let receipts = [1, 0].map(|window| world.receipt(&model.address, window));
    let head = receipts.iter().fold([0; 32], link);

    // Then that is the head
    assert_eq!(world.model(&model.address).chain, head);
}

// Closing.

#[test]
fn a_receipt_is_closed_after_its_retention() {
    // Given a Final receipt
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    let payer = world.receipt(&model.address, 0).payer;
    assert_eq!(payer, model.oracles[0].address());

    // When its retention has a second left, then it stays
    warp_to_retention_end(&mut world, &model, 0);
    world.pass(-1);
    let outcome = close(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::ReceiptStillNeeded);

    // When it is over, then anyone closes it, and the rent goes back to who paid it
    world.pass(1);
    let address = address::receipt(&model.address, 0);
    let (rent, before) = (world.lamports(&address), world.lamports(&payer));
    let sent = close(&mut world, &model, 0).unwrap();
    let Event::ReceiptClosed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(
        (event.receipt, event.payer, event.window),
        (address, payer, 0)
    );
    assert!(!world.exists(&address));
    assert!(0 < rent);
    assert_eq!(world.lamports(&payer), before + rent);
}

#[test]
fn the_rent_goes_to_nobody_else() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 0);

    // When another account is passed as the payer
    let receipt = world.receipt(&model.address, 0);
    let instruction = instruction::close_receipt(&receipt);
    let other = model.oracles[1].address();
    let outcome = world.send(with_account(instruction, receipt.payer, other), &[]);

    // Then that is refused
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn an_open_receipt_is_not_closed() {
    // Given receipts that nobody moved on: Collecting, Proposed, Challenged
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();
    world.submit_all(&model, 1, &share(100));
    world.submit_all(&model, 2, &share(100));
    let challenger = world.wallet(1_000 * TOKEN);
    world.challenge(&model, 2, &challenger).unwrap();

    // When their retention is over
    warp_to_retention_end(&mut world, &model, 2);

    // Then they are not closed until somebody finalizes them, and the last pays the challenger
    for window in 0..3 {
        let outcome = close(&mut world, &model, window);
        assert_refused(outcome, DriftShieldError::ReceiptStillNeeded);
        finalize(&mut world, &model, window).unwrap();
    }
    close(&mut world, &model, 0).unwrap();
    close(&mut world, &model, 1).unwrap();
    let outcome = close(&mut world, &model, 2);
    assert_refused(outcome, DriftShieldError::CreditLeft);
}

#[test]
fn a_closed_receipt_does_not_come_back() {
    // Given a receipt that can be closed
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 0);
    let oracle = &model.oracles[0];
    let close = instruction::close_receipt(&world.receipt(&model.address, 0));
    let submit = submission(oracle, &model, 0, &share(200));

    // When an oracle submits again, in the transaction that closes it or later
    let outcome = world.send_all(&[close.clone(), submit.clone()], &[&oracle.key]);

    // Then that is refused
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
    world.send(close, &[]).unwrap();
    let outcome = world.send(submit, &[&oracle.key]);
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
    assert!(!world.exists(&address::receipt(&model.address, 0)));
}

#[test]
fn lamports_sent_ahead_do_not_stop_a_receipt() {
    // Given a lamport at the address of a receipt to come
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let address = address::receipt(&model.address, 0);
    let mut account = world.svm.get_account(&world.payer.pubkey()).unwrap();
    account.lamports = 1;
    world.svm.set_account(address, account).unwrap();

    // When an oracle submits
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();

    // Then the receipt is there, free of rent
    let receipt = world.receipt(&model.address, 0);
    assert_eq!((receipt.seq, receipt.value), (1, 100));
    let size = 8 + size_of::<Receipt>();
    let rent = world.svm.minimum_balance_for_rent_exemption(size);
    assert_eq!(world.lamports(&address), rent);
}

#[test]
fn a_new_version_has_statistics_of_its_own() {
    // Given a model with a Final receipt and one that is open
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    world.submit_all(&model, 1, &share(500));
    let update = |world: &mut World| {
        let terms = model_terms(&model.oracles);
        let update = instruction::update_model(model.owner.address(), model.address, terms);
        world.send(update, &[&model.owner.key])
    };
    assert_refused(update(&mut world), DriftShieldError::ReceiptOpen);
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 1).unwrap();
    let chain = world.model(&model.address).chain;

    // When its owner updates it, and another window is measured
    update(&mut world).unwrap();
    world.finalize_with(&model, 2, &share(40));

    // Then only that counts, and the chain goes on
    let state: Model = world.model(&model.address);
    let receipt = world.receipt(&model.address, 2);
    assert_eq!((state.version, receipt.version), (2, 2));
    assert_eq!(
        (state.final_count, state.last_value, state.last_window),
        (1, 40, 2)
    );
    assert_eq!((state.latest, state.max_value, state.ewma), (40, 40, 40));
    assert_eq!(state.chain, link(chain, &receipt));
}

#[test]
fn a_stale_receipt_does_not_hide_the_latest_proposed_value() {
    // Given a window that a quorum has submitted and nobody has finalized, and a later one proposed
    let mut world = World::new();
    let model = world.default_model();
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &CALM).unwrap();
    world.submit(&model, 1, 0, &CALM).unwrap();
    world.submit_all(&model, 1, &DRIFTED);
    let drifted = world.receipt(&model.address, 1).value;
    assert_eq!(world.model(&model.address).latest, drifted);

    // When somebody finalizes the earlier one
    let finalize = instruction::finalize_receipt(model.address, 0);
    world.send(finalize, &[]).unwrap();

    // Then the latest proposed value is still the later window's
    let state = world.model(&model.address);
    assert_eq!((state.latest, state.latest_window), (drifted, 1));
    assert_eq!((state.last_value, state.last_window), (0, 0));
}
