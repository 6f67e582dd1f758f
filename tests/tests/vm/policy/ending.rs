//! Expiry and cancellation.

use driftshield_sdk::{DriftShieldError, Event, address, instruction, pause};
use driftshield_tests::{insurance::*, world::*};

use super::insured;

#[test]
fn an_expired_policy_releases_its_capital() {
    // Given a policy that expires exactly now
    let (mut scene, holder) = insured(|terms| terms);
    let (model, policy) = (scene.model(), scene.policy(&holder, 1));
    let end = model.window_end(policy.last_window).unwrap();
    let expires = policy.expires_at(&model).unwrap();
    assert_eq!(
        expires,
        end + model.dispute_secs() + params().claim_grace_secs
    );
    scene.world.warp_to(expires - 1);
    assert_refused(scene.expire(&holder, 1), DriftShieldError::PolicyNotExpired);
    scene.world.warp_to(expires);
    let lamports = scene.world.lamports(&holder.address());

    // When anybody expires it
    let sent = scene.expire(&holder, 1).unwrap();

    // Then nothing is locked or at risk, and the holder receives the rent
    let Event::PolicyExpired(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.totals.locked, event.cover_risk), (0, 0));
    assert_eq!((event.model_exposure, event.paid), (0, 0));
    assert!(lamports < scene.world.lamports(&holder.address()));
    assert!(
        !scene
            .world
            .exists(&address::policy(&scene.vault, &holder.address(), 1))
    );
}

#[test]
fn a_cancellation_refunds_the_unused_premium_less_the_fee() {
    // Given a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let quote = scene.quote(&scene.terms()).unwrap();
    let bought = scene.world.now();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pass(3 * DAY + 7);
    let before = scene.world.tokens(&holder.tokens);

    // When its holder cancels it
    let now = scene.world.now();
    let assets = scene.vault_now().assets;
    scene.cancel(&holder, 1).unwrap();

    // Then the unused part of the streamed premium is refunded, less a tenth
    let part = u128::from(quote.streamed_part);
    let unused = part * (quote.end - now) as u128 / (quote.end - bought) as u128;
    let refund = (unused * 9 / 10) as u64;
    assert_eq!(scene.world.tokens(&holder.tokens) - before, refund);
    // And the rest keeps streaming
    let vault = scene.vault();
    assert_eq!((vault.locked, vault.assets), (0, assets));
    scene.world.pass(40 * DAY);
    let later = scene.vault_now();
    assert_eq!(later.assets, CAPITAL + quote.streamed_part - refund);
}

#[test]
fn paid_claims_reduce_the_refund_of_a_cancellation() {
    for (drift, paid) in [(100_000, 1), (100_002, 1_000), (110_000, 5 * TOKEN)] {
        // Given a policy on which a claim was paid
        let (mut scene, holder) = insured(|terms| terms);
        scene.measure(drift);
        scene.claim(&holder, 1).unwrap();
        let (policy, now) = (scene.policy(&holder, 1), scene.world.now());
        assert_eq!(policy.paid, paid);

        // When its holder cancels it
        let before = scene.world.tokens(&holder.tokens);
        scene.cancel(&holder, 1).unwrap();

        // Then the refund is reduced by the amount paid, but not below zero
        let left = u128::from(policy.term.part) * (policy.term.end - now) as u128;
        let unused = left / (policy.term.end - policy.term.start) as u128 * 9 / 10;
        let refund = scene.world.tokens(&holder.tokens) - before;
        assert_eq!(
            refund,
            (unused as u64).saturating_sub(paid),
            "drift {drift}"
        );
    }
}

#[test]
fn a_cancellation_after_the_end_of_the_term_refunds_nothing() {
    let (mut scene, holder) = insured(|terms| terms);
    let end = scene.policy(&holder, 1).term.end;
    scene.world.warp_to(end);
    let before = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens), before);
}

#[test]
fn only_the_holder_can_cancel_even_during_a_pause() {
    let (mut scene, holder) = insured(|terms| terms);
    let stranger = scene.world.wallet(0);
    let cancel = instruction::cancel_policy(&scene.policy(&holder, 1), &scene.vault());
    let other = swapped(cancel.clone(), &holder.address(), &stranger.address());
    let outcome = scene.world.send(other, &[&stranger.key]);
    assert_refused(outcome, DriftShieldError::WrongPayee);
    let mut unsigned = cancel;
    unsigned.accounts[0].is_signer = false;
    let outcome = scene.world.send(unsigned, &[]);
    assert_refused(outcome, DriftShieldError::NotHolder);
    scene.world.pause(pause::ALL);
    scene.cancel(&holder, 1).unwrap();
}

#[test]
fn the_address_of_an_ended_policy_can_be_used_again() {
    let (mut scene, holder) = insured(|terms| terms);
    scene.cancel(&holder, 1).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    assert_eq!(scene.policy(&holder, 1).seq, 1);
}
