//! Disputes that are meant to delay.

use driftshield_sdk::PolicyTerms;
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

#[test]
fn a_leaving_provider_delays_a_claim_by_a_false_challenge_until_its_capital_is_paid_out() {
    // Given a provider who has requested its half of the capital, and a window that drifts a day before the
    // request can be paid
    let (mut scene, leaver, holder) = covered();
    let model = scene.model.clone();
    let shares = scene.shares(&leaver);
    scene.request(&leaver, shares).unwrap();
    let payable = scene.world.now() + COOLDOWN;
    let bad = scene.window + 5;
    scene.measure_until(bad, CALM_DRIFT);
    scene.world.submit_all(&model, bad, &share(DRIFTED));
    let final_at = scene.world.now() + scene.model().challenge_secs;
    assert!(final_at < payable);
    let start = scene.world.tokens(&leaver.tokens);

    // When nobody challenges, then it bears half of the claim
    let mut honest = scene.clone();
    honest.world.warp_to(final_at);
    honest.world.finalize(&model, bad).unwrap();
    honest.claim(&holder, 1, bad).unwrap();
    honest.world.warp_to(payable);
    honest.withdraw(&leaver).unwrap();
    let borne = honest.world.tokens(&leaver.tokens) - start;

    // When it challenges what is right, and the arbiter takes its time
    scene.world.warp_to(final_at - 1);
    let counts = share(CALM_DRIFT);
    scene
        .world
        .challenge(&model, bad, &leaver, &counts)
        .unwrap();
    scene.world.warp_to(payable);
    scene.withdraw(&leaver).unwrap();
    scene.world.rule(&model, bad, &share(DRIFTED)).unwrap();
    scene.claim(&holder, 1, bad).unwrap();

    // Then its capital is paid out first, and the other bears the whole claim; the challenge costs a bond
    let escaped = scene.world.tokens(&leaver.tokens) - start;
    let (gain, bond) = (escaped + 100 * TOKEN - borne, 100 * TOKEN);
    assert_eq!((gain, bond), (499_996_501, 100_000_000));
}
