//! Accounts that are closed and created again at the same address in one transaction: either the
//! creation is refused, or the new account carries nothing over from the old one.

use driftshield_sdk::{Instruction, Stream, address, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{fixture::Fixture, outcome, scenes};
use crate::committed_idl;

/// Sends the closing instruction of `scene` and the instructions of `then` in one transaction.
fn close_and(
    fixture: &mut Fixture,
    scene: fn(&mut Fixture) -> Instruction,
    then: impl FnOnce(&Fixture) -> Vec<Instruction>,
) -> Outcome {
    let close = scene(fixture);
    let all = [vec![close], then(fixture)].concat();
    fixture.send_all(&all)
}

#[track_caller]
fn assert_outcome(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome::name(outcome), expected);
}

/// The instruction of scene `create_market`, changed to create market `id`.
fn create_market(fixture: &Fixture, id: u64) -> Instruction {
    let mut create = scenes::market::create_market(&mut fixture.clone());
    create.data[1..9].copy_from_slice(&id.to_le_bytes());
    let market = address::market(&fixture.target().creator.address(), id);
    let vault = address::market_vault(&market);
    for (name, address) in [("market", market), ("vault", vault)] {
        let mut accounts = committed_idl::accounts(committed_idl::definition_of(&create));
        let slot = accounts.position(|account| account.name == name).unwrap();
        create.accounts[slot].pubkey = address;
    }
    create
}

#[test]
fn a_bet_on_the_terms_of_a_cancelled_market_is_refused_by_its_successor() {
    // Given a bet on a market that its creator cancels and creates again, on other windows
    let mut fixture = Fixture::new();
    let close = scenes::market::cancel_market;
    let bet = scenes::market::place_bet_first(&mut fixture);

    // When all three are sent in one transaction, then the bet is refused
    let outcome = close_and(&mut fixture.clone(), close, |fixture| {
        vec![create_market(fixture, 2), bet]
    });
    assert_outcome(&outcome, "TermsMismatch");

    // And without the bet, the second market starts from zero
    let market = fixture.target().idle_market;
    close_and(&mut fixture, close, |fixture| {
        vec![create_market(fixture, 2)]
    })
    .unwrap();
    let state = fixture.world.market(&market);
    assert_eq!((state.seq, state.total, state.positions), (1, 0, 0));
}

#[test]
fn a_bet_after_the_claim_of_its_position_is_refused() {
    let mut fixture = Fixture::new();
    let bet = scenes::market::place_bet(&mut fixture);
    let outcome = close_and(&mut fixture, scenes::market::claim, |_| vec![bet]);
    assert_outcome(&outcome, "BettingClosed");
}

#[test]
fn a_policy_bought_again_after_its_cancellation_starts_from_zero() {
    // Given a policy with a persistence of two windows and automatic renewal
    let mut fixture = Fixture::new();
    let buy = |fixture: &Fixture| {
        let insured = fixture.target().insured(fixture.world.clone());
        let (holder, model) = (&fixture.target().holder, fixture.target().model.address);
        let vault = (insured.vault, insured.vault());
        let (terms, source) = (insured.terms(), holder.tokens);
        let holder = holder.address();
        vec![instruction::buy_policy(
            holder, 1, vault.0, &vault.1, model, source, terms,
        )]
    };

    // When its holder cancels it and buys one with a persistence of one window and no renewal
    close_and(&mut fixture, scenes::policy::cancel_policy, buy).unwrap();

    // Then the second policy carries nothing over from the first
    let (vault, holder) = (fixture.target().vault, fixture.target().holder.address());
    let policy = fixture.world.policy(&vault, &holder, 1);
    assert_eq!((policy.seq, policy.paid), (1, 0));
    assert_eq!((policy.persistence, policy.auto_renew.get()), (1, false));
    assert_eq!(policy.term, Stream::NONE);
}

#[test]
fn a_listing_created_again_waits_for_its_own_notice() {
    let mut fixture = Fixture::new();
    let list = scenes::vault::list_model_first;
    let model = fixture.target().idle_model;
    close_and(&mut fixture, scenes::vault::close_exposure, |fixture| {
        vec![list(&mut fixture.clone())]
    })
    .unwrap();
    let exposure = fixture.world.exposure(&fixture.target().vault, &model);
    assert_eq!((exposure.seq, exposure.policies), (1, 0));
    assert_eq!(exposure.active_at, fixture.world.now() + COOLDOWN + DAY);
}

#[test]
fn a_seat_created_again_starts_from_zero() {
    let mut fixture = Fixture::new();
    let bond = scenes::model::bond(&mut fixture);
    close_and(&mut fixture, scenes::model::close_seat, |_| vec![bond]).unwrap();
    let model = &fixture.target().model;
    let seat = fixture
        .world
        .seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.seq, seat.bonded, seat.submissions), (1, TOKEN, 0));
}

#[test]
fn a_closed_receipt_cannot_be_created_again() {
    let mut fixture = Fixture::new();
    let submit = scenes::receipt::submit_receipt_first(&mut fixture.clone());
    let finalize = scenes::receipt::finalize_receipt;
    let outcome = close_and(&mut fixture, finalize, |_| vec![submit]);
    assert_outcome(&outcome, "WindowSettled");
}

#[test]
fn a_closed_page_cannot_be_created_again() {
    let mut fixture = Fixture::new();
    let submit = scenes::receipt::submit_receipt_first(&mut fixture.clone());
    let close = scenes::receipt::close_series;
    let outcome = close_and(&mut fixture, close, |_| vec![submit]);
    assert_outcome(&outcome, "SubmitPeriodOver");
}

#[test]
fn a_closed_vault_cannot_be_created_again() {
    // Its share mint cannot be closed and stays, so a new vault needs a new id.
    let mut fixture = Fixture::new();
    let create = |fixture: &Fixture| {
        let manager = fixture.target().manager.address();
        vec![instruction::create_vault(
            manager,
            2,
            &fixture.world.collateral(),
            COOLDOWN,
            1_000,
            vault_terms(),
        )]
    };
    let outcome = close_and(&mut fixture, scenes::vault::close_vault, create);
    assert_outcome(&outcome, "system:AccountAlreadyInUse");
}
