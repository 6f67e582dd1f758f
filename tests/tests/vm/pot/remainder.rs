//! What no oracle earns goes to the treasury, once no oracle can earn it.

use driftshield_sdk::{DriftShieldError, Event, RewardPayee};
use driftshield_tests::world::*;

use super::{collect_pot, paid_model};
use crate::model::retire;

const PAY: u64 = 3 * TOKEN;

#[test]
fn the_remainder_of_a_retired_model_waits_for_markets_and_receipts() {
    // Given a retired model with a bet and an open receipt
    let (mut world, model) = paid_model(PAY, 300);
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    retire(&mut world, &model).unwrap();
    for window in 0..4 {
        world.submit_all(&model, window, &CALM);
    }
    // When the treasury's part is collected while either is open, then it is refused
    assert_refused(collect_pot(&mut world, &model), DriftShieldError::PotInUse);
    world.pass(params().challenge_secs);
    for window in 1..4 {
        world.finalize(&model, window).unwrap();
    }
    world.settle(&market).unwrap();
    assert_eq!(world.model(&model.address).exposure, 0);
    assert_eq!(world.model(&model.address).open_receipts, 1);
    assert_refused(collect_pot(&mut world, &model), DriftShieldError::PotInUse);
    world.finalize(&model, 0).unwrap();

    // And once both are settled, anyone can collect it, and the oracles keep their rewards
    let state = world.model(&model.address);
    let left = state.pot.waiting + state.pot.unearned;
    let treasury = world.treasury();
    let before = world.tokens(&treasury);
    let sent = collect_pot(&mut world, &model).unwrap();
    let Event::RewardCollected(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.payee, event.amount), (RewardPayee::Treasury, left));
    assert_eq!(world.tokens(&treasury), before + left);
    let after = world.model(&model.address);
    assert_eq!(after.rewards, state.rewards);
    assert!(state.rewards[..3].iter().all(|reward| 4 * TOKEN <= *reward));
    assert_refused(
        collect_pot(&mut world, &model),
        DriftShieldError::NothingToCollect,
    );
    // And nobody can pay into it any more
    let funder = world.wallet(TOKEN);
    let outcome = world.fund(&model, &funder, TOKEN, DAY);
    assert_refused(outcome, DriftShieldError::ModelRetired);
}

#[test]
fn an_active_models_remainder_is_collected_an_epoch_after_its_stream() {
    // Given two paid windows that nobody measures
    let (mut world, model) = paid_model(PAY, 2);
    let state = world.model(&model.address);
    // When the last paid window can still be submitted, then its pay can't be collected
    world.warp_to(state.window_end(2).unwrap() - 1);
    assert_refused(collect_pot(&mut world, &model), DriftShieldError::PotInUse);
    // And afterwards it can
    world.warp_to(state.window_end(2).unwrap());
    let before = world.tokens(&world.treasury());
    collect_pot(&mut world, &model).unwrap();
    assert_eq!(world.tokens(&world.treasury()), before + 2 * PAY);
    // And the model can be funded again
    let funder = world.wallet(TOKEN);
    world.fund(&model, &funder, TOKEN, DAY).unwrap();
}
