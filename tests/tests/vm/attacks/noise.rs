//! Cover of a model without drift, with the noise floor as the trigger, on windows of an hour.
//!
//! A floor that is made for a year of daily windows is reached in 24 times as many hourly windows: such a
//! policy of 30 days paid its whole cover in one of six cases.

use driftshield_sdk::{
    Metric, MetricSpec,
    math::{Curve, Premium},
};
use driftshield_tests::{
    noise::{Case, Edges, simulate_windows},
    world::*,
};
use rand::{SeedableRng, rngs::StdRng};

const POLICIES: u64 = 600;
const COVER: u64 = 1_000 * TOKEN;
const DAYS: u64 = 30;

#[test]
fn cover_from_the_noise_floor_on_costs_more_than_it_pays() {
    // Given an hourly model with bins at deciles and the fewest rows that registration accepts
    let case = Case {
        name: "ten bins",
        metrics: &[Metric::Psi],
        reference: vec![1_000; 10],
        edges: Edges::Quantiles,
    };
    let mut world = World::new();
    let spec = MetricSpec {
        reference: case.reference.clone(),
        min_samples: 500,
        window_secs: HOUR,
        ..spec(&world)
    };
    let model = world.model_with(spec, 1, 0);
    let trigger = world.model(&model.address).noise_floor;

    // When somebody buys cover for 30 days again and again, with the floor as the trigger, from an empty
    // vault with the default terms
    let premium = Premium {
        cover: COVER,
        base_bps: 200,
        curve: Curve {
            slope1_bps: 400,
            slope2_bps: 6_000,
            kink_bps: 8_000,
        },
        risk_slope_bps: 1_000,
        persistence_bps: 10_000,
        drift: 9 * (1_000_000 / 500 + 1_000_000 / 10_000), // the mean of the noise
        trigger,
        exhaustion: trigger,
        seasoned: 1_000 * COVER,
        locked: 0,
        duration_secs: DAYS * DAY as u64,
    };
    let spent = POLICIES * premium.charge().unwrap();
    let mut rng = StdRng::seed_from_u64(12);
    let paid = (0..POLICIES)
        .filter(|_| trigger <= simulate_windows(&case, 24 * DAYS, &mut rng).highest[0])
        .count() as u64;

    // Then the model's noise hardly ever pays: less than the premiums
    println!("{paid} of {POLICIES} policies pay {COVER}, all cost {spent}");
    assert!(paid * COVER < spent);
    assert!(paid <= POLICIES / 100);
}
