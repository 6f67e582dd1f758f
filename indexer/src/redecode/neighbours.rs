//! The events before and after those of a batch.

use std::collections::HashMap;

use driftshield_sdk::Address;
use sqlx::PgConnection;

use crate::store::bytes_of;

/// An account, the id of one of its events, and the ids of the events right before and after it.
type Row = (Vec<u8>, i64, Option<i64>, Option<i64>);

/// The decoded events of accounts that are next to those that are decoded late.
pub struct Neighbours {
    /// Ids of the events right before and after an event of an account, as the mirror has them.
    stored: HashMap<(Address, i64), (Option<i64>, Option<i64>)>,
    /// Last event of an account that the batch decoded.
    decoded: HashMap<Address, i64>,
}

impl Neighbours {
    /// `events` are accounts with ids of their events.
    pub async fn load(
        connection: &mut PgConnection,
        events: &[(Address, i64)],
    ) -> Result<Self, sqlx::Error> {
        let ids: Vec<_> = events.iter().map(|(_, id)| *id).collect();
        let rows: Vec<Row> = sqlx::query_as(
            "select account, id,
               (select max(event_id) from chain.event_account other
                where other.account = given.account and event_id < id),
               (select min(event_id) from chain.event_account other
                where other.account = given.account and id < event_id)
             from unnest($1::bytea[], $2::bigint[]) as given (account, id)",
        )
        .bind(bytes_of(events.iter().map(|(account, _)| account)))
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let stored = rows.into_iter().filter_map(|(account, id, before, after)| {
            let account = account.as_slice().try_into().ok()?;
            Some(((account, id), (before, after)))
        });
        Ok(Self {
            stored: stored.collect(),
            decoded: HashMap::new(),
        })
    }

    /// Takes note of an event that was decoded. Events are decoded in order.
    pub fn add(&mut self, account: Address, id: i64) {
        self.decoded.insert(account, id);
    }

    /// Whether an account has events between `first` and the event `id`.
    pub fn has_earlier(&self, account: &Address, first: i64, id: i64) -> bool {
        let stored = self.stored.get(&(*account, id));
        let stored = stored.and_then(|(before, _)| *before);
        let decoded = self.decoded.get(account).copied();
        stored.max(decoded).is_some_and(|before| first <= before)
    }

    /// Whether an account has events after the event `id` and before `end`.
    pub fn has_later(&self, account: &Address, id: i64, end: i64) -> bool {
        let stored = self.stored.get(&(*account, id));
        stored
            .and_then(|(_, after)| *after)
            .is_some_and(|after| after < end)
    }
}
