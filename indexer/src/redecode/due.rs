//! What an older decoder left, in the order in which it is tried.

use std::collections::VecDeque;

use sqlx::PgConnection;

use crate::{
    event_id::EventId,
    hourly,
    kinds::{self, DECODER_VERSION},
};

/// Letters that are tried in one transaction. Events of one slot are not divided.
const BATCH: usize = 256;
/// Tables whose rows are derived from an event.
const DERIVED: [&str; 8] = [
    "chain.event_account",
    "chain.event_party",
    "chain.odds",
    "chain.sale",
    "chain.penalty",
    "chain.capital",
    "chain.policy_payout",
    "chain.feed",
];

/// What letters are about, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows of `chain.event` that Postgres refused.
    EventRows,
    /// Events that could not be decoded.
    Events,
    /// Accounts that could not be decoded, and their rows that Postgres refused.
    Accounts,
    /// Rows derived from events that Postgres refused.
    Rows,
    /// Totals that Postgres refused.
    Totals,
}

impl Stage {
    fn from_number(number: i32) -> Option<Self> {
        [
            Self::EventRows,
            Self::Events,
            Self::Accounts,
            Self::Rows,
            Self::Totals,
        ]
        .get(usize::try_from(number).ok()?)
        .copied()
    }
}

/// An open letter of an older decoder.
#[derive(Clone, Copy)]
struct DueLetter {
    stage: Stage,
    id: i64,
    /// Slot of the event that it is about; 0 if it is about none.
    event_slot: i64,
}

/// What this decoder tries, once each. It adds nothing to it: its own letters wait for a newer one.
#[derive(Default)]
pub struct Due {
    letters: VecDeque<DueLetter>,
    /// Open accounts of types that the older decoder did not know: addresses and lives.
    unknown: VecDeque<(Vec<u8>, i64)>,
}

/// What is tried in one transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// The letters with these ids.
    Letters(Stage, Vec<i64>),
    /// Accounts of types that the older decoder did not know.
    Unknown(Vec<(Vec<u8>, i64)>),
}

impl Due {
    /// Reads what is left. What no decoder can remedy, such as messages that arrived too late, stays open with
    /// this version.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let tables: Vec<_> = kinds::all_tables().collect();
        let rows: Vec<(Option<i32>, i64, Option<i64>)> = sqlx::query_as(
            "select case
                 when subject = 'chain.event' and event_id is not null then 0
                 when subject = 'event' and event_id is not null then 1
                 when address is not null and (subject = 'account' or subject = any($2)) then 2
                 when event_id is not null and subject = any($3) then 3
                 when subject = $4 then 4
               end as stage, id, event_id
             from chain.dead_letter
             where resolved_at is null and decoder_version < $1
             order by stage, event_id, id",
        )
        .bind(DECODER_VERSION)
        .bind(tables)
        .bind(DERIVED.map(str::to_owned).to_vec())
        .bind(hourly::TABLE)
        .fetch_all(&mut *connection)
        .await?;
        let mut due = Self::default();
        let mut others = vec![];
        for (stage, id, event) in rows {
            let Some(stage) = stage.and_then(Stage::from_number) else {
                others.push(id);
                continue;
            };
            due.letters.push_back(DueLetter {
                stage,
                id,
                event_slot: event.map_or(0, |event| EventId::from_i64(event).slot()),
            });
        }
        sqlx::query("update chain.dead_letter set decoder_version = $1 where id = any($2)")
            .bind(DECODER_VERSION)
            .bind(others)
            .execute(&mut *connection)
            .await?;
        due.unknown = sqlx::query_as::<_, (Vec<u8>, i64)>(
            "select address, life from chain.account
             where kind is null and closed_slot is null and decoder_version < $1
             order by address, life",
        )
        .bind(DECODER_VERSION)
        .fetch_all(connection)
        .await?
        .into();
        Ok(due)
    }

    pub fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.unknown.is_empty()
    }

    /// Takes what is tried next; `None` if nothing is left.
    pub fn take(&mut self) -> Option<Work> {
        let Some(first) = self.letters.front().copied() else {
            let batch = self.unknown.len().min(BATCH);
            let unknown: Vec<_> = self.unknown.drain(..batch).collect();
            return (!unknown.is_empty()).then_some(Work::Unknown(unknown));
        };
        let mut ids = vec![];
        let mut last_slot = 0;
        while let Some(letter) = self.letters.front()
            && letter.stage == first.stage
            && (ids.len() < BATCH || first.stage == Stage::Events && letter.event_slot == last_slot)
        {
            ids.push(letter.id);
            last_slot = letter.event_slot;
            self.letters.pop_front();
        }
        Some(Work::Letters(first.stage, ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(letters: &[(Stage, i64)]) -> Due {
        let letters = (0..).zip(letters);
        Due {
            letters: letters
                .map(|(id, &(stage, event_slot))| DueLetter {
                    stage,
                    id,
                    event_slot,
                })
                .collect(),
            unknown: [(vec![7], 1)].into(),
        }
    }

    /// Stages with the number of letters, up to the accounts of unknown types.
    fn batches(mut due: Due) -> Vec<(Stage, usize)> {
        let mut batches = vec![];
        while let Some(Work::Letters(stage, ids)) = due.take() {
            batches.push((stage, ids.len()));
        }
        assert!(due.is_empty());
        batches
    }

    #[test]
    fn a_batch_has_letters_of_one_stage_and_does_not_divide_the_events_of_a_slot() {
        use Stage::{Accounts, EventRows, Events};
        let mut letters = vec![(EventRows, 5); 2];
        letters.extend((0..BATCH as i64 - 1).map(|slot| (Events, slot)));
        letters.extend(vec![(Events, 1_000); 9]);
        letters.extend(vec![(Events, 1_001); 3]);
        letters.extend(vec![(Accounts, 0); BATCH + 1]);
        let expected = [
            (EventRows, 2),
            (Events, BATCH + 8),
            (Events, 3),
            (Accounts, BATCH),
            (Accounts, 1),
        ];
        assert_eq!(batches(due(&letters)), expected);
    }

    #[test]
    fn accounts_of_unknown_types_come_last() {
        let mut due = due(&[(Stage::Rows, 3)]);
        assert_eq!(due.take(), Some(Work::Letters(Stage::Rows, vec![0])));
        assert_eq!(due.take(), Some(Work::Unknown(vec![(vec![7], 1)])));
        assert_eq!(due.take(), None);
    }
}
