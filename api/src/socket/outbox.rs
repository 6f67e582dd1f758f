//! Outbox: what the hub has for a socket and the socket has not sent yet.
//!
//! An outbox is bounded, so a slow client costs no more memory than others. A newer state replaces the
//! older one of the same key. If the outbox is full, the subscription with the most bytes in it loses
//! all of its messages, and the session resets it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::limits::{QUEUE_BYTES, QUEUE_MESSAGES, QUEUE_NOTICES};
use crate::feed::{Position, Rollback};

/// A subscription. The id of a subscription that ended or was reset is not used again.
pub type SubscriptionId = u64;

/// A message on a subscription.
#[derive(Clone, Debug)]
pub struct Queued {
    pub subscription: SubscriptionId,
    pub seq: i64,
    /// Shared by all sockets that listen to the channel.
    pub text: Utf8Bytes,
}

/// What concerns all sockets, whatever they listen to.
#[derive(Clone, Debug)]
pub enum Notice {
    Rollback(Rollback, Utf8Bytes),
    Gap(i64, Utf8Bytes),
    /// The mirror has all accounts again.
    Settled,
    /// The mirror at this position does not continue what was sent so far, for the reason given.
    Discontinued(Position, &'static str),
}

#[derive(Debug)]
pub enum Entry {
    Message(Queued),
    Notice(Notice),
}

/// What a session takes from its outbox at once.
#[derive(Default)]
pub struct Batch {
    pub entries: Vec<Entry>,
    /// Subscriptions whose messages were dropped.
    pub overflown: Vec<SubscriptionId>,
    /// The client misses so many notices that the socket must end.
    pub is_lost: bool,
}

#[derive(Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
}

/// What identifies a state of which only the newest counts.
type StateKey = (SubscriptionId, Arc<str>);

#[derive(Default)]
struct Queue {
    /// `None` was replaced by a later entry.
    entries: VecDeque<Option<Entry>>,
    /// Number of the first of `entries`; each entry has the number after that of the one before.
    first: u64,
    /// Numbers of the states that a newer one would replace.
    states: HashMap<StateKey, u64>,
    messages: usize,
    bytes: usize,
    notices: usize,
    overflown: Vec<SubscriptionId>,
}

impl Outbox {
    /// Adds a message. `state` is its key if a newer message with the same key makes it obsolete.
    pub fn push(&self, message: Queued, state: Option<&Arc<str>>) {
        self.lock().push(message, state);
        self.ready.notify_one();
    }

    pub fn notify(&self, notice: Notice) {
        let mut queue = self.lock();
        queue.notices += 1;
        if queue.notices <= QUEUE_NOTICES {
            queue.entries.push_back(Some(Entry::Notice(notice)));
        }
        drop(queue);
        self.ready.notify_one();
    }

    /// Waits until there is something to take. Can be cancelled.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes up to `most` entries. If more are left, [`Self::ready`] returns at once.
    pub fn take(&self, most: usize) -> Batch {
        let mut queue = self.lock();
        let batch = queue.take(most);
        if !queue.entries.is_empty() {
            self.ready.notify_one();
        }
        batch
    }

    pub fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.entries.is_empty() && queue.overflown.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, message: Queued, state: Option<&Arc<str>>) {
        if self.overflown.contains(&message.subscription) {
            return;
        }
        let number = self.first + self.entries.len() as u64;
        if let Some(key) = state {
            let key = (message.subscription, Arc::clone(key));
            if let Some(older) = self.states.insert(key, number) {
                self.remove(older);
            }
        }
        self.messages += 1;
        self.bytes += message.text.len();
        self.entries.push_back(Some(Entry::Message(message)));
        if QUEUE_MESSAGES < self.messages || QUEUE_BYTES < self.bytes {
            self.overflow();
        }
        // Replaced entries take memory, too.
        if 2 * QUEUE_MESSAGES < self.entries.len() {
            self.retain(|_| true);
        }
    }

    /// Removes the entry of this number, which is in the queue.
    fn remove(&mut self, number: u64) {
        let place = usize::try_from(number - self.first).expect("an index of the queue");
        if let Some(Entry::Message(older)) = self.entries[place].take() {
            self.messages -= 1;
            self.bytes -= older.text.len();
        }
    }

    /// Drops the messages of the subscription with the most bytes.
    fn overflow(&mut self) {
        let mut sizes: HashMap<SubscriptionId, usize> = HashMap::new();
        for entry in self.entries.iter().flatten() {
            if let Entry::Message(message) = entry {
                // Short messages take room, too.
                let size = message.text.len() + QUEUE_BYTES / QUEUE_MESSAGES;
                *sizes.entry(message.subscription).or_default() += size;
            }
        }
        let largest = sizes.into_iter().max_by_key(|(_, size)| *size);
        let Some((largest, _)) = largest else {
            return;
        };
        self.overflown.push(largest);
        self.retain(|message| message.subscription != largest);
    }

    /// Keeps the notices and the messages that are wanted, without room between them.
    fn retain(&mut self, is_wanted: impl Fn(&Queued) -> bool) {
        let mut keys: HashMap<u64, StateKey> = mem::take(&mut self.states)
            .into_iter()
            .map(|(key, number)| (number, key))
            .collect();
        let numbers = self.first..;
        (self.messages, self.bytes) = (0, 0);
        let entries = mem::take(&mut self.entries);
        for (number, entry) in numbers.zip(entries) {
            match &entry {
                None => continue,
                Some(Entry::Message(message)) if !is_wanted(message) => continue,
                Some(Entry::Message(message)) => {
                    self.messages += 1;
                    self.bytes += message.text.len();
                }
                Some(Entry::Notice(_)) => {}
            }
            if let Some(key) = keys.remove(&number) {
                let number = self.first + self.entries.len() as u64;
                self.states.insert(key, number);
            }
            self.entries.push_back(entry);
        }
    }

    fn take(&mut self, most: usize) -> Batch {
        let mut batch = Batch {
            entries: vec![],
            overflown: mem::take(&mut self.overflown),
            is_lost: QUEUE_NOTICES < self.notices,
        };
        while batch.entries.len() < most
            && let Some(entry) = self.entries.pop_front()
        {
            self.first += 1;
            match &entry {
                Some(Entry::Message(message)) => {
                    self.messages -= 1;
                    self.bytes -= message.text.len();
                }
                Some(Entry::Notice(_)) => self.notices -= 1,
                None => {}
            }
            batch.entries.extend(entry);
        }
        let first = self.first;
        self.states.retain(|_, number| first <= *number);
        if self.entries.is_empty() {
            // A burst must not cost memory for as long as the socket is open.
            self.entries.shrink_to(16);
            self.states.shrink_to(0);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subscription: SubscriptionId, seq: i64, text: &str) -> Queued {
        Queued {
            subscription,
            seq,
            text: text.into(),
        }
    }

    fn sent(batch: &Batch) -> Vec<(SubscriptionId, i64)> {
        let messages = batch.entries.iter().filter_map(|entry| match entry {
            Entry::Message(message) => Some((message.subscription, message.seq)),
            Entry::Notice(_) => None,
        });
        messages.collect()
    }

    #[test]
    fn a_newer_state_replaces_the_older_one_and_comes_at_its_own_place() {
        let (outbox, key, other) = (Outbox::default(), "a".into(), "b".into());
        outbox.push(message(1, 1, "x"), Some(&key));
        outbox.push(message(1, 2, "x"), None);
        outbox.push(message(1, 2, "x"), Some(&other));
        outbox.push(message(2, 3, "x"), Some(&key));
        outbox.push(message(1, 3, "x"), Some(&key));
        let batch = outbox.take(9);
        assert_eq!(sent(&batch), [(1, 2), (1, 2), (2, 3), (1, 3)]);
        assert!(outbox.is_empty());
        // What was taken is not replaced.
        outbox.push(message(1, 4, "x"), Some(&key));
        assert_eq!(sent(&outbox.take(9)), [(1, 4)]);
    }

    #[test]
    fn states_alone_never_fill_the_outbox() {
        let (outbox, key) = (Outbox::default(), "a".into());
        outbox.notify(Notice::Settled);
        for seq in 0..20_000 {
            outbox.push(message(1, seq, "x"), Some(&key));
            assert!(outbox.lock().entries.len() <= 2 * QUEUE_MESSAGES + 1);
        }
        let batch = outbox.take(9);
        assert_eq!(sent(&batch), [(1, 19_999)]);
        assert!(batch.overflown.is_empty());
        let queue = outbox.lock();
        assert_eq!((queue.messages, queue.bytes), (0, 0));
    }

    #[test]
    fn a_full_outbox_drops_the_largest_subscription_and_keeps_the_others() {
        let (outbox, key) = (Outbox::default(), "a".into());
        outbox.push(message(2, 1, "x"), Some(&key));
        let last = QUEUE_MESSAGES as i64 + 100;
        for seq in 2..=last {
            outbox.push(message(1, seq, "x"), None);
        }
        outbox.push(message(2, last + 1, "x"), Some(&key));
        outbox.push(message(1, last + 2, "x"), None);
        let batch = outbox.take(9);
        assert_eq!(batch.overflown, [1]);
        assert_eq!(sent(&batch), [(2, last + 1)]);
        let queue = outbox.lock();
        assert_eq!((queue.messages, queue.bytes), (0, 0));
    }

    #[test]
    fn an_outbox_is_bounded_in_bytes() {
        let outbox = Outbox::default();
        let text = "x".repeat(QUEUE_BYTES / 8);
        for seq in 0..9 {
            outbox.push(message(seq % 2, seq as i64, &text), None);
        }
        let batch = outbox.take(9);
        assert_eq!(batch.overflown.len(), 1);
        assert_eq!(
            sent(&batch).len(),
            if batch.overflown == [0] { 4 } else { 5 }
        );
    }

    #[test]
    fn a_socket_that_misses_notices_is_lost() {
        let outbox = Outbox::default();
        for _ in 0..QUEUE_NOTICES {
            outbox.notify(Notice::Settled);
        }
        assert!(!outbox.take(0).is_lost);
        outbox.notify(Notice::Settled);
        assert!(outbox.take(0).is_lost);
    }

    #[tokio::test]
    async fn what_is_left_is_ready() {
        let outbox = Outbox::default();
        outbox.push(message(1, 1, "x"), None);
        outbox.push(message(1, 2, "x"), None);
        outbox.ready().await;
        assert_eq!(sent(&outbox.take(1)), [(1, 1)]);
        outbox.ready().await;
        assert_eq!(sent(&outbox.take(1)), [(1, 2)]);
    }
}
