//! Settlements and payout multiples of markets, computed independently of the program.

use driftshield_sdk::{Aggregate, MarketTerms};

/// The settlement of a market, in wide integers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settlement {
    /// The winning outcome; `None` if the market is void.
    pub(super) outcome: Option<usize>,
    /// Aggregate of the observed values; 0 if the market is void.
    pub(super) value: u64,
    /// Payouts, by bettor.
    pub(super) payouts: Vec<u128>,
    pub(super) protocol_fee: u128,
    pub(super) creator_fee: u128,
    pub(super) dust: u128,
}

/// Computes the settlement from `stakes` by bettor and outcome, and `observed`, the values of the
/// windows that count, in order.
pub(super) fn settlement(
    terms: &MarketTerms,
    protocol_fee_bps: u16,
    stakes: &[Vec<u128>],
    observed: &[u64],
) -> Settlement {
    let void = || Settlement {
        outcome: None,
        value: 0,
        payouts: stakes.iter().map(|by| by.iter().sum()).collect(),
        protocol_fee: 0,
        creator_fee: 0,
        dust: 0,
    };
    if observed.is_empty() {
        return void();
    }
    let value = aggregate(terms.aggregate, observed);
    let outcome = bucket(&terms.thresholds, value);
    let is_certain = terms.aggregate == Aggregate::Max && outcome == terms.thresholds.len();
    if (observed.len() as u64) < terms.min_observed && !is_certain {
        return void();
    }
    let winning: u128 = stakes.iter().map(|by| by[outcome]).sum();
    if winning == 0 {
        return void();
    }
    let total: u128 = stakes.iter().flatten().sum();
    let losing = total - winning;
    let fee = |bps: u16| losing * u128::from(bps) / 10_000;
    let (protocol_fee, creator_fee) = (fee(protocol_fee_bps), fee(terms.creator_fee_bps));
    let winnings = losing - protocol_fee - creator_fee;
    let payouts: Vec<u128> = stakes
        .iter()
        .map(|by| by[outcome] + by[outcome] * winnings / winning)
        .collect();
    let dust = total - protocol_fee - creator_fee - payouts.iter().sum::<u128>();
    Settlement {
        outcome: Some(outcome),
        value,
        payouts,
        protocol_fee,
        creator_fee,
        dust,
    }
}

fn aggregate(aggregate: Aggregate, observed: &[u64]) -> u64 {
    match aggregate {
        Aggregate::Max => *observed.iter().max().unwrap(),
        Aggregate::Last => *observed.last().unwrap(),
        Aggregate::Mean => observed.iter().sum::<u64>() / observed.len() as u64,
    }
}

/// The outcome that `value` falls into.
pub(super) fn bucket(thresholds: &[u64], value: u64) -> usize {
    thresholds
        .iter()
        .filter(|&&threshold| threshold <= value)
        .count()
}

/// The payout multiple of an outcome, in thousandths.
pub(super) fn multiple(pools: &[u128], outcome: usize, protocol_bps: u16, creator_bps: u16) -> u64 {
    let winning = pools[outcome];
    let losing = pools.iter().sum::<u128>() - winning;
    let fees =
        losing * u128::from(protocol_bps) / 10_000 + losing * u128::from(creator_bps) / 10_000;
    let multiple = 1_000 + 1_000 * (losing - fees) / winning;
    u64::try_from(multiple).unwrap_or(u64::MAX)
}
