//! When each part of the mirror last changed, by the records of the feed that this process has read.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use super::scope::{Kind, Scope};
use crate::{feed::FeedMessage, tail::Change, updates::Record};

/// Number of channels that are remembered. Beyond it, all count as changed.
const MAX_CHANNELS: usize = 200_000;

/// Latest record of each scope.
#[derive(Default)]
pub struct Changes(RwLock<Latest>);

#[derive(Default)]
struct Latest {
    /// Everything changed with the record of this number, or before the process read the feed.
    everything: i64,
    /// Latest record of any kind.
    any: i64,
    kinds: [i64; Kind::ALL.len()],
    channels: HashMap<String, i64>,
}

impl Changes {
    /// Takes what the feed hands out.
    pub fn take(&self, change: &Change<'_>) {
        match change {
            Change::Record(Record {
                seq,
                channels,
                message: Some(FeedMessage::Update(_)),
            }) => self.note(*seq, channels.iter().map(String::as_str)),
            // A rollback, a gap, or accounts that are otherwise than before.
            Change::Record(Record { seq, .. }) => self.note_everything(*seq),
            Change::Begun { position } | Change::Discontinued { position, .. } => {
                self.note_everything(position.seq);
            }
        }
    }

    /// Records that the record `seq` concerns these channels. One that concerns no account with a channel
    /// can change anything, such as a registered collateral.
    pub fn note<'a>(&self, seq: i64, channels: impl IntoIterator<Item = &'a str>) {
        let mut latest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut concerned = false;
        for channel in channels {
            let kind = channel
                .split_once(':')
                .and_then(|(prefix, _)| Kind::ALL.into_iter().find(|kind| kind.name() == prefix));
            if let Some(kind) = kind {
                concerned = true;
                latest.kinds[kind as usize] = seq;
                latest.set(channel, seq);
            }
        }
        latest.any = seq;
        if !concerned {
            latest.everything = seq;
        }
    }

    /// Records that everything may have changed with the record `seq`: the chain was rolled back, or the
    /// feed does not continue.
    pub fn note_everything(&self, seq: i64) {
        let mut latest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *latest = Latest {
            everything: seq,
            any: seq,
            ..Latest::default()
        };
    }

    /// Latest record that can have changed an answer of this scope.
    pub fn latest(&self, scope: &Scope) -> i64 {
        let latest = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_scope = match scope {
            Scope::Channel(channel) => latest.channels.get(channel).copied().unwrap_or(0),
            Scope::Kinds(kinds) => {
                let of_kinds = kinds.iter().map(|kind| latest.kinds[*kind as usize]);
                of_kinds.max().unwrap_or(0)
            }
            Scope::Everything => latest.any,
        };
        of_scope.max(latest.everything)
    }
}

impl Latest {
    fn set(&mut self, channel: &str, seq: i64) {
        if let Some(latest) = self.channels.get_mut(channel) {
            *latest = seq;
            return;
        }
        if self.channels.len() == MAX_CHANNELS {
            self.channels.clear();
            self.everything = seq;
        }
        self.channels.insert(channel.to_owned(), seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Scope {
        Scope::Channel(name.to_owned())
    }

    #[test]
    fn a_record_changes_the_scopes_of_its_channels_only() {
        let changes = Changes::default();
        changes.note_everything(3);
        changes.note(4, ["market:a", "wallet:w"]);
        changes.note(5, ["model:m"]);
        for (scope, latest) in [
            (channel("market:a"), 4),
            (channel("market:b"), 3),
            (channel("model:m"), 5),
            (Scope::Kinds(&[Kind::Market]), 4),
            (Scope::Kinds(&[Kind::Vault]), 3),
            (Scope::Kinds(&[Kind::Market, Kind::Model]), 5),
            (Scope::Everything, 5),
        ] {
            assert_eq!(changes.latest(&scope), latest, "{scope:?}");
        }
    }

    #[test]
    fn a_record_without_an_account_changes_everything() {
        let changes = Changes::default();
        changes.note(4, ["wallet:w"]);
        assert_eq!(changes.latest(&channel("market:a")), 4);
    }

    #[test]
    fn numbers_of_an_earlier_numbering_are_forgotten() {
        let changes = Changes::default();
        changes.note(90, ["market:a"]);
        changes.note_everything(2);
        assert_eq!(changes.latest(&channel("market:a")), 2);
        assert_eq!(changes.latest(&Scope::Everything), 2);
    }

    #[test]
    fn channels_that_are_forgotten_count_as_changed() {
        let changes = Changes::default();
        changes.note(1, ["market:a"]);
        for number in 0..MAX_CHANNELS {
            let name = format!("market:{number}");
            changes.note(2, [name.as_str()]);
        }
        assert_eq!(changes.latest(&channel("market:a")), 2);
    }
}
