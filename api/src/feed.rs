//! Follows the mirror: one task reads each new event once and hands it to all sockets.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{
    FromRow, PgConnection, PgPool, QueryBuilder, Row,
    postgres::{PgListener, PgPoolOptions, PgRow},
};
use tokio::{
    sync::{broadcast, watch},
    time::{sleep, timeout},
};

use crate::{
    AppState,
    events::{self, Event},
    markets::Pricing,
    models::LIFE,
    read::{Mirror, Read},
    values::{Columns, Scaled, U64},
};

/// The indexer's notification of new events. It can be lost, so asking at intervals is the truth.
const NOTIFICATION: &str = "driftshield";
const POLL: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_secs(1);
/// A look at the database that takes longer won't end: the connection is dead.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without a look at the database for this long, what is known of it is stale.
const STALE: Duration = Duration::from_secs(2);
/// How far a socket may lag behind before it is closed.
const QUEUE: usize = 1024;
/// How many events are read at once.
pub const BATCH: i64 = 500;

/// What sockets are told.
#[derive(Clone)]
pub enum News {
    Event(Arc<FeedEvent>),
    /// The mirror went back: it was made anew.
    Rewound,
}

/// An event as sockets send it.
pub struct FeedEvent {
    pub seq: i64,
    pub slot: i64,
    pub kind: &'static str,
    /// The channels that it belongs to.
    pub channels: Vec<String>,
    /// Its JSON.
    pub json: String,
    /// What follows from it.
    pub states: Vec<StateMessage>,
}

/// What is so since an event.
pub struct StateMessage {
    pub kind: &'static str,
    pub channels: Vec<String>,
    /// Its JSON.
    pub json: String,
}

/// What is known of the mirror without asking the database.
#[derive(Clone, Copy)]
struct Seen {
    mirror: Option<Mirror>,
    at: Option<Instant>,
}

pub struct Feed {
    seen: watch::Sender<Seen>,
    news: broadcast::Sender<News>,
}

impl Feed {
    pub fn new() -> Self {
        Self {
            seen: watch::Sender::new(Seen {
                mirror: None,
                at: None,
            }),
            news: broadcast::Sender::new(QUEUE),
        }
    }

    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// The mirror as it was last seen, its age as of now.
    pub fn mirror(&self) -> Option<Mirror> {
        let Seen { mirror, at } = *self.seen.borrow();
        let since = at.map_or(0, |at| at.elapsed().as_millis());
        mirror.map(|mirror| Mirror {
            age_ms: mirror
                .age_ms
                .saturating_add(i64::try_from(since).unwrap_or(i64::MAX)),
            ..mirror
        })
    }

    /// The mirror, if the database was asked just now.
    pub fn fresh(&self) -> Option<Mirror> {
        self.is_connected().then(|| self.mirror()).flatten()
    }

    /// Whether the database has answered lately.
    pub fn is_connected(&self) -> bool {
        self.seen.borrow().at.is_some_and(|at| at.elapsed() < STALE)
    }

    /// Waits at most `patience` for `slot`, and returns the slot that is reached.
    pub async fn wait_for(&self, slot: i64, patience: Duration) -> i64 {
        let reached = |seen: &Seen| seen.mirror.map_or(0, |mirror| mirror.slot);
        let mut seen = self.seen.subscribe();
        let waited = timeout(patience, seen.wait_for(|seen| slot <= reached(seen))).await;
        drop(waited);
        reached(&self.seen.borrow())
    }
}

/// Reads new events until the process stops.
pub async fn tail(app: AppState) {
    let mut told = None;
    loop {
        let failed = tokio::select! {
            () = app.stop.cancelled() => return,
            Err(error) = follow(&app, &mut told) => error,
        };
        tracing::warn!(error = %failed, "lost the database, trying again");
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// Of which mirror, and up to which of its events, has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// `None` while the mirror is empty.
    history_from: Option<i64>,
    seq: i64,
}

impl Told {
    /// Whether `self` goes on from `earlier`, rather than being of a mirror that was made anew.
    fn follows(self, earlier: Self) -> bool {
        self.history_from == earlier.history_from && earlier.seq <= self.seq
    }
}

async fn follow(
    app: &AppState,
    told: &mut Option<Told>,
) -> Result<std::convert::Infallible, sqlx::Error> {
    // Connections of its own: requests may hold all the others.
    let db = PgPoolOptions::new()
        .max_connections(2)
        .connect_lazy_with((*app.db.connect_options()).clone());
    let mut listener = in_time(async {
        let mut listener = PgListener::connect_with(&db).await?;
        listener.listen(NOTIFICATION).await?;
        Ok(listener)
    })
    .await?;
    loop {
        while in_time(poll(app, &db, told)).await? {}
        tokio::select! {
            notified = listener.recv() => drop(notified?),
            () = sleep(POLL) => {}
        }
    }
}

async fn in_time<T>(read: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let read = timeout(PATIENCE, read).await;
    read.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Hands on what came after `told`. Returns whether there is more.
async fn poll(app: &AppState, db: &PgPool, told: &mut Option<Told>) -> Result<bool, sqlx::Error> {
    let mut read = Read::begin(db).await?;
    let now = Told {
        history_from: read.mirror.map(|mirror| mirror.history_from),
        seq: read.seq(),
    };
    // Of events before the start nobody here waits.
    let told = told.get_or_insert(now);
    let mut events = Vec::new();
    if now.follows(*told) && told.seq < now.seq {
        let mut sql = select();
        sql.push("e.seq > ").push_bind(told.seq);
        events = load(&mut read.tx, sql).await?;
    }
    read.tx.rollback().await?;

    if !now.follows(*told) {
        *told = now;
        let _ = app.feed.news.send(News::Rewound);
    }
    for event in events {
        told.seq = event.seq;
        // Nobody listens while there is no socket.
        let _ = app.feed.news.send(News::Event(Arc::new(event)));
    }
    let more = told.seq < now.seq;
    if !more {
        app.feed.seen.send_replace(Seen {
            mirror: read.mirror,
            at: Some(Instant::now()),
        });
    }
    Ok(more)
}

/// Events as `e`, to be followed by a condition.
pub fn select<'a>() -> QueryBuilder<'a, sqlx::Postgres> {
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

/// An event, and the pools of a market after it.
struct Priced {
    event: Event,
    odds: Option<Value>,
}

impl FromRow<'_, PgRow> for Priced {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let event = Event::from_row(row)?;
        let priced: Option<i16> = row.try_get("decimals")?;
        let odds = priced.map(|_| odds(row)).transpose()?;
        Ok(Self { event, odds })
    }
}

fn odds(row: &PgRow) -> Result<Value, sqlx::Error> {
    let columns = Columns::new(row)?;
    let mut pools: Vec<U64> = columns.get("pools")?;
    pools.truncate(columns.count("threshold_count")? + 1);
    let total = pools
        .iter()
        .fold(0, |sum: u64, pool| sum.saturating_add(pool.0));
    Ok(json!({
        "total": Scaled::new(total, columns.decimals),
        "outcomes": Pricing::of(row)?.odds(&pools),
    }))
}

/// At most [`BATCH`] events in order.
pub async fn load(
    db: &mut PgConnection,
    mut sql: QueryBuilder<'_, sqlx::Postgres>,
) -> Result<Vec<FeedEvent>, sqlx::Error> {
    sql.push(" order by e.seq limit ").push_bind(BATCH);
    let priced: Vec<Priced> = sql.build_query_as().fetch_all(&mut *db).await?;
    let mut events = Vec::with_capacity(priced.len());
    for priced in priced {
        events.push(feed_event(db, priced).await?);
    }
    Ok(events)
}

async fn feed_event(db: &mut PgConnection, priced: Priced) -> Result<FeedEvent, sqlx::Error> {
    let Priced { event, odds } = priced;
    let body = event.body.as_ref().unwrap_or(&Value::Null);
    let name = event.name.as_deref().unwrap_or_default();
    let mut states = Vec::new();
    if let Some(odds) = odds
        && let Some(market) = body["market"].as_str()
    {
        states.push(StateMessage {
            kind: "market:odds_updated",
            channels: vec![format!("market:{market}"), "markets".to_owned()],
            json: with_key("market", market, odds).to_string(),
        });
    }
    if let Some(model) = body["model"].as_str() {
        for value in finals(name, body) {
            states.extend(drift_detected(db, model, value, &event).await?);
        }
    }
    Ok(FeedEvent {
        seq: event.seq,
        slot: event.slot,
        kind: kind(name, body),
        channels: channels(name, body, &event),
        json: to_json(&event),
        states,
    })
}

fn with_key(name: &str, key: &str, mut object: Value) -> Value {
    object[name] = key.into();
    object
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("keys are strings")
}

/// Accounts with channels of their own, under the name that events have them under.
const CHANNEL_KINDS: [&str; 4] = ["model", "market", "vault", "policy"];

/// The channels that an event belongs to.
fn channels(name: &str, body: &Value, event: &Event) -> Vec<String> {
    let mut channels = vec!["events".to_owned()];
    if is_of_market(name) {
        channels.push("markets".to_owned());
    }
    for kind in CHANNEL_KINDS {
        let key = body[kind].as_str();
        let speaks_of = |key: &str| event.accounts.iter().any(|told| told.account == key);
        channels.extend(
            key.filter(|key| speaks_of(key))
                .map(|key| format!("{kind}:{key}")),
        );
    }
    channels
}

/// Events of the channel `markets`.
pub const MARKET_EVENTS: [&str; 7] = [
    "BetPlaced",
    "Claimed",
    "FeesCollected",
    "MarketCancelled",
    "MarketClosed",
    "MarketCreated",
    "MarketSettled",
];

fn is_of_market(name: &str) -> bool {
    MARKET_EVENTS.contains(&name)
}

/// The kind of message that an event is told by.
fn kind(name: &str, body: &Value) -> &'static str {
    match (name, body["state"].as_str()) {
        ("MarketCreated", _) => "market:created",
        ("BetPlaced", _) => "market:bet_placed",
        ("MarketSettled", Some("resolved" | "void")) => "market:resolved",
        ("ReceiptChallenged", _) => "receipt:challenged",
        ("ReceiptRuled", _) => "receipt:final",
        ("ReceiptSubmitted" | "ReceiptFinalized", Some(state)) => match state {
            "proposed" => "receipt:proposed",
            "challenged" => "receipt:challenged",
            "final" => "receipt:final",
            _ => "event",
        },
        (
            "ModelRegistered" | "ModelUpdated" | "ModelRetired" | "Bonded" | "UnbondRequested"
            | "BondWithdrawn" | "SeatClosed",
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
            | "PolicyExpired",
            _,
        ) => "policy:updated",
        _ => "event",
    }
}

/// A receipt that became final.
struct Final<'a> {
    receipt: &'a Value,
    window: &'a Value,
    value: u64,
}

fn finals<'a>(name: &str, body: &'a Value) -> Vec<Final<'a>> {
    let made_final = |told: &'a Value| {
        Some(Final {
            receipt: &told["receipt"],
            window: &told["window"],
            value: told["value"].as_str()?.parse().ok()?,
        })
    };
    let is_final = |told: &&Value| told["state"] == "final";
    match name {
        "ReceiptRuled" => made_final(body).into_iter().collect(),
        "ReceiptFinalized" => Some(body)
            .filter(is_final)
            .and_then(made_final)
            .into_iter()
            .collect(),
        "MarketSettled" => {
            let receipts = body["receipts"].as_array();
            let receipts = receipts.into_iter().flatten();
            receipts.filter(is_final).filter_map(made_final).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a final value is drift: at or over the lowest threshold of the markets that were
/// unsettled before the event or trigger of the policies that were open, or over the noise floor
/// where there were none.
async fn drift_detected(
    db: &mut PgConnection,
    model: &str,
    told: Final<'_>,
    event: &Event,
) -> Result<Option<StateMessage>, sqlx::Error> {
    let bar: Option<(U64, Option<U64>)> = sqlx::query_as(&lowest_bar())
        .bind(model)
        .bind(event.seq)
        .bind(event.slot)
        .fetch_optional(db)
        .await?;
    let Some((U64(noise_floor), threshold)) = bar else {
        return Ok(None);
    };
    let detected = threshold.map_or(noise_floor < told.value, |U64(threshold)| {
        threshold <= told.value
    });
    let message = || StateMessage {
        kind: "model:drift_detected",
        channels: vec![format!("model:{model}")],
        json: json!({
            "model": model,
            "receipt": told.receipt,
            "window": told.window,
            "value": Scaled::drift(told.value),
            "threshold": threshold.map(|U64(threshold)| Scaled::drift(threshold)),
            "noise_floor": Scaled::drift(noise_floor),
        })
        .to_string(),
    };
    Ok(detected.then(message))
}

/// Reads a model's noise floor, and the lowest threshold of its markets that were unsettled before
/// an event or trigger of its policies that were open. Taken from what happened, so that it's the
/// same whenever it is asked.
fn lowest_bar() -> String {
    format!(
        "select k.noise_floor, least((
           select min(m.thresholds[1])
           from chain.market m {LIFE}
           left join lateral (
             select s.seq from chain.settlement s
             where s.market = m.address and s.seq >= coalesce(life.seq, 0)
               and s.state in ('resolved', 'void')
             order by s.seq limit 1) s on true
           where m.model = k.address
             and coalesce(life.seq, 0) < $2
             and case when s.seq is not null then s.seq >= $2
                      else m.state = 'open' and (m.closed_slot is null or m.closed_slot > $3) end
         ), (
           select min(m.trigger)
           from chain.policy m {LIFE}
           left join chain.policy_end e
             on e.policy = m.address and e.seq >= coalesce(life.seq, 0)
           where m.model = k.address
             and coalesce(life.seq, 0) < $2
             and coalesce(e.seq >= $2, true)
         ))
         from chain.model k where k.address = $1"
    )
}

#[cfg(test)]
mod tests {
    use sqlx::types::Json;

    use super::*;
    use crate::events::Numbered;

    #[test]
    fn every_event_has_one_kind() {
        for (name, state, expected) in [
            ("ReceiptSubmitted", "collecting", "event"),
            ("ReceiptSubmitted", "proposed", "receipt:proposed"),
            ("ReceiptSubmitted", "challenged", "receipt:challenged"),
            ("ReceiptFinalized", "final", "receipt:final"),
            ("ReceiptFinalized", "void", "event"),
            ("MarketSettled", "open", "event"),
            ("MarketSettled", "void", "market:resolved"),
            ("Claimed", "", "event"),
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
    fn a_mirror_that_was_made_anew_is_told_from_one_that_went_on() {
        let told = |history_from, seq| Told { history_from, seq };
        assert!(told(Some(7), 3).follows(told(Some(7), 3)));
        assert!(told(Some(7), 4).follows(told(Some(7), 3)));
        assert!(!told(Some(7), 2).follows(told(Some(7), 3)));
        assert!(!told(Some(9), 4).follows(told(Some(7), 3)));
        assert!(!told(Some(7), 0).follows(told(None, 0)));
        assert!(!told(None, 0).follows(told(Some(7), 3)));
    }

    #[test]
    fn names_are_those_of_the_program() {
        for name in MARKET_EVENTS {
            assert!(driftshield_sdk::Event::NAMES.contains(&name), "{name}");
        }
    }

    #[test]
    fn an_event_belongs_to_the_channels_of_whom_it_speaks_of() {
        let body = json!({ "vault": "v", "policy": "p", "model": "m", "market": "x" });
        let numbered = |account: &str| Numbered {
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

    #[test]
    fn a_settlement_tells_the_receipts_that_it_made_final() {
        let body = json!({
            "receipts": [
                { "receipt": "a", "window": "1", "state": "final", "value": "70" },
                { "receipt": "b", "window": "2", "state": "void", "value": "90" },
            ],
        });
        let values: Vec<_> = finals("MarketSettled", &body)
            .iter()
            .map(|f| f.value)
            .collect();
        assert_eq!(values, [70]);
    }
}
