//! Fields of accounts and events as text, each in its unit.

use anchor_lang::Address;
use driftshield_sdk::json::{self, Decoded};
use serde_json::{Map, Value};

use super::{
    format::{NONE, duration, oracles, pause_flags, scaled, time},
    table::aligned,
};
use crate::args::{DRIFT_DECIMALS, MULTIPLE_DECIMALS};

/// Decimals with which quantities are read and printed: 0 for base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimals {
    pub tokens: u8,
    /// Decimals of a vault's shares.
    pub shares: u8,
}

/// Decimals for accounts and events that hold no shares.
impl From<u8> for Decimals {
    fn from(tokens: u8) -> Self {
        Self {
            tokens,
            shares: tokens,
        }
    }
}

/// Fields that are not printed: sequence numbers, lengths of arrays, and values that only the
/// program uses. Fields named `…_seq` are not printed either.
const HIDDEN: [&str; 13] = [
    "seq",
    "bump",
    "threshold_count",
    "oracle_count",
    "bins",
    "rate",
    "rate_changes",
    "fraction",
    "index",
    "leaving_index",
    "leaving_scale",
    "losses",
    "scale",
];

/// Indented lines for the fields. Fields of accounts are in the order of the struct.
pub fn fields(decoded: &Decoded, decimals: impl Into<Decimals>) -> String {
    let decimals = decimals.into();
    let names = match json::account_fields(decoded.name) {
        Some(names) => names,
        None => decoded.fields.keys().map(String::as_str).collect(),
    };
    let mut rows = vec![];
    for name in names {
        if decoded.fields.contains_key(name) {
            add_rows(&mut rows, &decoded.fields, name, "", decimals);
        }
    }
    let lines = aligned(rows.into_iter().map(|(name, value)| [name, value]));
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

/// Adds the rows of one field. A nested struct adds a row for each of its fields, a list of structs
/// adds a row for each struct.
fn add_rows(
    rows: &mut Vec<(String, String)>,
    fields: &Map<String, Value>,
    name: &str,
    prefix: &str,
    decimals: Decimals,
) {
    if HIDDEN.contains(&name) || name.ends_with("_seq") {
        return;
    }
    match &fields[name] {
        Value::Object(inner) => {
            // If an inner field has the name of an earlier row, all inner fields are prefixed with
            // the struct's name.
            let is_taken = |name: &String| rows.iter().any(|(row, _)| row == name);
            let prefix = match inner.keys().any(is_taken) {
                true => format!("{name}."),
                false => String::new(),
            };
            for name in inner.keys() {
                add_rows(rows, inner, name, &prefix, decimals);
            }
        }
        Value::Array(items) if name != "asks" && items.iter().any(Value::is_object) => {
            let count = used_len(fields, name).unwrap_or(items.len());
            for item in items.iter().take(count).filter_map(Value::as_object) {
                let mut parts = vec![];
                for name in item.keys() {
                    add_rows(&mut parts, item, name, "", decimals);
                }
                let parts = parts.iter().map(|(name, value)| format!("{name} {value}"));
                rows.push((name.to_owned(), parts.collect::<Vec<_>>().join(", ")));
            }
        }
        _ => rows.push((format!("{prefix}{name}"), field(fields, name, decimals))),
    }
}

/// Text of a field's value in its unit.
pub fn field(fields: &Map<String, Value>, name: &str, decimals: Decimals) -> String {
    match &fields[name] {
        Value::Array(items) if name == "asks" => asks(items, decimals),
        Value::Array(items) if items.is_empty() => NONE.to_owned(),
        Value::Array(items) => {
            let count = used_len(fields, name).unwrap_or(items.len());
            let items = items.iter().take(count).enumerate();
            items
                .map(|(index, item)| match is_submitted(fields, name, index) {
                    true => scalar(name, item, decimals),
                    false => NONE.to_owned(),
                })
                .collect::<Vec<_>>()
                .join(", ")
        }
        _ if name == "value" && fields.get("state") == Some(&"void".into()) => NONE.to_owned(),
        // In a withdrawal request, `value` is the requested capital in tokens, not a drift.
        value if name == "value" && fields.contains_key("shares") => {
            scalar("amount", value, decimals)
        }
        value => scalar(name, value, decimals),
    }
}

/// A position's asks: what is for sale of each outcome, at which price, and until when.
fn asks(asks: &[Value], decimals: Decimals) -> String {
    let asks = asks.iter().filter_map(Value::as_object).enumerate();
    let set = asks.filter(|(_, ask)| ask["amount"] != "0");
    let texts: Vec<_> = set
        .map(|(outcome, ask)| {
            let text = |name| field(ask, name, decimals);
            format!(
                "{} of outcome {outcome} at {} until {}",
                text("amount"),
                text("price"),
                text("valid_until")
            )
        })
        .collect();
    match &texts[..] {
        [] => NONE.to_owned(),
        texts => texts.join(", "),
    }
}

/// Whether an item of a receipt's array belongs to an oracle that has submitted. `true` for any
/// other array.
fn is_submitted(fields: &Map<String, Value>, name: &str, oracle: usize) -> bool {
    let submitted = fields.get("submitted").and_then(Value::as_u64);
    match (name, submitted) {
        ("values" | "samples" | "evidence", Some(bits)) => bits >> oracle & 1 == 1,
        _ => true,
    }
}

/// Number of items in use in an account's array of fixed length. `None` if the array has no unused
/// items, or has stakes that are all 0.
fn used_len(fields: &Map<String, Value>, name: &str) -> Option<usize> {
    let count = |name| Some(fields.get(name)?.as_u64()? as usize);
    match name {
        "oracles" | "bonds" | "tenures" => count("oracle_count"),
        "reference" => count("bins"),
        "thresholds" => count("threshold_count"),
        "pools" => Some(count("threshold_count")? + 1),
        // Up to the last oracle that submitted.
        "values" | "samples" | "evidence" => {
            let submitted = count("submitted")?;
            Some((usize::BITS - submitted.leading_zeros()) as usize)
        }
        // Up to the last outcome with a stake.
        "stakes" => {
            let stakes = fields.get(name)?.as_array()?;
            Some(stakes.iter().rposition(|stake| stake != "0")? + 1)
        }
        _ => None,
    }
}

fn scalar(name: &str, value: &Value, decimals: Decimals) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => quantity(name, text, decimals),
        Value::Number(number) => match (name, number.as_u64()) {
            ("paused", Some(bits)) => pause_flags(bits),
            ("submitted", Some(bits)) => oracles(bits),
            ("price", Some(price)) => scaled(price.into(), MULTIPLE_DECIMALS),
            (name, Some(bps)) if name.ends_with("_bps") => {
                format!("{}%", scaled(bps.into(), 2))
            }
            _ => number.to_string(),
        },
        value => value.to_string(),
    }
}

fn quantity(name: &str, text: &str, decimals: Decimals) -> String {
    let secs = |format: fn(i64) -> String| text.parse().map_or_else(|_| text.to_owned(), format);
    let decimals = match Unit::of(name) {
        Unit::Tokens => decimals.tokens,
        Unit::Shares => decimals.shares,
        Unit::Drift => DRIFT_DECIMALS,
        Unit::Multiple => MULTIPLE_DECIMALS,
        Unit::Time => return secs(time),
        Unit::Duration => return secs(duration),
        Unit::None if is_unset(text) => return NONE.to_owned(),
        Unit::None => return json::printable(text),
    };
    let number = text.parse();
    number.map_or_else(|_| text.to_owned(), |units| scaled(units, decimals))
}

/// Whether a text is empty, or a key or hash of zeros.
fn is_unset(text: &str) -> bool {
    let is_zero_hash = text.len() == 64 && text.bytes().all(|byte| byte == b'0');
    is_zero_hash || text.is_empty() || text == Address::default().to_string()
}

/// Unit of a field's value.
enum Unit {
    Tokens,
    Shares,
    Drift,
    Multiple,
    Time,
    Duration,
    None,
}

impl Unit {
    /// The unit of a field. A field name has the same unit in all accounts and events.
    fn of(name: &str) -> Self {
        match name {
            "absence_penalty" | "amount" | "assets" | "bond" | "bonded" | "bonds" | "cap"
            | "challenge_bond" | "challenger_credit" | "compensation" | "cover" | "cover_risk"
            | "creator_credit" | "creator_fee" | "exposure_cover" | "held" | "lasting_security"
            | "leaving" | "locked" | "locked_after" | "locked_before" | "manager_credit"
            | "manager_part" | "market_risk" | "max_cover" | "max_premium" | "min_bet"
            | "min_bond" | "min_cover" | "owed" | "paid" | "part" | "pay" | "penalties"
            | "pending_losses" | "penalty" | "pool" | "pools" | "premium" | "protocol_credit"
            | "protocol_fee" | "protocol_part" | "refund" | "remaining" | "rent" | "reward"
            | "rewards" | "seasoned" | "security" | "set_aside" | "seller_stake"
            | "seller_total" | "slash_amount" | "slashed" | "stake" | "stakes"
            | "streamed_part" | "swept" | "total" | "treasury_credit" | "unbonding"
            | "unearned" | "unmeasured" | "waiting" | "winnings" | "worth" => Self::Tokens,
            "reserved_shares" | "shares" => Self::Shares,
            "accumulator" | "asserted" | "ewma" | "exhaustion" | "last_value" | "latest"
            | "lowest_trigger" | "max_spread" | "max_spread_limit" | "max_value"
            | "noise_floor" | "peak" | "recent" | "submission" | "thresholds" | "trigger"
            | "value" | "values" => Self::Drift,
            "multiple" => Self::Multiple,
            "accrued_at" | "active_at" | "appeal_until" | "begins_at" | "close_ts"
            | "counted_since" | "counted_until" | "counts_since" | "created_at" | "end"
            | "ends_at" | "exposed_since" | "genesis" | "lapses_at" | "leave_at" | "listed_at"
            | "release_at" | "reserved_until" | "since" | "start" | "stopped_at"
            | "streams_end" | "terms_at" | "unlock_at" | "until" | "valid_until" => Self::Time,
            name if name.ends_with("_secs") => Self::Duration,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_the_units_of_their_names() {
        let fields = json!({
            "amount": "1500000", "latest": "250000", "multiple": "1950", "close_ts": "1796083200",
            "release_at": "0", "window_secs": "86400", "protocol_fee_bps": 200, "paused": 5,
            "outcome": null, "enabled": true, "thresholds": ["100000", "250000", "0"],
            "threshold_count": 2, "pools": ["1", "0", "2", "0"], "submitted": 5,
        });
        let fields = fields.as_object().unwrap();
        let text = |name| field(fields, name, 6.into());
        assert_eq!(text("amount"), "1.5");
        assert_eq!(text("latest"), "0.25");
        assert_eq!(text("multiple"), "1.95");
        assert_eq!(text("close_ts"), "2026-12-01T00:00:00Z");
        assert_eq!(text("release_at"), "-");
        assert_eq!(text("window_secs"), "1d");
        assert_eq!(text("protocol_fee_bps"), "2%");
        assert_eq!(text("paused"), "models, bets");
        assert_eq!(text("outcome"), "-");
        assert_eq!(text("enabled"), "yes");
        assert_eq!(text("thresholds"), "0.1, 0.25");
        assert_eq!(text("pools"), "0.000001, 0, 0.000002");
        assert_eq!(text("submitted"), "0, 2");
    }

    #[test]
    fn asks_are_printed_with_their_outcomes() {
        let fields = json!({ "asks": [
            { "amount": "0", "valid_until": "0", "price": 0, "reports": 0 },
            { "amount": "2500000", "valid_until": "1796083200", "price": 950, "reports": 3 },
        ] });
        let text = field(fields.as_object().unwrap(), "asks", 6.into());
        assert_eq!(text, "2.5 of outcome 1 at 0.95 until 2026-12-01T00:00:00Z");
        let none = json!({ "asks": [] });
        assert_eq!(field(none.as_object().unwrap(), "asks", 6.into()), NONE);
    }

    #[test]
    fn shares_have_their_own_decimals_and_a_value_in_tokens() {
        let request = json!({
            "shares": "2500000000", "value": "2500000", "unlock_at": "0", "leaving": "1500000",
            "seasoned": "500000", "reserved_shares": "500000000", "lapses_at": "1796083200",
        });
        let decimals = Decimals {
            tokens: 6,
            shares: 9,
        };
        let text = |name| field(request.as_object().unwrap(), name, decimals);
        assert_eq!(text("shares"), "2.5");
        assert_eq!(text("value"), "2.5");
        assert_eq!(text("unlock_at"), "-");
        assert_eq!(text("leaving"), "1.5");
        assert_eq!(text("seasoned"), "0.5");
        assert_eq!(text("reserved_shares"), "0.5");
        assert_eq!(text("lapses_at"), "2026-12-01T00:00:00Z");
    }

    #[test]
    fn the_fields_of_a_struct_are_prefixed_if_their_names_are_taken() {
        let decoded = Decoded {
            name: "Withdrawn",
            fields: json!({
                "amount": "1", "totals": { "assets": "2" }, "next": { "assets": "3" },
            })
            .as_object()
            .unwrap()
            .clone(),
        };
        let rows = "  amount       1\n  assets       2\n  next.assets  3\n";
        assert_eq!(fields(&decoded, 0), rows);
    }
}
