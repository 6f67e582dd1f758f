//! Attacks on the price of cover. Each test states what the attacker gains: nothing.

use driftshield_sdk::{DriftShieldError, PolicyTerms, instruction, math::Rule};
use driftshield_tests::{insurance::*, world::*};

/// A year of cover of a large part of the vault.
fn year(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: 5_000 * TOKEN,
        windows: 363,
        ..scene.terms()
    }
}

fn premium(scene: &Insured, terms: &PolicyTerms) -> u64 {
    scene.quote(terms).unwrap().premium
}

/// A vault that has sold 4,000 tokens of cover.
fn in_use() -> (Insured, Wallet) {
    let mut scene = Insured::new();
    let other = scene.world.wallet(10 * CAPITAL);
    let terms = PolicyTerms {
        cover: 4_000 * TOKEN,
        ..year(&scene)
    };
    scene.buy(&other, 1, terms).unwrap();
    (scene, other)
}

#[test]
fn attack_9_capital_that_is_parked_for_the_cooldown_lowers_no_price() {
    for first_purchase in [true, false] {
        // Given a vault, without cover or with some, and the price of a year of cover
        let mut scene = if first_purchase {
            Insured::new()
        } else {
            in_use().0
        };
        let attacker = scene.world.wallet(3 * CAPITAL);
        let terms = year(&scene);
        let fair = premium(&scene, &terms);

        // When the attacker deposits as much as the vault has, and requests it back at once
        scene.deposit(&attacker, CAPITAL).unwrap();
        let parked = premium(&scene, &terms);
        let shares = scene.shares(&attacker);
        scene.request(&attacker, shares).unwrap();
        let requested = premium(&scene, &terms);

        // Then the price is the same, and what the attacker paid for parking is the cost of its capital
        assert_eq!([parked, requested], [fair; 2]);
        scene.world.pass(COOLDOWN);
        scene.withdraw(&attacker).unwrap();
        let profit = scene.world.tokens(&attacker.tokens) as i64 - 3 * CAPITAL as i64;
        assert!(profit <= 0, "a profit of {profit}");
    }
}

#[test]
fn seasoned_capital_follows_in_time_only() {
    // Given a vault in use, in which capital has doubled
    let (mut scene, _) = in_use();
    let other = scene.world.wallet(2 * CAPITAL);
    scene.deposit(&other, CAPITAL).unwrap();
    let start = scene.vault();
    assert!(start.seasoned.abs_diff(CAPITAL) < TOKEN);

    // Then it is seasoned by all of the assets in thirty days, and no faster by touching the vault
    for day in 1..=10 {
        scene.world.pass(DAY);
        scene.deposit(&other, 1).unwrap();
        let seasoned = scene.vault_now().seasoned - start.seasoned;
        let expected = 2 * CAPITAL * day / 30;
        assert!(
            seasoned.abs_diff(expected) < 20 * TOKEN,
            "{seasoned} on day {day}"
        );
    }
    scene.world.pass(6 * DAY);
    let vault = scene.vault_now();
    assert_eq!(vault.seasoned, vault.assets);

    // And it follows a request down as slowly
    let shares = scene.shares(&other);
    scene.request(&other, shares).unwrap();
    assert_eq!(scene.vault().seasoned, scene.vault().assets);
    scene.world.pass(3 * DAY);
    let vault = scene.vault_now();
    let fallen = vault.assets - vault.seasoned;
    assert!(fallen.abs_diff(2 * CAPITAL / 10) < 20 * TOKEN, "{fallen}");
}

#[test]
fn capital_that_leaves_speeds_up_no_seasoning() {
    // Given a vault of a thousand whose capital grows elevenfold, and the same one in which somebody deposits a
    // hundred thousand and requests it back at once
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let (provider, whale) = (
        scene.world.wallet(2 * CAPITAL),
        scene.world.wallet(10 * CAPITAL),
    );
    scene.deposit(&provider, 1_000 * TOKEN).unwrap();
    scene.deposit(&provider, CAPITAL).unwrap();
    let mut joined = scene.clone();
    joined.deposit(&whale, 10 * CAPITAL).unwrap();
    let shares = joined.shares(&whale);
    joined.request(&whale, shares).unwrap();

    // Then the seasoned capital of both grows by a tenth of what stays in three days, and cover costs the same
    let season = |scene: &mut Insured| {
        scene.world.pass(3 * DAY);
        let terms = PolicyTerms {
            cover: 890 * TOKEN,
            ..year(scene)
        };
        (scene.vault_now().seasoned, premium(scene, &terms))
    };
    let alone = season(&mut scene);
    assert_eq!(season(&mut joined), alone);
    assert_eq!(alone.0, 2_100 * TOKEN);
}

#[test]
fn attack_h_a_request_in_the_same_transaction_pumps_no_price() {
    // Given a policy that anyone may renew
    let (mut scene, _) = in_use();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 2, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    for _ in 0..9 {
        scene.measure(CALM_DRIFT);
    }
    scene.begin(&holder, 2).unwrap();
    let policy = scene.policy(&holder, 2);
    let fair = scene.quote_renewal(&policy, false);

    // When the only provider requests all it has, renews the policy, and cancels its request, in one
    // transaction
    let (lp, vault, state) = (scene.provider(), scene.vault, scene.vault());
    let shares = scene.shares(&lp);
    let before = scene.world.tokens(&holder.tokens);
    let attack = [
        instruction::request_withdraw(lp.address(), vault, &state, shares),
        instruction::renew_policy(&policy, &state, holder.tokens, false),
        instruction::cancel_withdraw(lp.address(), vault, &state),
    ];
    scene.world.send_all(&attack, &[&lp.key]).unwrap();

    // Then the holder pays what it would have paid without
    let paid = before - scene.world.tokens(&holder.tokens);
    assert_eq!(paid, fair.unwrap().price());
}

#[test]
fn attack_16_a_stranger_cannot_renew_at_a_pumped_price() {
    // Given a policy in a quiet vault, and somebody who then buys nearly all capacity
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let attacker = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    for _ in 0..9 {
        scene.measure(CALM_DRIFT);
    }
    scene.begin(&holder, 1).unwrap();
    let pump = PolicyTerms {
        cover: 8_850 * TOKEN,
        windows: 1,
        ..scene.terms()
    };
    scene.buy(&attacker, 1, pump).unwrap();

    // When a stranger renews at many times the price, then it is refused, and names what is allowed
    let policy = scene.policy(&holder, 1);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::RenewalTooDear);
    let refused = scene.quote_renewal(&policy, false);
    let refusal = refused.unwrap_err();
    let (term, secs) = (policy.term, policy.term.end - policy.term.start);
    let most = u128::from(term.part) * 5 * 10 * DAY as u128 / (4 * secs as u128);
    assert_eq!(
        (refusal.rule, refusal.limit),
        (Rule::RenewalTooDear, most as u64)
    );

    // And the holder, who signs, may pay that price
    let dear = scene.quote_renewal(&policy, true);
    assert!(2 * most < u128::from(dear.unwrap().streamed_part));
    scene.renew(&holder, 1, true).unwrap();
}

#[test]
fn attack_16_a_stranger_cannot_renew_early() {
    // Given a policy that anyone may renew near its end
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    scene.start(&holder, 1);
    // When a stranger renews on its first day, then it is refused
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::RenewalTooEarly);
}

#[test]
fn attack_11_all_at_once_costs_more_than_a_ramp_and_persistence() {
    // Given a vault that charges for risk alone
    let mut terms = vault_terms();
    (terms.base_bps, terms.slope1_bps, terms.slope2_bps) = (0, 0, 0);
    let scene = Insured::with(terms);
    let price = |exhaustion, persistence| {
        let terms = PolicyTerms {
            exhaustion,
            persistence,
            ..year(&scene)
        };
        premium(&scene, &terms) as f64
    };

    // Then a policy that pays all as soon as it can for a single window costs most, and a ramp to three times
    // the trigger two thirds of it; four windows cost 70% of one
    let steep = scene.lowest_exhaustion(100_000);
    let most = price(steep, 1);
    let ratios = [
        (price(300_000, 1) / most, 2.0 / 3.0),
        (price(steep, 4) / most, 0.7),
        (price(300_000, 4) / most, 0.7 * 2.0 / 3.0),
    ];
    for (ratio, expected) in ratios {
        assert!(
            (ratio - expected).abs() < 1e-4,
            "{ratio} instead of {expected}"
        );
    }
}
