//! A client that follows a market by the rules of docs/websocket.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a client knows after some messages of its one channel.
#[derive(Default)]
pub struct Client {
    pub rollbacks: Vec<Rollback>,
    /// Ids of events that came again after a rollback.
    pub repeated: BTreeSet<String>,
    /// Number of the market's events in the snapshot.
    base: u64,
    /// Numbers of the events since the snapshot.
    numbers: BTreeSet<u64>,
    /// `seq` of the last event, or of the snapshot.
    seq: i64,
    /// Slots and numbers of all events that came and were not rolled back.
    events: BTreeMap<String, (i64, u64)>,
    /// Ids of events that were rolled back.
    dropped: BTreeSet<String>,
    /// Whether the next message of the channel must be a reset or a snapshot.
    awaits_snapshot: bool,
}

#[derive(Debug)]
pub struct Rollback {
    pub seq: i64,
    pub to_slot: i64,
}

impl Client {
    /// # Panics
    ///
    /// If the messages don't follow each other.
    pub fn after(messages: &[Value]) -> Self {
        let mut client = Self {
            awaits_snapshot: true,
            ..Self::default()
        };
        for message in messages {
            client.take(message);
        }
        client
    }

    /// Number of the market's last event; `None` if events before it are missing.
    pub fn last_number(&self) -> Option<u64> {
        let last = self.base + self.numbers.len() as u64;
        let is_complete = self.numbers.iter().copied().eq(self.base + 1..=last);
        (is_complete && !self.awaits_snapshot).then_some(last)
    }

    fn take(&mut self, message: &Value) {
        match message["type"].as_str().unwrap() {
            "heartbeat" => {}
            "gap" => panic!("a rollback leaves no gap: {message}"),
            "rollback" => self.roll_back(message),
            "reset" => {
                let reason = message["reason"].as_str().unwrap();
                assert!(reason.contains("rolled back"), "{message}");
                self.awaits_snapshot = true;
            }
            "snapshot" => {
                assert!(self.awaits_snapshot, "an unexpected snapshot: {message}");
                self.awaits_snapshot = false;
                self.seq = number(&message["seq"]);
                self.base = digits(&message["data"]["event_count"]);
                self.numbers.clear();
            }
            "market:odds_updated" => assert_eq!(number(&message["seq"]), self.seq),
            _ => self.take_event(message),
        }
    }

    fn roll_back(&mut self, message: &Value) {
        let (seq, to_slot) = (number(&message["seq"]), number(&message["to_slot"]));
        self.rollbacks.push(Rollback { seq, to_slot });
        let dropped = self.events.extract_if(.., |_, (slot, _)| to_slot < *slot);
        for (id, (_, number)) in dropped {
            self.numbers.remove(&number);
            self.dropped.insert(id);
        }
    }

    fn take_event(&mut self, message: &Value) {
        assert!(
            !self.awaits_snapshot,
            "an event before the snapshot: {message}"
        );
        assert!(number(&message["prev"]) <= self.seq, "{message}");
        self.seq = number(&message["seq"]);
        let event = &message["event"];
        let accounts = event["accounts"].as_array().unwrap();
        let of_market = accounts
            .iter()
            .find(|account| account["account"] == event["body"]["market"]);
        let count = digits(&of_market.unwrap()["number"]);
        self.numbers.insert(count);
        let id = event["id"].as_str().unwrap().to_owned();
        if self.dropped.contains(&id) {
            self.repeated.insert(id.clone());
        }
        let earlier = self.events.insert(id, (number(&event["slot"]), count));
        assert_eq!(earlier, None, "an event came twice: {message}");
    }
}

fn number(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn digits(value: &Value) -> u64 {
    let digits = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} has no digits"));
    digits.parse().unwrap()
}
