//! Odds of markets with bets that are decoded late.
//!
//! Without a bet, the pools after the bets that follow it may have been unknown, and their odds left out.
//! They are added once the bet is known.

use std::collections::HashMap;

use driftshield_sdk::{Address, Event};
use sqlx::PgConnection;

use super::{
    super::{Redecode, states::Bounded},
    StoredEvent,
};
use crate::{
    lives::{Lives, Mints},
    rows::{EventRows, Pools},
};

/// Notes the first event of each market after which odds may be missing.
pub fn note_bet(first: &mut HashMap<Address, i64>, id: i64, event: &Event) {
    match event {
        Event::MarketCreated(e) => first.entry(e.market).or_insert(id),
        Event::BetPlaced(e) => first.entry(e.market).or_insert(id),
        _ => return,
    };
}

/// The pools of the market of a bet, as the last bet before left them.
pub async fn pools_before(
    connection: &mut PgConnection,
    id: i64,
    event: &Event,
) -> Result<HashMap<Address, Pools>, sqlx::Error> {
    let Event::BetPlaced(bet) = event else {
        return Ok(HashMap::new());
    };
    let pools: Option<Vec<String>> = sqlx::query_scalar(
        "select pools::text[] from chain.odds
         where market = $1 and event_id < $2 and (
             select max(life) from chain.account where address = $1 and life <= $2) <= event_id
         order by event_id desc limit 1",
    )
    .bind(bet.market.as_ref())
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let pools = pools.and_then(|pools| Pools::from_row(&pools));
    Ok(pools.map(|pools| (bet.market, pools)).into_iter().collect())
}

/// Adds the odds after the bets that follow the events, as far as they are missing.
pub async fn complete(
    redecode: &mut Redecode<'_>,
    first: HashMap<Address, i64>,
) -> Result<(), sqlx::Error> {
    for (market, id) in first {
        let connection = &mut *redecode.connection;
        let (_, next) = Bounded::containing(connection, &market, id).await?;
        let missing: Vec<StoredEvent> = sqlx::query_as(
            "select id, signature, data, event.block_time
             from chain.event_account join chain.event on event.id = event_id
             where account = $1 and $2 < event_id and event_id < $3 and name = 'BetPlaced'
               and not exists (select from chain.odds
                 where market = $1 and odds.event_id = event.id)
             order by id",
        )
        .bind(market.as_ref())
        .bind(id)
        .bind(next.unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
        for stored in missing {
            let Ok(event) = stored.decode() else {
                continue;
            };
            let rows = derived_rows(redecode.connection, &stored, event).await?;
            let slot = redecode.cursor.slot;
            redecode.store().append(slot, &rows.odds).await?;
        }
    }
    Ok(())
}

/// The rows that are derived from a decoded event.
pub async fn derived_rows(
    connection: &mut PgConnection,
    stored: &StoredEvent,
    event: Event,
) -> Result<EventRows, sqlx::Error> {
    let market = match &event {
        Event::BetPlaced(bet) => {
            Bounded::containing(connection, &bet.market, stored.id)
                .await?
                .0
        }
        _ => None,
    };
    let lives = Lives::new(market.into_iter().collect(), Mints::new());
    let mut rows = EventRows::new(pools_before(connection, stored.id, &event).await?);
    let sealed = stored.sealed(Some(event));
    for emitted in &sealed.events {
        // Whom only accounts name is not derived here.
        rows.add(&sealed, emitted, &lives, &[]);
    }
    Ok(rows)
}
