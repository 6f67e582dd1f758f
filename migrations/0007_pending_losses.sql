-- Payments that a vault's capital has not borne yet.
alter table chain.vault add column pending_losses numeric(20) not null default 0;
alter table chain.capital add column pending_losses numeric(20) not null default 0;
