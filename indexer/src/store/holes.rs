//! What the slots show to be missing: it is read again, or it is on record.

use std::collections::{BTreeSet, HashSet};

use driftshield_sdk::Address;

use super::{Store, addresses_of, bytes_of};
use crate::{
    dead_letter::DeadLetter,
    event_id::EventId,
    kinds,
    lives::{Hole, Sign},
    slot::{EmittedEvent, SealedSlot},
};

/// What happens to a slot that lacks an event or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfIncomplete {
    /// It is not stored, because it can be read again.
    Refuse,
    /// It is stored, because the source has nothing else. A missing event becomes a dead letter, and all
    /// accounts are read again.
    Record,
}

/// A slot that is not stored because it shows that an event or a write is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    pub slot: i64,
    /// The missing event is of a slot after this one.
    pub since: i64,
}

/// Why numbers can jump although no event is missing, besides what the cursor says.
struct Explanations {
    /// Slots with events that could not be decoded: they count, too.
    undecoded: BTreeSet<i64>,
    /// Accounts whose row was refused, so that the mirror has an earlier state.
    refused: HashSet<Address>,
}

impl Store<'_> {
    /// Returns the first slot that must be read again, or records what is missing.
    pub async fn heed(
        &mut self,
        slots: &[&SealedSlot],
        mut holes: Vec<Hole>,
        if_incomplete: IfIncomplete,
    ) -> Result<Option<Incomplete>, sqlx::Error> {
        if if_incomplete == IfIncomplete::Record {
            // Blocks have no writes, and the accounts are read.
            holes.retain(|hole| !matches!(hole.sign, Sign::Write { .. }));
        }
        if holes.is_empty() {
            return Ok(None);
        }
        let explanations = self.explanations(slots, &holes).await?;
        holes.retain(|hole| !explanations.explain(hole) && !self.is_expected(hole));
        if if_incomplete == IfIncomplete::Refuse {
            return Ok(first_incomplete(&holes));
        }
        for hole in &holes {
            let reason = format!("the source lacks events: {hole}");
            let letter = DeadLetter {
                address: Some(hole.address.to_bytes()),
                since: Some(hole.since),
                ..DeadLetter::new("history", hole.slot, &reason)
            };
            letter.store(self.connection).await?;
        }
        if !holes.is_empty() {
            self.lacks_events = true;
            self.cursor.settled_slot = None;
        }
        Ok(None)
    }

    /// Whether the mirror does not claim to have what is missing.
    fn is_expected(&self, hole: &Hole) -> bool {
        let is_older = hole.since < self.cursor.history_from;
        self.cursor.settled_slot.is_none() && (is_older || hole.is_undone)
    }

    async fn explanations(
        &mut self,
        slots: &[&SealedSlot],
        holes: &[Hole],
    ) -> Result<Explanations, sqlx::Error> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "select event_id from chain.dead_letter
             where resolved_at is null and subject = 'event' and event_id is not null",
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let refused: Vec<Vec<u8>> = sqlx::query_scalar(
            "select address from chain.dead_letter
             where resolved_at is null and subject = $1 and address = any($2)",
        )
        .bind(kinds::ACCOUNT_TABLE)
        .bind(bytes_of(holes.iter().map(|hole| &hole.address)))
        .fetch_all(&mut *self.connection)
        .await?;
        let is_undecoded = |emitted: &EmittedEvent| emitted.event.is_none();
        let undecoded = slots
            .iter()
            .filter(|slot| slot.events.iter().any(is_undecoded));
        let earlier = ids.into_iter().map(|id| EventId::from_i64(id).slot());
        Ok(Explanations {
            undecoded: undecoded.map(|slot| slot.slot).chain(earlier).collect(),
            refused: addresses_of(refused),
        })
    }
}

/// The first slot with a hole. Its holes can be of several events.
fn first_incomplete(holes: &[Hole]) -> Option<Incomplete> {
    let first = holes.first()?;
    let slot = first.slot;
    tracing::warn!(hole = %first, slot, "the slot is incomplete");
    let of_slot = holes.iter().filter(|hole| hole.slot == slot);
    let since = of_slot.map(|hole| hole.since).min()?;
    Some(Incomplete { slot, since })
}

impl Explanations {
    fn explain(&self, hole: &Hole) -> bool {
        // A reading of a slot that was undone can have closed the account.
        let since = hole.since.min(hole.slot);
        let mut undecoded = self.undecoded.range(since..=hole.slot);
        undecoded.next().is_some() || self.refused.contains(&hole.address)
    }
}
