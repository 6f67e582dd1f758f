//! What events that are decoded late don't say themselves, as it was right before them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, AccountKind, Address, Event};
use sqlx::PgConnection;

use super::{
    super::addresses::{Addresses, Key},
    PlacedEvent,
};
use crate::{
    lives::{ChangedLife, Life, Mints, earning, fold, vault_totals},
    store::bytes_of,
};

/// The lives that events change, as far as totals need them: what never changes in them, the stakes of a
/// position that is claimed, and the oracles of a model that a settled receipt pays. All of it but the oracles is
/// still in the lives' last states.
pub struct Contexts<'a> {
    states: HashMap<Key, &'a ChangedLife>,
    /// The events that changed the oracles of the models, in order.
    listings: HashMap<Key, Vec<(i64, Event)>>,
}

impl<'a> Contexts<'a> {
    /// `changed` are the lives that the events change, with their states.
    pub async fn load(
        connection: &mut PgConnection,
        placed: &[PlacedEvent<'_>],
        lives: &Addresses<'_>,
        changed: &'a [ChangedLife],
    ) -> Result<Self, sqlx::Error> {
        let models: HashSet<_> = placed
            .iter()
            .filter_map(PlacedEvent::paying_model)
            .collect();
        let mut listings = stored_listings(connection, &models).await?;
        for model in models {
            let listed = listings.entry(model).or_default();
            let late = lives.late(&model).filter(|(_, event)| lists_oracles(event));
            listed.extend(late.map(|(id, event)| (id, event.clone())));
            listed.sort_by_key(|(id, _)| *id);
        }
        let states = changed.iter();
        Ok(Self {
            states: states
                .map(|changed| ((changed.life.address, changed.life.life), changed))
                .collect(),
            listings,
        })
    }

    /// The lives right before an event.
    pub fn lives(&self, late: &PlacedEvent<'_>) -> Vec<Life> {
        // A life begins with its first event.
        let begun_before = late.lives.iter().filter(|(change, _)| change.number != 1);
        let paying = late.paying_model();
        let lives = begun_before.map(|(_, key)| {
            let ChangedLife { life, state } = self.states[key];
            let mut life = life.clone();
            if let Some(state) = state {
                life.data.clone_from(state);
            }
            if paying == Some(*key) {
                list_oracles(&mut life, &self.listings[key], late.stored.id);
            }
            life
        });
        lives.collect()
    }
}

impl PlacedEvent<'_> {
    /// The model whose oracles earn a part of the pay for the receipt that the event settles, if any.
    fn paying_model(&self) -> Option<Key> {
        earning(self.event)?;
        let mut lives = self.lives.iter();
        let model = lives.find(|(change, _)| change.kind == AccountKind::Model);
        model.map(|(_, key)| *key)
    }
}

fn lists_oracles(event: &Event) -> bool {
    matches!(
        event,
        Event::ModelRegistered(_) | Event::ModelUpdated(_) | Event::OracleReplaced(_)
    )
}

/// The events that changed the oracles of models, as far as they were decoded before.
async fn stored_listings(
    connection: &mut PgConnection,
    models: &HashSet<Key>,
) -> Result<HashMap<Key, Vec<(i64, Event)>>, sqlx::Error> {
    let mut listings: HashMap<Key, Vec<(i64, Event)>> = HashMap::new();
    if models.is_empty() {
        return Ok(listings);
    }
    let lives: Vec<_> = models.iter().map(|(_, life)| *life).collect();
    let rows: Vec<(Vec<u8>, i64, i64, Vec<u8>)> = sqlx::query_as(
        "select account, life, id, data
         from unnest($1::bytea[], $2::bigint[]) as given (account, life)
         join chain.event_account using (account) join chain.event on event.id = event_id
         where life <= event_id and name in ('ModelRegistered', 'ModelUpdated', 'OracleReplaced')",
    )
    .bind(bytes_of(models.iter().map(|(model, _)| model)))
    .bind(lives)
    .fetch_all(connection)
    .await?;
    for (model, life, id, data) in rows {
        let model: Result<Address, _> = model.as_slice().try_into();
        if let (Ok(model), Ok(event)) = (model, Event::decode(&data)) {
            listings.entry((model, life)).or_default().push((id, event));
        }
    }
    Ok(listings)
}

/// Replaces the model's oracles by those that it had before the event `id`, if the mirror has the events that
/// changed them.
fn list_oracles(model: &mut Life, listings: &[(i64, Event)], id: i64) {
    let (before, after) = listings.split_at(listings.partition_point(|(event, _)| *event < id));
    if after.is_empty() {
        return;
    }
    let listing = before
        .iter()
        .rposition(|(_, event)| !matches!(event, Event::OracleReplaced(_)));
    let (Some(listing), Ok(mut account)) = (listing, Account::decode(&model.data)) else {
        tracing::warn!(
            model = %model.address,
            event = id,
            "the model's earlier oracles are unknown; its present ones count as earners"
        );
        return;
    };
    for (_, event) in &before[listing..] {
        fold(&mut account, &model.address, event, &Mints::new());
    }
    model.data = account.encode();
}

/// The events after which another event of the same hour was counted whose measures replace theirs.
pub async fn superseded(
    connection: &mut PgConnection,
    placed: &[PlacedEvent<'_>],
) -> Result<HashSet<i64>, sqlx::Error> {
    let mut superseded = HashSet::new();
    for sql in [NEXT_VALUE, NEXT_CAPITAL] {
        let measured = placed.iter().filter_map(|late| {
            let (next, account) = measured(late.event)?;
            (next == sql).then_some((account, late.stored))
        });
        let (accounts, events): (Vec<_>, Vec<_>) = measured.unzip();
        if events.is_empty() {
            continue;
        }
        let ids: Vec<_> = events.iter().map(|stored| stored.id).collect();
        let rows: Vec<(i64, Option<DateTime<Utc>>)> = sqlx::query_as(sql)
            .bind(bytes_of(accounts))
            .bind(ids)
            .fetch_all(&mut *connection)
            .await?;
        let next: HashMap<_, _> = rows.into_iter().collect();
        let hour =
            |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp().div_euclid(3_600));
        superseded.extend(events.into_iter().filter_map(|stored| {
            let next = *next.get(&stored.id)?;
            (hour(next) == hour(stored.block_time)).then_some(stored.id)
        }));
    }
    Ok(superseded)
}

/// The account whose latest measures an event sets, and the statement that finds the next event that sets them.
fn measured(event: &Event) -> Option<(&'static str, &Address)> {
    match event {
        Event::ReceiptRuled(e) => Some((NEXT_VALUE, &e.model)),
        Event::ReceiptFinalized(e) => Some((NEXT_VALUE, &e.model)),
        _ => vault_totals(event).map(|(vault, _)| (NEXT_CAPITAL, vault)),
    }
}

/// Times of the next events that report the capital of the same vaults.
const NEXT_CAPITAL: &str = "
    select id, next.block_time
    from unnest($1::bytea[], $2::bigint[]) as given (account, id)
    cross join lateral (
      select block_time from chain.capital where vault = account and id < event_id
      order by event_id limit 1) as next";

/// Times of the next events with final values of the same models.
const NEXT_VALUE: &str = "
    select given.id, next.block_time
    from unnest($1::bytea[], $2::bigint[]) as given (account, id)
    cross join lateral (
      select block_time from chain.event_account counted
      join chain.event on event.id = event_id
      where counted.account = given.account and given.id < event_id
        and body ->> 'state' = 'final' and name in ('ReceiptRuled', 'ReceiptFinalized')
      order by event_id limit 1) as next";
