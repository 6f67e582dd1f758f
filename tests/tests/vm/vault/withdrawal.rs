//! Requests and withdrawals of shares.

use driftshield_sdk::{DriftShieldError, Event, PolicyTerms, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{depositor, has_request, value_of, year_terms};
use crate::policy::measure_until_covered;

/// Sells a policy with `cover`, requests all shares of the first liquidity provider back, and waits
/// for the cooldown. Returns the holder and the provider.
fn request_all_during_policy(scene: &mut Insured, cover: u64) -> (Wallet, Wallet) {
    let holder = scene.world.wallet(10 * CAPITAL);
    let terms = PolicyTerms {
        cover,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    (holder, owner)
}

#[test]
fn a_requested_withdrawal_bears_later_losses() {
    // Given two liquidity providers with equal deposits, and a policy whose first window is next
    let mut scene = Insured::new();
    let other = depositor(&mut scene, CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 1_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let first = scene.policy(&holder, 1).first_window;
    measure_until_covered(&mut scene, &holder);

    // When one requests its shares back before a window with a full loss is Final, and the claim is
    // paid afterwards
    let shares = scene.shares(&other);
    scene.request(&other, shares).unwrap();
    scene.measure(300_000);
    scene.claim(&holder, 1, first).unwrap();
    scene.world.pass(COOLDOWN);
    scene.withdraw(&other).unwrap();

    // Then its withdrawal bears half of the loss
    let paid = scene.world.tokens(&other.tokens);
    let loss = CAPITAL - paid;
    // Half of the cover, less the premium that was earned before the request.
    assert!(loss.abs_diff(500 * TOKEN) < 5 * TOKEN, "the loss is {loss}");
}

#[test]
fn a_requested_withdrawal_earns_no_more_premiums() {
    // Given two liquidity providers, one with all of its shares requested back
    let mut scene = Insured::new();
    let leaving = depositor(&mut scene, CAPITAL);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();
    let requested = scene.world.request(&scene.vault, &leaving.address()).value;

    // When a premium streams afterwards
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    scene.world.pass(30 * DAY);
    let streamed = scene.vault_now().assets - 2 * CAPITAL;
    assert!(100 < streamed);
    scene.withdraw(&leaving).unwrap();

    // Then the other provider earns all of it
    assert_eq!(requested, CAPITAL);
    assert_eq!(scene.world.tokens(&leaving.tokens), CAPITAL);
    let rest = scene.vault();
    assert_eq!(rest.assets, CAPITAL + streamed);
    assert!(rest.assets - rest.worth(scene.shares(&scene.lp)) <= 1);
}

#[test]
fn a_cancelled_request_returns_shares_of_its_recorded_value() {
    // Given a provider with all of its shares requested back
    let mut scene = Insured::new();
    let leaving = depositor(&mut scene, CAPITAL);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();

    // When it cancels the request after the others have earned a premium
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    scene.world.pass(30 * DAY);
    let lamports = scene.world.lamports(&leaving.address());
    let sent = scene.cancel_request(&leaving).unwrap();

    // Then the provider gets shares worth the value at the request, and the others keep their premiums
    let Event::WithdrawCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(event.returned < event.shares);
    assert_eq!(scene.shares(&leaving), event.returned);
    assert!(CAPITAL - value_of(&scene, &leaving) <= 1);
    // And the request is closed, and its rent is paid back
    assert!(!has_request(&scene, &leaving));
    assert!(lamports < scene.world.lamports(&leaving.address()));
}

#[test]
fn a_request_cancelled_at_once_returns_all_shares() {
    let mut scene = Insured::new();
    let owner = depositor(&mut scene, 12_345_677);
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.cancel_request(&owner).unwrap();
    assert_eq!(scene.shares(&owner), shares);
}

#[test]
fn adding_to_a_request_restarts_its_cooldown() {
    // Given a request whose cooldown is nearly over
    let mut scene = Insured::new();
    let owner = depositor(&mut scene, CAPITAL);
    let half = scene.shares(&owner) / 2;
    scene.request(&owner, half).unwrap();
    scene.world.pass(COOLDOWN - 1);

    // When its owner requests more
    scene.request(&owner, half).unwrap();

    // Then all of it waits for exactly another cooldown
    scene.world.pass(COOLDOWN - 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::StillCoolingDown);
    scene.world.pass(1);
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.world.tokens(&owner.tokens), CAPITAL);
}

#[test]
fn a_withdrawal_leaves_policies_backed() {
    // Given a policy that needs half of the capital, and a provider who has requested all of it
    let mut scene = Insured::new();
    let (holder, owner) = request_all_during_policy(&mut scene, 4_500 * TOKEN);
    let before = scene.world.tokens(&owner.tokens);

    // When the provider withdraws
    scene.withdraw(&owner).unwrap();

    // Then half of the capital stays: a cover of 4,500 on 5,000 is the maximum utilisation
    let paid = scene.world.tokens(&owner.tokens) - before;
    let vault = scene.vault();
    assert!(paid.abs_diff(5_000 * TOKEN) < 50 * TOKEN, "{paid} was paid");
    assert!(10 * vault.locked <= 9 * vault.assets);
    let request = scene.world.request(&scene.vault, &owner.address());
    assert!(0 < request.shares && request.value.abs_diff(CAPITAL - paid) <= 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::CapitalLocked);

    // And the rest is paid once the policy has ended
    scene.cancel(&holder, 1).unwrap();
    scene.withdraw(&owner).unwrap();
    let all = scene.world.tokens(&owner.tokens) - before;
    assert!(CAPITAL - all <= 2, "only {all} was paid");
    assert!(!has_request(&scene, &owner));
}

#[test]
fn many_small_withdrawals_cost_less_than_a_unit_each() {
    // Given a request that can be paid only a few units at a time
    let mut scene = Insured::new();
    let (_, owner) = request_all_during_policy(&mut scene, 9_000 * TOKEN);
    let before = scene.world.tokens(&owner.tokens);
    let _ = scene.withdraw(&owner);
    let mut calls = 0;
    let after_first = scene.vault();

    // When anybody withdraws every second
    for _ in 0..200 {
        scene.world.pass(1);
        calls += u64::from(scene.withdraw(&owner).is_ok());
    }

    // Then each withdrawal costs the owner less than a unit by rounding
    assert!(50 < calls, "only {calls} withdrawals succeeded");
    let paid = scene.world.tokens(&owner.tokens) - before;
    let request = scene.world.request(&scene.vault, &owner.address());
    assert!(CAPITAL - paid - request.value <= calls + 2);
    assert!(after_first.assets <= scene.vault().assets + paid);
}

#[test]
fn a_request_of_zero_or_a_strangers_cancellation_is_refused() {
    let mut scene = Insured::new();
    let (owner, stranger) = (depositor(&mut scene, CAPITAL), scene.world.wallet(0));
    assert_refused(scene.request(&owner, 0), DriftShieldError::ZeroAmount);
    scene.request(&owner, 1_000).unwrap();
    let cancel = instruction::cancel_withdraw(owner.address(), scene.vault, &scene.vault());
    let cancel = swapped(cancel, &owner.address(), &stranger.address());
    let outcome = scene.world.send(cancel, &[&stranger.key]);
    assert_refused(outcome, DriftShieldError::NotShareOwner);
}

#[test]
fn a_withdrawal_goes_to_the_owner_only() {
    let mut scene = Insured::new();
    let (owner, thief) = (depositor(&mut scene, CAPITAL), scene.world.wallet(0));
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    let withdraw = instruction::withdraw(owner.address(), scene.vault, &scene.vault());
    let stolen = swapped(withdraw.clone(), &owner.tokens, &thief.tokens);
    assert_refused(
        scene.world.send(stolen, &[]),
        DriftShieldError::WrongDestination,
    );
    let stolen = swapped(withdraw, &owner.address(), &thief.address());
    assert_refused(scene.world.send(stolen, &[]), DriftShieldError::WrongPayee);
}
