//! Updates: records of the feed with the states derived from their events, as sockets send them.
//! docs/websocket.md lists the message types.

pub mod drift;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, postgres::PgRow, types::Json};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    event_id::EventId,
    events::{self, Event},
    feed::{DerivedState, FeedMessage, Gap, Rollback, Update},
    odds::{Odds, Pools},
    values::Scaled,
};

/// Maximum number of records that one query reads.
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

/// Message types of events.
pub const KINDS: [&str; 12] = [
    "event",
    "market:ask_set",
    "market:bet_placed",
    "market:created",
    "market:position_bought",
    "market:resolved",
    "model:updated",
    "policy:updated",
    "receipt:challenged",
    "receipt:final",
    "receipt:proposed",
    "vault:updated",
];

/// A record of the feed.
pub struct Record {
    pub seq: i64,
    /// Channels whose data the record changes, each once; none for rollbacks and gaps, which concern all
    /// of them.
    pub channels: Vec<String>,
    /// `None` for an event that was rolled back since: a later record says so.
    pub message: Option<FeedMessage>,
}

/// Starts a query for records of the feed (alias `f`). The caller appends the condition of the `where`
/// clause.
pub fn query() -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!(
        "select f.seq as feed_seq, f.epoch, f.slot as feed_slot, f.kind, f.channels,
                f.body as feed_body, {}, o.market as odds_market, o.pools,
                m.threshold_count, m.decimals, m.protocol_fee_bps, m.creator_fee_bps
         from chain.feed f
         left join chain.event e on e.id = f.event_id
         left join lateral (
           select o.* from chain.event_account a
           join chain.odds o on o.market = a.account and o.event_id = a.event_id
           where a.event_id = e.id and e.name in ('MarketCreated', 'BetPlaced') limit 1) o on true
         left join lateral (
           select m.* from chain.market m where m.address = o.market and m.life <= e.id
           order by m.life desc limit 1) m on true
         where ",
        events::COLUMNS
    ))
}

/// Runs a [`query`], and returns the first [`BATCH`] records in order.
pub async fn load(
    db: &mut PgConnection,
    mut sql: QueryBuilder<Postgres>,
) -> Result<Vec<Record>, sqlx::Error> {
    sql.push(" order by f.seq limit ").push_bind(BATCH);
    let rows: Vec<RecordRow> = sql.build_query_as().fetch_all(&mut *db).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let seq = row.seq;
        let (channels, message) = row.message(db).await?;
        records.push(Record {
            seq,
            channels,
            message,
        });
    }
    Ok(records)
}

/// Reads the rollbacks after the record `seq`, in order.
pub async fn rollbacks_after(
    db: &mut PgConnection,
    seq: i64,
) -> Result<Vec<Rollback>, sqlx::Error> {
    let rows: Vec<(i64, i64, Json<RolledBack>)> = sqlx::query_as(
        "select epoch, seq, body from chain.feed where $1 < seq and kind = 'rollback' order by seq",
    )
    .bind(seq)
    .fetch_all(db)
    .await?;
    let rollback = |(epoch, seq, Json(RolledBack { to_slot }))| Rollback {
        epoch,
        seq,
        to_slot,
    };
    Ok(rows.into_iter().map(rollback).collect())
}

/// Body of a rollback in the feed.
#[derive(Deserialize)]
struct RolledBack {
    to_slot: i64,
}

/// Body of a gap in the feed.
#[derive(Deserialize)]
struct ChangedGap {
    from_slot: i64,
    to_slot: i64,
    state: String,
}

/// A record of the feed with its event. After a bet or the creation of a market, the event comes with
/// the pools of the market.
struct RecordRow {
    epoch: i64,
    seq: i64,
    slot: i64,
    kind: String,
    channels: Vec<String>,
    body: Value,
    event: Option<Event>,
    pools: Option<(Key, Pools)>,
}

/// Columns of `chain.feed`, and those that are null if the record comes without an event or pools.
#[derive(FromRow)]
struct FeedRow {
    epoch: i64,
    feed_seq: i64,
    feed_slot: i64,
    kind: String,
    channels: Vec<String>,
    feed_body: Value,
    id: Option<EventId>,
    odds_market: Option<Key>,
    decimals: Option<i16>,
}

impl FromRow<'_, PgRow> for RecordRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let feed = FeedRow::from_row(row)?;
        let event = feed.id.map(|_| Event::from_row(row)).transpose()?;
        let market = feed.odds_market.filter(|_| feed.decimals.is_some());
        let pools = market.map(|market| Ok::<_, sqlx::Error>((market, Pools::from_row(row)?)));
        Ok(Self {
            epoch: feed.epoch,
            seq: feed.feed_seq,
            slot: feed.feed_slot,
            kind: feed.kind,
            channels: feed.channels,
            body: feed.feed_body,
            event,
            pools: pools.transpose()?,
        })
    }
}

impl RecordRow {
    /// The record's channels, and its message if there still is one.
    async fn message(
        mut self,
        db: &mut PgConnection,
    ) -> Result<(Vec<String>, Option<FeedMessage>), sqlx::Error> {
        let (epoch, seq) = (self.epoch, self.seq);
        let undecodable = |error: serde_json::Error| sqlx::Error::Decode(error.into());
        let message = match self.kind.as_str() {
            "rollback" => {
                let RolledBack { to_slot } =
                    serde_json::from_value(self.body).map_err(undecodable)?;
                FeedMessage::Rollback(Rollback {
                    epoch,
                    seq,
                    to_slot,
                })
            }
            "gap" => {
                let gap: ChangedGap = serde_json::from_value(self.body).map_err(undecodable)?;
                FeedMessage::Gap(Arc::new(Gap {
                    epoch,
                    seq,
                    from_slot: gap.from_slot,
                    to_slot: gap.to_slot,
                    state: gap.state,
                }))
            }
            "settled" => FeedMessage::Settled,
            _ => {
                let name = self.body["name"].as_str().unwrap_or_default();
                self.channels = channels(name, self.channels);
                let channels = self.channels.clone();
                let update = self.update(db).await?.map(Arc::new);
                return Ok((channels, update.map(FeedMessage::Update)));
            }
        };
        Ok((vec![], Some(message)))
    }

    /// `None` if the event was rolled back.
    async fn update(self, db: &mut PgConnection) -> Result<Option<Update>, sqlx::Error> {
        let Some(event) = self.event else {
            return Ok(None);
        };
        let body = event.body.as_ref().unwrap_or(&Value::Null);
        let name = event.name.as_deref().unwrap_or_default();
        let mut states = Vec::new();
        if let Some((market, pools)) = self.pools {
            states.push(odds_updated(market, &pools));
        }
        if let Some(model) = body["model"].as_str().and_then(Key::parse)
            && let Some(receipt) = drift::final_receipt(name, body)
        {
            states.extend(drift::detected(db, model, receipt, &event).await?);
        }
        Ok(Some(Update {
            epoch: self.epoch,
            seq: self.seq,
            slot: self.slot,
            kind: kind(name, body),
            channels: self.channels,
            json: to_json(&event),
            states,
        }))
    }
}

/// Data of `market:odds_updated`.
#[derive(Serialize, ToSchema)]
pub struct OddsUpdated {
    /// Address of the market.
    pub market: Key,
    /// All stakes.
    pub total: Scaled,
    pub outcomes: Vec<Odds>,
}

fn odds_updated(market: Key, pools: &Pools) -> DerivedState {
    DerivedState {
        kind: "market:odds_updated",
        key: Some(market.to_string().into()),
        channels: vec![format!("market:{market}"), "markets".to_owned()],
        json: to_json(&OddsUpdated {
            market,
            total: pools.total(),
            outcomes: pools.odds(),
        }),
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("messages serialise to JSON")
}

/// Channels that an event belongs to: those of the record, and those that its name implies.
fn channels(name: &str, mut channels: Vec<String>) -> Vec<String> {
    channels.push("events".to_owned());
    if MARKET_EVENTS.contains(&name) {
        channels.push("markets".to_owned());
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
    use serde_json::json;

    use super::*;

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
            assert!(KINDS.contains(&expected), "{expected}");
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
    fn an_event_belongs_to_the_channels_of_its_record_and_its_name() {
        let of_record = || vec!["market:x".to_owned(), "wallet:w".to_owned()];
        assert_eq!(
            channels("BetPlaced", of_record()),
            ["market:x", "wallet:w", "events", "markets"]
        );
        assert_eq!(channels("PolicyBought", vec![]), ["events"]);
        assert_eq!(channels("", vec![]), ["events"]);
    }
}
