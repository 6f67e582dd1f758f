//! The model's chain of hashes of its receipts.

use driftshield_sdk::{DriftShieldError, Entry, Model, Receipt, instruction};
use driftshield_tests::world::*;
use sha2::{Digest, Sha256};

use super::{finalize, share_model};

/// The chain's head after a receipt: SHA-256 of head ‖ window ‖ state ‖ value ‖ total samples ‖
/// evidence hashes.
fn next_head(head: [u8; 32], receipt: &Receipt) -> [u8; 32] {
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

/// Settles a receipt by `step`, which closes it or not. Returns the receipt with its final state and
/// value, which the last event tells.
fn settled(
    world: &mut World,
    model: &TestModel,
    window: u64,
    step: impl Fn(&mut World),
) -> Receipt {
    let mut receipt = world.receipt(&model.address, window);
    step(world);
    receipt.state = world.receipt_state(&model.address, window).into();
    match world.entry(&model.address, window) {
        Entry::Final(value) => receipt.value = value,
        Entry::Thin => receipt.value = 0,
        _ => {}
    }
    receipt
}

#[test]
fn the_chain_proves_that_no_receipt_is_missing() {
    // Given receipts that are Final by time and by a ruling, Void without a quorum and without a ruling,
    // and thin
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    let by_time = |window| {
        let model = &model;
        move |world: &mut World| {
            world.finalize(model, window).unwrap();
        }
    };
    world.submit_all(&model, 0, &share(100));
    world.pass(params().challenge_secs);
    let first = settled(&mut world, &model, 0, by_time(0));
    world.warp_to_end(&model, 1);
    world.submit(&model, 2, 1, &share(200)).unwrap();
    world.pass(params().submit_secs + params().challenge_secs + params().ruling_secs);
    let lonely = settled(&mut world, &model, 1, by_time(1));
    world.submit_all(&model, 4, &share(300));
    let challenger = world.wallet(1_000 * TOKEN);
    world
        .challenge(&model, 4, &challenger, &share(400_000))
        .unwrap();
    let ruled = settled(&mut world, &model, 4, |world| {
        world.rule(&model, 4, &share(400_000)).unwrap();
    });
    world.warp_to_end(&model, 5);
    for (oracle, value) in [(0, 1_000), (1, 200_000), (2, 900_000)] {
        world.submit(&model, oracle, 5, &share(value)).unwrap();
    }
    world.pass(params().challenge_secs + params().ruling_secs);
    let split = settled(&mut world, &model, 5, by_time(5));
    world.warp_to_end(&model, 9);
    for (oracle, counts) in [(0, [3, 1]), (1, [0, 0]), (2, share(5))] {
        world.submit(&model, oracle, 9, &counts).unwrap();
    }
    world.pass(params().challenge_secs);
    let thin = settled(&mut world, &model, 9, by_time(9));

    // When a reader hashes all of them
    let receipts = [first, lonely, ruled, split, thin];
    let states = receipts.each_ref().map(|receipt| receipt.state.0);
    assert_eq!(states, [3, 4, 3, 4, 5]);
    assert_eq!(thin.samples[..3], [4, 0, 1_000_000]);
    let head = receipts.iter().fold([0; 32], next_head);

    // Then the result is the head in the model, and any missing receipt changes it
    let chain = world.model(&model.address).chain;
    assert_eq!(head, chain);
    for missing in 0..receipts.len() {
        let others = (0..).zip(&receipts).filter(|(index, _)| *index != missing);
        let head = others.fold([0; 32], |head, (_, receipt)| next_head(head, receipt));
        assert_ne!(head, chain, "without receipt {missing}");
    }
}

#[test]
fn the_chain_has_receipts_in_the_order_of_their_decisions() {
    // Given a later window that is Final before an earlier one
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.submit_all(&model, 0, &share(100));
    let challenger = world.wallet(1_000 * TOKEN);
    world
        .challenge(&model, 0, &challenger, &share(400_000))
        .unwrap();
    world.submit_all(&model, 1, &share(200));
    world.pass(params().challenge_secs);
    let later = settled(&mut world, &model, 1, |world| {
        world.finalize(&model, 1).unwrap();
    });
    let earlier = settled(&mut world, &model, 0, |world| {
        world.rule(&model, 0, &share(100)).unwrap();
    });

    // When a reader hashes them in that order
    let receipts = [later, earlier];
    let head = receipts.iter().fold([0; 32], next_head);

    // Then the result is the head in the model
    assert_eq!(world.model(&model.address).chain, head);
}

#[test]
fn a_new_version_restarts_the_statistics() {
    // Given a model with a Final receipt and an open one
    let mut world = World::new();
    let model = share_model(&mut world, 3);
    world.finalize_with(&model, 0, &share(100));
    world.submit_all(&model, 1, &share(500));
    let update = |world: &mut World| {
        let terms = model_terms(&model.oracles);
        let state = world.model(&model.address);
        let owner = model.owner.address();
        let update = instruction::update_model(owner, model.address, &state, terms);
        world.send(update, &[&model.owner.key])
    };
    assert_refused(update(&mut world), DriftShieldError::ReceiptOpen);
    world.pass(params().challenge_secs);
    finalize(&mut world, &model, 1).unwrap();
    let chain = world.model(&model.address).chain;

    // When its owner updates it, and another window is measured
    update(&mut world).unwrap();
    world.submit_all(&model, 2, &share(40));
    world.pass(params().challenge_secs);
    let receipt = settled(&mut world, &model, 2, |world| {
        world.finalize(&model, 2).unwrap();
    });

    // Then only the new receipt counts, and the chain continues
    let state: Model = world.model(&model.address);
    assert_eq!((state.version, receipt.version), (2, 2));
    assert_eq!(
        (state.final_count, state.last_value, state.last_window),
        (1, 40, 2)
    );
    assert_eq!((state.latest, state.max_value, state.ewma), (40, 40, 40));
    assert_eq!(state.chain, next_head(chain, &receipt));
}
