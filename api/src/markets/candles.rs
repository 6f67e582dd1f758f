//! Candles: the odds of a market by intervals of time.

use chrono::{DateTime, Utc};
use driftshield_sdk::math;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::{
    event_id::EventId,
    lives::LifeRange,
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::Problem,
    signed::Signed,
    values::{Scaled, U64, scaled},
};

use super::Market;

/// Number of rows of odds that are read at once.
const CHUNK: i64 = 1_000;

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CandleFilter {
    #[serde(default)]
    #[param(inline, value_type = Option<Interval>)]
    pub interval: Interval,
    /// The `life` of the market, if the account was closed and created again at the address; the current one by
    /// default.
    pub life: Option<EventId>,
}

/// Length of an interval. Intervals begin at multiples of their length from 1970 on, UTC.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum Interval {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "1d")]
    Day,
}

impl Interval {
    fn secs(self) -> i64 {
        match self {
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Start of the interval that contains `time`, in unix seconds.
    fn start(self, time: DateTime<Utc>) -> i64 {
        let secs = time.timestamp();
        secs - secs.rem_euclid(self.secs())
    }
}

/// Bets of a market in an interval, and the odds right after each of them. A bet in a block without a time belongs to
/// the interval of the next bet that has one, or, if none follows, to that of the last one that has one.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Candle {
    /// Start of the interval, inclusive.
    from: Option<DateTime<Utc>>,
    /// End of the interval, exclusive.
    until: Option<DateTime<Utc>>,
    /// Number of bets in the interval.
    bets: u64,
    /// Sum of these bets, in the market's token. Without the first bet whose predecessor the mirror lacks.
    staked: Signed,
    outcomes: Vec<OutcomeCandle>,
    /// Oldest bet in the interval.
    #[serde(skip)]
    first: EventId,
}

/// Share of an outcome in all stakes, right after each bet of an interval. Shares have up to six decimal places, and
/// are rounded down.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct OutcomeCandle {
    /// Index of the outcome.
    outcome: u8,
    /// Share after the first bet.
    #[schema(example = "0.25")]
    open: String,
    /// Highest share.
    high: String,
    /// Lowest share.
    low: String,
    /// Share after the last bet.
    close: String,
    /// Payout per stake after the last bet, if the outcome wins; null if nothing is staked on it.
    multiple: Option<Scaled>,
}

/// Pools after a bet, or at the creation of the market.
#[derive(FromRow)]
struct Odds {
    event_id: EventId,
    block_time: Option<DateTime<Utc>>,
    pools: Vec<U64>,
}

impl Odds {
    fn total(&self) -> u64 {
        self.pools
            .iter()
            .fold(0, |sum, pool| sum.saturating_add(pool.0))
    }

    /// Share of an outcome, in millionths.
    fn share(&self, outcome: usize) -> u64 {
        let pool = self.pools.get(outcome).map_or(0, |pool| pool.0);
        math::mul_div(pool, 1_000_000, self.total()).unwrap_or(0) // there are stakes after a bet
    }
}

/// What a candle needs of its market.
struct Terms {
    outcomes: usize,
    decimals: u8,
    fees_bps: [u16; 2],
    interval: Interval,
}

impl Terms {
    /// Start of the interval to which consecutive bets belong; `None` if none has a time.
    fn start(&self, bets: &[Odds]) -> Option<i64> {
        let mut times = bets.iter().filter_map(|odds| odds.block_time);
        times.next().map(|time| self.interval.start(time))
    }

    /// Candle of consecutive bets of one interval, newest first. `before` are the odds before them.
    fn candle(&self, bets: &[Odds], before: Option<&Odds>) -> Option<Candle> {
        let (last, first) = (bets.first()?, bets.last()?);
        let start = self.start(bets)?;
        // Without the odds before it, the first bet's amount isn't known.
        let staked_before = before.map_or_else(|| first.total(), Odds::total);
        let outcomes = (0..self.outcomes).zip(0..).map(|(index, outcome)| {
            let shares = || bets.iter().map(|odds| odds.share(index));
            let text = |share: Option<u64>| scaled(share.unwrap_or(0).into(), 6);
            OutcomeCandle {
                outcome,
                open: text(Some(first.share(index))),
                high: text(shares().max()),
                low: text(shares().min()),
                close: text(Some(last.share(index))),
                multiple: self.multiple(last, index),
            }
        });
        Some(Candle {
            from: DateTime::from_timestamp(start, 0),
            until: DateTime::from_timestamp(start + self.interval.secs(), 0),
            bets: bets.len() as u64,
            staked: Signed::new(
                i128::from(last.total()) - i128::from(staked_before),
                self.decimals,
            ),
            outcomes: outcomes.collect(),
            first: first.event_id,
        })
    }

    fn multiple(&self, odds: &Odds, outcome: usize) -> Option<Scaled> {
        let pool = odds.pools.get(outcome)?.0;
        let losing = odds.total().saturating_sub(pool);
        let fees = self.fees_bps.map(|bps| math::fee(losing, bps));
        let winnings = fees.into_iter().fold(losing, u64::saturating_sub);
        (pool != 0).then(|| Scaled::multiple(math::multiple(pool, winnings)))
    }
}

/// Collects candles from odds, newest first.
struct Collector {
    terms: Terms,
    /// Bets of the interval that isn't complete yet.
    bets: Vec<Odds>,
    candles: Vec<Candle>,
}

impl Collector {
    /// Adds older odds than all before.
    fn add(&mut self, odds: Odds) {
        let own = self.terms.start(std::slice::from_ref(&odds));
        let current = self.terms.start(&self.bets);
        let is_same = own.is_none() || current.is_none() || own == current;
        if odds.total() == 0 || !is_same {
            self.complete(Some(&odds));
        }
        if 0 < odds.total() {
            self.bets.push(odds);
        }
    }

    fn complete(&mut self, before: Option<&Odds>) {
        let candle = self.terms.candle(&self.bets, before);
        self.candles.extend(candle);
        self.bets.clear();
    }
}

/// Candles of `market`, newest first. Reads all bets of the page's intervals, and at most [`CHUNK`] more.
pub async fn of_market(
    snapshot: &mut Snapshot,
    market: &Market,
    query: &ListQuery<CandleFilter>,
) -> Result<Page<Candle>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "market", &market.key, market.life).await?;
    let pager = query.pager(("candles", market.key, market.life), snapshot.epoch());
    let mut before: Option<EventId> = pager.after()?;
    let fee = |bps| u16::try_from(bps).unwrap_or(0);
    let mut collector = Collector {
        terms: Terms {
            outcomes: market.outcomes.len(),
            decimals: market.decimals,
            fees_bps: [fee(market.protocol_fee_bps), fee(market.creator_fee_bps)],
            interval: query.filter.interval,
        },
        bets: vec![],
        candles: vec![],
    };
    // One candle more than the limit shows whether another page follows.
    while collector.candles.len() <= pager.limit() {
        let rows = read(&mut snapshot.tx, market, range, before).await?;
        let Some(oldest) = rows.last() else {
            collector.complete(None);
            break;
        };
        before = Some(oldest.event_id);
        rows.into_iter().for_each(|row| collector.add(row));
    }
    collector.candles.truncate(pager.limit() + 1);
    Ok(pager.page(collector.candles, |candle: &Candle| candle.first))
}

async fn read(
    db: &mut PgConnection,
    market: &Market,
    range: LifeRange,
    before: Option<EventId>,
) -> Result<Vec<Odds>, sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "select o.event_id, o.block_time, o.pools from chain.odds o where o.market = ",
    );
    sql.push_bind(market.key);
    range.push(&mut sql, "o.event_id");
    if let Some(before) = before {
        sql.push(" and o.event_id < ").push_bind(before);
    }
    sql.push(" order by o.event_id desc limit ")
        .push_bind(CHUNK);
    sql.build_query_as().fetch_all(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(event: i64, time: i64, pools: [u64; 2]) -> Odds {
        Odds {
            event_id: EventId(event),
            block_time: DateTime::from_timestamp(time, 0),
            pools: [pools[0], pools[1], 0].map(U64).into(),
        }
    }

    /// Candles of odds in the order of the chain.
    fn candles(odds: Vec<Odds>) -> Vec<Candle> {
        let mut collector = Collector {
            terms: Terms {
                outcomes: 2,
                decimals: 0,
                fees_bps: [200, 100],
                interval: Interval::Hour,
            },
            bets: vec![],
            candles: vec![],
        };
        odds.into_iter().rev().for_each(|odds| collector.add(odds));
        collector.complete(None);
        collector.candles
    }

    #[test]
    fn a_candle_has_the_odds_after_each_bet_of_its_interval() {
        let [second, first] = &candles(vec![
            odds(1, 3_599, [0, 0]), // the creation
            odds(2, 3_600, [300, 0]),
            odds(3, 5_000, [300, 100]),
            odds(4, 7_199, [300, 300]),
            odds(5, 10_800, [900, 300]),
        ])[..] else {
            panic!()
        };
        assert_eq!((first.bets, first.staked.raw), (3, 600));
        assert_eq!(first.from, DateTime::from_timestamp(3_600, 0));
        assert_eq!(first.until, DateTime::from_timestamp(7_200, 0));
        let shares = |candle: &Candle, outcome: usize| {
            let OutcomeCandle {
                open,
                high,
                low,
                close,
                ..
            } = &candle.outcomes[outcome];
            [open, high, low, close].map(String::clone)
        };
        assert_eq!(shares(first, 0), ["1", "1", "0.5", "0.5"]);
        assert_eq!(shares(first, 1), ["0", "0.5", "0", "0.5"]);
        // The empty interval between is left out.
        assert_eq!((second.bets, second.staked.raw), (1, 600));
        assert_eq!(shares(second, 0), ["0.75", "0.75", "0.75", "0.75"]);
        let multiple = second.outcomes[1].multiple.as_ref().unwrap();
        assert_eq!(multiple.scaled, "3.91"); // 300 win 900 less 3%
        assert_eq!((second.first, first.first), (EventId(5), EventId(2)));
    }

    #[test]
    fn a_bet_whose_predecessor_is_missing_counts_without_its_amount() {
        let [candle] = &candles(vec![odds(7, 10, [500, 0]), odds(8, 20, [500, 20])])[..] else {
            panic!()
        };
        assert_eq!((candle.bets, candle.staked.raw), (2, 20));
    }

    #[test]
    fn a_bet_without_a_time_belongs_to_the_next_one_that_has_one() {
        let untimed = |event, pools| Odds {
            block_time: None,
            ..odds(event, 0, pools)
        };
        let [second, first] = &candles(vec![
            odds(1, 0, [0, 0]), // the creation
            odds(2, 10, [300, 0]),
            untimed(3, [300, 100]),
            odds(4, 3_600, [300, 150]),
            untimed(5, [400, 150]), // none follows
        ])[..] else {
            panic!()
        };
        assert_eq!((first.bets, first.staked.raw), (1, 300));
        assert_eq!((second.bets, second.staked.raw), (3, 250));
        assert_eq!(second.from, DateTime::from_timestamp(3_600, 0));
        assert_eq!(candles(vec![untimed(1, [5, 0])]), []);
    }

    #[test]
    fn a_market_without_bets_has_no_candles() {
        assert_eq!(candles(vec![odds(1, 10, [0, 0])]), []);
        assert_eq!(candles(vec![]), []);
    }
}
