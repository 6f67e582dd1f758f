//! Accounts that an older decoder could not decode, or whose rows Postgres refused.

use std::collections::{BTreeMap, HashSet};

use driftshield_sdk::{AccountKind, Address};
use sqlx::PgConnection;

use super::{
    Failure, Redecode,
    addresses::{Addresses, Key},
    letters::{Letter, is_of_account_row, is_of_asks},
    states::{Bounded, with_states},
};
use crate::{
    kinds::{self, DECODER_VERSION},
    sql::built,
    store::{addresses_of, bytes_of, load_all_mints},
};

/// Decodes the accounts of the letters again, and stores their rows. Returns the letters that stay open.
pub async fn decode(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let mut failures = vec![];
    let (mut of_rows, mut asks, mut addresses) = (vec![], HashSet::new(), vec![]);
    for letter in letters {
        let address = letter.address.as_deref();
        let address: Option<Address> = address.and_then(|address| address.try_into().ok());
        let Some(address) = address else {
            failures.push((
                letter.id,
                "the letter has no address of an account".to_owned(),
            ));
            continue;
        };
        if is_of_account_row(letter) {
            of_rows.push(letter.id);
        }
        if is_of_asks(letter) {
            asks.insert(address);
        }
        addresses.push(address);
    }
    for letter in not_replaced(redecode.connection, &of_rows).await? {
        let failure = "the mirror has no later state of the account; make it anew with `indexer \
                       rebuild`";
        failures.push((letter, failure.to_owned()));
    }
    let lives = Addresses::load(redecode.connection, addresses).await?;
    let shown = shown(redecode.connection, lives.all()).await?;
    let lives = lives.all().filter(|bounded| {
        let life = &bounded.life;
        let lacks_asks = life.closed_slot.is_none() && asks.contains(&life.address);
        lacks_asks || !shown.contains(&(life.address, life.life))
    });
    store(redecode, lives.collect()).await?;
    Ok(failures)
}

/// Decodes accounts of types that an older decoder did not know: addresses and lives.
pub async fn decode_unknown(
    redecode: &mut Redecode<'_>,
    unknown: Vec<(Vec<u8>, i64)>,
) -> Result<(), sqlx::Error> {
    let (addresses, names): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
    // Each is tried once, even if Postgres refuses its new row.
    let tried: Vec<(Vec<u8>, i64)> = sqlx::query_as(
        "update chain.account set decoder_version = $1
         from unnest($2::bytea[], $3::bigint[]) as given (key, name)
         where address = key and life = name
           and kind is null and closed_slot is null and decoder_version < $1
         returning address, life",
    )
    .bind(DECODER_VERSION)
    .bind(addresses)
    .bind(names)
    .fetch_all(&mut *redecode.connection)
    .await?;
    let tried: HashSet<_> = tried.into_iter().collect();
    let addresses = tried.iter().map(|(address, _)| address.clone());
    let addresses: Vec<Address> = addresses_of(addresses.collect());
    let lives = Addresses::load(redecode.connection, addresses).await?;
    let lives = lives.all().filter(|bounded| {
        let life = &bounded.life;
        tried.contains(&(life.address.to_bytes().to_vec(), life.life))
    });
    store(redecode, lives.collect()).await
}

/// Stores the rows of lives, with the states that their bytes and events give.
async fn store(
    redecode: &mut Redecode<'_>,
    mut lives: Vec<Bounded<'_>>,
) -> Result<(), sqlx::Error> {
    if lives.is_empty() {
        return Ok(());
    }
    for bounded in &mut lives {
        bounded.life.kind = kind(bounded);
    }
    let mints = load_all_mints(redecode.connection).await?;
    let changed = with_states(redecode.connection, lives, &mints).await?;
    redecode.announce_accounts().await?;
    redecode.store_lives(changed).await
}

/// The type of a life; `None` if it is unknown.
fn kind(bounded: &Bounded<'_>) -> Option<AccountKind> {
    AccountKind::of_data(&bounded.life.data).or(bounded.life.kind)
}

/// The letters about refused rows of `chain.account` that the mirror has not replaced by rows that are as new.
async fn not_replaced(
    connection: &mut PgConnection,
    letters: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select id from chain.dead_letter letter
         where id = any($1) and not exists (select from chain.account
           where account.address = letter.address and letter.slot <= account.slot)",
    )
    .bind(letters)
    .fetch_all(connection)
    .await
}

/// Those of the lives that the tables of their types show as they are now.
async fn shown<'a>(
    connection: &mut PgConnection,
    lives: impl Iterator<Item = Bounded<'a>>,
) -> Result<HashSet<Key>, sqlx::Error> {
    let mut by_kind: BTreeMap<AccountKind, (Vec<Address>, Vec<i64>)> = BTreeMap::new();
    for bounded in lives {
        if let Some(kind) = kind(&bounded) {
            let (addresses, names) = by_kind.entry(kind).or_default();
            addresses.push(bounded.life.address);
            names.push(bounded.life.life);
        }
    }
    let mut shown = HashSet::new();
    for (kind, (addresses, names)) in by_kind {
        let sql = format!(
            "select address, life
             from {} join unnest($1::bytea[], $2::bigint[]) as given (address, life) using (address, life)
             where not is_stale",
            kinds::table(kind)
        );
        let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(built(sql))
            .bind(bytes_of(&addresses))
            .bind(names)
            .fetch_all(&mut *connection)
            .await?;
        shown.extend(rows.into_iter().filter_map(|(address, life)| {
            let address = address.as_slice().try_into().ok()?;
            Some((address, life))
        }));
    }
    Ok(shown)
}
