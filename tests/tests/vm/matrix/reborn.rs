//! What is closed and made again at the same address, in one transaction, is new or is not made.

use driftshield_sdk::{Address, Instruction, Stream, address, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{
    outcome, scenes,
    town::{Town, signers},
};

/// Sends the instruction that `scene` closes an account with, and others, in one transaction.
fn close_and(
    town: &mut Town,
    scene: fn(&mut Town) -> Instruction,
    then: impl FnOnce(&Town) -> Vec<Instruction>,
) -> Outcome {
    let close = scene(town);
    let all = [vec![close], then(town)].concat();
    let keys = town.keys();
    town.world.send_all(&all, &signers(&all, &keys))
}

#[track_caller]
fn assert_ends(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome::name(outcome), expected);
}

/// The instruction that makes a scene's market anew, as `id`.
fn create_market(town: &Town, id: u64) -> Instruction {
    let mut create = scenes::market::create_market(&mut town.clone());
    create.data[1..9].copy_from_slice(&id.to_le_bytes());
    let market = address::market(&town.here().creator.address(), id);
    let places = [
        ("market", market),
        ("vault", address::market_vault(&market)),
    ];
    let slots = super::idl::of(&create).slots(&create);
    for (name, address) in places {
        let slot = slots.iter().position(|slot| slot == name).unwrap();
        create.accounts[slot].pubkey = address;
    }
    create
}

#[test]
fn a_market_takes_no_bet_on_the_terms_of_the_one_before() {
    // Given a bet on a market that its creator cancels and makes anew, on other windows
    let mut town = Town::new();
    let close = scenes::market::cancel_market;
    let bet = scenes::market::place_bet_first(&mut town);

    // Then the bet is refused with it
    let outcome = close_and(&mut town.clone(), close, |town| {
        vec![create_market(town, 2), bet]
    });
    assert_ends(&outcome, "TermsMismatch");

    // And without it the market is new
    let market = town.here().idle_market;
    close_and(&mut town, close, |town| vec![create_market(town, 2)]).unwrap();
    let state = town.world.market(&market);
    assert_eq!((state.seq, state.total, state.positions), (1, 0, 0));
}

#[test]
fn a_position_that_was_paid_takes_no_stake() {
    let mut town = Town::new();
    let bet = scenes::market::place_bet(&mut town);
    let outcome = close_and(&mut town, scenes::market::claim, |_| vec![bet]);
    assert_ends(&outcome, "BettingClosed");
}

#[test]
fn a_policy_that_was_cancelled_and_bought_again_is_new() {
    // Given a policy for two windows in a row, which renews by itself
    let mut town = Town::new();
    let buy = |town: &Town| {
        let insured = town.here().insured(town.world.clone());
        let (holder, model) = (&town.here().holder, town.here().model.address);
        let vault = (insured.vault, insured.vault());
        let (terms, source) = (insured.terms(), holder.tokens);
        let holder = holder.address();
        vec![instruction::buy_policy(
            holder, 1, vault.0, &vault.1, model, source, terms,
        )]
    };

    // When its holder cancels it and buys one for one window, which doesn't
    close_and(&mut town, scenes::policy::cancel_policy, buy).unwrap();

    // Then nothing is left of the first
    let (vault, holder) = (town.here().vault, town.here().holder.address());
    let policy = town.world.policy(&vault, &holder, 1);
    assert_eq!((policy.seq, policy.paid), (1, 0));
    assert_eq!((policy.persistence, policy.auto_renew.get()), (1, false));
    assert_eq!(policy.previous_term, Stream::NONE);
}

#[test]
fn a_listing_that_was_closed_and_made_again_waits_for_its_notice() {
    let mut town = Town::new();
    let list = scenes::vault::list_model_first;
    let model = town.here().idle;
    close_and(&mut town, scenes::vault::close_exposure, |town| {
        vec![list(&mut town.clone())]
    })
    .unwrap();
    let exposure = town.world.exposure(&town.here().vault, &model);
    assert_eq!((exposure.seq, exposure.policies), (1, 0));
    assert_eq!(exposure.active_at, town.world.now() + COOLDOWN + DAY);
}

#[test]
fn a_seat_that_was_closed_and_taken_again_is_new() {
    let mut town = Town::new();
    let bond = scenes::model::bond(&mut town);
    close_and(&mut town, scenes::model::close_seat, |_| vec![bond]).unwrap();
    let model = &town.here().model;
    let seat = town.world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.seq, seat.bonded, seat.submissions), (1, TOKEN, 0));
}

#[test]
fn a_receipt_that_was_closed_is_not_made_again() {
    let mut town = Town::new();
    let submit = scenes::receipt::submit_receipt_first(&mut town);
    let window: u64 = u64::from_le_bytes(submit.data[1..9].try_into().unwrap()) - 1;
    let again = |town: &Town| {
        let mut again = submit.clone();
        again.data[1..9].copy_from_slice(&window.to_le_bytes());
        let receipt: Address = address::receipt(&town.here().model.address, window);
        again.accounts[3].pubkey = receipt;
        vec![again]
    };
    let outcome = close_and(&mut town, scenes::receipt::close_receipt, again);
    assert_ends(&outcome, "SubmitPeriodOver");
}

#[test]
fn a_vault_that_was_closed_is_not_made_again() {
    // Its shares' mint stays, which can't be closed: a new vault needs a new id.
    let mut town = Town::new();
    let create = |town: &Town| {
        let manager = town.here().manager.address();
        vec![instruction::create_vault(
            manager,
            2,
            &town.world.collateral(),
            COOLDOWN,
            1_000,
            vault_terms(),
        )]
    };
    let outcome = close_and(&mut town, scenes::vault::close_vault, create);
    assert_ends(&outcome, "system:Custom(0)");
}
