//! Disputes and silence that are meant to delay a claim until capital has left.

use driftshield_sdk::{DriftShieldError, PolicyTerms, instruction};
use driftshield_tests::{insurance::*, world::*};

const DRIFTED: u64 = 500_000;

/// Two providers with equal capital, and cover of a thousand that has begun.
fn covered() -> (Insured, Wallet, Wallet) {
    let mut scene = Insured::new();
    let (leaver, holder) = (scene.world.wallet(2 * CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&leaver, CAPITAL).unwrap();
    let terms = PolicyTerms {
        cover: 1_000 * TOKEN,
        windows: 30,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    (scene, leaver, holder)
}

/// How the value of the window that drifts becomes final.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Nobody disputes what the oracles measure.
    Undisputed,
    /// The provider who leaves challenges it at the last moment, and so does the arbiter rule.
    Challenged,
    /// The oracles are silent, somebody asserts the counts, and the arbiter rules at the last moment.
    Silent,
}

/// Somebody reports on `window`. Returns when its value can become final.
fn report(scene: &mut Insured, way: Way, window: u64, leaver: &Wallet) -> i64 {
    let (model, state) = (scene.model.clone(), scene.model());
    scene.world.warp_to_end(&model, window);
    if let Way::Silent = way {
        scene.world.pass(state.submit_secs);
        let (other, counts) = (scene.world.wallet(CAPITAL), share(DRIFTED));
        let asserted = scene.world.challenge(&model, window, &other, &counts);
        asserted.unwrap();
        return scene.world.now() + state.ruling_secs - 1;
    }
    scene.world.submit_all(&model, window, &share(DRIFTED));
    if let Way::Undisputed = way {
        return scene.world.now() + state.challenge_secs;
    }
    scene.world.pass(state.challenge_secs - 1);
    let calm = share(CALM_DRIFT);
    let challenged = scene.world.challenge(&model, window, leaver, &calm);
    challenged.unwrap();
    scene.world.now() + state.ruling_secs - 1
}

/// Lets `window` become final as soon as it can, and claims.
fn decide(scene: &mut Insured, way: Way, window: u64, holder: &Wallet) {
    let model = scene.model.clone();
    let decided = match way {
        Way::Undisputed => scene.world.finalize(&model, window),
        Way::Challenged | Way::Silent => scene.world.rule(&model, window, &share(DRIFTED)),
    };
    decided.unwrap();
    scene.claim(holder, 1).unwrap();
}

/// What a provider with half of the capital is paid for it, and what the vault has left once the claim is
/// borne, if a window drifts that ends so many days after the request.
fn outcome(way: Way, days: u64) -> (u64, u64) {
    let (mut scene, leaver, holder) = covered();
    let bad = scene.window + 5;
    scene.measure_until(bad + 1 - days, CALM_DRIFT);
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    let payable = scene.world.now() + COOLDOWN;
    scene.measure_until(bad, CALM_DRIFT);
    let before = scene.world.tokens(&leaver.tokens);
    let final_at = report(&mut scene, way, bad, &leaver);
    let bond = before - scene.world.tokens(&leaver.tokens);
    assert!(final_at < scene.model().decided_by(bad).unwrap());

    // Both as soon as possible, in the order of time
    if payable <= final_at {
        scene.world.warp_to(payable);
        scene.withdraw(&leaver).unwrap();
    }
    scene.world.warp_to(final_at);
    decide(&mut scene, way, bad, &holder);
    if final_at < payable {
        scene.world.warp_to(payable);
        scene.withdraw(&leaver).unwrap();
    }
    let end = scene.model().window_end(bad).unwrap();
    scene.world.warp_to(end + 10 * DAY);
    let vault = scene.vault_now();
    assert_eq!((vault.pending_losses, vault.leaving), (0, 0));
    (
        scene.world.tokens(&leaver.tokens) + bond - before,
        vault.assets,
    )
}

#[test]
fn neither_a_false_challenge_nor_silence_changes_who_bears_a_claim() {
    // Given a provider whose half of the capital is payable a day and a half after a window that drifts: without
    // a dispute after the claim of a thousand, with one before it. Then it bears nothing of it in any case.
    // Or given that it is payable after the last moment of a dispute. Then it bears half of it in any case.
    for (days, borne) in [(6, 0), (2, 500 * TOKEN)] {
        let (paid, left) = outcome(Way::Undisputed, days);
        let expected = CAPITAL - borne;
        assert!(paid.abs_diff(expected) < TOKEN / 5, "{paid} {expected}");
        for way in [Way::Challenged, Way::Silent] {
            let other = outcome(way, days);
            let differ = paid.abs_diff(other.0).max(left.abs_diff(other.1)); // each rounded
            assert!(
                differ <= 3,
                "{way:?}, {days} days: {other:?}, not {paid}, {left}"
            );
        }
    }
}

#[test]
fn who_deposits_before_a_loss_is_borne_bears_its_part_and_must_accept_it() {
    // Given a claim of a thousand that has been paid, and that no capital has borne yet
    let (mut scene, _, holder) = covered();
    let bad = scene.window + 1;
    scene.measure_until(bad, CALM_DRIFT);
    let before = scene.vault_now();
    scene.measure_until(bad + 1, DRIFTED);
    scene.claim(&holder, 1).unwrap();
    let vault = scene.vault_now();
    assert_eq!(vault.pending_losses, 1_000 * TOKEN);
    assert!(before.assets <= vault.assets && vault.locked == before.locked);

    // A deposit whose depositor has not seen it is refused
    let late = scene.world.wallet(2 * CAPITAL);
    let refused = scene.deposit_as_read(&late, CAPITAL, 0, &before);
    assert_refused(refused, DriftShieldError::LossesPending);

    // Who accepts it buys shares at their price before the loss
    scene.deposit(&late, CAPITAL).unwrap();
    let shares = scene.shares(&late);
    let worth = |scene: &Insured| scene.vault_now().worth(shares);
    assert!(CAPITAL - worth(&scene) <= 1);

    // And bears a third of it, a step after the one in which a dispute would have ended at the latest
    let (due, step) = (
        scene.model().decided_by(bad).unwrap(),
        scene.vault().step_secs(),
    );
    scene
        .world
        .warp_to((due + step - 1) / step * step + step - 1);
    let before = worth(&scene);
    assert_eq!(scene.vault_now().pending_losses, 1_000 * TOKEN);
    scene.world.pass(1);
    assert_eq!(scene.vault_now().pending_losses, 0);
    let lost = before - worth(&scene);
    assert!(lost.abs_diff(1_000 * TOKEN / 3) < TOKEN, "{lost}");
}

#[test]
fn of_drift_that_lasts_a_false_challenge_lets_no_later_window_be_claimed_first() {
    // Given two windows that drift, one after the other, and a provider whose half of the capital is payable
    // between the times at which what they are worth is borne
    let (mut scene, leaver, holder) = covered();
    let (model, bad) = (scene.model.clone(), scene.window + 5);
    scene.measure_until(bad - 3, CALM_DRIFT);
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    let payable = scene.world.now() + COOLDOWN;
    scene.measure_until(bad, CALM_DRIFT);
    let start = scene.world.tokens(&leaver.tokens);

    let paid = |mut scene: Insured, challenges: bool| {
        report(&mut scene, Way::Undisputed, bad, &leaver);
        if challenges {
            let calm = share(CALM_DRIFT);
            let challenged = scene.world.challenge(&model, bad, &leaver, &calm);
            challenged.unwrap();
        } else {
            scene.world.pass(params().challenge_secs);
            decide(&mut scene, Way::Undisputed, bad, &holder);
        }
        let final_at = report(&mut scene, Way::Undisputed, bad + 1, &leaver);
        scene.world.warp_to(final_at);
        scene.world.finalize(&model, bad + 1).unwrap();
        if challenges {
            // The first window is still in dispute: a claim on the second waits for it
            let early = scene.claim(&holder, 1);
            assert_refused(early, DriftShieldError::NothingDue);
            scene.world.rule(&model, bad, &share(DRIFTED)).unwrap();
            scene.claim(&holder, 1).unwrap();
        }
        scene.world.warp_to(payable);
        scene.withdraw(&leaver).unwrap();
        scene.world.tokens(&leaver.tokens)
    };

    // When nobody disputes, then it bears half of the claim; when it challenges the first window, it bears as much,
    // and has lost the bond
    let (honest, challenging) = (paid(scene.clone(), false), paid(scene, true));
    let bond = 100 * TOKEN;
    assert!((start + CAPITAL - honest).abs_diff(500 * TOKEN) < TOKEN / 5);
    assert_eq!(honest - challenging, bond);
}

#[test]
fn a_holder_whose_token_account_cannot_be_paid_does_not_decide_who_bears_its_claim() {
    // Given a window that drifts. The holder has given its token account away, and is in league with a provider
    // of half of the capital
    let (mut scene, leaver, holder) = covered();
    let bad = scene.window;
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    scene.measure(DRIFTED);
    assert!(scene.vault().accrued_at <= scene.model().window_end(bad).unwrap());
    let friend = scene.world.wallet(0);
    scene.world.give_away(&holder, &friend.address());

    // When anybody examines the policy, and the holder claims once the provider has left
    assert_refused(scene.claim(&holder, 1), DriftShieldError::WrongDestination);
    assert_eq!(scene.vault().pending_losses, 1_000 * TOKEN);
    scene.world.pass(COOLDOWN);
    let start = scene.world.tokens(&leaver.tokens);
    scene.withdraw(&leaver).unwrap();
    let policy = scene.policy(&holder, 1);
    let mut claim = instruction::claim_policy(&policy, &scene.vault());
    claim.accounts[0].is_signer = true;
    let mut accounts = claim.accounts.iter_mut();
    let destination = accounts.find(|account| account.pubkey == holder.tokens);
    destination.expect("the destination").pubkey = friend.tokens;
    scene.world.send(claim, &[&holder.key]).unwrap();

    // Then the provider has borne its half of the claim of a thousand
    let paid = scene.world.tokens(&leaver.tokens) - start;
    assert!((CAPITAL - paid).abs_diff(500 * TOKEN) < TOKEN / 5, "{paid}");
    let vault = scene.vault();
    assert_eq!((vault.pending_losses, vault.set_aside), (0, 0));
    assert!(vault.assets.abs_diff(CAPITAL - 500 * TOKEN) < TOKEN / 5);
    assert_eq!(scene.world.tokens(&friend.tokens), 1_000 * TOKEN);
}

#[test]
fn of_two_runs_nobody_chooses_the_one_that_is_borne_later() {
    // Given two final windows that drift, and the same scene in which only the first one does
    let (mut scene, _, holder) = covered();
    let mut once = scene.clone();
    for (scene, second) in [(&mut scene, DRIFTED), (&mut once, CALM_DRIFT)] {
        scene.measure(DRIFTED);
        scene.measure(second);
        scene.claim(&holder, 1).unwrap();
    }

    // When it is claimed, then the capital bears it at the time of the first window
    assert_eq!(scene.vault().losses, once.vault().losses);
    assert_eq!(scene.vault().pending_losses, 1_000 * TOKEN);
}
