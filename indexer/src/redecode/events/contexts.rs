//! What an event that is decoded late does not say itself, as it was right before the event.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, AccountKind, Event};
use sqlx::PgConnection;

use super::{super::states::Bounded, StoredEvent, Touched};
use crate::lives::{Life, Mints, fold, vault_totals};

/// The lives that an event changes, as far as totals need them: what never changes in them, the stakes of a
/// position that is claimed, and the oracles of a model that a settled receipt pays.
pub async fn lives(
    connection: &mut PgConnection,
    id: i64,
    event: &Event,
    touched: &[Touched],
    mints: &Mints,
) -> Result<Vec<Life>, sqlx::Error> {
    let pays = match event {
        Event::ReceiptRuled(e) => e.earners != 0,
        Event::ReceiptFinalized(e) => e.earners != 0,
        _ => false,
    };
    let mut lives = vec![];
    for Touched { bounded, change } in touched {
        // A life begins with its first event.
        if change.number == 1 {
            continue;
        }
        let life = bounded.life.clone();
        let next = bounded.next;
        let bounded = Bounded { life, next };
        let before = bounded.with_state(connection, None, mints).await?;
        let mut life = before.life;
        life.data = before.state.unwrap_or(life.data);
        if pays && change.kind == AccountKind::Model {
            list_oracles(connection, &mut life, id).await?;
        }
        lives.push(life);
    }
    Ok(lives)
}

/// Replaces the model's oracles by those that it had before the event `id`, if the mirror has the events that
/// changed them.
async fn list_oracles(
    connection: &mut PgConnection,
    model: &mut Life,
    id: i64,
) -> Result<(), sqlx::Error> {
    let events: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "select id, name, data from chain.event_account join chain.event on event.id = event_id
         where account = $1 and $2 <= event_id
           and name in ('ModelRegistered', 'ModelUpdated', 'OracleReplaced')
         order by id",
    )
    .bind(model.address.as_ref())
    .bind(model.life)
    .fetch_all(connection)
    .await?;
    let (before, after) = events.split_at(events.partition_point(|(event, ..)| *event < id));
    if after.is_empty() {
        return Ok(());
    }
    let listing = before
        .iter()
        .rposition(|(_, name, _)| name != "OracleReplaced");
    let (Some(listing), Ok(mut account)) = (listing, Account::decode(&model.data)) else {
        tracing::warn!(
            model = %model.address,
            event = id,
            "the model's earlier oracles are unknown; its present ones count as earners"
        );
        return Ok(());
    };
    for (_, _, data) in &before[listing..] {
        if let Ok(event) = Event::decode(data) {
            fold(&mut account, &model.address, &event, &Mints::new());
        }
    }
    model.data = account.encode();
    Ok(())
}

/// Whether no later event of the same hour was counted whose measures replace those of the event.
pub async fn is_latest(
    connection: &mut PgConnection,
    stored: &StoredEvent,
    event: &Event,
) -> Result<bool, sqlx::Error> {
    let (sql, account) = match event {
        Event::ReceiptRuled(e) => (NEXT_VALUE, e.model),
        Event::ReceiptFinalized(e) => (NEXT_VALUE, e.model),
        _ => match vault_totals(event) {
            Some((vault, _)) => (NEXT_CAPITAL, *vault),
            None => return Ok(true),
        },
    };
    let next: Option<Option<DateTime<Utc>>> = sqlx::query_scalar(sql)
        .bind(account.as_ref())
        .bind(stored.id)
        .fetch_optional(connection)
        .await?;
    let hour = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp().div_euclid(3_600));
    Ok(next.is_none_or(|next| hour(next) != hour(stored.block_time)))
}

/// Time of the next event that reports the capital of a vault.
const NEXT_CAPITAL: &str = "
    select block_time from chain.capital where vault = $1 and $2 < event_id
    order by event_id limit 1";

/// Time of the next event with a final value of a model.
const NEXT_VALUE: &str = "
    select block_time from chain.event_account join chain.event on event.id = event_id
    where account = $1 and $2 < event_id and body ->> 'state' = 'final'
      and name in ('ReceiptRuled', 'ReceiptFinalized')
    order by event_id limit 1";
