-- Schema `chain`: mirror of the program's accounts and events. Only the indexer writes it, and it
-- can be rebuilt from the chain at any time.
-- Schema `app`: data that users submit to the API; no tables yet.
--
-- Formats and units: addresses, signatures and blockhashes in base58; other hashes in hexadecimal;
-- amounts in base units of the token; drift in micro-units (1.0 is 1,000,000); the program's times in
-- unix seconds.
--
-- A row never goes back to an older state: a write applies only if its (slot, write_version) is newer
-- than the row's.

create schema chain;
create schema app;

-- Progress of the mirror. Empty before the first snapshot, then one row.
create table chain.cursor (
  only_row boolean primary key default true,
  -- Last applied slot. The mirror contains all changes up to and including this slot.
  slot bigint not null,
  blockhash text not null,
  block_time timestamptz,
  -- `seq` of the last event; 0 before the first one.
  seq bigint not null,
  -- Latest finalized slot, at most `slot`; 0 before the first one.
  finalized_slot bigint not null,
  -- First slot applied from the stream. Events of earlier slots may be missing.
  history_from bigint not null,
  updated_at timestamptz not null default now(),
  constraint cursor_only_row check (only_row)
);

-- Applied slots. The parent of each slot is the slot before it in this table.
create table chain.slot (
  slot bigint primary key,
  blockhash text not null,
  parent_slot bigint not null,
  parent_blockhash text not null,
  block_time timestamptz
);

-- Every account of the program with its bytes on chain. Closed accounts stay, with the last bytes
-- that the mirror received.
create table chain.account (
  address text primary key,
  -- Name of the account type, such as Market; null if the indexer cannot decode the account.
  kind text,
  -- Slot of the last write or close.
  slot bigint not null,
  -- Order of the writes within a slot, assigned by the validator; 2^63 - 1 for an account from the
  -- snapshot, 2^63 - 2 for a close.
  write_version bigint not null,
  -- Slot of the first write to the address. Less than cursor.history_from if the account is older
  -- than the mirror.
  first_slot bigint not null,
  -- Slot of the close; null if the account is open.
  closed_slot bigint,
  lamports numeric(20) not null,
  data bytea not null
) with (fillfactor = 80);

create index account_kind on chain.account (kind) where closed_slot is null;

-- Every event in the order of the chain.
create table chain.event (
  -- Sequence number: 1, 2, 3, … without gaps.
  seq bigint primary key,
  slot bigint not null,
  signature text not null,
  -- Index of the transaction in its block.
  transaction_index bigint not null,
  -- Index of the outer instruction in the transaction.
  instruction_index integer not null,
  -- Index of the event among the inner instructions of the outer instruction.
  event_index integer not null,
  -- Name of the event, such as BetPlaced; null if the indexer cannot decode the event.
  name text,
  -- Fields of the event; null if `name` is.
  body jsonb,
  -- Discriminator and body, as emitted.
  data bytea not null,
  block_time timestamptz,
  constraint event_identity unique (slot, signature, instruction_index, event_index)
);

create index event_name on chain.event (name, seq);

-- Accounts whose event counter an event advanced.
create table chain.event_account (
  account text not null,
  seq bigint not null references chain.event on delete cascade,
  -- Count of the account's events including this one: 1, 2, 3, … without gaps.
  number numeric(20) not null,
  constraint event_account_key primary key (account, seq)
);

create index event_account_seq on chain.event_account (seq);
-- A closed account can be created again at the same address; its numbers then start again at 1.
create index event_account_lives on chain.event_account (account, seq) where number = 1;

-- Pools of a market at its creation and after each bet.
create table chain.odds (
  market text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- Stakes by outcome, in base units.
  pools numeric(20)[] not null,
  constraint odds_key primary key (market, seq)
);

-- Results of windows, taken from the events that settled them. The instruction that settles a receipt
-- closes it if it owes nothing, so that its settled state is never received.
create table chain.receipt_settlement (
  receipt text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- final, void or thin.
  state text not null,
  -- Drift in micro-units; 0 unless final.
  value numeric(20) not null,
  -- Bit i is set if the i-th oracle earned an equal part of the receipt's pay.
  earners smallint not null,
  constraint receipt_settlement_key primary key (receipt, seq)
);

-- Results of markets, taken from the events that settled them. The account of a market that settles
-- and closes in one slot is never received in its settled state.
create table chain.settlement (
  market text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- resolved or void.
  state text not null,
  -- Index of the winning outcome; null if void.
  outcome smallint,
  -- Aggregate of the observed windows, in micro-units.
  value numeric(20) not null,
  -- Number of windows with a final value.
  observed numeric(20) not null,
  -- Amounts in base units. `winnings`: the losing stakes less both fees.
  protocol_fee numeric(20) not null,
  creator_fee numeric(20) not null,
  winnings numeric(20) not null,
  constraint settlement_key primary key (market, seq)
);

-- Payouts of market positions.
create table chain.payout (
  position text not null,
  seq bigint not null references chain.event on delete cascade,
  market text not null,
  owner text not null,
  slot bigint not null,
  block_time timestamptz,
  -- Token account that received the payout.
  destination text not null,
  -- Amount in base units; 0 for a position that won nothing.
  paid numeric(20) not null,
  constraint payout_key primary key (position, seq)
);

create index payout_market on chain.payout (market, seq);
create index payout_owner on chain.payout (owner, seq);

-- Tables of the account types, with one column for each field, named after it. docs/accounts.md
-- describes the fields. `slot`, `write_version` and `closed_slot` are those of chain.account.

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
  rewards numeric(20)[] not null,
  pot jsonb not null,
  held numeric(20) not null,
  security numeric(20) not null,
  market_risk numeric(20) not null,
  cover_risk numeric(20) not null,
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
  security_rent_bps integer not null,
  market_budget_bps integer not null,
  cover_budget_bps integer not null,
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
  pay numeric(20) not null,
  version bigint not null,
  submitted smallint not null,
  thin smallint not null,
  state text not null,
  earners smallint not null,
  bump smallint not null
);

create table chain.series (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  model text not null,
  payer text not null,
  page numeric(20) not null,
  seq numeric(20) not null,
  -- One word for each of the page's 256 windows: the state in the top byte (0 none, 1 open, 2 final,
  -- 3 void, 4 thin), the drift of a final window below it.
  entries numeric(20)[] not null,
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
create index series_model on chain.series (model, page);
create index market_model on chain.market (model);
create index market_creator on chain.market (creator);
create index market_total on chain.market (total, address);
create index market_close on chain.market (close_ts, address);
create index position_market on chain.position (market);
create index position_owner on chain.position (owner);

-- Role of the API, which may read schema `chain` but not write it. The API's login must be a member.
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
