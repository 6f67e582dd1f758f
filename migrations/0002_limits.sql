-- When a receipt becomes final, the API reads the limits that its value may have reached: those of the markets
-- that were not settled and of the policies that had not ended before that event. The open markets of a model
-- are a range of an index already; these are the ranges of those that were settled, cancelled or ended since.
create index market_model_settled on chain.market (model, settled_by) where settled_by is not null;
create index market_model_cancelled on chain.market (model, ended_slot) where status = 'cancelled';
-- Open policies are the range of nulls.
create index policy_model_ended on chain.policy (model, ended_slot);
