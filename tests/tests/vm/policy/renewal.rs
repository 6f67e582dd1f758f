//! Renewals by the holder, or by anybody with delegated tokens.

use driftshield_sdk::{DriftShieldError, Event, PolicyTerms, Vault, instruction, pause};
use driftshield_tests::{insurance::*, world::*};

use super::{insured, measure_until_covered, premium_by_slices};

#[test]
fn a_renewal_adds_as_many_windows_as_the_first_term() {
    // Given a policy in its first term
    let (mut scene, holder) = insured(|terms| terms);
    let before = scene.policy(&holder, 1);
    let (tokens, locked) = (scene.world.tokens(&holder.tokens), scene.vault().locked);

    // When its holder renews it
    let sent = scene.renew(&holder, 1, true).unwrap();

    // Then the vault holds the premium, and the first term goes on
    let held = scene.policy(&holder, 1);
    assert_eq!(
        (held.term, held.last_window),
        (before.term, before.last_window)
    );
    let premium = tokens - scene.world.tokens(&holder.tokens);
    assert_eq!(scene.vault().held, premium);
    // And once it is decided, the policy covers ten more windows; the premium is for their time only
    scene.start(&holder, 1);
    let after = scene.policy(&holder, 1);
    assert_eq!(after.first_window, before.first_window);
    assert_eq!(after.last_window, before.last_window + 10);
    assert_eq!(after.term.start, before.term.end);
    assert_eq!(after.term.end, before.term.end + 10 * DAY);
    assert_eq!((scene.vault().locked, scene.vault().held), (locked, 0));
    let Event::PolicyRenewed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(
        (event.premium, event.last_window),
        (premium, after.last_window)
    );
    assert_eq!(after.premium, before.premium + premium);
    // The first premium is for twelve and a half days, the second for ten, at nearly the same rate.
    assert!((before.premium * 7 / 10..before.premium).contains(&premium));
}

#[test]
fn a_renewal_is_priced_as_if_the_cover_were_released_first() {
    // Given a policy that locks most of the capital
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        cover: 8_900 * TOKEN,
        ..terms
    });
    let policy = scene.policy(&holder, 1);
    let tokens = scene.world.tokens(&holder.tokens);
    let vault = Vault {
        locked: 0,
        ..scene.vault_now()
    };

    // When it is renewed
    scene.renew(&holder, 1, true).unwrap();

    // Then it costs as much as in a vault without locked capital
    let terms = PolicyTerms {
        cover: policy.cover,
        ..scene.terms()
    };
    let exact = premium_by_slices(&vault, &terms, CALM_DRIFT, 10 * DAY);
    let paid = (tokens - scene.world.tokens(&holder.tokens)) as f64;
    assert!(
        (paid - exact).abs() <= 1.0 + exact * 1e-6,
        "paid {paid}, exact {exact}"
    );
}

#[test]
fn earlier_windows_stay_claimable_after_a_renewal() {
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(CALM_DRIFT);
    scene.measure(CALM_DRIFT);
    scene.renew(&holder, 1, true).unwrap();
    scene.measure(150_000); // in the first term
    scene.claim(&holder, 1).unwrap();
    assert_eq!(scene.policy(&holder, 1).paid, 25 * TOKEN);
}

#[test]
fn a_policy_is_renewed_once_per_term_before_the_waiting_period() {
    // Given a renewed policy
    let (mut scene, holder) = insured(|terms| terms);
    let term_end = scene.policy(&holder, 1).term.end;
    scene.renew(&holder, 1, true).unwrap();

    // When it is renewed again, then it is refused until the new term has begun
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::TermPending);
    scene.start(&holder, 1);
    assert!(term_end < scene.world.now());
    scene.renew(&holder, 1, true).unwrap();

    // And a renewal within the waiting time before the next windows is too late
    let (mut scene, holder) = insured(|terms| terms);
    let end = scene.policy(&holder, 1).term.end;
    while scene.world.now() < end - 2 * DAY {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(end - params().waiting_secs + 1);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::WindowsBegan);
    scene.world.warp_to(end - params().waiting_secs);
}

#[test]
fn anyone_can_renew_with_tokens_that_the_holder_delegated() {
    // Given a policy with automatic renewal
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        auto_renew: true,
        ..terms
    });
    let term = scene.policy(&holder, 1).term;
    let open_at = term.end - params().waiting_secs - (term.end - term.start) / 4;
    while scene.world.now() < open_at - DAY {
        scene.measure(CALM_DRIFT);
    }
    // Only the holder may renew it earlier than a quarter of the term before the last time for it.
    scene.world.warp_to(open_at - 1);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::RenewalTooEarly);
    scene.world.warp_to(open_at);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::TooLittleDelegated);

    // When the holder delegates one base unit too little, then it is refused
    let policy = scene.policy(&holder, 1);
    let price = scene.quote_renewal(&policy, false).unwrap().price();
    scene.delegate(&holder, price - 1);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::TooLittleDelegated);

    // When the holder delegates enough, then anybody can renew it
    scene.delegate(&holder, price + 1_000_000);
    let before = scene.world.tokens(&holder.tokens);
    let again = scene.quote_renewal(&policy, false);
    scene.renew(&holder, 1, false).unwrap();
    let paid = before - scene.world.tokens(&holder.tokens);
    assert_eq!(paid, again.unwrap().premium);
    scene.start(&holder, 1);
    assert_eq!(
        scene.policy(&holder, 1).last_window,
        policy.last_window + 10
    );
}

#[test]
fn invalid_renewals_are_refused() {
    // Given a policy without automatic renewal, near the end of its term
    let (mut scene, holder) = insured(|terms| terms);
    scene.delegate(&holder, CAPITAL);
    for _ in 0..8 {
        scene.measure(CALM_DRIFT);
    }
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::NotAutoRenewed);
    // Tokens of somebody else are refused
    let stranger = scene.world.wallet(CAPITAL);
    let policy = scene.policy(&holder, 1);
    let renew = instruction::renew_policy(&policy, &scene.vault(), stranger.tokens, true);
    assert!(scene.world.send(renew, &[&holder.key]).is_err());
    // Only the pause flag of renewals stops them
    scene.world.pause(pause::RENEWALS);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !pause::RENEWALS);
    scene.renew(&holder, 1, true).unwrap();
    scene.world.pause(0);

    // And a policy on which a claim was paid cannot be renewed
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(110_000);
    scene.claim(&holder, 1).unwrap();
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::PolicyTriggered);

    // And neither can a policy whose new premium is above the holder's maximum
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = scene.terms();
    let price = scene.quote(&terms).unwrap().price();
    let terms = PolicyTerms {
        max_premium: price,
        ..terms
    };
    scene.buy(&holder, 1, terms).unwrap();
    measure_until_covered(&mut scene, &holder);
    let spread = scene.model().max_spread;
    scene.measure(99_999 - 2 * spread); // ten times the drift
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::PremiumTooHigh);
    scene.measure(100_000 - 2 * spread);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::TriggerReached);
}

#[test]
fn a_cancelled_renewal_refunds_the_unused_premium_of_both_terms() {
    // Given a policy that is renewed in its first term
    let (mut scene, holder) = insured(|terms| terms);
    scene.renew(&holder, 1, true).unwrap();
    scene.world.pass(DAY);
    let (policy, vault) = (scene.policy(&holder, 1), scene.vault());
    let now = scene.world.now();

    // When it is cancelled
    let before = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();

    // Then the unused part of each premium is refunded, less a tenth of it: a term on probation counts
    // as begun
    let (term, pending) = (policy.term, policy.pending);
    let (_, _, part) = vault.split(pending.premium);
    let terms = [
        (term.part, term.start, term.end),
        (part, pending.start, pending.end),
    ];
    let unused = terms.map(|(part, start, end)| {
        let left = (end - now.max(start)) as u128;
        let unused = u128::from(part) * left / (end - start) as u128;
        (unused * 9 / 10) as u64
    });
    let refund = scene.world.tokens(&holder.tokens) - before;
    assert_eq!(refund, unused[0] + unused[1]);
    assert!(unused.iter().all(|&part| 0 < part));
    // And the rest streams to the liquidity providers
    scene.world.pass(60 * DAY);
    let vault = scene.vault_now();
    let streamed = term.part + part;
    assert_eq!(vault.assets, CAPITAL + streamed - refund);
}
