//! Comparison of the wallets that an event concerns without naming them: the creator of a market, the manager of
//! a vault, the challenger of a receipt, and the oracles that earn.

use super::{comparison::Comparison, oracles::EARNERS};
use crate::sql::built;

/// The wallets that are missing, or there without reason. The rows of markets and vaults name the creator and the
/// manager, and an earlier event names the challenger. The indexer may not have known them if the account is
/// older than the mirror, or if slots are lost or were dropped since it began.
fn differing() -> String {
    format!(
        "with {EARNERS}, known as (
           select id, event.name, body, account.address, account.kind, account.life,
             life <> 0 and (select min(id) from chain.event) <= life and not exists (
               select from chain.gap where state = 'lost' and life >> 31 < from_slot and to_slot < id >> 31)
               as is_sure
           from chain.event
           join chain.event_account on event_id = id
           join chain.account on account.address = event_account.account and life <= id
           where event.name in ('MarketSettled', 'FeesCollected', 'ManagerFeesCollected', 'ReceiptRuled',
               'ReceiptFinalized', 'ChallengeCollected', 'SlashesReturned')
             and kind in ('Market', 'Vault', 'Receipt')
             and not exists (select from chain.account later
               where later.address = account.address and account.life < later.life and later.life <= id)
         ), challenged as (
           select account, event_id, body ->> 'challenger' as wallet
           from chain.event join chain.event_account on event_id = id where name = 'ReceiptChallenged'
         ), due as (
           select known.id, 'creator' as role, public.base58(creator) as wallet, known.life <> 0 as is_sure
           from known join chain.market using (address, life)
           where name = 'MarketSettled' and body ->> 'state' <> 'open'
             or name = 'FeesCollected' and body ->> 'payee' = 'creator'
           union all
           select known.id, 'manager', public.base58(manager), known.life <> 0
           from known join chain.vault using (address, life)
           where name = 'ManagerFeesCollected' and body ->> 'payee' = 'manager'
           union all
           select id, 'challenger', (
               select wallet from challenged
               where account = address and life <= event_id and event_id < id order by event_id desc limit 1),
             is_sure
           from known
           where kind = 'Receipt' and (name <> 'ChallengeCollected' or body ->> 'payee' = 'challenger')
           union all
           select id, 'earner', oracle, is_sure from earner
         ), stored as (
           select event_id as id, role, public.base58(wallet) as wallet
           from chain.event_party where not is_named
         )
         select id, role, 'is not' from due
         where is_sure and wallet is not null
           and not exists (select from stored
             where (stored.id, stored.role, stored.wallet) = (due.id, due.role, due.wallet))
         union
         select id, role, 'is wrongly' from stored
         where not exists (select from due
             where (stored.id, stored.role) = (due.id, due.role)
               and (stored.wallet = due.wallet or not is_sure))"
    )
}

pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let differing: Vec<(i64, String, String)> = sqlx::query_as(built(differing()))
        .fetch_all(&mut *comparison.connection)
        .await?;
    for (event, role, what) in differing {
        comparison.add_difference(format!(
            "event {event}: its {role} {what} in chain.event_party"
        ));
    }
    Ok(())
}
