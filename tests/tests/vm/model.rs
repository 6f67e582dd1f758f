//! Registering, updating and retiring models.

use anchor_lang::Address;
use driftshield_sdk::{
    CollateralTerms, DriftShieldError, Event, MetricSpec, ModelStatus, ModelTerms, address, events,
    instruction, math, math::Metric,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

/// Registers a model of a new owner's.
fn register(world: &mut World, spec: MetricSpec, terms: ModelTerms) -> Outcome {
    let owner = world.wallet(0);
    let register =
        instruction::register_model(owner.address(), 1, &world.collateral(), spec, terms);
    world.send(register, &[&owner.key])
}

fn update(world: &mut World, model: &TestModel, terms: ModelTerms) -> Outcome {
    let update = instruction::update_model(model.owner.address(), model.address, terms);
    world.send(update, &[&model.owner.key])
}

fn retire(world: &mut World, model: &TestModel) -> Outcome {
    let retire = instruction::retire_model(model.owner.address(), model.address);
    world.send(retire, &[&model.owner.key])
}

/// Terms with `count` made-up oracles.
fn terms_of(count: usize, quorum: u8) -> ModelTerms {
    let oracles = (0..count).map(|i| key(&format!("oracle {i}")).pubkey());
    ModelTerms {
        oracles: oracles.collect(),
        quorum,
        ..model_terms(&[])
    }
}

/// A spec with another reference.
fn spec_of(world: &World, metric: Metric, reference: Vec<u32>, min_samples: u64) -> MetricSpec {
    MetricSpec {
        metric,
        reference,
        min_samples,
        ..spec(world)
    }
}

#[track_caller]
fn assert_spec_refused(change: impl Fn(&World) -> MetricSpec, error: DriftShieldError) {
    let mut world = World::new();
    let spec = change(&world);
    let outcome = register(&mut world, spec, terms_of(3, 2));
    assert_refused(outcome, error);
}

/// Both ways to give a model terms.
#[track_caller]
fn assert_terms_refused(change: impl Fn(&mut ModelTerms), error: fn() -> DriftShieldError) {
    // Given a model, and terms that are wrong in one thing
    let mut world = World::new();
    let model = world.default_model();
    let before = world.svm.get_account(&model.address).unwrap().data;
    let mut terms = terms_of(3, 2);
    change(&mut terms);
    // When its owner updates it with them, or somebody registers another with them
    let updated = update(&mut world, &model, terms.clone());
    let spec = spec(&world);
    let registered = register(&mut world, spec, terms);
    // Then both are refused, and the model is as it was
    assert_refused(updated, error());
    assert_refused(registered, error());
    let after = world.svm.get_account(&model.address).unwrap().data;
    assert_eq!(before, after);
}

// What register_model refuses

#[test]
fn the_collateral_has_to_be_of_the_bond_mint() {
    // Given two tokens
    let mut world = World::new();
    let other = world.second_collateral();
    let owner = world.wallet(0);
    // When a model in one names the other's collateral
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
fn a_disabled_token_takes_no_models() {
    // Given a token that is disabled
    let mut world = World::new();
    let admin = world.admin.insecure_clone();
    let disable = instruction::update_collateral(admin.pubkey(), world.mint, terms(), false);
    world.send(disable, &[&admin]).unwrap();
    // When somebody registers a model in it
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
fn the_rarest_bin_stands_for_twenty_rows() {
    assert_spec_refused(
        |world| spec_of(world, Metric::Psi, vec![9_981, 19], 10_000),
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
fn genesis_lies_ahead_by_31_days_at_most() {
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
fn an_owners_id_names_one_model() {
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

// What register_model and update_model refuse alike

#[test]
fn a_model_has_1_to_7_oracles() {
    for count in [0, 8] {
        assert_terms_refused(
            |terms| *terms = terms_of(count, 5),
            || DriftShieldError::InvalidOracles,
        );
    }
}

#[test]
fn oracles_are_distinct() {
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        assert_terms_refused(
            |terms| terms.oracles[second] = terms.oracles[first],
            || DriftShieldError::InvalidOracles,
        );
    }
}

#[test]
fn a_spread_is_within_the_limit() {
    for max_spread in [1_000_001, u64::MAX] {
        assert_terms_refused(
            |terms| terms.max_spread = max_spread,
            || DriftShieldError::InvalidSpread,
        );
    }
}

#[test]
fn a_name_has_at_most_32_bytes() {
    for name in ["x".repeat(33), format!("{}é", "x".repeat(31))] {
        assert_terms_refused(
            |terms| terms.name.clone_from(&name),
            || DriftShieldError::InvalidText,
        );
    }
}

#[test]
fn a_uri_has_at_most_128_bytes() {
    assert_terms_refused(
        |terms| terms.uri = "x".repeat(129),
        || DriftShieldError::InvalidText,
    );
}

#[test]
fn texts_hold_no_nul() {
    assert_terms_refused(
        |terms| terms.name = "a\0b".into(),
        || DriftShieldError::InvalidText,
    );
    assert_terms_refused(
        |terms| terms.uri = "a\0".into(),
        || DriftShieldError::InvalidText,
    );
}

#[test]
fn a_quorum_is_a_majority_and_from_three_oracles_on_not_all() {
    // Given any number of oracles and any quorum
    let mut world = World::new();
    for count in 1..=7 {
        for quorum in 0..=8 {
            // When somebody registers a model with them
            let allowed = count < 2 * quorum && quorum <= count && (count < 3 || quorum != count);
            let spec = spec(&world);
            let outcome = register(&mut world, spec, terms_of(count, quorum as u8));
            // Then it is refused, unless the quorum is more than half and one may be missing
            eprintln!("{quorum} of {count}");
            if allowed {
                outcome.unwrap();
            } else {
                assert_refused(outcome, DriftShieldError::InvalidQuorum);
            }
        }
    }
}

// What register_model does

#[test]
fn a_model_pins_its_metric_and_copies_the_settings() {
    // Given settings that are told apart
    let params = params();
    let bonds = CollateralTerms {
        min_bet: 11,
        min_bond: 13,
        slash_amount: 12,
        challenge_bond: 14,
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
    // Then it holds all that it is to be settled by
    let address = address::model(&owner.address(), u64::MAX);
    let noise_floor = math::noise_floor(spec.metric, &spec.reference, spec.min_samples);
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
        (13, 12, 14)
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
    assert_eq!(model.security_multiple, params.security_multiple);
    assert_eq!(model.oracles[..], terms.oracles[..]);
    assert_eq!((model.oracle_count, model.quorum), (7, 4));
    assert_eq!(model.max_spread, terms.max_spread);
    assert_eq!(model.name.trim_ascii_end_zeros(), terms.name.as_bytes());
    assert_eq!(model.uri.trim_ascii_end_zeros(), terms.uri.as_bytes());
    assert_eq!(
        (model.metadata_hash, model.artifact_hash),
        (terms.metadata_hash, terms.artifact_hash)
    );
    assert_eq!(model.status, ModelStatus::Active);
    assert_eq!((model.version, model.security, model.at_risk), (1, 0, 0));
}

trait TrimZeros {
    fn trim_ascii_end_zeros(&self) -> &[u8];
}

impl<const N: usize> TrimZeros for [u8; N] {
    fn trim_ascii_end_zeros(&self) -> &[u8] {
        let end = self.iter().rposition(|&byte| byte != 0);
        &self[..end.map_or(0, |end| end + 1)]
    }
}

#[test]
fn a_model_may_lie_at_the_ends_of_all_ranges() {
    // Given specs at the ends of what is allowed
    let mut world = World::new();
    let now = world.now();
    let specs = [
        spec_of(&world, Metric::Psi, vec![9_980, 20], 10_000), // twenty rows, as many as allowed
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
        max_spread: 1_000_000,
        name: "x".repeat(32),
        uri: "y".repeat(128),
        ..terms_of(1, 1)
    };
    for spec in specs {
        // When somebody registers a model of it
        let sent = register(&mut world, spec, terms.clone()).unwrap();
        // Then it is taken, with a noise floor
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
fn a_model_is_registered_though_somebody_sent_lamports_to_its_addresses() {
    // Given lamports where a model and its bond vault are going to be
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
    // Then it is there
    assert_eq!(world.model(&model).owner, owner.address());
}

// update_model

#[test]
fn only_the_owner_updates_a_model() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When one of its oracles updates it
    let oracle = &model.oracles[0];
    let update = instruction::update_model(oracle.address(), model.address, terms_of(3, 2));
    let outcome = world.send(update, &[&oracle.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotModelOwner);
}

#[test]
fn a_model_with_exposure_is_not_updated() {
    // Given a model with a bet on it
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    // When its owner updates it
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused, until the market is settled
    assert_refused(outcome, DriftShieldError::ModelExposed);
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market, 3).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
}

#[test]
fn a_model_with_an_open_receipt_is_not_updated() {
    // Given a model with a receipt that is proposed, not final
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    // When its owner updates it
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused, until the receipt is final
    assert_refused(outcome, DriftShieldError::ReceiptOpen);
    world.pass(params().challenge_secs);
    let finalize = instruction::finalize_receipt(model.address, 0);
    world.send(finalize, &[]).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
}

#[test]
fn the_spread_limit_of_today_holds_for_an_update() {
    // Given a model, and a spread limit that was lowered under its spread
    let mut world = World::new();
    let model = world.default_model();
    let admin = world.admin.insecure_clone();
    let mut lower = params();
    lower.max_spread_limit = 9_999;
    let [guardian, arbiter] = [world.guardian.pubkey(), world.arbiter.pubkey()];
    let lower = instruction::update_config(admin.pubkey(), guardian, arbiter, lower);
    world.send(lower, &[&admin]).unwrap();
    // When its owner updates it with the spread that it has
    let outcome = update(&mut world, &model, model_terms(&model.oracles));
    // Then it is refused
    assert_refused(outcome, DriftShieldError::InvalidSpread);
}

#[test]
fn an_update_replaces_the_terms_and_begins_a_version() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let before = world.model(&model.address);
    // When its owner lists two oracles in another order, one new, and other texts
    let terms = ModelTerms {
        oracles: vec![
            key("new oracle").pubkey(),
            model.oracles[2].address(),
            model.oracles[0].address(),
        ],
        quorum: 2,
        max_spread: 77,
        name: "new".into(),
        uri: "ipfs://new".into(),
        metadata_hash: [8; 32],
        artifact_hash: [9; 32],
    };
    let sent = update(&mut world, &model, terms.clone()).unwrap();
    // Then these hold, and bonds follow the oracles that stay
    let after = world.model(&model.address);
    assert_eq!(
        *sent.event(),
        Event::ModelUpdated(events::ModelUpdated {
            model: model.address,
            model_seq: before.seq + 1,
            owner: model.owner.address(),
            version: 2,
            security: terms_security(),
            terms: terms.clone(),
        })
    );
    assert_eq!(after.oracles[..3], terms.oracles[..]);
    assert_eq!(after.oracles[3..], [Address::default(); 4]);
    assert_eq!(after.bonds, [0, 10_000 * TOKEN, 10_000 * TOKEN, 0, 0, 0, 0]);
    assert_eq!((after.version, after.security), (2, terms_security()));
    assert_eq!(after.max_spread, 77);
    assert_eq!(after.name.trim_ascii_end_zeros(), b"new");
    assert_eq!(after.uri.trim_ascii_end_zeros(), b"ipfs://new");
    assert_eq!(
        (after.metadata_hash, after.artifact_hash),
        ([8; 32], [9; 32])
    );
    // And what is pinned is as it was
    assert_eq!(after.reference, before.reference);
    assert_eq!(after.spec_hash, before.spec_hash);
    assert_eq!(
        (after.genesis, after.window_secs, after.bond_mint),
        (before.genesis, before.window_secs, before.bond_mint)
    );
    assert_eq!(
        (after.min_samples, after.noise_floor, after.held),
        (before.min_samples, before.noise_floor, before.held)
    );
}

/// Of two seats that count and a quorum of two: half of what one loses.
fn terms_security() -> u64 {
    terms().slash_amount / 2
}

#[test]
fn a_version_restarts_the_statistics_and_keeps_the_chain() {
    // Given a model with two final receipts
    let mut world = World::new();
    let model = world.default_model();
    world.finalize_with(&model, 0, &DRIFTED);
    world.finalize_with(&model, 1, &CALM);
    let before = world.model(&model.address);
    assert_eq!(before.final_count, 2);
    assert!(0 < before.max_value && 0 < before.ewma);
    // When its owner updates it, with the terms that it has
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // Then its statistics begin anew, while the chain of receipts goes on
    let after = world.model(&model.address);
    assert_eq!(after.version, 2);
    assert_eq!(
        (after.final_count, after.last_value, after.last_window),
        (0, 0, 0)
    );
    assert_eq!((after.latest, after.max_value, after.ewma), (0, 0, 0));
    assert_eq!(after.chain, before.chain);
    assert_eq!(after.security, before.security);
    world.finalize_with(&model, 2, &DRIFTED);
    let after = world.model(&model.address);
    assert_eq!(after.final_count, 1);
    assert_eq!(after.ewma, after.last_value);
    assert_ne!(after.chain, before.chain);
}

#[test]
fn a_market_names_the_version_it_expects() {
    // Given a model that was updated after somebody looked at it
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let seen = market_terms(&world, &model);
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // When a market names the version that was seen
    let create = instruction::create_market(
        creator.address(),
        1,
        model.address,
        &world.model(&model.address),
        seen,
    );
    let outcome = world.send(create, &[&creator.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}

#[test]
fn a_market_on_an_older_version_takes_no_bets() {
    // Given a market without bets on a model that was updated since
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    update(&mut world, &model, model_terms(&model.oracles)).unwrap();
    // When somebody bets
    let bettor = world.wallet(TOKEN);
    let outcome = world.bet(&market, &bettor, 0, TOKEN);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}

// retire_model

#[test]
fn only_the_owner_retires_a_model() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let admin = world.admin.insecure_clone();
    // When the admin retires it
    let retire = instruction::retire_model(admin.pubkey(), model.address);
    let outcome = world.send(retire, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotModelOwner);
}

#[test]
fn a_model_is_retired_once() {
    // Given a retired model
    let mut world = World::new();
    let model = world.default_model();
    let sent = retire(&mut world, &model).unwrap();
    assert_eq!(
        *sent.event(),
        Event::ModelRetired(events::ModelRetired {
            model: model.address,
            model_seq: 5,
            owner: model.owner.address(),
        })
    );
    assert_eq!(world.model(&model.address).status, ModelStatus::Retired);
    // When its owner retires it again
    let outcome = retire(&mut world, &model);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ModelRetired);
}

#[test]
fn a_retired_model_takes_no_new_risk() {
    // Given a market with a bet on a model that is retired after it
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let bettor = world.wallet(2 * TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    retire(&mut world, &model).unwrap();
    // When somebody bets again, or opens another market
    let bet = world.bet(&market, &bettor, 0, TOKEN);
    let create = instruction::create_market(
        creator.address(),
        2,
        model.address,
        &world.model(&model.address),
        terms,
    );
    let create = world.send(create, &[&creator.key]);
    // Then it is refused
    assert_refused(bet, DriftShieldError::ModelRetired);
    assert_refused(create, DriftShieldError::ModelRetired);
}

#[test]
fn receipts_of_a_retired_model_go_on_while_a_market_depends_on_them() {
    // Given a market with bets on a model that is retired after it
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    retire(&mut world, &model).unwrap();
    // When its oracles go on
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market, 3).unwrap();
    // Then the market settles, and then no receipt is begun any more
    world.claim(&market, &bettor.address()).unwrap();
    assert_eq!(world.tokens(&bettor.tokens), TOKEN);
    world.warp_to_end(&model, 4);
    let outcome = world.submit(&model, 0, 4, &CALM);
    assert_refused(outcome, DriftShieldError::ModelRetired);
}
