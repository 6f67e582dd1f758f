//! Comparison of slots with each other and with the cursor.

use super::comparison::Comparison;

/// Compares every slot's parent with the slot before it, and the last slot with the cursor.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let broken: Vec<(i64, i64)> = sqlx::query_as(
        "select slot, before from (
           select *, lag(slot) over slots as before, lag(blockhash) over slots as before_hash
           from chain.slot window slots as (order by slot)
         ) linked
         where before is not null
           and (parent_slot, parent_blockhash) is distinct from (before, before_hash)",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (slot, before) in broken {
        comparison.add_difference(format!("slot {slot}: is not the child of slot {before}"));
    }
    let cursor_matches: bool = sqlx::query_scalar(
        "select (cursor.slot, cursor.blockhash, cursor.block_time)
             is not distinct from (last.slot, last.blockhash, last.block_time)
           and cursor.history_from = (select min(slot) from chain.slot)
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
