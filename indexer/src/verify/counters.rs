//! Comparison of event numbers with the accounts' counters. The number of an event is its count
//! among the events of one account, from 1.

use driftshield_sdk::Account;

use super::comparison::Comparison;

/// Checks that the event numbers of each account have no gaps. The numbers start again at 1 if the
/// account is closed and recreated.
pub async fn compare_sequences(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let broken: Vec<(String, i64, String, String)> = sqlx::query_as(
        "select counted.account, counted.seq, counted.number::text,
           coalesce(counted.before::text, 'none')
         from (
           select *, lag(number) over (partition by account order by seq) as before
           from chain.event_account
         ) counted
         left join chain.account mirrored on mirrored.address = counted.account,
         chain.cursor
         where counted.number <> 1 and counted.number is distinct from counted.before + 1
           -- An account older than the mirror may start at any number.
           and (counted.before is not null or mirrored.first_slot >= cursor.history_from)",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (account, seq, number, before) in broken {
        comparison.add_difference(format!(
            "account {account}: event number {number} (seq {seq}) follows event number {before}"
        ));
    }
    Ok(())
}

/// Compares the last event number of each open account with the account's counter.
pub async fn compare_last(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let accounts: Vec<(String, Vec<u8>, bool, Option<String>)> = sqlx::query_as(
        "select mirrored.address, mirrored.data, mirrored.first_slot >= cursor.history_from,
           (select counted.number::text from chain.event_account counted
            where counted.account = mirrored.address order by counted.seq desc limit 1)
         from chain.account mirrored, chain.cursor
         where mirrored.kind is not null and mirrored.closed_slot is null",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (address, data, has_full_history, last) in accounts {
        // The comparison of accounts reports the ones that cannot be decoded.
        let Ok(account) = Account::decode(&data) else {
            continue;
        };
        let counter = account.seq().to_string();
        match last {
            Some(last) if last == counter => {}
            None if !has_full_history => {}
            last => {
                let last = last.unwrap_or("none".into());
                comparison.add_difference(format!(
                    "account {address}: last event number is {last}, but the account's counter is \
                     {counter}"
                ));
            }
        }
    }
    Ok(())
}
