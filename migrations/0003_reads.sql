-- Indexes of the API's further lists, and its rankings.

-- Seats of an oracle, and the windows for which it was silent.
create index seat_oracle on chain.seat (oracle, address, life);
create index penalty_oracle on chain.penalty (oracle, model, event_id);

-- Deposits and withdrawals of a wallet, from which its shares and their costs derive.
create index event_provider on chain.event ((body ->> 'owner'), id)
  where name in ('Deposited', 'WithdrawRequested', 'WithdrawCancelled', 'Withdrawn');

-- What a wallet can collect.
create index market_creator_credit on chain.market (creator, address)
  where ended_slot is null and 0 < creator_credit;
create index receipt_challenger_credit on chain.receipt (challenger, address)
  where ended_slot is null and 0 < challenger_credit;

-- Calendar: what ends next. A policy ends with the last window of its terms, one on probation included.
create index withdraw_request_unlock on chain.withdraw_request (unlock_at, address, life)
  where ended_slot is null;
create index withdraw_request_lapse on chain.withdraw_request (lapses_at, address, life)
  where ended_slot is null;
create index policy_end on chain.policy
  ((greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint)), address, life)
  where status in ('pending', 'open');
create index policy_model_end on chain.policy
  (model, (greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint)), address, life)
  where status in ('pending', 'open');

-- Rankings that the API computes from `chain.hourly`, one generation after the other. A generation is kept for
-- 10 minutes after the next one, so that the pages of a list are of one generation.
create table app.ranking_generation (
  generation bigint generated always as identity primary key,
  -- The mirror from which it was computed.
  epoch bigint not null,
  slot bigint not null,
  seq bigint not null,
  block_time timestamptz not null,
  made_at timestamptz not null default clock_timestamp()
);

-- The first 1,000 subjects of each ranking.
create table app.ranking (
  generation bigint not null references app.ranking_generation on delete cascade,
  -- bettors, underwriters, oracles or models.
  board text not null,
  -- day, week or all.
  period text not null,
  mint bytea not null,
  -- From 1, without gaps.
  rank bigint not null,
  -- Wallet of a bettor or oracle; vault; model.
  subject bytea not null,
  -- Value by which the ranking is sorted: profit or volume in base units, return in millionths, or receipts.
  value numeric not null,
  -- Stakes that were realised, assets of the vault, slashes, or number of bets and policies.
  basis numeric not null,
  primary key (generation, board, period, mint, rank)
);

grant select, insert, delete on app.ranking_generation, app.ranking to driftshield_api;
