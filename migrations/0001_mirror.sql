-- The mirror of the chain, and what people tell the API.
--
-- Schema `chain` is written by the indexer alone and can be rebuilt from the chain at any time.
-- Keys are base58, hashes hexadecimal digits, amounts base units, drift micro-units, times of the
-- program unix seconds. A row never moves back: a write applies only where its (slot, write_version)
-- is newer.

create schema chain;
create schema app;

-- How far the mirror has come. One row, once the first snapshot is in.
create table chain.cursor (
  only_row boolean primary key default true,
  -- The last slot applied; everything up to it is in.
  slot bigint not null,
  blockhash text not null,
  block_time timestamptz,
  -- The `seq` of the last event.
  seq bigint not null,
  finalized_slot bigint not null,
  -- Events of earlier slots may be missing.
  history_from bigint not null,
  updated_at timestamptz not null default now(),
  constraint cursor_only_row check (only_row)
);

-- Applied slots, to follow the chain of their hashes.
create table chain.slot (
  slot bigint primary key,
  blockhash text not null,
  parent_slot bigint not null,
  parent_blockhash text not null,
  block_time timestamptz
);

-- Every account of the program as its bytes are on chain. Closed ones stay, as they were last seen.
create table chain.account (
  address text primary key,
  -- Name of the account's type; null where this version doesn't know it.
  kind text,
  slot bigint not null,
  write_version bigint not null,
  -- The slot that the address was first seen in; less than the cursor's history_from where the
  -- account is older than the mirror.
  first_slot bigint not null,
  closed_slot bigint,
  lamports numeric(20) not null,
  data bytea not null
) with (fillfactor = 80);

create index account_kind on chain.account (kind) where closed_slot is null;

-- Every event in the order in which it was applied. `seq` has no gaps.
create table chain.event (
  seq bigint primary key,
  slot bigint not null,
  signature text not null,
  -- Position of the transaction in its block.
  transaction_index bigint not null,
  -- Position of the outer instruction in the transaction.
  instruction_index integer not null,
  -- Position of the event among the inner instructions of that.
  event_index integer not null,
  -- Null, like the body, where this version doesn't know the event.
  name text,
  body jsonb,
  -- The discriminator and what follows it.
  data bytea not null,
  block_time timestamptz,
  constraint event_identity unique (slot, signature, instruction_index, event_index)
);

create index event_name on chain.event (name, seq);

-- The accounts that an event speaks of, each with its number of this event.
create table chain.event_account (
  account text not null,
  seq bigint not null references chain.event on delete cascade,
  number numeric(20) not null,
  constraint event_account_key primary key (account, seq)
);

create index event_account_seq on chain.event_account (seq);
-- An address can be closed and made again: each life begins with number 1.
create index event_account_lives on chain.event_account (account, seq) where number = 1;

-- The pools of a market after each bet.
create table chain.odds (
  market text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- Stakes by outcome.
  pools numeric(20)[] not null,
  constraint odds_key primary key (market, seq)
);

-- How markets ended, by the event that ended them: an account that is closed in the slot in which it
-- settled is never seen settled.
create table chain.settlement (
  market text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- resolved or void.
  state text not null,
  outcome smallint,
  value numeric(20) not null,
  observed numeric(20) not null,
  protocol_fee numeric(20) not null,
  creator_fee numeric(20) not null,
  winnings numeric(20) not null,
  constraint settlement_key primary key (market, seq)
);

-- What positions were paid.
create table chain.payout (
  position text not null,
  seq bigint not null references chain.event on delete cascade,
  market text not null,
  owner text not null,
  slot bigint not null,
  block_time timestamptz,
  destination text not null,
  paid numeric(20) not null,
  constraint payout_key primary key (position, seq)
);

create index payout_market on chain.payout (market, seq);
create index payout_owner on chain.payout (owner, seq);

-- The account types, a column a field, under the field's name: docs/accounts.md says what each is.

create table chain.config (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  admin text not null,
  pending_admin text not null,
  guardian text not null,
  arbiter text not null,
  seq numeric(20) not null,
  params jsonb not null,
  paused smallint not null,
  bump smallint not null
);

create table chain.collateral (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  mint text not null,
  token_program text not null,
  treasury text not null,
  seq numeric(20) not null,
  terms jsonb not null,
  decimals smallint not null,
  accepts_freeze boolean not null,
  enabled boolean not null,
  bump smallint not null
);

create table chain.model (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  owner text not null,
  bond_mint text not null,
  bond_vault text not null,
  arbiter text not null,
  metadata_hash text not null,
  artifact_hash text not null,
  spec_hash text not null,
  chain text not null,
  oracles text[] not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  genesis bigint not null,
  window_secs bigint not null,
  min_samples numeric(20) not null,
  noise_floor numeric(20) not null,
  max_spread numeric(20) not null,
  min_bond numeric(20) not null,
  slash_amount numeric(20) not null,
  challenge_bond numeric(20) not null,
  submit_secs bigint not null,
  challenge_secs bigint not null,
  ruling_secs bigint not null,
  unbond_secs bigint not null,
  retention_secs bigint not null,
  bonds numeric(20)[] not null,
  held numeric(20) not null,
  security numeric(20) not null,
  at_risk numeric(20) not null,
  exposure numeric(20) not null,
  open_receipts numeric(20) not null,
  final_count numeric(20) not null,
  last_value numeric(20) not null,
  last_window numeric(20) not null,
  latest numeric(20) not null,
  latest_window numeric(20) not null,
  max_value numeric(20) not null,
  ewma numeric(20) not null,
  reference bigint[] not null,
  version bigint not null,
  security_multiple bigint not null,
  metric text not null,
  bins smallint not null,
  oracle_count smallint not null,
  quorum smallint not null,
  status text not null,
  bump smallint not null,
  name text not null,
  uri text not null
);

create table chain.seat (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  model text not null,
  oracle text not null,
  seq numeric(20) not null,
  bonded numeric(20) not null,
  unbonding numeric(20) not null,
  release_at bigint not null,
  submissions numeric(20) not null,
  slashes numeric(20) not null,
  bump smallint not null
);

create table chain.receipt (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  model text not null,
  payer text not null,
  challenger text not null,
  evidence text[] not null,
  "window" numeric(20) not null,
  seq numeric(20) not null,
  "values" numeric(20)[] not null,
  samples numeric(20)[] not null,
  value numeric(20) not null,
  since bigint not null,
  challenger_credit numeric(20) not null,
  treasury_credit numeric(20) not null,
  version bigint not null,
  submitted smallint not null,
  state text not null,
  bump smallint not null
);

create table chain.market (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  creator text not null,
  model text not null,
  mint text not null,
  vault text not null,
  terms_hash text not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  thresholds numeric(20)[] not null,
  pools numeric(20)[] not null,
  total numeric(20) not null,
  owed numeric(20) not null,
  close_ts bigint not null,
  first_window numeric(20) not null,
  last_window numeric(20) not null,
  next_window numeric(20) not null,
  observed numeric(20) not null,
  accumulator numeric(20) not null,
  value numeric(20) not null,
  winnings numeric(20) not null,
  protocol_credit numeric(20) not null,
  creator_credit numeric(20) not null,
  positions numeric(20) not null,
  model_version bigint not null,
  protocol_fee_bps integer not null,
  creator_fee_bps integer not null,
  threshold_count smallint not null,
  aggregate text not null,
  state text not null,
  outcome smallint not null,
  decimals smallint not null,
  bump smallint not null,
  question text not null
);

create table chain.position (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  market text not null,
  owner text not null,
  seq numeric(20) not null,
  stakes numeric(20)[] not null,
  bump smallint not null
);

create index model_owner on chain.model (owner);
create index seat_model on chain.seat (model);
create index receipt_model on chain.receipt (model, "window");
create index market_model on chain.market (model);
create index market_creator on chain.market (creator);
create index market_total on chain.market (total, address);
create index market_close on chain.market (close_ts, address);
create index position_market on chain.position (market);
create index position_owner on chain.position (owner);

-- The API reads the mirror and can't write it. Whatever login it uses has to be a member of this role.
do $$
begin
  create role driftshield_api nologin;
exception
  when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema chain, app to driftshield_api;
grant select on all tables in schema chain to driftshield_api;
alter default privileges in schema chain grant select on tables to driftshield_api;
grant select, insert, update, delete on all tables in schema app to driftshield_api;
alter default privileges in schema app grant select, insert, update, delete on tables to driftshield_api;
