//! Providers who leave, come or stay at the right moment.

use driftshield_sdk::{DriftShieldError, PolicyTerms};
use driftshield_tests::{insurance::*, world::*};

/// The tokens of `owner` once all of its shares are withdrawn.
fn left(scene: &mut Insured, owner: &Wallet) -> u64 {
    scene.leave(owner);
    scene.world.tokens(&owner.tokens)
}

#[test]
fn a_provider_who_knows_of_unmeasured_windows_gains_nothing_by_leaving() {
    // Given two providers with equal capital, and a policy of 60 windows of which none is measured
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let (informed, other) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    scene.deposit(&informed, CAPITAL).unwrap();
    scene.deposit(&other, CAPITAL).unwrap();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 60,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    let part = scene.policy(&holder, 1).term.part;
    let model = scene.model.clone();
    let last = terms.first_window + terms.windows - 1;

    let finish = |mut scene: Insured, leaves: bool| {
        // When one of them requests its withdrawal at the end of each window that it sees unmeasured, from
        // the first on or at the last moment
        scene.world.warp_to_end(&model, last);
        if leaves {
            let shares = scene.shares(&informed);
            scene.request(&informed, shares).unwrap();
        }
        // and anybody asks for what is known as soon as it is
        scene
            .world
            .pass(params().submit_secs + params().challenge_secs);
        scene.examine(&holder, 1).unwrap();
        if leaves {
            scene.world.pass(COOLDOWN);
            scene.withdraw(&informed).unwrap();
        }
        let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
        scene.world.warp_to(expires);
        let before = scene.world.tokens(&holder.tokens);
        scene.expire(&holder, 1).unwrap();
        assert_eq!(scene.world.tokens(&holder.tokens) - before, part);
        if !leaves {
            left(&mut scene, &informed);
        }
        left(&mut scene, &other);
        [&informed, &other].map(|owner| scene.world.tokens(&owner.tokens))
    };
    let together = finish(scene.clone(), false);
    let apart = finish(scene, true);

    // Then it has borne its half of the return, less rounding, and earned nothing since its request
    let (gain, loss) = (
        apart[0] as i64 - together[0] as i64,
        together[1] as i64 - apart[1] as i64,
    );
    assert_eq!((part, gain, loss), (42_010_961, -1_813_964, 258));
}

#[test]
fn capital_that_was_there_for_a_minute_makes_no_cover_cheap() {
    // Given a new vault with a provider's thousand, and the same vault into which an attacker has deposited
    // ten thousand first and requested them at once, so that they bear nothing after the cooldown
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let (attacker, provider) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    let mut alone = scene.clone();
    alone.deposit(&provider, 1_000 * TOKEN).unwrap();
    scene.deposit(&attacker, CAPITAL).unwrap();
    scene.deposit(&provider, 1_000 * TOKEN).unwrap();
    let shares = scene.shares(&attacker);
    scene.request(&attacker, shares).unwrap();
    assert!(scene.vault().staying() <= 1_000 * TOKEN + 1);

    // When the attacker's friend buys as much cover for a year as the provider's capital allows
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 890 * TOKEN,
        windows: 363,
        ..scene.terms()
    };
    let dear = alone.quote(&terms).unwrap().premium;
    let requested = scene.quote(&terms).unwrap().premium;
    scene.buy(&holder, 1, terms).unwrap();
    scene.world.pass(COOLDOWN);
    scene.withdraw(&attacker).unwrap();

    // Then the attacker has all of its capital back after a week, and the friend has paid what it would have
    // paid without it
    assert_eq!(scene.world.tokens(&attacker.tokens), CAPITAL);
    assert_eq!((dear, requested), (46_519_521, 46_519_521));
}

#[test]
fn a_deposit_after_the_last_covered_window_earns_most_of_what_still_streams() {
    // Given a policy on one window, whose only covered window is final and calm, so that no claim can come
    let mut scene = Insured::new();
    let (late, holder) = (scene.world.wallet(9 * CAPITAL), scene.world.wallet(CAPITAL));
    let terms = PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 1,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    scene.measure(CALM_DRIFT);
    let term = scene.policy(&holder, 1).term;
    let now = scene.vault_now();
    let (streamed, rest) = (now.assets - CAPITAL, now.unearned);

    // When somebody deposits nine times the capital then, and leaves once the stream has ended
    scene.deposit(&late, 9 * CAPITAL).unwrap();
    scene.world.warp_to(term.ends_at);
    let earned = left(&mut scene, &late) - 9 * CAPITAL;

    // Then it has earned nine tenths of the rest without any risk, and the provider who bore the risk has what
    // streamed before and one tenth
    let kept = scene.vault_now().assets - CAPITAL;
    assert!(earned.abs_diff(rest * 9 / 10) <= 2, "{earned} of {rest}");
    assert_eq!(
        (term.part, streamed, earned, kept),
        (1_707_764, 187_152, 1_368_548, 339_216)
    );
}

#[test]
fn a_provider_who_fills_the_vault_makes_renewals_dearer_than_the_filling_costs() {
    // Given the only provider of a vault, and a holder with automatic renewal late in its term
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 3_000 * TOKEN,
        windows: 60,
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    scene.measure_until(terms.first_window + 50, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    let policy = scene.policy(&holder, 1);
    let usual = scene.quote_renewal(&policy, false).unwrap();

    // When it locks capital with a policy of one window, as much as the limit of automatic renewals allows,
    // and renews the holder's policy
    let attacker = scene.world.wallet(CAPITAL);
    let renewed = (1..60).rev().find_map(|hundreds| {
        let mut filled = scene.clone();
        let filling = PolicyTerms {
            cover: hundreds * 100 * TOKEN,
            windows: 1,
            ..filled.terms()
        };
        let price = filled.quote(&filling).ok()?;
        filled.buy(&attacker, 1, filling).ok()?;
        let policy = filled.policy(&holder, 1);
        let quote = filled.quote_renewal(&policy, false).ok()?;
        filled.renew(&holder, 1, false).ok()?;
        Some((hundreds * 100, price, quote))
    });
    let (filled, price, dear) = renewed.unwrap();

    // Then the renewal streams a quarter more to the provider, at most, and the filling costs it the fees and
    // the rent
    let gain = dear.streamed_part - usual.streamed_part;
    let cost = price.premium - price.streamed_part + price.rent;
    assert!(dear.streamed_part * 4 <= usual.streamed_part * 5 + usual.streamed_part / 10);
    assert_eq!((filled, gain, cost), (1_200, 2_515_068, 387_945));
}

#[test]
fn a_policy_of_one_window_holds_capital_four_times_as_long_as_it_pays_for() {
    // Given a provider, and cover on one window for nearly all of the capital
    let mut scene = Insured::new();
    let (lp, holder) = (scene.provider(), scene.world.wallet(CAPITAL));
    let terms = PolicyTerms {
        cover: 9_000 * TOKEN,
        windows: 1,
        ..scene.terms()
    };
    let bought = scene.world.now();
    let quote = scene.quote(&terms).unwrap();
    scene.buy(&holder, 1, terms).unwrap();
    let shares = scene.shares(&lp);
    scene.request(&lp, shares).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    scene.measure(CALM_DRIFT);
    let policy = scene.policy(&holder, 1);
    let paid = policy.term.end - bought;

    // When the provider withdraws long after the covered window was found calm
    scene.world.warp_to(bought + COOLDOWN);
    let before = scene.world.tokens(&lp.tokens);
    scene.withdraw(&lp).unwrap();

    // Then nothing is free until the policy expires, though nothing can be claimed, and nobody else can be
    // covered
    assert_eq!(scene.world.tokens(&lp.tokens), before);
    let other = scene.terms();
    assert_eq!(
        scene.refusal(&other).err().map(DriftShieldError::from),
        Some(DriftShieldError::UtilisationTooHigh)
    );
    let expires = policy.expires_at(&scene.model()).unwrap();
    let held = expires - bought;
    scene.world.warp_to(expires);
    scene.expire(&holder, 1).unwrap();
    scene.withdraw(&lp).unwrap();
    let got = scene.world.tokens(&lp.tokens) - before;
    assert_eq!((paid, held), (60 * HOUR, 12 * DAY + 6 * HOUR));
    assert_eq!((quote.premium, got), (3_424_658, CAPITAL));
}

#[test]
fn a_deposit_that_is_requested_at_once_turns_the_providers_premium_to_the_treasury() {
    // Given a provider's vault with a premium that streams
    let mut scene = Insured::new();
    let (whale, holder) = (scene.world.wallet(9 * CAPITAL), scene.world.wallet(CAPITAL));
    let terms = PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 30,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let collect = |scene: &Insured| scene.vault_now().protocol_credit;
    let (assets, credit) = (scene.vault_now().assets, collect(&scene));
    let mut alone = scene.clone();

    // When a friend of the admin deposits nine times its capital and requests it at once
    scene.deposit(&whale, 9 * CAPITAL).unwrap();
    let shares = scene.shares(&whale);
    scene.request(&whale, shares).unwrap();
    for scene in [&mut alone, &mut scene] {
        scene.world.pass(COOLDOWN);
    }
    let usual = alone.vault_now().assets - assets;
    scene.withdraw(&whale).unwrap();

    // Then a week's premium goes to the treasury, but for a tenth, and the whale has all of its deposit back
    let kept = scene.vault_now().assets - assets;
    let treasury = collect(&scene) - credit;
    assert_eq!(scene.world.tokens(&whale.tokens), 9 * CAPITAL);
    assert_eq!((usual, kept, treasury), (4_999_989, 499_999, 4_499_990));
}

#[test]
fn who_turns_premium_to_the_treasury_returns_it_too() {
    // Given a provider, cover whose windows aren't measured, and a friend of the admin who deposits nine times
    // the capital and requests it at once when the premium begins to stream
    let mut scene = Insured::new();
    let (lp, holder) = (scene.provider(), scene.world.wallet(CAPITAL));
    let whale = scene.world.wallet(9 * CAPITAL);
    let terms = PolicyTerms {
        cover: 8_000 * TOKEN,
        windows: 7,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    let term = scene.policy(&holder, 1).term;
    scene.deposit(&whale, 9 * CAPITAL).unwrap();
    let shares = scene.shares(&whale);
    scene.request(&whale, shares).unwrap();

    // When the stream has ended, what is known by then is set aside, the whale leaves, and the premium is
    // returned
    scene.world.warp_to(term.ends_at);
    scene.examine(&holder, 1).unwrap();
    scene.withdraw(&whale).unwrap();
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    scene.expire(&holder, 1).unwrap();

    // Then the treasury has nine tenths of the premium that streamed, and the whale has returned most of that out
    // of its deposit: only what is borne after it has left, up to three days later, was returned by the provider
    // alone. It turns less to the treasury than if the windows had been measured
    let whale_lost = 9 * CAPITAL - scene.world.tokens(&whale.tokens);
    let before = scene.world.tokens(&lp.tokens);
    let lost = CAPITAL - (left(&mut scene, &lp) - before);
    assert_eq!(
        (term.part, whale_lost, lost),
        (5_806_394, 4_479_194, 746_560)
    );
}

#[test]
fn a_holder_who_is_a_provider_too_gets_its_premium_back_once_if_nothing_is_measured() {
    // Given a provider, and an attacker in league with the oracles, who buys cover for a year, and
    // deposits nine times the provider's capital when the premium begins to stream
    let mut scene = Insured::new();
    let lp = scene.provider();
    let (holder, late) = (scene.world.wallet(CAPITAL), scene.world.wallet(9 * CAPITAL));
    let terms = PolicyTerms {
        cover: 8_900 * TOKEN,
        windows: 363,
        ..scene.terms()
    };
    let quote = scene.quote(&terms).unwrap();
    let paid = quote.premium + quote.rent;
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    scene.deposit(&late, 9 * CAPITAL).unwrap();

    // When the oracles are silent and nobody asserts any counts, what is known is set aside, and the attacker
    // withdraws its deposit between the last time for an assertion and the return of the premium
    let model = scene.model.clone();
    let last = terms.first_window + terms.windows - 1;
    scene.world.warp_to_end(&model, last);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);
    let shares = scene.shares(&late);
    scene.request(&late, shares).unwrap();
    scene.world.pass(COOLDOWN);
    scene.examine(&holder, 1).unwrap();
    scene.withdraw(&late).unwrap();
    let earned = scene.world.tokens(&late.tokens) as i64 - 9 * CAPITAL as i64;
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let before = scene.world.tokens(&holder.tokens);
    scene.expire(&holder, 1).unwrap();
    let returned = scene.world.tokens(&holder.tokens) - before;

    // Then it has lost the fees and the rent, and the provider what streamed and was set aside between the
    // attacker's withdrawal and the end, less than a millionth
    assert_eq!(returned, quote.streamed_part);
    let before = scene.world.tokens(&lp.tokens);
    let lost = CAPITAL as i64 - (left(&mut scene, &lp) - before) as i64;
    let profit = earned + returned as i64 - paid as i64;
    assert_eq!(
        (paid, earned, returned),
        (644_292_467, -2_793_408, 395_415_926)
    );
    assert_eq!((profit, lost), (-251_669_949, 1_099));
}
