//! Cursor: progress of the mirror, and the relation of the next slot to it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{
    apply::{ApplyError, notify},
    slot::{Blockhash, SealedSlot},
};

/// Duration of a slot. The age of data without any block time is estimated from it.
const SLOT_MILLISECONDS: i64 = 400;
/// Longest such estimate: some years, so that what comes out is a time of Postgres.
const MAX_ESTIMATE_MILLISECONDS: i64 = 1 << 38;

/// The row of `chain.cursor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Names the numbering of `seq`. A rebuilt mirror has a higher epoch, and so has one whose server may
    /// have lost transactions.
    pub epoch: i64,
    /// Last applied slot.
    pub slot: i64,
    pub blockhash: Blockhash,
    /// Time of the last block that has one; `None` if none had.
    pub block_time: Option<DateTime<Utc>>,
    /// Sequence number of the last record of the feed.
    pub seq: i64,
    pub finalized_slot: i64,
    /// Newest slot that the source has reached.
    pub tip_slot: i64,
    /// When the source last reached a new slot.
    pub tip_at: DateTime<Utc>,
    /// Slot at which the mirror last had all accounts; `None` while it may miss some.
    pub settled_slot: Option<i64>,
    /// First slot whose events are complete; events of earlier slots may be missing.
    pub history_from: i64,
    /// Whether the mirror follows the chain, rather than being filled with past slots.
    pub is_following: bool,
    /// How far the time of a block may be behind the clock although the block is new. A setting of the
    /// process that follows the chain, which [`take_over`] writes.
    pub block_time_tolerance: TimeDelta,
}

impl sqlx::FromRow<'_, PgRow> for Cursor {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let blockhash: Vec<u8> = row.try_get("blockhash")?;
        let blockhash = blockhash
            .try_into()
            .map_err(|_| sqlx::Error::ColumnDecode {
                index: "blockhash".to_owned(),
                source: "not 32 bytes".into(),
            })?;
        Ok(Self {
            epoch: row.try_get("epoch")?,
            slot: row.try_get("slot")?,
            blockhash,
            block_time: row.try_get("block_time")?,
            seq: row.try_get("seq")?,
            finalized_slot: row.try_get("finalized_slot")?,
            tip_slot: row.try_get("tip_slot")?,
            tip_at: row.try_get("tip_at")?,
            settled_slot: row.try_get("settled_slot")?,
            history_from: row.try_get("history_from")?,
            is_following: row.try_get("is_following")?,
            block_time_tolerance: TimeDelta::milliseconds(row.try_get("block_time_tolerance")?),
        })
    }
}

impl Cursor {
    /// Reads the cursor; `None` if the mirror is empty.
    pub async fn read(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as("select * from chain.cursor")
            .fetch_optional(connection)
            .await
    }

    /// Locks the cursor's row until the end of the transaction, and reads it.
    ///
    /// # Errors
    ///
    /// The mirror is empty, or the database fails.
    pub async fn lock(connection: &mut PgConnection) -> Result<Self, ApplyError> {
        let cursor = sqlx::query_as("select * from chain.cursor for update")
            .fetch_optional(connection)
            .await?;
        cursor.ok_or(ApplyError::NoCursor)
    }

    pub async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into chain.cursor (epoch, slot, blockhash, block_time, seq, finalized_slot,
               tip_slot, tip_at, settled_slot, history_from, is_following, block_time_tolerance,
               as_of)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(self.epoch)
        .bind(self.slot)
        .bind(self.blockhash.as_slice())
        .bind(self.block_time)
        .bind(self.seq)
        .bind(self.finalized_slot)
        .bind(self.tip_slot)
        .bind(self.tip_at)
        .bind(self.settled_slot)
        .bind(self.history_from)
        .bind(self.is_following)
        .bind(self.block_time_tolerance.num_milliseconds())
        .bind(self.as_of())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Writes all columns but the setting.
    pub async fn update(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update chain.cursor set slot = $1, blockhash = $2, block_time = $3, seq = $4,
               finalized_slot = $5, tip_slot = $6, tip_at = $7, settled_slot = $8, epoch = $9,
               is_following = $10, history_from = $11, as_of = $12,
               updated_at = now()",
        )
        .bind(self.slot)
        .bind(self.blockhash.as_slice())
        .bind(self.block_time)
        .bind(self.seq)
        .bind(self.finalized_slot)
        .bind(self.tip_slot)
        .bind(self.tip_at)
        .bind(self.settled_slot)
        .bind(self.epoch)
        .bind(self.is_following)
        .bind(self.history_from)
        .bind(self.as_of())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Appends a record to the feed that is of no event and concerns all clients.
    pub async fn announce(
        &mut self,
        connection: &mut PgConnection,
        kind: &str,
        body: &Value,
    ) -> Result<(), sqlx::Error> {
        self.seq += 1;
        sqlx::query(
            "insert into chain.feed (seq, epoch, slot, kind, channels, body)
             values ($1, $2, $3, $4, '{}', $5)",
        )
        .bind(self.seq)
        .bind(self.epoch)
        .bind(self.slot)
        .bind(kind)
        .bind(body)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Tells readers that the mirror shows accounts otherwise than before, without an event.
    pub async fn announce_settled(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        self.announce(connection, "settled", &Value::Object(Map::new()))
            .await
    }

    /// Whether the mirror's state is that of another cursor. What is known of the source can differ.
    pub fn is_at(&self, other: &Self) -> bool {
        let state = |cursor: &Self| {
            (
                (cursor.epoch, cursor.seq, cursor.slot, cursor.blockhash),
                (cursor.settled_slot, cursor.is_following),
            )
        };
        state(self) == state(other)
    }

    /// Moves to the next slot.
    pub fn advance(&mut self, sealed: &SealedSlot) {
        self.slot = sealed.slot;
        self.blockhash = sealed.blockhash;
        self.block_time = sealed.block_time.or(self.block_time);
    }

    /// Number of slots by which the mirror is behind its source.
    pub fn lag_slots(&self) -> i64 {
        self.tip_slot.saturating_sub(self.slot).max(0)
    }

    /// The time from which the age of the data counts, for all who state that age: when the source reached its
    /// tip, or, if that is earlier, the time of the last block.
    ///
    /// The block counts only if the mirror is behind the source, or the block was older than the tolerance when the
    /// source reached it: a source that catches up itself has nothing newer than an old block. Otherwise the
    /// clocks of the chain and of the mirror would be in the age.
    pub fn as_of(&self) -> DateTime<Utc> {
        let lag = self.lag_slots();
        let estimated = lag.saturating_mul(SLOT_MILLISECONDS);
        let estimated = TimeDelta::milliseconds(estimated.min(MAX_ESTIMATE_MILLISECONDS));
        let block_time = self.block_time.unwrap_or(self.tip_at - estimated);
        if 0 < lag || self.block_time_tolerance < self.tip_at - block_time {
            self.tip_at.min(block_time)
        } else {
            self.tip_at
        }
    }

    /// First slot up to which slots can be undone: the last finalized one, or, after a loss of slots, the one
    /// before those that followed.
    pub fn last_ancestor(&self) -> i64 {
        self.finalized_slot.max(self.history_from - 1)
    }

    /// Whether no slot of the mirror can be undone.
    pub fn is_final(&self) -> bool {
        self.slot <= self.last_ancestor()
    }

    /// Records which slots the source, which is of the mirrored chain, knows of. Another source can know of
    /// fewer than the one before; the age of the data still counts from the latest slot then.
    pub fn observe(&mut self, tip: Tip) {
        if self.tip_slot < tip.slot {
            self.tip_at = tip.at;
        }
        self.tip_slot = tip.slot;
    }

    /// Classifies a sealed slot by slot numbers and blockhashes. `applied_hash` is the blockhash
    /// that the mirror has applied at this slot, if any.
    pub fn continuity(&self, applied_hash: Option<&Blockhash>, sealed: &SealedSlot) -> Continuity {
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

/// Takes note of the process that writes the mirror from now on, and of its server. If the server is not the
/// one that numbered the feed, or was restored, it may lack transactions that readers have seen, whose
/// numbers will be given again: a new epoch begins, and the result is true.
pub async fn take_over(
    connection: &mut PgConnection,
    block_time_tolerance: Duration,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query_as(
        "with before as (select *, chain.timeline() as own from chain.cursor)
         update chain.cursor set timeline = own, block_time_tolerance = $1,
           epoch = case when before.timeline = own then before.epoch
             else greatest(before.epoch + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint) end
         from before
         where (before.timeline, before.block_time_tolerance) <> (own, $1)
         returning cursor.seq, before.timeline <> own",
    )
    .bind(i64::try_from(block_time_tolerance.as_millis()).unwrap_or(i64::MAX));
    let taken: Option<(i64, bool)> = taken.fetch_optional(&mut *connection).await?;
    match taken {
        Some((seq, true)) => {
            notify(connection, seq).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Newest slot that a source has reached, and when it reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    pub slot: i64,
    pub at: DateTime<Utc>,
}

/// Relation of a sealed slot to the applied slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The child of the last applied slot.
    Next,
    /// Applied already.
    Duplicate,
    /// Slots between the last applied one and this one are missing.
    Gap,
    /// Not a descendant of the last applied slot.
    Fork,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: char) -> Blockhash {
        [name as u8; 32]
    }

    fn cursor() -> Cursor {
        Cursor {
            epoch: 1,
            slot: 105,
            blockhash: hash('e'),
            block_time: None,
            seq: 0,
            finalized_slot: 0,
            tip_slot: 105,
            tip_at: DateTime::UNIX_EPOCH,
            settled_slot: None,
            history_from: 0,
            is_following: true,
            block_time_tolerance: TimeDelta::zero(),
        }
    }

    fn sealed(slot: i64, name: char, parent_slot: i64, parent: char) -> SealedSlot {
        SealedSlot {
            slot,
            blockhash: hash(name),
            parent_slot,
            parent_blockhash: hash(parent),
            block_time: None,
            writes: vec![],
            emptied: [].into(),
            events: vec![],
        }
    }

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    /// The second from which the age counts, of a mirror at `slot` whose source reached the slot 20 at 1,000.
    fn as_of(slot: i64, block_time: Option<i64>) -> i64 {
        let cursor = Cursor {
            slot,
            block_time: block_time.map(at),
            tip_slot: 20,
            tip_at: at(1_000),
            block_time_tolerance: TimeDelta::seconds(30),
            ..cursor()
        };
        cursor.as_of().timestamp()
    }

    #[test]
    fn the_age_counts_from_the_tip_or_from_the_block_if_the_mirror_or_its_source_is_behind() {
        assert_eq!(as_of(20, Some(970)), 1_000);
        assert_eq!(as_of(20, Some(969)), 969);
        assert_eq!(as_of(20, Some(1_002)), 1_000);
        assert_eq!(as_of(19, Some(970)), 970);
        assert_eq!(as_of(19, Some(1_002)), 1_000);
        // A source that knows of fewer slots than the mirror
        assert_eq!(as_of(21, Some(990)), 1_000);
        // No block had a time.
        assert_eq!(as_of(20, None), 1_000);
        assert_eq!(as_of(10, None), 996);
        let empty = as_of(i64::MIN, None);
        assert!((-(1 << 33)..0).contains(&empty), "{empty}");
    }

    #[test]
    fn a_block_without_a_time_is_as_old_as_the_one_before() {
        let mut cursor = Cursor {
            block_time: Some(at(400)),
            tip_slot: 200,
            tip_at: at(1_000),
            ..cursor()
        };
        cursor.advance(&sealed(106, 'f', 105, 'e'));
        assert_eq!((cursor.slot, cursor.as_of()), (106, at(400)));
        let timed = SealedSlot {
            block_time: Some(at(500)),
            ..sealed(107, 'g', 106, 'f')
        };
        cursor.advance(&timed);
        assert_eq!(cursor.as_of(), at(500));
    }

    #[test]
    fn a_later_slot_is_classified_by_its_parent() {
        for (later, continuity) in [
            (sealed(108, 'f', 105, 'e'), Continuity::Next),
            (sealed(108, 'f', 105, 'x'), Continuity::Fork),
            (sealed(108, 'f', 103, 'c'), Continuity::Fork),
            (sealed(108, 'f', 107, 'x'), Continuity::Gap),
        ] {
            assert_eq!(cursor().continuity(None, &later), continuity, "{later:?}");
        }
    }

    #[test]
    fn a_repeated_slot_is_classified_by_its_blockhash() {
        let repeated = sealed(103, 'c', 102, 'b');
        let continuity =
            |applied: Option<char>| cursor().continuity(applied.map(hash).as_ref(), &repeated);
        assert_eq!(continuity(Some('c')), Continuity::Duplicate);
        assert_eq!(continuity(Some('x')), Continuity::Fork);
        assert_eq!(continuity(None), Continuity::Fork);
    }

    #[test]
    fn the_tip_is_that_of_the_source_and_a_lower_one_makes_the_data_no_younger() {
        let mut cursor = cursor();
        for (slot, secs, tip_secs) in [(110, 9, 9), (110, 12, 9), (107, 15, 9), (108, 18, 18)] {
            cursor.observe(Tip { slot, at: at(secs) });
            assert_eq!((cursor.tip_slot, cursor.tip_at), (slot, at(tip_secs)));
        }
    }
}
