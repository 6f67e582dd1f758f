-- Schema `chain`: mirror of the program's accounts and events. Only the indexer writes it, and it can
-- be rebuilt from the chain at any time.
-- Schema `app`: what the API writes.
-- Schema `readable`: every table of `chain` as a view with keys in base58, for people.
--
-- Formats and units: addresses, blockhashes, hashes and signatures are bytes; amounts are in base units
-- of the token; drift is in micro-units (1.0 is 1,000,000); the program's times are unix seconds.
--
-- The position of an event on the chain is one number, its id:
--   slot · 2^31 + index of the transaction in its block · 2^12
--   + index of the outer instruction · 2^6 + index among its inner instructions.
-- Ids ascend in the order of the chain, and every mirror of the chain has the same ids.
--
-- An account that is closed can be created again at the same address. Each time is a life, named by the
-- id of the event that created the account; 0 if the mirror does not have that event.

create schema chain;
create schema app;
create schema readable;

create extension if not exists pg_trgm with schema public;

-- Number of the server's write-ahead log. Another one after the promotion of a standby or a restore to a
-- point in time: transactions that readers had seen may be missing then.
create function chain.timeline() returns bigint language sql set search_path = pg_catalog as $$
  select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
$$;

-- Progress of the mirror. Empty before the first snapshot, then one row.
create table chain.cursor (
  only_row boolean primary key default true check (only_row),
  -- Names the numbering of `seq` and of everything derived from it. A rebuilt mirror, here or in
  -- another database, has a higher epoch, and so has one whose server may have lost transactions.
  epoch bigint not null,
  -- Last applied slot. The mirror contains all changes up to and including this slot.
  slot bigint not null,
  blockhash bytea not null,
  -- Time of the last block that has one.
  block_time timestamptz,
  -- `seq` of the last record of the feed; 0 before the first one.
  seq bigint not null,
  -- Latest finalized slot, at most `slot`; 0 before the first one.
  finalized_slot bigint not null,
  -- Newest slot that the mirror's source has reached, and when it reached it.
  tip_slot bigint not null,
  tip_at timestamptz not null,
  -- The age of the data counts from this time: `tip_at`, or `block_time` if that is earlier and the mirror is
  -- behind the tip, or the block was older than `block_time_tolerance` at `tip_at`.
  as_of timestamptz not null,
  -- Slot at which the mirror last had all accounts; null while it reads accounts from an RPC node,
  -- because it has begun or slots were missing. Accounts can be missing or old then.
  settled_slot bigint,
  -- First slot with a complete event history. Events of earlier slots may be missing.
  history_from bigint not null,
  -- Whether the mirror follows the chain. False while it is filled with the program's past slots.
  is_following boolean not null,
  -- How far the time of a block may be behind the clock although the block is new, in milliseconds.
  block_time_tolerance bigint not null default 30000,
  -- Write-ahead log of the server that numbered the feed.
  timeline bigint not null default chain.timeline(),
  updated_at timestamptz not null default now()
);

-- Slots that the mirror misses: between `from_slot` and `to_slot`, both inclusive.
create table chain.gap (
  from_slot bigint not null,
  to_slot bigint not null,
  epoch bigint not null,
  -- open, filled, or lost: no source has the blocks any more, and events in them are missing.
  state text not null check (state in ('open', 'filled', 'lost')),
  reason text not null,
  opened_at timestamptz not null default now(),
  closed_at timestamptz,
  primary key (from_slot, to_slot)
);

-- How far the mirror was, once a minute, to find what is older than it must be kept.
create table chain.mark (
  at timestamptz primary key,
  seq bigint not null,
  finalized_slot bigint not null
);

-- Applied slots. The parent of each slot is the slot before it in this table. Finalized ones are kept as
-- long as the feed.
create table chain.slot (
  slot bigint primary key,
  blockhash bytea not null,
  parent_slot bigint not null,
  parent_blockhash bytea not null,
  block_time timestamptz
);

-- Every life of every account of the program, with its bytes. A life that has ended stays, with the
-- last bytes that the mirror received.
create table chain.account (
  address bytea not null,
  life bigint not null,
  -- Whether this is the latest life at the address.
  is_current boolean not null,
  -- Name of the account type, such as Market; null if the indexer does not know the type.
  kind text,
  -- Slot of the last write or close.
  slot bigint not null,
  -- Order of the writes within a slot, assigned by the validator; 2^63 - 1 for an account from an RPC
  -- node as of the end of the slot, 2^63 - 2 for a close, 2^63 - 3 for an account from an RPC node as of
  -- a slot that was undone since.
  write_version bigint not null,
  -- Slot of the close; null if the account is open.
  closed_slot bigint,
  lamports numeric(20) not null,
  data bytea not null,
  -- Whether `data` are bytes from the chain. If not, the mirror received none: the account was created
  -- and closed in one slot, or before the mirror began, and `data` is put together from its events.
  is_exact boolean not null,
  -- What the account's events say and its bytes don't, such as when and how the life ended.
  facts jsonb not null,
  -- Version of the decoder that wrote the row of the account type.
  decoder_version integer not null,
  primary key (address, life)
) with (fillfactor = 80);

create unique index account_current on chain.account (address) where is_current;
create index account_open on chain.account (kind, address) where closed_slot is null;

-- States before the changes of slots that are not finalized, to undo these slots.
create table chain.account_version (
  slot bigint not null,
  address bytea not null,
  life bigint not null,
  -- False if the life began in the slot. The other columns are null then.
  existed boolean not null,
  kind text,
  account_slot bigint,
  write_version bigint,
  closed_slot bigint,
  lamports numeric(20),
  data bytea,
  is_exact boolean,
  facts jsonb,
  primary key (slot, address, life)
);

-- Accounts, events and rows that the indexer could not decode or store. It tries again whenever its
-- decoder has a newer version.
create table chain.dead_letter (
  id bigint generated always as identity primary key,
  -- account, event, slot (messages that arrived too late), history (events that no source has), or the
  -- name of the table that refused a row.
  subject text not null,
  slot bigint not null,
  address bytea,
  event_id bigint,
  reason text not null,
  data bytea,
  -- Of missing events: the slot after which they were emitted. They were by the end of `slot`, or before it
  -- was undone.
  since bigint,
  decoder_version integer not null,
  created_at timestamptz not null default now(),
  resolved_at timestamptz
);

create index dead_letter_open on chain.dead_letter (decoder_version) where resolved_at is null;
create index dead_letter_address on chain.dead_letter (address) where resolved_at is null;
create index dead_letter_history on chain.dead_letter (slot) where resolved_at is null and subject = 'history';

-- What clients follow: one record for each new event, rollback and gap, and for each time that the
-- mirror has all accounts again, in the order of the commits.
-- `seq` has no gaps and never goes back. Records are kept for a day, or as the indexer's settings say.
create table chain.feed (
  seq bigint primary key,
  epoch bigint not null,
  slot bigint not null,
  kind text not null check (kind in ('event', 'rollback', 'gap', 'settled')),
  -- Id of the event; null for other kinds, and for an event that was announced before it could be decoded:
  -- a later record announces it with its fields.
  event_id bigint,
  -- What the record concerns, such as market:<address> and wallet:<address>.
  channels text[] not null,
  -- event: the event's name and fields. rollback: `to_slot`, the last slot that stays.
  -- gap: `from_slot`, `to_slot` and `state`. settled: empty.
  body jsonb not null
);

-- Events that were announced without their fields.
create index feed_bare on chain.feed (event_id) where kind = 'event' and body ->> 'name' is null;

-- History, partitioned by slot. No foreign key leads into it: old partitions are dropped.

-- Every event in the order of the chain.
create table chain.event (
  id bigint primary key,
  slot bigint not null,
  signature bytea not null,
  -- Name of the event, such as BetPlaced; null if the indexer cannot decode the event.
  name text,
  -- Fields of the event; null if `name` is.
  body jsonb,
  -- Discriminator and body, as emitted.
  data bytea not null,
  block_time timestamptz
) partition by range (id);

create index event_name on chain.event (name, id);

-- Accounts whose event counter an event advanced.
create table chain.event_account (
  account bytea not null,
  event_id bigint not null,
  -- Count of the account's events including this one: 1, 2, 3, … without gaps.
  number numeric(20) not null,
  primary key (account, event_id)
) partition by range (event_id);

create index event_account_event on chain.event_account (event_id);

-- Wallets that an event concerns, each with its part: owner, creator, oracle, …
create table chain.event_party (
  wallet bytea not null,
  event_id bigint not null,
  role text not null,
  -- Whether the event names the wallet. If not, an account that the event changes does.
  is_named boolean not null,
  primary key (wallet, event_id, role)
) partition by range (event_id);

create index event_party_event on chain.event_party (event_id);

-- Pools of a market at its creation and after each bet.
create table chain.odds (
  market bytea not null,
  event_id bigint not null,
  block_time timestamptz,
  -- Stakes by outcome, in base units.
  pools numeric(20)[] not null,
  primary key (market, event_id)
) partition by range (event_id);

-- Sales of stakes, taken from the events of the purchases.
create table chain.sale (
  market bytea not null,
  event_id bigint not null,
  block_time timestamptz,
  seller bytea not null,
  buyer bytea not null,
  -- Positions from and to which the stake moved.
  seller_position bytea not null,
  position bytea not null,
  -- Token account that received the payment.
  destination bytea not null,
  outcome smallint not null,
  -- Stake that was sold, in base units.
  amount numeric(20) not null,
  -- Price in thousandths of the stake.
  price bigint not null,
  -- Payment in base units.
  paid numeric(20) not null,
  -- Stakes left in the seller's position, in base units; at 0 the position is closed.
  seller_total numeric(20) not null,
  primary key (market, event_id)
) partition by range (event_id);

create index sale_event on chain.sale (event_id);

-- Oracles that owed a submission and were silent, taken from the events that settled the windows.
create table chain.penalty (
  model bytea not null,
  event_id bigint not null,
  oracle bytea not null,
  "window" numeric(20) not null,
  block_time timestamptz,
  -- What the oracle lost, in base units.
  amount numeric(20) not null,
  primary key (model, event_id, oracle)
) partition by range (event_id);

create index penalty_event on chain.penalty (event_id);

-- Totals of a vault after each event that carries them. Amounts in base units, shares in base units
-- of the share mint; docs/accounts.md describes them as fields of Vault.
create table chain.capital (
  vault bytea not null,
  event_id bigint not null,
  block_time timestamptz,
  assets numeric(20) not null,
  leaving numeric(20) not null,
  seasoned numeric(20) not null,
  locked numeric(20) not null,
  pending_losses numeric(20) not null,
  unearned numeric(20) not null,
  held numeric(20) not null,
  set_aside numeric(20) not null,
  shares numeric(20) not null,
  reserved_shares numeric(20) not null,
  protocol_credit numeric(20) not null,
  manager_credit numeric(20) not null,
  primary key (vault, event_id)
) partition by range (event_id);

create index capital_event on chain.capital (event_id);

-- Payouts of policies.
create table chain.policy_payout (
  policy bytea not null,
  event_id bigint not null,
  block_time timestamptz,
  -- Token account that received the payout.
  destination bytea not null,
  -- First window of the run on which the claim was based.
  first_window numeric(20) not null,
  -- Lowest value of the run, in micro-units.
  value numeric(20) not null,
  -- Payment in base units.
  amount numeric(20) not null,
  primary key (policy, event_id)
) partition by range (event_id);

create index policy_payout_event on chain.policy_payout (event_id);

-- Totals by hour, fed by each event once. A row has the measures of one subject in one token and one hour;
-- `chain.daily` sums them up by day. Amounts are in base units of the token.
create table chain.hourly (
  -- platform, model, market, vault or wallet.
  kind text not null,
  -- Address of the subject; empty for the platform.
  subject bytea not null,
  -- Token of the market, of the vault or of the model's bonds; 32 zero bytes if the mirror lacked that account.
  mint bytea not null,
  -- Beginning of the hour of the event's block, UTC; -infinity if the block has no time.
  hour timestamptz not null,
  -- Bets, their stakes, and the security rent paid in addition to stakes and premiums.
  bets numeric not null,
  staked numeric not null,
  rents numeric not null,
  -- Sales of stakes: number, stakes and payments. For a wallet, as the seller.
  sales numeric not null,
  sold numeric not null,
  sold_for numeric not null,
  -- The same for a wallet as the buyer; 0 for other subjects.
  purchases numeric not null,
  bought numeric not null,
  bought_for numeric not null,
  -- Claims of positions, the stakes of these positions, and the payouts. The realised profit of a wallet is
  -- payouts - settled + sold_for - sold + bought - bought_for: a stake counts as much as was staked for it
  -- while it is open, whoever owns it.
  claims numeric not null,
  settled numeric not null,
  payouts numeric not null,
  -- Markets: created, settled, and the fees of the protocol and of the creators at settlement.
  markets numeric not null,
  settlements numeric not null,
  fees numeric not null,
  -- Deposits to vaults and payments to those who withdraw: number and amount.
  deposits numeric not null,
  deposited numeric not null,
  withdrawals numeric not null,
  withdrawn numeric not null,
  -- Policies: bought, renewed, premiums of both, refunds of premiums, and claims with their payments.
  policies numeric not null,
  renewals numeric not null,
  premiums numeric not null,
  refunds numeric not null,
  cover_claims numeric not null,
  cover_paid numeric not null,
  -- Models registered.
  models numeric not null,
  -- Receipts: submissions, challenges, rulings, and what rulings slashed. For a wallet, its own.
  submissions numeric not null,
  challenges numeric not null,
  rulings numeric not null,
  slashed numeric not null,
  -- Receipts that became final, void or thin.
  finals numeric not null,
  voids numeric not null,
  thins numeric not null,
  -- Receipts for which an oracle earned pay, and the pay; for which it was silent, and the penalties. For
  -- other subjects, the sums over the oracles.
  earnings numeric not null,
  earned numeric not null,
  silences numeric not null,
  penalties numeric not null,
  -- Drift of the final receipts, in micro-units: sum, highest, and the latest with its window. Only for models.
  drift_sum numeric not null,
  drift_max numeric,
  drift numeric,
  drift_window numeric,
  -- Capital, the part of it that is leaving, and shares of a vault after the hour's last event that reports them.
  assets numeric,
  leaving numeric,
  shares numeric,
  primary key (kind, subject, mint, hour)
) with (fillfactor = 80);

create index hourly_hour on chain.hourly (kind, hour);

-- Rows of `chain.hourly` before the changes of slots that are not finalized, to undo these slots.
create table chain.hourly_version (
  slot bigint not null,
  -- False if the row began in the slot. The measures are those of the new row then.
  existed boolean not null,
  like chain.hourly,
  primary key (slot, kind, subject, mint, hour)
);

-- Creates the partitions that hold `slot`. Each holds 2^21 slots, about ten days.
create function chain.create_partitions(slot bigint) returns void
language plpgsql security definer set search_path = pg_catalog as $$
declare
  part constant bigint := slot >> 21;
  history text;
begin
  -- A partition is attached, not created in place: that would lock out readers.
  for history in
    select relname from pg_class
    where relnamespace = 'chain'::regnamespace and relkind = 'p' order by relname
  loop
    if to_regclass(format('chain.%I', history || '_' || part)) is null then
      execute format(
        'create table chain.%1$I (like chain.%2$I including defaults including constraints)',
        history || '_' || part, history);
      execute format(
        'alter table chain.%2$I attach partition chain.%1$I for values from (%3$s) to (%4$s)',
        history || '_' || part, history, part << 52, (part + 1) << 52);
    end if;
  end loop;
end
$$;

-- Empties the mirror, to make it anew.
create function chain.clear() returns void
language plpgsql security definer set search_path = pg_catalog as $$
declare
  tables text;
begin
  select string_agg(format('chain.%I', relname), ', ') into tables
  from pg_class
  where relnamespace = 'chain'::regnamespace and relkind in ('r', 'p') and not relispartition;
  execute 'truncate ' || tables;
end
$$;

-- Drops the partitions all of whose slots are finalized and before `slot`: the history begins after them. Fails if
-- somebody reads them: whoever wants to read them then would have to wait, too.
create function chain.drop_partitions(slot bigint) returns integer
language plpgsql security definer set search_path = pg_catalog set lock_timeout = '200ms' as $$
declare
  part record;
  dropped integer := 0;
  bound bigint;
begin
  select least(drop_partitions.slot, finalized_slot) into bound from chain.cursor;
  for part in
    select parent.relname as history, child.relname as name
    from pg_inherits
    join pg_class parent on parent.oid = inhparent
    join pg_class child on child.oid = inhrelid
    where parent.relnamespace = 'chain'::regnamespace and parent.relkind = 'p'
      and (substring(child.relname from '[0-9]+$')::bigint + 1) << 21 <= bound
  loop
    execute format('drop table chain.%I', part.name);
    dropped := dropped + 1;
  end loop;
  if 0 < dropped then
    update chain.cursor set history_from = greatest(history_from, (bound >> 21) << 21);
  end if;
  return dropped;
end
$$;

-- Drops the partitions all of whose events are of blocks before that time, but for the last partition.
create function chain.drop_partitions(before timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  part record;
  last timestamptz;
  bound bigint := 0;
begin
  for part in
    select child.relname as name, substring(child.relname from '[0-9]+$')::bigint as number
    from pg_inherits join pg_class child on child.oid = inhrelid
    where inhparent = 'chain.event'::regclass
    order by number
  loop
    -- All before this one are old.
    bound := part.number << 21;
    execute format(
      'select block_time from chain.%I where block_time is not null order by id desc limit 1', part.name)
      into last;
    exit when drop_partitions.before <= last;
  end loop;
  return chain.drop_partitions(bound);
end
$$;

-- Lives of the accounts by type, with one column for each field, named after it. docs/accounts.md
-- describes the fields. A life that has ended shows its final state, which the instruction that closed
-- the account never wrote: it is taken from the events.

-- Columns that all account types have.
create table chain.life (
  address bytea not null,
  -- Id of the event that created the account; 0 if the mirror does not have it.
  life bigint not null,
  -- Whether this is the latest life at the address.
  is_current boolean not null,
  -- Whether the account has newer bytes than this row, which the indexer could not decode.
  is_stale boolean not null,
  -- Slot of the last change.
  slot bigint not null,
  -- Slot and time of the beginning; null if `life` is 0.
  began_slot bigint,
  began_at timestamptz,
  -- Slot and time of the close; null if the account is open.
  ended_slot bigint,
  ended_at timestamptz
);

create table chain.config (
  like chain.life including constraints,
  admin bytea not null,
  pending_admin bytea not null,
  guardian bytea not null,
  arbiter bytea not null,
  pending_arbiter bytea not null,
  seq numeric(20) not null,
  params jsonb not null,
  paused smallint not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.collateral (
  like chain.life including constraints,
  mint bytea not null,
  treasury bytea not null,
  seq numeric(20) not null,
  terms jsonb not null,
  extensions bigint not null,
  token_program text not null,
  decimals smallint not null,
  accepts_freeze boolean not null,
  enabled boolean not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.model (
  like chain.life including constraints,
  owner bytea not null,
  bond_mint bytea not null,
  bond_vault bytea not null,
  arbiter bytea not null,
  metadata_hash bytea not null,
  artifact_hash bytea not null,
  spec_hash bytea not null,
  chain bytea not null,
  oracles bytea[] not null,
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
  absence_penalty numeric(20) not null,
  submit_secs bigint not null,
  challenge_secs bigint not null,
  ruling_secs bigint not null,
  appeal_secs bigint not null,
  unbond_secs bigint not null,
  leave_secs bigint not null,
  replace_secs bigint not null,
  retention_secs bigint not null,
  bonds numeric(20)[] not null,
  tenures jsonb not null,
  rewards numeric(20)[] not null,
  penalties numeric(20)[] not null,
  pot jsonb not null,
  held numeric(20) not null,
  security numeric(20) not null,
  lasting_security numeric(20) not null,
  market_risk numeric(20) not null,
  cover_risk numeric(20) not null,
  exposure numeric(20) not null,
  exposed_since bigint not null,
  observed_from numeric(20) not null,
  observed_until numeric(20) not null,
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
  reports bigint not null,
  security_rent_bps integer not null,
  market_budget_bps integer not null,
  cover_budget_bps integer not null,
  metric text not null,
  bins smallint not null,
  oracle_count smallint not null,
  quorum smallint not null,
  status text not null check (status in ('active', 'retired')),
  bump smallint not null,
  name text not null,
  uri text not null,
  token_program text not null,
  replaced smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.seat (
  like chain.life including constraints,
  model bytea not null,
  oracle bytea not null,
  seq numeric(20) not null,
  bonded numeric(20) not null,
  unbonding numeric(20) not null,
  release_at bigint not null,
  submissions numeric(20) not null,
  slashes numeric(20) not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.receipt (
  like chain.life including constraints,
  -- collecting, proposed, challenged, final, void or thin.
  status text not null,
  settled_slot bigint,
  settled_at timestamptz,
  model bytea not null,
  payer bytea not null,
  challenger bytea not null,
  evidence bytea[] not null,
  "window" numeric(20) not null,
  seq numeric(20) not null,
  values numeric(20)[] not null,
  samples numeric(20)[] not null,
  value numeric(20) not null,
  since bigint not null,
  asserted numeric(20) not null,
  held numeric(20)[] not null,
  reward numeric(20) not null,
  appeal_until bigint not null,
  penalties numeric(20)[] not null,
  challenger_credit numeric(20) not null,
  treasury_credit numeric(20) not null,
  pay numeric(20) not null,
  version bigint not null,
  submitted smallint not null,
  state text not null,
  earners smallint not null,
  bump smallint not null,
  thin smallint not null,
  silent smallint not null,
  asserts_thin boolean not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.series (
  like chain.life including constraints,
  model bytea not null,
  payer bytea not null,
  page numeric(20) not null,
  seq numeric(20) not null,
  -- One word for each of the page's 256 windows: the state in the top byte (0 none, 1 open,
  -- 2 final, 3 void, 4 thin), the drift of a final window below it.
  entries numeric(20)[] not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.market (
  like chain.life including constraints,
  -- `cancelled`: closed without a bet.
  status text not null check (status in ('open', 'resolved', 'void', 'cancelled')),
  settled_slot bigint,
  settled_at timestamptz,
  -- Event that settled the market.
  settled_by bigint,
  creator bytea not null,
  model bytea not null,
  mint bytea not null,
  vault bytea not null,
  terms_hash bytea not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  thresholds numeric(20)[] not null,
  pools numeric(20)[] not null,
  total numeric(20) not null,
  owed numeric(20) not null,
  close_ts bigint not null,
  first_window numeric(20) not null,
  last_window numeric(20) not null,
  min_observed numeric(20) not null,
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
  token_program text not null,
  question text not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.position (
  like chain.life including constraints,
  -- open, claimed, or sold (all of its stakes).
  status text not null,
  -- Payout in base units, and the token account that received it; null unless claimed.
  payout numeric(20),
  destination bytea,
  market bytea not null,
  owner bytea not null,
  seq numeric(20) not null,
  stakes numeric(20)[] not null,
  asks jsonb not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.vault (
  like chain.life including constraints,
  manager bytea not null,
  mint bytea not null,
  tokens bytea not null,
  share_mint bytea not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  assets numeric(20) not null,
  leaving numeric(20) not null,
  leaving_index numeric(20) not null,
  seasoned numeric(20) not null,
  locked numeric(20) not null,
  pending_losses numeric(20) not null,
  unearned numeric(20) not null,
  held numeric(20) not null,
  set_aside numeric(20) not null,
  shares numeric(20) not null,
  reserved_shares numeric(20) not null,
  protocol_credit numeric(20) not null,
  manager_credit numeric(20) not null,
  policies numeric(20) not null,
  exposures numeric(20) not null,
  requests numeric(20) not null,
  created_at bigint not null,
  cooldown_secs bigint not null,
  waiting_secs bigint not null,
  claim_grace_secs bigint not null,
  bucket_secs bigint not null,
  exit_secs bigint not null,
  season_secs bigint not null,
  accrued_at bigint not null,
  streams_end bigint not null,
  terms_at bigint not null,
  terms jsonb not null,
  next_terms jsonb not null,
  losses numeric(20)[] not null,
  rate numeric(39) not null,
  rate_changes numeric(39)[] not null,
  fraction bigint not null,
  revision bigint not null,
  leaving_scale bigint not null,
  protocol_fee_bps integer not null,
  manager_fee_bps integer not null,
  token_program text not null,
  decimals smallint not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.exposure (
  like chain.life including constraints,
  vault bytea not null,
  model bytea not null,
  seq numeric(20) not null,
  cap numeric(20) not null,
  lowest_trigger numeric(20) not null,
  cover numeric(20) not null,
  policies numeric(20) not null,
  listed_at bigint not null,
  active_at bigint not null,
  model_version bigint not null,
  max_persistence smallint not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.withdraw_request (
  like chain.life including constraints,
  -- open, lapsed (it became shares after its exit window), paid or cancelled.
  status text not null,
  -- Sum of the payments to the owner, in base units.
  payout numeric(20) not null,
  -- Time of the latest payment or of the cancellation.
  settled_at timestamptz,
  vault bytea not null,
  owner bytea not null,
  seq numeric(20) not null,
  value numeric(20) not null,
  index numeric(20) not null,
  shares numeric(20) not null,
  unlock_at bigint not null,
  lapses_at bigint not null,
  reserved_until bigint not null,
  scale bigint not null,
  is_short boolean not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.policy (
  like chain.life including constraints,
  -- `paid`: the whole cover. `void`: it never began.
  status text not null
    check (status in ('pending', 'open', 'paid', 'cancelled', 'expired', 'void')),
  -- Refund of premiums at the end, in base units; null before.
  refund numeric(20),
  vault bytea not null,
  model bytea not null,
  holder bytea not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  cover numeric(20) not null,
  paid numeric(20) not null,
  trigger numeric(20) not null,
  exhaustion numeric(20) not null,
  premium numeric(20) not null,
  max_premium numeric(20) not null,
  examined_until numeric(20) not null,
  returned_until numeric(20) not null,
  peak numeric(20) not null,
  peak_window numeric(20) not null,
  worth numeric(20) not null,
  unmeasured numeric(20) not null,
  unmeasured_windows numeric(20) not null,
  recent numeric(20)[] not null,
  first_window numeric(20) not null,
  last_window numeric(20) not null,
  windows numeric(20) not null,
  claim_grace_secs bigint not null,
  pending jsonb not null,
  term jsonb not null,
  model_version bigint not null,
  cancel_fee_bps integer not null,
  persistence smallint not null,
  auto_renew boolean not null,
  bump smallint not null,
  primary key (address, life)
) with (fillfactor = 80);

-- Asks of open positions: one row for each outcome whose stake is for sale, in part or as a whole.
create table chain.ask (
  -- The position.
  address bytea not null,
  life bigint not null,
  -- Index of the outcome.
  outcome smallint not null,
  market bytea not null,
  -- Number of reports on the model at which the ask was set. The ask has fallen if there are more.
  reports bigint not null,
  -- Price in thousandths of the stake.
  price bigint not null,
  amount numeric(20) not null,
  valid_until bigint not null,
  primary key (address, life, outcome)
) with (fillfactor = 80);

create index ask_best on chain.ask (market, reports, outcome, price, address);

-- Values by which lists are sorted (`rank`), with what these lists filter by. All pages of a list show the order
-- of one `seq` of the feed, so replaced values are kept for 15 minutes.

-- Markets by their stakes in whole tokens.
create table chain.market_volume (
  address bytea not null,
  life bigint not null,
  model bytea not null,
  creator bytea not null,
  status text not null,
  close_ts bigint not null,
  rank numeric not null,
  -- First `seq` with these values.
  valid_from bigint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.market_volume_past (
  like chain.market_volume,
  -- First `seq` without these values.
  valid_to bigint not null
);

create index market_volume_model on chain.market_volume (model, status, rank, address, life);
create index market_volume_creator on chain.market_volume (creator, status, rank, address, life);
create index market_volume_status on chain.market_volume (status, rank, address, life);
create index market_volume_past_end on chain.market_volume_past (valid_to);

-- Vaults by their assets in whole tokens; 0 if the vault is closed.
create table chain.vault_assets (
  address bytea not null,
  life bigint not null,
  manager bytea not null,
  mint bytea not null,
  is_closed boolean not null,
  rank numeric not null,
  -- First `seq` with these values.
  valid_from bigint not null,
  primary key (address, life)
) with (fillfactor = 80);

create table chain.vault_assets_past (
  like chain.vault_assets,
  -- First `seq` without these values.
  valid_to bigint not null
);

create index vault_assets_manager on chain.vault_assets (manager, is_closed, rank, address, life);
create index vault_assets_mint on chain.vault_assets (mint, is_closed, rank, address, life);
create index vault_assets_manager_mint
  on chain.vault_assets (manager, mint, is_closed, rank, address, life);
create index vault_assets_closed on chain.vault_assets (is_closed, rank, address, life);
create index vault_assets_past_end on chain.vault_assets_past (valid_to);

-- Each list of the API is a range of an index, for each of its filters and orders, or is merged from the
-- ranges of all values of `status`, or of open and of closed accounts, if it isn't filtered by them.
create index model_owner on chain.model (owner, status, life, address);
create index model_metric on chain.model (metric, status, life, address);
create index model_owner_metric on chain.model (owner, metric, status, life, address);
create index model_status on chain.model (status, life, address);
create index model_name on chain.model using gin (name gin_trgm_ops);
create index seat_model on chain.seat (model, address, life);
create index receipt_model on chain.receipt (model, "window", life);
create index receipt_model_status on chain.receipt (model, status, "window", life);
create index series_model on chain.series (model, page);
create index market_model on chain.market (model, status, life, address);
create index market_model_close on chain.market (model, status, close_ts, address, life);
create index market_creator on chain.market (creator, status, life, address);
create index market_creator_close on chain.market (creator, status, close_ts, address, life);
create index market_status on chain.market (status, life, address);
create index market_status_close on chain.market (status, close_ts, address, life);
create index position_market on chain.position (market, address, life);
create index position_owner_open on chain.position (owner, address, life) where ended_slot is null;
create index position_owner_closed on chain.position (owner, address, life)
  where ended_slot is not null;
create index vault_open on chain.vault (life, address) where ended_slot is null;
create index vault_closed on chain.vault (life, address) where ended_slot is not null;
create index vault_manager_open on chain.vault (manager, life, address) where ended_slot is null;
create index vault_manager_closed on chain.vault (manager, life, address)
  where ended_slot is not null;
create index vault_mint_open on chain.vault (mint, life, address) where ended_slot is null;
create index vault_mint_closed on chain.vault (mint, life, address) where ended_slot is not null;
create index vault_manager_mint_open on chain.vault (manager, mint, life, address)
  where ended_slot is null;
create index vault_manager_mint_closed on chain.vault (manager, mint, life, address)
  where ended_slot is not null;
create index exposure_vault on chain.exposure (vault, address, life);
create index exposure_model on chain.exposure (model, address, life);
create index withdraw_request_open on chain.withdraw_request (address, life)
  where ended_slot is null;
create index withdraw_request_closed on chain.withdraw_request (address, life)
  where ended_slot is not null;
create index withdraw_request_vault_open on chain.withdraw_request (vault, address, life)
  where ended_slot is null;
create index withdraw_request_vault_closed on chain.withdraw_request (vault, address, life)
  where ended_slot is not null;
create index withdraw_request_owner_open on chain.withdraw_request (owner, address, life)
  where ended_slot is null;
create index withdraw_request_owner_closed on chain.withdraw_request (owner, address, life)
  where ended_slot is not null;
create index policy_holder on chain.policy (holder, status, life, address);
create index policy_holder_vault on chain.policy (holder, vault, status, life, address);
create index policy_vault on chain.policy (vault, status, life, address);
create index policy_vault_model on chain.policy (vault, model, status, life, address);
create index policy_model on chain.policy (model, status, life, address);
create index policy_status on chain.policy (status, life, address);

-- `chain.hourly` by day, UTC.
create view chain.daily as
select kind, subject, mint, date_trunc('day', hour, 'UTC') as day,
  sum(bets) as bets, sum(staked) as staked, sum(rents) as rents, sum(sales) as sales, sum(sold) as sold,
  sum(sold_for) as sold_for, sum(purchases) as purchases, sum(bought) as bought, sum(bought_for) as
  bought_for, sum(claims) as claims, sum(settled) as settled, sum(payouts) as payouts, sum(markets) as
  markets, sum(settlements) as settlements, sum(fees) as fees, sum(deposits) as deposits, sum(deposited)
  as deposited, sum(withdrawals) as withdrawals, sum(withdrawn) as withdrawn, sum(policies) as policies,
  sum(renewals) as renewals, sum(premiums) as premiums, sum(refunds) as refunds, sum(cover_claims) as
  cover_claims, sum(cover_paid) as cover_paid, sum(models) as models, sum(submissions) as submissions,
  sum(challenges) as challenges, sum(rulings) as rulings, sum(slashed) as slashed, sum(finals) as
  finals, sum(voids) as voids, sum(thins) as thins, sum(earnings) as earnings, sum(earned) as earned,
  sum(silences) as silences, sum(penalties) as penalties, sum(drift_sum) as drift_sum,
  max(drift_max) as drift_max,
  (array_agg(drift order by hour desc) filter (where drift is not null))[1] as drift,
  (array_agg(drift_window order by hour desc) filter (where drift_window is not null))[1] as drift_window,
  (array_agg(assets order by hour desc) filter (where assets is not null))[1] as assets,
  (array_agg(leaving order by hour desc) filter (where leaving is not null))[1] as leaving,
  (array_agg(shares order by hour desc) filter (where shares is not null))[1] as shares
from chain.hourly
group by kind, subject, mint, day;

-- Base58 of bytes, as Solana writes keys.
create function public.base58(bytes bytea) returns text
language plpgsql immutable strict parallel safe as $$
declare
  alphabet constant text := '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  number numeric := 0;
  digits text := '';
  zeros integer := 0;
begin
  while zeros < length(bytes) and get_byte(bytes, zeros) = 0 loop
    zeros := zeros + 1;
  end loop;
  for place in zeros .. length(bytes) - 1 loop
    number := number * 256 + get_byte(bytes, place);
  end loop;
  while 0 < number loop
    digits := substr(alphabet, mod(number, 58)::integer + 1, 1) || digits;
    number := div(number, 58);
  end loop;
  return repeat('1', zeros) || digits;
end
$$;

create function public.base58(keys bytea[]) returns text[]
language sql immutable strict parallel safe as $$
  select array(select public.base58(key) from unnest(keys) with ordinality as k (key, place) order by place)
$$;

-- The views of schema `readable`. Bytes that are no keys, blockhashes or signatures stay as they are.
do $$
declare
  relation record;
begin
  for relation in
    select c.relname as name, string_agg(
      case when t.typname in ('bytea', '_bytea') and a.attname !~ '(^data|_hash|^chain|^evidence)$'
        then format('public.base58(%1$I) as %1$I', a.attname)
        else quote_ident(a.attname) end, ', ' order by a.attnum) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and 0 < a.attnum
    join pg_type t on t.oid = a.atttypid
    where c.relnamespace = 'chain'::regnamespace and c.relkind in ('r', 'p', 'v')
      and c.relname <> 'life'
    group by c.relname
  loop
    execute format('create view readable.%I as select %s from chain.%I',
      relation.name, relation.columns, relation.name);
  end loop;
end
$$;

-- Accounts that the API asks the indexer to read again from an RPC node. The indexer removes a request once the
-- mirror has the account as of a slot that its source had reached at the request, or newer. Who asks again
-- renews `asked_at`.
create table app.refetch (
  address bytea primary key check (length(address) = 32),
  asked_at timestamptz not null default now()
);

-- Roles: the indexer writes schema `chain`, the API reads it. The login of each must be a member. A login
-- that may not create roles finds them created.
do $$
declare
  role text;
begin
  foreach role in array array['driftshield_indexer', 'driftshield_api'] loop
    begin
      if to_regrole(role) is null then
        execute format('create role %I nologin', role);
      end if;
    exception
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$$;

grant usage on schema chain, readable, app to driftshield_indexer, driftshield_api;
grant select on all tables in schema chain, readable to driftshield_indexer, driftshield_api;
grant insert, update, delete on all tables in schema chain to driftshield_indexer;
revoke execute on function chain.create_partitions, chain.drop_partitions(bigint),
  chain.drop_partitions(timestamptz), chain.clear from public;
grant execute on function chain.create_partitions, chain.drop_partitions(bigint),
  chain.drop_partitions(timestamptz), chain.clear to driftshield_indexer;
grant select, insert, update, delete on all tables in schema app to driftshield_api;
-- The update is for locking a row.
grant select, delete, update (asked_at) on app.refetch to driftshield_indexer;
alter default privileges in schema chain, readable grant select on tables to driftshield_api;
alter default privileges in schema chain, readable grant select on tables to driftshield_indexer;
alter default privileges in schema app
  grant select, insert, update, delete on tables to driftshield_api;
