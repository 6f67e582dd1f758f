//! Registration of models.

use driftshield_sdk::{
    CollateralTerms, DriftShieldError, Event, Metric, MetricSpec, ModelStatus, ModelTerms, Tenure,
    address, events, instruction, math,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

use super::{register, terms_of, without_end_zeros};
use crate::admin::update_collateral;

/// The default spec with another metric, reference and minimum number of rows.
fn spec_of(world: &World, metric: Metric, reference: Vec<u32>, min_samples: u64) -> MetricSpec {
    MetricSpec {
        metric,
        reference,
        min_samples,
        ..spec(world)
    }
}

/// Asserts that registration refuses a spec.
#[track_caller]
fn assert_spec_refused(spec: impl Fn(&World) -> MetricSpec, error: DriftShieldError) {
    let mut world = World::new();
    let spec = spec(&world);
    let outcome = register(&mut world, spec, terms_of(3, 2));
    assert_refused(outcome, error);
}

#[test]
fn a_collateral_of_another_mint_is_refused() {
    // Given two collaterals
    let mut world = World::new();
    let other = world.second_collateral();
    let owner = world.wallet(0);
    // When a registration has the mint of one and the collateral account of the other
    let register = instruction::register_model(
        owner.address(),
        1,
        &world.collateral(),
        spec(&world),
        terms_of(3, 2),
    );
    let wrong = swapped(
        register,
        &address::collateral(&world.mint),
        &address::collateral(&other),
    );
    let outcome = world.send(wrong, &[&owner.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongCollateral);
}

#[test]
fn disabled_collateral_accepts_no_models() {
    // Given a disabled collateral
    let mut world = World::new();
    update_collateral(&mut world, terms(), false);
    // When somebody registers a model with it
    let spec = spec(&world);
    let outcome = register(&mut world, spec, terms_of(3, 2));
    // Then it is refused
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
}

#[test]
fn a_reference_has_2_to_16_bins() {
    for bins in [0, 1, 17] {
        assert_spec_refused(
            |world| spec_of(world, Metric::Psi, vec![1_000; bins], 1_000),
            DriftShieldError::InvalidBins,
        );
    }
}

#[test]
fn the_error_rate_has_two_bins() {
    for bins in [1, 3, 16] {
        assert_spec_refused(
            |world| spec_of(world, Metric::ErrorRate, vec![1_000; bins], 1_000),
            DriftShieldError::InvalidBins,
        );
    }
}

#[test]
fn a_reference_is_no_smaller_than_a_submission() {
    assert_spec_refused(
        |world| spec_of(world, Metric::Psi, vec![1_000; 10], 10_001),
        DriftShieldError::ReferenceTooSmall,
    );
    assert_spec_refused(
        |world| spec_of(world, Metric::ErrorRate, vec![500, 499], 1_000),
        DriftShieldError::ReferenceTooSmall,
    );
}

#[test]
fn a_submission_has_at_least_one_row() {
    assert_spec_refused(
        |world| spec_of(world, Metric::Psi, vec![1_000; 10], 0),
        DriftShieldError::ReferenceTooSmall,
    );
    assert_spec_refused(
        |world| spec_of(world, Metric::ErrorRate, vec![0, 0], 0),
        DriftShieldError::ReferenceTooSmall,
    );
}

#[test]
fn the_rarest_bin_expects_at_least_fifty_rows() {
    assert_spec_refused(
        |world| spec_of(world, Metric::Psi, vec![9_951, 49], 10_000),
        DriftShieldError::SparseReference,
    );
}

#[test]
fn no_reference_bin_is_empty() {
    for metric in [
        Metric::Psi,
        Metric::JensenShannon,
        Metric::KolmogorovSmirnov,
        Metric::TotalVariation,
    ] {
        assert_spec_refused(
            |world| spec_of(world, metric, vec![u32::MAX, 0, u32::MAX], 1_000_000),
            DriftShieldError::SparseReference,
        );
    }
}

#[test]
fn a_window_is_within_the_limits() {
    for window_secs in [i64::MIN, -1, 0, HOUR - 1, 31 * DAY + 1, i64::MAX] {
        assert_spec_refused(
            |world| MetricSpec {
                window_secs,
                ..spec(world)
            },
            DriftShieldError::InvalidWindowLength,
        );
    }
}

#[test]
fn genesis_is_now_or_at_most_31_days_ahead() {
    for genesis in [i64::MIN, 0, EPOCH - 1, EPOCH + 31 * DAY + 1, i64::MAX] {
        assert_spec_refused(
            |world| MetricSpec {
                genesis,
                ..spec(world)
            },
            DriftShieldError::InvalidGenesis,
        );
    }
}

#[test]
fn an_id_cannot_be_used_twice() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When its owner registers another with the same id
    let owner = &model.owner;
    let register = instruction::register_model(
        owner.address(),
        1,
        &world.collateral(),
        spec(&world),
        terms_of(3, 2),
    );
    let outcome = world.send(register, &[&owner.key]);
    // Then it is refused
    assert!(outcome.is_err());
}

#[test]
fn a_registered_model_stores_its_spec_and_copies_the_settings() {
    // Given settings and terms that all differ
    let params = params();
    let bonds = CollateralTerms {
        min_bet: 11,
        min_bond: 64,
        slash_amount: 32,
        challenge_bond: 14,
        absence_penalty: 2,
    };
    let mut world = World::with(params, bonds);
    let owner = world.wallet(0);
    let (spec, terms) = (spec(&world), terms_of(7, 4));
    // When somebody registers a model
    let register = instruction::register_model(
        owner.address(),
        u64::MAX,
        &world.collateral(),
        spec.clone(),
        terms.clone(),
    );
    let sent = world.send(register, &[&owner.key]).unwrap();
    // Then it stores its spec, its terms and a copy of the settings
    let address = address::model(&owner.address(), u64::MAX);
    let noise_floor = math::noise_floor(
        spec.metric.into(),
        &spec.reference,
        spec.min_samples,
        DAY as u64,
    );
    assert_eq!(
        *sent.event(),
        Event::ModelRegistered(events::ModelRegistered {
            model: address,
            model_seq: 1,
            owner: owner.address(),
            id: u64::MAX,
            bond_mint: world.mint,
            arbiter: world.arbiter.pubkey(),
            noise_floor,
            version: 1,
            spec: spec.clone(),
            terms: terms.clone(),
        })
    );
    let model = world.model(&address);
    assert_eq!(model.owner, owner.address());
    assert_eq!(model.bond_mint, world.mint);
    assert_eq!(model.bond_vault, address::bond_vault(&address));
    assert_eq!(model.arbiter, world.arbiter.pubkey());
    assert_eq!(model.reference(), spec.reference);
    assert_eq!(model.metric, spec.metric);
    assert_eq!(
        (model.genesis, model.window_secs, model.min_samples),
        (spec.genesis, spec.window_secs, spec.min_samples)
    );
    assert_eq!((model.spec_hash, model.noise_floor), ([7; 32], noise_floor));
    assert_eq!(
        (model.min_bond, model.slash_amount, model.challenge_bond),
        (64, 32, 14)
    );
    assert_eq!(
        (model.submit_secs, model.challenge_secs, model.ruling_secs),
        (
            params.submit_secs,
            params.challenge_secs,
            params.ruling_secs
        )
    );
    assert_eq!(
        (model.unbond_secs, model.retention_secs),
        (params.unbond_secs, params.retention_secs)
    );
    assert_eq!(
        (model.appeal_secs, model.leave_secs, model.replace_secs),
        (params.appeal_secs, params.leave_secs, params.replace_secs)
    );
    assert_eq!(model.tenures, [Tenure::new(world.now()); 7]);
    assert_eq!((model.lasting_security, model.replaced), (0, 0));
    assert_eq!(model.security_multiple, params.security_multiple);
    assert_eq!(model.oracles[..], terms.oracles[..]);
    assert_eq!((model.oracle_count, model.quorum), (7, 4));
    assert_eq!(model.max_spread, terms.max_spread);
    assert_eq!(without_end_zeros(&model.name), terms.name.as_bytes());
    assert_eq!(without_end_zeros(&model.uri), terms.uri.as_bytes());
    assert_eq!(
        (model.metadata_hash, model.artifact_hash),
        (terms.metadata_hash, terms.artifact_hash)
    );
    assert_eq!(model.status, ModelStatus::Active);
    assert_eq!(
        (model.version, model.security, model.market_risk),
        (1, 0, 0)
    );
}

#[test]
fn specs_and_terms_at_their_limits_are_accepted() {
    // Given specs at the limits of their ranges
    let mut world = World::new();
    let now = world.now();
    let specs = [
        spec_of(&world, Metric::Psi, vec![9_950, 50], 10_000), // fifty expected rows, the minimum
        spec_of(&world, Metric::JensenShannon, vec![u32::MAX; 16], 1_000),
        spec_of(&world, Metric::ErrorRate, vec![1, 0], 1),
        spec_of(&world, Metric::ErrorRate, vec![0, 1], 1),
        MetricSpec {
            window_secs: HOUR,
            genesis: now,
            ..spec(&world)
        },
        MetricSpec {
            window_secs: 31 * DAY,
            genesis: now + 31 * DAY,
            ..spec(&world)
        },
    ];
    let terms = ModelTerms {
        name: "x".repeat(32),
        uri: "y".repeat(128),
        ..terms_of(1, 1)
    };
    for spec in specs {
        // When somebody registers a model with it
        let terms = ModelTerms {
            max_spread: spec.widest_spread(),
            ..terms.clone()
        };
        let sent = register(&mut world, spec, terms).unwrap();
        // Then it is accepted, with a noise floor of at least one
        let Event::ModelRegistered(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert!(1 <= event.noise_floor);
        let model = world.model(&event.model);
        assert_eq!(model.name, [b'x'; 32]);
        assert_eq!(model.uri, [b'y'; 128]);
    }
}

#[test]
fn a_model_is_registered_at_addresses_that_hold_lamports() {
    // Given lamports at the addresses of a future model and its bond vault
    let mut world = World::new();
    let owner = world.wallet(0);
    let model = address::model(&owner.address(), 1);
    for place in [model, address::bond_vault(&model)] {
        world.svm.airdrop(&place, 1_000_000).unwrap();
    }
    // When its owner registers it
    let register = instruction::register_model(
        owner.address(),
        1,
        &world.collateral(),
        spec(&world),
        terms_of(3, 2),
    );
    world.send(register, &[&owner.key]).unwrap();
    // Then the model is created
    assert_eq!(world.model(&model).owner, owner.address());
}
