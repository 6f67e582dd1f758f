//! Parts of a model: its oracles, and their pay.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    rows::{Token, time, time_if_set},
    values::{Scaled, U64, from_decimal_string},
};

/// Oracle of a model.
#[derive(Serialize, ToSchema)]
pub struct Oracle {
    pub oracle: Key,
    /// Bond, without the part that is unbonding and without `penalty`.
    pub bond: Scaled,
    /// Whether the oracle's seat counts.
    pub counts: bool,
    /// When the oracle was listed. It submits for windows that begin from then on.
    pub listed_at: Option<DateTime<Utc>>,
    /// From when the bond may go whatever is at risk; null unless the seat is leaving.
    pub leave_at: Option<DateTime<Utc>>,
    /// Reward that is not collected yet.
    pub reward: Scaled,
    /// Penalties for silence that `bond` has lost and the seat has not paid yet.
    pub penalty: Scaled,
}

/// A model's record of an oracle, as the mirror stores it.
#[derive(Deserialize)]
pub struct Tenure {
    counts: u8,
    #[serde(deserialize_with = "from_decimal_string")]
    listed_at: i64,
    #[serde(deserialize_with = "from_decimal_string")]
    leave_at: i64,
}

/// Columns of the oracles of a model: one entry for each, in its order, and unused ones.
#[derive(FromRow)]
pub struct OracleColumns {
    #[sqlx(try_from = "i16")]
    oracle_count: u8,
    oracles: Vec<Key>,
    bonds: Vec<U64>,
    #[sqlx(json)]
    tenures: Vec<Tenure>,
    rewards: Vec<U64>,
    penalties: Vec<U64>,
}

impl OracleColumns {
    pub fn oracles(self, token: Token) -> Vec<Oracle> {
        let pays = self.rewards.into_iter().zip(self.penalties);
        let bonds = self.bonds.into_iter().zip(self.tenures);
        let oracles = self.oracles.into_iter().zip(bonds.zip(pays));
        oracles
            .take(self.oracle_count.into())
            .map(|(oracle, ((bond, tenure), (reward, penalty)))| Oracle {
                oracle,
                bond: token.amount(bond),
                counts: tenure.counts != 0,
                listed_at: time(tenure.listed_at),
                leave_at: time_if_set(tenure.leave_at),
                reward: token.amount(reward),
                penalty: token.amount(penalty),
            })
            .collect()
    }
}

/// Pay of a model's oracles, as of the latest event that changed it.
#[derive(Serialize, ToSchema)]
pub struct Pot {
    /// Amount for the windows of later epochs.
    pub waiting: Scaled,
    /// Amount that was released to windows, and that no oracle has earned.
    pub unearned: Scaled,
    /// Time until which `waiting` was paid; null if nothing was ever paid.
    pub until: Option<DateTime<Utc>>,
}

/// JSON form of the pot in the mirror: u64 and i64 as decimal strings.
#[derive(Deserialize)]
pub struct MirroredPot {
    waiting: U64,
    unearned: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    until: i64,
}

impl Pot {
    pub fn new(pot: &MirroredPot, token: Token) -> Self {
        Self {
            waiting: token.amount(pot.waiting),
            unearned: token.amount(pot.unearned),
            until: time_if_set(pot.until),
        }
    }
}
