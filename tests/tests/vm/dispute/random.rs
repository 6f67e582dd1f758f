//! Random disputes, whose amounts are compared with the rules of the protocol.

use driftshield_sdk::{ChallengePayee, CollateralTerms, address, instruction};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{bonded, collect, credits, submit_values};
use crate::bonds::unbond;

/// A random dispute and its ruling.
struct Case {
    terms: CollateralTerms,
    values: Vec<u64>,
    bonds: Vec<u64>,
    /// Part of each bond that unbonds before the ruling.
    unbonding: Vec<u64>,
    challenged: bool,
    ruling: u64,
}

fn random_dispute(rng: &mut StdRng) -> Case {
    let slash_amount = rng.random_range(2..=1_000_001);
    let terms = CollateralTerms {
        min_bond: slash_amount + rng.random_range(0..=99),
        slash_amount,
        challenge_bond: rng.random_range(1..=999_999),
        min_bet: 1,
    };
    let challenged = rng.random_bool(0.7);
    let mut values: Vec<u64> = if challenged {
        // All are within a spread of each other, except maybe the first: see below.
        (0..rng.random_range(1..=7))
            .map(|_| 400_000 + rng.random_range(0..=8_000))
            .collect()
    } else {
        // All are further than a spread from each other.
        (0..rng.random_range(2..=7))
            .map(|oracle| 100_000 * oracle)
            .collect()
    };
    if challenged && 3 <= values.len() && rng.random() {
        values[0] = rng.random_range(0..=1_000_000);
    }
    let bonds: Vec<u64> = (values.iter())
        .map(|_| terms.min_bond + rng.random_range(0..=terms.slash_amount))
        .collect();
    let unbonding = (bonds.iter())
        .map(|&bond| {
            if rng.random() {
                rng.random_range(1..=bond)
            } else {
                0
            }
        })
        .collect();
    let ruling = if rng.random() {
        values[rng.random_range(0..values.len())] + rng.random_range(0..=12_000)
    } else {
        rng.random_range(0..=1_000_000)
    };
    Case {
        terms,
        values,
        bonds,
        unbonding,
        challenged,
        ruling,
    }
}

#[test]
fn a_ruling_conserves_every_base_unit() {
    const SPREAD: u64 = 10_000;
    let mut world = World::new();
    world.solvency_checks = false; // checked once after all cases
    for seed in 0..50 {
        // Given a random dispute
        let mut rng = StdRng::seed_from_u64(seed);
        let case = random_dispute(&mut rng);
        let admin = world.admin.insecure_clone();
        let update =
            instruction::update_collateral(world.config().admin, world.mint, case.terms, true);
        world.send(update, &[&admin]).expect("update_collateral");
        let spec = share_spec(&world);
        let model = world.model_with(spec, case.values.len(), 0);
        for (oracle, &bond) in case.bonds.iter().enumerate() {
            world.mint_to(&model.oracles[oracle].tokens, bond);
            world.bond(&model, oracle, bond).expect("bond");
        }
        submit_values(&mut world, &model, 0, &case.values);
        let challenger = world.wallet(case.terms.challenge_bond);
        if case.challenged {
            world
                .challenge(&model, 0, &challenger)
                .expect("challenge_receipt");
        }
        for (oracle, &amount) in case.unbonding.iter().enumerate() {
            if 0 < amount {
                unbond(&mut world, &model, oracle, amount).expect("request_unbond");
            }
        }
        let vault = address::bond_vault(&model.address);
        let before = world.tokens(&vault);
        let treasury_before = world.tokens(&world.treasury());

        // When it is ruled and all credits are collected
        world
            .rule(&model, 0, &share(case.ruling.min(1_000_000)))
            .expect("rule_receipt");
        let (to_challenger, to_treasury) = credits(&world, &model);
        for (payee, credit) in [
            (ChallengePayee::Challenger, to_challenger),
            (ChallengePayee::Treasury, to_treasury),
        ] {
            let outcome = collect(&mut world, &model, payee);
            assert_eq!(outcome.is_ok(), 0 < credit, "seed {seed}");
        }

        // Then all balances are as the protocol defines
        let mut sorted = case.values.clone();
        sorted.sort_unstable();
        let median = sorted[(sorted.len() - 1) / 2];
        let ruling = case.ruling.min(1_000_000);
        let upheld = median.abs_diff(ruling) <= SPREAD;
        let bond = if case.challenged {
            case.terms.challenge_bond
        } else {
            0
        };
        let seats = case.values.len() as u64;
        let reward = if upheld { bond / 2 / seats } else { 0 };
        let mut slashed = 0;
        for (oracle, &value) in case.values.iter().enumerate() {
            let loss = if SPREAD < value.abs_diff(ruling) {
                case.terms.slash_amount.min(case.bonds[oracle])
            } else {
                0
            };
            slashed += loss;
            let seat = world.seat(&model.address, &model.oracles[oracle].address());
            let left = case.bonds[oracle] - loss;
            assert_eq!(seat.bonded, left + reward, "seed {seed}, oracle {oracle}");
            assert_eq!(
                seat.unbonding,
                case.unbonding[oracle].min(left),
                "seed {seed}, oracle {oracle}"
            );
            assert_eq!(
                world.model(&model.address).bonds[oracle],
                seat.bonded - seat.unbonding,
                "seed {seed}, oracle {oracle}"
            );
        }
        let half = if case.challenged { slashed / 2 } else { 0 };
        let returned = if upheld { 0 } else { bond };
        assert_eq!(
            world.tokens(&challenger.tokens),
            half + returned + case.terms.challenge_bond - bond
        );
        let treasury = slashed - half + bond - returned - reward * seats;
        assert_eq!(world.tokens(&world.treasury()), treasury_before + treasury);
        let left = world.tokens(&vault);
        assert_eq!(left + half + returned + treasury, before, "seed {seed}");
        assert_eq!(
            left,
            bonded(&world, &model).iter().sum::<u64>(),
            "seed {seed}"
        );
        assert_eq!(world.model(&model.address).held, left, "seed {seed}");
    }
    world.check_solvency();
}
