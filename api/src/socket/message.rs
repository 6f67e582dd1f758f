//! Messages of the WebSocket protocol.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::feed::{Gap, Rollback, Update};

/// Message from a client.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    Subscribe {
        #[serde(default)]
        id: Value,
        channel: String,
        /// Latest `seq` that the client has; `None` to start with a snapshot.
        from: Option<i64>,
        /// Epoch of `from`.
        epoch: Option<i64>,
    },
    Unsubscribe {
        #[serde(default)]
        id: Value,
        channel: String,
    },
}

/// Message to a client, other than an update. `id` is that of the client's request, or null.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    Snapshot {
        id: &'a Value,
        channel: &'a str,
        epoch: i64,
        seq: i64,
        slot: i64,
        data: &'a Value,
    },
    Resumed {
        id: &'a Value,
        channel: &'a str,
        epoch: i64,
        seq: i64,
        slot: i64,
    },
    Reset {
        id: &'a Value,
        channel: &'a str,
        reason: &'a str,
    },
    Unsubscribed {
        id: &'a Value,
        channel: &'a str,
    },
    Rollback {
        epoch: i64,
        seq: i64,
        to_slot: i64,
    },
    Gap {
        epoch: i64,
        seq: i64,
        from_slot: i64,
        to_slot: i64,
        state: &'a str,
    },
    Heartbeat {
        epoch: i64,
        seq: i64,
        slot: i64,
        finalized_slot: i64,
        /// `None` while the mirror is empty.
        lag_ms: Option<i64>,
    },
    Error {
        id: &'a Value,
        code: &'a str,
        detail: &'a str,
    },
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

/// The update's messages for one channel: the event, then the derived states. `prev` is the `seq`
/// of the channel's previous update.
pub fn update_messages<'a>(
    channel: &'a str,
    update: &'a Update,
    prev: i64,
) -> impl Iterator<Item = String> + Send + 'a {
    let event = update_message(update.kind, channel, update, prev, "event", &update.json);
    let states = update
        .states
        .iter()
        .filter(move |state| state.channels.iter().any(|name| name == channel))
        .map(move |state| {
            update_message(state.kind, channel, update, update.seq, "data", &state.json)
        });
    std::iter::once(event).chain(states)
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
) -> String {
    let Update {
        epoch, seq, slot, ..
    } = update;
    format!(
        r#"{{"type":"{kind}","channel":"{channel}","epoch":{epoch},"seq":{seq},"prev":{prev},"slot":{slot},"{payload_name}":{payload}}}"#
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::feed::DerivedState;

    #[test]
    fn an_update_is_sent_as_its_event_and_the_derived_states_of_the_channel() {
        let state = |channel: &str| DerivedState {
            kind: "market:odds_updated",
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
        let messages: Vec<Value> = update_messages("events", &update, 7)
            .map(|message| serde_json::from_str(&message).unwrap())
            .collect();
        assert_eq!(
            messages,
            [
                json!({
                    "type": "event", "channel": "events", "epoch": 3, "seq": 9, "prev": 7, "slot": 100,
                    "event": { "name": "Claimed" },
                }),
                json!({
                    "type": "market:odds_updated", "channel": "events", "epoch": 3, "seq": 9, "prev": 9,
                    "slot": 100, "data": { "market": "m" },
                }),
            ]
        );
    }

    #[test]
    fn server_messages_name_their_type() {
        let error = ServerMessage::Error {
            id: &json!(4),
            code: "not-subscribed",
            detail: "x",
        };
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"type":"error","id":4,"code":"not-subscribed","detail":"x"}"#
        );
        let rollback = Rollback {
            epoch: 3,
            seq: 9,
            to_slot: 80,
        };
        assert_eq!(
            serde_json::to_string(&ServerMessage::from(rollback)).unwrap(),
            r#"{"type":"rollback","epoch":3,"seq":9,"to_slot":80}"#
        );
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
