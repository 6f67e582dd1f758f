//! Updates: events with their derived states, as sockets send them. docs/websocket.md lists the
//! message types.

mod drift;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row, postgres::PgRow};

use crate::{
    events::{self, Event},
    feed::{DerivedState, Update},
    odds::Pools,
};

/// Maximum number of events that one query reads.
pub const BATCH: i64 = 500;

/// Events of the channel `markets`.
pub const MARKET_EVENTS: [&str; 9] = [
    "AskSet",
    "BetPlaced",
    "Claimed",
    "FeesCollected",
    "MarketCancelled",
    "MarketClosed",
    "MarketCreated",
    "MarketSettled",
    "PositionBought",
];

/// Account types with channels of their own, by the field that names the account in event bodies.
const ACCOUNT_CHANNELS: [&str; 4] = ["model", "market", "vault", "policy"];

/// Starts a query for events (alias `e`). The caller appends the condition of the `where` clause.
pub fn query<'a>() -> QueryBuilder<'a, Postgres> {
    QueryBuilder::new(format!(
        "select {}, o.pools,
                m.threshold_count, m.decimals, m.protocol_fee_bps, m.creator_fee_bps
         from chain.event e
         left join chain.odds o on o.market = e.body->>'market' and o.seq = e.seq
         left join chain.market m on m.address = o.market
         where ",
        events::COLUMNS
    ))
}

/// Runs a [`query`], and returns the first [`BATCH`] updates in order.
pub async fn load(
    db: &mut PgConnection,
    mut sql: QueryBuilder<'_, Postgres>,
) -> Result<Vec<Update>, sqlx::Error> {
    sql.push(" order by e.seq limit ").push_bind(BATCH);
    let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *db).await?;
    let mut updates = Vec::with_capacity(rows.len());
    for row in rows {
        updates.push(update(db, row).await?);
    }
    Ok(updates)
}

/// An event; after a bet or the creation of a market, with the pools of the market.
struct EventRow {
    event: Event,
    pools: Option<Pools>,
}

impl FromRow<'_, PgRow> for EventRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let joined_market: Option<i16> = row.try_get("decimals")?;
        Ok(Self {
            event: Event::from_row(row)?,
            pools: joined_market.map(|_| Pools::from_row(row)).transpose()?,
        })
    }
}

async fn update(db: &mut PgConnection, row: EventRow) -> Result<Update, sqlx::Error> {
    let EventRow { event, pools } = row;
    let body = event.body.as_ref().unwrap_or(&Value::Null);
    let name = event.name.as_deref().unwrap_or_default();
    let mut states = Vec::new();
    if let Some(pools) = pools
        && let Some(market) = body["market"].as_str()
    {
        states.push(odds_updated(market, &pools));
    }
    if let Some(model) = body["model"].as_str()
        && let Some(receipt) = drift::final_receipt(name, body)
    {
        states.extend(drift::detected(db, model, receipt, &event).await?);
    }
    Ok(Update {
        seq: event.seq,
        slot: event.slot,
        kind: kind(name, body),
        channels: channels(name, body, &event),
        json: to_json(&event),
        states,
    })
}

fn odds_updated(market: &str, pools: &Pools) -> DerivedState {
    let state = json!({
        "total": pools.total(),
        "outcomes": pools.odds(),
        "market": market,
    });
    DerivedState {
        kind: "market:odds_updated",
        channels: vec![format!("market:{market}"), "markets".to_owned()],
        json: state.to_string(),
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("events serialise to JSON")
}

/// Channels that an event belongs to.
fn channels(name: &str, body: &Value, event: &Event) -> Vec<String> {
    let mut channels = vec!["events".to_owned()];
    if MARKET_EVENTS.contains(&name) {
        channels.push("markets".to_owned());
    }
    for account_type in ACCOUNT_CHANNELS {
        let is_referenced = |key: &&str| event.accounts.iter().any(|entry| entry.account == *key);
        let key = body[account_type].as_str().filter(is_referenced);
        channels.extend(key.map(|key| format!("{account_type}:{key}")));
    }
    channels
}

/// Message type of an event.
fn kind(name: &str, body: &Value) -> &'static str {
    match (name, body["state"].as_str()) {
        ("MarketCreated", _) => "market:created",
        ("BetPlaced", _) => "market:bet_placed",
        ("AskSet", _) => "market:ask_set",
        ("PositionBought", _) => "market:position_bought",
        ("MarketSettled", Some("resolved" | "void")) => "market:resolved",
        ("ReceiptChallenged", _) => "receipt:challenged",
        ("ReceiptSubmitted" | "ReceiptFinalized" | "ReceiptRuled", Some(state)) => match state {
            "proposed" => "receipt:proposed",
            "challenged" => "receipt:challenged",
            "final" => "receipt:final",
            _ => "event",
        },
        (
            "ModelRegistered" | "ModelUpdated" | "ModelRetired" | "Bonded" | "UnbondRequested"
            | "BondWithdrawn" | "SeatClosed" | "SeatSynced" | "LeaveRequested" | "OracleReplaced",
            _,
        ) => "model:updated",
        (
            "VaultCreated"
            | "VaultUpdated"
            | "ModelListed"
            | "Deposited"
            | "WithdrawRequested"
            | "WithdrawCancelled"
            | "Withdrawn"
            | "ManagerFeesCollected"
            | "ExposureClosed"
            | "VaultClosed",
            _,
        ) => "vault:updated",
        (
            "PolicyBought" | "PolicyClaimed" | "PolicyCancelled" | "PolicyRenewed"
            | "PolicyExpired" | "PolicyBegun" | "PolicyExamined",
            _,
        ) => "policy:updated",
        _ => "event",
    }
}

#[cfg(test)]
mod tests {
    use sqlx::types::Json;

    use super::*;
    use crate::events::EventAccount;

    #[test]
    fn the_message_type_depends_on_the_name_and_state_of_the_event() {
        for (name, state, expected) in [
            ("ReceiptSubmitted", "collecting", "event"),
            ("ReceiptSubmitted", "proposed", "receipt:proposed"),
            ("ReceiptSubmitted", "challenged", "receipt:challenged"),
            ("ReceiptFinalized", "final", "receipt:final"),
            ("ReceiptFinalized", "void", "event"),
            ("ReceiptRuled", "final", "receipt:final"),
            ("ReceiptRuled", "thin", "event"),
            ("MarketSettled", "open", "event"),
            ("MarketSettled", "void", "market:resolved"),
            ("Claimed", "", "event"),
            ("AskSet", "", "market:ask_set"),
            ("PositionBought", "", "market:position_bought"),
            ("Bonded", "", "model:updated"),
            ("Deposited", "", "vault:updated"),
            ("PolicyClaimed", "", "policy:updated"),
        ] {
            assert_eq!(
                kind(name, &json!({ "state": state })),
                expected,
                "{name} {state}"
            );
        }
        assert_eq!(kind("", &Value::Null), "event");
    }

    #[test]
    fn market_events_are_events_of_the_program() {
        for name in MARKET_EVENTS {
            assert!(driftshield_sdk::Event::NAMES.contains(&name), "{name}");
        }
    }

    #[test]
    fn an_event_belongs_to_the_channels_of_its_accounts() {
        let body = json!({ "vault": "v", "policy": "p", "model": "m", "market": "x" });
        let numbered = |account: &str| EventAccount {
            account: account.to_owned(),
            number: "1".to_owned(),
        };
        let event = Event {
            seq: 1,
            slot: 1,
            time: None,
            signature: String::new(),
            transaction_index: 0,
            instruction_index: 0,
            event_index: 0,
            name: Some("PolicyBought".to_owned()),
            accounts: Json(["v", "p", "m"].map(numbered).to_vec()),
            body: None,
        };
        let channels = channels("PolicyBought", &body, &event);
        assert_eq!(channels, ["events", "model:m", "vault:v", "policy:p"]);
    }
}
