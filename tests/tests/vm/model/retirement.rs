//! Retirement of models.

use driftshield_sdk::{DriftShieldError, Event, ModelStatus, events, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::retire;
use crate::market::market_with_bet;

#[test]
fn only_the_owner_can_retire_a_model() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let admin = world.admin.insecure_clone();
    // When the admin retires it
    let retire = instruction::retire_model(admin.pubkey(), model.address);
    let outcome = world.send(retire, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotModelOwner);
}

#[test]
fn a_model_cannot_be_retired_twice() {
    // Given a retired model
    let mut world = World::new();
    let model = world.default_model();
    let sent = retire(&mut world, &model).unwrap();
    assert_eq!(
        *sent.event(),
        Event::ModelRetired(events::ModelRetired {
            model: model.address,
            model_seq: 5,
            owner: model.owner.address(),
        })
    );
    assert_eq!(world.model(&model.address).status, ModelStatus::Retired);
    // When its owner retires it again
    let outcome = retire(&mut world, &model);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ModelRetired);
}

#[test]
fn a_retired_model_accepts_no_new_risk() {
    // Given a market with a bet, on a model that is then retired
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let bettor = world.wallet(2 * TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    retire(&mut world, &model).unwrap();
    // When somebody bets again, or creates another market
    let bet = world.bet(&market, &bettor, 0, TOKEN);
    let create = instruction::create_market(
        creator.address(),
        2,
        model.address,
        &world.model(&model.address),
        terms,
    );
    let create = world.send(create, &[&creator.key]);
    // Then it is refused
    assert_refused(bet, DriftShieldError::ModelRetired);
    assert_refused(create, DriftShieldError::ModelRetired);
}

#[test]
fn a_retired_model_accepts_receipts_while_a_market_depends_on_them() {
    // Given a market with a bet, on a model that is then retired
    let mut world = World::new();
    let model = world.default_model();
    let (market, bettor) = market_with_bet(&mut world, &model, TOKEN);
    retire(&mut world, &model).unwrap();
    // When its oracles keep submitting
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market).unwrap();
    // Then the market is settled and paid, and after that no new receipt is accepted
    world.claim(&market, &bettor.address()).unwrap();
    assert_eq!(world.tokens(&bettor.tokens), TOKEN);
    world.warp_to_end(&model, 4);
    let outcome = world.submit(&model, 0, 4, &CALM);
    assert_refused(outcome, DriftShieldError::ModelRetired);
}
