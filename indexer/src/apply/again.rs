//! Decoding, before the stream is followed, of what an older decoder could not.

use tokio_util::sync::CancellationToken;

use super::{ApplyError, MirrorWriter, backend::begin_long, limits::bounded};
use crate::redecode;

impl MirrorWriter<'_> {
    /// Decodes what an older decoder could not. Slots that can still be undone are undone before: the stream
    /// repeats them, and this decoder takes them from there. Returns early if `stop` is cancelled.
    pub async fn decode_again(&mut self, stop: &CancellationToken) -> Result<(), ApplyError> {
        let Some(cursor) = self.cursor().await? else {
            return Ok(());
        };
        if !bounded(redecode::is_due(&mut self.connection)).await? {
            return Ok(());
        }
        let ancestor = cursor.last_ancestor();
        if ancestor < 1 {
            tracing::warn!("no slot is finalized yet; dead letters are tried after a restart");
            return Ok(());
        }
        if ancestor < cursor.slot {
            tracing::info!(
                ancestor,
                "undoing the slots after the finalized one, to decode dead letters"
            );
            self.undo(ancestor).await?;
        }
        while !stop.is_cancelled() {
            let transaction = begin_long(&mut self.connection).await?;
            let tried = redecode::next_batch(transaction);
            match self.backend.while_working(tried).await? {
                Some(cursor) => self.status.observe(Some(&cursor)),
                None => break,
            }
        }
        Ok(())
    }
}
