//! Slots that the stream did not deliver, and accounts that are read again because of them.

use chrono::Utc;
use metrics::counter;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::notify,
    cursor::Cursor,
    event_id::first_id,
    lives::{ChangedLife, Life, RPC_VERSION},
    metrics::{GAPS, GUARD_REJECTIONS},
    rpc::AccountsAt,
    slot::SealedSlot,
    snapshot::InitialAccounts,
    store::{Care, Store, bytes_of, load_lives, set_current},
};

/// Records a gap. An earlier attempt to fill the same slots may have recorded it already.
pub async fn open(connection: &mut PgConnection, first: i64, last: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with opened as (
           insert into chain.gap (from_slot, to_slot, epoch, state, reason)
           select $1, $2, epoch, 'open', 'the stream did not deliver the slots' from chain.cursor
           on conflict (from_slot, to_slot) do update set state = 'open', closed_at = null)
         update chain.cursor set settles_at = $3",
    )
    .bind(first)
    .bind(last)
    .bind(i64::MAX)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that the gaps up to `slot` are filled. Returns whether others are open.
pub async fn close(connection: &mut PgConnection, slot: i64) -> Result<bool, sqlx::Error> {
    let filled: Vec<(i64, i64)> = sqlx::query_as(
        "update chain.gap set state = 'filled', closed_at = now()
         where state = 'open' and to_slot <= $1 returning from_slot, to_slot",
    )
    .bind(slot)
    .fetch_all(&mut *connection)
    .await?;
    for (first, last) in filled {
        counter!(GAPS, "state" => "filled").increment(1);
        tracing::info!(first, last, "the missing slots are applied");
    }
    sqlx::query_scalar("select exists (select from chain.gap where state = 'open')")
        .fetch_one(connection)
        .await
}

/// Stores accounts that were read again.
///
/// They contain all writes up to the slot at which they were read, which can be after the cursor. They
/// are stored with the cursor's slot: every later write that the stream delivers counts as newer.
pub async fn refetch(
    mut transaction: Transaction<'_, Postgres>,
    found: AccountsAt,
) -> Result<(), sqlx::Error> {
    let Some(mut cursor) = Cursor::lock(&mut transaction).await? else {
        return Ok(());
    };
    let existing: Vec<_> = found
        .accounts
        .into_iter()
        .filter_map(|(address, account)| Some((address, account?)))
        .collect();
    let addresses: Vec<_> = existing.iter().map(|(address, _)| *address).collect();
    let known = load_lives(&mut transaction, &addresses).await?;
    let mut known: std::collections::HashMap<_, _> =
        known.into_iter().map(|life| (life.address, life)).collect();
    let slot = cursor.slot;
    let changed = existing
        .into_iter()
        .filter_map(|(address, (lamports, data))| {
            let life = match known.remove(&address) {
                // It ended, and a later slot creates it again: the stream tells.
                Some(life) if life.closed_slot.is_some() => return None,
                Some(life) if (slot, RPC_VERSION) <= (life.slot, life.write_version) => {
                    counter!(GUARD_REJECTIONS).increment(1);
                    return None;
                }
                Some(life) => life,
                // A later slot creates it.
                None => return None,
            };
            Some(with_bytes(life, slot, lamports, data))
        });
    let changed = changed.collect();
    let mut store = Store {
        connection: &mut transaction,
        cursor: &mut cursor,
        care: Care::Careful,
    };
    store.store_lives(slot, changed).await?;
    // The slot after it includes what the node had executed of a slot that was still open.
    cursor.settles_at = Some(found.slot.saturating_add(1)).filter(|settles| slot < *settles);
    cursor.update(&mut transaction).await?;
    transaction.commit().await
}

/// The life with bytes from an RPC node.
fn with_bytes(life: Life, slot: i64, lamports: u64, data: Vec<u8>) -> ChangedLife {
    let life = Life {
        slot,
        write_version: RPC_VERSION,
        lamports,
        data,
        is_exact: true,
        ..life
    };
    life.into()
}

/// Replaces the accounts by those of a snapshot, moves the cursor to the parent of `first`, and tells
/// the clients that slots are lost.
pub async fn begin_epoch(
    mut transaction: Transaction<'_, Postgres>,
    accounts: InitialAccounts,
    first: &SealedSlot,
) -> Result<(), sqlx::Error> {
    let Some(mut cursor) = Cursor::lock(&mut transaction).await? else {
        return Ok(());
    };
    let lost = (cursor.slot + 1, first.parent_slot);
    cursor.epoch = Utc::now().timestamp_millis().max(cursor.epoch + 1);
    cursor.slot = first.parent_slot;
    cursor.blockhash = first.parent_blockhash;
    cursor.block_time = None;
    cursor.finalized_slot = cursor.finalized_slot.min(cursor.slot);
    cursor.settles_at = Some(accounts.settles_at);
    merge_snapshot(&mut transaction, &mut cursor, accounts).await?;
    cursor.seq += 1;
    record_loss(&mut transaction, &cursor, lost).await?;
    let mut store = Store {
        connection: &mut transaction,
        cursor: &mut cursor,
        care: Care::Careful,
    };
    store.store_all_volumes().await?;
    cursor.update(&mut transaction).await?;
    notify(&mut transaction, cursor.seq).await?;
    transaction.commit().await
}

/// Ends the lives that the snapshot doesn't have, and takes over the bytes of the others. An account
/// that was closed and created again in between looks like one that went on.
async fn merge_snapshot(
    connection: &mut PgConnection,
    cursor: &mut Cursor,
    accounts: InitialAccounts,
) -> Result<(), sqlx::Error> {
    let addresses: Vec<_> = accounts
        .lives
        .iter()
        .map(|found| found.life.address)
        .collect();
    let known = load_lives(connection, &addresses).await?;
    let mut known: std::collections::HashMap<_, _> =
        known.into_iter().map(|life| (life.address, life)).collect();
    let mut changed = vec![];
    for found in accounts.lives {
        match known.remove(&found.life.address) {
            Some(life) if life.closed_slot.is_none() => {
                let Life { lamports, data, .. } = found.life;
                changed.push(with_bytes(life, cursor.slot, lamports, data));
            }
            Some(ended) => {
                set_current(connection, &ended, false).await?;
                // Its creation is not known, but it came after the life before.
                let life = first_id(cursor.slot);
                changed.push(ChangedLife {
                    life: Life { life, ..found.life },
                    state: found.state,
                });
            }
            None => changed.push(found),
        }
    }
    let keys = bytes_of(&addresses);
    let gone: Vec<Life> = sqlx::query_as(
        "select address, life, is_current, kind, slot, write_version, closed_slot, lamports::text,
                data, is_exact, facts
         from chain.account
         where is_current and closed_slot is null and address <> all($1)",
    )
    .bind(keys)
    .fetch_all(&mut *connection)
    .await?;
    changed.extend(gone.into_iter().map(|life| {
        let life = Life {
            closed_slot: Some(cursor.slot),
            slot: cursor.slot,
            ..life
        };
        life.into()
    }));
    let slot = cursor.slot;
    let mut store = Store {
        connection: &mut *connection,
        cursor,
        care: Care::Careful,
    };
    store.store_lives(slot, changed).await?;
    sqlx::query("delete from chain.account_version")
        .execute(connection)
        .await?;
    Ok(())
}

async fn record_loss(
    connection: &mut PgConnection,
    cursor: &Cursor,
    (first, last): (i64, i64),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update chain.gap set state = 'lost', closed_at = now()
         where state = 'open' and from_slot <= $2 and $1 <= to_slot",
    )
    .bind(first)
    .bind(last)
    .execute(&mut *connection)
    .await?;
    sqlx::query("update chain.cursor set history_from = $1")
        .bind(last + 1)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into chain.gap (from_slot, to_slot, epoch, state, reason, closed_at)
         values ($1, $2, $3, 'lost', 'no source has the blocks any more', now())
         on conflict (from_slot, to_slot) do update
           set state = 'lost', reason = excluded.reason, closed_at = now()",
    )
    .bind(first)
    .bind(last)
    .bind(cursor.epoch)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into chain.feed (seq, epoch, slot, kind, channels, body)
         values ($1, $2, $3, 'gap', '{}',
           jsonb_build_object('from_slot', $4::bigint, 'to_slot', $5::bigint, 'state', 'lost'))",
    )
    .bind(cursor.seq)
    .bind(cursor.epoch)
    .bind(cursor.slot)
    .bind(first)
    .bind(last)
    .execute(connection)
    .await?;
    Ok(())
}
