//! Comparison of slots with each other, with the cursor and with the chain, and of the record of missing slots.

use super::comparison::Comparison;
use crate::rpc::Rpc;

/// Compares the cursor's blockhash with the chain. With the links between the slots, it stands for all hashes since
/// the last loss. A cursor that moved on between two passes is another one, but it is as wrong.
pub async fn compare_chain(comparison: &mut Comparison<'_>, rpc: &Rpc) -> anyhow::Result<()> {
    let (slot, blockhash): (i64, Vec<u8>) =
        sqlx::query_as("select slot, blockhash from chain.cursor")
            .fetch_one(&mut *comparison.connection)
            .await?;
    let on_chain = rpc.blockhash(slot.unsigned_abs()).await?;
    if on_chain.is_some_and(|hash| hash != bs58::encode(&blockhash).into_string()) {
        comparison.add_difference("cursor: blockhash is not the chain's".into());
    }
    Ok(())
}

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
    compare_records(comparison).await?;
    let cursor_matches: bool = sqlx::query_scalar(
        "select (cursor.slot, cursor.blockhash) = (last.slot, last.blockhash)
             -- After a block without a time, the cursor has that of an earlier one.
             and cursor.block_time is not distinct from coalesce(last.block_time, cursor.block_time)
           -- A new epoch has no slot of its own yet.
           or cursor.slot = history_from - 1
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

/// Checks what the cursor and the record of missing slots say of each other, of the slots and of the feed.
async fn compare_records(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let wrong: Vec<String> = sqlx::query_scalar(RECORDS)
        .fetch_all(&mut *comparison.connection)
        .await?;
    for line in wrong {
        comparison.add_difference(line);
    }
    Ok(())
}

const RECORDS: &str = "
    select 'cursor: ' || rule.name from chain.cursor, lateral (values
      ('finalized_slot is after the slot', finalized_slot <= slot),
      ('tip_slot is before the slot', slot <= tip_slot),
      ('settled_slot is after the slot', settled_slot <= slot),
      -- The tolerance, which says when the block of a mirror at the tip counts, can be newer.
      ('as_of is neither that of the tip nor that of the block',
        as_of = tip_at and tip_slot <= slot or as_of = least(tip_at, coalesce(block_time,
          tip_at - least((tip_slot - slot) * 400, 1::bigint << 38) * interval '1 ms'))),
      ('history_from is after the slot', history_from <= slot + 1),
      -- After a past that lacks events, it is the first slot that was followed; without the oldest partitions, the
      -- first slot of those that are left.
      ('history_from does not follow the last lost slot', coalesce(
        (select history_from = max(to_slot) + 1 or max(to_slot) < history_from and (
           history_from % (1 << 21) = 0
           or exists (select from chain.dead_letter where subject = 'history'))
         from chain.gap where state = 'lost'), true)),
      ('is_following is false, although slots follow', is_following or not exists (select from chain.slot)),
      ('epoch is not that of the last record of the feed', epoch = coalesce(
        (select feed.epoch from chain.feed order by seq desc limit 1), epoch))
    ) rule (name, is_right) where not is_right
    union all
    select 'gap ' || from_slot || '-' || to_slot || ': ' || rule.name from chain.gap, lateral (values
      ('from_slot is after to_slot', from_slot <= to_slot),
      ('epoch is after the cursor''s', epoch <= (select cursor.epoch from chain.cursor)),
      ('closed_at does not fit the state', (closed_at is null) = (state = 'open') and
        coalesce(opened_at <= closed_at, true)),
      ('state is lost, but the mirror has slots of it', state <> 'lost' or not exists (
        select from chain.slot where slot between from_slot and to_slot)),
      ('state is open, although the mirror has all accounts', state <> 'open' or (
        select settled_slot is null or slot < from_slot from chain.cursor)),
      ('state is not what the feed has announced', state = coalesce((
        select body ->> 'state' from chain.feed announced
        where kind = 'gap' and body ->> 'from_slot' = from_slot::text and body ->> 'to_slot' = to_slot::text
        order by seq desc limit 1), state)),
      -- Of the past that an empty mirror is filled with, no slots are kept.
      ('to_slot is not the parent of the next slot', state <> 'lost' or exists (
        select from chain.slot where parent_slot = to_slot) or (select slot <= to_slot from chain.cursor)
        or to_slot < (select min(slot) from chain.slot)),
      ('from_slot does not follow a slot', state <> 'lost' or exists (
        select from chain.slot where slot = from_slot - 1) or not exists (
        select from chain.slot where slot < from_slot))
    ) rule (name, is_right) where not is_right
    union all
    select 'gap ' || (body ->> 'from_slot') || '-' || (body ->> 'to_slot') || ': is not in chain.gap'
    from chain.feed where kind = 'gap' and body ->> 'state' <> 'open' and not exists (
      select from chain.gap where body ->> 'from_slot' = from_slot::text and body ->> 'to_slot' = to_slot::text)";
