//! The built program and the SDK compute exactly the same drift.

use driftshield_sdk::{Event, Metric, MetricSpec, ModelTerms, address, instruction};
use driftshield_tests::{
    histograms::{Case, random_registrable_case},
    world::*,
};
use rand::{SeedableRng, rngs::StdRng};

const CASES: u64 = 1_000;
/// Maximum compute units of a submission.
const MAX_UNITS: u64 = 20_000;

#[test]
fn psi_equals_that_of_the_sdk() {
    compare(Metric::Psi);
}

#[test]
fn jensen_shannon_equals_that_of_the_sdk() {
    compare(Metric::JensenShannon);
}

#[test]
fn kolmogorov_smirnov_equals_that_of_the_sdk() {
    compare(Metric::KolmogorovSmirnov);
}

#[test]
fn total_variation_equals_that_of_the_sdk() {
    compare(Metric::TotalVariation);
}

#[test]
fn error_rate_equals_that_of_the_sdk() {
    compare(Metric::ErrorRate);
}

fn compare(metric: Metric) {
    // Given a model for every random reference, whose only oracle is its owner
    let mut world = World::new();
    world.solvency_checks = false; // too slow with thousands of accounts
    let owner = world.wallet(CASES * terms().min_bond);
    for seed in 0..CASES {
        register(&mut world, &owner, metric, seed);
    }

    // When the owner submits random counts for the first window of each
    world.pass(HOUR);
    for seed in 0..CASES {
        let ((reference, current), _) = case(metric, seed);
        let submit = instruction::submit_receipt(
            owner.address(),
            address::model(&owner.address(), seed),
            0,
            current.clone(),
            [0; 32],
            String::new(),
        );
        let sent = world
            .send(submit, &[&owner.key])
            .unwrap_or_else(|error| panic!("{metric:?}, seed {seed}: {error:?}"));

        // Then the program computes the same drift as the SDK, within its limit of compute units
        let Event::ReceiptSubmitted(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        let expected = driftshield_sdk::math::drift(metric.into(), &reference, &current);
        assert_eq!(
            (event.submission, event.value),
            (expected, expected),
            "{metric:?}, seed {seed}: {reference:?} {current:?}"
        );
        assert!(
            sent.units <= MAX_UNITS,
            "{metric:?}, seed {seed}: {} units: {reference:?} {current:?}",
            sent.units
        );
    }
}

/// A reference and counts, and the minimum number of rows of a submission.
fn case(metric: Metric, seed: u64) -> (Case, u64) {
    random_registrable_case(&mut StdRng::seed_from_u64(seed), metric)
}

/// Registers model `seed` with the reference of its case, and bonds the minimum.
fn register(world: &mut World, owner: &Wallet, metric: Metric, seed: u64) {
    let ((reference, _), min_samples) = case(metric, seed);
    let spec = MetricSpec {
        metric,
        reference,
        min_samples,
        spec_hash: [0; 32],
        genesis: world.now(),
        window_secs: HOUR,
    };
    let terms = ModelTerms {
        oracles: vec![owner.address()],
        quorum: 1,
        max_spread: 0,
        name: String::new(),
        uri: String::new(),
        metadata_hash: [0; 32],
        artifact_hash: [0; 32],
    };
    let register =
        instruction::register_model(owner.address(), seed, &world.collateral(), spec, terms);
    world
        .send(register, &[&owner.key])
        .unwrap_or_else(|error| panic!("{metric:?}, seed {seed}: {error:?}"));
    let model = address::model(&owner.address(), seed);
    let bond = instruction::bond(
        owner.address(),
        model,
        &world.model(&model),
        owner.tokens,
        world.model(&model).min_bond,
    );
    world.send(bond, &[&owner.key]).expect("bond");
}
