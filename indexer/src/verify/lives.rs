//! Comparison of the rows of account types with the lives' bytes and events.
//!
//! The expected rows are derived from the JSON forms of accounts and events by rules of their own, not
//! by the code that writes the rows.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Account, AccountKind,
    fields::{self, FieldType},
    json,
};
use serde_json::{Map, Value, json};

use super::comparison::{Comparison, Expected, base58, key_bytes};
use crate::{event_id::EventId, kinds::table};

/// Number of lives compared at a time.
const PAGE_ROWS: i64 = 1_000;

#[derive(sqlx::FromRow)]
struct MirroredLife {
    address: Vec<u8>,
    life: i64,
    kind: String,
    closed_slot: Option<i64>,
    data: Vec<u8>,
    is_exact: bool,
}

/// An event of an account.
#[derive(sqlx::FromRow)]
struct AccountEvent {
    account: Vec<u8>,
    id: i64,
    /// Decimal.
    number: String,
    block_time: Option<DateTime<Utc>>,
    data: Vec<u8>,
}

/// A row's columns.
type Columns = Map<String, Value>;

/// Values that an event gives to fields of an account: the event, the field of its body with the
/// account's address, and the account's fields, each with the event's field.
type Rule = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const RULES: &[Rule] = &[
    (
        "MarketSettled",
        "market",
        &[
            ("next_window", "next_window"),
            ("observed", "observed"),
            ("accumulator", "accumulator"),
            ("state", "state"),
            ("outcome", "outcome"),
            ("value", "value"),
            ("winnings", "winnings"),
            ("protocol_credit", "protocol_fee"),
            ("creator_credit", "creator_fee"),
        ],
    ),
    (
        "Claimed",
        "market",
        &[("owed", "owed"), ("positions", "positions")],
    ),
    ("FeesCollected", "market", &[("owed", "owed")]),
    ("PositionBought", "market", &[("positions", "positions")]),
    (
        "ReceiptFinalized",
        "receipt",
        &[
            ("state", "state"),
            ("value", "value"),
            ("pay", "pay"),
            ("earners", "earners"),
            ("challenger_credit", "challenger_credit"),
        ],
    ),
    (
        "ReceiptRuled",
        "receipt",
        &[
            ("state", "state"),
            ("value", "value"),
            ("pay", "pay"),
            ("earners", "earners"),
            ("challenger_credit", "challenger_credit"),
            ("treasury_credit", "treasury_credit"),
            ("reward", "reward"),
            ("appeal_until", "appeal_until"),
        ],
    ),
    (
        "Withdrawn",
        "request",
        &[
            ("value", "value"),
            ("shares", "shares"),
            ("is_short", "is_short"),
            ("reserved_until", "reserved_until"),
        ],
    ),
    ("WithdrawCancelled", "request", &[("shares", "shares")]),
    (
        "PolicyClaimed",
        "policy",
        &[("paid", "paid"), ("cover", "cover")],
    ),
    ("PolicyCancelled", "policy", &[("paid", "paid")]),
    ("PolicyExpired", "policy", &[("paid", "paid")]),
    (
        "PolicyBegun",
        "policy",
        &[
            ("last_window", "last_window"),
            ("worth", "worth"),
            ("unmeasured", "unmeasured"),
        ],
    ),
    (
        "PolicyExamined",
        "policy",
        &[
            ("examined_until", "examined_until"),
            ("peak", "peak"),
            ("peak_window", "peak_window"),
        ],
    ),
];

/// Events that say of an account what its bytes don't, besides those of the rules.
const NOTED: [&str; 1] = ["MarketCancelled"];

/// Fields that an event after the last bytes may have changed in a way that the rules don't follow.
const UNTRACKED: &[(&str, &[&str])] = &[
    ("Position", &["stakes", "asks"]),
    (
        "Policy",
        &[
            "pending",
            "term",
            "premium",
            "worth",
            "unmeasured",
            "unmeasured_windows",
            "returned_until",
            "recent",
        ],
    ),
    (
        "Receipt",
        &[
            "values",
            "samples",
            "evidence",
            "submitted",
            "thin",
            "version",
            "challenger",
            "asserted",
            "asserts_thin",
            "held",
            "reward",
            "appeal_until",
            "penalties",
            "silent",
            "since",
            "challenger_credit",
            "treasury_credit",
        ],
    ),
    (
        "Market",
        &["protocol_credit", "creator_credit", "owed", "positions"],
    ),
    (
        "Seat",
        &["bonded", "unbonding", "release_at", "submissions"],
    ),
    ("Exposure", &["cover", "policies"]),
    (
        "Vault",
        &[
            "assets",
            "leaving",
            "seasoned",
            "locked",
            "pending_losses",
            "unearned",
            "held",
            "set_aside",
            "shares",
            "reserved_shares",
            "protocol_credit",
            "manager_credit",
            "next_terms",
            "terms_at",
        ],
    ),
];

/// Compares the rows of all lives that can be decoded.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut after = (vec![], i64::MIN);
    loop {
        let page: Vec<MirroredLife> = sqlx::query_as(
            "select address, life, kind, closed_slot, data, is_exact from chain.account
             where kind is not null and (address, life) > ($1, $2)
             order by address, life limit $3",
        )
        .bind(&after.0)
        .bind(after.1)
        .bind(PAGE_ROWS)
        .fetch_all(&mut *comparison.connection)
        .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = (last.address.clone(), last.life);
        compare_page(comparison, page).await?;
    }
}

async fn compare_page(
    comparison: &mut Comparison<'_>,
    page: Vec<MirroredLife>,
) -> anyhow::Result<()> {
    let events = read_events(comparison, &page).await?;
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (index, life) in page.iter().enumerate() {
        let next = page
            .get(index + 1)
            .filter(|next| next.address == life.address);
        let end = next.map_or(i64::MAX, |next| next.life);
        let of_account = events.get(&life.address).map_or(&[][..], Vec::as_slice);
        let events: Vec<_> = of_account
            .iter()
            .filter(|event| (life.life..end).contains(&event.id))
            .collect();
        if let Some(row) = expected_row(life, &events) {
            rows.entry(life.kind.clone()).or_default().push(row);
        }
    }
    for (kind, rows) in rows {
        let Some(kind) = AccountKind::from_name(&kind) else {
            continue;
        };
        let table = table(kind);
        let expected = Expected {
            table: &table,
            key: "address, life",
            rows: &rows,
            range: None,
            only: "",
        };
        for (key, _, exists, columns) in comparison.differing(&expected).await? {
            let address = key.0["key"][0].as_str().unwrap_or_default();
            let address = const_hex::decode(address.trim_start_matches("\\x")).unwrap_or_default();
            let address = base58(&address);
            comparison.add_difference(if exists {
                format!(
                    "account {address}: columns of {table} differ: {}",
                    columns.join(", ")
                )
            } else {
                format!("account {address}: is not in {table}")
            });
        }
    }
    Ok(())
}

/// Reads the events of the page's accounts that the rules need, by account and in order.
async fn read_events(
    comparison: &mut Comparison<'_>,
    page: &[MirroredLife],
) -> anyhow::Result<HashMap<Vec<u8>, Vec<AccountEvent>>> {
    let names = RULES.iter().map(|(event, ..)| *event).chain(NOTED);
    let names: Vec<_> = names.map(str::to_owned).collect();
    let addresses: Vec<_> = page.iter().map(|life| &life.address).collect();
    let events: Vec<AccountEvent> = sqlx::query_as(
        "select account, event.id, number::text, block_time, data
         from chain.event_account join chain.event on event.id = event_id
         where account = any($1) and name = any($2) order by event.id",
    )
    .bind(addresses)
    .bind(names)
    .fetch_all(&mut *comparison.connection)
    .await?;
    let mut by_account: HashMap<_, Vec<_>> = HashMap::new();
    for event in events {
        by_account
            .entry(event.account.clone())
            .or_default()
            .push(event);
    }
    Ok(by_account)
}

/// The row that a life must have. `None` if its bytes can't be decoded.
fn expected_row(life: &MirroredLife, events: &[&AccountEvent]) -> Option<Value> {
    let decoded = json::account(&life.data).ok()?;
    let seq = Account::decode(&life.data).ok()?.seq();
    let kind = AccountKind::from_name(decoded.name)?;
    let mut row = decoded.fields;
    for field in fields::of_kind(kind) {
        let value = row.get_mut(field.name)?;
        to_postgres(value, field.ty);
    }
    let address = base58(&life.address);
    let decoded: Vec<_> = events
        .iter()
        .filter_map(|event| Some((*event, json::event(&event.data).ok()?)))
        .collect();
    for (event, body) in &decoded {
        let is_later = !life.is_exact || seq < event.number.parse().unwrap_or(0);
        if is_later {
            apply_rules(&mut row, &address, body);
        }
    }
    let last = decoded.last().map(|(event, _)| event.number.clone());
    if life.closed_slot.is_some() {
        row.remove("seq");
        let untracked = UNTRACKED.iter().find(|(name, _)| *name == life.kind);
        for field in untracked.map_or(&[][..], |(_, fields)| fields) {
            row.remove(*field);
        }
    } else if let Some(last) = last {
        debug_assert!(last.parse().unwrap_or(0) <= seq || !life.is_exact);
    }
    add_derived(&mut row, life, &address, &decoded);
    row.insert(
        "address".into(),
        format!("\\x{}", const_hex::encode(&life.address)).into(),
    );
    row.insert("life".into(), life.life.into());
    let began_slot = (life.life != 0).then(|| EventId::from_i64(life.life).slot());
    row.insert("began_slot".into(), began_slot.into());
    Some(Value::Object(row))
}

/// Rewrites a value of the JSON form as Postgres' JSON reads it: keys and hashes as bytes.
fn to_postgres(value: &mut Value, ty: FieldType) {
    match (ty, value) {
        (FieldType::Bytes, Value::String(text)) => *text = bytes(text),
        (FieldType::BytesList, Value::Array(list)) => {
            for value in list {
                to_postgres(value, FieldType::Bytes);
            }
        }
        _ => {}
    }
}

/// Bytes given in hexadecimal (a hash) or in base58 (a key), which is never as long.
fn bytes(text: &str) -> String {
    if text.len() == 64 {
        format!("\\x{text}")
    } else {
        key_bytes(text)
    }
}

fn apply_rules(row: &mut Columns, address: &str, event: &json::Decoded) {
    for (name, account, fields) in RULES {
        if *name != event.name || event.fields[*account] != address {
            continue;
        }
        for (field, of_event) in *fields {
            let value = match &event.fields[*of_event] {
                Value::Null => json!(0),
                value => value.clone(),
            };
            row.insert((*field).to_owned(), value);
        }
    }
}

/// Adds the columns that no field holds.
fn add_derived(
    row: &mut Columns,
    life: &MirroredLife,
    address: &str,
    events: &[(&AccountEvent, json::Decoded)],
) {
    let last = |names: &[&str]| {
        let mut found = events.iter().rev();
        found.find(|(_, event)| names.contains(&event.name))
    };
    let state = row.get("state").cloned().unwrap_or_default();
    let mut set = |column: &str, value: Value| {
        row.insert(column.to_owned(), value);
    };
    match life.kind.as_str() {
        "Market" => {
            let cancelled = last(&["MarketCancelled"]).is_some();
            set("status", if cancelled { "cancelled".into() } else { state });
            let settled = last(&["MarketSettled"]);
            let settled = settled.filter(|(_, event)| event.fields["state"] != "open");
            let id = settled.map(|(event, _)| event.id);
            set("settled_by", id.into());
            set(
                "settled_at",
                json!(settled.and_then(|(event, _)| event.block_time)),
            );
        }
        "Position" => {
            let claimed = last(&["Claimed"]);
            set(
                "payout",
                claimed.map_or(Value::Null, |(_, event)| event.fields["paid"].clone()),
            );
            let is_sold = events.iter().any(|(_, event)| {
                event.name == "PositionBought"
                    && event.fields["seller_position"] == address
                    && event.fields["seller_total"] == "0"
            });
            let status = match (claimed, is_sold) {
                (Some(_), _) => "claimed",
                (None, true) => "sold",
                (None, false) => "open",
            };
            set("status", status.into());
        }
        "Receipt" => set("status", state),
        "Policy" => {
            let ended = last(&[
                "PolicyCancelled",
                "PolicyExpired",
                "PolicyClaimed",
                "PolicyBegun",
            ]);
            let ended = ended.filter(|_| life.closed_slot.is_some());
            let refund = ended.map_or(Value::Null, |(_, event)| event.fields["refund"].clone());
            set("refund", refund);
            if let Some((_, event)) = ended {
                let status = match event.name {
                    "PolicyCancelled" => "cancelled",
                    "PolicyExpired" => "expired",
                    "PolicyClaimed" => "paid",
                    _ => "void",
                };
                set("status", status.into());
            }
        }
        "WithdrawRequest" => {
            let amounts = events
                .iter()
                .filter(|(_, event)| event.name == "Withdrawn")
                .filter_map(|(_, event)| event.fields["amount"].as_str()?.parse::<u64>().ok());
            set("payout", amounts.sum::<u64>().to_string().into());
            if life.closed_slot.is_some() {
                let cancelled = last(&["WithdrawCancelled"]).is_some();
                set(
                    "status",
                    if cancelled { "cancelled" } else { "paid" }.into(),
                );
            }
        }
        _ => {}
    }
}
