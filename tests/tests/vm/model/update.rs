//! Updates of models.

use anchor_lang::Address;
use driftshield_sdk::{DriftShieldError, Event, ModelTerms, events, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{terms_of, update, without_end_zeros};
use crate::{admin::handover::hand_over_arbiter, market::market_with_bet};

#[test]
fn only_the_owner_can_update_a_model() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When one of its oracles updates it
    let oracle = &model.oracles[0];
    let state = world.model(&model.address);
    let terms = terms_of(3, 2);
    let update = instruction::update_model(oracle.address(), model.address, &state, terms);
    let outcome = world.send(update, &[&oracle.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotModelOwner);
}

#[test]
fn a_model_with_exposure_cannot_be_updated() {
    // Given a model with a bet on it
    let mut world = World::new();
    let model = world.default_model();
    let (market, _) = market_with_bet(&mut world, &model, TOKEN);
    // When its owner updates it
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused until the market is settled
    assert_refused(outcome, DriftShieldError::ModelExposed);
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
}

#[test]
fn a_model_with_an_open_receipt_cannot_be_updated() {
    // Given a model with a Proposed receipt
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    // When its owner updates it
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused until the receipt is Final
    assert_refused(outcome, DriftShieldError::ReceiptOpen);
    world.pass(params().challenge_secs);
    world.finalize(&model, 0).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
}

#[test]
fn an_update_obeys_the_current_spread_limit() {
    // Given a model, and a limit that was lowered below the model's spread
    let mut world = World::new();
    let model = world.default_model();
    let admin = world.admin.insecure_clone();
    let mut lower = params();
    lower.max_spread_limit = 1;
    let lower = instruction::update_config(admin.pubkey(), world.guardian.pubkey(), lower);
    world.send(lower, &[&admin]).unwrap();
    // When its owner updates it with an unchanged spread
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused
    assert_refused(outcome, DriftShieldError::InvalidSpread);
}

#[test]
fn an_update_replaces_the_terms_and_starts_a_version() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let before = world.model(&model.address);
    // When its owner updates it with one new oracle, two in another order, and other texts
    let terms = ModelTerms {
        oracles: vec![
            key("new oracle").pubkey(),
            model.oracles[2].address(),
            model.oracles[0].address(),
        ],
        quorum: 2,
        max_spread: 77,
        security_rent_bps: 300,
        market_budget_bps: 2_000,
        cover_budget_bps: 8_000,
        name: "new".into(),
        uri: "ipfs://new".into(),
        metadata_hash: [8; 32],
        artifact_hash: [9; 32],
    };
    let sent = update(&mut world, &model, terms.clone()).unwrap();
    // Then the model has the new terms, and the bonds of listed oracles move with them
    let after = world.model(&model.address);
    assert_eq!(
        *sent.event(),
        Event::ModelUpdated(events::ModelUpdated {
            model: model.address,
            model_seq: before.seq + 1,
            owner: model.owner.address(),
            version: 2,
            arbiter: world.arbiter.pubkey(),
            security: security_of_two(),
            lasting_security: security_of_two(),
            terms: terms.clone(),
            seats: vec![],
        })
    );
    assert_eq!(after.oracles[..3], terms.oracles[..]);
    assert_eq!(after.oracles[3..], [Address::default(); 4]);
    assert_eq!(after.bonds, [0, 10_000 * TOKEN, 10_000 * TOKEN, 0, 0, 0, 0]);
    assert_eq!((after.version, after.security), (2, security_of_two()));
    assert_eq!(after.max_spread, 77);
    assert_eq!(after.security_rent_bps, 300);
    assert_eq!(
        (after.market_budget_bps, after.cover_budget_bps),
        (2_000, 8_000)
    );
    assert_eq!(without_end_zeros(&after.name), b"new");
    assert_eq!(without_end_zeros(&after.uri), b"ipfs://new");
    assert_eq!(
        (after.metadata_hash, after.artifact_hash),
        ([8; 32], [9; 32])
    );
    // And the spec, the mint and the bonds held are unchanged
    assert_eq!(after.reference, before.reference);
    assert_eq!(after.spec_hash, before.spec_hash);
    assert_eq!(
        (after.genesis, after.window_secs, after.bond_mint),
        (before.genesis, before.window_secs, before.bond_mint)
    );
    assert_eq!(
        (after.min_samples, after.noise_floor, after.held),
        (before.min_samples, before.noise_floor, before.held)
    );
}

#[test]
fn an_update_copies_the_current_arbiter() {
    // Given two models, and an arbiter who hands the role over
    let mut world = World::new();
    let models = [world.default_model(), world.default_model()];
    let before = world.arbiter.pubkey();
    let next = world.wallet(0);
    hand_over_arbiter(&mut world, &next.key);
    // When the owner of the first updates it
    update(&mut world, &models[0], model_terms(&models[0].oracles)).unwrap();
    // Then it has the new arbiter, and the other keeps its own
    assert_eq!(world.model(&models[0].address).arbiter, next.address());
    assert_eq!(world.model(&models[1].address).arbiter, before);
}

/// The security with two counting seats and a quorum of two: half of a slash.
fn security_of_two() -> u64 {
    terms().slash_amount / 2
}

#[test]
fn a_new_version_restarts_the_statistics_and_keeps_the_chain() {
    // Given a model with two Final receipts
    let mut world = World::new();
    let model = world.default_model();
    world.finalize_with(&model, 0, &DRIFTED);
    world.finalize_with(&model, 1, &CALM);
    let before = world.model(&model.address);
    assert_eq!(before.final_count, 2);
    assert!(0 < before.max_value && 0 < before.ewma);
    // When its owner updates it with unchanged terms
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // Then its statistics restart, and the chain of receipts continues
    let after = world.model(&model.address);
    assert_eq!(after.version, 2);
    assert_eq!(
        (after.final_count, after.last_value, after.last_window),
        (0, 0, 0)
    );
    assert_eq!((after.latest, after.max_value, after.ewma), (0, 0, 0));
    assert_eq!(after.chain, before.chain);
    assert_eq!(after.security, before.security);
    world.finalize_with(&model, 2, &DRIFTED);
    let after = world.model(&model.address);
    assert_eq!(after.final_count, 1);
    assert_eq!(after.ewma, after.last_value);
    assert_ne!(after.chain, before.chain);
}

#[test]
fn a_market_created_with_an_older_model_version_is_refused() {
    // Given a model that is updated after a market's terms were prepared
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let older = market_terms(&world, &model);
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // When the market is created with the older version
    let create = instruction::create_market(
        creator.address(),
        1,
        model.address,
        &world.model(&model.address),
        older,
    );
    let outcome = world.send(create, &[&creator.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}

#[test]
fn a_market_on_an_older_version_accepts_no_bets() {
    // Given a market without bets on a model that is then updated
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // When somebody bets
    let bettor = world.wallet(TOKEN);
    let outcome = world.bet(&market, &bettor, 0, TOKEN);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}
