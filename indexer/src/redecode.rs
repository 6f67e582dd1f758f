//! Decoding of what an older decoder could not, and storing of what Postgres refused.
//!
//! A newer decoder goes through the open rows of `chain.dead_letter` that an older one wrote: first rows of
//! `chain.event` that Postgres refused, then events, then accounts, then rows derived from events, and totals.
//! Each batch is one transaction with the cursor, in which its letters are resolved or, if they fail again, get the
//! decoder's version. So each letter is tried once by each version, and after a kill, the next process
//! goes on with the others.
//!
//! What a batch needs is read for all of its letters at once, so that its cost depends on the batch and on
//! the events of the accounts that it concerns, and not on how many letters are left.
//!
//! A batch is tried only while no slot of the mirror can be undone: what is decoded late is not in the versions
//! that an undo restores. Slots are followed in between: until no letter is left, those that can still be
//! undone wait (`run/follow.rs`).

mod accounts;
mod addresses;
mod due;
mod events;
mod fields;
mod letters;
mod neighbours;
mod places;
mod refused;
mod states;
mod totals;

use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::{ApplyError, notify},
    cursor::Cursor,
    lives::ChangedLife,
    ranks,
    store::{Care, Store},
};
pub use due::Due;
use due::{Stage, Work};
use letters::Batch;

/// Makes Postgres look up the rows of a batch by index. They are few, but the planner expects so many of them that
/// it would read whole tables.
const BY_INDEX: &str = "
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local jit = off";

/// Why a letter stays open.
pub type Failure = String;

/// The transaction of a batch.
struct Redecode<'a> {
    connection: &'a mut PgConnection,
    cursor: &'a mut Cursor,
}

impl Redecode<'_> {
    /// Stores row by row: what Postgres refuses becomes a letter.
    fn store(&mut self) -> Store<'_> {
        Store::new(self.connection, self.cursor, Care::Careful)
    }

    /// Replaces the rows of lives, with their ranks.
    async fn store_lives(&mut self, changed: Vec<ChangedLife>) -> Result<(), sqlx::Error> {
        let ranked = ranks::Keys::of(&changed);
        let slot = self.cursor.slot;
        self.store().store_lives(slot, changed).await?;
        ranks::store(self.connection, &ranked, self.cursor.seq).await
    }

    /// Tells readers that the mirror shows more than before. While it isn't settled, it has no readers.
    async fn announce_accounts(&mut self) -> Result<(), sqlx::Error> {
        if self.cursor.settled_slot.is_none() {
            return Ok(());
        }
        self.cursor.announce_settled(self.connection).await
    }

    /// Tries letters again.
    async fn letters(&mut self, stage: Stage, ids: &[i64]) -> Result<(), sqlx::Error> {
        let batch = Batch::read(self.connection, ids).await?;
        let failures = match stage {
            Stage::EventRows => refused::store_events(self, &batch.letters).await?,
            Stage::Events => events::decode(self, &batch.letters).await?,
            Stage::Accounts => accounts::decode(self, &batch.letters).await?,
            Stage::Rows => refused::store_derived(self, &batch.letters).await?,
            Stage::Totals => totals::add(self, &batch.letters).await?,
        };
        let (resolved, failed) = batch.settle(self.connection, failures).await?;
        tracing::info!(resolved, failed, ?stage, "tried dead letters again");
        Ok(())
    }
}

/// Tries the next of what is due. Returns the cursor after it; `None`, with nothing tried, if a slot of the
/// mirror can be undone.
pub async fn next_batch(
    mut transaction: Transaction<'_, Postgres>,
    due: &mut Due,
) -> Result<Option<Cursor>, ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    if !cursor.is_final() {
        return Ok(None);
    }
    sqlx::raw_sql(BY_INDEX).execute(&mut *transaction).await?;
    let seq_before = cursor.seq;
    let mut redecode = Redecode {
        connection: &mut transaction,
        cursor: &mut cursor,
    };
    match due.take() {
        Some(Work::Letters(stage, ids)) => redecode.letters(stage, &ids).await?,
        Some(Work::Unknown(unknown)) => accounts::decode_unknown(&mut redecode, unknown).await?,
        None => {}
    }
    cursor.update(&mut transaction).await?;
    if seq_before < cursor.seq {
        notify(&mut transaction, cursor.seq).await?;
    }
    transaction.commit().await?;
    Ok(Some(cursor))
}
