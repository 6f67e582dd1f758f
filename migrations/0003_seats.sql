-- The next arbiter, if one is proposed.
alter table chain.config add column pending_arbiter text not null default '11111111111111111111111111111111';

-- When each oracle was listed and its seat counts or leaves, as a list of structs by oracle.
alter table chain.model
  add column tenures jsonb not null default '[]',
  add column appeal_secs bigint not null default 0,
  add column leave_secs bigint not null default 0,
  add column replace_secs bigint not null default 0,
  add column lasting_security numeric(20) not null default 0,
  add column replaced smallint not null default 0;

-- Fewest observed windows with which a market resolves.
alter table chain.market add column min_observed numeric(20) not null default 0;
