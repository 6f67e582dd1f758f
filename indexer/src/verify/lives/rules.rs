//! Changes of an account's row by what an event says: most of it as `table` lists it.

mod table;

use driftshield_sdk::json::Decoded;
use serde_json::{Value, json};

use super::Columns;
use table::RULES;

/// Changes the row of the account at `address` to what it is after an event. Counts are only changed if
/// `counts`: the row may already contain the event.
pub fn apply(row: &mut Columns, address: &str, event: &Decoded, counts: bool) {
    if counts {
        apply_counts(row, address, event);
    }
    apply_submission(row, address, event);
    let body = &event.fields;
    for (name, when, account, fields) in RULES {
        let (field, value) = when.split_once('=').unwrap_or_default();
        let is_given = when.is_empty() || body.get(field).is_some_and(|given| given == value);
        if *name != event.name
            || !is_given
            || body.get(*account).is_none_or(|given| given != address)
        {
            continue;
        }
        for (target, source) in *fields {
            set(row, target, value_of(body, source), body);
        }
    }
    if body.get("vault").is_some_and(|vault| vault == address) {
        for (field, value) in body
            .get("totals")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            row.insert(field.clone(), value.clone());
        }
    }
    for seat in body
        .get("seats")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if seat["seat"] == address {
            row.insert("bonded".into(), seat["bonded"].clone());
            row.insert("unbonding".into(), seat["unbonding"].clone());
        }
    }
}

/// The value of a rule.
fn value_of(body: &Columns, source: &str) -> Value {
    let field = |path: &str| {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let value = body.get(name).unwrap_or(&Value::Null);
        let value = if rest.is_empty() { value } else { &value[rest] };
        value.clone()
    };
    let number = |path| digits(&field(path));
    if let Some(constant) = source.strip_prefix('=') {
        return constant.into();
    }
    if let Some(path) = source.strip_suffix("-1") {
        return number(path).saturating_sub(1).to_string().into();
    }
    if let Some(path) = source.strip_suffix("/256") {
        return (number(path) / 256).to_string().into();
    }
    match field(source) {
        Value::Null => json!(0),
        value => value,
    }
}

fn set(row: &mut Columns, target: &str, value: Value, body: &Columns) {
    if let Some((list, index)) = target
        .strip_suffix(']')
        .and_then(|target| target.split_once('['))
    {
        let index = body[index].as_u64().unwrap_or(u64::MAX);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(element) = row.get_mut(list).and_then(|list| list.get_mut(index)) {
            *element = value;
        }
    } else if let Some(list) = target.strip_suffix('*') {
        let values = value.as_array().into_iter().flatten();
        let elements = row.get_mut(list).and_then(Value::as_array_mut);
        for (element, value) in elements.into_iter().flatten().zip(values) {
            *element = value.clone();
        }
        if list == "thresholds" {
            let count = value.as_array().map_or(0, Vec::len);
            row.insert("threshold_count".into(), count.into());
        }
    } else if let Some((name, field)) = target.split_once('.') {
        if let Some(known) = row.get_mut(name) {
            known[field] = value;
        }
    } else if let Some(Value::Array(list)) = row.get_mut(target) {
        list.fill(value);
    } else {
        row.insert(target.to_owned(), value);
    }
}

/// Adds what events count without stating the result.
fn apply_counts(row: &mut Columns, address: &str, event: &Decoded) {
    let body = &event.fields;
    let of = |account: &str| body.get(account).is_some_and(|given| given == address);
    match event.name {
        "BetPlaced" if of("market") && body["position_seq"] == "1" => add(row, "positions", 1),
        "ReceiptSubmitted" if of("seat") => add(row, "submissions", 1),
        "PolicyBegun" if of("policy") && body["probation"] == "passed" => {
            let premium = row
                .get("pending")
                .map_or(0, |pending| digits(&pending["premium"]));
            add(row, "premium", i128::from(premium));
        }
        "PolicyBought" if of("exposure") => add(row, "policies", 1),
        "PolicyCancelled" | "PolicyExpired" if of("exposure") => add(row, "policies", -1),
        "PolicyClaimed" if of("exposure") && body["paid"] == body["cover"] => {
            add(row, "policies", -1);
        }
        "PolicyBegun" if of("exposure") && body["is_over"] == true => add(row, "policies", -1),
        _ => {}
    }
}

/// Adds an oracle's submission to a receipt: the bit that `submitted` has more than before is the oracle's.
fn apply_submission(row: &mut Columns, address: &str, event: &Decoded) {
    let body = &event.fields;
    if event.name != "ReceiptSubmitted" || body["receipt"] != address {
        return;
    }
    let submitted = |fields: &Columns| fields["submitted"].as_u64().unwrap_or(0);
    let added = submitted(body) & !submitted(row);
    let place = added.trailing_zeros() as usize;
    for (list, field) in [
        ("values", "submission"),
        ("samples", "samples"),
        ("evidence", "evidence_hash"),
    ] {
        if let Some(element) = row.get_mut(list).and_then(|list| list.get_mut(place)) {
            *element = body[field].clone();
        }
    }
}

fn add(row: &mut Columns, field: &str, change: i128) {
    let known = row.get(field).map_or(0, digits);
    let changed = (i128::from(known) + change).max(0);
    row.insert(field.to_owned(), changed.to_string().into());
}

/// A 64-bit number, which JSON has as a string.
fn digits(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use driftshield_sdk::{Account, AccountKind};

    use super::*;

    /// Fields of the structs in the IDL, `name.field`, with those of structs in them, `name.field.field`.
    fn fields() -> BTreeSet<String> {
        let idl = include_str!("../../../../idl/driftshield.json");
        let idl: Value = serde_json::from_str(idl).expect("the IDL");
        let of = |name: &Value| -> Vec<Value> {
            let types = idl["types"].as_array().into_iter().flatten();
            let mut found = types.filter(|known| known["name"] == *name);
            let fields = found.next().map(|found| found["type"]["fields"].clone());
            fields
                .and_then(|fields| fields.as_array().cloned())
                .unwrap_or_default()
        };
        let mut names = BTreeSet::new();
        for struct_of in idl["types"].as_array().expect("types") {
            for field in of(&struct_of["name"]) {
                let name = format!("{}.{}", struct_of["name"], field["name"]).replace('"', "");
                for inner in of(&field["type"]["defined"]["name"]) {
                    names.insert(format!("{name}.{}", inner["name"]).replace('"', ""));
                }
                names.insert(name);
            }
        }
        names
    }

    #[test]
    fn the_rules_name_fields_that_exist() {
        let fields = fields();
        let kinds = [
            ("market", "Market"),
            ("position", "Position"),
            ("seller_position", "Position"),
            ("policy", "Policy"),
            ("receipt", "Receipt"),
            ("series", "Series"),
            ("request", "WithdrawRequest"),
            ("vault", "Vault"),
            ("exposure", "Exposure"),
            ("seat", "Seat"),
        ];
        for (event, when, account, said) in RULES {
            let (_, kind) = kinds
                .iter()
                .find(|(field, _)| field == account)
                .expect(account);
            let given = when.split_once('=').map(|(field, _)| field);
            let sources = said.iter().map(|(_, source)| *source);
            let sources = sources.filter(|source| !source.starts_with('='));
            for source in sources.chain(given).chain([*account]) {
                let source = source.trim_end_matches("-1").trim_end_matches("/256");
                let name = format!("{event}.{source}");
                assert!(fields.contains(&name), "{name}");
            }
            for (target, _) in *said {
                let target = target.split(['[', '*']).next().unwrap_or_default();
                let name = format!("{kind}.{target}");
                assert!(fields.contains(&name), "{name}");
            }
        }
    }

    fn row(kind: AccountKind) -> Columns {
        let zeroed = Account::zeroed(kind).encode();
        driftshield_sdk::json::account(&zeroed)
            .expect("an account")
            .fields
    }

    fn event(name: &'static str, body: Value) -> Decoded {
        let Value::Object(fields) = body else {
            panic!("not an object");
        };
        Decoded { name, fields }
    }

    #[test]
    fn a_value_is_taken_to_its_place() {
        let mut market = row(AccountKind::Market);
        let bet = json!({
            "market": "m", "position": "p", "position_seq": "1", "outcome": 2, "pool": "7", "total": "9",
        });
        let bet = event("BetPlaced", bet);
        apply(&mut market, "m", &bet, true);
        assert_eq!(market["pools"][2], "7");
        assert_eq!(
            (&market["owed"], &market["positions"]),
            (&json!("9"), &json!("1"))
        );
        apply(
            &mut market,
            "other",
            &event(
                "FeesCollected",
                json!({ "market": "m", "payee": "creator" }),
            ),
            true,
        );
        market["creator_credit"] = "5".into();
        let collected = json!({ "market": "m", "payee": "creator", "owed": "3" });
        apply(&mut market, "m", &event("FeesCollected", collected), true);
        assert_eq!(
            (&market["creator_credit"], &market["owed"]),
            (&json!("0"), &json!("3"))
        );
    }

    #[test]
    fn a_submission_belongs_to_the_oracle_whose_bit_is_new() {
        let mut receipt = row(AccountKind::Receipt);
        for (submitted, submission) in [(4, "11"), (5, "12")] {
            let body = json!({
                "receipt": "r", "submitted": submitted, "submission": submission, "samples": "3",
                "evidence_hash": "00", "window": "1", "series": "s", "seat": "o",
            });
            apply(&mut receipt, "r", &event("ReceiptSubmitted", body), true);
        }
        assert_eq!(
            (&receipt["values"][0], &receipt["values"][2]),
            (&json!("12"), &json!("11"))
        );
        let returned = json!({ "receipt": "r", "window": "1", "seats": [] });
        receipt["held"][1] = "8".into();
        apply(&mut receipt, "r", &event("SlashesReturned", returned), true);
        assert_eq!(receipt["held"][1], "0");
    }
}
