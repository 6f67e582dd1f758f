//! The latest records of the feed, within bounds.

use std::collections::VecDeque;

use crate::feed::FeedMessage;

use super::super::limits::{RECENT_BYTES, RECENT_RECORDS};

/// Consecutive records.
#[derive(Default)]
pub struct Recent {
    records: VecDeque<Option<FeedMessage>>,
    /// `seq` of the last one.
    last: i64,
    bytes: usize,
}

impl Recent {
    /// Keeps the records after `seq`.
    pub fn new(seq: i64) -> Self {
        Self {
            last: seq,
            ..Self::default()
        }
    }

    /// Adds the next record. `None` has no message.
    pub fn push(&mut self, seq: i64, message: Option<&FeedMessage>) {
        self.last = seq;
        self.bytes += size(message);
        self.records.push_back(message.cloned());
        while RECENT_RECORDS < self.records.len() || RECENT_BYTES < self.bytes {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes -= size(oldest.as_ref());
        }
    }

    /// The messages of the records after `seq`; `None` if one of them is not kept.
    pub fn after(&self, seq: i64) -> Option<impl Iterator<Item = &FeedMessage>> {
        let count = usize::try_from(self.last - seq).unwrap_or(0);
        let skipped = self.records.len().checked_sub(count)?;
        Some(self.records.iter().skip(skipped).flatten())
    }
}

fn size(message: Option<&FeedMessage>) -> usize {
    let own = size_of::<Option<FeedMessage>>();
    match message {
        Some(FeedMessage::Update(update)) => own + update.size(),
        _ => own,
    }
}
