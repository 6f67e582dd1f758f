//! The mirror as an older decoder would have left it.

use driftshield_sdk::Address;
use sqlx::{AssertSqlSafe, PgPool};

/// Tables with rows derived from events.
const DERIVED: [&str; 7] = [
    "event_account",
    "event_party",
    "odds",
    "sale",
    "penalty",
    "capital",
    "policy_payout",
];

/// What an event adds to the totals: its name, the subjects by their kind and the field with their address,
/// and the measures, each with its field; 1 without one. Markets are of the model that their row names.
const COUNTED: [(&str, &str, &str); 5] = [
    (
        "BetPlaced",
        "platform model=model market=market wallet=owner",
        "bets staked=amount rents=rent",
    ),
    (
        "PositionBought",
        "platform model=of_market market=market wallet=seller",
        "sales sold=amount sold_for=paid",
    ),
    (
        "PositionBought",
        "wallet=buyer",
        "purchases bought=amount bought_for=paid",
    ),
    (
        "MarketCreated",
        "platform model=model wallet=creator",
        "markets",
    ),
    (
        "Deposited",
        "platform vault=vault wallet=owner",
        "deposits deposited=amount",
    ),
];

/// A statement about an address.
pub struct Tampering<'a> {
    statement: &'a str,
    address: &'a Address,
}

impl<'a> Tampering<'a> {
    pub fn of(statement: &'a str, address: &'a Address) -> Self {
        Self { statement, address }
    }
}

pub struct Older<'a> {
    pool: &'a PgPool,
}

impl<'a> Older<'a> {
    pub fn new(pool: &'a PgPool) -> Self {
        Self { pool }
    }

    /// Runs a statement that changes at least one row.
    pub async fn run(&self, tampering: Tampering<'_>) {
        let Tampering { statement, address } = tampering;
        let query = sqlx::query(AssertSqlSafe(statement)).bind(address.as_ref());
        let done = query.execute(self.pool).await;
        let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(0 < done.rows_affected(), "{statement}");
    }

    /// Id of an event of an account, by its name and its place among these events.
    pub async fn event(&self, name: &str, account: &Address, place: i64) -> i64 {
        sqlx::query_scalar(
            "select id from chain.event join chain.event_account on event_id = id
             where name = $1 and account = $2 order by id offset $3 limit 1",
        )
        .bind(name)
        .bind(account.as_ref())
        .bind(place)
        .fetch_one(self.pool)
        .await
        .unwrap_or_else(|error| panic!("{name} {place}: {error}"))
    }

    async fn execute(&self, statement: &str, id: i64) -> u64 {
        let done = sqlx::query(AssertSqlSafe(statement))
            .bind(id)
            .execute(self.pool)
            .await;
        let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        done.rows_affected()
    }

    /// Takes back what an event says, but for the accounts.
    pub async fn forget_event(&self, id: i64) {
        for (name, subjects, measures) in COUNTED {
            for subject in subjects.split(' ') {
                self.subtract(id, name, subject, measures).await;
            }
        }
        for table in DERIVED {
            let delete = format!("delete from chain.{table} where event_id = $1");
            self.execute(&delete, id).await;
        }
        // The latest totals of a vault are those of the last event that was decoded.
        let latest = "
            update chain.hourly set (assets, leaving, shares) = (
              select assets, leaving, shares from chain.capital
              where vault = subject and date_trunc('hour', block_time, 'UTC') = hour
              order by event_id desc limit 1)
            where kind = 'vault' and subject in (select address from chain.vault) and 0 < $1";
        self.execute(latest, id).await;
        for statement in [
            "update chain.event set name = null, body = null where id = $1",
            "update chain.feed set channels = '{}', body = '{\"name\": null, \"body\": null}'
             where event_id = $1",
            "insert into chain.dead_letter (subject, slot, event_id, reason, decoder_version)
             select 'event', slot, id, 'unknown event', 0 from chain.event where id = $1",
        ] {
            assert_eq!(self.execute(statement, id).await, 1, "{statement}");
        }
    }

    async fn subtract(&self, id: i64, name: &str, subject: &str, measures: &str) {
        let (kind, address) = subject.split_once('=').unwrap_or((subject, ""));
        let set: Vec<_> = measures
            .split(' ')
            .map(|measure| match measure.split_once('=') {
                Some((measure, field)) => {
                    format!("{measure} = {measure} - (body ->> '{field}')::numeric")
                }
                None => format!("{measure} = {measure} - 1"),
            })
            .collect();
        let address = match address {
            "" => "''".to_owned(),
            "of_market" => "(select base58(model) from chain.market
                where base58(address) = body ->> 'market')"
                .to_owned(),
            field => format!("body ->> '{field}'"),
        };
        let statement = format!(
            "update chain.hourly set {}
             from chain.event
             where id = $1 and name = '{name}' and hour = date_trunc('hour', block_time, 'UTC')
               and kind = '{kind}' and base58(subject) = {address}",
            set.join(", ")
        );
        self.execute(&statement, id).await;
    }

    /// Without a bet, the pools after the later bets on the market may be unknown.
    pub async fn forget_odds_after(&self, bet: i64, market: &Address) {
        let statement = format!("delete from chain.odds where market = $1 and {bet} < event_id");
        self.run(Tampering::of(&statement, market)).await;
    }

    /// A market that was cancelled shows only that it is closed.
    pub async fn forget_cancellation(&self, market: &Address) {
        for statement in [
            "update chain.account set facts = facts - 'end' where address = $1",
            "update chain.market set status = 'open', seq = seq - 1 where address = $1",
        ] {
            self.run(Tampering::of(statement, market)).await;
        }
    }

    /// A position of which all was sold shows only that it is closed.
    pub async fn forget_sale(&self, market: &Address) {
        for statement in [
            "update chain.account set facts = facts - 'end'
             where address in (select address from chain.position
               where market = $1 and status = 'sold')",
            "update chain.position set status = 'open', seq = seq - 1,
               stakes[3] = 1000000
             where market = $1 and status = 'sold'",
        ] {
            self.run(Tampering::of(statement, market)).await;
        }
    }

    /// A request that was cancelled shows only that it is closed.
    pub async fn forget_request(&self, vault: &Address) {
        for statement in [
            "update chain.account set facts = facts - 'end' - 'settled',
               life = life >> 31 << 31
             where address in (select address from chain.withdraw_request where vault = $1)",
            "update chain.withdraw_request set status = 'paid', settled_at = null, shares = 0,
               life = life >> 31 << 31
             where vault = $1",
        ] {
            self.run(Tampering::of(statement, vault)).await;
        }
    }

    /// The account was never seen.
    pub async fn forget_life(&self, market: &Address) {
        for statement in [
            "delete from chain.account where address = $1",
            "delete from chain.market where address = $1",
            "delete from chain.market_volume where address = $1",
        ] {
            self.run(Tampering::of(statement, market)).await;
        }
    }

    /// The account's life is named after the slot of its first write.
    pub async fn rename_life(&self, market: &Address) {
        for table in ["account", "market", "market_volume"] {
            let statement =
                format!("update chain.{table} set life = life >> 31 << 31 where address = $1");
            self.run(Tampering::of(&statement, market)).await;
        }
    }

    async fn add_letter(&self, subject: &str, address: &Address) {
        let statement = format!(
            "insert into chain.dead_letter (subject, slot, address, reason, data, decoder_version)
             select '{subject}', slot, address, 'an old reason', data, 0
             from chain.account where address = $1"
        );
        self.run(Tampering::of(&statement, address)).await;
    }

    /// The row of an account has an old state: the decoder could not decode a newer one.
    pub async fn make_stale(&self, table: &str, address: &Address) {
        let stale = format!("update chain.{table} set is_stale = true, seq = 1 where address = $1");
        self.run(Tampering::of(&stale, address)).await;
        self.run(Tampering::of(
            "update chain.account set decoder_version = 0 where address = $1",
            address,
        ))
        .await;
        for _ in 0..2 {
            self.add_letter("account", address).await;
        }
    }

    /// The decoder did not know the type of account. Only the first such account has a letter.
    pub async fn make_unknown(&self, table: &str) {
        let sql = format!("delete from chain.{table} returning address");
        let addresses: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.pool)
            .await
            .unwrap();
        for (index, address) in addresses.iter().enumerate() {
            let address: Address = address.as_slice().try_into().unwrap();
            if index == 0 && table == "seat" {
                self.add_letter("account", &address).await;
            }
            self.run(Tampering::of(
                "update chain.account set decoder_version = 0, kind = null where address = $1",
                &address,
            ))
            .await;
        }
    }

    /// Postgres refused the asks of a market's positions.
    pub async fn refuse_asks(&self, market: &Address) {
        let sql = "delete from chain.ask where market = $1 returning address";
        let deleted = sqlx::query_scalar(sql).bind(market.as_ref());
        let addresses: Vec<Vec<u8>> = deleted.fetch_all(self.pool).await.unwrap();
        assert!(!addresses.is_empty());
        for address in addresses {
            let address: Address = address.as_slice().try_into().unwrap();
            self.add_letter("chain.ask", &address).await;
        }
    }

    /// Postgres refused the wallets of the market's last event.
    pub async fn refuse_parties(&self, market: &Address) {
        self.run(Tampering::of(
            "with deleted as (
               delete from chain.event_party where event_id =
                 (select max(event_id) from chain.event_account where account = $1)
               returning event_id)
             insert into chain.dead_letter (subject, slot, event_id, reason, decoder_version)
             select 'chain.event_party', event_id >> 31, event_id, 'refused', 0 from deleted",
            market,
        ))
        .await;
    }
}

/// Id of an event that the tests add.
const MALFORMED: &str = "(select (max(slot) << 31) + (1 << 30) from chain.slot
    where slot <= (select finalized_slot from chain.cursor))";

/// Adds an event that no decoder can decode.
pub async fn add_malformed_event(pool: &PgPool) {
    let statement = format!(
        "with malformed as (
           insert into chain.event (id, slot, signature, data, block_time)
           select {MALFORMED}, slot, decode(repeat('07', 64), 'hex'), '\\x0102', block_time
           from chain.slot where slot = {MALFORMED} >> 31
           returning *)
         insert into chain.dead_letter (subject, slot, event_id, reason, decoder_version)
         select 'event', slot, id, '', 0 from malformed"
    );
    let added = sqlx::query(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(added.rows_affected(), 1);
}

pub async fn remove_malformed_event(pool: &PgPool) {
    let removed = sqlx::query("delete from chain.event where data = '\\x0102'");
    assert_eq!(removed.execute(pool).await.unwrap().rows_affected(), 1);
}

/// Adds a letter about messages that arrived too late.
pub async fn add_letter_of_a_late_slot(pool: &PgPool) {
    sqlx::query(
        "insert into chain.dead_letter (subject, slot, reason, decoder_version)
         select 'slot', min(slot), 'messages of the slot arrived late', 0 from chain.slot",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Adds a letter about totals, of a form that no decoder knows.
pub async fn add_letter_of_totals(pool: &PgPool) {
    sqlx::query(
        "insert into chain.dead_letter (subject, slot, reason, data, decoder_version)
         select 'chain.hourly', min(slot), 'an old reason', '\\x07', 0 from chain.slot",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Makes Postgres refuse new totals of wallets with bets.
pub async fn refuse_totals_of_bets(pool: &PgPool) {
    sqlx::raw_sql(
        "alter table chain.hourly add constraint no_bets
           check (kind <> 'wallet' or bets = 0) not valid",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Makes Postgres accept them, and every letter but that of [`add_letter_of_totals`] due again.
pub async fn accept_totals_of_bets(pool: &PgPool) {
    sqlx::raw_sql(
        "alter table chain.hourly drop constraint no_bets;
         delete from chain.dead_letter where data = '\\x07';
         update chain.dead_letter set decoder_version = 0;",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Number of finalized slots that [`add_slow_letters`] needs.
pub const SLOW_SLOTS: i64 = 20;

/// Adds a batch of events that no decoder can decode to each of twenty slots, and makes each batch take more
/// than half a second. Returns the number of their letters.
pub async fn add_slow_letters(pool: &PgPool) -> i64 {
    let statement = format!("
        with malformed as (
          insert into chain.event (id, slot, signature, data, block_time)
          select (slot << 31) + (1 << 30) + number, slot, decode(repeat('07', 64), 'hex'), '\\x0102',
            block_time
          from (select slot, block_time from chain.slot
                where slot <= (select finalized_slot from chain.cursor)
                order by slot desc limit {SLOW_SLOTS}) as newest,
            generate_series(1, 256) as number
          returning *)
        insert into chain.dead_letter (subject, slot, event_id, reason, decoder_version)
        select 'event', slot, id, '', 0 from malformed"
    );
    let added = sqlx::query(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .unwrap();
    let letters = SLOW_SLOTS * 256;
    assert_eq!(added.rows_affected(), letters.unsigned_abs());
    // A batch updates the letters that stay open, and those that don't.
    sqlx::raw_sql(
        "create function chain.wait() returns trigger language plpgsql as
           $$ begin perform pg_sleep(0.3); return null; end $$;
         create trigger wait before update on chain.dead_letter
           for each statement execute function chain.wait();",
    )
    .execute(pool)
    .await
    .unwrap();
    letters
}

pub async fn remove_slow_letters(pool: &PgPool) {
    sqlx::raw_sql(
        "drop function chain.wait() cascade;
         delete from chain.event where data = '\\x0102';
         delete from chain.dead_letter where event_id is not null;",
    )
    .execute(pool)
    .await
    .unwrap();
}
