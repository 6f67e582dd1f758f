//! AsyncAPI document of the WebSocket. Schemas derive from the types, and examples are serialised by
//! them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, http::header, routing::get};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{
    events::Event,
    state::AppState,
    updates::{self, OddsUpdated, drift::DriftDetected},
};

use super::message::{ClientMessage, ServerMessage};

const MARKET: &str = "market:DriftSh1e1d11111111111111111111111111111111";

pub fn router() -> Router<AppState> {
    let document: Arc<str> = document().to_string().into();
    let answer = move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            document.to_string(),
        )
    };
    Router::new().route("/api-docs/asyncapi.json", get(answer))
}

/// A kind of message: its schema and its examples.
struct Described {
    schema: Value,
    examples: Vec<Value>,
}

type Messages = BTreeMap<String, Described>;

fn document() -> Value {
    let (of_client, of_server) = (client_messages(), server_messages());
    let references = |messages: &Messages| -> Vec<Value> {
        let names = messages.keys();
        names
            .map(|name| json!({ "$ref": format!("#/channels/socket/messages/{name}") }))
            .collect()
    };
    let operations = json!({
        "request": {
            "action": "receive", "channel": { "$ref": "#/channels/socket" },
            "summary": "A client subscribes and unsubscribes.", "messages": references(&of_client),
        },
        "push": {
            "action": "send", "channel": { "$ref": "#/channels/socket" },
            "summary": "The server answers requests and pushes changes.",
            "messages": references(&of_server),
        },
    });
    let messages: Map<_, _> = of_client
        .into_iter()
        .chain(of_server)
        .map(|(name, described)| {
            let examples = described.examples.into_iter();
            let examples: Vec<_> = examples
                .map(|payload| json!({ "payload": payload }))
                .collect();
            let message = json!({
                "name": name, "contentType": "application/json",
                "summary": described.schema["description"],
                "payload": described.schema, "examples": examples,
            });
            (name, message)
        })
        .collect();
    let of_channel: Map<_, _> = messages
        .keys()
        .map(|name| {
            let reference = json!({ "$ref": format!("#/components/messages/{name}") });
            (name.clone(), reference)
        })
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "DriftShield WebSocket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Changes of the mirror, in order and without gaps. docs/websocket.md describes \
                the protocol. A client must ignore message types and fields that it does not know.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/api/v1/ws",
                "messages": of_channel,
                "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
            },
        },
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas() },
    })
}

/// Schemas to which the messages refer.
fn schemas() -> Map<String, Value> {
    let mut schemas = vec![];
    for (name, schema) in [
        (Event::name(), Event::schema()),
        (OddsUpdated::name(), OddsUpdated::schema()),
        (DriftDetected::name(), DriftDetected::schema()),
    ] {
        schemas.push((name.into_owned(), schema));
    }
    Event::schemas(&mut schemas);
    OddsUpdated::schemas(&mut schemas);
    DriftDetected::schemas(&mut schemas);
    let schemas = schemas.into_iter();
    schemas
        .map(|(name, schema)| (name, value(schema)))
        .collect()
}

fn value(schema: RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("schemas serialise to JSON")
}

/// The variants of a message type, by the value of the field `tag`.
fn variants<T: PartialSchema>(tag: &str) -> impl Iterator<Item = (String, Value)> {
    let mut schema = value(T::schema());
    let variants = schema["oneOf"].as_array_mut().map(std::mem::take);
    let tag = tag.to_owned();
    variants.unwrap_or_default().into_iter().map(move |schema| {
        let name = schema["properties"][&tag]["enum"][0].as_str();
        (name.unwrap_or_default().to_owned(), schema)
    })
}

fn described(
    variants: impl Iterator<Item = (String, Value)>,
    tag: &str,
    all: &[Value],
) -> Messages {
    variants
        .map(|(name, schema)| {
            let of_name = all.iter().filter(|example| example[tag] == name);
            let examples = of_name.cloned().collect();
            (name, Described { schema, examples })
        })
        .collect()
}

fn client_messages() -> Messages {
    let examples = [
        json!({ "op": "subscribe", "id": 1, "channel": MARKET }),
        json!({ "op": "subscribe", "id": 3, "channel": MARKET, "epoch": 3, "from": 95 }),
        json!({ "op": "unsubscribe", "id": 2, "channel": MARKET }),
    ];
    described(variants::<ClientMessage>("op"), "op", &examples)
}

fn server_messages() -> Messages {
    let tag = "type";
    let mut messages = described(variants::<ServerMessage<'_>>(tag), tag, &examples());
    let event = |kind: &str| {
        let description =
            format!("Event of the type `{kind}`; docs/websocket.md lists its events.");
        Described {
            schema: update_schema(kind, &description, "event", &Event::name()),
            examples: vec![event_example(kind)],
        }
    };
    for kind in updates::KINDS {
        messages.insert(kind.to_owned(), event(kind));
    }
    for (kind, description, schema, example) in [
        (
            "market:odds_updated",
            "Odds of a market after its creation or a bet, right after the event.",
            OddsUpdated::name(),
            odds_example(),
        ),
        (
            "model:drift_detected",
            "A receipt became final with a value that counts as drift.",
            DriftDetected::name(),
            drift_example(),
        ),
    ] {
        let schema = update_schema(kind, description, "data", &schema);
        let examples = vec![example];
        messages.insert(kind.to_owned(), Described { schema, examples });
    }
    messages
}

/// Schema of an update, whose payload has the schema `reference`.
fn update_schema(kind: &str, description: &str, payload: &str, reference: &str) -> Value {
    let number = |description: &str| json!({ "type": "integer", "format": "int64", "description": description });
    json!({
        "type": "object",
        "description": description,
        "required": ["type", "channel", "epoch", "seq", "prev", "slot", payload],
        "properties": {
            "type": { "type": "string", "enum": [kind] },
            "channel": { "type": "string" },
            "epoch": number("Numbering of `seq`."),
            "seq": number("Record of the feed."),
            "prev": number("The channel's previous record, or one before it."),
            "slot": number("Slot of the event."),
            payload: { "$ref": format!("#/components/schemas/{reference}") },
        },
    })
}

fn update_example(kind: &str, name: &str, payload: Value) -> Value {
    let prev = if name == "event" { 91 } else { 95 };
    json!({
        "type": kind, "channel": MARKET, "epoch": 3, "seq": 95, "prev": prev, "slot": 4720,
        name: payload,
    })
}

fn event_example(kind: &str) -> Value {
    let key = "DriftSh1e1d11111111111111111111111111111111";
    let event = json!({
        "id": "10136122830848", "slot": 4720, "time": "2026-10-01T12:00:00Z",
        "signature": "1".repeat(64), "transaction_index": 3, "instruction_index": 0, "event_index": 0,
        "name": "BetPlaced", "accounts": [{ "account": key, "number": "7" }],
        "body": { "market": key, "outcome": 1, "amount": "1500000" },
    });
    update_example(kind, "event", event)
}

fn odds_example() -> Value {
    let data = json!({
        "market": "DriftSh1e1d11111111111111111111111111111111",
        "total": { "raw": "4000000", "scaled": "4" },
        "outcomes": [{
            "outcome": 0, "pool": { "raw": "3000000", "scaled": "3" }, "share": "0.75",
            "multiple": { "raw": "1323", "scaled": "1.323" },
        }],
    });
    update_example("market:odds_updated", "data", data)
}

fn drift_example() -> Value {
    let key = "DriftSh1e1d11111111111111111111111111111111";
    let data = json!({
        "model": key, "receipt": key, "window": "12",
        "value": { "raw": "120000", "scaled": "0.12" },
        "threshold": { "raw": "100000", "scaled": "0.1" },
        "noise_floor": { "raw": "20000", "scaled": "0.02" },
    });
    update_example("model:drift_detected", "data", data)
}

/// Messages other than updates.
fn examples() -> Vec<Value> {
    let (id, null, market) = (
        json!(1),
        Value::Null,
        json!({ "key": "9xQe", "state": "open" }),
    );
    let (id, channel, epoch, seq, slot) = (&id, MARKET, 3, 95, 4720);
    let examples = [
        ServerMessage::Snapshot {
            id,
            channel,
            epoch,
            seq,
            slot,
            data: &market,
        },
        ServerMessage::Resumed {
            id,
            channel,
            epoch,
            seq,
            slot,
        },
        ServerMessage::CaughtUp {
            id,
            channel,
            epoch,
            seq: 140,
        },
        ServerMessage::Reset {
            id: &null,
            channel,
            reason: "slow",
        },
        ServerMessage::Unsubscribed { id, channel },
        ServerMessage::Rollback {
            epoch,
            seq: 102,
            to_slot: 4799,
        },
        ServerMessage::Gap {
            epoch,
            seq: 103,
            from_slot: 4805,
            to_slot: 4811,
            state: "open",
        },
        ServerMessage::Heartbeat {
            epoch,
            seq: 97,
            slot,
            finalized_slot: 4778,
            lag_ms: Some(210),
        },
        ServerMessage::Error {
            id,
            code: "rate-limited",
            detail: "too many messages; retry in 87 ms",
            retry_after_ms: Some(87),
        },
    ];
    let value = |message| serde_json::to_value(message).expect("messages serialise to JSON");
    examples.iter().map(value).collect()
}

#[cfg(test)]
pub mod tests {
    use std::sync::OnceLock;

    use jsonschema::Validator;

    use super::*;

    /// Asserts that the document describes a message of the server.
    pub fn assert_described(message: &Value) {
        static VALIDATORS: OnceLock<BTreeMap<String, Validator>> = OnceLock::new();
        let validators = VALIDATORS.get_or_init(|| validators(&document()));
        let kind = message["type"].as_str().unwrap_or_default();
        let validator = validators.get(kind);
        let validator = validator.unwrap_or_else(|| panic!("not described: {message}"));
        let errors: Vec<_> = validator
            .iter_errors(message)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{message}: {errors:?}");
    }

    /// A validator for each message.
    fn validators(document: &Value) -> BTreeMap<String, Validator> {
        let messages = document["components"]["messages"].as_object().unwrap();
        let validator = |(name, message): (&String, &Value)| {
            let mut schema = message["payload"].clone();
            // What the document has no field for is a mistake in a test of the document.
            schema["additionalProperties"] = false.into();
            schema["components"] = document["components"].clone();
            (name.clone(), jsonschema::validator_for(&schema).unwrap())
        };
        messages.iter().map(validator).collect()
    }

    #[test]
    fn every_message_has_an_example_that_its_schema_describes() {
        let document = document();
        let validators = validators(&document);
        let messages = document["components"]["messages"].as_object().unwrap();
        for (name, message) in messages {
            let examples = message["examples"].as_array().unwrap();
            assert!(!examples.is_empty(), "{name}");
            assert!(
                message["summary"].is_string() || name == "unsubscribed",
                "{name}"
            );
            for example in examples {
                let errors = validators[name].iter_errors(&example["payload"]);
                let errors: Vec<_> = errors.map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{name}: {errors:?}");
            }
        }
        for kind in [
            "subscribe",
            "snapshot",
            "caught_up",
            "heartbeat",
            "market:bet_placed",
            "event",
            "market:odds_updated",
            "model:drift_detected",
        ] {
            assert!(messages.contains_key(kind), "{kind}");
        }
    }

    #[test]
    fn a_message_that_is_not_as_described_is_found() {
        let validators = validators(&document());
        let with = |field: &str, value: Value| {
            let mut message = event_example("event");
            message[field] = value;
            validators["event"].is_valid(&message)
        };
        assert!(with("seq", json!(1)));
        assert!(!with("seq", json!("1")) && !with("colour", json!(1)) && !with("event", json!({})));
    }

    #[test]
    fn all_references_of_the_document_resolve() {
        fn check(value: &Value, document: &Value) {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            match value {
                Value::Object(object) => object.values().for_each(|value| check(value, document)),
                Value::Array(array) => array.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = document();
        check(&document, &document);
    }

    #[test]
    fn requests_are_described() {
        let validators = validators(&document());
        for (message, is_valid) in [
            (json!({ "op": "subscribe", "channel": "events" }), true),
            (
                json!({ "op": "subscribe", "id": {}, "channel": "events", "from": 1, "epoch": 1 }),
                true,
            ),
            (json!({ "op": "subscribe" }), false),
        ] {
            assert_eq!(
                validators["subscribe"].is_valid(&message),
                is_valid,
                "{message}"
            );
            let parsed = serde_json::from_value::<ClientMessage>(message.clone());
            assert_eq!(parsed.is_ok(), is_valid, "{message}");
        }
    }
}
