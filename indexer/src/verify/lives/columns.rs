//! Columns that are no fields of the account, and values as Postgres reads them.

use driftshield_sdk::{AccountKind, Address, address, fields::FieldType};
use serde_json::{Value, json};

use super::{super::comparison::key_bytes, Columns, Mints, MirroredLife};
use crate::event_id::EventId;

/// Adds what a market or vault has from elsewhere, for one without bytes: the account of its tokens, and what
/// the mint's collateral says. Without the event that registered the collateral, that isn't compared.
pub fn add_unsaid(row: &mut Columns, kind: AccountKind, life: &MirroredLife, mints: &Mints) {
    let Ok(own) = Address::try_from(life.address.as_slice()) else {
        return;
    };
    let (field, tokens) = match kind {
        AccountKind::Market => ("vault", address::market_vault(&own)),
        AccountKind::Vault => ("tokens", address::vault_tokens(&own)),
        _ => return,
    };
    row.insert(field.into(), tokens.to_string().into());
    let mint = row.get("mint").and_then(Value::as_str).unwrap_or_default();
    match mints.get(mint).filter(|(id, ..)| *id < life.life) {
        Some((_, decimals, program)) => {
            row.insert("decimals".into(), decimals.clone());
            row.insert("token_program".into(), program.clone());
        }
        None => {
            row.remove("decimals");
            row.remove("token_program");
        }
    }
}

/// Rewrites a value of the JSON form as Postgres' JSON reads it: keys and hashes as bytes.
pub fn to_postgres(value: &mut Value, ty: FieldType) {
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

/// Adds the columns that no field holds, from the facts.
pub fn add_derived(row: &mut Columns, kind: AccountKind, life: &MirroredLife) {
    let fact = |name: &str| life.facts.get(name).cloned().unwrap_or_default();
    let settled = fact("settled");
    let settled_slot = settled["id"]
        .as_i64()
        .map(|id| EventId::from_i64(id).slot());
    let number = |row: &Columns, field: &str| -> u64 {
        let digits = row.get(field).and_then(Value::as_str);
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    let otherwise = match kind {
        AccountKind::Market | AccountKind::Receipt => row.get("state").cloned(),
        AccountKind::Position => Some("open".into()),
        AccountKind::Policy if number(row, "last_window") < number(row, "first_window") => {
            Some("pending".into())
        }
        AccountKind::Policy => Some("open".into()),
        AccountKind::WithdrawRequest if life.closed_slot.is_some() => Some("paid".into()),
        AccountKind::WithdrawRequest if number(row, "shares") != 0 => Some("lapsed".into()),
        AccountKind::WithdrawRequest => Some("open".into()),
        _ => None,
    };
    let Some(otherwise) = otherwise else {
        return;
    };
    let end = Some(fact("end")).filter(|end| !end.is_null());
    let mut set = |column: &str, value: Value| {
        row.insert(column.to_owned(), value);
    };
    set("status", end.unwrap_or(otherwise));
    match kind {
        AccountKind::Market | AccountKind::Receipt => {
            set("settled_slot", settled_slot.into());
            set("settled_at", settled["at"].clone());
            if kind == AccountKind::Market {
                set("settled_by", settled["id"].clone());
            }
        }
        AccountKind::Position => {
            set("payout", fact("payout"));
            let destination = fact("destination");
            set("destination", destination.as_str().map(key_bytes).into());
        }
        AccountKind::Policy => set("refund", fact("refund")),
        AccountKind::WithdrawRequest => {
            set(
                "payout",
                Some(fact("payout"))
                    .filter(|paid| !paid.is_null())
                    .unwrap_or(json!(0)),
            );
            set("settled_at", settled["at"].clone());
        }
        _ => {}
    }
}
