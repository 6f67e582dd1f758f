//! Comparison of what lists are read from with the rows of the accounts: asks and ranks.

use super::comparison::{Comparison, base58};

/// Compares the asks of open positions with their rows.
const ASKS: &str = "
    select coalesce(given.address, known.address)
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
    select coalesce(m.address, known.address)
    from chain.market m full join chain.market_volume known using (address, life)
    where (m.model, m.creator, m.status, m.close_ts, m.total / power(10::numeric, m.decimals))
      is distinct from (known.model, known.creator, known.status, known.close_ts, known.rank)";

/// Compares the current ranks of vaults with their rows.
const ASSETS: &str = "
    select coalesce(v.address, known.address)
    from chain.vault v full join chain.vault_assets known using (address, life)
    where (v.manager, v.mint, v.ended_slot is not null,
        case when v.ended_slot is null then v.assets / power(10::numeric, v.decimals) else 0 end)
      is distinct from (known.manager, known.mint, known.is_closed, known.rank)";

pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    for (table, sql) in [
        ("ask", ASKS),
        ("market_volume", VOLUMES),
        ("vault_assets", ASSETS),
    ] {
        let differing: Vec<Vec<u8>> = sqlx::query_scalar(sql)
            .fetch_all(&mut *comparison.connection)
            .await?;
        for address in differing {
            let address = base58(&address);
            comparison.add_difference(format!("account {address}: chain.{table} differs"));
        }
    }
    Ok(())
}
