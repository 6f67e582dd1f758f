//! What the events of a life say about how it went, which its bytes don't say: `chain.account.facts`.

use chrono::{DateTime, Utc};
use driftshield_sdk::json::Decoded;
use serde_json::{Value, json};

use super::Columns;
use crate::event_id::EventId;

/// What the events of a life say.
#[derive(Default)]
pub struct Said {
    /// Facts under the names of `chain.account.facts`, but for the times of beginning and end.
    pub facts: Columns,
    /// Slot and time of the event that closes the account.
    pub closed: Option<(i64, Option<DateTime<Utc>>)>,
    /// Number of the last event.
    pub last_number: Option<u64>,
}

impl Said {
    /// Takes note of the next event of the account at `address`.
    pub fn note(&mut self, address: &str, id: i64, at: Option<DateTime<Utc>>, event: &Decoded) {
        let of = |account: &str| {
            event
                .fields
                .get(account)
                .is_some_and(|given| given == address)
        };
        if closes(event, of) {
            self.closed = Some((EventId::from_i64(id).slot(), at));
        }
        let body = &event.fields;
        let mut fact = |name: &str, value: Value| {
            self.facts.insert(name.to_owned(), value);
        };
        let settled = json!({ "id": id, "at": at });
        match event.name {
            "MarketSettled" if of("market") && body["state"] != "open" => fact("settled", settled),
            "MarketCancelled" if of("market") => fact("end", "cancelled".into()),
            "Claimed" if of("position") => {
                fact("end", "claimed".into());
                fact("payout", amount(&body["paid"]));
                fact("destination", body["destination"].clone());
            }
            "PositionBought" if of("seller_position") && body["seller_total"] == "0" => {
                fact("end", "sold".into());
            }
            "ReceiptFinalized" | "ReceiptRuled" if of("receipt") && is_settled(&body["state"]) => {
                fact("settled", settled);
            }
            "Withdrawn" if of("request") => {
                fact("settled", settled);
                let paid = self
                    .facts
                    .get("payout")
                    .and_then(Value::as_u64)
                    .unwrap_or(0);
                let more = amount(&body["amount"]).as_u64().unwrap_or(0);
                self.facts
                    .insert("payout".into(), paid.saturating_add(more).into());
            }
            "WithdrawCancelled" if of("request") => {
                fact("settled", settled);
                fact("end", "cancelled".into());
            }
            _ if of("policy") => {
                if let Some(end) = end_of_policy(event) {
                    fact("end", end.into());
                    fact("refund", amount(&body["refund"]));
                }
            }
            _ => {}
        }
    }
}

fn end_of_policy(event: &Decoded) -> Option<&'static str> {
    let body = &event.fields;
    match event.name {
        "PolicyClaimed" if body["paid"] == body["cover"] => Some("paid"),
        "PolicyCancelled" => Some("cancelled"),
        "PolicyExpired" => Some("expired"),
        "PolicyBegun" if body["is_over"] == true => Some("void"),
        _ => None,
    }
}

/// Whether the event closes the account that `of` tells by the field with its address.
fn closes(event: &Decoded, of: impl Fn(&str) -> bool) -> bool {
    let body = &event.fields;
    let are_zero = |fields: &[&str]| fields.iter().all(|field| body[*field] == "0");
    match event.name {
        "MarketCancelled" | "MarketClosed" => of("market"),
        "Claimed" => of("position"),
        "PositionBought" => of("seller_position") && are_zero(&["seller_total"]),
        "SeatClosed" => of("seat"),
        "SeriesClosed" => of("series"),
        "ReceiptRuled" => {
            of("receipt") && are_zero(&["challenger_credit", "treasury_credit", "slashed"])
        }
        "ReceiptFinalized" => {
            of("receipt") && is_settled(&body["state"]) && are_zero(&["challenger_credit"])
        }
        "SlashesReturned" | "ChallengeCollected" => of("receipt") && are_zero(&["owed"]),
        "WithdrawCancelled" => of("request"),
        "Withdrawn" => of("request") && are_zero(&["value", "shares"]),
        "ExposureClosed" => of("exposure"),
        "VaultClosed" => of("vault"),
        "PolicyClaimed" | "PolicyCancelled" | "PolicyExpired" | "PolicyBegun" => {
            of("policy") && end_of_policy(event).is_some()
        }
        _ => false,
    }
}

/// Names of the events that [`Said::note`] looks at, each with the type of the account.
pub const NOTED: &[(&str, &str)] = &[
    ("Market", "MarketSettled"),
    ("Market", "MarketCancelled"),
    ("Market", "MarketClosed"),
    ("Position", "Claimed"),
    ("Position", "PositionBought"),
    ("Seat", "SeatClosed"),
    ("Series", "SeriesClosed"),
    ("Receipt", "ReceiptFinalized"),
    ("Receipt", "ReceiptRuled"),
    ("Receipt", "SlashesReturned"),
    ("Receipt", "ChallengeCollected"),
    ("WithdrawRequest", "Withdrawn"),
    ("WithdrawRequest", "WithdrawCancelled"),
    ("Exposure", "ExposureClosed"),
    ("Vault", "VaultClosed"),
    ("Policy", "PolicyClaimed"),
    ("Policy", "PolicyCancelled"),
    ("Policy", "PolicyExpired"),
    ("Policy", "PolicyBegun"),
];

fn is_settled(state: &Value) -> bool {
    ["final", "void", "thin"]
        .iter()
        .any(|settled| state == settled)
}

/// An amount in base units, as facts have it.
fn amount(digits: &Value) -> Value {
    let number = digits
        .as_str()
        .and_then(|digits| digits.parse::<u64>().ok());
    number.map_or(Value::Null, Value::from)
}
