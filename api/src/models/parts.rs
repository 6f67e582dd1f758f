//! Parts of a model: its oracles, and their pay.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    columns::Columns,
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
struct Tenure {
    counts: u8,
    listed_at: String,
    leave_at: String,
}

impl Oracle {
    /// The oracles of a model, in its order.
    pub fn list(columns: &Columns) -> Result<Vec<Self>, sqlx::Error> {
        let count = columns.count("oracle_count")?;
        let oracles: Vec<Key> = columns.get("oracles")?;
        let bonds = columns.amounts("bonds", count)?;
        let tenures: Vec<Tenure> = columns.nested("tenures")?;
        let rewards = columns.amounts("rewards", count)?;
        let penalties = columns.amounts("penalties", count)?;
        Ok(std::iter::zip(oracles, bonds)
            .zip(std::iter::zip(rewards, penalties))
            .zip(&tenures)
            .map(|(((oracle, bond), (reward, penalty)), tenure)| {
                Self::new(oracle, bond, reward, penalty, tenure)
            })
            .collect())
    }

    fn new(oracle: Key, bond: Scaled, reward: Scaled, penalty: Scaled, tenure: &Tenure) -> Self {
        let time = |secs: &String| DateTime::from_timestamp(secs.parse().ok()?, 0);
        Self {
            oracle,
            bond,
            reward,
            penalty,
            counts: tenure.counts != 0,
            listed_at: time(&tenure.listed_at),
            leave_at: time(&tenure.leave_at).filter(|time| time.timestamp() != 0),
        }
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
struct MirroredPot {
    waiting: U64,
    unearned: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    until: i64,
}

impl Pot {
    pub fn from_columns(columns: &Columns) -> Result<Self, sqlx::Error> {
        let pot: MirroredPot = columns.nested("pot")?;
        let until = (pot.until != 0).then(|| DateTime::from_timestamp(pot.until, 0));
        Ok(Self {
            waiting: Scaled::new(pot.waiting.0, columns.decimals),
            unearned: Scaled::new(pot.unearned.0, columns.decimals),
            until: until.flatten(),
        })
    }
}
