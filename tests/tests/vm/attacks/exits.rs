//! Attacks by and against providers who leave. Each test states what the attacker gains.

use driftshield_sdk::{DriftShieldError, PolicyTerms};
use driftshield_tests::{insurance::*, world::*};

const EXIT: i64 = 7 * DAY;

#[test]
fn attack_10_who_leaves_after_the_first_of_four_bad_windows_bears_the_loss() {
    // Given two providers, and a policy that pays for four bad windows in a row
    let mut scene = Insured::new();
    let leaver = scene.world.wallet(CAPITAL);
    scene.deposit(&leaver, CAPITAL).unwrap();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 9_000 * TOKEN,
        exhaustion: scene.lowest_exhaustion(100_000),
        persistence: 4,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);

    // When one of them requests all it has in the first bad window, which it alone has noticed
    let first = scene.window;
    let start = scene.model().window_start(first).unwrap();
    scene.world.warp_to(start.max(scene.world.now()) + 1);
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    let due = scene.world.now() + COOLDOWN;
    for _ in 0..4 {
        scene.measure(200_000);
    }
    // Then the claim comes before the end of the cooldown
    assert!(scene.world.now() < due);
    assert_refused(scene.withdraw(&leaver), DriftShieldError::StillCoolingDown);
    scene.claim(&holder, 1).unwrap();

    // And it has lost as much as the other
    scene.world.warp_to(due);
    scene.withdraw(&leaver).unwrap();
    let left = scene.world.tokens(&leaver.tokens);
    let vault = scene.vault();
    let others = vault.worth(scene.shares(&scene.lp));
    assert!(left.abs_diff(5_500 * TOKEN) < 10 * TOKEN, "{left} is left");
    assert!(
        left <= others,
        "{left} of the leaver, {others} of the other"
    );
}

#[test]
fn attack_15_a_single_token_earns_no_premium_of_those_who_leave() {
    // Given a year's premium, and a provider who requests everything
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 5_000 * TOKEN,
        windows: 363,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();

    // When somebody deposits one token, and stays for the cooldown and the exit window
    let attacker = scene.world.wallet(TOKEN);
    scene.deposit(&attacker, TOKEN).unwrap();
    let before = scene.vault();
    scene.world.pass(COOLDOWN + EXIT);
    let after = scene.vault_now();

    // Then it earns a ten thousandth of what streams, and the treasury the rest
    let streamed = before.unearned - after.unearned;
    let gain = after.worth(scene.shares(&attacker)) - TOKEN;
    assert!(4 * TOKEN < streamed, "only {streamed} streamed");
    assert!(gain <= streamed / 10_000 + 1, "{gain} of {streamed}");
    let treasury = after.protocol_credit - before.protocol_credit;
    assert!(streamed - treasury <= streamed / 10_000 + 1);
}

#[test]
fn nobody_gains_by_a_deposit_just_before_a_request_ends() {
    // Given a request of half of the capital, during which a premium streams
    let mut scene = Insured::new();
    let leaver = scene.world.wallet(CAPITAL);
    scene.deposit(&leaver, CAPITAL).unwrap();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 5_000 * TOKEN,
        windows: 363,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    scene.world.pass(COOLDOWN);

    // When somebody deposits ten times the vault and has the request paid, in one second
    let attacker = scene.world.wallet(20 * CAPITAL);
    scene.deposit(&attacker, 20 * CAPITAL).unwrap();
    let before = scene.vault().worth(scene.shares(&attacker));
    scene.withdraw(&leaver).unwrap();

    // Then its shares are worth what they were
    let after = scene.vault().worth(scene.shares(&attacker));
    assert!(after <= before + 1, "a gain of {}", after - before);
}

#[test]
fn attack_n_free_capital_cannot_be_kept_at_0_through_each_exit_window() {
    // Given a provider whose request fell short in its exit window, because an attacker's cover locked all
    // that may be locked
    let mut scene = Insured::new();
    let attacker = scene.world.wallet(10 * CAPITAL);
    let cover = |scene: &Insured, cover, windows| PolicyTerms {
        cover,
        windows,
        ..scene.terms()
    };
    let terms = cover(&scene, 9_000 * TOKEN, 11);
    scene.buy(&attacker, 1, terms).unwrap();
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    let unlock = scene.world.now() + COOLDOWN;
    while scene.world.now() < unlock {
        scene.measure(CALM_DRIFT);
    }
    scene.withdraw(&owner).unwrap();
    let lapse = unlock + EXIT;
    while scene.world.now() < lapse {
        scene.measure(CALM_DRIFT);
    }

    // When the request has lapsed, and the attacker moves its cover to a new policy, then it is refused:
    // what the cancelled cover frees is reserved
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.vault().reserved_shares, scene.vault().shares);
    scene.cancel(&attacker, 1).unwrap();
    let terms = cover(&scene, TOKEN, 30);
    let outcome = scene.buy(&attacker, 2, terms);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);

    // And the owner asks again and is paid in full, less nothing
    scene.request(&owner, 0).unwrap();
    let outcome = scene.buy(&attacker, 2, terms);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
    scene.world.pass(COOLDOWN);
    scene.withdraw(&owner).unwrap();
    let held = scene.world.tokens(&owner.tokens);
    assert!(10 * CAPITAL <= held + 1, "only {held}");
}
