//! Odds: pools and payout multiples of the outcomes of a market.

use driftshield_sdk::math;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    rows::{Token, select_by_row},
    values::{Scaled, U64, ratio},
};

/// Stakes on an outcome, and the payout multiple that follows from the stakes on all outcomes.
#[derive(Serialize, ToSchema)]
pub struct Odds {
    /// Index of the outcome.
    pub outcome: u8,
    /// All stakes on the outcome.
    pub pool: Scaled,
    /// `pool` divided by the market's total, with up to six decimal places; null if nothing is
    /// staked.
    #[schema(example = "0.25")]
    pub share: Option<String>,
    /// Payout per stake if the outcome wins; null if nothing is staked on it.
    pub multiple: Option<Scaled>,
}

/// Stakes on each outcome of a market, and its fees.
pub struct Pools {
    by_outcome: Vec<u64>,
    decimals: u8,
    protocol_fee_bps: u16,
    creator_fee_bps: u16,
}

/// Columns of [`Pools`].
#[derive(FromRow)]
struct PoolsRow {
    pools: Vec<U64>,
    #[sqlx(try_from = "i16")]
    threshold_count: u8,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(try_from = "i32")]
    protocol_fee_bps: u16,
    #[sqlx(try_from = "i32")]
    creator_fee_bps: u16,
}

select_by_row!(Pools, PoolsRow);

impl From<PoolsRow> for Pools {
    fn from(row: PoolsRow) -> Self {
        let outcomes = usize::from(row.threshold_count) + 1;
        let pools = row.pools.iter().take(outcomes);
        Self {
            by_outcome: pools.map(|pool| pool.0).collect(),
            decimals: row.token.decimals,
            protocol_fee_bps: row.protocol_fee_bps,
            creator_fee_bps: row.creator_fee_bps,
        }
    }
}

impl Pools {
    /// Sum of all stakes.
    pub fn total(&self) -> Scaled {
        Scaled::new(sum(self.by_outcome.iter().copied()), self.decimals)
    }

    /// Odds by outcome, in the program's own arithmetic.
    pub fn odds(&self) -> Vec<Odds> {
        let total = sum(self.by_outcome.iter().copied());
        (0..)
            .zip(&self.by_outcome)
            .map(|(outcome, &pool)| Odds {
                outcome,
                pool: Scaled::new(pool, self.decimals),
                share: ratio(pool, total),
                multiple: (pool != 0).then(|| self.multiple(pool, total - pool)),
            })
            .collect()
    }

    /// Payout per stake if the pool `winning` wins. `losing` is the sum of the other pools.
    fn multiple(&self, winning: u64, losing: u64) -> Scaled {
        let fees = math::fee(losing, self.protocol_fee_bps)
            .saturating_add(math::fee(losing, self.creator_fee_bps));
        Scaled::multiple(math::multiple(winning, losing.saturating_sub(fees)))
    }
}

/// Sum of stakes in one market. It fits 64 bits, as the market's total does.
pub fn sum(stakes: impl Iterator<Item = u64>) -> u64 {
    stakes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(by_outcome: &[u64]) -> Pools {
        Pools {
            by_outcome: by_outcome.to_vec(),
            decimals: 6,
            protocol_fee_bps: 200,
            creator_fee_bps: 100,
        }
    }

    #[test]
    fn odds_are_those_that_the_program_pays() {
        let odds = pools(&[3_000_000, 1_000_000, 0]).odds();
        let multiples = odds.iter().map(|odds| odds.multiple.as_ref());
        let multiples: Vec<_> = multiples.map(|m| m.map(|m| m.scaled.as_str())).collect();
        // If outcome 1 wins, 3.0 of 4.0 lose. Fees are 3% of 3.0, so stakes of 1.0 win 2.91.
        assert_eq!(multiples, [Some("1.323"), Some("3.91"), None]);
        let shares: Vec<_> = odds.iter().map(|odds| odds.share.as_deref()).collect();
        assert_eq!(shares, [Some("0.75"), Some("0.25"), Some("0")]);
    }

    #[test]
    fn a_market_without_bets_has_no_shares() {
        let odds = pools(&[0, 0]).odds();
        assert!(
            odds.iter()
                .all(|odds| odds.share.is_none() && odds.multiple.is_none())
        );
    }
}
