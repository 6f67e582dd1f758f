//! Markets and their outcomes, as the API returns them.

use std::mem;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    bytes::{Hash, Key},
    event_id::EventId,
    odds::{Odds, Pools},
    rows::{AccountColumns, Token, drift, select_by_row, time},
    values::{Scaled, U64},
};

/// Market on the interval in which a model's drift falls. Amounts are in the market's mint.
#[derive(Serialize, ToSchema)]
pub struct Market {
    /// Address of the market's account.
    pub key: Key,
    /// Event that created the account: each time that a market is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    pub life: EventId,
    pub creator: Key,
    /// Number chosen by the creator.
    pub id: U64,
    pub model: Key,
    /// Version of the model on which bets are placed.
    pub model_version: i64,
    pub question: String,
    pub mint: Key,
    /// Decimals of the mint.
    pub decimals: u8,
    /// Token account that holds the stakes.
    pub vault: Key,
    /// Hash of the market's terms, to pass to `place_bet`.
    pub terms_hash: Hash,
    /// Function that aggregates the values of the observed windows: `max`, `last` or `mean`.
    #[schema(example = "max")]
    pub aggregate: String,
    /// Ascending thresholds. Outcome `i` is drift from threshold `i - 1`, inclusive, to threshold
    /// `i`, exclusive.
    pub thresholds: Vec<Scaled>,
    /// First window to observe.
    pub first_window: U64,
    /// Last window to observe.
    pub last_window: U64,
    /// Fewest observed windows with which the market resolves; with fewer, stakes are refunded.
    pub min_observed: U64,
    /// Next window to settle.
    pub next_window: U64,
    /// Number of settled windows with a final value.
    pub observed: U64,
    /// Largest, latest or sum of the observed values, depending on `aggregate`.
    pub accumulator: Scaled,
    /// Time from which no bets are accepted.
    pub closes_at: Option<DateTime<Utc>>,
    /// Protocol's fee on the losing stakes.
    pub protocol_fee_bps: i32,
    /// Creator's fee on the losing stakes.
    pub creator_fee_bps: i32,
    pub outcomes: Vec<Outcome>,
    /// Sum of all stakes ever bet.
    pub total: Scaled,
    pub state: MarketState,
    /// Winning outcome; null unless the market is resolved.
    pub outcome: Option<i16>,
    /// Aggregate of the observed values; null unless the market is resolved.
    pub value: Option<Scaled>,
    /// Losing stakes less fees; null unless the market is resolved.
    pub winnings: Option<Scaled>,
    /// Time at which the market was resolved or voided; null before, and if the mirror does not
    /// have the event.
    pub settled_at: Option<DateTime<Utc>>,
    pub settled_slot: Option<i64>,
    /// Amount that the vault owes: all stakes, less paid payouts and collected fees.
    pub owed: Scaled,
    /// Number of positions that are neither claimed nor sold out.
    pub positions: U64,
    /// Protocol's fee that is not collected yet.
    pub protocol_credit: Scaled,
    /// Creator's fee that is not collected yet.
    pub creator_credit: Scaled,
    /// Number of events that reference the market.
    pub event_count: U64,
    /// Time of creation; null if the creation is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Whether the account is closed on chain. If so, this is its final state: `owed`, `positions`,
    /// `protocol_credit` and `creator_credit` are 0.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
    /// Time from which no bets are accepted, in unix seconds.
    #[serde(skip)]
    pub close_ts: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum MarketState {
    /// Betting is open, or betting has closed and not all windows are settled yet.
    Open,
    /// An outcome has won.
    Resolved,
    /// All stakes are refunded.
    Void,
    /// The market was closed without a bet.
    Cancelled,
}

/// Outcome of a market: an interval of drift.
#[derive(Serialize, ToSchema)]
pub struct Outcome {
    /// Lower bound, inclusive.
    pub from: Scaled,
    /// Upper bound, exclusive; null for the last outcome.
    pub to: Option<Scaled>,
    #[serde(flatten)]
    pub odds: Odds,
}

/// Row of `chain.market`.
#[derive(FromRow)]
struct MarketRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(flatten)]
    pools: Pools,
    status: MarketState,
    settled_slot: Option<i64>,
    settled_at: Option<DateTime<Utc>>,
    creator: Key,
    model: Key,
    mint: Key,
    vault: Key,
    terms_hash: Hash,
    id: U64,
    thresholds: Vec<U64>,
    total: U64,
    owed: U64,
    close_ts: i64,
    first_window: U64,
    last_window: U64,
    min_observed: U64,
    next_window: U64,
    observed: U64,
    accumulator: U64,
    value: U64,
    winnings: U64,
    protocol_credit: U64,
    creator_credit: U64,
    positions: U64,
    model_version: i64,
    protocol_fee_bps: i32,
    creator_fee_bps: i32,
    #[sqlx(try_from = "i16")]
    threshold_count: u8,
    aggregate: String,
    outcome: i16,
    question: String,
}

select_by_row!(Market, MarketRow);

impl From<MarketRow> for Market {
    fn from(row: MarketRow) -> Self {
        let (account, token) = (row.account, row.token);
        let is_resolved = row.status == MarketState::Resolved;
        let thresholds = row.thresholds.into_iter().take(row.threshold_count.into());
        let thresholds: Vec<_> = thresholds.map(drift).collect();
        Self {
            key: account.address,
            life: account.life,
            creator: row.creator,
            id: row.id,
            model: row.model,
            model_version: row.model_version,
            question: row.question,
            mint: row.mint,
            decimals: token.decimals,
            vault: row.vault,
            terms_hash: row.terms_hash,
            aggregate: row.aggregate,
            outcomes: outcomes(&thresholds, row.pools.odds()),
            thresholds,
            first_window: row.first_window,
            last_window: row.last_window,
            min_observed: row.min_observed,
            next_window: row.next_window,
            observed: row.observed,
            accumulator: drift(row.accumulator),
            closes_at: time(row.close_ts),
            protocol_fee_bps: row.protocol_fee_bps,
            creator_fee_bps: row.creator_fee_bps,
            total: token.amount(row.total),
            state: row.status,
            outcome: is_resolved.then_some(row.outcome),
            value: is_resolved.then(|| drift(row.value)),
            winnings: is_resolved.then(|| token.amount(row.winnings)),
            settled_at: row.settled_at,
            settled_slot: row.settled_slot,
            owed: token.amount(account.unless_closed(row.owed)),
            positions: account.unless_closed(row.positions),
            protocol_credit: token.amount(account.unless_closed(row.protocol_credit)),
            creator_credit: token.amount(account.unless_closed(row.creator_credit)),
            event_count: account.seq,
            created_at: account.began_at,
            created_slot: account.began_slot,
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
            close_ts: row.close_ts,
        }
    }
}

/// Outcomes with their bounds. `thresholds` are ascending, and separate the outcomes.
fn outcomes(thresholds: &[Scaled], odds: Vec<Odds>) -> Vec<Outcome> {
    let mut bounds = thresholds.iter().cloned();
    let mut from = Scaled::drift(0);
    odds.into_iter()
        .map(|odds| {
            let to = bounds.next();
            let next = to.clone().unwrap_or_else(|| from.clone());
            Outcome {
                from: mem::replace(&mut from, next),
                to,
                odds,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_lie_between_thresholds() {
        let thresholds = [Scaled::drift(100_000), Scaled::drift(250_000)];
        let odds = (0..3).map(|outcome| Odds {
            outcome,
            pool: Scaled::new(0, 6),
            share: None,
            multiple: None,
        });
        let outcomes = outcomes(&thresholds, odds.collect());
        let bounds: Vec<_> = outcomes
            .iter()
            .map(|outcome| {
                let to = outcome.to.as_ref().map(|to| to.scaled.as_str());
                (outcome.from.scaled.as_str(), to)
            })
            .collect();
        assert_eq!(
            bounds,
            [("0", Some("0.1")), ("0.1", Some("0.25")), ("0.25", None)]
        );
    }
}
