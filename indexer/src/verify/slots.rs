//! Comparison of slots with each other and with the cursor, and of the feed's numbers.

use super::comparison::Comparison;

/// Compares every slot's parent with the slot before it, and the last slot with the cursor.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let broken: Vec<(i64, i64)> = sqlx::query_as(
        "select slot, before from (
           select *, lag(slot) over slots as before, lag(blockhash) over slots as before_hash
           from chain.slot window slots as (order by slot)
         ) linked
         where before is not null
           and (parent_slot, parent_blockhash) is distinct from (before, before_hash)
           and not exists (select from chain.gap where before < from_slot and to_slot < slot)",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (slot, before) in broken {
        comparison.add_difference(format!("slot {slot}: is not the child of slot {before}"));
    }
    let cursor_matches: bool = sqlx::query_scalar(
        "select (cursor.slot, cursor.blockhash, cursor.block_time)
             is not distinct from (last.slot, last.blockhash, last.block_time)
           and cursor.finalized_slot <= cursor.slot
         from chain.cursor, (select * from chain.slot order by slot desc limit 1) last
         -- chain.slot is empty until the first slot is applied.
         union all select true where not exists (select from chain.slot)",
    )
    .fetch_one(&mut *comparison.connection)
    .await?;
    if !cursor_matches {
        comparison.add_difference("cursor: differs from chain.slot".into());
    }
    Ok(())
}

/// Checks that the feed has no hole, ends at the cursor, and announces every event once.
pub async fn compare_feed(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let (count, first, last, cursor_seq): (i64, Option<i64>, Option<i64>, i64) = sqlx::query_as(
        "select count(*), min(feed.seq), max(feed.seq), (select seq from chain.cursor)
         from chain.feed",
    )
    .fetch_one(&mut *comparison.connection)
    .await?;
    let (first, last) = (first.unwrap_or(cursor_seq + 1), last.unwrap_or(cursor_seq));
    if last != cursor_seq || count != last + 1 - first {
        comparison.add_difference(format!(
            "feed: has {count} records from {first} to {last}, but the cursor's seq is {cursor_seq}"
        ));
    }
    let wrong: Vec<(i64, i64)> = sqlx::query_as(
        "select event_id, count(*) from chain.feed announced
         where kind = 'event'
           and exists (select from chain.event where id = event_id)
           and not exists (select from chain.feed rollback
             where rollback.kind = 'rollback' and announced.seq < rollback.seq
               and (rollback.body ->> 'to_slot')::bigint < announced.slot)
         group by event_id having count(*) <> 1",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (event, count) in wrong {
        comparison.add_difference(format!("event {event}: is announced {count} times"));
    }
    Ok(())
}
