//! Undoing of slots that the cluster has dropped.

use driftshield_sdk::AccountKind;
use metrics::counter;
use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::{ApplyError, notify},
    cursor::Cursor,
    event_id::first_id,
    hourly, kinds,
    lives::{ChangedLife, Life, RPC_VERSION, UNDONE_VERSION},
    metrics::{FORKS, UNDONE_SLOTS},
    ranks,
    sql::built,
    store::{Care, LIFE, Store, set_current},
};

/// Undoes the slots after `ancestor` and appends a record of it to the feed.
///
/// # Errors
///
/// The slots are finalized, `ancestor` is not applied, or the database fails. Nothing is changed then.
pub async fn to_ancestor(
    mut transaction: Transaction<'_, Postgres>,
    ancestor: i64,
) -> Result<Cursor, ApplyError> {
    let mut cursor = Cursor::lock(&mut transaction).await?;
    if ancestor < cursor.finalized_slot {
        return Err(ApplyError::Finalized {
            ancestor,
            finalized_slot: cursor.finalized_slot,
        });
    }
    restore_lives(&mut transaction, &mut cursor, ancestor).await?;
    remove_history(&mut transaction, ancestor).await?;
    if cursor.settled_slot.is_none() {
        reopen(&mut transaction, &mut cursor, ancestor).await?;
    }
    hourly::undo(&mut transaction, ancestor).await?;
    let undone = set_back(&mut transaction, &mut cursor, ancestor).await?;
    let body = json!({ "to_slot": ancestor });
    cursor.announce(&mut transaction, "rollback", &body).await?;
    ranks::store_all(&mut transaction, cursor.seq).await?;
    cursor.update(&mut transaction).await?;
    notify(&mut transaction, cursor.seq).await?;
    transaction.commit().await?;
    counter!(FORKS).increment(1);
    counter!(UNDONE_SLOTS).increment(undone as u64);
    Ok(cursor)
}

/// Forgets how to undo slots that are finalized.
pub async fn forget(connection: &mut PgConnection, finalized_slot: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from chain.account_version where slot <= $1")
        .bind(finalized_slot)
        .execute(&mut *connection)
        .await?;
    hourly::forget(connection, finalized_slot).await
}

/// Restores the lives that the slots changed, and removes those that began in them.
async fn restore_lives(
    transaction: &mut PgConnection,
    cursor: &mut Cursor,
    ancestor: i64,
) -> Result<(), ApplyError> {
    let begun: Vec<(Vec<u8>, i64)> = sqlx::query_as(
        "select distinct address, life from chain.account_version
         where slot > $1 and not existed",
    )
    .bind(ancestor)
    .fetch_all(&mut *transaction)
    .await?;
    let (addresses, lives): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
    for table in kinds::all_tables() {
        let sql = format!(
            "delete from {table} row using unnest($1::bytea[], $2::bigint[]) given (address, life)
             where row.address = given.address and row.life = given.life"
        );
        sqlx::query(built(sql))
            .bind(&addresses)
            .bind(&lives)
            .execute(&mut *transaction)
            .await?;
    }
    // The oldest kept version of a life is its state at the end of `ancestor`.
    let versions: Vec<Life> = sqlx::query_as(
        "select distinct on (address, life) address, life, true as is_current, kind,
           account_slot as slot, write_version, closed_slot, lamports::text, data, is_exact, facts
         from chain.account_version version
         where slot > $1 and existed
           and not exists (select from chain.account_version begun
             where begun.slot > $1 and not begun.existed
               and (begun.address, begun.life) = (version.address, version.life))
         order by address, life, version.slot",
    )
    .bind(ancestor)
    .fetch_all(&mut *transaction)
    .await?;
    let (ended, open): (Vec<_>, Vec<_>) = versions
        .into_iter()
        .partition(|life| life.closed_slot.is_some());
    // The row of a life that had ended before still shows its final state.
    for life in ended {
        set_current(transaction, &life, true).await?;
    }
    let restored = open.into_iter().map(ChangedLife::from);
    let mut store = Store::new(&mut *transaction, cursor, Care::Careful);
    store.store_lives(ancestor, restored.collect()).await?;
    sqlx::query("delete from chain.account_version where slot > $1")
        .bind(ancestor)
        .execute(&mut *transaction)
        .await?;
    forget_readings(transaction, cursor, ancestor).await
}

/// Makes the mirror read all accounts again if it took some over from an RPC node after `ancestor`.
/// What they replaced was not kept, and they may be of the dropped slots.
async fn forget_readings(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    ancestor: i64,
) -> Result<(), ApplyError> {
    if cursor.settled_slot.is_some_and(|slot| slot <= ancestor) {
        return Ok(());
    }
    cursor.settled_slot = None;
    // Writes of the slots that come instead count as newer.
    sqlx::query(
        "update chain.account set slot = $1, write_version = $2
         where is_current and closed_slot is null and $1 < slot",
    )
    .bind(ancestor)
    .bind(UNDONE_VERSION)
    .execute(&mut *connection)
    .await?;
    for &kind in AccountKind::ALL {
        let sql = format!(
            "update {} set slot = $1 where is_current and ended_slot is null and $1 < slot",
            kinds::table(kind)
        );
        let update = sqlx::query(built(sql)).bind(ancestor);
        update.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Opens the accounts again that a reading after `ancestor` did not find: on the chain that comes instead they may
/// exist, with the same lives. The next reading reports those that don't, so that letters about them are not kept.
async fn reopen(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    ancestor: i64,
) -> Result<(), ApplyError> {
    let sql = format!(
        "select {LIFE} from chain.account
         where is_current and $1 < closed_slot and write_version = $2"
    );
    let ended: Vec<Life> = sqlx::query_as(built(sql))
        .bind(ancestor)
        .bind(RPC_VERSION)
        .fetch_all(&mut *connection)
        .await?;
    let reopened = ended.into_iter().map(|life| {
        ChangedLife::from(Life {
            closed_slot: None,
            slot: ancestor,
            write_version: UNDONE_VERSION,
            ..life
        })
    });
    let mut store = Store::new(connection, cursor, Care::Careful);
    store.store_lives(ancestor, reopened.collect()).await?;
    Ok(())
}

/// Removes the events of the slots and the rows derived from them, and the letters about them.
async fn remove_history(connection: &mut PgConnection, ancestor: i64) -> Result<(), sqlx::Error> {
    let tables = [
        ("event", "id"),
        ("event_account", "event_id"),
        ("event_party", "event_id"),
        ("odds", "event_id"),
        ("sale", "event_id"),
        ("penalty", "event_id"),
        ("capital", "event_id"),
        ("policy_payout", "event_id"),
    ];
    for (table, id) in tables {
        let sql = format!("delete from chain.{table} where $1 <= {id}");
        sqlx::query(built(sql))
            .bind(first_id(ancestor + 1))
            .execute(&mut *connection)
            .await?;
    }
    keep_letters_of_readings(connection, ancestor).await?;
    sqlx::query("delete from chain.dead_letter where $1 < slot")
        .bind(ancestor)
        .execute(connection)
        .await?;
    Ok(())
}

/// Dates letters about accounts that were read from an RPC node back to `ancestor`. The mirror keeps what was
/// read, so that the next reading finds nothing new to report. Events that are missing after `ancestor` come with
/// the slots that replace the undone ones.
async fn keep_letters_of_readings(
    connection: &mut PgConnection,
    ancestor: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update chain.dead_letter letter set slot = $1
         where $1 < letter.slot and event_id is null and coalesce(since, 0) <= $1
           and exists (select from chain.account
             where account.address = letter.address and is_current and write_version = $2)",
    )
    .bind(ancestor)
    .bind(UNDONE_VERSION)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the cursor back to `ancestor`. Returns the number of slots after it.
async fn set_back(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    ancestor: i64,
) -> Result<usize, ApplyError> {
    let removed: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "delete from chain.slot where $1 < slot returning parent_slot, parent_blockhash",
    )
    .bind(ancestor)
    .fetch_all(&mut *connection)
    .await?;
    let block_time = sqlx::query_scalar(
        "select block_time from chain.slot where slot <= $1 and block_time is not null
         order by slot desc limit 1",
    )
    .bind(ancestor)
    .fetch_optional(connection)
    .await?;
    let undone = removed.len();
    let hash = removed.into_iter().find(|(parent, _)| *parent == ancestor);
    let hash = hash.and_then(|(_, hash)| hash.try_into().ok());
    cursor.blockhash = hash.ok_or(ApplyError::NotApplied(ancestor))?;
    cursor.slot = ancestor;
    // Where none is left, that of an undone block is some seconds off.
    cursor.block_time = block_time.or(cursor.block_time);
    Ok(undone)
}
