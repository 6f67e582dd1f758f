//! Who comes first, just in time, or knows more, takes nothing from who provides liquidity.

use driftshield_sdk::PolicyTerms;
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn amount(random: &mut StdRng) -> u64 {
    let bits = random.random_range(0..50);
    random.random_range(1..=1u64 << bits)
}

#[test]
fn a_first_depositor_gains_nothing_by_any_donation() {
    // Given a vault without capital
    let empty = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..40 {
        let [first, donation, second] = [(); 3].map(|()| amount(&mut random));
        println!("round {round}: {first}, {donation}, {second}");
        let mut scene = empty.clone();
        let thief = scene.world.wallet(first + donation);
        let victim = scene.world.wallet(second);

        // When a thief deposits first and donates, and a victim deposits
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

        // Then the thief is out of the donation at least, and the victim of less than a base unit
        assert!(scene.world.tokens(&thief.tokens) <= first);
        assert!(second - scene.world.tokens(&victim.tokens) <= 1);
    }
}

/// Cover that costs the most that a scene's vault sells.
fn big(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 30,
        ..scene.terms()
    }
}

#[test]
fn just_in_time_liquidity_that_asks_to_leave_at_once_earns_nothing_of_a_big_premium() {
    // Given a vault into which somebody puts ten times its capital for one big purchase
    let mut scene = Insured::new();
    let comer = scene.world.wallet(10 * CAPITAL);
    scene.deposit(&comer, 10 * CAPITAL).unwrap();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, big(&scene)).unwrap();

    // When it leaves as early as it can
    scene.leave(&comer);

    // Then it has no more than it came with
    assert!(scene.world.tokens(&comer.tokens) <= 10 * CAPITAL);
}

#[test]
fn just_in_time_liquidity_of_a_day_earns_a_days_part_of_a_big_premium() {
    // Given a vault into which somebody puts as much as there is, just before a big purchase
    let mut scene = Insured::new();
    let (comer, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&comer, CAPITAL).unwrap();
    scene.buy(&holder, 1, big(&scene)).unwrap();
    let premium = scene.policy(&holder, 1).premium;

    // When it asks to leave a day later
    scene.world.pass(DAY);
    scene.leave(&comer);

    // Then it earned half of one day of thirty at most
    let earned = scene.world.tokens(&comer.tokens) - CAPITAL;
    assert!(
        0 < earned && earned <= premium / 30 / 2,
        "{earned} of {premium}"
    );
}

#[test]
fn who_comes_when_a_policy_can_no_longer_be_claimed_earns_nothing_of_what_has_streamed() {
    // Given a policy that ended well for the vault, and all of whose premium has streamed
    let mut scene = Insured::new();
    let (comer, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.buy(&holder, 1, big(&scene)).unwrap();
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires - 1);
    assert_eq!(scene.vault_now().unearned, 0);

    // When somebody who knows deposits, and leaves when it has expired
    scene.deposit(&comer, CAPITAL).unwrap();
    scene.world.pass(1);
    scene.expire(&holder, 1).unwrap();
    scene.leave(&comer);

    // Then it has what it came with
    let after = scene.world.tokens(&comer.tokens);
    assert!((CAPITAL - 1..=CAPITAL).contains(&after));
}

#[test]
fn who_sees_a_bad_window_before_it_is_measured_leaves_with_its_loss() {
    // Given a policy, and a window that has drifted but that no oracle has submitted yet
    let mut scene = Insured::new();
    let (insider, holder) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&insider, CAPITAL).unwrap();
    scene.buy(&holder, 1, big(&scene)).unwrap();
    let window = scene.policy(&holder, 1).first_window;
    while scene.window < window {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to_end(&scene.model, window);

    // When who knows it asks to leave, and the window is measured and claimed
    let shares = scene.shares(&insider);
    scene.request(&insider, shares).unwrap();
    scene.measure(300_000);
    scene.claim(&holder, 1, window).unwrap();
    scene.world.pass(COOLDOWN);
    scene.withdraw(&insider).unwrap();

    // Then it bore its half of the loss
    let lost = CAPITAL - scene.world.tokens(&insider.tokens);
    assert!(lost.abs_diff(4_000 * TOKEN) < 100 * TOKEN, "{lost}");
}
