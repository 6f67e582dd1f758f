//! Markets and their outcomes, as the API returns them.

use std::mem;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    bytes::{Hash, Key},
    columns::Columns,
    event_id::EventId,
    odds::{Odds, Pools},
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

impl FromRow<'_, PgRow> for Market {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let state: MarketState = columns.get("status")?;
        let resolved = state == MarketState::Resolved;
        let thresholds = columns.drifts("thresholds", columns.count("threshold_count")?)?;
        let odds = Pools::from_row(row)?.odds();
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
            creator: columns.get("creator")?,
            id: columns.get("id")?,
            model: columns.get("model")?,
            model_version: columns.get("model_version")?,
            question: columns.get("question")?,
            mint: columns.get("mint")?,
            decimals: columns.decimals,
            vault: columns.get("vault")?,
            terms_hash: columns.get("terms_hash")?,
            aggregate: columns.get("aggregate")?,
            outcomes: outcomes(&thresholds, odds),
            thresholds,
            first_window: columns.get("first_window")?,
            last_window: columns.get("last_window")?,
            min_observed: columns.get("min_observed")?,
            next_window: columns.get("next_window")?,
            observed: columns.get("observed")?,
            accumulator: columns.drift("accumulator")?,
            closes_at: columns.time("close_ts")?,
            protocol_fee_bps: columns.get("protocol_fee_bps")?,
            creator_fee_bps: columns.get("creator_fee_bps")?,
            total: columns.amount("total")?,
            state,
            outcome: resolved.then(|| columns.get("outcome")).transpose()?,
            value: resolved.then(|| columns.drift("value")).transpose()?,
            winnings: resolved.then(|| columns.amount("winnings")).transpose()?,
            settled_at: columns.get("settled_at")?,
            settled_slot: columns.get("settled_slot")?,
            owed: columns.amount_unless_closed("owed")?,
            positions: columns.u64_unless_closed("positions")?,
            protocol_credit: columns.amount_unless_closed("protocol_credit")?,
            creator_credit: columns.amount_unless_closed("creator_credit")?,
            event_count: columns.get("seq")?,
            created_at: columns.get("began_at")?,
            created_slot: columns.get("began_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
            close_ts: columns.get("close_ts")?,
        })
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
