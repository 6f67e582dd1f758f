//! Claims: payments for drift.

use driftshield_sdk::{DriftShieldError, Event, PolicyTerms, address, instruction, pause};
use driftshield_tests::{insurance::*, world::*};

use super::{insured, measure_until_covered};
use crate::receipt::finalize;

#[test]
fn a_claim_pays_in_proportion_between_trigger_and_exhaustion() {
    for (drift, worth) in [
        (100_000, 1),           // at the trigger: the minimum of one base unit
        (100_002, 1_000),       // 100 tokens · 2 / 200,000
        (200_000, 50 * TOKEN),  // halfway
        (299_999, 99_999_500),  // rounded down
        (300_000, 100 * TOKEN), // exhaustion
        (900_000, 100 * TOKEN), // and beyond
    ] {
        // Given a policy with a trigger of 0.1 and an exhaustion of 0.3
        let (mut scene, holder) = insured(|terms| terms);
        let first = scene.window;
        scene.measure(drift);
        let before = scene.world.tokens(&holder.tokens);
        let assets = scene.vault_now().assets;

        // When anybody claims it
        let sent = scene.claim(&holder, 1).unwrap();

        // Then the holder is paid from the vault's capital
        assert_eq!(
            scene.world.tokens(&holder.tokens) - before,
            worth,
            "{drift}"
        );
        assert_eq!(net(scene.vault()).assets, assets - worth);
        let Event::PolicyClaimed(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!((event.amount, event.value), (worth, drift));
        assert_eq!((event.first_window, event.paid), (first, worth));
        // And the policy is closed once its whole cover is paid
        let address = address::policy(&scene.vault, &holder.address(), 1);
        assert_eq!(scene.world.exists(&address), worth < 100 * TOKEN);
    }
}

#[test]
fn a_policy_whose_exhaustion_is_its_trigger_pays_all_its_cover() {
    // Only a model whose oracles must agree exactly allows it
    let mut world = World::with(params(), insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with_spread(spec, 0, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    for _ in 0..HISTORY {
        scene.measure(CALM_DRIFT);
    }
    let mut scene = scene.with_capital(CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        exhaustion: 100_000,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    measure_until_covered(&mut scene, &holder);
    scene.measure(100_000);
    let before = scene.world.tokens(&holder.tokens);
    scene.claim(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 100 * TOKEN);
}

#[test]
fn a_small_claim_does_not_reduce_the_total_of_a_later_larger_one() {
    // Given a policy with a claim for a small drift
    let (mut scene, holder) = insured(|terms| terms);
    let before = scene.world.tokens(&holder.tokens);
    scene.measure(110_000);
    scene.claim(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 5 * TOKEN);

    // When a larger drift follows
    scene.measure(250_000);
    scene.claim(&holder, 1).unwrap();

    // Then both claims together pay for the larger drift, and neither can be repeated
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 75 * TOKEN);
    let outcome = scene.claim(&holder, 1);
    assert_refused(outcome, DriftShieldError::NothingDue);
    // And the vault releases that much capital
    assert_eq!(net(scene.vault()).locked, 25 * TOKEN);
    assert_eq!(scene.policy(&holder, 1).paid, 75 * TOKEN);
    // And the rest of the cover still pays
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 100 * TOKEN);
    assert_eq!(net(scene.vault()).locked, 0);
}

#[test]
fn a_run_pays_by_its_lowest_value() {
    // Given a policy with a persistence of three windows
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 3,
        ..terms
    });
    let first = scene.window;

    // Then windows with a value below the trigger among them are no run
    for drift in [300_000, 99_999, 200_000, 150_000] {
        scene.measure(drift);
        let outcome = scene.claim(&holder, 1);
        assert_refused(outcome, DriftShieldError::NothingDue);
    }
    // And a run at the trigger or above pays by its lowest value
    scene.measure(260_000);
    let before = scene.world.tokens(&holder.tokens);
    let sent = scene.claim(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 25 * TOKEN);
    let Event::PolicyClaimed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.first_window, event.value), (first + 2, 150_000));
}

#[test]
fn a_premium_keeps_streaming_after_a_claim() {
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();
    let vault = net(scene.vault());
    assert!(0 < vault.unearned && vault.locked == 0);
    scene.world.pass(40 * DAY);
    let later = scene.vault_now();
    assert_eq!(later.unearned, 0);
    assert_eq!(later.assets, vault.assets + vault.unearned);
}

#[test]
fn invalid_claims_are_refused() {
    // Given a policy that owes a part of its cover
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(200_000);
    let claim = instruction::claim_policy(&scene.policy(&holder, 1), &scene.vault());
    assert_refused(
        scene.world.send(claim.clone(), &[]),
        DriftShieldError::NothingDue, // its window has not been examined
    );
    scene.examine(&holder, 1).unwrap();

    // Then claims that pay a thief are refused
    let thief = scene.world.wallet(0);
    let stolen = swapped(claim.clone(), &holder.tokens, &thief.tokens);
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let stolen = swapped(claim.clone(), &holder.address(), &thief.address());
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);
    scene.world.send(claim, &[]).unwrap();
}

#[test]
fn what_a_policy_owes_is_claimed_until_somebody_expires_it_and_paid_then() {
    // Given a policy on a window that drifts, which nobody has examined
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        windows: 1,
        ..terms
    });
    scene.measure(200_000);
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires - 1);
    assert_refused(scene.expire(&holder, 1), DriftShieldError::PolicyNotExpired);

    // When it is claimed before or after its claim grace, or expired at once, then the holder is paid as much
    let ways: [fn(&mut Insured, &Wallet); 4] = [
        |scene, holder| {
            scene.claim(holder, 1).unwrap();
        },
        |scene, holder| {
            scene.world.pass(1);
            scene.claim(holder, 1).unwrap();
        },
        |scene, holder| {
            scene.world.pass(1);
            scene.expire(holder, 1).unwrap();
        },
        |scene, holder| {
            scene.examine(holder, 1).unwrap();
            scene.world.pass(1);
            scene.expire(holder, 1).unwrap();
        },
    ];
    for (nth, pay) in ways.into_iter().enumerate() {
        let mut scene = scene.clone();
        let before = scene.world.tokens(&holder.tokens);
        pay(&mut scene, &holder);
        let paid = scene.world.tokens(&holder.tokens) - before;
        assert_eq!(paid, 50 * TOKEN, "{nth}");
    }
}

#[test]
fn a_void_window_breaks_a_run() {
    // Given a run with a window without a quorum
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        ..terms
    });
    let first = scene.window;
    scene.measure(300_000);
    scene.world.warp_to_end(&scene.model, first + 1);
    let model = &scene.model;
    scene
        .world
        .submit(model, 0, first + 1, &share(300_000))
        .unwrap();
    let dispute_secs = scene.model().dispute_secs();
    scene.world.pass(dispute_secs);
    finalize(&mut scene.world, &scene.model, first + 1).unwrap();
    // Then a claim is refused
    let outcome = scene.claim(&holder, 1);
    assert_refused(outcome, DriftShieldError::NothingDue);
    let policy = scene.policy(&holder, 1);
    assert!(first + 2 <= policy.examined_until && policy.peak == 0);
}

#[test]
fn a_thin_window_breaks_a_run() {
    // Given a run with a window of too few rows
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        ..terms
    });
    let first = scene.window;
    scene.measure(300_000);
    scene
        .world
        .finalize_with(&scene.model, first + 1, &[999_998, 1]);
    scene.window += 1;
    scene.measure(300_000);

    // Then a claim is refused, and the run after it is paid
    let outcome = scene.claim(&holder, 1);
    assert_refused(outcome, DriftShieldError::NothingDue);
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();
}

#[test]
fn a_claim_needs_no_receipt() {
    // Given a run whose receipts are closed
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        ..terms
    });
    let first = scene.window;
    for window in first..first + 2 {
        scene.measure(300_000);
        let receipt = address::receipt(&scene.model.address, window);
        assert!(!scene.world.exists(&receipt));
    }

    // Then the claim is paid by the page
    scene.claim(&holder, 1).unwrap();
}

#[test]
fn claims_cannot_be_paused() {
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(300_000);
    scene.world.pause(pause::ALL);
    scene.claim(&holder, 1).unwrap();
}
