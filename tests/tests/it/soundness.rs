//! The refusals that keep a model's measure and its security sound.

use driftshield_sdk::{DriftShieldError, Metric, MetricSpec, address, instruction};
use driftshield_tests::world::*;

/// Registers a model of `spec` with three oracles.
fn register(world: &mut World, spec: MetricSpec) -> Outcome {
    let owner = world.wallet(0);
    let oracles = [world.wallet(0), world.wallet(0), world.wallet(0)];
    let terms = model_terms(&oracles);
    let register = instruction::register_model(owner.address(), 1, world.mint, spec, terms);
    world.send(register, &[&owner.key])
}

#[test]
fn a_reference_that_tells_nothing_is_refused() {
    use DriftShieldError::*;
    let mut world = World::new();
    let spec = spec(&world);
    let with = |reference: Vec<u32>, min_samples| MetricSpec {
        reference,
        min_samples,
        ..spec.clone()
    };
    let wrong_share = |reference: Vec<u32>| MetricSpec {
        metric: Metric::ErrorRate,
        ..with(reference, 1_000)
    };

    // 1,000 rows of a bin with one in fifty: exactly twenty are expected, fewer are too few
    assert!(register(&mut world, with(vec![49_000, 1_000], 1_000)).is_ok());
    let sparse = register(&mut world, with(vec![49_001, 999], 1_000));
    assert_refused(sparse, SparseReference);
    let empty = register(&mut world, with(vec![50_000, 0], 1_000));
    assert_refused(empty, SparseReference);
    assert_refused(
        register(&mut world, with(vec![500, 499], 1_000)),
        ReferenceTooSmall,
    );
    assert_refused(
        register(&mut world, with(vec![500, 500], 0)),
        ReferenceTooSmall,
    );
    assert_refused(register(&mut world, with(vec![5_000], 1_000)), InvalidBins);
    assert_refused(
        register(&mut world, with(vec![1_000; 17], 1_000)),
        InvalidBins,
    );

    // The error rate's reference may have no wrong row, and has two bins
    assert!(register(&mut world, wrong_share(vec![50_000, 0])).is_ok());
    let three = register(&mut world, wrong_share(vec![50_000, 1, 1]));
    assert_refused(three, InvalidBins);
}

#[test]
fn an_unbonding_that_would_break_what_is_at_risk_is_refused() {
    // Given three bonds that together secure a bet, to the unit
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let state = world.model(&model.address);
    // Quorum two: half of what the one smallest seat can lose.
    assert_eq!(state.security, 500 * TOKEN / 2);
    let limit = state.security * 3;
    let bettor = world.wallet(limit + 1);
    let over = world.bet(&market, &bettor, 0, limit + 1);
    assert_refused(over, DriftShieldError::AboveSecurityLimit);
    world.bet(&market, &bettor, 0, limit).unwrap();

    // When oracles unbond, one may go, and the second may not
    let unbond = |oracle: &Wallet, amount| {
        instruction::request_unbond(oracle.address(), model.address, amount)
    };
    let [first, second, _] = &model.oracles[..] else {
        unreachable!("three oracles")
    };
    let all = unbond(first, 10_000 * TOKEN);
    world.send(all, &[&first.key]).unwrap();
    let all = unbond(second, 10_000 * TOKEN);
    let refused = world.send(all, &[&second.key]);
    assert_refused(refused, DriftShieldError::SecurityNeeded);
    // What its seat does not need to count, it may take
    let excess = unbond(second, 9_000 * TOKEN);
    world.send(excess, &[&second.key]).unwrap();

    // Then after its time the first is paid by anyone, and its seat closes
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(first.address(), model.address, &state);
    assert_refused(
        world.send(withdraw.clone(), &[]),
        DriftShieldError::StillUnbonding,
    );
    world.pass(params().unbond_secs);
    world.send(withdraw, &[]).unwrap();
    assert_eq!(world.tokens(&first.tokens), 100_000 * TOKEN);
    let close = instruction::close_seat(first.address(), model.address);
    world.send(close, &[]).unwrap();
    assert!(!world.exists(&address::seat(&model.address, &first.address())));
}

#[test]
fn an_exposed_model_does_not_change_its_oracles() {
    // Given a model with a bet on it
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();

    // When its owner updates it, then that is refused; as it is while a receipt is open
    let owner = &model.owner;
    let update = |oracles: &[Wallet]| {
        instruction::update_model(owner.address(), model.address, model_terms(oracles))
    };
    let exposed = world.send(update(&model.oracles), &[&owner.key]);
    assert_refused(exposed, DriftShieldError::ModelExposed);
    world.warp_to_end(&model, 3);
    world.pass(params().submit_secs);
    world.settle(&market, 3).unwrap();
    world.warp_to_end(&model, 4);
    world.submit(&model, 0, 4, &CALM).unwrap();
    let open = world.send(update(&model.oracles), &[&owner.key]);
    assert_refused(open, DriftShieldError::ReceiptOpen);

    // And then it begins a new version, of whose oracles only those that stay are bonded
    world.pass(params().submit_secs);
    let finalize = instruction::finalize_receipt(model.address, 4);
    world.send(finalize, &[]).unwrap();
    let newcomer = world.wallet(0);
    let oracles = [&model.oracles[1].key, &model.oracles[2].key, &newcomer.key].map(|key| Wallet {
        key: key.insecure_clone(),
        tokens: newcomer.tokens,
    });
    world.send(update(&oracles), &[&owner.key]).unwrap();
    let state = world.model(&model.address);
    assert_eq!(state.version, 2);
    assert_eq!(state.bonds[..3], [10_000 * TOKEN, 10_000 * TOKEN, 0]);
    assert_eq!(state.security, 250 * TOKEN);
}
