//! Probation of a term, and what windows without a value return.

use driftshield_sdk::{
    ConfigParams, DriftShieldError, Event, ListingTerms, PolicyTerms, Probation, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};

use super::insured;

/// A scene with a policy of the default terms, which is on probation.
fn bought() -> (Insured, Wallet) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    (scene, holder)
}

fn exists(scene: &Insured, holder: &Wallet) -> bool {
    let at = address::policy(&scene.vault, &holder.address(), 1);
    scene.world.exists(&at)
}

fn outcome(sent: &Sent) -> (Probation, bool, u64) {
    let Event::PolicyBegun(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    (event.probation, event.is_over, event.refund)
}

#[test]
fn a_premium_is_held_until_its_term_begins() {
    // Given a policy on probation
    let (mut scene, holder) = bought();
    let policy = scene.policy(&holder, 1);
    let premium = policy.pending.premium;
    let vault = scene.vault();
    let credits = (vault.protocol_credit, vault.manager_credit);
    assert_eq!((vault.held, vault.unearned, credits), (premium, 0, (0, 0)));
    assert_eq!((vault.locked, policy.premium), (scene.terms().cover, 0));
    assert_eq!(policy.last_window + 1, policy.first_window);

    // When its probation is over
    scene.start(&holder, 1);

    // Then a twentieth is the protocol's, a tenth the manager's, and the rest streams to the same end
    let (begun, vault) = (scene.policy(&holder, 1), scene.vault());
    let credits = (vault.protocol_credit, vault.manager_credit);
    assert_eq!(credits, (premium / 20, premium / 10));
    assert_eq!(vault.unearned, premium - premium / 20 - premium / 10);
    assert_eq!((vault.held, begun.premium), (0, premium));
    assert_eq!(
        (begun.term.start, begun.term.end),
        (policy.pending.start, policy.pending.end)
    );
    assert_eq!(begun.term.begins_at, scene.world.now());
    assert_eq!(begun.last_window, begun.first_window + begun.windows - 1);
    // And it can't begin again
    let outcome = scene.begin(&holder, 1);
    assert_refused(outcome, DriftShieldError::NothingPending);
}

#[test]
fn a_term_begins_once_its_last_window_is_decided() {
    // Given a policy whose probation has a window that nobody measures at its end
    let (mut scene, holder) = bought();
    let last = scene.policy(&holder, 1).last_window;
    scene.measure_until(last, CALM_DRIFT);
    let model = scene.model();
    let decided = model.window_end(last).unwrap() + model.submit_secs + model.challenge_secs;

    // When a second is left for a challenge, then it is undecided; then the term begins
    scene.world.warp_to(decided - 1);
    let refused = scene.begin(&holder, 1);
    assert_refused(refused, DriftShieldError::WindowUndecided);
    scene.world.warp_to(decided);
    let sent = scene.begin(&holder, 1).unwrap();
    assert_eq!(outcome(&sent), (Probation::Passed, false, 0));
}

#[test]
fn an_open_receipt_delays_the_decision_unless_a_window_has_failed() {
    let (mut scene, holder) = bought();
    let (first, last) = (scene.window, scene.policy(&holder, 1).last_window);
    scene.measure(CALM_DRIFT);
    assert_eq!(last, first + 1);
    let model = scene.model.clone();
    scene.world.submit_all(&model, last, &share(300_000));
    let refused = scene.begin(&holder, 1);
    assert_refused(refused, DriftShieldError::WindowUndecided);
    scene.world.pass(scene.model().challenge_secs);
    let refused = scene.begin(&holder, 1);
    assert_refused(refused, DriftShieldError::WindowUndecided);
    scene.world.finalize(&model, last).unwrap();
    let sent = scene.begin(&holder, 1).unwrap();
    assert_eq!(outcome(&sent).0, Probation::Failed);
    assert!(!exists(&scene, &holder));

    // A window at the trigger decides at once, one under it does not
    for (drift, is_decided) in [(100_000, true), (99_999, false)] {
        let (mut scene, holder) = bought();
        scene.measure(drift);
        let sent = scene.begin(&holder, 1);
        assert_eq!(sent.is_ok(), is_decided, "{drift}");
        assert_eq!(exists(&scene, &holder), !is_decided);
    }
}

#[test]
fn an_unmeasured_probation_returns_the_whole_premium() {
    // Given a policy that was bought after eight calm windows, and oracles who have been silent since
    let (mut scene, holder) = bought();
    let premium = scene.policy(&holder, 1).pending.premium;
    let (tokens, assets) = (scene.world.tokens(&holder.tokens), scene.vault().assets);
    let lamports = scene.world.lamports(&holder.address());
    let model = scene.model();
    let last = scene.policy(&holder, 1).last_window;
    let decided = model.window_end(last).unwrap() + model.submit_secs + model.challenge_secs;
    scene.world.warp_to(decided);

    // When anybody asks for the decision, then what was known at the purchase doesn't begin it
    let sent = scene.begin(&holder, 1).unwrap();
    assert_eq!(outcome(&sent), (Probation::Unmeasured, true, premium));
    assert_eq!(scene.world.tokens(&holder.tokens) - tokens, premium);
    let vault = scene.vault();
    assert_eq!((vault.held, vault.unearned, vault.locked), (0, 0, 0));
    assert_eq!((vault.assets, vault.policies), (assets, 0));
    assert_eq!((scene.model().exposure, scene.model().cover_risk), (0, 0));
    // And the holder gets the account's rent
    assert!(lamports < scene.world.lamports(&holder.address()));
    assert!(!exists(&scene, &holder));
}

#[test]
fn silence_in_the_probation_costs_a_penalty() {
    // Given a policy on probation, and an oracle who is silent in a window that began after the purchase
    let (mut scene, holder) = bought();
    scene.measure(CALM_DRIFT);
    let window = scene.window;
    assert!(window < scene.policy(&holder, 1).first_window);
    let (model, before) = (scene.model.clone(), scene.model().penalties);
    scene.world.warp_to_end(&model, window);
    for oracle in 0..2 {
        scene
            .world
            .submit(&model, oracle, window, &share(CALM_DRIFT))
            .unwrap();
    }
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);
    scene.world.finalize(&model, window).unwrap();

    // Then it loses the penalty, as if the window were covered
    let lost = scene.model().penalties[2] - before[2];
    assert_eq!(lost, insurance_terms().absence_penalty);
}

#[test]
fn a_late_begin_streams_faster_and_never_jumps() {
    // Given a policy that nobody has begun until the last day of its term
    let (mut scene, holder) = bought();
    let end = scene.policy(&holder, 1).pending.end;
    scene.measure_until(scene.policy(&holder, 1).first_window, CALM_DRIFT);
    scene.world.warp_to(end - DAY);
    let assets = scene.vault().assets;

    // When it begins, then the capital is what it was, and grows over at least a bucket
    scene.begin(&holder, 1).unwrap();
    let (vault, term) = (scene.vault(), scene.policy(&holder, 1).term);
    assert_eq!((vault.assets, term.begins_at), (assets, scene.world.now()));
    let secs = term.ends_at - term.begins_at;
    assert!((vault.bucket_secs..2 * vault.bucket_secs).contains(&secs));
    scene.world.warp_to(term.ends_at - 1);
    assert!(0 < scene.vault_now().unearned);
    scene.world.pass(1);
    assert_eq!(scene.vault_now().assets, assets + term.part);
}

#[test]
fn windows_without_a_value_return_their_part_at_expiry() {
    // Given a policy on ten windows, three of which get no value
    let (mut scene, holder) = insured(|terms| terms);
    let part = scene.policy(&holder, 1).term.part;
    for window in 0..10 {
        if window % 4 == 1 {
            scene.skip_window();
        } else {
            scene.measure(CALM_DRIFT);
        }
    }
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let (tokens, assets) = (scene.world.tokens(&holder.tokens), scene.vault_now().assets);

    // When it expires, then three tenths of what streamed are returned, rounded down
    let mut late = scene.clone();
    let sent = scene.expire(&holder, 1).unwrap();
    let refund = part * 3 / 10;
    let Event::PolicyExpired(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.refund, event.paid), (refund, 0));
    assert_eq!(scene.world.tokens(&holder.tokens) - tokens, refund);
    assert_eq!(
        (scene.vault().assets, scene.vault().locked),
        (assets - refund, 0)
    );
    assert_eq!(scene.model().cover_risk, 0);

    // And a second before another grace period is over, the pages must be the right ones; then nothing
    // is returned, and no page is needed
    let mut expire = instruction::expire_policy(&late.policy(&holder, 1), &late.vault());
    expire.accounts.pop();
    late.world.pass(params().claim_grace_secs - 1);
    let refused = late.world.send(expire.clone(), &[]);
    assert_refused(refused, DriftShieldError::WrongSeries);
    late.world.pass(1);
    late.world.send(expire, &[]).unwrap();
    assert_eq!(late.world.tokens(&holder.tokens), tokens);
    assert_eq!(late.vault().locked, 0);
}

#[test]
fn an_unfinished_receipt_delays_the_refund() {
    // Given an expired policy with a window whose receipt nobody has finalized
    let (mut scene, holder) = insured(|terms| terms);
    let (model, window) = (scene.model.clone(), scene.window);
    scene.world.submit_all(&model, window, &share(CALM_DRIFT));
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    // When it expires, then it is refused until the receipt is final
    let refused = scene.expire(&holder, 1);
    assert_refused(refused, DriftShieldError::WindowUndecided);
    scene.world.finalize(&model, window).unwrap();
    scene.expire(&holder, 1).unwrap();
}

#[test]
fn earlier_payments_and_the_open_cover_limit_the_refund() {
    // Given a policy that has paid a claim of all but a base unit of its cover, and no other window
    let (mut scene, holder) = insured(|terms| terms);
    scene.measure(299_999);
    scene.claim(&holder, 1).unwrap();
    let paid = scene.policy(&holder, 1).paid;
    assert!(scene.policy(&holder, 1).term.part < paid);
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    // When it expires, then nothing is returned beside the claim
    let sent = scene.expire(&holder, 1).unwrap();
    let Event::PolicyExpired(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.refund, event.paid), (0, paid));
}

#[test]
fn a_renewed_policy_returns_the_unmeasured_windows_of_both_terms() {
    // Given a policy on ten windows, the first of which has no value, and its renewal
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.policy(&holder, 1).term;
    scene.skip_window();
    for _ in 0..4 {
        scene.measure(CALM_DRIFT);
    }
    scene.renew(&holder, 1, true).unwrap();
    scene.start(&holder, 1);
    let policy = scene.policy(&holder, 1);
    assert_eq!(policy.unmeasured, first.part / 10);

    // When the windows of the second term have no value either, and it expires
    let expires = policy.expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let tokens = scene.world.tokens(&holder.tokens);
    scene.expire(&holder, 1).unwrap();

    // Then a tenth of the first and all of the second streaming part are returned
    let refund = scene.world.tokens(&holder.tokens) - tokens;
    assert_eq!(refund, first.part / 10 + policy.term.part);
}

#[test]
fn a_claim_of_all_the_cover_ends_a_renewal_on_probation() {
    // Given a renewed policy whose present term is then hit
    let (mut scene, holder) = insured(|terms| terms);
    scene.renew(&holder, 1, true).unwrap();
    let premium = scene.policy(&holder, 1).pending.premium;
    let (_, _, part) = scene.vault().split(premium);
    scene.measure(300_000);
    let tokens = scene.world.tokens(&holder.tokens);

    // When anybody claims all of the cover
    let policy = scene.policy(&holder, 1);
    scene.examine(&holder, 1).unwrap();
    let sent = scene.claim_examined(&holder, 1).unwrap();

    // Then the renewal's premium is returned too, less the cancel fee
    let refund = premium - part.div_ceil(10);
    let Event::PolicyClaimed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.amount, event.refund), (policy.cover, refund));
    let received = scene.world.tokens(&holder.tokens) - tokens;
    assert_eq!(received, policy.cover + refund);
    let vault = net(scene.vault());
    assert_eq!((vault.held, vault.locked), (0, 0));
}

#[test]
fn a_run_into_a_term_on_probation_ends_before_it() {
    // Given a renewed policy that pays for two windows in a row, and drift in the last window of the first term and
    // the first one of the next
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        ..terms
    });
    let last = scene.policy(&holder, 1).last_window;
    scene.renew(&holder, 1, true).unwrap();
    scene.measure_until(last, CALM_DRIFT);
    let mut failed = scene.clone();
    failed.measure(300_000);
    failed.measure(300_000);

    // When it is examined while the term is on probation, then only the first of them is
    failed.examine(&holder, 1).unwrap();
    assert_eq!(failed.policy(&holder, 1).examined_until, last + 1);
    assert_eq!(failed.policy(&holder, 1).recent[0], 300_000);
    assert_refused(
        failed.claim_examined(&holder, 1),
        DriftShieldError::NothingDue,
    );
    // And it isn't covered: the drift has made the term void
    failed.begin(&holder, 1).unwrap();
    assert_refused(failed.claim(&holder, 1), DriftShieldError::NothingDue);
}

#[test]
fn a_vault_waits_for_a_window_and_its_submissions() {
    // Given vaults that wait a second too short for a model of a day, and as long as they must
    for (missing, is_listed) in [(1, false), (0, true)] {
        let params = ConfigParams {
            waiting_secs: DAY + params().submit_secs - missing,
            ..params()
        };
        let mut world = World::with(params, insurance_terms());
        let spec = share_spec(&world);
        let model = world.model_with(spec, 3, 20_000 * TOKEN);
        let manager = world.wallet(0);
        let collateral = world.collateral();
        let (at, terms) = (manager.address(), vault_terms());
        let create = instruction::create_vault(at, 1, &collateral, COOLDOWN, 0, terms);
        world.send(create, &[&manager.key]).unwrap();
        // When the manager lists the model
        let terms = ListingTerms {
            model_version: world.model(&model.address).version,
            cap: TOKEN,
            lowest_trigger: 100_000,
            max_persistence: 1,
        };
        let vault = address::vault(&at, 1);
        let list = instruction::list_model(at, vault, model.address, terms);
        let outcome = world.send(list, &[&manager.key]);
        // Then only the second is accepted
        match is_listed {
            true => drop(outcome.unwrap()),
            false => assert_refused(outcome, DriftShieldError::WaitingTooShort),
        }
    }
}
