//! Closing of receipts after their retention.

use driftshield_sdk::{DriftShieldError, Event, address, instruction};
use driftshield_tests::world::*;

use super::{finalize, share_model, submission};

fn close(world: &mut World, model: &TestModel, window: u64) -> Outcome {
    let receipt = world.receipt(&model.address, window);
    world.send(instruction::close_receipt(&receipt), &[])
}

fn warp_to_retention_end(world: &mut World, model: &TestModel, window: u64) {
    let end = world
        .model(&model.address)
        .retention_end(window)
        .expect("in range");
    world.warp_to(end);
}

#[test]
fn a_receipt_is_closed_after_its_retention() {
    // Given a Final receipt
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    let payer = world.receipt(&model.address, 0).payer;
    assert_eq!(payer, model.oracles[0].address());

    // When its retention has a second left, then closing is refused
    warp_to_retention_end(&mut world, &model, 0);
    world.pass(-1);
    let outcome = close(&mut world, &model, 0);
    assert_refused(outcome, DriftShieldError::ReceiptStillNeeded);

    // When the retention is over, then anyone can close it, and the rent goes back to its payer
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
fn a_receipts_rent_goes_to_its_payer_only() {
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 0);

    // When another account is passed as the rent's payer
    let receipt = world.receipt(&model.address, 0);
    let instruction = instruction::close_receipt(&receipt);
    let other = model.oracles[1].address();
    let outcome = world.send(swapped(instruction, &receipt.payer, &other), &[]);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn an_open_receipt_is_not_closed() {
    // Given receipts that are left Collecting, Proposed and Challenged
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

    // Then they cannot be closed until they are finalized, and the last one not while its challenger
    // has an uncollected credit
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
fn a_closed_receipt_cannot_be_created_again() {
    // Given a receipt past its retention
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    warp_to_retention_end(&mut world, &model, 0);
    let oracle = &model.oracles[0];
    let close = instruction::close_receipt(&world.receipt(&model.address, 0));
    let submit = submission(oracle, &model, 0, &share(200));

    // When an oracle submits again, in the closing transaction or later
    let outcome = world.send_all(&[close.clone(), submit.clone()], &[&oracle.key]);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
    world.send(close, &[]).unwrap();
    let outcome = world.send(submit, &[&oracle.key]);
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
    assert!(!world.exists(&address::receipt(&model.address, 0)));
}
