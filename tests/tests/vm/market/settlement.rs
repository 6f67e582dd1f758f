//! Receipts that settling waits for, skips or refuses.

use driftshield_sdk::{Aggregate, DriftShieldError, MarketState, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{scene, settled};

#[test]
fn a_missing_receipt_with_lamports_is_still_missing() {
    // Given lamports at the address of the receipt of a market's first window
    let mut scene = scene(Aggregate::Max);
    let receipt = address::receipt(&scene.model.address, 1);
    scene.world.svm.airdrop(&receipt, 1_000_000).unwrap();

    // When nobody submits in time
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.pass(params().submit_secs);
    let event = settled(scene.world.settle(&scene.market, 1));

    // Then the window is skipped
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn windows_are_settled_in_order() {
    // Given two Final receipts
    let mut scene = scene(Aggregate::Last);
    scene.world.finalize_with(&scene.model, 1, &CALM);
    scene.world.finalize_with(&scene.model, 2, &CALM);

    // When the second is settled first
    let state = scene.world.market(&scene.market);
    let settle = instruction::settle_market(scene.market, &state, 1);
    let [first, second] = [1, 2].map(|window| address::receipt(&scene.model.address, window));
    let settle = swapped(settle, &first, &second);
    let outcome = scene.world.send(settle, &[]);

    // Then it is refused, and so is a batch in reverse order
    assert_refused(outcome, DriftShieldError::SettleOutOfOrder);
    let mut settle = instruction::settle_market(scene.market, &state, 2);
    let last = settle.accounts.len() - 1;
    settle.accounts.swap(last - 1, last);
    assert_refused(
        scene.world.send(settle, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
}

#[test]
fn a_receipt_cannot_be_settled_twice() {
    // Given a Final receipt
    let mut scene = scene(Aggregate::Last);
    scene.world.finalize_with(&scene.model, 1, &CALM);

    // When a batch has it twice, or a later batch has it again
    let state = scene.world.market(&scene.market);
    let mut twice = instruction::settle_market(scene.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());
    let once = instruction::settle_market(scene.market, &state, 1);

    // Then it is refused
    assert_refused(
        scene.world.send(twice, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
    scene.world.send(once.clone(), &[]).unwrap();
    assert_refused(
        scene.world.send(once, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
}

#[test]
fn a_proposed_receipt_cannot_be_settled_twice() {
    // Given a Proposed receipt whose challenge period is over
    let mut scene = scene(Aggregate::Last);
    scene.world.submit_all(&scene.model, 1, &CALM);
    scene.world.pass(params().challenge_secs);

    // When the batch that finalizes it has it twice
    let state = scene.world.market(&scene.market);
    let mut twice = instruction::settle_market(scene.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());

    // Then it is refused
    assert_refused(
        scene.world.send(twice, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
}

#[test]
fn settling_with_a_receipt_of_another_model_is_refused() {
    // Given another model with a receipt of the same window
    let mut scene = scene(Aggregate::Last);
    let other = scene.world.default_model();
    scene.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled with it
    let state = scene.world.market(&scene.market);
    let settle = swapped(
        instruction::settle_market(scene.market, &state, 1),
        &address::receipt(&scene.model.address, 1),
        &address::receipt(&other.address, 1),
    );

    // Then it is refused
    assert_refused(
        scene.world.send(settle, &[]),
        DriftShieldError::WrongReceipt,
    );
}

#[test]
fn settling_with_another_model_is_refused() {
    // Given another model with a receipt of the same window
    let mut scene = scene(Aggregate::Last);
    let other = scene.world.default_model();
    scene.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled with that model
    let state = scene.world.market(&scene.market);
    let settle = instruction::settle_market(scene.market, &state, 1);
    let settle = swapped(settle, &scene.model.address, &other.address);

    // Then it is refused
    assert_refused(scene.world.send(settle, &[]), DriftShieldError::WrongModel);
}

#[test]
fn a_foreign_account_is_not_accepted_as_a_missing_receipt() {
    // Given a window without a receipt, after its submit period
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.pass(params().submit_secs);

    // When another address is passed in place of its receipt's: a wallet, a token account, the next
    // receipt's, or an unused one
    let receipt = address::receipt(&scene.model.address, 1);
    for foreign in [
        scene.yes.address(),
        scene.yes.tokens,
        address::receipt(&scene.model.address, 2),
        key("nobody").pubkey(),
    ] {
        let state = scene.world.market(&scene.market);
        let settle = instruction::settle_market(scene.market, &state, 1);
        let settle = swapped(settle, &receipt, &foreign);

        // Then it is refused
        assert_refused(
            scene.world.send(settle, &[]),
            DriftShieldError::SettleOutOfOrder,
        );
    }
}

#[test]
fn another_account_of_the_program_is_not_accepted_as_a_receipt() {
    // Given a window without a receipt, after its submit period
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.pass(params().submit_secs);

    // When another account of the program is passed in place of its receipt
    let receipt = address::receipt(&scene.model.address, 1);
    for foreign in [
        address::config(),
        address::position(&scene.market, &scene.yes.address()),
        address::seat(&scene.model.address, &scene.model.oracles[0].address()),
    ] {
        let state = scene.world.market(&scene.market);
        let settle = instruction::settle_market(scene.market, &state, 1);
        let settle = swapped(settle, &receipt, &foreign);

        // Then it is refused
        assert!(scene.world.send(settle, &[]).is_err());
        assert_eq!(scene.world.market(&scene.market).next_window, 1);
    }
}

#[test]
fn settling_waits_for_the_challenge_period() {
    // Given a receipt that is Collecting
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    scene.world.submit(&scene.model, 0, 1, &CALM).unwrap();
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When it is Proposed, and its challenge period has a second left
    for oracle in 1..3 {
        scene.world.submit(&scene.model, oracle, 1, &CALM).unwrap();
    }
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    scene.world.pass(params().challenge_secs - 1);
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it is refused, and settled once the challenge period is over
    scene.world.pass(1);
    assert_eq!(settled(scene.world.settle(&scene.market, 1)).observed, 1);
}

#[test]
fn settling_waits_for_the_ruling_period_of_a_dispute() {
    // Given a challenged receipt
    let mut scene = scene(Aggregate::Last);
    scene.world.submit_all(&scene.model, 1, &CALM);
    let challenger = scene.world.wallet(1_000 * TOKEN);
    scene.world.challenge(&scene.model, 1, &challenger).unwrap();

    // When the market is settled while the ruling period has a second left
    scene.world.pass(params().ruling_secs - 1);
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it is refused, and settled once the ruling period is over
    scene.world.pass(1);
    let event = settled(scene.world.settle(&scene.market, 1));
    assert_eq!(event.observed, 1);
    assert_eq!(event.receipts[0].challenger_credit, terms().challenge_bond);
}

#[test]
fn settling_skips_a_missing_receipt_after_the_submit_period() {
    // Given a window without a receipt, until a second before its submit period ends
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 1);
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    scene.world.pass(params().submit_secs - 1);
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When the submit period is over, then the window is skipped
    scene.world.pass(1);
    let event = settled(scene.world.settle(&scene.market, 1));
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn settling_without_receipts_is_refused() {
    // Given a market whose windows have passed
    let mut scene = scene(Aggregate::Last);
    scene.world.warp_to_end(&scene.model, 3);
    scene.world.pass(params().submit_secs);

    // When it is settled without receipts, then it is refused
    assert_refused(
        scene.world.settle(&scene.market, 0),
        DriftShieldError::NoReceipts,
    );
}

#[test]
fn a_settled_market_cannot_be_settled_again() {
    // Given a resolved market
    let mut scene = scene(Aggregate::Max);
    scene.resolve_yes();

    // When it is settled again, then it is refused
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::MarketSettled,
    );
    assert_refused(
        scene.world.settle(&scene.market, 0),
        DriftShieldError::MarketSettled,
    );
}

#[test]
fn a_void_market_cannot_be_settled_again() {
    // Given a void market
    let mut scene = scene(Aggregate::Max);
    assert_eq!(scene.void().state, MarketState::Void);

    // When it is settled again, then it is refused
    assert_refused(
        scene.world.settle(&scene.market, 1),
        DriftShieldError::MarketSettled,
    );
}
