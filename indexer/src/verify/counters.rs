//! Comparison of event numbers with the accounts' counters. The number of an event is its count
//! among the events of one account, from 1.

use driftshield_sdk::Account;
use futures::TryStreamExt;

use super::comparison::{Comparison, base58};

/// Checks that the event numbers of each account have no gaps. The numbers start again at 1 if the
/// account is closed and recreated.
pub async fn compare_sequences(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let broken: Vec<(Vec<u8>, i64, String, String)> = sqlx::query_as(
        "select counted.account, counted.event_id, counted.number::text,
           coalesce(counted.before::text, 'none')
         from (
           select *, lag(number) over of_account as before, lag(event_id) over of_account as before_id
           from chain.event_account window of_account as (partition by account order by event_id)
         ) counted
         left join lateral (
           select life from chain.account
           where counted.before is null and address = counted.account and life <= counted.event_id
           order by life desc limit 1) begun on true
         where counted.number <> 1
           and (counted.number <> counted.before + 1
             -- An account that is older than the history may start at any number, and so may one whose
             -- first events were in partitions that were dropped. Otherwise its life is named after its
             -- first event.
             or counted.before is null and (
               exists (select from chain.event where id = begun.life)
               or coalesce(begun.life, 0) % (1::bigint << 31) = 0
                 and (select history_from = 0 from chain.cursor)))
           and not exists (select from chain.gap
             where state = 'lost' and counted.before_id >> 31 < from_slot
               and to_slot < counted.event_id >> 31)",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (account, event, number, before) in broken {
        let account = base58(&account);
        comparison.add_difference(format!(
            "account {account}: event number {number} (event {event}) follows event number {before}"
        ));
    }
    Ok(())
}

/// Compares the last event number of each open account with the account's counter.
pub async fn compare_last(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut accounts = sqlx::query_as::<_, (Vec<u8>, i64, Vec<u8>, Option<String>)>(
        "select address, life, data, number::text
         from chain.account
         left join lateral (select * from chain.event_account where account = address
                            order by event_id desc limit 1) last on true
         where is_current and closed_slot is null
           -- Events in lost slots, and those in partitions that were dropped, are missing.
           and not exists (select from chain.gap
             where state = 'lost' and coalesce(event_id >> 31, 0) < to_slot)
           and (event_id is not null or life = 0
             or (select min(id) from chain.event) < life)",
    )
    .fetch(&mut *comparison.connection);
    let mut differences = vec![];
    while let Some((address, life, data, last)) = accounts.try_next().await? {
        // The comparison of accounts reports the ones that cannot be decoded.
        let Ok(account) = Account::decode(&data) else {
            continue;
        };
        let counter = account.seq().to_string();
        // The mirror may have no event of an account that is older than the mirror.
        let is_right = last.as_ref().map_or(life == 0, |last| *last == counter);
        if !is_right {
            let (address, last) = (base58(&address), last.unwrap_or("none".into()));
            differences.push(format!(
                "account {address}: last event number is {last}, but the account's counter is \
                 {counter}"
            ));
        }
    }
    drop(accounts);
    comparison.report.differences.extend(differences);
    Ok(())
}
