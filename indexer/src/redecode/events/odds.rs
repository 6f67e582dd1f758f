//! Odds of markets with bets that are decoded late.
//!
//! Without a bet, the pools after the bets that follow it may have been unknown, and their odds left out.
//! They are added once the bet is known.

use std::collections::{BTreeMap, HashMap};

use driftshield_sdk::{Address, Event};
use sqlx::PgConnection;

use super::{
    super::{
        Redecode,
        addresses::{Addresses, Key},
    },
    PlacedEvent, StoredEvent,
};
use crate::{
    lives::{Lives, Mints},
    rows::{EventRows, Pools},
    store::bytes_of,
};

/// The market to whose odds an event adds.
fn market_of(event: &Event) -> Option<Address> {
    match event {
        Event::MarketCreated(e) => Some(e.market),
        Event::BetPlaced(e) => Some(e.market),
        _ => None,
    }
}

/// The markets to whose odds the events add, each with the event's id.
pub fn bets(placed: &[PlacedEvent<'_>]) -> impl Iterator<Item = (Address, i64)> {
    placed
        .iter()
        .filter_map(|late| Some((market_of(late.event)?, late.stored.id)))
}

/// The pools of markets before each of some bets, which are in order.
pub struct PoolsBefore {
    /// Name of the market's life.
    lives: HashMap<i64, i64>,
    /// The last row of `chain.odds` before a bet: its event, and the pools.
    stored: HashMap<i64, (i64, Pools)>,
    /// The bet before it among these.
    last: HashMap<Address, i64>,
}

impl PoolsBefore {
    /// `bets` are markets, each with the id of a bet.
    pub async fn load(
        connection: &mut PgConnection,
        lives: &Addresses<'_>,
        bets: impl Iterator<Item = (Address, i64)>,
    ) -> Result<Self, sqlx::Error> {
        let of_lives = bets.filter_map(|(market, id)| {
            let (life, _) = lives.containing(&market, id);
            Some((market, id, life?.life))
        });
        let (mut markets, mut ids, mut names) = (vec![], vec![], vec![]);
        for (market, id, life) in of_lives {
            markets.push(market);
            ids.push(id);
            names.push(life);
        }
        let rows: Vec<(i64, i64, Vec<String>)> = sqlx::query_as(
            "select id, last.event_id, last.pools::text[]
             from unnest($1::bytea[], $2::bigint[], $3::bigint[]) as given (market, id, life)
             cross join lateral (
               select event_id, pools from chain.odds
               where odds.market = given.market and life <= event_id and event_id < id
               order by event_id desc limit 1) as last",
        )
        .bind(bytes_of(&markets))
        .bind(&ids)
        .bind(&names)
        .fetch_all(connection)
        .await?;
        let stored = rows.into_iter();
        Ok(Self {
            lives: ids.into_iter().zip(names).collect(),
            stored: stored
                .filter_map(|(id, last, pools)| Some((id, (last, Pools::from_row(&pools)?))))
                .collect(),
            last: HashMap::new(),
        })
    }

    /// Sets the pools before the event `id`, which are those of the stored odds, or those after the bet before it
    /// among these.
    pub fn set(&mut self, rows: &mut EventRows, id: i64, event: &Event) {
        let Some(market) = market_of(event) else {
            return;
        };
        let stored = self.stored.remove(&id);
        let first = stored.as_ref().map(|(last, _)| *last);
        let first = first.max(self.lives.get(&id).copied());
        match self.last.insert(market, id) {
            Some(last) if first.is_some_and(|first| first <= last) => {}
            _ => rows.set_pools(market, stored.map(|(_, pools)| pools)),
        }
    }
}

/// Adds the odds after the bets that follow the events, as far as they are missing.
pub async fn complete(
    redecode: &mut Redecode<'_>,
    placed: &[PlacedEvent<'_>],
    lives: &Addresses<'_>,
) -> Result<(), sqlx::Error> {
    // The first event of each market after which odds may be missing, and the market's next life.
    let mut first: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
    for (market, id) in bets(placed) {
        if let (Some(life), next) = lives.containing(&market, id) {
            let bounds = (id, next.unwrap_or(i64::MAX));
            first.entry((market, life.life)).or_insert(bounds);
        }
    }
    if first.is_empty() {
        return Ok(());
    }
    let (firsts, ends): (Vec<_>, Vec<_>) = first.values().copied().unzip();
    let missing: Vec<StoredEvent> = sqlx::query_as(
        "select id, signature, data, event.block_time
         from unnest($1::bytea[], $2::bigint[], $3::bigint[]) as given (account, first, next)
         join chain.event_account counted using (account)
         join chain.event on event.id = counted.event_id
         where first < counted.event_id and counted.event_id < next and name = 'BetPlaced'
           and not exists (select from chain.odds
             where market = counted.account and odds.event_id = counted.event_id)
         order by id",
    )
    .bind(bytes_of(first.keys().map(|(market, _)| market)))
    .bind(firsts)
    .bind(ends)
    .fetch_all(&mut *redecode.connection)
    .await?;
    let decoded = missing.into_iter().filter_map(|stored| {
        let event = stored.decode().ok()?;
        Some((stored, event))
    });
    let rows = derived_rows(redecode.connection, decoded.collect()).await?;
    let slot = redecode.cursor.slot;
    redecode.store().append(slot, &rows.odds).await?;
    Ok(())
}

/// The rows that are derived from decoded events, which are in order.
pub async fn derived_rows(
    connection: &mut PgConnection,
    decoded: Vec<(StoredEvent, Event)>,
) -> Result<EventRows, sqlx::Error> {
    let bets = decoded
        .iter()
        .filter_map(|(stored, event)| Some((market_of(event)?, stored.id)));
    let bets: Vec<_> = bets.collect();
    let markets = bets.iter().map(|(market, _)| *market);
    let lives = Addresses::load(connection, markets).await?;
    let mut pools = PoolsBefore::load(connection, &lives, bets.into_iter()).await?;
    let mut rows = EventRows::default();
    for (stored, event) in decoded {
        let market = market_of(&event);
        let market = market.and_then(|market| lives.containing(&market, stored.id).0);
        let before = Lives::new(market.cloned().into_iter().collect(), Mints::new());
        pools.set(&mut rows, stored.id, &event);
        let sealed = stored.sealed(Some(event));
        // Whom only accounts name is not derived here.
        rows.add(&sealed, &sealed.events[0], &before, &[]);
    }
    Ok(rows)
}
