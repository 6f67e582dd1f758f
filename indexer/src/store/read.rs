//! Reading of what the rows of slots are derived from.

use std::collections::{BTreeSet, HashMap};

use driftshield_sdk::{AccountKind, Address, Event, TokenProgram};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use crate::{
    lives::{Life, Mints},
    rows::Pools,
    slot::SealedSlot,
    sql::built,
};

/// Columns of a [`Life`] in `chain.account`.
pub const LIFE: &str =
    "address, life, is_current, kind, slot, write_version, closed_slot, lamports::text,
     data, is_exact, facts";

/// Addresses as an array of bytes for Postgres.
pub fn bytes_of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<Vec<u8>> {
    let addresses = addresses.into_iter();
    addresses
        .map(|address| address.to_bytes().to_vec())
        .collect()
}

/// Addresses from an array of bytes from Postgres.
pub fn addresses_of<T: FromIterator<Address>>(keys: Vec<Vec<u8>>) -> T {
    let keys = keys.iter();
    keys.filter_map(|key| key.as_slice().try_into().ok())
        .collect()
}

/// Reads the current lives at the addresses.
pub async fn load_lives(
    connection: &mut PgConnection,
    addresses: &[Address],
) -> Result<Vec<Life>, sqlx::Error> {
    if addresses.is_empty() {
        return Ok(vec![]);
    }
    let sql = format!(
        "select {LIFE} from chain.account join unnest($1::bytea[]) as given (key) on address = key
         where is_current"
    );
    let keys = bytes_of(addresses);
    sqlx::query_as(built(sql))
        .bind(keys)
        .fetch_all(connection)
        .await
}

/// Reads the open lives of a type; `None` for those of no known type.
pub async fn load_open_lives(
    connection: &mut PgConnection,
    kind: Option<AccountKind>,
) -> Result<Vec<Life>, sqlx::Error> {
    let sql = format!(
        "select {LIFE} from chain.account
         where is_current and closed_slot is null and kind is not distinct from $1"
    );
    let kind = kind.map(AccountKind::name);
    sqlx::query_as(built(sql))
        .bind(kind)
        .fetch_all(connection)
        .await
}

impl sqlx::FromRow<'_, PgRow> for Life {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let decode = |column: &str, source: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: source.into(),
        };
        let address: &[u8] = row.try_get("address")?;
        let kind: Option<&str> = row.try_get("kind")?;
        let lamports: &str = row.try_get("lamports")?;
        let Json(facts) = row.try_get("facts")?;
        Ok(Self {
            address: address
                .try_into()
                .map_err(|_| decode("address", "not 32 bytes"))?,
            life: row.try_get("life")?,
            is_current: row.try_get("is_current")?,
            kind: kind.and_then(AccountKind::from_name),
            slot: row.try_get("slot")?,
            write_version: row.try_get("write_version")?,
            closed_slot: row.try_get("closed_slot")?,
            lamports: lamports
                .parse()
                .map_err(|_| decode("lamports", "not a 64-bit number"))?,
            data: row.try_get("data")?,
            is_exact: row.try_get("is_exact")?,
            facts,
        })
    }
}

/// Reads the pools of the markets on which the slots have bets, as the last bet before left them.
pub async fn load_pools(
    connection: &mut PgConnection,
    slots: &[&SealedSlot],
) -> Result<HashMap<Address, Pools>, sqlx::Error> {
    let events = slots.iter().flat_map(|slot| &slot.events);
    let markets: BTreeSet<Address> = events
        .filter_map(|emitted| match &emitted.event {
            Some(Event::BetPlaced(event)) => Some(event.market),
            _ => None,
        })
        .collect();
    if markets.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = bytes_of(&markets);
    let rows: Vec<(Vec<u8>, Vec<String>)> = sqlx::query_as(
        "select key, last.pools
         from unnest($1::bytea[]) as given (key)
         join chain.account on address = key and is_current
         cross join lateral (
           select pools::text[] from chain.odds
           where market = key and life <= event_id order by event_id desc limit 1) last",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(market, pools)| {
            let market: [u8; 32] = market.try_into().ok()?;
            Some((market.into(), Pools::from_row(&pools)?))
        })
        .collect())
}

/// Reads the registered mints, if the slots create accounts that copy their decimals.
pub async fn load_mints(
    connection: &mut PgConnection,
    slots: &[&SealedSlot],
) -> Result<Mints, sqlx::Error> {
    use driftshield_sdk::Event::{MarketCreated, VaultCreated};
    let events = slots.iter().flat_map(|slot| &slot.events);
    let needs_mints = events
        .filter_map(|emitted| emitted.event.as_ref())
        .any(|event| matches!(event, MarketCreated(_) | VaultCreated(_)));
    match needs_mints {
        true => load_all_mints(connection).await,
        false => Ok(Mints::new()),
    }
}

/// Reads the registered mints.
pub async fn load_all_mints(connection: &mut PgConnection) -> Result<Mints, sqlx::Error> {
    let rows: Vec<(Vec<u8>, i16, String)> = sqlx::query_as(
        "select mint, decimals, token_program from chain.collateral where is_current",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(mint, decimals, program)| {
            let mint: [u8; 32] = mint.try_into().ok()?;
            let program = match program.as_str() {
                "spl_token" => TokenProgram::SplToken,
                _ => TokenProgram::Token2022,
            };
            Some((mint.into(), (u8::try_from(decimals).ok()?, program)))
        })
        .collect())
}
