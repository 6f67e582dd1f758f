//! Cover: what it costs, what it pays, how it ends.

use driftshield::math::{BPS, YEAR_SECS};
use driftshield_sdk::{
    DriftShieldError, Event, PolicyTerms, Quote, Vault, VaultTerms, address, instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_signer::Signer;

/// A holder of a policy of `terms`, in a scene measured up to the policy's first window.
fn insured(terms: impl Fn(PolicyTerms) -> PolicyTerms) -> (Insured, Wallet) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, terms(scene.terms())).unwrap();
    measure_until(&mut scene, &holder);
    (scene, holder)
}

/// Windows without drift until the first that the holder's policy covers.
fn measure_until(scene: &mut Insured, holder: &Wallet) {
    let first = scene.policy(holder, 1).first_window;
    while scene.window < first {
        scene.measure(CALM_DRIFT);
    }
}

// What it costs.

/// `⌈cover · (base + utilisation + risk) · duration / (10 000 · 365 days)⌉` in floating point, by the
/// page's formula and a sum over many slices of the curve.
fn premium_by_slices(vault: &Vault, terms: &PolicyTerms, drift: u64, duration: i64) -> f64 {
    const SLICES: u32 = 4_096;
    let pricing = &vault.terms;
    let curve = |u: f64| {
        let kink = f64::from(pricing.kink_bps) / 10_000.0;
        if u <= kink {
            f64::from(pricing.slope1_bps) * u / kink
        } else {
            let above = (u - kink) / (1.0 - kink);
            f64::from(pricing.slope1_bps) + f64::from(pricing.slope2_bps) * above
        }
    };
    let assets = vault.assets as f64;
    let (u0, du) = (vault.locked as f64 / assets, terms.cover as f64 / assets);
    let slices = (0..SLICES).map(|slice| (f64::from(slice) + 0.5) / f64::from(SLICES));
    let utilisation: f64 = slices.map(|at| curve(u0 + du * at)).sum::<f64>() / f64::from(SLICES);
    let risk = f64::from(pricing.risk_slope_bps) * (drift as f64 / terms.trigger as f64).min(1.0);
    let rate = f64::from(pricing.base_bps) + utilisation + risk;
    terms.cover as f64 * rate * duration as f64 / (BPS as f64 * YEAR_SECS as f64)
}

#[test]
fn a_quote_is_what_a_purchase_charges() {
    for seed in 0..6 {
        // Given a vault of random prices
        let mut random = StdRng::seed_from_u64(seed);
        let terms = VaultTerms {
            min_cover: 1,
            base_bps: random.random_range(0..3_000),
            slope1_bps: random.random_range(0..3_000),
            slope2_bps: random.random_range(0..20_000),
            kink_bps: random.random_range(1..10_000),
            risk_slope_bps: random.random_range(0..3_000),
            max_utilisation_bps: random.random_range(5_000..=10_000),
            ..vault_terms()
        };
        let mut scene = Insured::with(terms);
        let holder = scene.world.wallet(10 * CAPITAL);
        let guest = scene.world.wallet(10 * CAPITAL);
        let mut bought = 0;

        // When capital and cover come and go
        for id in 0..40 {
            match random.random_range(0..6) {
                0 => drop(scene.deposit(&guest, random.random_range(1..500 * TOKEN))),
                1 if 0 < scene.shares(&guest) => {
                    let shares = random.random_range(1..=scene.shares(&guest));
                    scene.request(&guest, shares).unwrap();
                }
                2 => scene.measure(random.random_range(0..40_000)),
                3 => scene.world.pass(random.random_range(1..HOUR)),
                _ => {}
            }
            let terms = PolicyTerms {
                cover: random.random_range(1..2_000 * TOKEN),
                trigger: random.random_range(30_000..900_000),
                exhaustion: 1_000_000,
                windows: random.random_range(1..300),
                ..scene.terms()
            };
            let quote = scene.quote(&terms);
            let vault = scene.vault_now();
            let before = (scene.world.tokens(&holder.tokens), scene.vault());
            let outcome = scene.buy(&holder, id, terms);

            // Then the holder pays what was quoted, or is refused for the reason that was
            match quote {
                Ok(quote) => {
                    let sent = outcome.unwrap();
                    let paid = before.0 - scene.world.tokens(&holder.tokens);
                    assert_eq!(paid, quote.premium);
                    assert_bought(sent.event(), &quote, &scene);
                    let model = scene.model();
                    let drift = model.ewma.max(model.last_value).max(model.latest);
                    let duration = quote.end - scene.world.now();
                    let exact = premium_by_slices(&vault, &terms, drift, duration);
                    let premium = quote.premium as f64;
                    let tolerance = 1.0 + exact * 1e-6;
                    assert!((premium - exact).abs() <= tolerance, "{premium} {exact}");
                    bought += 1;
                }
                Err(anchor_lang::Error::Custom(number)) => assert_eq!(code(outcome), number),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(5 < bought, "{bought}");
    }
}

fn assert_bought(event: &Event, quote: &Quote, scene: &Insured) {
    let Event::PolicyBought(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.premium, quote.premium);
    assert_eq!(event.protocol_part, quote.protocol_part);
    assert_eq!(event.manager_part, quote.manager_part);
    assert_eq!(event.streamed_part, quote.streamed_part);
    assert_eq!(
        (event.last_window, event.end),
        (quote.last_window, quote.end)
    );
    assert_eq!(event.totals, scene.vault().totals());
    assert_eq!(event.totals.locked, quote.locked_after);
    assert_eq!(event.exposure_cover, scene.exposure().cover);
    assert_eq!(event.at_risk, scene.model().at_risk);
    assert_eq!(event.model_exposure, scene.model().exposure);
}

#[test]
fn a_purchase_in_a_hundred_parts_costs_the_same() {
    // Given two vaults in the same state
    let (mut at_once, mut in_parts) = (Insured::new(), Insured::new());
    let whole = PolicyTerms {
        cover: 8_999_999_900, // across the kink, from 0 to 90%
        ..at_once.terms()
    };
    let buyers = [&mut at_once, &mut in_parts].map(|scene| scene.world.wallet(CAPITAL));

    // When one sells cover at once and the other in a hundred parts
    at_once.buy(&buyers[0], 1, whole).unwrap();
    let part = PolicyTerms {
        cover: whole.cover / 100,
        ..whole
    };
    for id in 0..100 {
        in_parts.buy(&buyers[1], id, part).unwrap();
    }

    // Then both cost the same, but for rounding up a hundred times
    let paid = |scene: &Insured, buyer: &Wallet| CAPITAL - scene.world.tokens(&buyer.tokens);
    let (once, parts) = (paid(&at_once, &buyers[0]), paid(&in_parts, &buyers[1]));
    assert!((once..=once + 100).contains(&parts), "{once} {parts}");
}

#[test]
fn a_just_in_time_deposit_leaves_nobody_with_more_of_a_model_than_its_cap() {
    // Given a vault that covers a tenth of its capital of a model
    let mut scene = Insured::new();
    scene.list(1_000 * TOKEN, 20_000).unwrap();
    let attacker = scene.world.wallet(20 * CAPITAL);
    let accomplice = scene.world.wallet(CAPITAL);

    // When somebody deposits much for a moment, and as much cover as there is is bought
    scene.deposit(&attacker, 9 * CAPITAL).unwrap();
    let terms = PolicyTerms {
        cover: 1_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&accomplice, 1, terms).unwrap();
    let more = PolicyTerms {
        cover: TOKEN,
        ..terms
    };
    let outcome = scene.buy(&accomplice, 2, more);
    assert_refused(outcome, DriftShieldError::ExposureFull);
    scene.leave(&attacker);

    // Then the honest are left with no more than the cap
    let exposure = scene.exposure();
    assert!(exposure.cover <= exposure.cap);
    assert_eq!(scene.vault().locked, 1_000 * TOKEN);
    assert!(CAPITAL <= scene.vault().assets);
}

// What it pays.

#[test]
fn a_claim_pays_in_proportion_between_trigger_and_exhaustion() {
    for (drift, worth) in [
        (100_000, 1),           // at the trigger: the least
        (100_002, 1_000),       // 100 tokens · 2 / 200,000
        (200_000, 50 * TOKEN),  // half way
        (299_999, 99_999_500),  // rounded down
        (300_000, 100 * TOKEN), // exhaustion
        (900_000, 100 * TOKEN), // and beyond
    ] {
        // Given a policy from a drift of 0.1 to 0.3
        let (mut scene, holder) = insured(|terms| terms);
        let first = scene.window;
        scene.measure(drift);
        let before = scene.world.tokens(&holder.tokens);
        let assets = scene.vault().assets;

        // When anybody claims it
        let sent = scene.claim(&holder, 1, first).unwrap();

        // Then the holder is paid, from the capital
        assert_eq!(
            scene.world.tokens(&holder.tokens) - before,
            worth,
            "{drift}"
        );
        assert_eq!(scene.vault().assets, assets - worth);
        let Event::PolicyClaimed(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!((event.amount, event.value), (worth, drift));
        assert_eq!((event.first_window, event.paid), (first, worth));
        // And the policy is closed when all cover is paid.
        let address = address::policy(&scene.vault, &holder.address(), 1);
        assert_eq!(scene.world.exists(&address), worth < 100 * TOKEN);
    }
}

#[test]
fn where_exhaustion_is_the_trigger_all_is_paid() {
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        exhaustion: terms.trigger,
        ..terms
    });
    let first = scene.window;
    scene.measure(100_000);
    let before = scene.world.tokens(&holder.tokens);
    scene.claim(&holder, 1, first).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 100 * TOKEN);
}

#[test]
fn a_small_claim_takes_nothing_from_a_later_larger_one() {
    // Given a policy that was claimed for a little drift
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    let before = scene.world.tokens(&holder.tokens);
    scene.measure(110_000);
    scene.claim(&holder, 1, first).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 5 * TOKEN);

    // When more follows
    scene.measure(250_000);
    scene.claim(&holder, 1, first + 1).unwrap();

    // Then both together pay what the larger is worth, and the smaller nothing again
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 75 * TOKEN);
    for window in [first, first + 1] {
        let outcome = scene.claim(&holder, 1, window);
        assert_refused(outcome, DriftShieldError::AlreadyPaid);
    }
    // As much capital is free again.
    assert_eq!(scene.vault().locked, 25 * TOKEN);
    assert_eq!(scene.policy(&holder, 1).paid, 75 * TOKEN);
    // The rest still pays.
    scene.measure(300_000);
    scene.claim(&holder, 1, first + 2).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 100 * TOKEN);
    assert_eq!(scene.vault().locked, 0);
}

#[test]
fn a_run_is_worth_its_lowest_value() {
    // Given a policy that asks for three windows in a row
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 3,
        ..terms
    });
    let first = scene.window;
    for drift in [300_000, 99_999, 200_000, 150_000, 260_000] {
        scene.measure(drift);
    }

    // Then a run that falls under the trigger pays nothing
    for broken in [first, first + 1] {
        let outcome = scene.claim(&holder, 1, broken);
        assert_refused(outcome, DriftShieldError::BelowTrigger);
    }
    // And a whole one by its lowest
    let before = scene.world.tokens(&holder.tokens);
    scene.claim(&holder, 1, first + 2).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens) - before, 25 * TOKEN);
}

#[test]
fn premium_streams_on_after_a_claim() {
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(300_000);
    scene.claim(&holder, 1, first).unwrap();
    let vault = scene.vault();
    assert!(0 < vault.unearned && vault.locked == 0);
    scene.world.pass(40 * DAY);
    let later = scene.vault_now();
    assert_eq!(later.unearned, 0);
    assert_eq!(later.assets, vault.assets + vault.unearned);
}

#[test]
fn claims_are_refused_for_their_reasons() {
    // Given a policy of two windows in a row, on ten windows
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        windows: 4,
        ..terms
    });
    let first = scene.window;
    let early = scene.window - 1;
    scene.measure(300_000);
    let claim = |scene: &Insured, window| {
        instruction::claim_policy(&scene.policy(&holder, 1), &scene.vault(), window)
    };

    // Then windows outside its cover pay nothing
    let outcome = scene.claim(&holder, 1, early);
    assert_refused(outcome, DriftShieldError::WindowNotCovered);
    let outcome = scene.claim(&holder, 1, first + 4);
    assert_refused(outcome, DriftShieldError::WrongReceipt); // there is none
    // Nor runs of another length, in another order, of one window twice, or with a gap
    let mut short = claim(&scene, first);
    short.accounts.pop();
    let outcome = scene.world.send(short.clone(), &[]);
    assert_refused(outcome, DriftShieldError::WrongRunLength);
    scene.measure(300_000);
    scene.measure(300_000);
    let good = claim(&scene, first);
    let mut reversed = good.clone();
    let last = reversed.accounts.len() - 1;
    reversed.accounts.swap(last, last - 1);
    let mut twice = good.clone();
    twice.accounts[last] = twice.accounts[last - 1].clone();
    let mut gap = good.clone();
    gap.accounts[last].pubkey = address::receipt(&scene.model.address, first + 2);
    for broken in [reversed, twice, gap] {
        let outcome = scene.world.send(broken, &[]);
        assert_refused(outcome, DriftShieldError::BrokenRun);
    }
    // Nor a receipt that is not Final
    scene
        .world
        .submit_all(&scene.model, first + 3, &share(300_000));
    let outcome = scene.claim(&holder, 1, first + 2);
    assert_refused(outcome, DriftShieldError::ReceiptNotFinal);
    // Nor another model's
    let spec = share_spec(&scene.world);
    let other = scene.world.model_with(spec, 3, 10_000 * TOKEN);
    scene.world.finalize_with(&other, 0, &share(300_000));
    let mut foreign = good.clone();
    foreign.accounts[last - 1].pubkey = address::receipt(&other.address, 0);
    let outcome = scene.world.send(foreign, &[]);
    assert_refused(outcome, DriftShieldError::WrongReceipt);
    // Nor to a thief
    let thief = scene.world.wallet(0);
    let stolen = swapped(good.clone(), &holder.tokens, &thief.tokens);
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let stolen = swapped(good.clone(), &holder.address(), &thief.address());
    let outcome = scene.world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);

    // But a whole run does, until its time is over, whether or not anybody expires it
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires);
    let outcome = scene.world.send(good, &[]);
    assert_refused(outcome, DriftShieldError::PolicyExpired);
}

#[test]
fn a_claim_pays_until_its_last_second() {
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        windows: 1,
        ..terms
    });
    let first = scene.window;
    scene.measure(300_000);
    let expires = scene.policy(&holder, 1).expires_at(&scene.model()).unwrap();
    scene.world.warp_to(expires - 1);
    assert_refused(scene.expire(&holder, 1), DriftShieldError::PolicyNotExpired);
    scene.claim(&holder, 1, first).unwrap();
}

#[test]
fn a_void_window_breaks_a_run() {
    // Given a run with a window in which too few submitted
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        persistence: 2,
        ..terms
    });
    let first = scene.window;
    scene.measure(300_000);
    scene.world.warp_to_end(&scene.model, first + 1);
    let model = &scene.model;
    scene
        .world
        .submit(model, 0, first + 1, &share(300_000))
        .unwrap();
    scene.world.pass(params().submit_secs);
    let finalize = instruction::finalize_receipt(scene.model.address, first + 1);
    scene.world.send(finalize, &[]).unwrap();
    // Then it pays nothing
    let outcome = scene.claim(&holder, 1, first);
    assert_refused(outcome, DriftShieldError::BrokenRun);
}

#[test]
fn claims_are_never_paused() {
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(300_000);
    scene.world.pause(pause::ALL);
    scene.claim(&holder, 1, first).unwrap();
}

// How it ends.

#[test]
fn an_expired_policy_frees_its_capital() {
    // Given a policy whose time is over, to the second
    let (mut scene, holder) = insured(|terms| terms);
    let (model, policy) = (scene.model(), scene.policy(&holder, 1));
    let end = model.window_end(policy.last_window).unwrap();
    let expires = policy.expires_at(&model).unwrap();
    assert_eq!(
        expires,
        end + model.dispute_secs() + params().claim_grace_secs
    );
    scene.world.warp_to(expires - 1);
    assert_refused(scene.expire(&holder, 1), DriftShieldError::PolicyNotExpired);
    scene.world.warp_to(expires);
    let lamports = scene.world.lamports(&holder.address());

    // When anybody expires it
    let sent = scene.expire(&holder, 1).unwrap();

    // Then nothing is locked or at risk, and the rent is the holder's
    let Event::PolicyExpired(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.totals.locked, event.at_risk), (0, 0));
    assert_eq!((event.model_exposure, event.paid), (0, 0));
    assert!(lamports < scene.world.lamports(&holder.address()));
    assert!(
        !scene
            .world
            .exists(&address::policy(&scene.vault, &holder.address(), 1))
    );
}

#[test]
fn a_cancelled_policy_gives_back_what_is_unused_less_the_fee() {
    // Given a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let quote = scene.quote(&scene.terms()).unwrap();
    let bought = scene.world.now();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pass(3 * DAY + 7);
    let before = scene.world.tokens(&holder.tokens);

    // When its holder cancels it
    let now = scene.world.now();
    let assets = scene.vault_now().assets;
    scene.cancel(&holder, 1).unwrap();

    // Then what is unused of the part that streams comes back, less a tenth
    let part = u128::from(quote.streamed_part);
    let unused = part * (quote.end - now) as u128 / (quote.end - bought) as u128;
    let refund = (unused * 9 / 10) as u64;
    assert_eq!(scene.world.tokens(&holder.tokens) - before, refund);
    // And the rest keeps streaming.
    let vault = scene.vault();
    assert_eq!((vault.locked, vault.assets), (0, assets));
    scene.world.pass(40 * DAY);
    let later = scene.vault_now();
    assert_eq!(later.assets, CAPITAL + quote.streamed_part - refund);
}

#[test]
fn what_a_policy_was_paid_is_taken_off_what_a_cancellation_gives_back() {
    for (drift, paid) in [(100_000, 1), (100_002, 1_000), (110_000, 5 * TOKEN)] {
        // Given a policy of which a stranger claimed something
        let (mut scene, holder) = insured(|terms| terms);
        let first = scene.window;
        scene.measure(drift);
        scene.claim(&holder, 1, first).unwrap();
        let (policy, now) = (scene.policy(&holder, 1), scene.world.now());
        assert_eq!(policy.paid, paid);

        // When its holder cancels it
        let before = scene.world.tokens(&holder.tokens);
        scene.cancel(&holder, 1).unwrap();

        // Then payment and refund together are what the refund alone would have been, or more
        let left = u128::from(policy.term.part) * (policy.term.end - now) as u128;
        let unused = left / (policy.term.end - policy.term.start) as u128 * 9 / 10;
        let refund = scene.world.tokens(&holder.tokens) - before;
        assert_eq!(refund, (unused as u64).saturating_sub(paid), "{drift}");
    }
}

#[test]
fn a_cancellation_gives_nothing_back_after_the_end() {
    let (mut scene, holder) = insured(|terms| terms);
    let end = scene.policy(&holder, 1).term.end;
    scene.world.warp_to(end);
    let before = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();
    assert_eq!(scene.world.tokens(&holder.tokens), before);
}

#[test]
fn only_the_holder_cancels_and_no_pause_stops_it() {
    let (mut scene, holder) = insured(|terms| terms);
    let stranger = scene.world.wallet(0);
    let cancel = instruction::cancel_policy(&scene.policy(&holder, 1), &scene.vault());
    let other = swapped(cancel.clone(), &holder.address(), &stranger.address());
    let outcome = scene.world.send(other, &[&stranger.key]);
    assert_refused(outcome, DriftShieldError::WrongPayee);
    let mut unsigned = cancel;
    unsigned.accounts[0].is_signer = false;
    let outcome = scene.world.send(unsigned, &[]);
    assert_refused(outcome, DriftShieldError::NotHolder);
    scene.world.pause(pause::ALL);
    scene.cancel(&holder, 1).unwrap();
}

// Renewals.

/// The holder lets its renewal authority take `amount`.
fn delegate(scene: &mut Insured, holder: &Wallet, amount: u64) {
    let authority = address::renewal_authority(&holder.address());
    let approve = spl_token_interface::instruction::approve(
        &spl_token_interface::ID,
        &holder.tokens,
        &authority,
        &holder.address(),
        &[],
        amount,
    )
    .unwrap();
    scene.world.send(approve, &[&holder.key]).unwrap();
}

#[test]
fn a_holder_renews_for_as_many_windows_more() {
    // Given a policy in its term
    let (mut scene, holder) = insured(|terms| terms);
    let before = scene.policy(&holder, 1);
    let (tokens, locked) = (scene.world.tokens(&holder.tokens), scene.vault().locked);

    // When its holder renews it
    let sent = scene.renew(&holder, 1, true).unwrap();

    // Then it has ten windows more, for the price of their time alone
    let after = scene.policy(&holder, 1);
    assert_eq!(after.first_window, before.first_window);
    assert_eq!(after.last_window, before.last_window + 10);
    assert_eq!(after.previous_term, before.term);
    assert_eq!(after.term.end, before.term.end + 10 * DAY);
    assert_eq!(scene.vault().locked, locked);
    let Event::PolicyRenewed(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let premium = tokens - scene.world.tokens(&holder.tokens);
    assert_eq!(
        (event.premium, event.last_window),
        (premium, after.last_window)
    );
    assert_eq!(after.premium, before.premium + premium);
    // Ten days of twelve and a half, at nearly the same rate.
    assert!((before.premium * 7 / 10..before.premium).contains(&premium));
}

#[test]
fn a_renewal_is_priced_as_if_the_cover_were_released_first() {
    // Given a policy that has most of the capital locked
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        cover: 8_900 * TOKEN,
        ..terms
    });
    let policy = scene.policy(&holder, 1);
    let tokens = scene.world.tokens(&holder.tokens);
    let vault = Vault {
        locked: 0,
        ..scene.vault_now()
    };

    // When it is renewed
    scene.renew(&holder, 1, true).unwrap();

    // Then it costs what it would in an empty vault
    let terms = PolicyTerms {
        cover: policy.cover,
        ..scene.terms()
    };
    let exact = premium_by_slices(&vault, &terms, CALM_DRIFT, 10 * DAY);
    let paid = (tokens - scene.world.tokens(&holder.tokens)) as f64;
    assert!((paid - exact).abs() <= 1.0 + exact * 1e-6, "{paid} {exact}");
}

#[test]
fn earlier_windows_stay_claimable_after_a_renewal() {
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(CALM_DRIFT);
    scene.measure(CALM_DRIFT);
    scene.renew(&holder, 1, true).unwrap();
    scene.measure(150_000); // in the first term
    scene.claim(&holder, 1, first + 2).unwrap();
    assert_eq!(scene.policy(&holder, 1).paid, 25 * TOKEN);
}

#[test]
fn a_policy_is_renewed_once_a_term_and_early_enough() {
    // Given a policy that was renewed
    let (mut scene, holder) = insured(|terms| terms);
    let term_end = scene.policy(&holder, 1).term.end;
    scene.renew(&holder, 1, true).unwrap();

    // When it is renewed again, then it has to wait for the new term, to the second
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::AlreadyRenewed);
    while scene.world.now() < term_end - DAY {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(term_end - 1);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::AlreadyRenewed);
    scene.world.warp_to(term_end);
    scene.renew(&holder, 1, true).unwrap();

    // And within the waiting time of the next windows it is too late
    let (mut scene, holder) = insured(|terms| terms);
    let end = scene.policy(&holder, 1).term.end;
    while scene.world.now() < end - 2 * DAY {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(end - params().waiting_secs + 1);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::WindowsBegan);
    scene.world.warp_to(end - params().waiting_secs);
}

#[test]
fn anyone_renews_what_the_holder_has_delegated() {
    // Given a policy that renews by itself
    let (mut scene, holder) = insured(|terms| PolicyTerms {
        auto_renew: true,
        ..terms
    });
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::TooLittleDelegated);

    // When too little is delegated, to the unit
    let policy = scene.policy(&holder, 1);
    let premium = driftshield_sdk::quote_renewal(
        &mut scene.vault(),
        &scene.exposure(),
        &scene.model(),
        &policy,
        scene.world.now(),
    )
    .unwrap()
    .premium;
    delegate(&mut scene, &holder, premium - 1);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::TooLittleDelegated);

    // Then with enough anybody renews it
    delegate(&mut scene, &holder, premium + 1_000_000);
    let before = scene.world.tokens(&holder.tokens);
    let again = driftshield_sdk::quote_renewal(
        &mut scene.vault(),
        &scene.exposure(),
        &scene.model(),
        &policy,
        scene.world.now(),
    );
    scene.renew(&holder, 1, false).unwrap();
    let paid = before - scene.world.tokens(&holder.tokens);
    assert_eq!(paid, again.unwrap().premium);
    assert_eq!(
        scene.policy(&holder, 1).last_window,
        policy.last_window + 10
    );
}

#[test]
fn renewals_are_refused_for_their_reasons() {
    // Given a policy that does not renew by itself
    let (mut scene, holder) = insured(|terms| terms);
    delegate(&mut scene, &holder, CAPITAL);
    let outcome = scene.renew(&holder, 1, false);
    assert_refused(outcome, DriftShieldError::NotAutoRenewed);
    // Somebody else's tokens do not pay
    let stranger = scene.world.wallet(CAPITAL);
    let policy = scene.policy(&holder, 1);
    let renew = instruction::renew_policy(&policy, &scene.vault(), stranger.tokens, true);
    assert!(scene.world.send(renew, &[&holder.key]).is_err());
    // Renewals are paused by their own flag
    scene.world.pause(pause::RENEWALS);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !pause::RENEWALS);
    scene.renew(&holder, 1, true).unwrap();
    scene.world.pause(0);

    // Nor after a payment
    let (mut scene, holder) = insured(|terms| terms);
    let first = scene.window;
    scene.measure(110_000);
    scene.claim(&holder, 1, first).unwrap();
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::PolicyPaid);

    // Nor above the most that its holder would pay
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = scene.terms();
    let most = scene.quote(&terms).unwrap().premium;
    let terms = PolicyTerms {
        max_premium: most,
        ..terms
    };
    scene.buy(&holder, 1, terms).unwrap();
    measure_until(&mut scene, &holder);
    scene.measure(99_999); // the risk is ten times what it was
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::PremiumTooHigh);
    scene.measure(100_000);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::TriggerReached);
}

#[test]
fn a_renewed_policy_gives_back_what_is_unused_of_both_terms() {
    // Given a policy renewed in its term
    let (mut scene, holder) = insured(|terms| terms);
    scene.renew(&holder, 1, true).unwrap();
    scene.world.pass(DAY);
    let policy = scene.policy(&holder, 1);
    let now = scene.world.now();

    // When it is cancelled
    let before = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();

    // Then both parts are given back in proportion, less a tenth of each
    let unused = [policy.term, policy.previous_term].map(|stream| {
        let left = (stream.end - now) as u128;
        let unused = u128::from(stream.part) * left / (stream.end - stream.start) as u128;
        (unused * 9 / 10) as u64
    });
    let refund = scene.world.tokens(&holder.tokens) - before;
    assert_eq!(refund, unused[0] + unused[1]);
    assert!(unused.iter().all(|&part| 0 < part));
    // And everything else becomes the liquidity providers'.
    scene.world.pass(60 * DAY);
    let vault = scene.vault_now();
    let streamed = policy.term.part + policy.previous_term.part;
    assert_eq!(vault.assets, CAPITAL + streamed - refund);
}

// Purchases that are refused.

#[test]
fn purchases_are_refused_for_their_reasons() {
    let mut scene = Insured::with(VaultTerms {
        max_cover: 50_000 * TOKEN,
        ..vault_terms()
    });
    let holder = scene.world.wallet(10 * CAPITAL);
    let good = scene.terms();
    let floor = scene.model().noise_floor;
    scene.list(100_000 * TOKEN, 30_000).unwrap(); // tighter
    use DriftShieldError as Error;
    let refused = [
        (
            "another version",
            Error::VersionMismatch,
            PolicyTerms {
                model_version: 2,
                ..good
            },
        ),
        (
            "under the noise floor",
            Error::BelowNoiseFloor,
            PolicyTerms {
                trigger: floor - 1,
                ..good
            },
        ),
        (
            "under the lowest",
            Error::TriggerTooLow,
            PolicyTerms {
                trigger: 29_999,
                ..good
            },
        ),
        (
            "at the last value",
            Error::TriggerReached,
            PolicyTerms {
                trigger: CALM_DRIFT,
                ..good
            },
        ),
        (
            "exhaustion",
            Error::InvalidExhaustion,
            PolicyTerms {
                exhaustion: 99_999,
                ..good
            },
        ),
        (
            "no persistence",
            Error::InvalidPersistence,
            PolicyTerms {
                persistence: 0,
                ..good
            },
        ),
        (
            "persistence",
            Error::InvalidPersistence,
            PolicyTerms {
                persistence: 5,
                ..good
            },
        ),
        (
            "fewer windows",
            Error::InvalidPersistence,
            PolicyTerms {
                persistence: 3,
                windows: 2,
                ..good
            },
        ),
        (
            "began",
            Error::WindowsBegan,
            PolicyTerms {
                first_window: good.first_window - 1,
                ..good
            },
        ),
        (
            "later",
            Error::WindowsTooLate,
            PolicyTerms {
                first_window: good.first_window + 1,
                ..good
            },
        ),
        (
            "out of range",
            Error::WindowOutOfRange,
            PolicyTerms {
                windows: u64::MAX,
                ..good
            },
        ),
        (
            "small",
            Error::CoverOutOfLimits,
            PolicyTerms {
                cover: TOKEN - 1,
                ..good
            },
        ),
        (
            "large",
            Error::CoverOutOfLimits,
            PolicyTerms {
                cover: 50_000 * TOKEN + 1,
                ..good
            },
        ),
        (
            "utilisation",
            Error::UtilisationTooHigh,
            PolicyTerms {
                cover: 9_000 * TOKEN + 1,
                ..good
            },
        ),
        (
            "premium",
            Error::PremiumTooHigh,
            PolicyTerms {
                max_premium: 1,
                ..good
            },
        ),
    ];
    for (name, error, terms) in refused {
        println!("{name}");
        assert_refused(scene.buy(&holder, 1, terms), error);
        assert_eq!(scene.quote(&terms).map(|_| ()), Err(error.into()));
    }
    let exact = scene.quote(&good).unwrap().premium;
    let below = PolicyTerms {
        max_premium: exact - 1,
        ..good
    };
    assert_refused(scene.buy(&holder, 1, below), Error::PremiumTooHigh);
    scene
        .buy(
            &holder,
            1,
            PolicyTerms {
                max_premium: exact,
                ..good
            },
        )
        .unwrap();
}

#[test]
fn a_purchase_ends_within_400_days_and_the_vaults_limits() {
    let limits = VaultTerms {
        min_duration_secs: 5 * DAY,
        max_duration_secs: 20 * DAY,
        ..vault_terms()
    };
    let mut scene = Insured::with(limits);
    let holder = scene.world.wallet(CAPITAL);
    for windows in [1, 30] {
        let terms = PolicyTerms {
            windows,
            ..scene.terms()
        };
        let outcome = scene.buy(&holder, 1, terms);
        assert_refused(outcome, DriftShieldError::DurationOutOfLimits);
    }
    let mut scene = Insured::with(VaultTerms {
        max_duration_secs: 1_000 * DAY,
        ..vault_terms()
    });
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows: 400,
        ..scene.terms()
    };
    assert_refused(scene.buy(&holder, 1, terms), DriftShieldError::EndTooFar);
}

#[test]
fn a_model_needs_a_history_of_its_version_and_a_fresh_one() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    // The newest receipt may be as old as two windows and a dispute, to the second.
    let model = scene.model();
    let stale = model.window_end(model.last_window).unwrap() + 2 * DAY + model.dispute_secs();
    scene.world.warp_to(stale + 1);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::StaleHistory);
    scene.world.warp_to(stale);
    scene.buy(&holder, 1, scene.terms()).unwrap();

    // Seven receipts are too few.
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let mut model = scene.model();
    model.final_count = 7;
    let mut vault = scene.vault();
    let now = scene.world.now();
    let exposure = scene.exposure();
    let quote = driftshield_sdk::quote(&mut vault, &exposure, &model, &scene.terms(), now);
    assert_eq!(
        quote.map(|_| ()),
        Err(DriftShieldError::TooLittleHistory.into())
    );
    // And without capital nothing is covered.
    let holder = scene.world.wallet(CAPITAL);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::NoCapital);
}

#[test]
fn a_model_without_history_is_refused_on_chain() {
    // Given a model with seven receipts
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let spec = share_spec(&scene.world);
    let young = scene.world.model_with(spec, 3, 10_000 * TOKEN);
    let old = std::mem::replace(&mut scene.model, young);
    let window = std::mem::replace(&mut scene.window, 0);
    // A vault with shares lists it with notice.
    scene.list(TOKEN * 1_000, 20_000).unwrap();
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::TooLittleHistory);
    for _ in 0..7 {
        scene.measure(CALM_DRIFT);
    }
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::TooLittleHistory);
    scene.measure(CALM_DRIFT);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    assert!(window > 0 && scene.world.exists(&old.address));
}

#[test]
fn a_model_that_the_vault_has_not_listed_is_refused() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let listed = address::exposure(&scene.vault, &scene.model.address);
    let spec = share_spec(&scene.world);
    let other = scene.world.model_with(spec, 3, 10_000 * TOKEN);
    let buy = instruction::buy_policy(
        holder.address(),
        1,
        scene.vault,
        &scene.vault(),
        other.address,
        holder.tokens,
        scene.terms(),
    );
    let unlisted = address::exposure(&scene.vault, &other.address);
    let outcome = scene.world.send(buy.clone(), &[&holder.key]);
    assert_refused(outcome, DriftShieldError::ModelNotListed);
    // Nor by another model's listing.
    let outcome = scene
        .world
        .send(swapped(buy, &unlisted, &listed), &[&holder.key]);
    assert_refused(outcome, DriftShieldError::ModelNotListed);
}

#[test]
fn insiders_buy_no_cover() {
    let mut scene = Insured::new();
    let terms = scene.terms();
    let insiders = [
        scene.model.owner.key.insecure_clone(),
        scene.model.oracles[0].key.insecure_clone(),
        scene.manager.key.insecure_clone(),
    ];
    for key in insiders {
        let tokens =
            address::token_account(&key.pubkey(), &scene.world.mint, scene.world.token_program);
        let insider = Wallet { key, tokens };
        let outcome = scene.buy(&insider, 1, terms);
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn cover_stays_within_what_bonds_secure() {
    // Given bonds that secure 15,000 tokens, and capital for more
    let mut scene = Insured::new();
    let rich = scene.world.wallet(10 * CAPITAL);
    scene.deposit(&rich, 10 * CAPITAL).unwrap();
    let holder = scene.world.wallet(10 * CAPITAL);
    let secured = scene.model().security * 3;
    let terms = PolicyTerms {
        cover: secured + 1,
        ..scene.terms()
    };
    let outcome = scene.buy(&holder, 1, terms);
    assert_refused(outcome, DriftShieldError::AboveSecurityLimit);
    let terms = PolicyTerms {
        cover: secured,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    // Nor can it be unbonded while it is needed.
    let oracle = &scene.model.oracles[0];
    let bonded = scene
        .world
        .seat(&scene.model.address, &oracle.address())
        .bonded;
    for oracle in 0..2 {
        let oracle = &scene.model.oracles[oracle];
        let unbond = instruction::request_unbond(oracle.address(), scene.model.address, bonded);
        let outcome = scene.world.send(unbond, &[&oracle.key.insecure_clone()]);
        if outcome.is_err() {
            assert_refused(outcome, DriftShieldError::SecurityNeeded);
            return;
        }
    }
    panic!("bonds that secure cover were let go");
}

#[test]
fn cover_that_bonds_no_longer_secure_is_not_renewed() {
    // Given a policy, and oracles who lost their bonds since
    let (mut scene, holder) = insured(|terms| terms);
    let challenger = scene.world.wallet(CAPITAL);
    let window = scene.window;
    let (model, world) = (scene.model.clone(), &mut scene.world);
    world.submit_all(&model, window, &share(CALM_DRIFT));
    world.challenge(&model, window, &challenger).unwrap();
    world.rule(&model, window, &share(90_000)).unwrap();
    assert_eq!(scene.model().security, 0);

    // When its holder renews it, then it is refused
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::AboveSecurityLimit);
}

#[test]
fn purchases_stop_when_paused_disabled_or_retired() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.world.pause(pause::POLICIES);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !pause::POLICIES);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pause(0);

    let admin = scene.world.admin.insecure_clone();
    let mint = scene.world.mint;
    let update =
        |enabled| instruction::update_collateral(admin.pubkey(), mint, insurance_terms(), enabled);
    scene.world.send(update(false), &[&admin]).unwrap();
    let outcome = scene.buy(&holder, 2, scene.terms());
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    scene.world.send(update(true), &[&admin]).unwrap();

    let owner = scene.model.owner.key.insecure_clone();
    let retire = instruction::retire_model(owner.pubkey(), scene.model.address);
    scene.world.send(retire, &[&owner]).unwrap();
    let outcome = scene.buy(&holder, 2, scene.terms());
    assert_refused(outcome, DriftShieldError::ModelRetired);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::ModelRetired);
    let outcome = scene.list(TOKEN, 20_000);
    assert_refused(outcome, DriftShieldError::ModelRetired);
    // Cover that is sold stays.
    measure_until(&mut scene, &holder);
    let first = scene.window;
    scene.measure(300_000);
    scene.claim(&holder, 1, first).unwrap();
}

#[test]
fn a_model_is_not_changed_while_it_is_covered() {
    let (mut scene, holder) = insured(|terms| terms);
    let owner = scene.model.owner.key.insecure_clone();
    let terms = model_terms(&scene.model.oracles);
    let update = instruction::update_model(owner.pubkey(), scene.model.address, terms);
    let outcome = scene.world.send(update.clone(), &[&owner]);
    assert_refused(outcome, DriftShieldError::ModelExposed);
    scene.cancel(&holder, 1).unwrap();
    scene.world.send(update, &[&owner]).unwrap();
    // The listing is of the version before.
    let terms = PolicyTerms {
        model_version: 2,
        ..scene.terms()
    };
    assert_refused(
        scene.buy(&holder, 2, terms),
        DriftShieldError::VersionMismatch,
    );
}

#[test]
fn a_policys_address_can_be_used_again_when_it_has_ended() {
    let (mut scene, holder) = insured(|terms| terms);
    scene.cancel(&holder, 1).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    assert_eq!(scene.policy(&holder, 1).seq, 1);
}
