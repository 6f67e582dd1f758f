//! Attacks by liquidity providers: donation to an empty vault, just-in-time deposits, and a withdrawal
//! with inside knowledge.

use driftshield_sdk::PolicyTerms;
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A random amount from 1 to 2^n, where n is random from 0 to 49.
fn amount(random: &mut StdRng) -> u64 {
    let bits = random.random_range(0..50);
    random.random_range(1..=1u64 << bits)
}

#[test]
fn a_first_depositor_gains_nothing_by_a_donation() {
    // Given a vault without capital
    let empty = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..40 {
        let [first, donation, second] = [(); 3].map(|()| amount(&mut random));
        println!("round {round}: {first}, {donation}, {second}");
        let mut scene = empty.clone();
        let thief = scene.world.wallet(first + donation);
        let victim = scene.world.wallet(second);

        // When a thief deposits first and donates to the vault, and a victim deposits, and both leave
        scene.deposit(&thief, first).unwrap();
        let send = spl_token_interface::instruction::transfer(
            &spl_token_interface::ID,
            &thief.tokens,
            &scene.vault().tokens,
            &thief.address(),
            &[],
            donation,
        );
        scene.world.send(send.unwrap(), &[&thief.key]).unwrap();
        scene.deposit(&victim, second).unwrap();
        scene.leave(&thief);
        scene.leave(&victim);

        // Then the thief has lost at least the donation, and the victim at most one base unit
        assert!(scene.world.tokens(&thief.tokens) <= first);
        assert!(second - scene.world.tokens(&victim.tokens) <= 1);
    }
}

/// Terms of a policy that locks most of the vault's capital.
fn big_cover(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 30,
        ..scene.terms()
    }
}

#[test]
fn just_in_time_liquidity_that_leaves_at_once_earns_no_premium() {
    // Given a deposit of ten times the vault's capital just before a big purchase
    let mut scene = Insured::new();
    let depositor = scene.world.wallet(10 * CAPITAL);
    scene.deposit(&depositor, 10 * CAPITAL).unwrap();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, big_cover(&scene)).unwrap();

    // When the depositor leaves as early as possible, while nothing streams
    scene.leave(&depositor);

    // Then the depositor has no more than it deposited
    assert!(scene.world.tokens(&depositor.tokens) <= 10 * CAPITAL);
}

#[test]
fn just_in_time_liquidity_of_a_day_earns_one_days_premium() {
    // Given a deposit of as much as the vault's capital just before a big purchase
    let mut scene = Insured::new();
    let (depositor, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&depositor, CAPITAL).unwrap();
    scene.buy(&holder, 1, big_cover(&scene)).unwrap();
    scene.start(&holder, 1);
    let premium = scene.policy(&holder, 1).premium;

    // When the depositor leaves a day after the premium has begun to stream
    scene.world.pass(DAY);
    scene.leave(&depositor);

    // Then it has earned at most half of one thirtieth of the 30-day premium
    let earned = scene.world.tokens(&depositor.tokens) - CAPITAL;
    assert!(
        0 < earned && earned <= premium / 30 / 2,
        "{earned} of {premium}"
    );
}

#[test]
fn a_deposit_after_the_premium_has_streamed_earns_nothing() {
    // Given a policy without a claim, one second before it expires, with its premium fully streamed
    let mut scene = Insured::new();
    let (depositor, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.buy(&holder, 1, big_cover(&scene)).unwrap();
    scene.start(&holder, 1);
    for _ in 0..30 {
        scene.measure(CALM_DRIFT);
    }
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires - 1);
    assert_eq!(scene.vault_now().unearned, 0);

    // When somebody deposits then, and leaves after the policy has expired
    scene.deposit(&depositor, CAPITAL).unwrap();
    scene.world.pass(1);
    scene.expire(&holder, 1).unwrap();
    scene.leave(&depositor);

    // Then the depositor has its deposit back, less at most one base unit
    let after = scene.world.tokens(&depositor.tokens);
    assert!((CAPITAL - 1..=CAPITAL).contains(&after));
}

#[test]
fn an_insider_who_requests_withdrawal_before_a_bad_window_is_measured_bears_the_loss() {
    // Given a policy, and a window that ended with drift but has no receipt yet
    let mut scene = Insured::new();
    let (insider, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&insider, CAPITAL).unwrap();
    scene.buy(&holder, 1, big_cover(&scene)).unwrap();
    let window = scene.policy(&holder, 1).first_window;
    scene.measure_until(window, CALM_DRIFT);
    scene.world.warp_to_end(&scene.model, window);

    // When an insider requests its withdrawal, the receipt becomes Final and the policy is claimed
    let shares = scene.shares(&insider);
    scene.request(&insider, shares).unwrap();
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();
    scene.world.pass(COOLDOWN);
    scene.withdraw(&insider).unwrap();

    // Then the insider has borne its half of the loss
    let lost = CAPITAL - scene.world.tokens(&insider.tokens);
    assert!(
        lost.abs_diff(4_000 * TOKEN) < 100 * TOKEN,
        "the insider lost {lost}"
    );
}
