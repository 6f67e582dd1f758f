//! Examinations: what is set aside for runs and for windows without a value, when, and who gets it.

use driftshield_sdk::{
    ConfigParams, DriftShieldError, Event, PolicyTerms, Vault, address, events::PolicyExamined,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};

use super::insured;

/// A policy on ten windows. The first has no value and has streamed, and the third is the next to measure.
fn silent() -> (Insured, Wallet) {
    let (mut scene, holder) = insured(|terms| terms);
    scene.skip_window();
    scene.measure(CALM_DRIFT);
    stream(&mut scene, &holder, 1);
    (scene, holder)
}

/// Warps to the end of the stream of the term's first `windows`.
fn stream(scene: &mut Insured, holder: &Wallet, windows: i64) {
    let policy = scene.policy(holder, 1);
    let length = policy.term.ends_at - policy.term.begins_at;
    let part = length * windows;
    let end = policy.term.begins_at + (part as u64).div_ceil(policy.windows) as i64;
    scene.world.warp_to(end.max(scene.world.now()));
}

fn examined(scene: &mut Insured, holder: &Wallet) -> PolicyExamined {
    let sent = scene.examine(holder, 1).unwrap();
    match sent.event() {
        Event::PolicyExamined(event) => event.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn premium_is_set_aside_as_soon_as_a_window_is_decided_without_a_value() {
    // Given a policy on sixty windows, and nobody measures the first, which has streamed
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        windows: 60,
        ..terms
    });
    let (model, first) = (scene.model.clone(), scene.window);
    let part = scene.policy(&holder, 1).term.part;
    scene.world.warp_to_end(&model, first);
    let until_decided = params().submit_secs + params().challenge_secs;
    scene.world.pass(until_decided - 1);

    // When anybody asks for its premium while somebody can still challenge, then it is refused
    assert_refused(
        scene.examine(&holder, 1),
        DriftShieldError::NothingToExamine,
    );
    scene.world.pass(1);
    let before = scene.vault_now();
    let event = examined(&mut scene, &holder);

    // Then a sixtieth of the streaming part leaves the capital, and what is locked falls by as much
    let (vault, policy) = (scene.vault(), scene.policy(&holder, 1));
    assert_eq!((event.amount, event.examined_until), (part / 60, first + 1));
    assert_eq!(
        (policy.set_aside(), policy.unmeasured_windows),
        (part / 60, 1)
    );
    assert_eq!(vault.assets, before.assets); // until the time of a dispute is over
    let vault = net(vault);
    assert_eq!(vault.assets, before.assets - part / 60);
    assert_eq!(
        (vault.locked, vault.set_aside),
        (100 * TOKEN - part / 60, part / 60)
    );
    assert_eq!(event.totals, scene.vault().totals());
    // And the cover at risk is the same
    assert_eq!(
        (policy.open_cover(), scene.exposure().cover),
        (100 * TOKEN, 100 * TOKEN)
    );
    // And it can't be set aside twice
    assert_refused(
        scene.examine(&holder, 1),
        DriftShieldError::NothingToExamine,
    );
}

/// A scene with buckets of thirty days, with a policy on so many windows that has begun, and its holder. Nobody has
/// measured its first window, and nobody can any more.
fn slow(windows: u64) -> (Insured, Wallet) {
    let params = ConfigParams {
        bucket_secs: 30 * DAY,
        ..params()
    };
    let (mut scene, holder) = begun(params, windows);
    let (model, first) = (scene.model.clone(), scene.window);
    scene.world.warp_to_end(&model, first);
    scene.world.pass(params.submit_secs + params.challenge_secs);
    (scene, holder)
}

/// A scene with these parameters, with a policy on so many windows that has begun, and its holder.
fn begun(params: ConfigParams, windows: u64) -> (Insured, Wallet) {
    let mut world = World::with(params, insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    for _ in 0..HISTORY {
        scene.measure(CALM_DRIFT);
    }
    let mut scene = scene.with_capital(CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    (scene, holder)
}

#[test]
fn premium_that_streams_late_is_borne_once_it_has_streamed() {
    // Given a policy whose first window has no value, and streams for more than a cooldown after its end
    let (mut scene, holder) = slow(2);
    let (model, policy) = (scene.model(), scene.policy(&holder, 1));
    let decided_by = model.decided_by(policy.first_window).unwrap();
    let mut late = scene.clone();
    stream(&mut late, &holder, 1);
    let streamed = late.world.now();
    let borne = |at: i64, vault: &Vault| {
        let step = vault.step_secs();
        (at + step - 1) / step * step + step
    };
    let due = borne(streamed, &scene.vault());
    assert!(borne(decided_by, &scene.vault()) < due);

    // When it is examined too early for the losses that a vault keeps, then its premium is left for later
    let kept_from = due - 63 * scene.vault().step_secs();
    assert!(scene.world.now() < kept_from);
    scene.world.warp_to(kept_from - 1);
    assert_eq!(examined(&mut scene.clone(), &holder).amount, 0);
    // When it is examined later, before or after its part of the stream is over
    scene.world.pass(1);
    let amounts = [&mut scene, &mut late].map(|scene| examined(scene, &holder).amount);
    assert_eq!(amounts, [policy.term.part / 2; 2]);

    // Then the capital bears it at the same time, after that: else the providers of today would return what those
    // of tomorrow will earn
    for (now, pending) in [(due - 1, amounts[0]), (due, 0)] {
        for mut scene in [scene.clone(), late.clone()] {
            scene.world.warp_to(now);
            let vault = scene.vault_now();
            assert_eq!(vault.pending_losses, pending);
            assert!(CAPITAL + amounts[0] <= vault.assets + (amounts[0] - pending));
        }
    }
}

#[test]
fn what_streams_late_when_a_policy_ends_is_returned_out_of_its_stream() {
    // Given a policy whose windows nobody measures, in a vault whose stream outlasts the policy by far
    let (mut scene, holder) = slow(10);
    let policy = scene.policy(&holder, 1);
    let expires = policy.expires_at(&scene.model()).unwrap();
    assert!(expires + COOLDOWN < policy.term.ends_at);

    // When it expires
    scene.world.warp_to(expires);
    let before = scene.vault_now();
    let tokens = scene.world.tokens(&holder.tokens);
    scene.expire(&holder, 1).unwrap();

    // Then all is returned: what the capital has earned or earns within a cooldown, and the rest out of the stream
    let (part, vault) = (policy.term.part, scene.vault());
    assert_eq!(scene.world.tokens(&holder.tokens) - tokens, part);
    let cut = before.unearned - vault.unearned;
    assert!(0 < cut && cut < before.unearned, "{cut}");
    assert_eq!(vault.locked, vault.pending_losses);
    assert_eq!(
        vault.pending_losses + cut + (before.assets - vault.assets),
        part
    );
    scene.world.warp_to(policy.term.ends_at + COOLDOWN);
    let vault = scene.vault_now();
    assert!(CAPITAL.abs_diff(vault.assets) <= 1, "{}", vault.assets);
    assert_eq!(
        (vault.locked, vault.pending_losses, vault.unearned),
        (0, 0, 0)
    );
}

#[test]
fn a_renewal_that_fails_cuts_no_stream_of_a_term_that_goes_on() {
    // Given a policy of eight windows whose premium streams for three weeks at least, and its renewal. Its first
    // window reaches the trigger, and nobody measures the others
    let params = ConfigParams {
        submit_secs: 900,
        challenge_secs: 900,
        ruling_secs: 900,
        waiting_secs: DAY + 900,
        bucket_secs: 21 * DAY,
        ..params()
    };
    let (mut scene, holder) = begun(params, 8);
    scene.renew(&holder, 1, true).unwrap();
    let (model, first) = (scene.model.clone(), scene.window);
    scene.measure(100_000);
    scene.world.warp_to_end(&model, first + 6);
    scene.world.pass(params.submit_secs + params.challenge_secs);

    // When the renewal fails during the last window, then premium that streams late waits in its stream
    let before = scene.policy(&holder, 1);
    scene.begin(&holder, 1).unwrap();
    let policy = scene.policy(&holder, 1);
    assert_eq!(policy.term, before.term);
    assert_eq!(policy.examined_until, first + 7);
    assert!(policy.returned_until < policy.examined_until);

    // And the rest of the stream can refund what is unused
    let tokens = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();
    assert!(policy.set_aside() < scene.world.tokens(&holder.tokens) - tokens);
}

#[test]
fn windows_after_an_undecided_one_wait() {
    // Given a policy whose first window has an open receipt, and whose second window nobody measures
    let (mut scene, holder) = insured(|terms| terms);
    let (model, first) = (scene.model.clone(), scene.window);
    scene.world.submit_all(&model, first, &share(CALM_DRIFT));
    scene.world.warp_to_end(&model, first + 1);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);

    // When anybody asks for the second's premium, then it waits until the first is final
    assert_refused(
        scene.examine(&holder, 1),
        DriftShieldError::NothingToExamine,
    );
    scene.world.finalize(&model, first).unwrap();
    let event = examined(&mut scene, &holder);
    assert_eq!(event.examined_until, first + 2);
    assert_eq!((event.worth, event.amount), (0, event.unmeasured));
}

#[test]
fn a_run_waits_for_the_windows_before_it() {
    // Given a policy whose first window is in dispute, and whose second one drifts
    let (mut scene, holder) = insured(|terms| terms);
    let (model, first) = (scene.model.clone(), scene.window);
    scene.world.warp_to_end(&model, first);
    scene.world.submit_all(&model, first, &share(200_000));
    let challenged = scene
        .world
        .challenge(&model, first, &holder, &share(CALM_DRIFT));
    challenged.unwrap();
    scene.window += 1;
    scene.measure(300_000);

    // When it is examined before the first is ruled, then nothing is known
    assert_refused(
        scene.examine(&holder, 1),
        DriftShieldError::NothingToExamine,
    );
    scene.world.rule(&model, first, &share(200_000)).unwrap();
    let event = examined(&mut scene, &holder);

    // Then each window adds what it is worth at its own time
    assert_eq!(event.examined_until, first + 2);
    assert_eq!((event.peak, event.peak_window), (300_000, first + 1));
    assert_eq!((event.worth, event.amount), (100 * TOKEN, 100 * TOKEN));
    let vault = scene.vault();
    let losses: Vec<u64> = vault
        .losses
        .iter()
        .copied()
        .filter(|loss| 0 < *loss)
        .collect();
    assert_eq!(losses, [50 * TOKEN; 2]);
    assert_eq!(event.totals, vault.totals());
    assert_eq!(vault.set_aside, 100 * TOKEN);
}

#[test]
fn pages_are_examined_one_after_the_other() {
    // Given a policy on the last windows of a page and the first of the next, all of which drift
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
    let last = scene.window - 1;
    assert!(255 < last, "the run ends in the next page");
    let policy = scene.policy(&holder, 2);
    let both = instruction::examine_policy(&policy, first..=last);

    // When it is examined with no page, with both in reverse, with one too many, or with another account
    let at = both.accounts.len() - 1;
    let mut none = both.clone();
    none.accounts.truncate(at - 1);
    let refused = scene.world.send(none, &[]);
    assert_refused(refused, DriftShieldError::NothingToExamine);
    let mut reversed = both.clone();
    reversed.accounts.swap(at, at - 1);
    let mut more = both.clone();
    more.accounts.push(more.accounts[at].clone());
    let spec = share_spec(&scene.world);
    let other = scene.world.model_with(spec, 3, 20_000 * TOKEN);
    let mut foreign = both.clone();
    foreign.accounts[at].pubkey = address::series(&other.address, last);
    let mut receipt = both.clone();
    receipt.accounts[at].pubkey = address::receipt(&scene.model.address, first);
    for wrong in [reversed, more, foreign, receipt] {
        let outcome = scene.world.send(wrong, &[]);
        assert_refused(outcome, DriftShieldError::WrongSeries);
    }

    // Then it is refused; with both pages, or with one after the other, it finds the run over both
    let mut at_once = scene.clone();
    at_once.world.send(both, &[]).unwrap();
    assert_eq!(at_once.policy(&holder, 2).worth, 100 * TOKEN);
    let begin = instruction::examine_policy(&policy, first..=255);
    scene.world.send(begin, &[]).unwrap();
    assert_eq!(scene.policy(&holder, 2).examined_until, 256);
    scene.examine(&holder, 2).unwrap();
    let found = |scene: &Insured| {
        let policy = scene.policy(&holder, 2);
        (
            policy.worth,
            policy.peak_window,
            policy.recent,
            scene.vault().losses,
        )
    };
    assert_eq!(found(&scene), found(&at_once));
}

#[test]
fn capital_that_is_leaving_bears_its_part() {
    // Given a provider of half of the capital who requests it when it sees that a window isn't measured
    let mut scene = Insured::new();
    let (leaver, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&leaver, CAPITAL).unwrap();
    let terms = PolicyTerms {
        cover: 8_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let model = scene.model.clone();
    scene.world.warp_to_end(&model, scene.window);
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    let requested = scene.vault().leaving;
    stream(&mut scene, &holder, 1);

    // When the premium is set aside during its cooldown
    let event = examined(&mut scene, &holder);

    // Then the request has lost half of it once it is payable
    assert_eq!(event.totals.leaving, requested);
    scene.world.pass(COOLDOWN);
    let lost = requested - scene.vault_now().leaving;
    assert!(
        lost.abs_diff(event.amount / 2) < 1_000,
        "{lost} of {}",
        event.amount
    );
    scene.withdraw(&leaver).unwrap();
    let paid = scene.world.tokens(&leaver.tokens);
    assert!(paid.abs_diff(requested - lost) <= 1, "{paid}");
}

#[test]
fn a_claim_is_paid_out_of_what_is_set_aside_first() {
    // Given a policy for which premium is set aside
    let (mut scene, holder) = silent();
    let aside = examined(&mut scene, &holder).amount;
    scene.measure(100_001); // half a thousandth of the ramp
    let before = scene.vault_now();

    // When it is claimed for less, then nothing comes out of the capital
    let claimed = 100 * TOKEN / 200_000;
    assert!(claimed < aside);
    scene.claim(&holder, 1).unwrap();
    let vault = scene.vault();
    assert_eq!(vault.set_aside, aside - claimed);
    assert_eq!((vault.assets, vault.locked), (before.assets, before.locked));

    // When it is claimed for more, then the rest does
    scene.measure(200_000);
    let before = net(scene.vault_now());
    scene.claim(&holder, 1).unwrap();
    let vault = net(scene.vault());
    assert_eq!((vault.set_aside, vault.locked), (0, 50 * TOKEN));
    assert_eq!(before.assets - vault.assets, 50 * TOKEN - aside);
}

#[test]
fn a_cancelled_policy_returns_what_is_set_aside_besides_the_unused_premium() {
    // Given a policy with premium set aside, and the same one without
    let (scene, holder) = silent();
    let cancelled = |mut scene: Insured, is_set_aside: bool| {
        let aside = if is_set_aside {
            examined(&mut scene, &holder).amount
        } else {
            0
        };
        let before = scene.world.tokens(&holder.tokens);
        scene.cancel(&holder, 1).unwrap();
        let vault = net(scene.vault());
        assert_eq!((vault.set_aside, vault.locked), (0, 0));
        (aside, scene.world.tokens(&holder.tokens) - before)
    };

    // When both are cancelled, then the first returns the premium that is set aside in addition
    let (aside, more) = cancelled(scene.clone(), true);
    let (_, unused) = cancelled(scene.clone(), false);
    assert!(0 < aside && 0 < unused);
    assert_eq!(more, unused + aside);

    // And a claim reduces the sum by its amount only
    let mut claimed = scene;
    claimed.measure(100_001);
    let without = cancelled(claimed.clone(), true);
    let aside = examined(&mut claimed, &holder).amount;
    let before = claimed.world.tokens(&holder.tokens);
    claimed.claim(&holder, 1).unwrap();
    claimed.cancel(&holder, 1).unwrap();
    let all = claimed.world.tokens(&holder.tokens) - before;
    assert_eq!((aside, all), without);
}

#[test]
fn what_a_holder_cannot_be_paid_in_time_streams_to_the_vault() {
    // Given a policy with premium set aside, whose holder nobody pays until another grace period is over
    let (mut scene, holder) = silent();
    let aside = examined(&mut scene, &holder).amount;
    let lapses = scene.policy(&holder, 1).lapses_at(&scene.model()).unwrap();
    scene.world.warp_to(lapses);
    let before = (scene.vault_now().assets, scene.world.tokens(&holder.tokens));

    // When the policy expires
    scene.expire(&holder, 1).unwrap();

    // Then the holder gets nothing, the share price doesn't jump, and the vault earns the premium over a bucket
    let vault = scene.vault();
    assert_eq!(
        (vault.assets, vault.set_aside, vault.locked),
        (before.0, 0, 0)
    );
    assert_eq!(
        (vault.unearned, scene.world.tokens(&holder.tokens)),
        (aside, before.1)
    );
    assert!(lapses + vault.bucket_secs <= vault.streams_end);
    scene.world.warp_to(vault.streams_end);
    assert_eq!(scene.vault_now().assets, before.0 + aside);
}

#[test]
fn a_policy_with_premium_set_aside_is_renewed_and_counts_each_window_once() {
    // Given a policy with premium set aside for a window without a value, and its renewal
    let (mut scene, holder) = silent();
    let aside = examined(&mut scene, &holder).amount;
    let part = scene.policy(&holder, 1).term.part;
    scene.skip_window();
    scene.measure(CALM_DRIFT);
    scene.renew(&holder, 1, true).unwrap();

    // When the next term begins, then the windows after it are examined, and the rest is set aside
    scene.start(&holder, 1);
    let policy = scene.policy(&holder, 1);
    assert_eq!((aside, policy.set_aside()), (part / 10, part * 2 / 10));
    assert_eq!(
        (policy.unmeasured_windows, scene.vault().set_aside),
        (0, part * 2 / 10)
    );
    assert_eq!(
        policy.windows_to_expire(),
        1 + policy.last_window - policy.windows..=policy.last_window
    );
}
