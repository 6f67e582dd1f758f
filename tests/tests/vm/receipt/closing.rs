//! A receipt is closed once it is settled and owes nothing, by the instruction that brings it there.

use driftshield_sdk::{ChallengePayee, DriftShieldError, Entry, Event, address, instruction};
use driftshield_tests::world::*;

use super::{finalize, rule_no_data, share_model, submission};

#[test]
fn finalizing_closes_a_receipt_and_returns_its_rent() {
    // Given a proposed value
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let (address, payer) = (
        address::receipt(&model.address, 0),
        model.oracles[0].address(),
    );
    let (rent, before) = (world.lamports(&address), world.lamports(&payer));
    assert_eq!(world.receipt(&model.address, 0).payer, payer);

    // When it is finalized
    world.pass(params().challenge_secs);
    let sent = finalize(&mut world, &model, 0).unwrap();

    // Then the receipt is gone, its rent is back where it came from, and the page has the value
    assert!(!world.exists(&address));
    assert!(0 < rent);
    assert_eq!(world.lamports(&payer), before + rent);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.series, address::series(&model.address, 0));
    assert_eq!(event.series_seq, world.series(&model.address, 0).seq);
}

#[test]
fn a_void_receipt_is_closed_too() {
    // Given a receipt without a quorum
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 1, 0, &share(100)).unwrap();
    let (address, payer) = (
        address::receipt(&model.address, 0),
        model.oracles[1].address(),
    );
    let (rent, before) = (world.lamports(&address), world.lamports(&payer));

    // When nobody rules on it
    world.pass(params().submit_secs + params().challenge_secs + params().ruling_secs);
    finalize(&mut world, &model, 0).unwrap();

    // Then it is closed
    assert!(!world.exists(&address));
    assert_eq!(world.lamports(&payer), before + rent);
    assert_eq!(world.entry(&model.address, 0), Entry::Void);
}

#[test]
fn a_step_that_does_not_settle_a_receipt_leaves_it_open() {
    // Given a quorum of submissions
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    for oracle in [0, 1] {
        world.submit(&model, oracle, 0, &share(100)).unwrap();
    }

    // When it is proposed at the end of the submit period, then the receipt stays
    world.pass(params().submit_secs);
    finalize(&mut world, &model, 0).unwrap();
    assert!(world.exists(&address::receipt(&model.address, 0)));
    assert_eq!(world.entry(&model.address, 0), Entry::Open);
}

#[test]
fn a_ruling_that_owes_nothing_closes_the_receipt() {
    // Given a dispute without a challenger, because only one oracle has submitted
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.warp_to_end(&model, 0);
    world.submit(&model, 0, 0, &share(500_000)).unwrap();
    world.pass(params().submit_secs);
    finalize(&mut world, &model, 0).unwrap();
    let (address, payer) = (
        address::receipt(&model.address, 0),
        model.oracles[0].address(),
    );
    let (rent, before) = (world.lamports(&address), world.lamports(&payer));

    // When the ruling slashes somebody, then the receipt stays until the treasury has collected
    let mut slashing = world.clone();
    slashing.rule(&model, 0, &share(100)).unwrap();
    assert!(slashing.exists(&address));
    slashing.pass(params().appeal_secs);
    let state = slashing.model(&model.address);
    let receipt = slashing.receipt(&model.address, 0);
    let collect =
        instruction::collect_challenge(model.address, &state, &receipt, ChallengePayee::Treasury);
    slashing.send(collect, &[]).unwrap();
    assert!(!slashing.exists(&address));
    assert_eq!(slashing.lamports(&payer), before + rent);

    // When there is no data, so that nobody loses anything, then the ruling closes it
    rule_no_data(&mut world, &model, 0).unwrap();
    assert!(!world.exists(&address));
    assert_eq!(world.lamports(&payer), before + rent);
    assert_eq!(world.entry(&model.address, 0), Entry::Void);
}

#[test]
fn the_last_collection_closes_the_receipt() {
    for first in [ChallengePayee::Treasury, ChallengePayee::Challenger] {
        // Given a ruling that owes the challenger and the treasury
        let mut world = World::new();
        let model = share_model(&mut world, 3);
        world.submit_all(&model, 0, &share(500_000));
        let challenger = world.wallet(1_000 * TOKEN);
        world
            .challenge(&model, 0, &challenger, &share(100))
            .unwrap();
        world.rule(&model, 0, &share(100)).unwrap();
        world.pass(params().appeal_secs);
        let (address, payer) = (
            address::receipt(&model.address, 0),
            model.oracles[0].address(),
        );
        let (rent, before) = (world.lamports(&address), world.lamports(&payer));
        let receipt = world.receipt(&model.address, 0);
        let collect = |world: &mut World, payee| {
            let state = world.model(&model.address);
            let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
            let sent = world.send(collect, &[]).unwrap();
            match sent.event() {
                Event::ChallengeCollected(event) => event.owed,
                event => panic!("{event:?}"),
            }
        };

        // When the first of them is paid, then the receipt stays
        assert!(0 < collect(&mut world, first));
        assert!(world.exists(&address));
        assert_eq!(world.lamports(&payer), before);

        // When the second is paid, then it is closed
        let second = match first {
            ChallengePayee::Treasury => ChallengePayee::Challenger,
            ChallengePayee::Challenger => ChallengePayee::Treasury,
        };
        assert_eq!(collect(&mut world, second), 0);
        assert!(!world.exists(&address));
        assert_eq!(world.lamports(&payer), before + rent);
    }
}

#[test]
fn the_payer_of_a_receipt_may_be_its_arbiter_or_challenger() {
    // Given an oracle that challenges a window for which it paid the receipt
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(500_000));
    world
        .challenge(&model, 0, &model.oracles[0], &share(100))
        .unwrap();

    // When its challenge succeeds, then both credits can be collected
    world.rule(&model, 0, &share(100)).unwrap();
    world.pass(params().appeal_secs);
    let state = world.model(&model.address);
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(receipt.payer, receipt.challenger);
    for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
        let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
        world.send(collect, &[]).unwrap();
    }
    assert!(!world.exists(&address::receipt(&model.address, 0)));
}

#[test]
fn a_receipts_rent_goes_to_its_payer_only() {
    // Given a receipt that can be finalized
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    world.pass(params().challenge_secs);

    // When another account is passed as the rent's payer
    let receipt = world.receipt(&model.address, 0);
    let instruction = instruction::finalize_receipt(&receipt);
    let other = model.oracles[1].address();
    let outcome = world.send(swapped(instruction, &receipt.payer, &other), &[]);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn a_payer_that_becomes_a_program_delays_nobody() {
    // Given a receipt whose payer turned its own account into a program's
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let payer = model.oracles[0].address();
    let mut account = world.svm.get_account(&payer).unwrap();
    let program = world.svm.get_account(&driftshield_sdk::ID).unwrap();
    (account.owner, account.data) = (program.owner, program.data);
    account.executable = true;
    account.lamports += program.lamports;
    world.svm.set_account(payer, account).unwrap();
    let before = world.lamports(&payer);

    // When the receipt is finalized, then it settles, and the payer still gets its rent
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 0).unwrap();
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
    assert!(before < world.lamports(&payer));
}

#[test]
fn a_window_has_one_receipt_forever() {
    // Given a receipt that is settled within the submit period of its window, without slashes
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let challenger = world.wallet(1_000 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &share(900_000))
        .unwrap();
    world.rule(&model, 0, &share(100)).unwrap();
    let oracle = &model.oracles[0];
    let submit = submission(oracle, &model, 0, &share(200));
    let state = world.model(&model.address);
    let receipt = world.receipt(&model.address, 0);
    let last =
        instruction::collect_challenge(model.address, &state, &receipt, ChallengePayee::Treasury);

    // When an oracle submits again: before the receipt is closed, in the closing transaction, or later
    let outcome = world.send(submit.clone(), &[&oracle.key]);
    assert_refused(outcome, DriftShieldError::WindowSettled);
    let outcome = world.send_all(&[last.clone(), submit.clone()], &[&oracle.key]);
    assert_refused(outcome, DriftShieldError::WindowSettled);
    world.send(last, &[]).unwrap();
    assert!(!world.exists(&address::receipt(&model.address, 0)));
    let outcome = world.send(submit, &[&oracle.key]);

    // Then it is refused, and the value stays
    assert_refused(outcome, DriftShieldError::WindowSettled);
    assert_eq!(world.entry(&model.address, 0), Entry::Final(100));
}
