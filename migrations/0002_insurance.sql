-- Vaults, exposures, withdrawal requests and policies, and new fields of existing account types.
--
-- The defaults of new columns are the only values that were possible before. Accounts whose layout
-- changed can no longer be decoded, so the mirror of an earlier program version must be rebuilt in an
-- empty database.

alter table chain.collateral add column extensions bigint not null default 0;
alter table chain.model add column token_program text not null default 'spl_token';
alter table chain.market add column token_program text not null default 'spl_token';

create table chain.vault (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  manager text not null,
  mint text not null,
  tokens text not null,
  share_mint text not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  assets numeric(20) not null,
  leaving numeric(20) not null,
  seasoned numeric(20) not null,
  locked numeric(20) not null,
  unearned numeric(20) not null,
  held numeric(20) not null,
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
  leaving_index numeric(20) not null,
  wipeouts bigint not null,
  revision bigint not null,
  accrued_at bigint not null,
  streams_end bigint not null,
  terms_at bigint not null,
  terms jsonb not null,
  next_terms jsonb not null,
  rate numeric(39) not null,
  rate_changes numeric(39)[] not null,
  fraction bigint not null,
  protocol_fee_bps integer not null,
  manager_fee_bps integer not null,
  token_program text not null,
  decimals smallint not null,
  bump smallint not null
);

create table chain.exposure (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  vault text not null,
  model text not null,
  seq numeric(20) not null,
  cap numeric(20) not null,
  lowest_trigger numeric(20) not null,
  cover numeric(20) not null,
  policies numeric(20) not null,
  listed_at bigint not null,
  active_at bigint not null,
  model_version bigint not null,
  max_persistence smallint not null,
  bump smallint not null
);

create table chain.withdraw_request (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  vault text not null,
  owner text not null,
  seq numeric(20) not null,
  value numeric(20) not null,
  index numeric(20) not null,
  shares numeric(20) not null,
  unlock_at bigint not null,
  lapses_at bigint not null,
  reserved_until bigint not null,
  wipeouts bigint not null,
  is_short boolean not null,
  bump smallint not null
);

create table chain.policy (
  address text primary key references chain.account on delete cascade,
  slot bigint not null,
  write_version bigint not null,
  closed_slot bigint,
  vault text not null,
  model text not null,
  holder text not null,
  id numeric(20) not null,
  seq numeric(20) not null,
  cover numeric(20) not null,
  paid numeric(20) not null,
  trigger numeric(20) not null,
  exhaustion numeric(20) not null,
  premium numeric(20) not null,
  max_premium numeric(20) not null,
  unmeasured numeric(20) not null,
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
  bump smallint not null
);

create index vault_manager on chain.vault (manager);
create index vault_mint on chain.vault (mint);
create index exposure_vault on chain.exposure (vault, address);
create index exposure_model on chain.exposure (model);
create index withdraw_request_vault on chain.withdraw_request (vault, address);
create index withdraw_request_owner on chain.withdraw_request (owner, address);
create index policy_holder on chain.policy (holder);
create index policy_vault on chain.policy (vault);
create index policy_model on chain.policy (model);

-- Totals of a vault after each event that carries them. Amounts in base units, shares in base units
-- of the share mint; docs/accounts.md describes them as fields of Vault.
create table chain.capital (
  vault text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  assets numeric(20) not null,
  leaving numeric(20) not null,
  seasoned numeric(20) not null,
  locked numeric(20) not null,
  unearned numeric(20) not null,
  held numeric(20) not null,
  shares numeric(20) not null,
  reserved_shares numeric(20) not null,
  protocol_credit numeric(20) not null,
  manager_credit numeric(20) not null,
  constraint capital_key primary key (vault, seq)
);

-- Results of withdrawal requests, taken from the events that paid, ended or cancelled them. The account of a
-- request that is paid and closed in one slot is never received after its payment.
create table chain.withdrawal (
  request text not null,
  seq bigint not null references chain.event on delete cascade,
  vault text not null,
  owner text not null,
  slot bigint not null,
  block_time timestamptz,
  -- paid, lapsed (the request became shares after its exit window) or cancelled.
  state text not null,
  -- Shares that the request became; 0 if paid.
  shares numeric(20) not null,
  -- Payment to the owner in base units; 0 unless paid.
  amount numeric(20) not null,
  constraint withdrawal_key primary key (request, seq)
);

-- Payouts of policies.
create table chain.policy_payout (
  policy text not null,
  seq bigint not null references chain.event on delete cascade,
  vault text not null,
  model text not null,
  holder text not null,
  slot bigint not null,
  block_time timestamptz,
  -- Token account that received the payout.
  destination text not null,
  -- First window of the run on which the claim was based.
  first_window numeric(20) not null,
  -- Lowest value of the run, in micro-units.
  value numeric(20) not null,
  -- Payment in base units.
  amount numeric(20) not null,
  constraint policy_payout_key primary key (policy, seq)
);

-- Ends of policies, taken from the events that ended them.
create table chain.policy_end (
  policy text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- paid (the whole cover was paid), cancelled, expired, or void (it never began).
  state text not null,
  -- Sum of all payouts of the policy, in base units.
  paid numeric(20) not null,
  -- Refund of premiums in base units.
  refund numeric(20) not null,
  constraint policy_end_key primary key (policy, seq)
);
