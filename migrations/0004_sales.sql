-- Sales of stakes between bettors.

-- Asks by outcome: amount, price, valid_until and reports, as docs/accounts.md describes them.
alter table chain.position add column asks jsonb not null default '[]';
-- Number of submissions, challenges and rulings. Asks that were set before the latest have fallen.
alter table chain.model add column reports bigint not null default 0;

-- Sales of stakes, taken from the events of the purchases.
create table chain.sale (
  market text not null,
  seq bigint not null references chain.event on delete cascade,
  slot bigint not null,
  block_time timestamptz,
  seller text not null,
  buyer text not null,
  -- Positions from and to which the stake moved.
  seller_position text not null,
  position text not null,
  -- Token account that received the payment.
  destination text not null,
  outcome smallint not null,
  -- Stake that was sold, in base units.
  amount numeric(20) not null,
  -- Price in thousandths of the stake.
  price bigint not null,
  -- Payment in base units.
  paid numeric(20) not null,
  -- Stakes left in the seller's position, in base units; at 0 the position is closed.
  seller_total numeric(20) not null,
  constraint sale_key primary key (market, seq)
);

create index sale_seller_position on chain.sale (seller_position, seq);
create index sale_seller on chain.sale (seller, seq);
create index sale_buyer on chain.sale (buyer, seq);
