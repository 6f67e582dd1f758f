//! Channels: who listens to them, and the latest record of each.

use std::{collections::HashMap, sync::Arc};

use crate::feed::Update;

use super::super::{
    limits::REMEMBERED_CHANNELS,
    message::{event_message, state_messages},
    outbox::{Outbox, Queued, SubscriptionId},
};

#[derive(Default)]
pub struct Channels {
    by_name: HashMap<Arc<str>, Channel>,
    /// Channels that are not in `by_name` have no record after this one.
    floor: i64,
}

struct Channel {
    /// `seq` of the latest record; if that is not known, one from which on there is none.
    last: i64,
    listeners: HashMap<SubscriptionId, Arc<Outbox>>,
}

impl Channels {
    /// No channel has listeners, or a record after `floor`.
    pub fn new(floor: i64) -> Self {
        Self {
            by_name: HashMap::new(),
            floor,
        }
    }

    /// `seq` of the channel's latest record, or of one after it.
    pub fn last(&self, channel: &str) -> i64 {
        self.by_name
            .get(channel)
            .map_or(self.floor, |channel| channel.last)
    }

    /// Adds a listener. `last` is a `seq` after which the channel is known to have no record.
    pub fn listen(
        &mut self,
        channel: &Arc<str>,
        (id, outbox): (SubscriptionId, &Arc<Outbox>),
        last: Option<i64>,
    ) {
        let floor = self.floor;
        let channel = self.by_name.entry(Arc::clone(channel));
        let channel = channel.or_insert_with(|| Channel {
            last: floor,
            listeners: HashMap::new(),
        });
        // Messages name the latest record as `prev`, which must not be above what the client has.
        channel.last = last.map_or(channel.last, |last| channel.last.min(last));
        channel.listeners.insert(id, Arc::clone(outbox));
    }

    pub fn leave(&mut self, channel: &str, id: SubscriptionId) {
        if let Some(channel) = self.by_name.get_mut(channel) {
            channel.listeners.remove(&id);
        }
    }

    /// Passes an update to the listeners of its channels.
    pub fn deliver(&mut self, names: &[String], update: &Update) {
        for name in names {
            let Some(channel) = self.by_name.get_mut(name.as_str()) else {
                let channel = Channel {
                    last: update.seq,
                    listeners: HashMap::new(),
                };
                self.by_name.insert(name.as_str().into(), channel);
                continue;
            };
            if !channel.listeners.is_empty() {
                channel.deliver(name, update);
            }
            channel.last = update.seq;
        }
    }

    /// Forgets channels without listeners if there are many. The latest record so far is `seq`.
    pub fn forget(&mut self, seq: i64) {
        // Looked at once in a while, because counting takes time.
        if self.by_name.len() < REMEMBERED_CHANNELS || seq % 1024 != 0 {
            return;
        }
        let before = self.by_name.len();
        self.by_name
            .retain(|_, channel| !channel.listeners.is_empty());
        if self.by_name.len() < before {
            self.floor = seq;
        }
    }
}

impl Channel {
    fn deliver(&self, name: &str, update: &Update) {
        let event = event_message(name, update, self.last);
        let states: Vec<_> = state_messages(name, update).collect();
        for (&subscription, outbox) in &self.listeners {
            let queued = |text| Queued {
                subscription,
                seq: update.seq,
                text,
            };
            outbox.push(queued(event.clone()), None);
            for (state, text) in &states {
                outbox.push(queued(text.clone()), state.key.as_ref());
            }
        }
    }
}
