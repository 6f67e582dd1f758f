//! Requests and withdrawals of capital.

use driftshield_sdk::{DriftShieldError, Event, PolicyTerms, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{depositor, has_request, value_of, year_terms};
use crate::policy::measure_until_covered;

const EXIT: i64 = 7 * DAY;
const RESERVE: i64 = 30 * DAY;

/// Sells a policy with `cover`, requests all shares of the first liquidity provider back, and waits
/// for the cooldown. Returns the holder and the provider.
fn request_all_during_policy(scene: &mut Insured, cover: u64) -> (Wallet, Wallet) {
    let holder = scene.world.wallet(10 * CAPITAL);
    let terms = PolicyTerms {
        cover,
        windows: 60,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    (holder, owner)
}

/// The value of the owner's request now.
fn requested(scene: &Insured, owner: &Wallet) -> u64 {
    let request = scene.world.request(&scene.vault, &owner.address());
    scene.vault_now().requested(&request)
}

#[test]
fn a_request_bears_its_part_of_later_payments() {
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
    let value = requested(&scene, &other);
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();

    // Then its request bears half of the payment, rounded up, once a dispute about the window would be over
    assert_eq!(requested(&scene, &other), value);
    let due = scene.model().decided_by(first).unwrap() + 2 * scene.vault().step_secs();
    scene.world.warp_to(due);
    let left = requested(&scene, &other);
    let loss = value - left;
    assert!(loss.abs_diff(500 * TOKEN) < 5 * TOKEN, "the loss is {loss}");
    // And no more until it is paid
    scene.world.pass(COOLDOWN);
    scene.withdraw(&other).unwrap();
    assert_eq!(scene.world.tokens(&other.tokens), left);
    assert_eq!(scene.vault().leaving, 0);
}

#[test]
fn the_premium_of_requested_capital_is_the_treasurys() {
    // Given two liquidity providers, one with all of its shares requested back, and a policy
    let mut scene = Insured::new();
    let leaving = depositor(&mut scene, CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    scene.start(&holder, 1);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();

    // When a premium streams during the cooldown
    let before = scene.vault_now();
    scene.world.pass(COOLDOWN);
    let after = scene.vault_now();

    // Then half of it goes to the treasury, and half to the other provider
    let streamed = before.unearned - after.unearned;
    let to_treasury = after.protocol_credit - before.protocol_credit;
    let kept = after.assets - before.assets;
    assert!(1_000 < streamed && streamed == to_treasury + kept);
    assert!(to_treasury.abs_diff(kept) <= 1, "{to_treasury} {kept}");
    // And the request is paid what it was worth
    scene.withdraw(&leaving).unwrap();
    assert_eq!(scene.world.tokens(&leaving.tokens), CAPITAL);
    assert!(after.staying() - value_of(&scene, &scene.lp) <= 1);
}

#[test]
fn a_cancelled_request_buys_shares_at_the_price_of_the_moment() {
    // Given a provider with all of its shares requested back
    let mut scene = Insured::new();
    let leaving = depositor(&mut scene, CAPITAL);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();
    assert_eq!(scene.shares(&leaving), 0);

    // When it cancels the request after the others have earned a premium
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    scene.start(&holder, 1);
    scene.world.pass(30 * DAY);
    let lamports = scene.world.lamports(&leaving.address());
    let sent = scene.cancel_request(&leaving).unwrap();

    // Then the provider gets shares worth what it requested, and the others keep their premiums
    let Event::WithdrawCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(event.shares < shares);
    assert_eq!(scene.shares(&leaving), event.shares);
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
    assert_eq!(paid, 5_000 * TOKEN);
    assert!(10 * vault.locked <= 9 * vault.assets);
    assert_eq!(requested(&scene, &owner), CAPITAL - paid);
    assert_refused(scene.withdraw(&owner), DriftShieldError::CapitalLocked);

    // And the rest is paid once the policy has ended
    scene.cancel(&holder, 1).unwrap();
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.world.tokens(&owner.tokens) - before, CAPITAL);
    assert!(!has_request(&scene, &owner));
}

#[test]
fn what_is_not_paid_in_the_exit_window_becomes_shares_again() {
    // Given a request that was paid in part
    let mut scene = Insured::new();
    let (_, owner) = request_all_during_policy(&mut scene, 4_500 * TOKEN);
    scene.withdraw(&owner).unwrap();
    let left = requested(&scene, &owner);

    // When the last second of the exit window passes, then anyone can turn the rest into shares
    scene.world.pass(EXIT - 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::CapitalLocked);
    scene.world.pass(1);
    let sent = scene.withdraw(&owner).unwrap();
    let Event::Withdrawn(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.amount, event.value), (0, 0));
    let vault = scene.vault();
    assert_eq!((vault.leaving, vault.shares), (0, event.shares));
    assert!(left - vault.worth(event.shares) <= 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::RequestLapsed);

    // And they earn again, and go to their owner on request
    scene.world.pass(DAY);
    assert!(left < scene.vault_now().worth(event.shares));
    scene.cancel_request(&owner).unwrap();
    assert_eq!(scene.shares(&owner), event.shares);
}

#[test]
fn shares_of_a_lapsed_request_are_requested_again_without_more() {
    // Given a request that lapsed, although it could have been paid
    let mut scene = Insured::new();
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN + EXIT);
    scene.withdraw(&owner).unwrap();
    let request = scene.world.request(&scene.vault, &owner.address());
    // It reserves nothing: nobody tried to withdraw in the exit window.
    assert_eq!(
        (request.reserved_until, scene.vault().reserved_shares),
        (0, 0)
    );

    // When its owner asks again, then a new cooldown and a new exit window begin
    scene.request(&owner, 0).unwrap();
    let now = scene.world.now();
    let request = scene.world.request(&scene.vault, &owner.address());
    assert_eq!((request.value, request.shares), (CAPITAL, 0));
    assert_eq!(request.unlock_at, now + COOLDOWN);
    assert_eq!(request.lapses_at, now + COOLDOWN + EXIT);
    // Also after its window, while it has not become shares.
    scene.world.pass(COOLDOWN + EXIT);
    scene.request(&owner, 0).unwrap();
    scene.world.pass(COOLDOWN);
    let before = scene.world.tokens(&owner.tokens);
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.world.tokens(&owner.tokens) - before, CAPITAL);
}

#[test]
fn a_request_that_fell_short_reserves_for_thirty_days() {
    // Given a request that could not be paid in its exit window, because cover locks the most
    let mut scene = Insured::new();
    let (holder, owner) = request_all_during_policy(&mut scene, 9_000 * TOKEN);
    let free = scene.vault_now().assets - 10_000 * TOKEN;
    let before = scene.world.tokens(&owner.tokens);
    scene.withdraw(&owner).unwrap();
    let paid = scene.world.tokens(&owner.tokens) - before;
    assert!(paid <= free, "{paid} of {free}");
    scene.world.pass(EXIT);
    scene.withdraw(&owner).unwrap();
    let lapsed = scene.world.now();
    let reserved = scene.vault().reserved_shares;
    assert_eq!(reserved, scene.vault().shares);

    // When the policy ends, then a purchase can't lock what is reserved
    scene.cancel(&holder, 1).unwrap();
    let buy = |scene: &mut Insured| {
        let terms = PolicyTerms {
            cover: TOKEN,
            ..scene.terms()
        };
        scene.buy(&holder, 2, terms)
    };
    let request = scene.world.request(&scene.vault, &owner.address());
    let until = request.reserved_until;
    assert_eq!(until, lapsed + RESERVE);
    // Measure again, from now on until shortly before the end of the reserve.
    let model = scene.model();
    scene.window = ((scene.world.now() - model.genesis) / model.window_secs) as u64;
    while scene.world.now() < until - 2 * DAY {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(until - 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::RequestLapsed);
    assert_refused(buy(&mut scene), DriftShieldError::UtilisationTooHigh);

    // And after thirty days anyone can end the reserve
    scene.world.warp_to(until);
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.vault().reserved_shares, 0);
    buy(&mut scene).unwrap();
    assert_refused(scene.withdraw(&owner), DriftShieldError::RequestLapsed);
}

#[test]
fn a_withdrawal_that_nothing_is_free_for_is_recorded_once() {
    // Given a request, and no free capital at all
    let mut scene = Insured::new();
    let (_, owner) = request_all_during_policy(&mut scene, 9_000 * TOKEN);
    let vault = scene.vault();
    let mut locked = vault;
    locked.accrue(scene.world.now());
    locked.locked = locked.assets;
    let mut request = scene.world.request(&scene.vault, &owner.address());

    // When somebody withdraws, then nothing is paid and the request is short; again, it is refused
    assert_eq!(locked.withdraw(&mut request, scene.world.now()), Ok(0));
    assert!(request.is_short.get());
    assert_eq!(
        locked.withdraw(&mut request, scene.world.now()),
        Err(DriftShieldError::CapitalLocked.into())
    );
}

#[test]
fn many_small_withdrawals_cost_less_than_a_unit_each() {
    // Given a request that can be paid only a few units at a time
    let mut scene = Insured::new();
    let (_, owner) = request_all_during_policy(&mut scene, 9_000 * TOKEN);
    let other = depositor(&mut scene, TOKEN); // so that not all premiums are the treasury's
    let before = scene.world.tokens(&owner.tokens);
    let mut calls = 0;

    // When anybody withdraws every second
    for _ in 0..200 {
        scene.world.pass(1);
        calls += u64::from(scene.withdraw(&owner).is_ok());
    }

    // Then no withdrawal costs the owner a unit
    assert!(1 < calls, "only {calls} withdrawals succeeded");
    let paid = scene.world.tokens(&owner.tokens) - before;
    assert_eq!(CAPITAL - paid, requested(&scene, &owner));
    assert!(TOKEN <= value_of(&scene, &other) + 1);
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
