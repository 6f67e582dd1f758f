-- Premium of windows without a value, which vaults set aside for policies.
alter table chain.vault add column set_aside numeric(20) not null default 0;
alter table chain.capital add column set_aside numeric(20) not null default 0;
alter table chain.policy
  add column unmeasured_windows numeric(20) not null default 0,
  add column examined_until numeric(20) not null default 0;
