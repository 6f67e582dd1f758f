//! What a client knows of a channel, by the rules of docs/websocket.md.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Clone)]
pub struct View {
    pub epoch: i64,
    /// `seq` of the snapshot.
    pub base: i64,
    /// Data of the snapshot.
    pub data: Value,
    /// Events since then by `seq`.
    pub events: BTreeMap<i64, Value>,
    /// The newest odds of each market since then.
    pub odds: BTreeMap<String, Value>,
    pub position: i64,
    /// Whether heartbeats count.
    pub is_live: bool,
}

impl View {
    pub fn of(snapshot: &Value) -> Self {
        Self {
            epoch: number(&snapshot["epoch"]),
            base: number(&snapshot["seq"]),
            data: snapshot["data"].clone(),
            events: BTreeMap::new(),
            odds: BTreeMap::new(),
            position: number(&snapshot["seq"]),
            is_live: true,
        }
    }

    /// # Panics
    ///
    /// If the message does not follow what the client has.
    pub fn take(&mut self, message: &Value) {
        let seq = number(&message["seq"]);
        assert_eq!(number(&message["epoch"]), self.epoch, "{message}");
        match message["type"].as_str().unwrap() {
            "resumed" => {
                assert_eq!(seq, self.position, "{message}");
                self.is_live = true;
            }
            "caught_up" => {
                assert!(self.position <= seq, "{message} after {}", self.position);
                self.position = seq;
            }
            "market:odds_updated" => {
                assert!(seq <= self.position, "odds before their event: {message}");
                let market = message["data"]["market"].as_str().unwrap().to_owned();
                self.odds.insert(market, message["data"].clone());
            }
            "model:drift_detected" => {
                assert!(
                    self.events.contains_key(&seq),
                    "drift without its event: {message}"
                );
            }
            _ => {
                let (prev, position) = (number(&message["prev"]), self.position);
                assert!(prev <= position, "missed {position} to {prev}: {message}");
                assert!(position < seq, "after {position}: {message}");
                self.position = seq;
                self.events.insert(seq, message["event"].clone());
            }
        }
    }

    pub fn hear(&mut self, heartbeat: &Value) {
        if self.is_live && number(&heartbeat["epoch"]) == self.epoch {
            self.position = self.position.max(number(&heartbeat["seq"]));
        }
    }
}

pub fn number(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}
