-- A mirror of 100,000 markets and 1,000,000 positions, and of what belongs to as many.
--
-- Addresses have no order in common with lives, as on chain. Owners, models, creators and vaults with the
-- number 0, and the newest market, have very many rows: a list that reads more than its page then reads
-- very much more. Those with the number 2, and the market before, have some hundreds, and Postgres does
-- not know it. Most accounts are closed.

-- The address of the i-th account of a type.
create function public.address_of(type integer, i bigint) returns bytea
language sql immutable parallel safe as
  'select int4send(type) || int8send(i * 2654435761 % 4294967296) || ''\x0000000000000000000000000000000000000000''';

-- Id of the i-th event: four in a slot.
create function public.id_of(i bigint) returns bigint
language sql immutable parallel safe as 'select ((2034652 + i / 4) << 31) + (i % 4 << 12)';

-- A number below `n`, as good as random.
create function public.any_of(i bigint, n bigint) returns bigint
language sql immutable parallel safe as 'select (i * 2654435761 % 4294967291) % n';

-- Columns that no plan depends on are empty.
do $$
declare
  empty record;
begin
  for empty in
    select c.oid::regclass as relation, a.attname as name,
           case format_type(a.atttypid, null)
             when 'bytea' then '''\x' || repeat('00', 32) || ''''
             when 'jsonb' then '''{}'''
             when 'text' then ''''''
             when 'boolean' then 'false'
             when 'timestamp with time zone' then 'now()'
             else case when 0 < a.attndims then '''{}''' else '0' end
           end as value
    from pg_class c join pg_attribute a on a.attrelid = c.oid and 0 < a.attnum
    where c.relnamespace = 'chain'::regnamespace and c.relkind in ('r', 'p')
      and a.attnotnull and not a.atthasdef and a.attidentity = ''
  loop
    execute format('alter table %s alter column %I set default %s',
      empty.relation, empty.name, empty.value);
  end loop;
end
$$;

select chain.create_partitions(2034652), chain.create_partitions(2300000);

insert into chain.cursor (epoch, slot, blockhash, block_time, seq, finalized_slot, tip_slot, tip_at, as_of,
  settled_slot, history_from, is_following)
values (1, 2300000, '\x00', now(), 200000, 2299970, 2300000, now(), now(), 2300000, 2034652, true);

insert into chain.collateral (address, life, is_current, mint, terms, token_program, decimals)
select address_of(0, i), id_of(i), true, address_of(0, 100 + i), '{}', 'spl_token', 6
from generate_series(0, 2) i;

-- part
insert into chain.model (address, life, is_current, slot, owner, bond_mint, tenures, pot, metric, status, name, reports, window_secs)
select address_of(1, i), id_of(i), true, 2300000,
       address_of(10, case when i % 10 = 1 then 0 when i % 20 = 2 then 2 else 3 + i % 2000 end),
       address_of(0, 100 + i % 3), '[]', '{"waiting": "0", "unearned": "0", "until": "0"}',
       case when i < 30 then 'error_rate'
         else (array['psi', 'jensen_shannon', 'kolmogorov_smirnov', 'total_variation'])[1 + any_of(i, 4)] end,
       case when i < 60 then 'retired' else 'active' end,
       (array['Fraud', 'Credit', 'Churn', 'Employment'])[1 + any_of(i, 4)] || ' model ' || i, 3, 60
from generate_series(0, 4999) i;

insert into chain.seat (address, life, is_current, slot, model, oracle)
select address_of(15, i), id_of(i), true, 2300000, address_of(1, i),
       address_of(13, case when i % 10 = 1 then 0 when i % 50 = 2 then 2 else 3 + i % 2000 end)
from generate_series(0, 4999) i;

insert into chain.receipt (address, life, is_current, slot, ended_slot, status, model, "window", state, values, samples, evidence)
select address_of(2, i), id_of(i), true, 2300000, 2300000,
       case when percent < 2 then 'collecting' when percent < 4 then 'proposed' when percent < 6 then 'challenged'
         when percent < 10 then 'void' when percent < 15 then 'thin' else 'final' end,
       address_of(1, case when i < 5000 then 0 when i % 500 = 9 then 2 else i % 5000 end),
       case when i < 5000 or i % 500 = 9 then i else i / 5000 end, 'final', '{1}', '{1}', array[address_of(14, i)]
from generate_series(0, 199999) i, lateral (select any_of(i, 100) as percent) p;

insert into chain.series (address, life, is_current, slot, model, page, entries)
select address_of(3, i), id_of(i), true, 2300000, address_of(1, greatest(0, i - 20)),
       case when i <= 20 then i else 0 end, array_fill((2::numeric * 2 ^ 56)::numeric(20), array[256])
from generate_series(0, 5019) i;

insert into chain.vault (address, life, is_current, slot, ended_slot, manager, mint, terms, next_terms, assets, decimals)
select address_of(4, i), id_of(i), true, 2300000, case when i % 50 = 7 then 2300000 end,
       address_of(11, case when i % 4 = 0 then 0 else 1 + i % 500 end), address_of(0, 100 + i % 3), terms, terms,
       any_of(i, 1000000), 6
from generate_series(0, 1999) i,
     (select '{"min_cover": "1", "max_cover": "1", "min_duration_secs": "1", "max_duration_secs": "1",
       "base_bps": 1, "slope1_bps": 1, "slope2_bps": 1, "kink_bps": 1, "risk_slope_bps": 1,
       "persistence_bps": [1, 1, 1, 1], "max_utilisation_bps": 1, "cancel_fee_bps": 1}'::jsonb) t (terms);

insert into chain.exposure (address, life, is_current, slot, ended_slot, vault, model)
select address_of(5, i), id_of(i), true, 2300000, case when i % 3 = 1 then 2300000 end,
       address_of(4, case when i % 5 = 0 then 0 when i % 50 = 7 then 2 else i % 2000 end),
       address_of(1, case when i % 50 = 2 then 0 when i % 50 = 3 then 2 else i % 5000 end)
from generate_series(0, 9999) i;

insert into chain.withdraw_request (address, life, is_current, slot, ended_slot, status, vault, owner, unlock_at, lapses_at)
select address_of(6, i), id_of(100000 + i), true, 2300000, case when i % 100 <> 7 then 2300000 end,
       case when i % 100 <> 7 then 'paid' else 'open' end,
       address_of(4, case when i % 10 = 7 then 0 when i % 500 = 11 then 2 else any_of(i, 2000) end),
       address_of(12, case when i % 20 = 7 then 0 when i % 500 = 13 then 2 else i % 50000 end),
       4000000000 + any_of(i, 1000000), 4001000000 + any_of(i, 1000000)
from generate_series(0, 99999) i;

insert into chain.policy (address, life, is_current, slot, ended_slot, status, vault, model, holder, pending, term)
select address_of(7, i), id_of(100000 + i), true, 2300000, case when i % 1000 < 980 then 2300000 end,
       case when i % 1000 < 3 then 'void' when i % 1000 < 6 then 'paid' when i % 1000 < 20 then 'cancelled'
         when i % 1000 < 980 then 'expired' when i % 1000 < 983 then 'pending' else 'open' end,
       address_of(4, case when i % 10 = 7 then 0 when i % 500 = 11 then 2 else any_of(i, 2000) end),
       address_of(1, case when i % 10 = 3 then 0 when i % 500 = 14 then 2 else any_of(i, 5000) end),
       address_of(12, case when i % 20 = 7 then 0 when i % 500 = 13 then 2 else i % 50000 end),
       '{"premium": "0", "start": "0", "end": "0", "from_window": "0"}',
       jsonb_build_object('part', '0', 'start', '0', 'end', (4000000000 + any_of(i, 1000000))::text)
from generate_series(0, 99999) i;

insert into chain.vault_assets (address, life, manager, mint, is_closed, rank, valid_from)
select address, life, manager, mint, ended_slot is not null,
       case when ended_slot is null then assets / 1000 else 0 end, 0
from chain.vault;

insert into chain.vault_assets_past
select address, life, manager, mint, is_closed, rank, 1, 1000 from chain.vault_assets;

-- part
insert into chain.market (address, life, is_current, slot, ended_slot, status, creator, model, close_ts, thresholds,
  pools, total, threshold_count, aggregate, state, decimals, token_program, question)
select address_of(8, i), id_of(i), true, 2300000, case when status <> 'open' then 2300000 end, status,
       address_of(11, case when i % 10 = 1 then 0 when i % 500 = 2 then 2 else 3 + i % 20000 end),
       address_of(1, case when i % 5 = 4 then 0 when i % 500 = 3 then 2 else i % 5000 end), 1700000000 + i * 60 + any_of(i, 60),
       '{200000, 500000}', '{1000000, 1000000, 1000000}', 3000000, 2, 'max', status, 6, 'spl_token', 'How far will it drift?'
from generate_series(0, 99999) i,
     lateral (select case when 99000 <= i then 'open' when i % 500 < 2 then 'void' when i % 500 < 4 then 'cancelled'
       else 'resolved' end as status) s;

insert into chain.position (address, life, is_current, slot, ended_slot, status, market, owner, stakes, asks)
select address_of(9, i), id_of(100000 + i), true, 2300000, case when closed then 2300000 end,
       case when closed then 'claimed' else 'open' end, address_of(8, market),
       address_of(12, case when i % 50 = 1 then 0 when i % 2500 = 2 then 2 else 3 + i % 100000 end), '{1000000, 0, 0}',
       case when i % 100 = 0 or i % 2500 = 1 then jsonb_build_array(
         jsonb_build_object('amount', '1000', 'price', 500 + any_of(i, 400), 'valid_until', '4000000000', 'reports', 2 + i % 200 / 100),
         jsonb_build_object('amount', '0', 'price', 0, 'valid_until', '0', 'reports', 0)) else '[]' end
from generate_series(0, 999999) i,
     lateral (select case when i % 20 = 0 or i % 5000 = 2 then 99999 when i % 2500 = 1 then 99998
       else any_of(i, 100000) end) m (market),
     lateral (select market < 99000) c (closed);

insert into chain.ask (address, life, outcome, market, reports, price, amount, valid_until)
select address, life, 0, market, (asks->0->>'reports')::bigint, (asks->0->>'price')::bigint, 1000, 4000000000
from chain.position where ended_slot is null and asks <> '[]';

insert into chain.market_volume (address, life, model, creator, status, close_ts, rank, valid_from)
select address, life, model, creator, status, close_ts,
       any_of(i, 1000000) / case status when 'open' then 1000 else 1 end, 1000 + i
from chain.market join generate_series(0, 99999) i on address = address_of(8, i);

insert into chain.market_volume_past
select address, life, model, creator, status, close_ts, rank, 1, valid_from
from chain.market_volume where valid_from % 10 = 0;

-- part
insert into chain.event (id, slot, signature, name, body, data, block_time)
select id_of(i), 2034652 + i / 4, decode(repeat('00', 64), 'hex'),
       case when i % 100000 = 7 then 'ConfigUpdated' when i % 10 = 3 then 'MarketCreated' else 'BetPlaced' end,
       '{"market": "", "amount": "1000000", "outcome": 1, "pool": "1000000", "total": "3000000"}',
       decode(repeat('00', 150), 'hex'), now()
from generate_series(0, 499999) i;

insert into chain.event_account (account, event_id, number)
select address, id_of(i), 1 + i
from generate_series(0, 499999) i,
     lateral (values (address_of(8, case when i % 5 = 0 then 99999 when i % 1000 = 2 then 99998 else any_of(i, 100000) end)), (address_of(9, i)),
       (address_of(1, case when i % 5 = 1 then 0 when i % 1000 = 2 then 2 else any_of(i, 5000) end))) a (address);

insert into chain.event_party (wallet, event_id, role)
select address_of(12, case when i % 50 = 1 then 0 when i % 1000 = 2 then 2 else 3 + i % 100000 end), id_of(i), 'owner'
from generate_series(0, 499999) i;

insert into chain.odds (market, event_id, block_time, pools)
select address_of(8, case when i % 5 = 0 then 99999 when i % 1000 = 2 then 99998 else any_of(i, 100000) end), id_of(99999 + i),
       now() - (249999 - i) * interval '1 minute', '{1, 1, 1}'
from generate_series(0, 249999) i;

-- Each of 100,000 wallets has ten hours, each model and vault has some hundreds.
insert into chain.hourly (kind, subject, mint, hour, bets, staked, claims, settled, payouts, earnings)
select 'wallet', address_of(12, i % 100000), address_of(0, 100 + i % 100000 % 3),
       date_trunc('hour', now()) - (i / 100000 * 19 + i % 19) * interval '1 hour', 1, 1000000, 1, 1000000,
       any_of(i, 2000000), 1
from generate_series(0, 999999) i;

insert into chain.hourly (kind, subject, mint, hour, bets, staked, assets, leaving, shares)
select kind, address_of(type, i % 1000), address_of(0, 100 + i % 1000 % 3),
       date_trunc('hour', now()) - i / 1000 * interval '1 hour', 1, 1000000,
       1000000 + any_of(i, 1000), 0, 1000000000
from generate_series(0, 299999) i, (values ('model', 1), ('vault', 4)) k (kind, type);

insert into chain.sale (market, event_id, outcome, amount, price, paid, seller_total)
select address_of(8, case when i % 5 = 0 then 99999 when i % 1000 = 2 then 99998 else any_of(i, 100000) end), id_of(99999 + i), 0, 1, 900, 1, 0
from generate_series(0, 24999) i;

insert into chain.penalty (model, event_id, oracle, "window", amount)
select address_of(1, i % 5000), id_of(240000 + i), address_of(13, 0), i, 1 from generate_series(0, 24999) i;

insert into chain.capital (vault, event_id, block_time, assets)
select address_of(4, case when i % 5 = 0 then 0 when i % 500 = 1 then 2 else i % 2000 end), id_of(2000 + i), now(), any_of(i, 1000000)
from generate_series(0, 99999) i;

insert into chain.policy_payout (policy, event_id, amount)
select address_of(7, i), id_of(200000 + i), 1 from generate_series(0, 4999) i;

insert into chain.feed (seq, epoch, slot, kind, event_id, channels)
select 100000 + i, 1, 2034652 + (300000 + i) / 4, case when i = 50000 then 'rollback' else 'event' end, id_of(300000 + i),
       array['market:' || i]
from generate_series(1, 100000) i;
