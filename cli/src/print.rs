//! Accounts and events as tables.

use std::io::{ErrorKind, Write};

use anchor_lang::{Address, Discriminator, bytemuck};
use anyhow::Result;
use chrono::{DateTime, SecondsFormat};
use clap::ValueEnum;
use driftshield_sdk::json::{self, Decoded};
use serde_json::{Map, Value, json};

use crate::{
    args::{DRIFT_DECIMALS, MULTIPLE_DECIMALS},
    config::Flag,
};

/// What stands for nothing: an all-zero key or hash, a time that is not set.
const NONE: &str = "-";

/// With how many decimals quantities are written; none where they are base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimals {
    pub tokens: u8,
    /// Of a vault's shares.
    pub shares: u8,
}

/// Of what holds no shares.
impl From<u8> for Decimals {
    fn from(tokens: u8) -> Self {
        Self {
            tokens,
            shares: tokens,
        }
    }
}

/// Writes to stdout; that nobody reads on is no error.
pub fn out(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// An account as [`json::account`] tells it.
pub fn describe<T>(account: &T) -> Result<Decoded>
where
    T: bytemuck::Pod + Discriminator,
{
    let data = [T::DISCRIMINATOR, bytemuck::bytes_of(account)].concat();
    Ok(json::account(&data)?)
}

/// An account for machines.
pub fn account_json(address: &Address, account: &Decoded) -> Value {
    json!({ "address": address.to_string(), "name": account.name, "fields": account.fields })
}

/// An account for people; amounts have `decimals`.
pub fn account_text(address: &Address, account: &Decoded, decimals: impl Into<Decimals>) -> String {
    format!("{} {address}\n{}", account.name, fields(account, decimals))
}

/// A line for each field, accounts in the order of their fields.
pub fn fields(described: &Decoded, decimals: impl Into<Decimals>) -> String {
    let decimals = decimals.into();
    let names = match json::account_fields(described.name) {
        Some(names) => names,
        None => described.fields.keys().map(String::as_str).collect(),
    };
    let mut rows = vec![];
    for name in names
        .into_iter()
        .filter(|name| described.fields.contains_key(*name))
    {
        add_rows(&mut rows, &described.fields, name, "", decimals);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("  {name:width$}  {value}\n"))
        .collect()
}

/// A struct within becomes rows of its own, and so does each struct of a list.
fn add_rows(
    rows: &mut Vec<(String, String)>,
    fields: &Map<String, Value>,
    name: &str,
    prefix: &str,
    decimals: Decimals,
) {
    // What lists say by their length, what only the program needs, and counters of events.
    const HIDDEN: [&str; 8] = [
        "seq",
        "bump",
        "threshold_count",
        "oracle_count",
        "bins",
        "rate",
        "ends",
        "fraction",
    ];
    if HIDDEN.contains(&name) || name.ends_with("_seq") {
        return;
    }
    match &fields[name] {
        Value::Object(inner) => {
            // The struct is named where a field of it would be taken for another one.
            let is_taken = |name: &String| rows.iter().any(|(row, _)| row == name);
            let prefix = match inner.keys().any(is_taken) {
                true => format!("{name}."),
                false => String::new(),
            };
            for name in inner.keys() {
                add_rows(rows, inner, name, &prefix, decimals);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items.iter().filter_map(Value::as_object) {
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

/// A field in its unit.
pub fn field(fields: &Map<String, Value>, name: &str, decimals: impl Into<Decimals>) -> String {
    let decimals = decimals.into();
    match &fields[name] {
        Value::Array(items) if items.is_empty() => NONE.to_owned(),
        Value::Array(items) => {
            let count = listed(fields, name).unwrap_or(items.len());
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
        // What shares are worth, not a drift.
        value if name == "value" && fields.contains_key("shares") => {
            scalar("amount", value, decimals)
        }
        value => scalar(name, value, decimals),
    }
}

/// Whether an item of a receipt's array is of an oracle that has submitted.
fn is_submitted(fields: &Map<String, Value>, name: &str, oracle: usize) -> bool {
    let submitted = fields.get("submitted").and_then(Value::as_u64);
    match (name, submitted) {
        ("values" | "samples" | "evidence", Some(bits)) => bits >> oracle & 1 == 1,
        _ => true,
    }
}

/// How many items of an account's array are meant.
fn listed(fields: &Map<String, Value>, name: &str) -> Option<usize> {
    let count = |name| Some(fields.get(name)?.as_u64()? as usize);
    match name {
        "oracles" | "bonds" => count("oracle_count"),
        "reference" => count("bins"),
        "thresholds" => count("threshold_count"),
        "pools" => Some(count("threshold_count")? + 1),
        // Up to the last oracle that submitted.
        "values" | "samples" | "evidence" => {
            let submitted = count("submitted")?;
            Some((usize::BITS - submitted.leading_zeros()) as usize)
        }
        // Up to the last outcome that was bet on.
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
            ("paused", Some(flags)) => pause_flags(flags),
            ("submitted", Some(bits)) => oracles(bits),
            (name, Some(bps)) if name.ends_with("_bps") => {
                format!("{}%", scaled(bps.into(), 2))
            }
            _ => number.to_string(),
        },
        value => value.to_string(),
    }
}

fn quantity(name: &str, text: &str, decimals: Decimals) -> String {
    let seconds = |told: fn(i64) -> String| text.parse().map_or_else(|_| text.to_owned(), told);
    let decimals = match Unit::of(name) {
        Unit::Tokens => decimals.tokens,
        Unit::Shares => decimals.shares,
        Unit::Drift => DRIFT_DECIMALS,
        Unit::Multiple => MULTIPLE_DECIMALS,
        Unit::Time => return seconds(time),
        Unit::Duration => return seconds(duration),
        Unit::None if is_nothing(text) => return NONE.to_owned(),
        Unit::None => return json::printable(text),
    };
    let number = text.parse();
    number.map_or_else(|_| text.to_owned(), |units| scaled(units, decimals))
}

/// The key or hash of zeros, or no text.
fn is_nothing(text: &str) -> bool {
    let zeros = text.len() == 64 && text.bytes().all(|byte| byte == b'0');
    zeros || text.is_empty() || text == Address::default().to_string()
}

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
    /// By the name of the field, which means the same in all accounts and events.
    fn of(name: &str) -> Self {
        match name {
            "amount" | "assets" | "at_risk" | "bond" | "bonded" | "bonds" | "cap"
            | "challenge_bond" | "challenger_credit" | "cover" | "creator_credit"
            | "creator_fee" | "exposure_cover" | "held" | "locked" | "locked_after"
            | "locked_before" | "manager_credit" | "manager_part" | "max_cover" | "max_premium"
            | "min_bet" | "min_bond" | "min_cover" | "owed" | "paid" | "part" | "pool"
            | "pools" | "premium" | "protocol_credit" | "protocol_fee" | "protocol_part"
            | "refund" | "remaining" | "reward" | "security" | "slash_amount" | "slashed"
            | "stake" | "stakes" | "streamed_part" | "swept" | "total" | "treasury_credit"
            | "unbonding" | "unearned" | "winnings" => Self::Tokens,
            "escrowed" | "requested" | "returned" | "shares" => Self::Shares,
            "accumulator" | "ewma" | "exhaustion" | "last_value" | "latest" | "lowest_trigger"
            | "max_spread" | "max_spread_limit" | "max_value" | "noise_floor" | "submission"
            | "thresholds" | "trigger" | "value" | "values" => Self::Drift,
            "multiple" => Self::Multiple,
            "accrued_at" | "active_at" | "begins_at" | "close_ts" | "created_at" | "end"
            | "genesis" | "listed_at" | "release_at" | "since" | "start" | "terms_at"
            | "unlock_at" => Self::Time,
            name if name.ends_with("_secs") => Self::Duration,
            _ => Self::None,
        }
    }
}

/// `units`, of which `10^decimals` make one, without zeros at the end.
pub fn scaled(units: u128, decimals: u8) -> String {
    let decimals = usize::from(decimals);
    let digits = format!("{units:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// RFC 3339; no account has a time at 0.
pub fn time(secs: i64) -> String {
    match DateTime::from_timestamp(secs, 0) {
        _ if secs == 0 => NONE.to_owned(),
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Secs, true),
        None => secs.to_string(),
    }
}

fn duration(secs: i64) -> String {
    if secs <= 0 {
        return format!("{secs}s");
    }
    let parts = [
        (secs / 86_400, 'd'),
        (secs / 3_600 % 24, 'h'),
        (secs / 60 % 60, 'm'),
        (secs % 60, 's'),
    ];
    parts
        .iter()
        .filter(|(count, _)| 0 < *count)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}

fn pause_flags(flags: u64) -> String {
    let set = Flag::value_variants()
        .iter()
        .filter(|flag| flags & u64::from(flag.bit()) != 0)
        .filter_map(|flag| Some(flag.to_possible_value()?.get_name().to_owned()))
        .collect::<Vec<_>>();
    match &set[..] {
        [] => "nothing".to_owned(),
        set => set.join(", "),
    }
}

/// By their numbers in the model's list, from 0.
fn oracles(bits: u64) -> String {
    let numbers = (0..u64::BITS)
        .filter(|oracle| bits & (1 << oracle) != 0)
        .map(|oracle| oracle.to_string());
    numbers.collect::<Vec<_>>().join(", ")
}

/// Rows under a header, columns aligned.
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    lines
        .iter()
        .map(|line| {
            let cells = line.iter().zip(&widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:width$}  "))
                .collect();
            format!("{}\n", line.trim_end())
        })
        .collect()
}

/// Accounts of one type, a row each: `names` of the fields behind the address.
pub struct List {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    json: Vec<Value>,
}

impl List {
    pub fn new(names: &[&'static str]) -> Self {
        Self {
            header: [&["address"], names].concat(),
            rows: vec![],
            json: vec![],
        }
    }

    pub fn push(&mut self, address: &Address, account: &Decoded, decimals: impl Into<Decimals>) {
        let decimals = decimals.into();
        let cells = self.header[1..]
            .iter()
            .map(|name| field(&account.fields, name, decimals));
        self.rows
            .push(std::iter::once(address.to_string()).chain(cells).collect());
        self.json.push(account_json(address, account));
    }

    pub fn json(&self) -> Value {
        Value::from(self.json.clone())
    }

    pub fn text(&self) -> String {
        match &self.rows[..] {
            [] => "none".to_owned(),
            rows => columns(&self.header, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(scaled(12_500_000, 6), "12.5");
        assert_eq!(scaled(1, 6), "0.000001");
        assert_eq!(scaled(0, 6), "0");
        assert_eq!(scaled(70, 0), "70");
        assert_eq!(scaled(u64::MAX.into(), 6), "18446744073709.551615");
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["3s", "1h", "1d12h", "5m30s", "530d"] {
            let crate::args::Duration(secs) = text.parse().unwrap();
            assert_eq!(duration(secs), text);
        }
    }

    #[test]
    fn fields_have_the_units_of_their_names() {
        let fields = json!({
            "amount": "1500000", "latest": "250000", "multiple": "1950", "close_ts": "1796083200",
            "release_at": "0", "window_secs": "86400", "protocol_fee_bps": 200, "paused": 5,
            "outcome": null, "enabled": true, "thresholds": ["100000", "250000", "0"],
            "threshold_count": 2, "pools": ["1", "0", "2", "0"], "submitted": 5,
        });
        let fields = fields.as_object().unwrap();
        let told = |name| field(fields, name, 6);
        assert_eq!(told("amount"), "1.5");
        assert_eq!(told("latest"), "0.25");
        assert_eq!(told("multiple"), "1.95");
        assert_eq!(told("close_ts"), "2026-12-01T00:00:00Z");
        assert_eq!(told("release_at"), "-");
        assert_eq!(told("window_secs"), "1d");
        assert_eq!(told("protocol_fee_bps"), "2%");
        assert_eq!(told("paused"), "models, bets");
        assert_eq!(told("outcome"), "-");
        assert_eq!(told("enabled"), "yes");
        assert_eq!(told("thresholds"), "0.1, 0.25");
        assert_eq!(told("pools"), "0.000001, 0, 0.000002");
        assert_eq!(told("submitted"), "0, 2");
    }

    #[test]
    fn shares_have_decimals_of_their_own_and_a_value_in_tokens() {
        let request = json!({ "shares": "2500000000", "value": "2500000", "unlock_at": "0" });
        let decimals = Decimals {
            tokens: 6,
            shares: 9,
        };
        let told = |name| field(request.as_object().unwrap(), name, decimals);
        assert_eq!(told("shares"), "2.5");
        assert_eq!(told("value"), "2.5");
        assert_eq!(told("unlock_at"), "-");
    }

    #[test]
    fn a_struct_is_named_where_its_fields_would_be_mistaken() {
        let described = Decoded {
            name: "Withdrawn",
            fields: json!({
                "amount": "1", "totals": { "assets": "2" }, "next": { "assets": "3" },
            })
            .as_object()
            .unwrap()
            .clone(),
        };
        let rows = "  amount       1\n  assets       2\n  next.assets  3\n";
        assert_eq!(fields(&described, 0), rows);
    }
}
