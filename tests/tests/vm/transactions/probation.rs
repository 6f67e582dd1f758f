//! The transactions about a policy that read the most windows.

use driftshield_sdk::{
    DriftShieldError, Entry, MetricSpec, PAGE_WINDOWS, PolicyTerms, Series,
    math::MAX_POLICY_WINDOWS,
};
use driftshield_tests::{insurance::*, world::*};

use super::{KEYS, assert_fits};

/// A vault on an hourly model. Its receipts take longer than a window, so it measures only some.
fn hourly(keys: &str) -> Insured {
    let mut world = World::named(keys).set_up(params(), insurance_terms());
    let spec = MetricSpec {
        window_secs: HOUR,
        ..share_spec(&world)
    };
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    for _ in 0..HISTORY {
        measure_one(&mut scene);
    }
    scene.with_capital(CAPITAL)
}

/// Measures a window, after which the submit periods of many are over.
fn measure_one(scene: &mut Insured) {
    scene.measure(CALM_DRIFT);
    scene.window = scene.model().next_window(scene.world.now());
}

/// Gives every window before the running one a value.
fn fill_pages(scene: &mut Insured) {
    let running = scene.model().next_window(scene.world.now()) - 1;
    let entry = |window| match window < running {
        true => Entry::Final(CALM_DRIFT),
        false => Entry::None,
    };
    for page in 0..=Series::page_of(running) {
        let first = page * PAGE_WINDOWS;
        let entries: Vec<Entry> = (first..first + PAGE_WINDOWS).map(entry).collect();
        scene.world.set_series(&scene.model, page, &entries);
    }
}

/// Waits until the term on probation can be decided.
fn pass_probation(scene: &mut Insured, holder: &Wallet) {
    let (model, policy) = (scene.model(), scene.policy(holder, 1));
    let end = model.window_end(policy.last_window).unwrap();
    scene
        .world
        .warp_to(end + model.submit_secs + model.challenge_secs);
    fill_pages(scene);
}

#[test]
fn decisions_about_the_most_windows_stay_within_the_limits() {
    for keys in KEYS {
        // Given a policy with as many windows as possible since the oldest that is undecided
        let mut scene = hourly(keys);
        let holder = scene.world.wallet(CAPITAL);
        let one = scene
            .quote(&PolicyTerms {
                windows: 48,
                ..scene.terms()
            })
            .unwrap();
        let windows = MAX_POLICY_WINDOWS - (one.first_window - one.from_window);
        let terms = PolicyTerms {
            windows,
            ..scene.terms()
        };
        let longer = PolicyTerms {
            windows: windows + 1,
            ..terms
        };
        assert_refused(
            scene.buy(&holder, 1, longer),
            DriftShieldError::TooManyWindows,
        );
        assert_fits(scene.buy(&holder, 1, terms));

        // When its model has a value in every window, then it begins, is renewed, begins again and
        // expires within the limits
        pass_probation(&mut scene, &holder);
        assert_fits(scene.begin(&holder, 1));
        let renew_at = scene.policy(&holder, 1).term.end - scene.vault().waiting_secs;
        scene.world.warp_to(renew_at - DAY);
        scene.window = scene.model().next_window(scene.world.now());
        measure_one(&mut scene);
        scene.world.warp_to(renew_at);
        assert_fits(scene.renew(&holder, 1, true));
        pass_probation(&mut scene, &holder);
        assert_fits(scene.begin(&holder, 1));
        let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
        scene.world.warp_to(expires);
        fill_pages(&mut scene);
        assert_fits(scene.expire(&holder, 1));
    }
}
