//! Comparison of what lists are read from with the rows of the accounts: asks and ranks.

use super::comparison::{Comparison, base58};
use crate::sql::built;

/// Compares the asks of open positions with their rows.
const ASKS: &str = "
    select coalesce(given.address, known.address), array_remove(array[
      case when given.address is null or known.address is null then 'row' end,
      case when given.market is distinct from known.market then 'market' end,
      case when given.reports is distinct from known.reports then 'reports' end,
      case when given.price is distinct from known.price then 'price' end,
      case when given.amount is distinct from known.amount then 'amount' end,
      case when given.valid_until is distinct from known.valid_until then 'valid_until' end], null)
    from (
      select p.address, p.life, (ask.number - 1)::smallint as outcome, p.market, p.is_stale,
             (body ->> 'reports')::bigint as reports, (body ->> 'price')::bigint as price,
             (body ->> 'amount')::numeric as amount, (body ->> 'valid_until')::bigint as valid_until
      from chain.position p, jsonb_array_elements(p.asks) with ordinality as ask (body, number)
      where p.ended_slot is null and body ->> 'amount' <> '0'
    ) given
    full join (
      select ask.*, p.is_stale from chain.ask left join chain.position p using (address, life)
    ) known using (address, life, outcome)
    where (given.market, given.reports, given.price, given.amount, given.valid_until)
        is distinct from (known.market, known.reports, known.price, known.amount, known.valid_until)
      and coalesce(given.is_stale, known.is_stale, false) = false";

/// Compares the current ranks of markets with their rows.
const VOLUMES: &str = "
    select coalesce(m.address, known.address), array_remove(array[
      case when m.address is null or known.address is null then 'row' end,
      case when m.model is distinct from known.model then 'model' end,
      case when m.creator is distinct from known.creator then 'creator' end,
      case when m.status is distinct from known.status then 'status' end,
      case when m.close_ts is distinct from known.close_ts then 'close_ts' end,
      case when m.total / power(10::numeric, m.decimals) is distinct from known.rank then 'rank' end], null)
    from chain.market m full join chain.market_volume known using (address, life)
    where (m.model, m.creator, m.status, m.close_ts, m.total / power(10::numeric, m.decimals))
      is distinct from (known.model, known.creator, known.status, known.close_ts, known.rank)";

/// Compares the current ranks of vaults with their rows.
const ASSETS: &str = "
    select coalesce(v.address, known.address), array_remove(array[
      case when v.address is null or known.address is null then 'row' end,
      case when v.manager is distinct from known.manager then 'manager' end,
      case when v.mint is distinct from known.mint then 'mint' end,
      case when (v.ended_slot is not null) is distinct from known.is_closed then 'is_closed' end,
      case when case when v.ended_slot is null then v.assets / power(10::numeric, v.decimals) else 0 end
        is distinct from known.rank then 'rank' end], null)
    from chain.vault v full join chain.vault_assets known using (address, life)
    where (v.manager, v.mint, v.ended_slot is not null,
        case when v.ended_slot is null then v.assets / power(10::numeric, v.decimals) else 0 end)
      is distinct from (known.manager, known.mint, known.is_closed, known.rank)";

/// Columns of the ranks that never change in a life.
const CONSTANT: [(&str, &[&str]); 2] = [
    ("market_volume", &["model", "creator", "close_ts"]),
    ("vault_assets", &["manager", "mint"]),
];

/// Compares the times for which ranks were or are valid: each ends where the next one begins, unless slots were
/// undone in between or the feed no longer tells. Replaced ranks have what never changes from the current one.
fn periods(table: &str, constant: &[&str]) -> String {
    let constant: Vec<_> = constant
        .iter()
        .map(|name| format!("('{name}', not is_whole or coalesce(past.{name} = now.{name}, true))"))
        .collect();
    format!(
        "select past.address, 'chain.{table}_past', rule.name
         from (
           select *, lead(valid_from) over (partition by address, life order by valid_from) as next,
             -- Before all accounts are read, they can be incomplete.
             not exists (select from chain.feed where kind = 'settled' and past.valid_from <= seq)
               and valid_from >= (select min(seq) from chain.feed) as is_whole
           from chain.{table}_past past) past
         left join chain.{table} now using (address, life),
         lateral (select coalesce(next, now.valid_from) as valid_from) later,
         lateral (values
           ('valid_from', past.valid_from < past.valid_to),
           ('valid_to', past.valid_to <= (select seq from chain.cursor)
             and coalesce(past.valid_to <= later.valid_from, true)
             and (coalesce(past.valid_to = later.valid_from, true) or exists (
               select from chain.feed where kind = 'rollback' and seq between past.valid_to and later.valid_from)
               or past.valid_to < (select min(seq) from chain.feed))),
           {constant}
         ) rule (name, is_right) where not is_right
         union all
         select address, 'chain.{table}', 'valid_from' from chain.{table}
         where (select seq from chain.cursor) < valid_from",
        constant = constant.join(", ")
    )
}

/// Replaced ranks of markets that the stakes in the market never had, as far as the bets tell, and states that a
/// market can't leave.
const PAST_VOLUMES: &str = "
    select past.address, 'chain.market_volume_past', rule.name
    from chain.market_volume_past past join chain.market using (address, life), lateral (values
      ('rank', past.rank = 0 or life < (select min(id) from chain.event) or exists (
          select from chain.gap where state = 'lost' and life >> 31 <= to_slot)
        or exists (select from chain.odds where odds.market = past.address and life <= event_id
          and (select sum(pool) from unnest(odds.pools) pool) / power(10::numeric, decimals) = past.rank)),
      ('status', past.status = 'open' or past.status = market.status)
    ) rule (name, is_right)
    where not is_right
      -- Slots that were undone since had other bets, and before all accounts are read, they can be incomplete.
      and past.valid_from >= (select min(seq) from chain.feed) and not exists (
        select from chain.feed where kind in ('rollback', 'settled') and past.valid_from <= seq)";

pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    for (table, sql) in [
        ("ask", ASKS),
        ("market_volume", VOLUMES),
        ("vault_assets", ASSETS),
    ] {
        let differing: Vec<(Vec<u8>, Vec<String>)> = sqlx::query_as(sql)
            .fetch_all(&mut *comparison.connection)
            .await?;
        for (address, columns) in differing {
            let (address, columns) = (base58(&address), columns.join(", "));
            comparison.add_difference(format!(
                "account {address}: columns of chain.{table} differ: {columns}"
            ));
        }
    }
    let mut periods: Vec<_> = CONSTANT
        .map(|(table, constant)| periods(table, constant))
        .into();
    periods.push(PAST_VOLUMES.to_owned());
    for sql in periods {
        let differing: Vec<(Vec<u8>, String, String)> = sqlx::query_as(built(sql))
            .fetch_all(&mut *comparison.connection)
            .await?;
        for (address, table, column) in differing {
            let address = base58(&address);
            comparison.add_difference(format!(
                "account {address}: columns of {table} differ: {column}"
            ));
        }
    }
    Ok(())
}
