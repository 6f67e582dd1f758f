//! Receipts and accounts that settling refuses.

use driftshield_sdk::{Aggregate, DriftShieldError, MarketState, address, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{scene, settled};

#[test]
fn a_missing_receipt_with_lamports_is_still_missing() {
    // Given lamports at the address of the receipt of a market's first window
    let mut s = scene(Aggregate::Max);
    let receipt = address::receipt(&s.model.address, 1);
    s.world.svm.airdrop(&receipt, 1_000_000).unwrap();

    // When nobody submits in time
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 1));

    // Then the window is skipped
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn windows_are_settled_in_order() {
    // Given two Final receipts
    let mut s = scene(Aggregate::Last);
    s.world.finalize_with(&s.model, 1, &CALM);
    s.world.finalize_with(&s.model, 2, &CALM);

    // When the second is settled first
    let state = s.world.market(&s.market);
    let settle = instruction::settle_market(s.market, &state, 1);
    let [first, second] = [1, 2].map(|window| address::receipt(&s.model.address, window));
    let settle = swapped(settle, &first, &second);
    let outcome = s.world.send(settle, &[]);

    // Then it is refused, and so is a batch in reverse order
    assert_refused(outcome, DriftShieldError::SettleOutOfOrder);
    let mut settle = instruction::settle_market(s.market, &state, 2);
    let last = settle.accounts.len() - 1;
    settle.accounts.swap(last - 1, last);
    assert_refused(
        s.world.send(settle, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
}

#[test]
fn a_receipt_cannot_be_settled_twice() {
    // Given a Final receipt
    let mut s = scene(Aggregate::Last);
    s.world.finalize_with(&s.model, 1, &CALM);

    // When a batch has it twice, or a later batch has it again
    let state = s.world.market(&s.market);
    let mut twice = instruction::settle_market(s.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());
    let once = instruction::settle_market(s.market, &state, 1);

    // Then it is refused
    assert_refused(s.world.send(twice, &[]), DriftShieldError::SettleOutOfOrder);
    s.world.send(once.clone(), &[]).unwrap();
    assert_refused(s.world.send(once, &[]), DriftShieldError::SettleOutOfOrder);
}

#[test]
fn a_proposed_receipt_cannot_be_settled_twice() {
    // Given a Proposed receipt whose challenge period is over
    let mut s = scene(Aggregate::Last);
    s.world.submit_all(&s.model, 1, &CALM);
    s.world.pass(params().challenge_secs);

    // When the batch that finalizes it has it twice
    let state = s.world.market(&s.market);
    let mut twice = instruction::settle_market(s.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());

    // Then it is refused
    assert_refused(s.world.send(twice, &[]), DriftShieldError::SettleOutOfOrder);
}

#[test]
fn settling_with_a_receipt_of_another_model_is_refused() {
    // Given another model with a receipt of the same window
    let mut s = scene(Aggregate::Last);
    let other = s.world.default_model();
    s.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled with it
    let state = s.world.market(&s.market);
    let settle = swapped(
        instruction::settle_market(s.market, &state, 1),
        &address::receipt(&s.model.address, 1),
        &address::receipt(&other.address, 1),
    );

    // Then it is refused
    assert_refused(s.world.send(settle, &[]), DriftShieldError::WrongReceipt);
}

#[test]
fn settling_with_another_model_is_refused() {
    // Given another model with a receipt of the same window
    let mut s = scene(Aggregate::Last);
    let other = s.world.default_model();
    s.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled with that model
    let state = s.world.market(&s.market);
    let settle = instruction::settle_market(s.market, &state, 1);
    let settle = swapped(settle, &s.model.address, &other.address);

    // Then it is refused
    assert_refused(s.world.send(settle, &[]), DriftShieldError::WrongModel);
}

#[test]
fn a_foreign_account_is_not_accepted_as_a_missing_receipt() {
    // Given a window without a receipt, after its submit period
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);

    // When another address is passed in place of its receipt's: a wallet, a token account, the next
    // receipt's, or an unused one
    let receipt = address::receipt(&s.model.address, 1);
    for foreign in [
        s.yes.address(),
        s.yes.tokens,
        address::receipt(&s.model.address, 2),
        key("nobody").pubkey(),
    ] {
        let state = s.world.market(&s.market);
        let settle = instruction::settle_market(s.market, &state, 1);
        let settle = swapped(settle, &receipt, &foreign);

        // Then it is refused
        assert_refused(
            s.world.send(settle, &[]),
            DriftShieldError::SettleOutOfOrder,
        );
    }
}

#[test]
fn another_account_of_the_program_is_not_accepted_as_a_receipt() {
    // Given a window without a receipt, after its submit period
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);

    // When another account of the program is passed in place of its receipt
    let receipt = address::receipt(&s.model.address, 1);
    for foreign in [
        address::config(),
        address::position(&s.market, &s.yes.address()),
        address::seat(&s.model.address, &s.model.oracles[0].address()),
    ] {
        let state = s.world.market(&s.market);
        let settle = instruction::settle_market(s.market, &state, 1);
        let settle = swapped(settle, &receipt, &foreign);

        // Then it is refused
        assert!(s.world.send(settle, &[]).is_err());
        assert_eq!(s.world.market(&s.market).next_window, 1);
    }
}

#[test]
fn settling_waits_for_the_challenge_period() {
    // Given a receipt that is Collecting
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &CALM).unwrap();
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When it is Proposed, and its challenge period has a second left
    for oracle in 1..3 {
        s.world.submit(&s.model, oracle, 1, &CALM).unwrap();
    }
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.pass(params().challenge_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it is refused, and settled once the challenge period is over
    s.world.pass(1);
    assert_eq!(settled(s.world.settle(&s.market, 1)).observed, 1);
}

#[test]
fn settling_waits_for_the_ruling_period_of_a_dispute() {
    // Given a challenged receipt
    let mut s = scene(Aggregate::Last);
    s.world.submit_all(&s.model, 1, &CALM);
    let challenger = s.world.wallet(1_000 * TOKEN);
    s.world.challenge(&s.model, 1, &challenger).unwrap();

    // When the market is settled while the ruling period has a second left
    s.world.pass(params().ruling_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it is refused, and settled once the ruling period is over
    s.world.pass(1);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!(event.observed, 1);
    assert_eq!(event.receipts[0].challenger_credit, terms().challenge_bond);
}

#[test]
fn settling_skips_a_missing_receipt_after_the_submit_period() {
    // Given a window without a receipt, until a second before its submit period ends
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.pass(params().submit_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When the submit period is over, then the window is skipped
    s.world.pass(1);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn settling_without_receipts_is_refused() {
    // Given a market whose windows have passed
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);

    // When it is settled without receipts, then it is refused
    assert_refused(s.world.settle(&s.market, 0), DriftShieldError::NoReceipts);
}

#[test]
fn a_settled_market_cannot_be_settled_again() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();

    // When it is settled again, then it is refused
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::MarketSettled,
    );
    assert_refused(
        s.world.settle(&s.market, 0),
        DriftShieldError::MarketSettled,
    );
}

#[test]
fn a_void_market_cannot_be_settled_again() {
    // Given a void market
    let mut s = scene(Aggregate::Max);
    assert_eq!(s.void().state, MarketState::Void);

    // When it is settled again, then it is refused
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::MarketSettled,
    );
}
