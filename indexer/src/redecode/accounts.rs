//! Accounts that an older decoder could not decode, or whose rows Postgres refused.

use driftshield_sdk::{AccountKind, Address};
use sqlx::PgConnection;

use super::{
    Failure, Redecode,
    letters::{Letter, is_of_account_row, is_of_asks},
    states::Bounded,
};
use crate::{
    kinds::{self, DECODER_VERSION},
    lives::{ChangedLife, Life},
    store::{LIFE, load_all_mints},
};

/// Most accounts of unknown types in one transaction.
const BATCH: i64 = 64;

/// Decodes the accounts of the letters again, and stores their rows. Returns the letters that stay open.
pub async fn decode(
    redecode: &mut Redecode<'_>,
    letters: &[Letter],
) -> Result<Vec<(i64, Failure)>, sqlx::Error> {
    let (mut failures, mut changed) = (vec![], vec![]);
    for letter in letters {
        let address: Option<Address> = letter
            .address
            .as_deref()
            .and_then(|address| address.try_into().ok());
        let Some(address) = address else {
            failures.push((
                letter.id,
                "the letter has no address of an account".to_owned(),
            ));
            continue;
        };
        if is_of_account_row(letter) && !is_replaced(redecode.connection, letter).await? {
            let failure = "the mirror has no later state of the account; make it anew with `indexer \
                           rebuild`";
            failures.push((letter.id, failure.to_owned()));
        }
        for bounded in lives_at(redecode.connection, &address).await? {
            let is_open = bounded.life.closed_slot.is_none();
            if is_of_asks(letter) && is_open
                || lacks_row(redecode.connection, &bounded.life).await?
            {
                changed.push(bounded);
            }
        }
    }
    store(redecode, changed).await?;
    Ok(failures)
}

/// Decodes open accounts of types that an older decoder did not know. Returns whether there were any.
pub async fn decode_unknown(redecode: &mut Redecode<'_>) -> Result<bool, sqlx::Error> {
    // Each is tried once, even if Postgres refuses its new row.
    let sql = format!(
        "update chain.account set decoder_version = $1
         where (address, life) in (
           select address, life from chain.account
           where kind is null and closed_slot is null and decoder_version < $1 limit $2)
         returning {LIFE}"
    );
    let lives: Vec<Life> = sqlx::query_as(&sql)
        .bind(DECODER_VERSION)
        .bind(BATCH)
        .fetch_all(&mut *redecode.connection)
        .await?;
    let is_any = !lives.is_empty();
    let mut unknown = vec![];
    for life in lives {
        let next = Bounded::next_after(redecode.connection, &life.address, life.life).await?;
        unknown.push(Bounded { life, next });
    }
    store(redecode, unknown).await?;
    Ok(is_any)
}

/// Stores the rows of lives, with the states that their bytes and events give.
async fn store(redecode: &mut Redecode<'_>, lives: Vec<Bounded>) -> Result<(), sqlx::Error> {
    let mints = load_all_mints(redecode.connection).await?;
    let mut changed: Vec<ChangedLife> = vec![];
    for mut bounded in lives {
        let (address, name) = (bounded.life.address, bounded.life.life);
        let is_same =
            |other: &ChangedLife| (other.life.address, other.life.life) == (address, name);
        if changed.iter().any(is_same) {
            continue;
        }
        let kind = AccountKind::of_data(&bounded.life.data);
        bounded.life.kind = kind.or(bounded.life.kind);
        changed.push(
            bounded
                .with_state(redecode.connection, None, &mints)
                .await?,
        );
    }
    if changed.is_empty() {
        return Ok(());
    }
    redecode.announce_accounts().await?;
    redecode.store_lives(changed).await
}

/// Whether an account's row in `chain.account` is as new as the one that was refused.
async fn is_replaced(connection: &mut PgConnection, letter: &Letter) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from chain.account join chain.dead_letter letter using (address)
           where letter.id = $1 and letter.slot <= account.slot)",
    )
    .bind(letter.id)
    .fetch_one(connection)
    .await
}

/// The lives at an address.
async fn lives_at(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Vec<Bounded>, sqlx::Error> {
    let sql = format!("select {LIFE} from chain.account where address = $1 order by life");
    let lives: Vec<Life> = sqlx::query_as(&sql)
        .bind(address.as_ref())
        .fetch_all(connection)
        .await?;
    let nexts: Vec<_> = lives.iter().skip(1).map(|life| life.life).collect();
    let nexts = nexts.into_iter().map(Some).chain([None]);
    let bounded = lives.into_iter().zip(nexts);
    Ok(bounded.map(|(life, next)| Bounded { life, next }).collect())
}

/// Whether the table of the life's type has no row of it, or a stale one.
async fn lacks_row(connection: &mut PgConnection, life: &Life) -> Result<bool, sqlx::Error> {
    let Some(kind) = AccountKind::of_data(&life.data).or(life.kind) else {
        return Ok(true);
    };
    let sql = format!(
        "select not exists (select from {} where address = $1 and life = $2 and not is_stale)",
        kinds::table(kind)
    );
    sqlx::query_scalar(&sql)
        .bind(life.address.as_ref())
        .bind(life.life)
        .fetch_one(connection)
        .await
}
