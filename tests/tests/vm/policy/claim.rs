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
        let sent = scene.claim(&holder, 1, first).unwrap();

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
    let first = scene.window;
    scene.measure(100_000);
    let before = scene.world.tokens(&holder.tokens);
    scene.claim(&holder, 1, first).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 100 * TOKEN);
}

#[test]
fn a_small_claim_does_not_reduce_the_total_of_a_later_larger_one() {
    // Given a policy with a claim for a small drift
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    let before = scene.world.tokens(&holder.tokens);
    scene.measure(110_000);
    scene.claim(&holder, 1, first).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 5 * TOKEN);

    // When a larger drift follows
    scene.measure(250_000);
    scene.claim(&holder, 1, first + 1).unwrap();

    // Then both claims together pay for the larger drift, and neither can be repeated
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 75 * TOKEN);
    for window in [first, first + 1] {
        let outcome = scene.claim(&holder, 1, window);
        assert_refused(outcome, DriftShieldError::AlreadyPaid);
    }
    // And the vault releases that much capital
    assert_eq!(net(scene.vault()).locked, 25 * TOKEN);
    assert_eq!(scene.policy(&holder, 1).paid, 75 * TOKEN);
    // And the rest of the cover still pays
    scene.measure(300_000);
    scene.claim(&holder, 1, first + 2).unwrap();
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
    for drift in [300_000, 99_999, 200_000, 150_000, 260_000] {
        scene.measure(drift);
    }

    // Then a run with a value below the trigger is refused
    for broken in [first, first + 1] {
        let outcome = scene.claim(&holder, 1, broken);
        assert_refused(outcome, DriftShieldError::BelowTrigger);
    }
    // And a run at the trigger or above pays by its lowest value
    let before = scene.world.tokens(&holder.tokens);
    scene.claim(&holder, 1, first + 2).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 25 * TOKEN);
}

#[test]
fn a_premium_keeps_streaming_after_a_claim() {
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(300_000);
    scene.claim(&holder, 1, first).unwrap();
    let vault = net(scene.vault());
    assert!(0 < vault.unearned && vault.locked == 0);
    scene.world.pass(40 * DAY);
    let later = scene.vault_now();
    assert_eq!(later.unearned, 0);
    assert_eq!(later.assets, vault.assets + vault.unearned);
}

#[test]
fn invalid_claims_are_refused() {
    // Given a policy with a persistence of two windows, on four windows
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        windows: 4,
        ..terms
    });
    let first = scene.window;
    let early = scene.window - 1;
    scene.measure(300_000);
    let claim = |scene: &Insured, window| {
        instruction::claim_policy(&scene.policy(&holder, 1), &scene.vault(), window)
    };

    // Then windows outside its term are refused, also if only the last one is
    for outside in [early, first + 3, first + 4, u64::MAX] {
        let mut outside_of_term = claim(&scene, first);
        outside_of_term.data[1..9].copy_from_slice(&outside.to_le_bytes());
        let outcome = scene.world.send(outside_of_term, &[]);
        assert_refused(outcome, DriftShieldError::WindowNotCovered);
    }
    // And a run with a window that nobody has measured
    let outcome = scene.claim(&holder, 1, first);
    assert_refused(outcome, DriftShieldError::BrokenRun);
    scene.measure(300_000);
    scene.measure(300_000);
    let good = claim(&scene, first);
    // And windows whose receipt is open
    scene
        .world
        .submit_all(&scene.model, first + 3, &share(300_000));
    let outcome = scene.claim(&holder, 1, first + 2);
    assert_refused(outcome, DriftShieldError::WindowUndecided);
    // And no page, one too many, or a page of another model
    let last = good.accounts.len() - 1;
    let mut none = good.clone();
    none.accounts.pop();
    let mut twice = good.clone();
    twice.accounts.push(twice.accounts[last].clone());
    let spec = share_spec(&scene.world);
    let other = scene.world.model_with(spec, 3, 20_000 * TOKEN);
    scene.world.finalize_with(&other, 0, &share(300_000));
    let mut foreign = good.clone();
    foreign.accounts[last].pubkey = address::series(&other.address, 0);
    let mut missing = good.clone();
    missing.accounts[last].pubkey = address::series(&scene.model.address, 256);
    let mut receipt = good.clone();
    receipt.accounts[last].pubkey = address::receipt(&scene.model.address, first);
    for wrong in [none, twice, foreign, missing, receipt] {
        let outcome = scene.world.send(wrong, &[]);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }
    // And claims that pay a thief
    let thief = scene.world.wallet(0);
    let stolen = swapped(good.clone(), &holder.tokens, &thief.tokens);
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let stolen = swapped(good.clone(), &holder.address(), &thief.address());
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);

    // And a valid run once the policy's time is over, even before anybody expires it
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let outcome = scene.world.send(good, &[]);
    assert_refused(outcome, DriftShieldError::PolicyExpired);
}

#[test]
fn a_claim_is_paid_until_the_policy_expires() {
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        windows: 1,
        ..terms
    });
    let first = scene.window;
    scene.measure(300_000);
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires - 1);
    assert_refused(scene.expire(&holder, 1), DriftShieldError::PolicyNotExpired);
    scene.claim(&holder, 1, first).unwrap();
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
    let outcome = scene.claim(&holder, 1, first);
    assert_refused(outcome, DriftShieldError::BrokenRun);
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
    scene.measure(300_000);

    // Then claims with the thin window are refused, and the run after it is paid
    for broken in [first, first + 1] {
        let outcome = scene.claim(&holder, 1, broken);
        assert_refused(outcome, DriftShieldError::BrokenRun);
    }
    scene.claim(&holder, 1, first + 2).unwrap();
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
    scene.claim(&holder, 1, first).unwrap();
}

#[test]
fn a_run_over_two_pages_is_claimed_with_both() {
    // Given a policy on the last windows of a page and the first of the next
    let (mut scene, _) = insured(|terms| terms);
    scene.world.solvency_checks = false;
    scene.measure_until(253, CALM_DRIFT);
    scene.world.solvency_checks = true;
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        persistence: 4,
        windows: 5,
        ..scene.terms()
    };
    scene.buy(&holder, 2, terms).unwrap();
    scene.start(&holder, 2);
    let first = terms.first_window;
    assert!((252..=255).contains(&first), "{first}");
    for _ in 0..4 {
        scene.measure(300_000);
    }
    assert!(255 < scene.window - 1, "the run ends in the next page");

    // When it is claimed with one of the pages, or with both in reverse, then it is refused
    let good = instruction::claim_policy(&scene.policy(&holder, 2), &scene.vault(), first);
    let last = good.accounts.len() - 1;
    let mut short = good.clone();
    short.accounts.pop();
    let mut reversed = good.clone();
    reversed.accounts.swap(last, last - 1);
    for wrong in [short, reversed] {
        let outcome = scene.world.send(wrong, &[]);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }

    // When it is claimed with both, then it is paid
    scene.world.send(good, &[]).unwrap();
}

#[test]
fn claims_cannot_be_paused() {
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(300_000);
    scene.world.pause(pause::ALL);
    scene.claim(&holder, 1, first).unwrap();
}
