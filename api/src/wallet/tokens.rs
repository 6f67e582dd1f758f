//! Tokens of markets, vaults and models at the time of an event.

use std::collections::BTreeMap;

use driftshield_sdk::Address;
use sqlx::{FromRow, PgConnection};

use crate::{bytes::Key, event_id::EventId, values::U64};

/// Decimals by mint.
#[derive(Default)]
pub struct Decimals(BTreeMap<Key, u8>);

#[derive(FromRow)]
struct DecimalsRow {
    mint: Key,
    decimals: i16,
}

impl Decimals {
    /// Reads the decimals of all collateral.
    pub async fn read(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<DecimalsRow> =
            sqlx::query_as("select mint, decimals from chain.collateral where is_current")
                .fetch_all(db)
                .await?;
        let decimals = rows
            .into_iter()
            .filter_map(|row| Some((row.mint, u8::try_from(row.decimals).ok()?)));
        Ok(Self(decimals.collect()))
    }

    /// Decimals of `mint`; 0 if the mirror lacks its collateral account.
    pub fn of(&self, mint: &Key) -> u8 {
        self.0.get(mint).copied().unwrap_or(0)
    }
}

#[derive(FromRow)]
struct MintRow {
    event_id: EventId,
    address: Key,
    mint: Option<Key>,
}

/// Mints by event and market, vault or model.
pub type Mints = BTreeMap<(EventId, Key), Key>;

/// Reads the mints of markets, vaults and models, of their lives that were current at the events.
pub async fn mints(
    db: &mut PgConnection,
    accounts: &[(EventId, Address)],
) -> Result<Mints, sqlx::Error> {
    let (events, addresses) = columns(accounts);
    let rows: Vec<MintRow> = sqlx::query_as(
        "select t.event_id, t.address, coalesce(
           (select m.mint from chain.market m
            where m.address = t.address and m.life <= t.event_id order by m.life desc limit 1),
           (select v.mint from chain.vault v
            where v.address = t.address and v.life <= t.event_id order by v.life desc limit 1),
           (select k.bond_mint from chain.model k where k.address = t.address limit 1)) as mint
         from unnest($1::bigint[], $2::bytea[]) t (event_id, address)",
    )
    .bind(events)
    .bind(addresses)
    .fetch_all(db)
    .await?;
    let known = |row: MintRow| Some(((row.event_id, row.address), row.mint?));
    Ok(rows.into_iter().filter_map(known).collect())
}

#[derive(FromRow)]
struct StakesRow {
    event_id: EventId,
    address: Key,
    stakes: Option<Vec<U64>>,
}

/// Reads the stakes that positions had when they were closed by events, by event and position.
pub async fn final_stakes(
    db: &mut PgConnection,
    positions: &[(EventId, Address)],
) -> Result<BTreeMap<(EventId, Key), i128>, sqlx::Error> {
    let (events, addresses) = columns(positions);
    let rows: Vec<StakesRow> = sqlx::query_as(
        "select t.event_id, t.address,
           (select p.stakes from chain.position p
            where p.address = t.address and p.life <= t.event_id order by p.life desc limit 1) as stakes
         from unnest($1::bigint[], $2::bytea[]) t (event_id, address)",
    )
    .bind(events)
    .bind(addresses)
    .fetch_all(db)
    .await?;
    let sum = |row: StakesRow| {
        let stakes = row.stakes?.into_iter().map(|U64(stake)| i128::from(stake));
        Some(((row.event_id, row.address), stakes.sum()))
    };
    Ok(rows.into_iter().filter_map(sum).collect())
}

fn columns(accounts: &[(EventId, Address)]) -> (Vec<i64>, Vec<Key>) {
    let events = accounts.iter().map(|(event, _)| event.0);
    let addresses = accounts.iter().map(|(_, address)| Key::from(*address));
    (events.collect(), addresses.collect())
}
