//! Random disputes, whose amounts are compared with the rules of the protocol.

use driftshield_sdk::{ChallengePayee, CollateralTerms, address};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{bonded, collect, submit_values};
use crate::{admin::update_collateral, bonds::unbond};

/// The spread of the models, in micro-units.
const SPREAD: u64 = 10_000;

/// A random dispute and its ruling.
struct Case {
    terms: CollateralTerms,
    values: Vec<u64>,
    bonds: Vec<u64>,
    /// Part of each bond that unbonds before the ruling.
    unbonding: Vec<u64>,
    challenged: bool,
    /// Value that the challenger asserts.
    asserted: u64,
    ruling: u64,
}

fn random_dispute(rng: &mut StdRng) -> Case {
    let slash_amount = rng.random_range(2..=1_000_001);
    let terms = CollateralTerms {
        min_bond: 2 * slash_amount + rng.random_range(0..=99),
        slash_amount,
        challenge_bond: rng.random_range(1..=999_999),
        min_bet: 1,
        absence_penalty: slash_amount / 16,
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
    let ruling = ruling.min(1_000_000);
    let asserted = if rng.random() {
        rng.random_range(0..=300_000)
    } else {
        rng.random_range(500_000..=1_000_000)
    };
    Case {
        terms,
        values,
        bonds,
        unbonding,
        challenged,
        asserted,
        ruling,
    }
}

/// The effects of a ruling, by the rules of the protocol.
struct Effects {
    /// Slashes, by oracle.
    slashes: Vec<u64>,
    /// Parts of the challenger's bond, by oracle.
    rewards: Vec<u64>,
    challenger_credit: u64,
    treasury_credit: u64,
}

impl Case {
    /// The bond that the challenger has paid, if there is one.
    fn paid_challenge_bond(&self) -> u64 {
        if self.challenged {
            self.terms.challenge_bond
        } else {
            0
        }
    }

    fn effects(&self) -> Effects {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let median = sorted[(sorted.len() - 1) / 2];
        let submissions = std::iter::zip(&self.values, &self.bonds);
        let agrees = |value: u64| value.abs_diff(self.ruling) <= SPREAD;
        let slashes: Vec<u64> = submissions
            .map(|(&value, &bonded)| {
                if agrees(value) {
                    0
                } else {
                    self.terms.slash_amount.min(bonded)
                }
            })
            .collect();
        let slashed: u64 = slashes.iter().sum();
        let bond = self.paid_challenge_bond();
        let is_right =
            self.challenged && self.ruling.abs_diff(self.asserted) < self.ruling.abs_diff(median);
        let agreeing = self.values.iter().filter(|&&value| agrees(value)).count() as u64;
        let part = if is_right || agreeing == 0 {
            0
        } else {
            bond / 2 / agreeing
        };
        let rewards = self.values.iter();
        let rewards: Vec<u64> = rewards
            .map(|&value| if agrees(value) { part } else { 0 })
            .collect();
        let challenger_credit = if is_right {
            bond + (slashed / 2).min(2 * bond)
        } else {
            0
        };
        let treasury_credit = slashed + bond - challenger_credit - rewards.iter().sum::<u64>();
        Effects {
            slashes,
            rewards,
            challenger_credit,
            treasury_credit,
        }
    }

    /// Registers a model, and brings its window 0 into dispute. Returns the model and the challenger.
    fn begin(&self, world: &mut World) -> (TestModel, Wallet) {
        update_collateral(world, self.terms, true);
        let spec = coarse_spec(world);
        let model = world.model_with(spec, self.values.len(), 0);
        for (oracle, &bond) in self.bonds.iter().enumerate() {
            world.mint_to(&model.oracles[oracle].tokens, bond);
            world.bond(&model, oracle, bond).expect("bond");
        }
        submit_values(world, &model, 0, &self.values);
        let challenger = world.wallet(self.terms.challenge_bond);
        if self.challenged {
            world
                .challenge(&model, 0, &challenger, &share(self.asserted))
                .expect("challenge_receipt");
        }
        for (oracle, &amount) in self.unbonding.iter().enumerate() {
            if 0 < amount {
                unbond(world, &model, oracle, amount).expect("request_unbond");
            }
        }
        (model, challenger)
    }

    /// Asserts that each seat has its slash and its reward.
    fn assert_seats(&self, world: &World, model: &TestModel, effects: &Effects, seed: u64) {
        for (oracle, slash) in effects.slashes.iter().enumerate() {
            let seat = world.seat(&model.address, &model.oracles[oracle].address());
            let left = self.bonds[oracle] - slash;
            assert_eq!(
                seat.bonded,
                left + effects.rewards[oracle],
                "seed {seed}, oracle {oracle}"
            );
            assert_eq!(
                seat.unbonding,
                self.unbonding[oracle].min(left),
                "seed {seed}, oracle {oracle}"
            );
            assert_eq!(
                world.model(&model.address).bonds[oracle],
                seat.bonded - seat.unbonding,
                "seed {seed}, oracle {oracle}"
            );
        }
    }
}

#[test]
fn a_ruling_conserves_every_base_unit() {
    let mut world = World::new();
    world.solvency_checks = false; // checked once after all cases
    for seed in 0..50 {
        // Given a random dispute
        let case = random_dispute(&mut StdRng::seed_from_u64(seed));
        let (model, challenger) = case.begin(&mut world);
        let vault = address::bond_vault(&model.address);
        let before = world.tokens(&vault);
        let treasury_before = world.tokens(&world.treasury());

        // When it is ruled and all credits are collected
        world
            .rule(&model, 0, &share(case.ruling))
            .expect("rule_receipt");
        world.pass(params().appeal_secs);
        let effects = case.effects();
        let (to_challenger, to_treasury) = (effects.challenger_credit, effects.treasury_credit);
        for (payee, credit) in [
            (ChallengePayee::Challenger, to_challenger),
            (ChallengePayee::Treasury, to_treasury),
        ] {
            if world.exists(&address::receipt(&model.address, 0)) {
                let outcome = collect(&mut world, &model, payee);
                assert_eq!(outcome.is_ok(), 0 < credit, "seed {seed}");
            } else {
                assert_eq!(credit, 0, "seed {seed}"); // closed
            }
        }

        // Then all balances are as the protocol defines
        case.assert_seats(&world, &model, &effects, seed);
        assert_eq!(
            world.tokens(&challenger.tokens),
            effects.challenger_credit + case.terms.challenge_bond - case.paid_challenge_bond()
        );
        assert_eq!(
            world.tokens(&world.treasury()),
            treasury_before + effects.treasury_credit
        );
        let left = world.tokens(&vault);
        assert_eq!(
            left + effects.challenger_credit + effects.treasury_credit,
            before,
            "seed {seed}"
        );
        assert_eq!(
            left,
            bonded(&world, &model).iter().sum::<u64>(),
            "seed {seed}"
        );
        assert_eq!(world.model(&model.address).held, left, "seed {seed}");
    }
    world.check_solvency();
}
