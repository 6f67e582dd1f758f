//! Quotes and premiums.

use driftshield_sdk::{Event, PolicyTerms, Quote, VaultTerms};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::premium_by_slices;

#[test]
fn a_purchase_charges_the_quoted_premium() {
    for seed in 0..6 {
        // Given a vault with random pricing
        let mut random = StdRng::seed_from_u64(seed);
        let terms = VaultTerms {
            min_cover: 1,
            base_bps: random.random_range(0..3_000),
            slope1_bps: random.random_range(0..3_000),
            slope2_bps: random.random_range(0..20_000),
            kink_bps: random.random_range(1..10_000),
            risk_slope_bps: random.random_range(0..3_000),
            max_utilisation_bps: random.random_range(5_000..=10_000),
            persistence_bps: [10_000, random.random_range(0..=10_000), 0, 0],
            ..vault_terms()
        };
        let mut scene = Insured::with(terms);
        let holder = scene.world.wallet(10 * CAPITAL);
        let guest = scene.world.wallet(10 * CAPITAL);
        let mut bought = 0;

        // When capital and cover change at random, and somebody buys a policy
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
                exhaustion: random.random_range(1_000_000..9_000_000),
                persistence: random.random_range(1..=2),
                windows: random.random_range(2..300),
                ..scene.terms()
            };
            let quote = scene.quote(&terms);
            let vault = scene.vault_now();
            let before = (scene.world.tokens(&holder.tokens), scene.vault());
            let outcome = scene.buy(&holder, id, terms);

            // Then the holder pays the quoted premium, or the purchase is refused with the quote's
            // error
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
                    assert!(
                        (premium - exact).abs() <= tolerance,
                        "premium {premium}, exact {exact}"
                    );
                    bought += 1;
                }
                Err(anchor_lang::Error::Custom(number)) => assert_eq!(code(outcome), number),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(5 < bought, "only {bought} policies were bought");
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
    assert_eq!(event.cover_risk, scene.model().cover_risk);
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

    // When one sells cover at once, and the other in a hundred parts
    at_once.buy(&buyers[0], 1, whole).unwrap();
    let part = PolicyTerms {
        cover: whole.cover / 100,
        ..whole
    };
    for id in 0..100 {
        in_parts.buy(&buyers[1], id, part).unwrap();
    }

    // Then both cost the same, except that each of the hundred premiums is rounded up
    let paid = |scene: &Insured, buyer: &Wallet| CAPITAL - scene.world.tokens(&buyer.tokens);
    let (once, parts) = (paid(&at_once, &buyers[0]), paid(&in_parts, &buyers[1]));
    assert!(
        (once..=once + 100).contains(&parts),
        "at once {once}, in parts {parts}"
    );
}
