//! Messages of the WebSocket protocol.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use utoipa::ToSchema;

use crate::feed::{DerivedState, Gap, Rollback, Update};

/// Message from a client.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Begins a subscription with a snapshot, or continues one `from` a position.
    Subscribe {
        /// Repeated by the answer.
        #[serde(default)]
        id: Value,
        #[schema(example = "markets")]
        channel: String,
        /// Position of the client on the channel; without it, the subscription begins with a snapshot.
        from: Option<i64>,
        /// Epoch of `from`.
        epoch: Option<i64>,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Repeated by the answer.
        #[serde(default)]
        id: Value,
        #[schema(example = "markets")]
        channel: String,
    },
}

/// Message to a client, other than an update. `id` is that of the client's request, or null.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The state of a channel after the record `seq`.
    Snapshot {
        #[schema(value_type = Value)]
        id: &'a Value,
        channel: &'a str,
        epoch: i64,
        seq: i64,
        slot: i64,
        #[schema(value_type = Value)]
        data: &'a Value,
    },
    /// The subscription continues after the record `seq`. What the client has missed follows.
    Resumed {
        #[schema(value_type = Value)]
        id: &'a Value,
        channel: &'a str,
        epoch: i64,
        seq: i64,
        slot: i64,
    },
    /// The client has all of the channel's messages up to the record `seq`.
    CaughtUp {
        #[schema(value_type = Value)]
        id: &'a Value,
        channel: &'a str,
        epoch: i64,
        seq: i64,
    },
    /// The client must discard what it has of the channel. A snapshot follows.
    Reset {
        #[schema(value_type = Value)]
        id: &'a Value,
        channel: &'a str,
        /// `slow` if the client did not keep up.
        reason: &'a str,
    },
    Unsubscribed {
        #[schema(value_type = Value)]
        id: &'a Value,
        channel: &'a str,
    },
    /// The chain went back: events of slots after `to_slot` are no longer part of it.
    Rollback { epoch: i64, seq: i64, to_slot: i64 },
    /// The mirror misses the slots from `from_slot` to `to_slot`, or has got them, or has lost them.
    Gap {
        epoch: i64,
        seq: i64,
        from_slot: i64,
        to_slot: i64,
        /// `open`, `filled` or `lost`.
        state: &'a str,
    },
    /// All messages up to the record `seq` were sent on the socket's channels.
    Heartbeat {
        epoch: i64,
        seq: i64,
        slot: i64,
        finalized_slot: i64,
        /// Age of the data in milliseconds; null while the mirror is empty.
        lag_ms: Option<i64>,
    },
    /// A request failed.
    Error {
        #[schema(value_type = Value)]
        id: &'a Value,
        code: &'a str,
        detail: &'a str,
        /// Time in milliseconds after which the request can succeed; only with `rate-limited`.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

impl ServerMessage<'_> {
    pub fn text(&self) -> Utf8Bytes {
        let text = serde_json::to_string(self).expect("messages serialise to JSON");
        text.into()
    }
}

impl From<Rollback> for ServerMessage<'_> {
    fn from(rollback: Rollback) -> Self {
        let Rollback {
            epoch,
            seq,
            to_slot,
        } = rollback;
        Self::Rollback {
            epoch,
            seq,
            to_slot,
        }
    }
}

impl<'a> From<&'a Gap> for ServerMessage<'a> {
    fn from(gap: &'a Gap) -> Self {
        Self::Gap {
            epoch: gap.epoch,
            seq: gap.seq,
            from_slot: gap.from_slot,
            to_slot: gap.to_slot,
            state: &gap.state,
        }
    }
}

/// A snapshot message in parts, so that sockets share the data. `data` is JSON.
pub fn snapshot_parts(message: &ServerMessage<'_>, data: Utf8Bytes) -> [Utf8Bytes; 3] {
    let mut head = serde_json::to_string(message).expect("messages serialise to JSON");
    let end = "null}";
    assert!(head.ends_with(end), "{head}");
    head.truncate(head.len() - end.len());
    [head.into(), data, "}".into()]
}

/// The update's event as a message on a channel. `prev` is the `seq` of the channel's previous update,
/// or one before it.
pub fn event_message(channel: &str, update: &Update, prev: i64) -> Utf8Bytes {
    update_message(update.kind, channel, update, prev, "event", &update.json)
}

/// The update's derived states that belong to a channel, as messages on it.
pub fn state_messages<'a>(
    channel: &'a str,
    update: &'a Update,
) -> impl Iterator<Item = (&'a DerivedState, Utf8Bytes)> {
    let states = update.states.iter();
    let of_channel = states.filter(move |state| state.channels.iter().any(|name| name == channel));
    of_channel.map(move |state| {
        let seq = update.seq;
        let text = update_message(state.kind, channel, update, seq, "data", &state.json);
        (state, text)
    })
}

/// A message with a payload that is already JSON. `kind` and `channel` are not escaped, because
/// neither can contain a character that JSON escapes.
fn update_message(
    kind: &str,
    channel: &str,
    update: &Update,
    prev: i64,
    payload_name: &str,
    payload: &str,
) -> Utf8Bytes {
    let Update {
        epoch, seq, slot, ..
    } = update;
    format!(
        r#"{{"type":"{kind}","channel":"{channel}","epoch":{epoch},"seq":{seq},"prev":{prev},"slot":{slot},"{payload_name}":{payload}}}"#
    )
    .into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_update_is_sent_as_its_event_and_the_derived_states_of_the_channel() {
        let state = |channel: &str| DerivedState {
            kind: "market:odds_updated",
            key: None,
            channels: vec![channel.to_owned()],
            json: r#"{"market":"m"}"#.to_owned(),
        };
        let update = Update {
            epoch: 3,
            seq: 9,
            slot: 100,
            kind: "event",
            channels: Vec::new(),
            json: r#"{"name":"Claimed"}"#.to_owned(),
            states: vec![state("markets"), state("events")],
        };
        let parsed = |text: Utf8Bytes| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(
            parsed(event_message("events", &update, 7)),
            json!({
                "type": "event", "channel": "events", "epoch": 3, "seq": 9, "prev": 7, "slot": 100,
                "event": { "name": "Claimed" },
            })
        );
        let states: Vec<_> = state_messages("events", &update)
            .map(|(_, text)| parsed(text))
            .collect();
        assert_eq!(
            states,
            [json!({
                "type": "market:odds_updated", "channel": "events", "epoch": 3, "seq": 9, "prev": 9,
                "slot": 100, "data": { "market": "m" },
            })]
        );
    }

    #[test]
    fn server_messages_name_their_type() {
        let error = ServerMessage::Error {
            id: &json!(4),
            code: "not-subscribed",
            detail: "x",
            retry_after_ms: None,
        };
        assert_eq!(
            error.text().as_str(),
            r#"{"type":"error","id":4,"code":"not-subscribed","detail":"x"}"#
        );
        let rollback = Rollback {
            epoch: 3,
            seq: 9,
            to_slot: 80,
        };
        assert_eq!(
            ServerMessage::from(rollback).text().as_str(),
            r#"{"type":"rollback","epoch":3,"seq":9,"to_slot":80}"#
        );
    }

    #[test]
    fn a_snapshot_in_parts_is_the_whole_message() {
        let message = |data| ServerMessage::Snapshot {
            id: &Value::Null,
            channel: "markets",
            epoch: 3,
            seq: 9,
            slot: 80,
            data,
        };
        let parts = snapshot_parts(&message(&Value::Null), r#"{"items":[]}"#.into());
        let whole = message(&json!({ "items": [] })).text();
        assert_eq!(parts.map(|part| part.to_string()).concat(), whole.as_str());
    }

    #[test]
    fn id_and_from_are_optional_in_a_client_message() {
        let message = |text| serde_json::from_str::<ClientMessage>(text);
        assert!(message(r#"{"op":"subscribe","channel":"events"}"#).is_ok());
        assert!(message(r#"{"op":"subscribe","id":1,"channel":"events","from":3}"#).is_ok());
        assert!(message(r#"{"op":"subscribe","channel":"events","from":3,"epoch":1}"#).is_ok());
        assert!(message(r#"{"op":"unsubscribe","id":"a","channel":"events"}"#).is_ok());
        assert!(message(r#"{"op":"shout","channel":"events"}"#).is_err());
        assert!(message(r#"{"op":"subscribe"}"#).is_err());
    }
}
