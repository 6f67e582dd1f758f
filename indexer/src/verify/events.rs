//! Comparison of the events with their bytes, and of the rows derived from them.
//!
//! The expected rows are derived from the JSON form of the events, not by the code that writes them.

use chrono::{DateTime, Utc};
use driftshield_sdk::{address, json};
use serde_json::{Value, json};

use super::comparison::{Comparison, Expected, key_bytes};
use crate::{event_id::EventId, sql::built};

/// Number of events compared at a time.
const PAGE_ROWS: i64 = 2_000;

#[derive(sqlx::FromRow)]
struct MirroredEvent {
    id: i64,
    slot: i64,
    data: Vec<u8>,
    block_time: Option<DateTime<Utc>>,
    /// Whether `chain.slot` has the event's slot with the same block time.
    has_slot: bool,
}

/// Compares every event with its slot and its bytes, and every derived row with the event's fields.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page: Vec<MirroredEvent> = sqlx::query_as(
            "select id, event.slot, data, event.block_time,
               -- Past slots, before those that the mirror follows, are not in chain.slot.
               coalesce(event.slot < (select min(slot) from chain.slot), true)
                 or slot.slot is not null and event.block_time is not distinct from slot.block_time
                 as has_slot
             from chain.event left join chain.slot on slot.slot = event.slot
             where $1 < id order by id limit $2",
        )
        .bind(after)
        .bind(PAGE_ROWS)
        .fetch_all(&mut *comparison.connection)
        .await?;
        let Some(last) = page.last().map(|event| event.id) else {
            break;
        };
        comparison.report.events += page.len();
        compare_page(comparison, &page, after + 1, last).await?;
        after = last;
    }
    compare_rest(comparison, after + 1).await?;
    compare_transactions(comparison).await?;
    compare_odds(comparison).await
}

/// Checks that the events of one transaction, and of no other, have its signature, and that the events of one
/// slot have one time.
async fn compare_transactions(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let wrong: Vec<(i64, String)> = sqlx::query_as(
        "select min(id), 'signature' from chain.event
         group by id >> 12 having count(distinct signature) > 1 or min(length(signature)) <> 64
         union all
         select min(id), 'signature' from chain.event
         group by signature having min(id >> 12) <> max(id >> 12)
         union all
         select min(id), 'block_time' from chain.event
         group by id >> 31
         having count(distinct block_time) > 1 or count(block_time) not in (0, count(*))",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (event, column) in wrong {
        comparison.add_difference(format!(
            "event {event}: columns of chain.event differ: {column}"
        ));
    }
    Ok(())
}

/// Rows that the events of a page must have, by table.
#[derive(Default)]
struct DerivedRows {
    event: Vec<Value>,
    event_account: Vec<Value>,
    event_party: Vec<Value>,
    odds: Vec<Value>,
    sale: Vec<Value>,
    penalty: Vec<Value>,
    capital: Vec<Value>,
    policy_payout: Vec<Value>,
}

impl DerivedRows {
    /// The tables: name, key, column with the event's id, rows.
    fn tables(&self) -> [(&str, &str, &str, &[Value]); 8] {
        [
            ("event", "id", "id", &self.event),
            (
                "event_account",
                "event_id, account",
                "event_id",
                &self.event_account,
            ),
            (
                "event_party",
                "event_id, wallet, role",
                "event_id",
                &self.event_party,
            ),
            ("odds", "event_id", "event_id", &self.odds),
            ("sale", "event_id", "event_id", &self.sale),
            ("penalty", "event_id, oracle", "event_id", &self.penalty),
            ("capital", "event_id", "event_id", &self.capital),
            ("policy_payout", "event_id", "event_id", &self.policy_payout),
        ]
    }

    fn add(&mut self, event: &MirroredEvent) {
        let id = event.id;
        let decoded = json::event(&event.data).ok();
        let (name, body) = decoded
            .map(|event| (event.name, Value::Object(event.fields)))
            .unzip();
        self.event.push(json!({
            "id": id, "slot": EventId::from_i64(id).slot(), "name": name, "body": body,
        }));
        let Some(body) = body else {
            return;
        };
        for (account, number) in numbered_accounts(&body) {
            self.event_account
                .push(json!({ "event_id": id, "account": account, "number": number }));
        }
        for (wallet, role) in wallets(name.unwrap_or_default(), &body) {
            self.event_party.push(
                json!({ "event_id": id, "wallet": wallet, "role": role, "is_named": true,
                }),
            );
        }
        let row = |columns: &[&str], keys: &[&str]| {
            let mut row = json!({ "event_id": id, "block_time": event.block_time });
            for column in columns {
                row[*column] = body[*column].clone();
            }
            for key in keys {
                row[*key] = key_bytes(body[*key].as_str().unwrap_or_default()).into();
            }
            row
        };
        match name.unwrap_or_default() {
            // The pools are compared in `compare_odds`.
            "MarketCreated" | "BetPlaced" => self.odds.push(row(&[], &["market"])),
            "PositionBought" => self.sale.push(row(
                &["outcome", "amount", "price", "paid", "seller_total"],
                &[
                    "market",
                    "seller",
                    "buyer",
                    "seller_position",
                    "position",
                    "destination",
                ],
            )),
            "PolicyClaimed" => self.policy_payout.push(row(
                &["first_window", "value", "amount"],
                &["policy", "destination"],
            )),
            _ => {}
        }
        for penalty in body["penalties"].as_array().into_iter().flatten() {
            let mut row = row(&["window"], &["model"]);
            row["oracle"] = key_bytes(penalty["oracle"].as_str().unwrap_or_default()).into();
            row["amount"] = penalty["amount"].clone();
            self.penalty.push(row);
        }
        if let Some(totals) = body["totals"].as_object()
            && !body["vault"].is_null()
        {
            let mut row = row(&[], &["vault"]);
            for (name, amount) in totals {
                row[name] = amount.clone();
            }
            self.capital.push(row);
        }
    }
}

/// Accounts whose counters the event advances: each field `…_seq` counts the account in the field
/// before it.
fn numbered_accounts(body: &Value) -> Vec<(String, Value)> {
    let mut numbered = vec![];
    for (field, value) in body.as_object().into_iter().flatten() {
        if let Some(account) = field.strip_suffix("_seq") {
            let address = match body[account].as_str() {
                Some(address) => key_bytes(address),
                // The only account that events count without naming it
                None => key_bytes(&address::config().to_string()),
            };
            numbered.push((address, value.clone()));
        }
    }
    for seat in body["seats"].as_array().into_iter().flatten() {
        let address = key_bytes(seat["seat"].as_str().unwrap_or_default());
        numbered.push((address, seat["seat_seq"].clone()));
    }
    numbered
}

/// Wallets that the event names.
fn wallets(name: &str, body: &Value) -> Vec<(String, &'static str)> {
    const ROLES: [&str; 18] = [
        "admin",
        "pending_admin",
        "guardian",
        "arbiter",
        "pending_arbiter",
        "authority",
        "owner",
        "oracle",
        "successor",
        "funder",
        "challenger",
        "payer",
        "creator",
        "seller",
        "buyer",
        "manager",
        "holder",
        "guardian",
    ];
    let mut wallets = vec![];
    for role in ROLES {
        if let Some(wallet) = body[role].as_str() {
            wallets.push((key_bytes(wallet), role));
        }
    }
    let lists = [&body["seats"], &body["penalties"]];
    let named = lists.into_iter().filter_map(Value::as_array).flatten();
    let named = named.map(|entry| &entry["oracle"]);
    let terms = match name {
        "ModelRegistered" | "ModelUpdated" => body["terms"]["oracles"].as_array(),
        _ => None,
    };
    for oracle in named.chain(terms.into_iter().flatten()) {
        wallets.push((key_bytes(oracle.as_str().unwrap_or_default()), "oracle"));
    }
    wallets.sort();
    wallets.dedup();
    wallets
}

async fn compare_page(
    comparison: &mut Comparison<'_>,
    page: &[MirroredEvent],
    first: i64,
    last: i64,
) -> anyhow::Result<()> {
    let mut rows = DerivedRows::default();
    for event in page {
        let (id, slot) = (event.id, event.slot);
        if !event.has_slot {
            comparison.add_difference(format!(
                "event {id}: chain.slot has no slot {slot} with the event's block time"
            ));
        }
        rows.add(event);
    }
    for (table, key, column, rows) in rows.tables() {
        let table = &*format!("chain.{table}");
        let expected = Expected {
            table,
            key,
            rows,
            range: Some((column, first, last)),
            only: match table {
                // The others are compared in `parties`.
                "chain.event_party" => " and is_named",
                _ => "",
            },
        };
        for (key, is_expected, exists, columns) in comparison.differing(&expected).await? {
            // Pools that the mirror can't know are left out: `compare_odds` tells.
            if table == "chain.odds" && !exists {
                continue;
            }
            let event = &key.0["key"][0];
            comparison.add_difference(match (is_expected, exists) {
                (true, true) => {
                    format!(
                        "event {event}: columns of {table} differ: {}",
                        columns.join(", ")
                    )
                }
                (true, false) => format!("event {event}: is not in {table}"),
                _ => format!("event {event}: has an unexpected row in {table}"),
            });
        }
    }
    Ok(())
}

/// Reports derived rows after the last event.
async fn compare_rest(comparison: &mut Comparison<'_>, first: i64) -> anyhow::Result<()> {
    for (table, _, column, _) in DerivedRows::default().tables() {
        let sql = format!("select {column} from chain.{table} where $1 <= {column}");
        let unexpected: Vec<i64> = sqlx::query_scalar(built(sql))
            .bind(first)
            .fetch_all(&mut *comparison.connection)
            .await?;
        for event in unexpected {
            comparison.add_difference(format!(
                "event {event}: has an unexpected row in chain.{table}"
            ));
        }
    }
    Ok(())
}

/// Checks the pools after each bet: the outcome's own pool and the sum are those of the event, and the
/// other pools are those before it.
async fn compare_odds(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let wrong: Vec<i64> = sqlx::query_scalar(
        "select coalesce(odds.event_id, event.id)
         from (select * from chain.event where name in ('MarketCreated', 'BetPlaced')) event
         full join (
           select *, lag(pools) over of_market as before, lag(event_id) over of_market as before_id
           from chain.odds window of_market as (partition by market order by event_id)) odds on odds.event_id = event.id
         where case
           when event.id is null then true
           when event.name = 'MarketCreated'
             then odds.pools is distinct from array_fill(0::numeric(20), array[8])
           -- A mirror that began with a later state of the market, or lost bets, has no pools.
           when odds.pools is null
             then exists (select from chain.odds earlier join chain.event_account a
                            on a.account = earlier.market and a.event_id = event.id
                          where earlier.event_id < event.id
                            and not exists (select from chain.gap
                              where state = 'lost' and earlier.event_id >> 31 < from_slot
                                and to_slot < event.id >> 31))
           else odds.pools[(event.body ->> 'outcome')::int + 1]
                  is distinct from (event.body ->> 'pool')::numeric
             or (select sum(pool) from unnest(odds.pools) pool)
                  is distinct from (event.body ->> 'total')::numeric
             or (odds.before is not null and (event.body ->> 'position_seq') is not null
               and exists (select from generate_subscripts(odds.pools, 1) place
                 where place <> (event.body ->> 'outcome')::int + 1
                   and odds.pools[place] is distinct from odds.before[place])
               and not exists (select from chain.gap
                 where state = 'lost' and odds.before_id >> 31 < from_slot
                   and to_slot < event.id >> 31))
         end",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for event in wrong {
        comparison.add_difference(format!(
            "event {event}: columns of chain.odds differ: pools"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn accounts_are_numbered_by_their_seq_fields() {
        let key = address::config().to_string();
        let body = json!({
            "market": key, "market_seq": "4", "model": key,
            "seats": [{ "seat": key, "seat_seq": "7", "oracle": key }],
        });
        let bytes = key_bytes(&key);
        let expected = [(bytes.clone(), json!("4")), (bytes.clone(), json!("7"))];
        assert_eq!(numbered_accounts(&body), expected);
        let config = json!({ "config_seq": "2" });
        assert_eq!(numbered_accounts(&config), [(bytes, json!("2"))]);
    }

    /// The mirror of the network tests has no penalties and payouts.
    #[test]
    fn every_column_of_penalties_and_payouts_is_compared() {
        let schema = include_str!("../../../migrations/0001_mirror.sql");
        let columns = |table: &str| {
            let (_, table) = schema
                .split_once(&format!("create table chain.{table} ("))
                .unwrap();
            let (columns, _) = table.split_once("primary key").unwrap();
            let lines = columns.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
            let names = lines.filter_map(|line| line.split(' ').next());
            names
                .map(|name| name.trim_matches('"').to_owned())
                .collect::<BTreeSet<_>>()
        };
        let compared = |rows: &[Value]| {
            let row = rows[0].as_object().unwrap();
            row.keys().cloned().collect::<BTreeSet<_>>()
        };
        let event = |event: Vec<u8>| MirroredEvent {
            id: 1,
            slot: 0,
            data: event,
            block_time: None,
            has_slot: true,
        };
        let mut rows = DerivedRows::default();
        rows.add(&event(finalized()));
        rows.add(&event(policy_claimed()));
        assert_eq!(compared(&rows.penalty), columns("penalty"));
        assert_eq!(compared(&rows.policy_payout), columns("policy_payout"));
    }

    /// An event of zeros, but for one penalty.
    fn finalized() -> Vec<u8> {
        // model, its number, receipt, its number, window, series, its number, state, value, credit, pay, earners
        let before = vec![0; 32 + 8 + 32 + 8 + 8 + 32 + 8 + 1 + 8 + 8 + 8 + 1];
        let penalties = [&1u32.to_le_bytes()[..], &[7; 40]].concat();
        // security, lasting security and the head of the chain
        [
            discriminator("ReceiptFinalized"),
            before,
            penalties,
            vec![0; 8 + 8 + 32],
        ]
        .concat()
    }

    fn policy_claimed() -> Vec<u8> {
        // Four accounts with their numbers, holder, destination, six amounts, the totals, and three more amounts
        let body = vec![0; 4 * 40 + 2 * 32 + 6 * 8 + 12 * 8 + 3 * 8];
        [discriminator("PolicyClaimed"), body].concat()
    }

    fn discriminator(name: &str) -> Vec<u8> {
        let idl = include_str!("../../../idl/driftshield.json");
        let idl: Value = serde_json::from_str(idl).unwrap();
        let mut events = idl["events"].as_array().unwrap().iter();
        let event = events.find(|event| event["name"] == name).unwrap();
        serde_json::from_value(event["discriminator"].clone()).unwrap()
    }

    #[test]
    fn a_wallet_has_each_of_its_parts_once() {
        let key = address::config().to_string();
        let body = json!({
            "arbiter": key,
            "seats": [{ "oracle": key }],
            "penalties": [{ "oracle": key }],
        });
        let bytes = key_bytes(&key);
        let expected = [(bytes.clone(), "arbiter"), (bytes, "oracle")];
        assert_eq!(wallets("ReceiptRuled", &body), expected);
    }
}
