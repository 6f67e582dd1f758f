-- How often a vault's manager has listed a model. The accounts of before have zeros there.
alter table chain.vault add column listings bigint not null default 0;
