//! Pools of markets after each bet.

use std::collections::{BTreeSet, HashMap};

use driftshield_sdk::{Event, Market, events::BetPlaced};
use sqlx::PgConnection;

use super::slot_event::SlotEvent;

/// Stakes by outcome, in base units of the market's mint.
pub type Pools = [u64; OUTCOMES];

const OUTCOMES: usize = 8;
pub const NO_STAKES: Pools = [0; OUTCOMES];
// Compile-time check that `Pools` is the program's own type.
const _: fn(&Market) -> &Pools = |market| &market.pools;

/// Current pools of markets. `BetPlaced` has only the pool of its own outcome, so the other pools
/// are kept here from event to event.
#[derive(Default)]
pub struct PoolTracker(HashMap<String, Pools>);

impl PoolTracker {
    /// Loads the pools of the markets with a bet in `events`, as they were before these events:
    /// the latest row of `chain.odds` or, without one, the market's account. Must be called before
    /// the accounts of the same slots are stored.
    pub async fn load(
        connection: &mut PgConnection,
        events: &[SlotEvent],
    ) -> Result<Self, sqlx::Error> {
        let markets: BTreeSet<String> = events
            .iter()
            .filter_map(|event| match event.emitted.event.as_ref()? {
                Event::BetPlaced(bet) => Some(bet.market.to_string()),
                _ => None,
            })
            .collect();
        if markets.is_empty() {
            return Ok(Self::default());
        }
        let known: Vec<(String, Option<Vec<String>>)> = sqlx::query_as(
            "select given.market, coalesce(
               (select pools from chain.odds
                where odds.market = given.market order by seq desc limit 1),
               (select pools from chain.market
                where market.address = given.market and market.closed_slot is null))::text[]
             from unnest($1::text[]) as given (market)",
        )
        .bind(markets.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut tracker = Self::default();
        for (market, pools) in known {
            tracker.track(market, &pools.unwrap_or_default());
        }
        Ok(tracker)
    }

    /// Tracks a market, starting with `pools` (decimal strings). Does nothing if the market is
    /// tracked already or the pools are malformed.
    pub fn track(&mut self, market: String, pools: &[String]) {
        let pools: Result<Vec<u64>, _> = pools.iter().map(|pool| pool.parse()).collect();
        if let Some(pools) = pools.ok().and_then(|pools| pools.try_into().ok()) {
            self.0.entry(market).or_insert(pools);
        }
    }

    /// Tracks a new market, which has no stakes.
    pub fn track_new(&mut self, market: String) {
        self.0.insert(market, NO_STAKES);
    }

    /// Returns the pools after a bet. `None` if they are unknown: the market is not tracked, or the
    /// mirror began with an account of the market that already contained later bets.
    pub fn apply_bet(&mut self, market: &str, bet: &BetPlaced) -> Option<&Pools> {
        let pools = self.0.get_mut(market)?;
        *pools.get_mut(usize::from(bet.outcome))? = bet.pool;
        let total: u128 = pools.iter().copied().map(u128::from).sum();
        (total == u128::from(bet.total)).then_some(&*pools)
    }
}
