//! Submissions: who may submit what, and when.

use anchor_lang::Address;
use driftshield_sdk::{
    DriftShieldError, Entry, Event, Receipt, ReceiptState, Series, address, instruction,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{BOND, finalize, share_model, state, submission, window_end};
use crate::{bonds::unbond, model::retire};

#[test]
fn a_stranger_may_not_submit() {
    // Given a window that is over
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let stranger = world.wallet(0);
    world.warp_to_end(&model, 0);

    // When a stranger submits, without a seat or with an oracle's
    let without_seat = submission(&stranger, &model, 0, &share(1));
    let with_seat = swapped(
        without_seat.clone(),
        &address::seat(&model.address, &stranger.address()),
        &address::seat(&model.address, &model.oracles[0].address()),
    );

    // Then it is refused
    for submit in [without_seat, with_seat] {
        let outcome = world.send(submit, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::NotAnOracle);
    }
}

#[test]
fn an_oracle_submits_with_its_own_seat_only() {
    // Given an oracle with seats on two models
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

    // When it submits with another oracle's seat, its seat on the other model, or an account that
    // is no seat
    let own = address::seat(&model.address, &oracle.address());
    let wrong_ones = [
        address::seat(&model.address, &model.oracles[1].address()),
        address::seat(&other, &oracle.address()),
        other,
    ];

    // Then it is refused
    for wrong in wrong_ones {
        let submit = swapped(submission(oracle, &model, 0, &share(1)), &own, &wrong);
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

    // Then it is refused
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
}

#[test]
fn a_seat_unbonded_below_the_minimum_does_not_count() {
    // Given an oracle that unbonds until the minimum is left, and then one base unit more
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let min_bond = world.model(&model.address).min_bond;
    unbond(&mut world, &model, 0, BOND - min_bond).unwrap();
    world.warp_to_end(&model, 0);
    world
        .submit(&model, 0, 0, &share(1))
        .expect("the minimum is left");
    unbond(&mut world, &model, 0, 1).unwrap();

    // When it submits
    world.warp_to_end(&model, 1);
    let outcome = world.submit(&model, 0, 1, &share(1));

    // Then it is refused
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
}

#[test]
fn a_seat_slashed_below_half_the_minimum_does_not_count() {
    // Given an oracle at the minimum bond, which two rulings slash
    let mut world = World::new();
    let spec = share_spec(&world);
    let min_bond = terms().min_bond;
    let model = world.model_with(spec, 3, min_bond);
    let challenger = world.wallet(1_000 * TOKEN);
    for window in 0..2 {
        world.warp_to_end(&model, window);
        for (oracle, value) in [(0, 500_000), (1, 100), (2, 100)] {
            world.submit(&model, oracle, window, &share(value)).unwrap();
        }
        world
            .challenge(&model, window, &challenger, &share(500_000))
            .unwrap();
        world.rule(&model, window, &share(100)).unwrap();
    }

    // When it submits for the next window
    world.warp_to_end(&model, 2);
    let outcome = world.submit(&model, 0, 2, &share(1));

    // Then it is refused until it bonds the whole minimum again
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
    let oracle = model.oracles[0].address();
    let rest = world.seat(&model.address, &oracle).bonded;
    world.bond(&model, 0, min_bond - rest - 1).unwrap();
    let outcome = world.submit(&model, 0, 2, &share(1));
    assert_refused(outcome, DriftShieldError::SeatDoesNotCount);
    world.bond(&model, 0, 1).unwrap();
    world.submit(&model, 0, 2, &share(1)).unwrap();
}

#[test]
fn a_submission_with_a_wrong_number_of_bins_is_refused() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);

    // When bins are missing, or there is one too many
    for counts in [&[][..], &[1_000_000], &[1_000_000, 0, 0]] {
        let outcome = world.submit(&model, 0, 0, counts);

        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongBinCount);
    }
}

#[test]
fn an_evidence_uri_has_at_most_128_bytes() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    let oracle = &model.oracles[0];
    let with_uri = |uri: String| {
        let counts = share(1).to_vec();
        instruction::submit_receipt(oracle.address(), model.address, 0, counts, [1; 32], uri)
    };

    // When it has 129 bytes
    let outcome = world.send(with_uri("u".repeat(129)), &[&oracle.key]);

    // Then it is refused, and 128 bytes are accepted and in the event
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
fn a_window_whose_end_overflows_is_refused() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);

    // When the window's end overflows because of the index, its product with the length, or the sum
    // with genesis
    let last = (i64::MAX / DAY) as u64;
    for window in [u64::MAX, i64::MAX as u64, last, last - 1] {
        let outcome = world.submit(&model, 0, window, &share(1));

        // Then it is refused
        assert_refused(outcome, DriftShieldError::WindowOutOfRange);
    }
}

#[test]
fn an_oracle_cannot_submit_twice() {
    // Given a submission
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(1)).unwrap();

    // When the same oracle submits again
    let outcome = world.submit(&model, 0, 0, &share(2));

    // Then it is refused
    assert_refused(outcome, DriftShieldError::AlreadySubmitted);
}

#[test]
fn a_receipt_that_is_not_collecting_accepts_no_submission() {
    // Given a receipt that was proposed while the third oracle's seat did not count, which counts
    // again now
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    unbond(&mut world, &model, 2, BOND).unwrap();
    world.submit(&model, 0, 0, &share(1)).unwrap();
    world.submit(&model, 1, 0, &share(1)).unwrap();
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
    world.bond(&model, 2, BOND).unwrap();

    // When that oracle submits, or one that has submitted already
    for oracle in [2, 0] {
        let outcome = world.submit(&model, oracle, 0, &share(1));

        // Then it is refused
        assert_refused(outcome, DriftShieldError::ReceiptNotCollecting);
    }
    // And it is still refused once the receipt is Final and closed, long after the submit period
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 0).unwrap();
    let outcome = world.submit(&model, 2, 0, &share(1));
    assert_refused(outcome, DriftShieldError::WindowSettled);
}

#[test]
fn a_window_accepts_submissions_from_its_end() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let end = window_end(&world, &model, 3);

    // When the window has a second left, then it accepts none
    world.warp_to(end - 1);
    let outcome = world.submit(&model, 0, 3, &share(1));
    assert_refused(outcome, DriftShieldError::WindowNotOver);
    assert!(!world.exists(&address::receipt(&model.address, 3)));

    // When the window is over, then it accepts one
    world.warp_to(end);
    world.submit(&model, 0, 3, &share(1)).unwrap();
}

#[test]
fn a_window_accepts_submissions_until_its_submit_period_ends() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let submit_end = window_end(&world, &model, 0) + params().submit_secs;

    // When the submit period has a second left, then the window accepts a submission
    world.warp_to(submit_end - 1);
    world.submit(&model, 0, 0, &share(1)).unwrap();

    // When the period is over, then it accepts none, with a receipt or without
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
        retire(&mut world, model).unwrap();
    }

    // When a window is over
    world.warp_to_end(&exposed, 1);

    // Then only the model with the bet accepts submissions, until its market is settled
    let outcome = world.submit(&idle, 0, 1, &share(1));
    assert_refused(outcome, DriftShieldError::ModelRetired);
    world.finalize_with(&exposed, 1, &CALM);
    world.settle(&market).unwrap();
    assert_eq!(world.model(&exposed.address).exposure, 0);
    world.warp_to_end(&exposed, 2);
    let outcome = world.submit(&exposed, 0, 2, &CALM);
    assert_refused(outcome, DriftShieldError::ModelRetired);
}

#[test]
fn an_open_receipt_accepts_submissions_after_retirement() {
    // Given a receipt with a submission, whose model is then retired
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(1)).unwrap();
    retire(&mut world, &model).unwrap();

    // When the others submit
    world.submit(&model, 1, 0, &share(1)).unwrap();
    world.submit(&model, 2, 0, &share(1)).unwrap();

    // Then the receipt is Proposed
    assert_eq!(state(&world, &model, 0), ReceiptState::Proposed);
}

#[test]
fn a_submission_is_recorded_in_accounts_and_event() {
    // Given a window that is over
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    let oracle = &model.oracles[1];

    // When an oracle submits for it
    let submit = submission(oracle, &model, 0, &share(123));
    let sent = world.send(submit, &[&oracle.key]).unwrap();

    // Then the event and the accounts have the submission
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
    assert_eq!(event.series, address::series(&model.address, 0));
    assert_eq!((event.series_seq, event.thin), (1, 0));
    let series = world.series(&model.address, 0);
    assert_eq!((series.model, series.page), (model.address, 0));
    assert_eq!((series.payer, series.seq), (oracle.address(), 1));
    assert_eq!(world.entry(&model.address, 0), Entry::Open);
    assert_eq!(world.entry(&model.address, 1), Entry::None);
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
fn a_receipt_and_a_page_are_created_at_addresses_that_hold_lamports() {
    // Given a lamport at the addresses of a future receipt and its page
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let address = address::receipt(&model.address, 0);
    let page = address::series(&model.address, 0);
    let mut account = world.svm.get_account(&world.payer.pubkey()).unwrap();
    account.lamports = 1;
    world.svm.set_account(address, account.clone()).unwrap();
    world.svm.set_account(page, account).unwrap();

    // When an oracle submits
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(100)).unwrap();

    // Then both are created, with exactly their rent
    let receipt = world.receipt(&model.address, 0);
    assert_eq!((receipt.seq, receipt.value), (1, 100));
    let size = 8 + size_of::<Receipt>();
    let rent = world.svm.minimum_balance_for_rent_exemption(size);
    assert_eq!(world.lamports(&address), rent);
    let size = 8 + size_of::<Series>();
    let rent = world.svm.minimum_balance_for_rent_exemption(size);
    assert_eq!(world.lamports(&page), rent);
}
