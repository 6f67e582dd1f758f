//! Decoding of what an older decoder could not, and storing of what Postgres refused.
//!
//! A newer decoder goes through the open rows of `chain.dead_letter` that an older one wrote: first rows of
//! `chain.event` that Postgres refused, then events, then accounts, then rows derived from events. Each
//! batch is one transaction with the cursor, in which its letters are resolved or, if they fail again, get the
//! decoder's version. So each letter is tried once by each version, and after a kill, the next process
//! goes on with the others.
//!
//! No slot of the mirror may be one that can still be undone: what is decoded late is not in the versions
//! that an undo restores.

mod accounts;
mod events;
mod letters;
mod places;
mod refused;
mod states;

use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::{ApplyError, notify},
    cursor::Cursor,
    kinds::DECODER_VERSION,
    lives::ChangedLife,
    ranks,
    store::{Care, Store},
};
use letters::{Batch, Stage};

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
        Store {
            connection: self.connection,
            cursor: self.cursor,
            care: Care::Careful,
        }
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
}

/// Whether an older decoder has left something that this one may decode.
pub async fn is_due(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from chain.dead_letter
             where resolved_at is null and decoder_version < $1
               and (address is not null or event_id is not null))
           or exists (select from chain.account
             where kind is null and closed_slot is null and decoder_version < $1)",
    )
    .bind(DECODER_VERSION)
    .fetch_one(connection)
    .await
}

/// Tries the next letters again. Returns the cursor after it; `None` if no letter is left.
pub async fn next_batch(
    mut transaction: Transaction<'_, Postgres>,
) -> Result<Option<Cursor>, ApplyError> {
    let cursor = Cursor::lock(&mut transaction).await?;
    let mut cursor = cursor.ok_or(ApplyError::NoCursor)?;
    let seq_before = cursor.seq;
    let batch = Batch::read(&mut transaction).await?;
    let mut redecode = Redecode {
        connection: &mut transaction,
        cursor: &mut cursor,
    };
    let failures = match batch.stage {
        Stage::EventRows => refused::store_events(&mut redecode, &batch.letters).await?,
        Stage::Events => events::decode(&mut redecode, &batch.letters).await?,
        Stage::Accounts => accounts::decode(&mut redecode, &batch.letters).await?,
        Stage::Rows => refused::store_derived(&mut redecode, &batch.letters).await?,
        Stage::Others => batch.unchanged(),
        Stage::Unknown => {
            if !accounts::decode_unknown(&mut redecode).await? {
                return Ok(None);
            }
            vec![]
        }
    };
    let (resolved, failed) = batch.settle(&mut transaction, &failures).await?;
    tracing::info!(resolved, failed, stage = ?batch.stage, "tried dead letters again");
    cursor.update(&mut transaction).await?;
    if seq_before < cursor.seq {
        notify(&mut transaction, cursor.seq).await?;
    }
    transaction.commit().await?;
    Ok(Some(cursor))
}
