-- Number of times that a vault's manager listed a model or changed a listing. Existing vaults have 0.
alter table chain.vault add column listings bigint not null default 0;
