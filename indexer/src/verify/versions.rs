//! Comparison of what is kept to undo slots with the events: the states of accounts before these slots.
//! `hourly` compares the totals that are kept.

use driftshield_sdk::Account;
use futures::TryStreamExt;

use super::comparison::{Comparison, base58};

/// Rows that are missing, that no slot needs, or that contradict themselves or the account. A slot can be undone
/// until it is finalized, unless slots before it are lost.
const ROWS: &str = "
    with undoable as (
      select greatest(finalized_slot, history_from - 1) as after, slot as last from chain.cursor
    )
    select address, slot, rule.name from (
      select version.*, account.kind as known_kind, account.facts as known_facts, account.address is not null as is_known,
        undoable.after, undoable.last
      from chain.account_version version join undoable
        -- Those of slots that were finalized meanwhile go with the next slot.
        on undoable.after < version.slot
      left join chain.account using (address, life)) version, lateral (values
      ('slot', slot <= last),
      ('life', is_known),
      ('existed', existed or life >> 31 = slot or life = 0),
      ('row', existed = (account_slot is not null and write_version is not null and lamports is not null
        and data is not null and is_exact is not null and facts is not null)
        and (existed or (kind, closed_slot) is not distinct from (null::text, null::bigint))),
      ('account_slot', coalesce(account_slot < slot, true)),
      ('write_version', coalesce(closed_slot is null or write_version >= 9223372036854775806, true)),
      ('closed_slot', coalesce(closed_slot = account_slot, true)),
      ('kind', not existed or kind is not distinct from known_kind or kind is null),
      ('lamports', not existed or not is_exact or 0 < lamports),
      ('facts', not existed or facts -> 'began_at' is not distinct from known_facts -> 'began_at'
        and (closed_slot is null or facts = known_facts))
    ) rule (name, is_right)
    where not is_right
    union all
    select account, event_id >> 31, 'row' from chain.event_account, undoable
    where undoable.after < event_id >> 31 and not exists (
      select from chain.account_version version
      where (version.address, version.slot) = (account, event_id >> 31))";

/// States of open accounts, each with the number of the last event of the life before the slot.
const STATES: &str = "
    select address, slot, data, (
      select number::text from chain.event_account
      where account = address and life <= event_id and event_id >> 31 < slot order by event_id desc limit 1)
    from chain.account_version version where existed and closed_slot is null and life <> 0
      and (select greatest(finalized_slot, history_from - 1) from chain.cursor) < slot
      and not exists (select from chain.gap where state = 'lost' and life >> 31 <= to_slot)";

pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut differing: Vec<(Vec<u8>, i64, String)> = sqlx::query_as(ROWS)
        .fetch_all(&mut *comparison.connection)
        .await?;
    let mut states = sqlx::query_as::<_, (Vec<u8>, i64, Vec<u8>, Option<String>)>(STATES)
        .fetch(&mut *comparison.connection);
    while let Some((address, slot, data, last)) = states.try_next().await? {
        let seq = Account::decode(&data)
            .ok()
            .map(|account| account.seq().to_string());
        if let (Some(seq), Some(last)) = (seq, last)
            && seq != last
        {
            differing.push((address, slot, "data".to_owned()));
        }
    }
    drop(states);
    for (address, slot, column) in differing {
        let address = base58(&address);
        comparison.add_difference(format!(
            "account {address}: columns of chain.account_version differ in slot {slot}: {column}"
        ));
    }
    Ok(())
}
