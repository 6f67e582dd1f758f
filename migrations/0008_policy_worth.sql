-- What policies are worth: their highest run, and what claims pay for it.
alter table chain.policy
  add column returned_until numeric(20) not null default 0,
  add column peak numeric(20) not null default 0,
  add column peak_window numeric(20) not null default 0,
  add column worth numeric(20) not null default 0,
  add column recent numeric(20)[] not null default '{}';
