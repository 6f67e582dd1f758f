//! Decoding, between the slots, of what an older decoder could not.

use super::{ApplyError, MirrorWriter, backend::begin_long, limits::bounded};
use crate::{
    cursor::Cursor,
    redecode::{self, Due},
};

impl MirrorWriter<'_> {
    /// What an older decoder could not decode, or Postgres refused.
    pub async fn due(&mut self) -> Result<Due, ApplyError> {
        let mut transaction = begin_long(&mut self.connection).await?;
        let due = self
            .backend
            .while_working(Due::read(&mut transaction))
            .await?;
        bounded(transaction.commit()).await?;
        Ok(due)
    }

    /// Tries the next of what is due. `None`, with nothing tried, if a slot of the mirror can be undone.
    pub async fn decode_again(&mut self, due: &mut Due) -> Result<Option<Cursor>, ApplyError> {
        let transaction = begin_long(&mut self.connection).await?;
        let tried = redecode::next_batch(transaction, due);
        let cursor = self.backend.while_working(tried).await?;
        if cursor.is_some() {
            self.status.observe(cursor.as_ref());
        }
        Ok(cursor)
    }
}
