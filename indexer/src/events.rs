//! Events in the database, numbered as they were applied, and what is derived from them.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Event, Market, MarketState,
    events::{BetPlaced, Claimed, MarketSettled},
    json,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{rows, slot::Emitted};

/// An event and the slot that it is of.
pub struct Placed {
    pub slot: i64,
    pub block_time: Option<DateTime<Utc>>,
    pub emitted: Emitted,
}

/// Of a slot: signature, instruction and event.
type Identity = (i64, String, i32, i32);

impl Placed {
    fn identity(&self) -> Identity {
        let Emitted {
            signature,
            instruction_index,
            event_index,
            ..
        } = &self.emitted;
        (
            self.slot,
            signature.clone(),
            *instruction_index,
            *event_index,
        )
    }

    fn row(&self, seq: i64) -> Value {
        let emitted = &self.emitted;
        let described = json::event(&emitted.data)
            .inspect_err(|error| {
                let signature = &emitted.signature;
                tracing::error!(seq, signature, %error, "event not understood, kept as bytes");
            })
            .ok();
        let (name, body) = described.map(|event| (event.name, event.fields)).unzip();
        json!({
            "seq": seq,
            "slot": self.slot,
            "signature": emitted.signature,
            "transaction_index": emitted.transaction_index,
            "instruction_index": emitted.instruction_index,
            "event_index": emitted.event_index,
            "name": name,
            "body": body,
            "data": format!("\\x{}", json::hex(&emitted.data)),
            "block_time": self.block_time,
        })
    }
}

/// Stores events that aren't there yet, in their order, under the numbers after `last_seq`, with
/// what is derived from them. Returns the last number given.
///
/// The caller holds the lock of the cursor's row, so nobody else gives numbers.
pub async fn store(
    connection: &mut PgConnection,
    last_seq: i64,
    events: &[Placed],
    odds: Odds,
) -> Result<i64, sqlx::Error> {
    let mut known = identities(connection, events).await?;
    let fresh = events.iter().filter(|event| known.insert(event.identity()));
    let mut derived = Derived::after(odds);
    let mut seq = last_seq;
    for event in fresh {
        seq += 1;
        derived.add(seq, event);
    }
    if last_seq < seq {
        derived.store(connection).await?;
        sqlx::query("select pg_notify('driftshield', $1)")
            .bind(seq.to_string())
            .execute(connection)
            .await?;
    }
    Ok(seq)
}

async fn identities(
    connection: &mut PgConnection,
    events: &[Placed],
) -> Result<HashSet<Identity>, sqlx::Error> {
    let slots: BTreeSet<i64> = events.iter().map(|event| event.slot).collect();
    let known = sqlx::query_as(
        "select slot, signature, instruction_index, event_index
         from chain.event where slot = any($1)",
    )
    .bind(slots.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(known.into_iter().collect())
}

/// Rows of the tables that hold events and what follows from them.
#[derive(Default)]
pub struct Derived {
    pub odds: Odds,
    events: Vec<Value>,
    event_accounts: Vec<Value>,
    pools: Vec<Value>,
    settlements: Vec<Value>,
    payouts: Vec<Value>,
}

impl Derived {
    pub fn after(odds: Odds) -> Self {
        Self {
            odds,
            ..Default::default()
        }
    }

    pub fn add(&mut self, seq: i64, placed: &Placed) {
        self.events.push(placed.row(seq));
        let Some(event) = &placed.emitted.event else {
            return;
        };
        for (account, number) in counters(event) {
            let row = json!({ "account": account, "seq": seq, "number": number.to_string() });
            self.event_accounts.push(row);
        }
        match event {
            Event::MarketCreated(event) => {
                let market = event.market.to_string();
                self.pools.push(pools_row(&market, seq, placed, &NO_STAKES));
                self.odds.0.insert(market, NO_STAKES);
            }
            Event::BetPlaced(event) => {
                let market = event.market.to_string();
                match self.odds.after(&market, event) {
                    Some(pools) => self.pools.push(pools_row(&market, seq, placed, pools)),
                    None => tracing::warn!(seq, market, "pools of the market not known yet"),
                }
            }
            Event::MarketSettled(event) => {
                let state = match event.state {
                    MarketState::Open => return,
                    MarketState::Resolved => "resolved",
                    MarketState::Void => "void",
                };
                self.settlements
                    .push(settlement_row(seq, placed, event, state));
            }
            Event::Claimed(event) => self.payouts.push(payout_row(seq, placed, event)),
            _ => {}
        }
    }

    /// The tables and their rows. What others refer to comes first.
    pub fn tables(&self) -> [(&'static str, &[Value]); 5] {
        [
            ("event", &self.events),
            ("event_account", &self.event_accounts),
            ("odds", &self.pools),
            ("settlement", &self.settlements),
            ("payout", &self.payouts),
        ]
    }

    async fn store(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for (table, rows) in self.tables() {
            rows::insert(connection, table, rows).await?;
        }
        Ok(())
    }
}

/// The accounts that the event speaks of, once each, with its number.
fn counters(event: &Event) -> BTreeSet<(String, u64)> {
    let counters = event.counters().into_iter();
    counters
        .map(|(account, number)| (account.to_string(), number))
        .collect()
}

fn pools_row(market: &str, seq: i64, placed: &Placed, pools: &Pools) -> Value {
    json!({
        "market": market,
        "seq": seq,
        "slot": placed.slot,
        "block_time": placed.block_time,
        "pools": pools.map(|pool| pool.to_string()),
    })
}

fn settlement_row(seq: i64, placed: &Placed, event: &MarketSettled, state: &str) -> Value {
    json!({
        "market": event.market.to_string(),
        "seq": seq,
        "slot": placed.slot,
        "block_time": placed.block_time,
        "state": state,
        "outcome": event.outcome,
        "value": event.value.to_string(),
        "observed": event.observed.to_string(),
        "protocol_fee": event.protocol_fee.to_string(),
        "creator_fee": event.creator_fee.to_string(),
        "winnings": event.winnings.to_string(),
    })
}

fn payout_row(seq: i64, placed: &Placed, event: &Claimed) -> Value {
    json!({
        "position": event.position.to_string(),
        "seq": seq,
        "market": event.market.to_string(),
        "owner": event.owner.to_string(),
        "slot": placed.slot,
        "block_time": placed.block_time,
        "destination": event.destination.to_string(),
        "paid": event.paid.to_string(),
    })
}

/// Stakes by outcome.
type Pools = [u64; OUTCOMES];

const OUTCOMES: usize = 8;
const NO_STAKES: Pools = [0; OUTCOMES];
// The program's own type.
const _: fn(&Market) -> &Pools = |market| &market.pools;

/// The pools of markets, followed from event to event.
#[derive(Default)]
pub struct Odds(HashMap<String, Pools>);

impl Odds {
    /// The pools before `events`: as the last event left them or, where none has been seen yet,
    /// as the mirror has them. To be read before the accounts of the same slots are stored.
    pub async fn before(
        connection: &mut PgConnection,
        events: &[Placed],
    ) -> Result<Self, sqlx::Error> {
        let markets: BTreeSet<String> = events
            .iter()
            .filter_map(|placed| match placed.emitted.event.as_ref()? {
                Event::BetPlaced(event) => Some(event.market.to_string()),
                _ => None,
            })
            .collect();
        if markets.is_empty() {
            return Ok(Self::default());
        }
        let known: Vec<(String, Option<Vec<String>>)> = sqlx::query_as(
            "select given.market, coalesce(
               (select pools from chain.odds
                where odds.market = given.market order by seq desc limit 1),
               (select pools from chain.market
                where market.address = given.market and market.closed_slot is null))::text[]
             from unnest($1::text[]) as given (market)",
        )
        .bind(markets.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut odds = Self::default();
        for (market, pools) in known {
            odds.begin(market, &pools.unwrap_or_default());
        }
        Ok(odds)
    }

    /// Follows a market from these pools on, unless it is followed already.
    pub fn begin(&mut self, market: String, pools: &[String]) {
        let pools: Result<Vec<u64>, _> = pools.iter().map(|pool| pool.parse()).collect();
        if let Some(pools) = pools.ok().and_then(|pools| pools.try_into().ok()) {
            self.0.entry(market).or_insert(pools);
        }
    }

    /// The pools after a bet. `None` where they are not known: the mirror began with a state of
    /// the market that other bets, whose events are still to come, had already changed.
    fn after(&mut self, market: &str, bet: &BetPlaced) -> Option<&Pools> {
        let pools = self.0.get_mut(market)?;
        *pools.get_mut(usize::from(bet.outcome))? = bet.pool;
        let total: u128 = pools.iter().copied().map(u128::from).sum();
        (total == u128::from(bet.total)).then_some(&*pools)
    }
}
