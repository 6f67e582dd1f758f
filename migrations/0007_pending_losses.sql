-- Payments that a vault's capital has not borne yet.
alter table chain.vault
  add column pending_losses numeric(20) not null default 0,
  add column losses numeric(20)[] not null default '{}';
alter table chain.capital add column pending_losses numeric(20) not null default 0;
-- What losses have left of requested capital is scaled up whenever little is left.
alter table chain.vault rename column wipeouts to leaving_scale;
alter table chain.withdraw_request rename column wipeouts to scale;
