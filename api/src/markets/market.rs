//! Market and its outcomes, as the API returns them.

use std::mem;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    columns::Columns,
    odds::{Odds, Pools},
    values::{Scaled, U64},
};

/// Market on the bucket that a model's drift will fall into. Amounts are in the market's mint.
#[derive(Serialize, ToSchema)]
pub struct Market {
    /// Address of the market's account.
    pub key: String,
    pub creator: String,
    /// Number chosen by the creator.
    pub id: U64,
    pub model: String,
    /// Version of the model that the market is on.
    pub model_version: i64,
    pub question: String,
    pub mint: String,
    /// Decimals of the mint.
    pub decimals: u8,
    /// Token account that holds the stakes.
    pub vault: String,
    /// Hash of the market's terms, to pass to `place_bet`.
    pub terms_hash: String,
    /// How the values of the observed windows become one value: `max`, `last` or `mean`.
    #[schema(example = "max")]
    pub aggregate: String,
    /// Ascending. Outcome `i` is drift from threshold `i - 1` to below threshold `i`.
    pub thresholds: Vec<Scaled>,
    /// First window to observe.
    pub first_window: U64,
    /// Last window to observe.
    pub last_window: U64,
    /// Next window to settle.
    pub next_window: U64,
    /// Number of windows observed so far, which are those with a final receipt.
    pub observed: U64,
    /// Largest, latest, or sum of the observed values, by `aggregate`.
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
    /// Value of the observed windows; null unless the market is resolved.
    pub value: Option<Scaled>,
    /// Losing stakes less fees; null unless the market is resolved.
    pub winnings: Option<Scaled>,
    /// Time at which the market was resolved or voided; null before.
    pub settled_at: Option<DateTime<Utc>>,
    pub settled_slot: Option<i64>,
    /// Amount that the vault owes.
    pub owed: Scaled,
    /// Number of positions that are not claimed yet.
    pub positions: U64,
    /// Protocol's fee that is not collected yet.
    pub protocol_credit: Scaled,
    /// Creator's fee that is not collected yet.
    pub creator_credit: Scaled,
    /// Number of events that reference the market.
    pub event_count: U64,
    /// Time of creation; null if it is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Whether the account is closed on chain.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Sequence number of the creation; 0 if it is older than the mirror's history.
    #[serde(skip)]
    pub created_seq: i64,
    /// Value that the list is sorted by, in decimal digits.
    #[serde(skip)]
    pub sort_key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum MarketState {
    /// Betting is open, or has closed and the windows are not settled yet.
    Open,
    /// An outcome has won.
    Resolved,
    /// All stakes are refunded.
    Void,
    /// The market was closed without a bet.
    Cancelled,
}

/// Bucket of drift that can be bet on.
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
        let market = Columns::new(row)?;
        let state: MarketState = market.get("final_state")?;
        let resolved = state == MarketState::Resolved;
        let thresholds = market.drifts("thresholds", market.count("threshold_count")?)?;
        let odds = Pools::from_row(row)?.odds();
        Ok(Self {
            key: market.get("address")?,
            creator: market.get("creator")?,
            id: market.get("id")?,
            model: market.get("model")?,
            model_version: market.get("model_version")?,
            question: market.get("question")?,
            mint: market.get("mint")?,
            decimals: market.decimals,
            vault: market.get("vault")?,
            terms_hash: market.get("terms_hash")?,
            aggregate: market.get("aggregate")?,
            outcomes: outcomes(&thresholds, odds),
            thresholds,
            first_window: market.get("first_window")?,
            last_window: market.get("last_window")?,
            next_window: market.get("next_window")?,
            observed: market.get("final_observed")?,
            accumulator: market.drift("accumulator")?,
            closes_at: market.time("close_ts")?,
            protocol_fee_bps: market.get("protocol_fee_bps")?,
            creator_fee_bps: market.get("creator_fee_bps")?,
            total: market.amount("total")?,
            state,
            outcome: resolved.then(|| market.get("final_outcome")).transpose()?,
            value: resolved.then(|| market.drift("final_value")).transpose()?,
            winnings: resolved
                .then(|| market.amount("final_winnings"))
                .transpose()?,
            settled_at: market.get("settled_at")?,
            settled_slot: market.get("settled_slot")?,
            owed: market.amount_unless_closed("owed")?,
            positions: market.u64_unless_closed("positions")?,
            protocol_credit: market.amount_unless_closed("protocol_credit")?,
            creator_credit: market.amount_unless_closed("creator_credit")?,
            event_count: market.get("seq")?,
            created_at: market.get("created_at")?,
            created_slot: market.get("created_slot")?,
            closed: market.is_closed()?,
            closed_slot: market.get("closed_slot")?,
            slot: market.get("slot")?,
            created_seq: market.get("created_seq")?,
            sort_key: market.get("sort_text")?,
        })
    }
}

/// The outcomes between and beyond ascending `thresholds`.
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
