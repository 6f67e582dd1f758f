//! Accounts and events with their bytes, as the indexer stores them.

use driftshield_sdk::{Account, Address, Event, json};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

/// A test's database, as the indexer writes it.
pub struct Chain {
    database: PgConnection,
}

/// Id of the only event of a slot.
pub fn id_of(slot: i64) -> i64 {
    slot << 31
}

/// Time of the block of a slot: slots from 1,700 on have one minute each, from 07:00 on.
pub fn time_of(slot: i64) -> String {
    let minutes = slot - 1_700;
    format!("2026-01-01T{:02}:{:02}:00Z", 7 + minutes / 60, minutes % 60)
}

impl Chain {
    pub async fn connect(options: &PgConnectOptions) -> Self {
        let database = options.connect().await.unwrap();
        Self { database }
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &'static str) {
        let run = sqlx::raw_sql(sql).execute(&mut self.database).await;
        run.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Stores the bytes of an open account.
    pub async fn account(&mut self, address: Address, account: &Account) {
        sqlx::query(
            "insert into chain.account (address, life, is_current, kind, data)
             values ($1, 1, true, $2, $3)",
        )
        .bind(address.to_bytes())
        .bind(account.kind().name())
        .bind(account.encode())
        .execute(&mut self.database)
        .await
        .unwrap();
    }

    /// Stores the event of a slot with the accounts and wallets that it names, and with parts of wallets that it
    /// doesn't name.
    pub async fn event(&mut self, slot: i64, event: &Event, unnamed: &[(Address, &str)]) {
        let data = event.encode();
        assert_eq!(Event::decode(&data).as_ref(), Ok(event));
        let decoded = json::event(&data).unwrap();
        sqlx::query(
            "insert into chain.event (id, slot, signature, name, body, data, block_time)
             values ($1, $2, decode(repeat('0c', 64), 'hex'), $3, $4, $5, $6::timestamptz)",
        )
        .bind(id_of(slot))
        .bind(slot)
        .bind(decoded.name)
        .bind(serde_json::Value::Object(decoded.fields))
        .bind(data)
        .bind(time_of(slot))
        .execute(&mut self.database)
        .await
        .unwrap();
        for change in event.changes() {
            sqlx::query("insert into chain.event_account values ($1, $2, $3::bigint)")
                .bind(change.address.to_bytes())
                .bind(id_of(slot))
                .bind(i64::try_from(change.number).unwrap())
                .execute(&mut self.database)
                .await
                .unwrap();
        }
        let named = event.parties().into_iter().map(|party| (party, true));
        let unnamed = unnamed.iter().map(|party| (*party, false));
        for ((wallet, role), is_named) in named.chain(unnamed) {
            sqlx::query("insert into chain.event_party values ($1, $2, $3, $4)")
                .bind(wallet.to_bytes())
                .bind(id_of(slot))
                .bind(role)
                .bind(is_named)
                .execute(&mut self.database)
                .await
                .unwrap();
        }
    }
}
