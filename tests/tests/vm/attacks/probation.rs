//! Attacks by holders who know more than the vault. Each test states what the attacker gains.

use driftshield_sdk::{DriftShieldError, Event, PolicyTerms, PremiumPayee, Probation, instruction};
use driftshield_tests::{insurance::*, world::*};

const DRIFTED: u64 = 500_000;

/// Eight thousand tokens of cover that any drifted window pays whole.
fn large(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: 8_000 * TOKEN,
        exhaustion: scene.lowest_exhaustion(100_000),
        ..scene.terms()
    }
}

/// A scene whose next window has drifted, as the submission of one oracle shows, and a holder who
/// has bought cover since. Returns the window and what the holder has paid to the vault.
fn informed() -> (Insured, Wallet, u64, u64) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let bad = scene.window;
    let model = scene.model.clone();
    scene.world.warp_to_end(&model, bad);
    scene.world.submit(&model, 0, bad, &share(DRIFTED)).unwrap();
    let terms = large(&scene);
    let premium = scene.quote(&terms).unwrap().premium;
    scene.buy(&holder, 1, terms).unwrap();
    (scene, holder, bad, premium)
}

/// Lets the other oracles confirm the drift.
fn confirm(scene: &mut Insured, bad: u64) {
    let model = scene.model.clone();
    for oracle in 1..3 {
        scene
            .world
            .submit(&model, oracle, bad, &share(DRIFTED))
            .unwrap();
    }
    scene.world.pass(scene.model().challenge_secs);
    scene.world.finalize(&model, bad).unwrap();
    scene.window = bad + 1;
}

#[test]
fn attack_8_cover_bought_after_a_submission_shows_drift_is_void() {
    // Given cover that is bought when one oracle's submission shows the drift
    let (mut scene, holder, bad, premium) = informed();
    assert!(premium < 400 * TOKEN, "{premium}");
    let paid = scene.world.tokens(&holder.tokens) + premium;
    confirm(&mut scene, bad);

    // When the model goes on drifting, and anybody asks for the decision
    let first = scene.policy(&holder, 1).first_window;
    while scene.window <= first {
        scene.measure(DRIFTED);
    }
    let examined = scene.examine(&holder, 1);
    assert_refused(examined, DriftShieldError::NothingToExamine);
    let claimed = scene.claim_examined(&holder, 1);
    assert_refused(claimed, DriftShieldError::NothingDue);
    let sent = scene.begin(&holder, 1).unwrap();

    // Then the policy is void: instead of winning 8,000, the holder loses the cancel fee of a tenth
    let Event::PolicyBegun(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.probation, event.is_over), (Probation::Failed, true));
    let lost = paid - scene.world.tokens(&holder.tokens);
    let part = premium - premium / 20 - premium / 10;
    assert_eq!(lost, part.div_ceil(10));
    let vault = scene.vault();
    assert_eq!((vault.locked, vault.held, vault.policies), (0, 0, 0));
    // And the vault earns the fee over the term
    assert_eq!(vault.assets, CAPITAL);
    scene.world.pass(40 * DAY);
    assert_eq!(scene.vault_now().assets, CAPITAL + lost);
}

#[test]
fn attack_c_nothing_of_a_premium_on_probation_can_be_collected() {
    // Given a policy that will be void
    let (mut scene, holder, bad, _) = informed();
    for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
        // When the manager and the protocol try to collect their parts before
        let collect = instruction::collect_manager_fees(scene.vault, &scene.vault(), payee);
        // Then there is nothing
        assert_refused(
            scene.world.send(collect, &[]),
            DriftShieldError::NothingToCollect,
        );
    }
    // Nor does any of it stream, so that the refund costs the providers nothing
    scene.world.pass(HOUR);
    assert_eq!(scene.vault_now().assets, CAPITAL);
    confirm(&mut scene, bad);
    scene.begin(&holder, 1).unwrap();
    assert_eq!(scene.vault().assets, CAPITAL);
}

#[test]
fn a_term_cannot_be_left_on_probation_as_a_free_option() {
    // Given two policies with the same terms, one of which nobody begins
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    for id in [1, 2] {
        let terms = scene.terms();
        scene.buy(&holder, id, terms).unwrap();
    }
    let last = scene.terms().first_window + 9;
    scene.measure_until(last, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    // When both are cancelled shortly before the end
    let mut refund = |id| {
        let before = scene.world.tokens(&holder.tokens);
        scene.cancel(&holder, id).unwrap();
        scene.world.tokens(&holder.tokens) - before
    };
    let (begun, waiting) = (refund(1), refund(2));
    // Then the second returns no more than the unused time either, not the whole premium
    assert!(begun.abs_diff(waiting) < 100, "{begun} {waiting}");
}

#[test]
fn a_renewal_on_known_drift_is_void() {
    // Given a policy in the last window of its term
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        persistence: 2,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    while scene.window + 2 < terms.first_window + terms.windows {
        scene.measure(CALM_DRIFT);
    }
    scene.begin(&holder, 1).unwrap();
    let before = scene.policy(&holder, 1);

    // When its holder renews it while the last window but one drifts, and that becomes final
    scene.renew(&holder, 1, true).unwrap();
    let held = scene.vault().held;
    assert_refused(scene.renew(&holder, 1, true), DriftShieldError::TermPending);
    scene.measure(DRIFTED);
    let tokens = scene.world.tokens(&holder.tokens);
    let sent = scene.begin(&holder, 1).unwrap();

    // Then only the renewal is void
    let Event::PolicyBegun(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.probation, event.is_over), (Probation::Failed, false));
    let after = scene.policy(&holder, 1);
    assert_eq!(
        (after.last_window, after.term),
        (before.last_window, before.term)
    );
    let refund = scene.world.tokens(&holder.tokens) - tokens;
    assert_eq!(event.refund, refund);
    assert!(
        held * 9 / 10 <= refund && refund < held,
        "{refund} of {held}"
    );
    // And the term that was bought before the drift still pays
    scene.measure(DRIFTED);
    scene.claim(&holder, 1).unwrap();
}

#[test]
fn attack_j_publishing_only_bad_windows_pays_no_refund_beside_the_claim() {
    for drift in [None, Some(DRIFTED)] {
        // Given oracles who publish no window of a policy, or only the bad one
        let mut scene = Insured::new();
        let holder = scene.world.wallet(CAPITAL);
        let start = scene.world.tokens(&holder.tokens);
        let terms = scene.terms();
        let quote = scene.quote(&terms).unwrap();
        scene.buy(&holder, 1, terms).unwrap();
        scene.measure_until(terms.first_window, CALM_DRIFT);
        scene.begin(&holder, 1).unwrap();
        if let Some(drift) = drift {
            scene.measure(drift);
            scene.claim(&holder, 1).unwrap();
        } else {
            // When the policy expires
            let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
            scene.world.warp_to(expires);
            scene.expire(&holder, 1).unwrap();
        }
        let end = scene.world.tokens(&holder.tokens);
        match drift {
            // Then silence returns the streamed premium: the holder loses the fees and the rent
            None => assert_eq!(start - end, quote.premium - quote.streamed_part),
            // And a paid policy returns nothing beside its cover
            Some(_) => assert_eq!(end + quote.premium - start, terms.cover),
        }
        let vault = net(scene.vault());
        assert_eq!((vault.locked, vault.policies), (0, 0));
    }
}

/// A policy that anyone may renew, in the last quarter of its term, its holder, and the next window.
fn renewable() -> (Insured, Wallet, u64) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows: 60,
        auto_renew: true,
        ..large(&scene)
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    let next = terms.first_window + 56;
    scene.measure_until(next, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    (scene, holder, next)
}

#[test]
fn attack_l_a_renewal_on_drift_that_one_oracle_shows_is_void() {
    // Given a policy in its last quarter, and a window that one oracle reports as drifted
    let (mut scene, holder, bad) = renewable();
    let model = scene.model.clone();
    scene.world.warp_to_end(&model, bad);
    scene.world.submit(&model, 0, bad, &share(DRIFTED)).unwrap();

    // When the holder renews before the others report, then one oracle alone doesn't stop it
    let policy = scene.policy(&holder, 1);
    let quote = scene.quote_renewal(&policy, true).unwrap();
    let before = scene.world.tokens(&holder.tokens) + quote.rent; // `renew` gives it to the holder
    scene.renew(&holder, 1, true).unwrap();

    // And if the others find no drift, the term begins
    let mut calm = scene.clone();
    for oracle in 1..3 {
        let counts = share(CALM_DRIFT);
        calm.world.submit(&model, oracle, bad, &counts).unwrap();
    }
    calm.world.pass(calm.model().challenge_secs);
    calm.world.finalize(&model, bad).unwrap();
    calm.window = bad + 1;
    calm.start(&holder, 1);
    assert_eq!(calm.policy(&holder, 1).last_window, policy.last_window + 60);

    // When they confirm it, then the new term is void, and the holder has paid the cancel fee and the rent
    confirm(&mut scene, bad);
    scene.begin(&holder, 1).unwrap();
    let lost = before - scene.world.tokens(&holder.tokens);
    assert_eq!(lost, quote.streamed_part.div_ceil(10) + quote.rent);
    let policy = scene.policy(&holder, 1);
    assert_eq!(policy.last_window, bad + 3);

    // And the drift that follows is covered up to the end of the old term, which the bad window is part of
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::PolicyTriggered);
    scene.measure_until(policy.last_window + 1, DRIFTED);
    scene.examine(&holder, 1).unwrap();
    scene.measure(2 * DRIFTED);
    let later = scene.examine(&holder, 1);
    assert_refused(later, DriftShieldError::NothingToExamine);
    assert_eq!(
        scene.policy(&holder, 1).examined_until,
        policy.last_window + 1
    );
}

#[test]
fn a_void_term_that_its_holder_keeps_from_being_decided_pays_nothing() {
    // Given cover that is bought when one oracle's submission shows the drift, whose holder can't be paid a refund
    let (mut scene, holder, bad, _) = informed();
    let friend = scene.world.wallet(0);
    scene.world.give_away(&holder, &friend.address());
    confirm(&mut scene, bad);
    let policy = scene.policy(&holder, 1);
    assert_refused(scene.begin(&holder, 1), DriftShieldError::WrongDestination);

    // When the model goes on drifting, and the holder expires it as soon as anybody can, with another destination
    let last = policy.last_window + policy.windows;
    scene.measure_until(last + 1, DRIFTED);
    let expires = policy.expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let vault = scene.vault();
    let mut expire = instruction::expire_policy(&policy, &vault);
    expire.accounts[0].is_signer = true;
    let expire = swapped(expire, &holder.tokens, &friend.tokens);
    let assets = scene.vault_now().assets;
    scene.world.send(expire, &[&holder.key]).unwrap();

    // Then it is paid nothing, and the vault streams all of the premium
    assert_eq!(scene.world.tokens(&friend.tokens), 0);
    let vault = scene.vault();
    assert_eq!(
        (vault.assets, vault.locked, vault.set_aside),
        (assets, 0, 0)
    );
    assert!(0 < vault.unearned);
}

#[test]
fn attack_l_a_renewal_on_proposed_drift_is_refused() {
    // Given the same policy, and a drifted window that all oracles have reported
    let (mut scene, holder, bad) = renewable();
    let model = scene.model.clone();
    scene.world.submit_all(&model, bad, &share(DRIFTED));

    // When the holder or anybody else renews it before the value is final, then it is refused
    for signed in [true, false] {
        let outcome = scene.renew(&holder, 1, signed);
        assert_refused(outcome, DriftShieldError::TriggerReached);
    }
}
