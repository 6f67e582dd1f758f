//! An event together with its slot.

use chrono::{DateTime, Utc};
use driftshield_sdk::json;
use serde_json::{Value, json};

use crate::slot::EmittedEvent;

/// An emitted event with the slot that contains it.
pub struct SlotEvent {
    pub slot: i64,
    pub block_time: Option<DateTime<Utc>>,
    pub emitted: EmittedEvent,
}

/// Unique key of an event.
#[derive(PartialEq, Eq, Hash, sqlx::FromRow)]
pub struct EventIdentity {
    slot: i64,
    signature: String,
    instruction_index: i32,
    event_index: i32,
}

impl SlotEvent {
    pub fn identity(&self) -> EventIdentity {
        EventIdentity {
            slot: self.slot,
            signature: self.emitted.signature.clone(),
            instruction_index: self.emitted.instruction_index,
            event_index: self.emitted.event_index,
        }
    }

    /// Row of `chain.event` under the given sequence number. `name` and `body` are null if this
    /// version cannot decode the event.
    pub fn row(&self, seq: i64) -> Value {
        let emitted = &self.emitted;
        let decoded = json::event(&emitted.data)
            .inspect_err(|error| {
                let signature = &emitted.signature;
                tracing::error!(seq, signature, %error, "event not decoded; stored as bytes only");
            })
            .ok();
        let (name, body) = decoded.map(|event| (event.name, event.fields)).unzip();
        json!({
            "seq": seq,
            "slot": self.slot,
            "signature": emitted.signature,
            "transaction_index": emitted.transaction_index,
            "instruction_index": emitted.instruction_index,
            "event_index": emitted.event_index,
            "name": name,
            "body": body,
            "data": format!("\\x{}", const_hex::encode(&emitted.data)),
            "block_time": self.block_time,
        })
    }
}
