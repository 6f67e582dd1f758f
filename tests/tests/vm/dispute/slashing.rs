//! Slashes, rewards and credits of a ruling.

use driftshield_sdk::{
    ChallengePayee, CollateralTerms, DriftShieldError, MetricSpec, ReceiptState, instruction,
};
use driftshield_tests::world::*;

use super::{
    BOND, CHALLENGE_BOND, SLASH, bonded, challenged, collect, credits, ruled, state, submit_values,
    submitted,
};
use crate::bonds::unbond;

#[test]
fn a_ruling_that_overturns_slashes_wrong_submitters() {
    // Given a median that two oracles manipulated, and a challenger
    let mut world = World::new();
    let values = [500_000, 500_000, 100];
    let (model, challenger) = challenged(&mut world, &values, BOND);
    let security = world.model(&model.address).security;

    // When the arbiter rules the value that the third submitted
    let sent = world.rule(&model, 0, &share(100)).unwrap();

    // Then the challenger is credited the bond, and the slashes are held
    let event = ruled(&sent);
    assert!(event.vindicated);
    assert_eq!(
        (event.value, event.slashed, event.reward),
        (100, 2 * SLASH, 2 * CHALLENGE_BOND)
    );
    assert_eq!(event.challenger_credit, CHALLENGE_BOND);
    assert_eq!(event.treasury_credit, 0);
    assert_eq!(event.appeal_until, world.now() + params().appeal_secs);
    assert_eq!(event.counts.as_deref(), Some(&share(100)[..]));
    let after: Vec<u64> = event.seats.iter().map(|seat| seat.bonded).collect();
    assert_eq!(after, [BOND - SLASH, BOND - SLASH, BOND]);
    assert_eq!(bonded(&world, &model), after);
    let slashes = [0, 1, 2].map(|oracle: usize| {
        let oracle = model.oracles[oracle].address();
        world.seat(&model.address, &oracle).slashes
    });
    assert_eq!(slashes, [1, 1, 0]);

    // And the ruled value is Final at once, and counts
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Final);
    assert_eq!((receipt.value, receipt.since), (100, world.now()));
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.last_value, state.open_receipts),
        (1, 100, 1)
    );
    assert_eq!((state.security, event.security), (security, security));
    assert_eq!(event.chain, state.chain);

    // And after the appeal period both credits can be collected
    world.pass(params().appeal_secs);
    collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), 3 * CHALLENGE_BOND);
    let rest = 2 * SLASH - 2 * CHALLENGE_BOND;
    assert_eq!(world.tokens(&world.treasury()), rest);
    assert_eq!(world.model(&model.address).open_receipts, 0);
    assert_eq!(world.model(&model.address).held, 3 * BOND - 2 * SLASH);
}

#[test]
fn only_submissions_beyond_the_spread_are_slashed() {
    // Given submissions exactly a spread away from the ruling, and others one unit further
    let mut world = World::new();
    let values = [90_000, 89_999, 110_000, 110_001, 100_000];
    let (model, _) = challenged(&mut world, &values, BOND);

    // When the arbiter rules
    world.rule(&model, 0, &share(100_000)).unwrap();

    // Then only those further away are slashed
    let less = BOND - SLASH;
    let more = BOND + CHALLENGE_BOND / 2 / 3;
    let expected = [more, less, more, less, more];
    assert_eq!(bonded(&world, &model), expected);
}

#[test]
fn a_ruling_that_upholds_pays_the_submitters() {
    // Given a right median, and a challenger
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);

    // When the arbiter rules a value within a spread of it
    let sent = world.rule(&model, 0, &share(10_100)).unwrap();

    // Then half of the challenger's bond goes to the seats in equal parts, and the rest to the
    // treasury
    let event = ruled(&sent);
    let reward = CHALLENGE_BOND / 2 / 3;
    assert!(!event.vindicated);
    assert_eq!(
        (event.value, event.slashed, event.compensation),
        (10_100, 0, reward)
    );
    assert_eq!(credits(&world, &model), (0, CHALLENGE_BOND - 3 * reward));
    assert_eq!(bonded(&world, &model), [BOND + reward; 3]);
    assert_eq!(world.receipt(&model.address, 0).value, 10_100);
    let outcome = collect(&mut world, &model, ChallengePayee::Challenger);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&world.treasury()), CHALLENGE_BOND - 3 * reward);
}

#[test]
fn rounding_remainders_go_to_the_treasury() {
    // Given odd amounts of slashes and bonds
    let odd = CollateralTerms {
        slash_amount: 501,
        min_bond: 1_002,
        challenge_bond: 101,
        absence_penalty: 0,
        ..terms()
    };
    let mut world = World::with(params(), odd);
    let (upheld, _) = challenged(&mut world, &[500_000, 100, 500_000], 1_002);
    let (overturned, _) = challenged(&mut world, &[500_000, 100, 100], 1_002);

    // When one oracle is slashed by 501 units in one dispute, and all three in the other
    world.rule(&upheld, 0, &share(500_000)).unwrap();
    world.rule(&overturned, 0, &share(300_000)).unwrap();

    // Then half of the lost bond goes to the two seats, rounded down, and the reward is at most twice
    // the bond
    assert_eq!(credits(&world, &upheld), (0, 101 - 2 * 25));
    assert_eq!(bonded(&world, &upheld), [1_027, 501, 1_027]);
    assert_eq!(credits(&world, &overturned), (101, 0));
    assert_eq!(world.receipt(&overturned.address, 0).reward, 2 * 101);
    assert_eq!(bonded(&world, &overturned), [501; 3]);
}

#[test]
fn slashes_without_a_challenger_go_to_the_treasury() {
    // Given a dispute without a challenger
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200_000, 900_000], BOND);
    assert_eq!(state(&world, &model), ReceiptState::Challenged);

    // When the arbiter rules a value far from all submissions
    let sent = world.rule(&model, 0, &share(500_000)).unwrap();

    // Then the treasury gets all slashes after the appeal period
    assert_eq!((ruled(&sent).slashed, ruled(&sent).reward), (3 * SLASH, 0));
    assert_eq!(credits(&world, &model), (0, 0));
    assert_eq!(bonded(&world, &model), [BOND - SLASH; 3]);
    world.pass(params().appeal_secs);
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&world.treasury()), 3 * SLASH);
}

#[test]
fn a_slash_is_at_most_the_bond() {
    // Given three windows in dispute at once, all with a wrong submission of an oracle at the
    // minimum bond
    let terms = CollateralTerms {
        slash_amount: 400,
        min_bond: 1_000,
        absence_penalty: 0,
        ..terms()
    };
    let mut world = World::with(params(), terms);
    let spec = MetricSpec {
        window_secs: HOUR,
        ..coarse_spec(&world)
    };
    let model = world.model_with(spec, 3, 1_000);
    world.bond(&model, 1, 1_000).unwrap();
    let challenger = world.wallet(3 * CHALLENGE_BOND);
    for window in 0..3 {
        submit_values(&mut world, &model, window, &[500_000, 500_000, 100]);
        world
            .challenge(&model, window, &challenger, &share(100))
            .unwrap();
    }

    // When the arbiter rules on all
    let slashed = [0, 1, 2].map(|window| {
        let sent = world.rule(&model, window, &share(100)).unwrap();
        ruled(&sent).slashed
    });

    // Then the third slash of that oracle is the rest of its bond
    assert_eq!(slashed, [400 + 400, 400 + 400, 200 + 400]);
    assert_eq!(bonded(&world, &model), [0, 800, 1_000]);
}

#[test]
fn a_slash_reaches_an_unbonding_bond() {
    // Given a dispute, and a wrong oracle that requests all of its bond back
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    unbond(&mut world, &model, 0, BOND).unwrap();

    // When the arbiter rules
    let sent = world.rule(&model, 0, &share(100)).unwrap();

    // Then that oracle loses as much as the other wrong one, and can withdraw only the rest
    assert_eq!(ruled(&sent).slashed, 2 * SLASH);
    let oracle = &model.oracles[0];
    let seat = world.seat(&model.address, &oracle.address());
    assert_eq!((seat.bonded, seat.unbonding), (BOND - SLASH, BOND - SLASH));
    world.warp_to(seat.release_at);
    let before = world.tokens(&oracle.tokens);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    world.send(withdraw, &[]).unwrap();
    assert_eq!(world.tokens(&oracle.tokens), before + BOND - SLASH);
}

#[test]
fn a_slash_takes_from_the_active_bond_first() {
    // Given a wrong oracle that unbonds a part of its bond
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    unbond(&mut world, &model, 0, BOND - SLASH - 1).unwrap();

    // When the arbiter rules
    world.rule(&model, 0, &share(100)).unwrap();

    // Then the unbonding part is untouched, and the seat no longer counts
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!(
        (seat.bonded, seat.unbonding),
        (BOND - SLASH, BOND - SLASH - 1)
    );
    assert_eq!(world.model(&model.address).bonds[0], 1);
}

#[test]
fn a_seat_outlasts_one_slash_and_ends_with_the_next() {
    // Given three oracles at the minimum bond, which is twice the slash, two of them wrong
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], terms().min_bond);
    // Half of a slash, because one oracle of a quorum of two can manipulate the median.
    assert_eq!(world.model(&model.address).security, SLASH / 2);

    // When a ruling slashes both, then their seats go on counting, without any new bond
    let sent = world.rule(&model, 0, &share(100)).unwrap();
    assert_eq!(bonded(&world, &model)[..2], [terms().min_bond / 2; 2]);
    assert_eq!(ruled(&sent).security, SLASH / 2);
    assert_eq!(ruled(&sent).lasting_security, SLASH / 2);
    let began = world.model(&model.address).tenures[0].counts_since;

    // When a second ruling slashes both again, then they stop, and too few count for a quorum
    submit_values(&mut world, &model, 1, &[500_000, 500_000, 100]);
    world.mint_to(&challenger.tokens, CHALLENGE_BOND);
    world
        .challenge(&model, 1, &challenger, &share(100))
        .unwrap();
    let sent = world.rule(&model, 1, &share(100)).unwrap();
    assert_eq!(bonded(&world, &model)[..2], [0; 2]);
    assert_eq!(ruled(&sent).security, 0);
    let state = world.model(&model.address);
    assert_eq!((state.security, state.lasting_security), (0, 0));
    let tenure = state.tenures[0];
    assert_eq!((tenure.counts, tenure.counts_since), (0, began));
    assert_eq!(tenure.stopped_at, world.now());
}
