-- What each window costs for which an oracle owed a submission and was silent, which windows the
-- oracles owe, and the penalties that their seats have not paid yet, by oracle.
alter table chain.model
  add column absence_penalty numeric(20) not null default 0,
  add column penalties numeric(20)[] not null default '{}',
  add column exposed_since bigint not null default 0,
  add column observed_from numeric(20) not null default 0,
  add column observed_until numeric(20) not null default 0;

-- What the challenger asserts, what a ruling slashed and can still be returned, and who was silent.
alter table chain.receipt
  add column asserted numeric(20) not null default 0,
  add column asserts_thin boolean not null default false,
  add column held numeric(20)[] not null default '{}',
  add column reward numeric(20) not null default 0,
  add column appeal_until bigint not null default 0,
  add column penalties numeric(20)[] not null default '{}',
  add column silent smallint not null default 0;

-- Oracles that owed a submission and were silent, taken from the events that settled the windows.
create table chain.penalty (
  model text not null,
  "window" numeric(20) not null,
  oracle text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  -- What the oracle lost, in base units.
  amount numeric(20) not null,
  constraint penalty_key primary key (model, "window", oracle, seq)
);
