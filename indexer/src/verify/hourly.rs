//! Comparison of the totals by hour with the fields of the events.
//!
//! Events don't say everything: the token of a market, the model of a sale, the oracles that earn. The rows of
//! the accounts do. The indexer had no such row if the account is older than the mirror (its life is 0), and
//! then counted the event without its token or its model. Such shares are loose: a total may lack or contain
//! them. All others must be in the total.

mod rules;

use super::{comparison::Comparison, oracles::EARNERS};
use crate::sql::built;

/// Measures that don't add up, with their columns in `chain.hourly`.
const LATEST: &str = "array['drift_max', 'drift', 'drift_window', 'assets', 'leaving', 'shares']";

/// Common table expressions. `counted` has what each event adds to each subject, with whether the indexer must
/// have known the subject and the token. `reported` has the measures that don't add up. `scope` tells which
/// hours can be compared: totals outlive the events that are dropped.
fn counted() -> String {
    format!(
        "{EARNERS}, account as (
           select *, lead(life) over (partition by address order by life) as next
           from (
             select address, life, 1 as place, mint, public.base58(model) as model from chain.market
             union all select address, life, 2, mint, null from chain.vault
             union all select address, life, 3, bond_mint, null from chain.model) named
         ), said as (
           -- A market or vault comes before the model.
           select distinct on (event_id) event_id, mint, model, life <> 0 as is_sure
           from chain.event_account known join account on address = known.account
             and life <= event_id and (next is null or event_id < next)
           order by event_id, place
         ), event as (
           select id, name, body, coalesce(date_trunc('hour', block_time, 'UTC'), '-infinity') as hour,
             coalesce(mint, decode(repeat('00', 32), 'hex')) as mint, model, coalesce(is_sure, false) as is_sure
           from chain.event left join said on event_id = id where name is not null
         ), claimed as (
           select distinct on (id) id, (select sum(stake) from unnest(stakes) stake) as stakes
           from chain.event join chain.event_account on event_id = id
           join chain.position on address = account and life <= id
           where name = 'Claimed' order by id, life desc
         ), rule as (
           select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
             as rule (name, state, kind, address, measure, amount)
         ), counted as (
           select event.id, kind,
             case address when '' then '' when $7 then coalesce(model, '') else body ->> address end as subject,
             mint, hour, measure,
             case when amount = '' then 1
               when amount = $8 then coalesce(stakes, 0)
               when amount like '?%' then (body ->> substr(amount, 2) <> '0')::int
               else (body ->> amount)::numeric end as value,
             address <> $7 or is_sure as has_subject, is_sure as has_mint
           from event join rule using (name) left join claimed using (id)
           where state in ('', body ->> 'state')
           union all
           select id, kind, subject, mint, hour, measure, value, true, is_sure
           from event, jsonb_array_elements(body -> 'penalties') penalty (penalty),
             lateral (values ('platform', ''), ('model', body ->> 'model'), ('wallet', penalty ->> 'oracle'))
               of (kind, subject),
             lateral (values ('silences', 1), ('penalties', (penalty ->> 'amount')::numeric))
               share (measure, value)
           where body ? 'penalties'
           union all
           select id, kind, subject, mint, hour, measure, value, earner.is_sure, event.is_sure
           from earner join event using (id),
             lateral (values ('platform', ''), ('model', body ->> 'model'), ('wallet', coalesce(oracle, '')))
               of (kind, subject),
             lateral (values ('earnings', 1), ('earned', part)) share (measure, value)
         ), reported as (
           select id, 'model' as kind, body ->> 'model' as subject, mint, hour, is_sure, measure, value
           from event, lateral (values ('drift_max', body -> 'value'), ('drift', body -> 'value'),
             ('drift_window', body -> 'window')) field (measure, value)
           where name in ('ReceiptRuled', 'ReceiptFinalized') and body ->> 'state' = 'final'
           union all
           select id, 'vault', body ->> 'vault', mint, hour, is_sure, key, value
           from event, jsonb_each(body -> 'totals')
           where body ? 'vault' and body ? 'totals' and key in ('assets', 'leaving', 'shares')
         ), subject as materialized (
           select subject as key, public.base58(subject) as subject
           from (select distinct subject from chain.hourly) subjects
         ), total as (
           select kind, subject.subject, mint, hour, measure, value::numeric
           from chain.hourly join subject on key = hourly.subject,
             lateral jsonb_each_text(to_jsonb(hourly) - array['kind', 'subject', 'mint', 'hour'])
               total (measure, value)
         ), scope as (
           select first, coalesce(first <= (
             select min(hour) from chain.hourly where hour <> '-infinity'), true) as is_whole
           from (select date_trunc('hour', min(block_time), 'UTC') as first from chain.event) dated
         )"
    )
}

/// Compares the measures that add up: for each subject, and for each token of a subject.
fn compare_sums() -> String {
    format!(
        "with {counted}, share as (
           select false as is_of_token, kind, subject, ''::bytea as mint, hour, measure, value, has_subject as is_sure
           from counted
           union all
           select true, kind, subject, mint, hour, measure, value, has_subject and has_mint from counted
         ), due as (
           select is_of_token, kind, subject, mint, hour, measure, sum(value) as value
           from share where is_sure group by 1, 2, 3, 4, 5, 6
         ), loose as (
           select is_of_token, kind, hour, measure, sum(value) as value
           from share where not is_sure group by 1, 2, 3, 4
         ), stored as (
           select is_of_token, kind, subject, case when is_of_token then mint else '' end as mint, hour, measure,
             sum(value) as value
           from total, (values (false), (true)) level (is_of_token)
           where measure <> all ({LATEST})
           group by 1, 2, 3, 4, 5, 6
         )
         select kind, subject, case when is_of_token then mint end, hour::text, measure,
           coalesce(due.value, 0)::text, coalesce(stored.value, 0)::text
         from due full join stored using (is_of_token, kind, subject, mint, hour, measure)
         left join loose using (is_of_token, kind, hour, measure)
         where (coalesce(stored.value, 0) < coalesce(due.value, 0)
             or coalesce(due.value, 0) + coalesce(loose.value, 0) < coalesce(stored.value, 0))
           and exists (select from scope where is_whole or first < hour)
         order by is_of_token, 1, 2, 3, 4, 5 limit 200",
        counted = counted()
    )
}

/// Compares the highest and the latest measures.
fn compare_latest() -> String {
    format!(
        "with {counted}, due as (
           select kind, subject, hour, measure,
             case measure when 'drift_max' then max((value #>> '{{}}')::numeric)
               else (array_agg((value #>> '{{}}')::numeric order by id desc))[1] end as value,
             case when bool_and(is_sure) and count(distinct mint) = 1 then (array_agg(mint))[1] end as mint
           from reported group by 1, 2, 3, 4
         ), stored as (
           select kind, subject, hour, measure, array_agg(value) as values, array_agg(mint) as mints
           from total where value is not null and measure = any ({LATEST})
           group by 1, 2, 3, 4
         )
         select kind, subject, due.mint, hour::text, measure, coalesce(due.value::text, 'no'),
           coalesce(array_to_string(stored.values, ', '), 'missing')
         from due full join stored using (kind, subject, hour, measure)
         where (due.value is null or stored.values is null or due.value <> all (stored.values)
             or stored.mints <> array[due.mint])
           and exists (select from scope where is_whole or first < hour)
         order by 1, 2, 3, 4, 5 limit 200",
        counted = counted()
    )
}

/// Compares the rows that undo the slots that can be undone: those that the events of these slots changed must be
/// there, each with what the row had before the slot, or, if it began in the slot, after it.
fn compare_versions() -> String {
    format!(
        "with {counted}, undoable as (
           select greatest(finalized_slot, history_from - 1) as after, slot as last from chain.cursor
         ), recent as (
           select counted.* from counted, undoable where undoable.after < id >> 31
         ), of_hour as (
           select * from reported where hour in (select hour from chain.hourly_version)
         ), version as (
           select version.slot, existed, kind, public.base58(subject) as subject, mint, hour, to_jsonb(version) as row
           from chain.hourly_version version, undoable
           -- Those of slots that were finalized meanwhile go with the next slot.
           where undoable.after < version.slot
         ), kept as (
           select version.slot, existed, kind, subject, mint, hour, measure, value::numeric
           from version, lateral jsonb_each_text(
             row - array['slot', 'existed', 'kind', 'subject', 'mint', 'hour']) total (measure, value)
         ), due as (
           select kept.slot, kept.kind, kept.subject, kept.mint, kept.hour, measure, kept.value,
             total.value - coalesce((select sum(recent.value) from recent
               where (recent.kind, recent.subject, recent.mint, recent.hour, recent.measure)
                   = (kept.kind, kept.subject, kept.mint, kept.hour, kept.measure)
                 and kept.slot + (not existed)::int <= id >> 31), 0) as due
           from kept join total using (kind, subject, mint, hour, measure)
           where measure <> all ({LATEST})
           union all
           select kept.slot, kept.kind, kept.subject, kept.mint, kept.hour, measure, kept.value,
             (select case kept.measure when 'drift_max' then max((of_hour.value #>> '{{}}')::numeric)
                else (array_agg((of_hour.value #>> '{{}}')::numeric order by id desc))[1] end
              from of_hour
              where (of_hour.kind, of_hour.subject, of_hour.mint, of_hour.hour, of_hour.measure)
                  = (kept.kind, kept.subject, kept.mint, kept.hour, kept.measure)
                and id >> 31 < kept.slot + (not existed)::int)
           from kept join total using (kind, subject, mint, hour, measure)
           where measure = any ({LATEST})
         )
         select kind, subject, mint, slot::text, measure, coalesce(due::text, 'null'),
           coalesce(value::text, 'null')
         from due where value is distinct from due
           -- What the indexer could not assign may be in another row.
           and not exists (select from recent where not (has_subject and has_mint))
         union all
         select kind, subject, mint, (id >> 31)::text, 'row', 'a', 'missing'
         -- A share of nothing changes no row.
         from recent where has_subject and has_mint and value <> 0
           and not exists (select from version
             where (version.kind, version.subject, version.mint, version.hour, version.slot)
                 = (recent.kind, recent.subject, recent.mint, recent.hour, id >> 31))
         union all
         select kind, subject, mint, version.slot::text, 'row', 'no', 'there'
         from version, undoable
         where undoable.last < version.slot
           or not exists (select from chain.hourly
             where (hourly.kind, public.base58(hourly.subject), hourly.mint, hourly.hour)
                 = (version.kind, version.subject, version.mint, version.hour))
         order by 1, 2, 3, 4, 5 limit 200",
        counted = counted()
    )
}

pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    for sql in [compare_sums(), compare_latest()] {
        for (kind, subject, mint, hour, measure, counted, stored) in
            differing(comparison, sql).await?
        {
            let token =
                mint.map(|mint| format!(" in the token {}", bs58::encode(mint).into_string()));
            let token = token.unwrap_or_default();
            comparison.add_difference(format!(
                "totals of {kind} {subject}{token} in the hour of {hour}: {measure} is {stored}, but the \
                 events count {counted}"
            ));
        }
    }
    for (kind, subject, _, slot, measure, counted, stored) in
        differing(comparison, compare_versions()).await?
    {
        comparison.add_difference(format!(
            "totals of {kind} {subject} kept to undo slot {slot}: {measure} is {stored}, but the events \
             count {counted}"
        ));
    }
    Ok(())
}

/// A total that differs: kind, subject, token, hour or slot, measure, what the events count, and what is stored.
type Total = (
    String,
    String,
    Option<Vec<u8>>,
    String,
    String,
    String,
    String,
);

async fn differing(
    comparison: &mut Comparison<'_>,
    sql: String,
) -> Result<Vec<Total>, sqlx::Error> {
    let [names, states, kinds, addresses, measures, amounts] = rules::columns();
    sqlx::query_as(built(sql))
        .bind(names)
        .bind(states)
        .bind(kinds)
        .bind(addresses)
        .bind(measures)
        .bind(amounts)
        .bind(rules::OF_MARKET)
        .bind(rules::STAKES)
        .fetch_all(&mut *comparison.connection)
        .await
}
