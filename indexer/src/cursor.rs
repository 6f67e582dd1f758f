//! Cursor: progress of the mirror, and the relation of the next slot to it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::slot::SealedSlot;

/// The row of `chain.cursor`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Cursor {
    /// Last applied slot.
    pub slot: i64,
    pub blockhash: String,
    pub block_time: Option<DateTime<Utc>>,
    /// Sequence number of the last event.
    pub seq: i64,
    pub finalized_slot: i64,
    /// First slot whose events are complete; events of earlier slots may be missing.
    pub history_from: i64,
}

impl Cursor {
    /// Reads the cursor; `None` before the first snapshot.
    pub async fn read(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select slot, blockhash, block_time, seq, finalized_slot, history_from
             from chain.cursor",
        )
        .fetch_optional(connection)
        .await
    }

    /// Locks the cursor's row until the end of the transaction, and reads it.
    pub async fn lock(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query("select from chain.cursor for update")
            .execute(&mut *connection)
            .await?;
        Self::read(connection).await
    }

    /// Writes all columns but `history_from`, which never changes.
    pub async fn update(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update chain.cursor set slot = $1, blockhash = $2, block_time = $3, seq = $4,
             finalized_slot = $5, updated_at = now()",
        )
        .bind(self.slot)
        .bind(&self.blockhash)
        .bind(self.block_time)
        .bind(self.seq)
        .bind(self.finalized_slot)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Classifies a sealed slot by slot numbers and blockhashes. `applied_hash` is the blockhash
    /// that the mirror has applied at this slot, if any.
    pub fn continuity(&self, applied_hash: Option<&str>, sealed: &SealedSlot) -> Continuity {
        if sealed.slot <= self.slot {
            return if applied_hash == Some(&sealed.blockhash) {
                Continuity::Duplicate
            } else {
                Continuity::Fork
            };
        }
        if self.slot < sealed.parent_slot {
            Continuity::Gap
        } else if (sealed.parent_slot, &sealed.parent_blockhash) == (self.slot, &self.blockhash) {
            Continuity::Next
        } else {
            Continuity::Fork
        }
    }
}

/// Relation of a sealed slot to the applied slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The child of the last applied slot.
    Next,
    /// Already applied.
    Duplicate,
    /// A slot whose parent is later than the last applied slot: slots are missing.
    Gap,
    /// A slot on another fork or another chain.
    Fork,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            slot: 105,
            blockhash: "e".into(),
            block_time: None,
            seq: 0,
            finalized_slot: 0,
            history_from: 100,
        }
    }

    fn sealed(slot: i64, blockhash: &str, parent_slot: i64, parent: &str) -> SealedSlot {
        SealedSlot {
            slot,
            blockhash: blockhash.into(),
            parent_slot,
            parent_blockhash: parent.into(),
            block_time: None,
            writes: vec![],
            closed: Default::default(),
            events: vec![],
        }
    }

    #[test]
    fn a_later_slot_is_classified_by_its_parent() {
        for (later, continuity) in [
            (sealed(106, "f", 105, "e"), Continuity::Next),
            (sealed(109, "f", 105, "e"), Continuity::Next),
            (sealed(106, "f", 105, "another"), Continuity::Fork),
            (sealed(107, "f", 104, "d"), Continuity::Fork),
            (sealed(108, "f", 107, "x"), Continuity::Gap),
        ] {
            assert_eq!(cursor().continuity(None, &later), continuity, "{later:?}");
        }
    }

    #[test]
    fn a_repeated_slot_is_classified_by_its_blockhash() {
        let repeated = sealed(103, "c", 102, "b");
        let continuity = |applied_hash| cursor().continuity(applied_hash, &repeated);
        assert_eq!(continuity(Some("c")), Continuity::Duplicate);
        assert_eq!(continuity(Some("x")), Continuity::Fork);
        assert_eq!(continuity(None), Continuity::Fork);
    }
}
