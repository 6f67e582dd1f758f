//! The oracles that earn pay, whom the events name only by their place in the model's list.

/// Common table expressions: `earner` has a row for each oracle that a settled receipt pays: the event's id, the
/// oracle in base58 (null if unknown), its part of the pay, and whether the indexer must have known it.
///
/// The list comes from the events that changed it. Before the first of them, it is the model's present one, or
/// what the first replacement says. The indexer can have had another list if it missed events, or the account.
pub const EARNERS: &str = "
    known_model as materialized (
      select public.base58(address) as model, life, oracles from chain.model
    ), change as (
      select body ->> 'model' as model, place, id, body -> 'terms' -> 'oracles' ->> place as oracle,
        null as before
      from chain.event, generate_series(0, 7) place
      where name in ('ModelRegistered', 'ModelUpdated')
      union all
      select body ->> 'model', (body ->> 'slot')::int, id, body ->> 'successor', body ->> 'oracle'
      from chain.event where name = 'OracleReplaced'
    ), listed as (
      select model, place, oracle, id as since, lead(id) over (partition by model, place order by id) as until
      from change
      union all
      select * from (
        select distinct on (model, place) model, place, before, 0::bigint, id
        from change order by model, place, id) before_first
      union all
      select model, place::int - 1, public.base58(oracle), 0, null
      from known_model, unnest(oracles) with ordinality listed (oracle, place)
      where not exists (select from change where change.model = known_model.model)
    ), paid as (
      select id, body ->> 'model' as model, (body ->> 'earners')::int as earners, (body ->> 'pay')::numeric as pay
      from chain.event
      where name in ('ReceiptRuled', 'ReceiptFinalized') and body ->> 'earners' <> '0'
    ), earner as (
      select paid.id, oracle, div(pay, count(*) over (partition by paid.id)) as part,
        oracle is not null and (0 < since or 0 < life) and not exists (
          select from chain.gap where state = 'lost' and to_slot < paid.id >> 31
            and greatest(since, life) >> 31 < from_slot) as is_sure
      from paid join generate_series(0, 7) place on paid.earners >> place & 1 = 1
      left join listed on listed.model = paid.model and listed.place = place.place
        and since < paid.id and (until is null or paid.id < until)
      left join known_model on known_model.model = paid.model
    )";
