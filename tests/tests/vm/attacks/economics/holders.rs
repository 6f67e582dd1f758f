//! Holders who know more than the price, and those who decide for holders.

use driftshield_sdk::{
    DriftShieldError, Event, MarketTerms, PolicyTerms, Probation, VaultTerms, address, instruction,
    math::Rule,
};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

const COVER: u64 = 1_000 * TOKEN;
const DRIFTED: u64 = 500_000;

/// Cover on the next window that pays all of it as little above `trigger` as the model allows.
fn all_or_nothing(scene: &Insured, trigger: u64) -> PolicyTerms {
    PolicyTerms {
        cover: COVER,
        trigger,
        exhaustion: scene.lowest_exhaustion(trigger),
        windows: 1,
        ..scene.terms()
    }
}

/// A vault on a model whose drift is steady, and below its noise floor by as much as an oracle's value
/// may be wrong. Returns the floor and the steady drift.
fn steady() -> (Insured, u64, u64) {
    let mut world = World::with(params(), insurance_terms());
    let spec = coarse_spec(&world);
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    let state = scene.model();
    let level = state.noise_floor - state.max_spread;
    for _ in 0..HISTORY {
        scene.measure(level);
    }
    (scene.with_capital(CAPITAL), state.noise_floor, level)
}

/// Two of three oracles add the spread to the value of the next window, and the third submits it as
/// it is. Asserts that a challenge of this is refused, and makes the window Final.
fn bend(scene: &mut Insured, level: u64) {
    let (model, window) = (scene.model.clone(), scene.window);
    let bent = share(level + scene.model().max_spread);
    scene.world.warp_to_end(&model, window);
    for (oracle, counts) in [(0, bent), (1, bent), (2, share(level))] {
        scene.world.submit(&model, oracle, window, &counts).unwrap();
    }
    let honest = scene.world.wallet(CAPITAL);
    let outcome = scene
        .world
        .challenge(&model, window, &honest, &share(level));
    assert_refused(outcome, DriftShieldError::AssertionAgrees);
    scene.world.pass(scene.model().challenge_secs);
    scene.world.finalize(&model, window).unwrap();
    scene.window += 1;
}

#[test]
fn oracles_who_bend_by_the_spread_win_no_cover_on_a_drift_that_stays() {
    // Given a model with a steady drift, and a friend of two oracles who buys cover at the lowest trigger
    // that is sold: a trigger within two spreads of the drift is not
    let (mut scene, floor, level) = steady();
    let holder = scene.world.wallet(CAPITAL);
    let outcome = scene.buy(&holder, 1, all_or_nothing(&scene, floor));
    assert_refused(outcome, DriftShieldError::TriggerReached);
    let terms = all_or_nothing(&scene, scene.lowest_trigger());
    assert!(terms.trigger <= level + 2 * scene.model().max_spread + 1);
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, level);
    scene.begin(&holder, 1).unwrap();

    // When the two bend the covered window by no more than the spread, and nobody could challenge
    bend(&mut scene, level);

    // Then nothing is paid, and the holder has lost the premium and the rent
    assert_refused(scene.claim(&holder, 1), DriftShieldError::NothingDue);
}

#[test]
fn oracles_who_bend_by_the_spread_decide_an_eighth_of_the_cover_at_most() {
    // Given cover of the friend of two oracles, and a drift that then rises to just under its trigger
    let (mut scene, _, level) = steady();
    let holder = scene.world.wallet(CAPITAL);
    let terms = all_or_nothing(&scene, scene.lowest_trigger());
    let quote = scene.quote(&terms).unwrap();
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, level);
    scene.begin(&holder, 1).unwrap();
    let before = scene.world.tokens(&holder.tokens);

    // When the two bend the covered window by the spread
    bend(&mut scene, terms.trigger - 1);
    scene.claim(&holder, 1).unwrap();

    // Then they win an eighth of the cover less what the drift lacked, where the truth would pay nothing: this
    // is the price of an error that nobody is punished for, and the spread is the owner's choice
    let won = scene.world.tokens(&holder.tokens) - before;
    assert!(won < COVER / 8);
    assert_eq!((quote.premium, won), (536_511, 124_987_500));
}

#[test]
fn oracles_who_bend_by_the_spread_win_a_market_whose_threshold_is_just_above_the_drift() {
    // Given a market that asks whether a steady drift rises by at most the spread, a crowd that knows it
    // won't, and a friend of two oracles
    let (mut scene, floor, level) = steady();
    let model = scene.model.clone();
    let (crowd, friend) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    let first = scene.window + 1;
    let terms = MarketTerms {
        thresholds: vec![floor],
        first_window: first,
        last_window: first,
        close_ts: scene.model().window_start(first).unwrap(),
        ..market_terms(&scene.world, &model)
    };
    let market = scene.world.create_market(&model, &crowd, 1, terms).unwrap();
    scene.world.bet(&market, &crowd, 0, 1_000 * TOKEN).unwrap();
    scene.world.bet(&market, &friend, 1, TOKEN).unwrap();
    scene.measure(level);

    // When the two bend the observed window by no more than the spread
    bend(&mut scene, level);
    scene.world.settle(&market).unwrap();
    let before = scene.world.tokens(&friend.tokens);
    scene.world.claim(&market, &friend.address()).unwrap();

    // Then a stake of one wins a thousand, less the fees of 2% and 1%
    let payout = scene.world.tokens(&friend.tokens) - before;
    assert_eq!(payout, TOKEN + 970 * TOKEN);
}

#[test]
fn a_weekly_cycle_that_everybody_sees_is_insured_as_if_it_were_over() {
    // Given a model whose drift is over the trigger every seventh window, as the series shows, and a vault
    // that lists it with a trigger below that
    let mut world = World::with(params(), insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    while scene.window < 18 {
        let drift = if scene.window % 7 == 6 {
            DRIFTED
        } else {
            CALM_DRIFT
        };
        scene.measure(drift);
    }
    let mut scene = scene.with_capital(CAPITAL);

    // When somebody buys cover for the next seventh window only, late enough that the last one isn't in its
    // probation
    let holder = scene.world.wallet(CAPITAL);
    let terms = all_or_nothing(&scene, 100_000);
    assert_eq!(terms.first_window % 7, 6);
    let quote = scene.quote(&terms).unwrap();
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    scene.measure(DRIFTED);
    scene.claim(&holder, 1).unwrap();

    // Then the policy pays all of its cover for a thousandth of it: only the listing's lowest trigger
    // protects the vault, because the price and the refusals read the mean and the latest value, not the
    // largest
    assert!(terms.trigger < scene.model().max_value);
    let profit = COVER - quote.premium - quote.rent;
    assert_eq!(
        (quote.premium, quote.rent, profit),
        (496_550, 287_672, 999_215_778)
    );
}

#[test]
fn a_stranger_who_renews_on_drift_that_it_knows_costs_the_holder_the_fee_and_the_rent() {
    // Given a policy with automatic renewal, late in its term, and a window that has drifted, as those know
    // who count it
    let mut scene = Insured::new();
    let model = scene.model.clone();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: COVER,
        windows: 60,
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.delegate(&holder, CAPITAL);
    let bad = terms.first_window + 57;
    scene.measure_until(bad, CALM_DRIFT);
    scene.begin(&holder, 1).unwrap();
    scene.world.warp_to_end(&model, bad);

    // When the oracles submit it, then nobody can renew any more
    let mut honest = scene.clone();
    honest.world.submit_all(&model, bad, &share(DRIFTED));
    let outcome = honest.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::TriggerReached);

    // But when an oracle renews the policy first
    let policy = scene.policy(&holder, 1);
    let quote = scene.quote_renewal(&policy, false).unwrap();
    let before = scene.world.tokens(&holder.tokens) + quote.rent;
    let held = scene.model().held;
    scene.renew(&holder, 1, false).unwrap();
    assert_eq!(scene.model().held - held, quote.rent);
    scene.measure(DRIFTED);
    let sent = scene.begin(&holder, 1).unwrap();
    let Event::PolicyBegun(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.probation, Probation::Failed);

    // Then the renewal is void, the vault keeps the cancel fee, and the oracles the rent of a whole term that
    // never insures anything
    let fee = quote.streamed_part.div_ceil(10);
    let lost = before - scene.world.tokens(&holder.tokens);
    assert_eq!(lost, fee + quote.rent);
    assert_eq!((fee, quote.rent), (267_808, 3_287_672));
    // And the policy's own term pays all the same
    scene.claim(&holder, 1).unwrap();
}

#[test]
fn silence_on_probation_voids_cover_on_drift_that_providers_see_unless_somebody_asserts() {
    // Given cover that is on probation, oracles in league with the providers, who are silent, and a covered
    // window that is seen to drift
    let mut scene = Insured::new();
    let model = scene.model.clone();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: COVER,
        exhaustion: scene.lowest_exhaustion(100_000),
        ..scene.terms()
    };
    let quote = scene.quote(&terms).unwrap();
    let before = scene.world.tokens(&holder.tokens) + quote.rent;
    let sale = scene.window;
    assert_eq!(terms.first_window, sale + 2);
    scene.buy(&holder, 1, terms).unwrap();
    let bonds: u64 = scene.model().bonds.iter().sum();
    scene.world.warp_to_end(&model, sale);
    scene.world.pass(scene.model().submit_secs);
    // (The window of the sale depends on nothing that was made before it began: its silence can't be
    // challenged, and costs nothing.)
    let challenge = |scene: &mut Insured, window| {
        let model = scene.model.clone();
        let counts = share(CALM_DRIFT);
        scene.world.challenge(&model, window, &holder, &counts)
    };
    let outcome = challenge(&mut scene, sale);
    assert_refused(outcome, DriftShieldError::WindowNotObserved);
    scene.world.warp_to_end(&model, sale + 1);
    scene.world.pass(scene.model().submit_secs);

    // When nobody asserts the counts of the window after it
    let mut unwatched = scene.clone();
    unwatched.world.pass(unwatched.model().challenge_secs);
    let sent = unwatched.begin(&holder, 1).unwrap();

    // Then the policy is void: the providers keep the cover, the oracles their bonds, and the holder loses
    // the rent
    let Event::PolicyBegun(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(event.is_over);
    let lost = before - unwatched.world.tokens(&holder.tokens);
    assert_eq!(lost, quote.rent);
    assert_eq!(unwatched.vault_now().assets, CAPITAL);
    assert_eq!(unwatched.model().bonds.iter().sum::<u64>(), bonds);

    // But when the holder does, and the arbiter agrees, then the term begins and pays
    challenge(&mut scene, sale + 1).unwrap();
    scene
        .world
        .rule(&model, sale + 1, &share(CALM_DRIFT))
        .unwrap();
    scene.world.pass(scene.model().challenge_secs);
    scene.begin(&holder, 1).unwrap();
    scene.window = terms.first_window;
    scene.measure(DRIFTED);
    scene.claim(&holder, 1).unwrap();
    assert_eq!(net(scene.vault()).locked, 0);
    // And the three silent oracles have paid a penalty each
    let penalties = bonds - scene.model().bonds.iter().sum::<u64>();
    assert_eq!(penalties, 3 * 5 * TOKEN);
}

#[test]
fn a_bent_trigger_needs_more_than_one_of_three_oracles() {
    // Given the same steady drift, cover with the lowest trigger, and one corrupt oracle
    let (mut scene, _, level) = steady();
    let model = scene.model.clone();
    let holder = scene.world.wallet(CAPITAL);
    let terms = all_or_nothing(&scene, scene.lowest_trigger());
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, level);
    scene.begin(&holder, 1).unwrap();

    // When the drift rises to just under the trigger, it adds the spread, and the others count alike
    let window = scene.window;
    scene.world.warp_to_end(&model, window);
    let truth = terms.trigger - 1;
    let bent = truth + scene.model().max_spread;
    for (oracle, drift) in [(0, bent), (1, truth), (2, truth)] {
        scene
            .world
            .submit(&model, oracle, window, &share(drift))
            .unwrap();
    }
    scene.world.pass(scene.model().challenge_secs);
    scene.world.finalize(&model, window).unwrap();

    // Then the median is the truth, and nothing is paid
    assert_refused(scene.claim(&holder, 1), DriftShieldError::NothingDue);
}

#[test]
fn cover_just_above_a_noisy_drift_pays_ninety_times_its_price() {
    // Given a model whose drift goes up and down around 0.1 by chance, and a vault that sells cover at any
    // trigger from 0.02
    let mut scene = Insured::new();
    let mut random = StdRng::seed_from_u64(7);
    let (mut recent, mut paid, mut won, mut wins) = ([u64::MAX; 4], 0, 0, 0);
    let trigger = 105_000;
    let holder = scene.world.wallet(CAPITAL);
    let measure = |scene: &mut Insured, recent: &mut [u64; 4], random: &mut StdRng| {
        let drift = random.random_range(90_000..110_000);
        scene.measure(drift);
        recent.rotate_left(1);
        recent[3] = drift;
        drift
    };

    // When somebody who knows no more than the series buys cover for one window, with a trigger that a
    // quarter of the windows reach, whenever none of the known windows of its probation has
    for id in 1..=30 {
        let margin = 2 * scene.model().max_spread;
        while recent
            .iter()
            .any(|drift| trigger <= drift.saturating_add(margin))
        {
            measure(&mut scene, &mut recent, &mut random);
        }
        let terms = all_or_nothing(&scene, trigger);
        let quote = scene.quote(&terms).unwrap();
        let before = scene.world.tokens(&holder.tokens) + quote.rent;
        scene.buy(&holder, id, terms).unwrap();
        while scene.window < terms.first_window {
            measure(&mut scene, &mut recent, &mut random);
        }
        scene.begin(&holder, id).unwrap();
        let policy = address::policy(&scene.vault, &holder.address(), id);
        let is_void = !scene.world.exists(&policy);
        let after = scene.world.tokens(&holder.tokens);
        paid += before - after;
        let drift = measure(&mut scene, &mut recent, &mut random);
        if !is_void && trigger <= drift {
            scene.claim(&holder, id).unwrap();
            won += scene.world.tokens(&holder.tokens) - after;
            wins += 1;
        } else if !is_void {
            scene.cancel(&holder, id).unwrap(); // returns nothing, and frees the vault's capital
        }
    }

    // Then it wins the cover in two of thirty tries for a hundredth of it, because drift next to the
    // trigger costs a tenth of the cover in a year, and so a thousandth in three days
    assert_eq!((wins, won, paid), (2, 2 * COVER, 21_340_093));
}

#[test]
fn one_of_two_oracles_that_submit_lowers_the_value_under_the_trigger() {
    // Given cover whose trigger is less than the spread under the coming drift, and a model with three
    // oracles: one is silent, and one in league with the providers
    let (mut scene, _, level) = steady();
    let model = scene.model.clone();
    let holder = scene.world.wallet(CAPITAL);
    let terms = all_or_nothing(&scene, scene.lowest_trigger());
    let trigger = terms.trigger;
    scene.buy(&holder, 1, terms).unwrap();
    scene.measure_until(terms.first_window, level);
    scene.begin(&holder, 1).unwrap();

    // When the covered window drifts, and the corrupt oracle submits as little as agrees with that
    let (window, drifted) = (scene.window, trigger + scene.model().max_spread - 1);
    scene.world.warp_to_end(&model, window);
    for (oracle, drift) in [(0, drifted), (1, trigger - 1)] {
        let counts = share(drift);
        scene.world.submit(&model, oracle, window, &counts).unwrap();
    }
    scene.world.pass(scene.model().submit_secs);
    scene.world.finalize(&model, window).unwrap();
    let outcome = scene
        .world
        .challenge(&model, window, &holder, &share(drifted));
    assert_refused(outcome, DriftShieldError::AssertionAgrees);
    scene.world.pass(scene.model().challenge_secs);
    scene.world.finalize(&model, window).unwrap();

    // Then its value, the lower one, stands: it keeps its bond, and the vault keeps what the truth would have
    // paid, less than an eighth of the cover
    assert_refused(scene.claim(&holder, 1), DriftShieldError::NothingDue);
    assert_eq!(scene.model().bonds[1], 20_000 * TOKEN);
}

#[test]
fn a_purchase_around_a_change_of_terms_takes_no_cancel_fee_that_its_buyer_has_not_read() {
    // Given a manager who announces that all of a premium is the cancel fee, and a buyer who reads the vault
    // an hour before this takes effect, and limits what it pays to the price
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = VaultTerms {
        cancel_fee_bps: 10_000,
        ..vault_terms()
    };
    scene.world.pass(2 * HOUR);
    let update = instruction::update_vault(scene.manager.address(), scene.vault, terms);
    scene.world.send(update, &[&scene.manager.key]).unwrap();
    let takes_effect = scene.vault().terms_at;
    let hour_before = takes_effect - HOUR;
    while scene.model().window_end(scene.window).unwrap() + 12 * HOUR <= hour_before {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(hour_before);
    let terms = scene.terms();
    let quote = scene.quote(&terms).unwrap();
    let read = scene.vault_now().terms.cancel_fee_bps;
    assert_eq!(read, 1_000);
    let terms = PolicyTerms {
        max_premium: quote.premium + quote.rent,
        max_cancel_fee_bps: read,
        ..terms
    };

    // When its purchase lands an hour later
    scene.world.warp_to(takes_effect);
    let outcome = scene.buy(&holder, 1, terms);

    // Then it is refused, though the fee changes no price; the buyer can accept the new fee
    assert_refused(outcome, DriftShieldError::CancelFeeTooHigh);
    let refusal = scene.refusal(&terms).unwrap_err();
    assert_eq!(
        (refusal.rule, refusal.limit),
        (Rule::CancelFeeTooHigh, 10_000)
    );
    let terms = PolicyTerms {
        max_cancel_fee_bps: 10_000,
        ..terms
    };
    scene.buy(&holder, 1, terms).unwrap();
}
