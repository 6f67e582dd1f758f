//! A model's security, which its bonds determine.

use driftshield_sdk::{CollateralTerms, ModelTerms, address, instruction};
use driftshield_tests::world::*;

use super::unbond;

/// The security by its definition: half of the least that ⌈quorum/2⌉ counting seats can lose
/// together. Tries all groups of seats.
fn expected_security(bonds: &[u64], quorum: usize, min_bond: u64, slash: u64) -> u64 {
    let losses: Vec<u64> = bonds
        .iter()
        .filter(|&&bond| min_bond <= bond)
        .map(|&bond| bond.min(slash))
        .collect();
    if losses.len() < quorum {
        return 0;
    }
    let manipulators = quorum.div_ceil(2) as u32;
    let sums = (0u32..1 << losses.len())
        .filter(|group| group.count_ones() == manipulators)
        .map(|group| {
            let member = |&(i, _): &(usize, &u64)| group & (1 << i) != 0;
            losses
                .iter()
                .enumerate()
                .filter(member)
                .map(|(_, loss)| loss)
                .sum::<u64>()
        });
    sums.min().unwrap_or(0) / 2
}

#[test]
fn security_is_half_the_cost_of_manipulating_the_median() {
    // Given every number of oracles and every quorum, with an odd slash amount
    let bonds = CollateralTerms {
        min_bet: 1,
        min_bond: 15,
        slash_amount: 7,
        challenge_bond: 1,
        absence_penalty: 0,
    };
    let mut world = World::with(params(), bonds);
    let mut seen = Vec::new();
    for count in 1..=7usize {
        let largest = if count < 3 { count } else { count - 1 };
        for quorum in count / 2 + 1..=largest {
            let owner = world.wallet(0);
            let oracles: Vec<Wallet> = (0..count).map(|_| world.wallet(100)).collect();
            let terms = ModelTerms {
                quorum: quorum as u8,
                ..model_terms(&oracles)
            };
            let register = instruction::register_model(
                owner.address(),
                1,
                &world.collateral(),
                spec(&world),
                terms,
            );
            world.send(register, &[&owner.key]).unwrap();
            let model = TestModel {
                address: address::model(&owner.address(), 1),
                owner,
                oracles,
            };
            let mut active = vec![0; count];
            let assert_security = |world: &World, active: &[u64]| {
                let security = world.model(&model.address).security;
                let expected = expected_security(active, quorum, 15, 7);
                assert_eq!(security, expected, "{quorum} of {active:?}");
                security
            };
            // When each seat bonds too little, then more, and finally unbonds that again
            for oracle in 0..count {
                world.bond(&model, oracle, 14).unwrap();
                active[oracle] += 14;
                assert_security(&world, &active);
                let more = 1 + oracle as u64;
                world.bond(&model, oracle, more).unwrap();
                active[oracle] += more;
                assert_security(&world, &active);
            }
            seen.push((count, quorum, assert_security(&world, &active)));
            for oracle in 0..count {
                let less = 1 + oracle as u64;
                unbond(&mut world, &model, oracle, less).unwrap();
                active[oracle] -= less;
                assert_security(&world, &active);
            }
        }
    }
    // Then the security equals the definition each time, and these values once all seats have
    // bonded
    assert_eq!(
        seen,
        [
            (1, 1, 3),
            (2, 2, 3),
            (3, 2, 3),
            (4, 3, 7),
            (5, 3, 7),
            (5, 4, 7),
            (6, 4, 7),
            (6, 5, 10),
            (7, 4, 7),
            (7, 5, 10),
            (7, 6, 10),
        ]
    );
}
