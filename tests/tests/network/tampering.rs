//! `indexer verify` compares every column of the mirror: each one is changed, and must be named.
//!
//! The columns come from the database: a new one must be compared, or be listed here with the reason why it can't.

mod cursor;
mod special;

use std::collections::BTreeSet;

use driftshield_tests::network::Network;
use sqlx::{AssertSqlSafe, PgPool};

use crate::mirror;
use cursor::{GAP_SLOTS, GAP_STATES, LATE, TOTALS};
use special::{ACCOUNTS, BEFORE_ROWS, EVENTS, PAST_RANKS, Round};

/// Columns that verification can't compare, with the reason.
const UNCOMPARED: &[(&str, &str, &str)] = &[
    ("cursor", "only_row", "it has one value"),
    ("cursor", "tip_at", "only the source knew it"),
    ("cursor", "updated_at", "only the indexer's clock knew it"),
    ("cursor", "block_time_tolerance", "it is a setting"),
    ("cursor", "timeline", "only the server knows it"),
    (
        "mark",
        "at",
        "it tells what is old, and nothing of the chain",
    ),
    ("mark", "seq", "the same"),
    ("mark", "finalized_slot", "the same"),
    ("gap", "reason", "it is for people"),
    (
        "gap",
        "opened_at",
        "only the indexer's clock knew it; it is before closed_at",
    ),
    (
        "account_version",
        "is_exact",
        "only the stream told how the bytes came",
    ),
    (
        "market_volume_past",
        "address",
        "the replaced ranks of a life that was undone stay for a while",
    ),
    ("market_volume_past", "life", "the same"),
    ("vault_assets_past", "address", "the same"),
    ("vault_assets_past", "life", "the same"),
    (
        "vault_assets_past",
        "is_closed",
        "nothing tells what a vault was like in the last minutes",
    ),
    ("vault_assets_past", "rank", "the same"),
];
/// Tables that aren't compared, because they are what verification reports.
const REPORTED: &[&str] = &["dead_letter"];
/// Tables without a row in the world of the test, which are compared like `sale`: one that has rows must be
/// tampered with. `gap` has a test of its own.
const EMPTY: &[&str] = &["penalty", "policy_payout", "gap"];

/// Tables whose columns, other than the key, are changed in all rows at once, and must be named for each row: the
/// table and its key.
const ROWS: &[(&str, &[&str])] = &[
    ("config", LIFE),
    ("collateral", LIFE),
    ("model", LIFE),
    ("seat", LIFE),
    ("receipt", LIFE),
    ("series", LIFE),
    ("market", LIFE),
    ("position", LIFE),
    ("vault", LIFE),
    ("exposure", LIFE),
    ("withdraw_request", LIFE),
    ("policy", LIFE),
];
const LIFE: &[&str] = &["address", "life"];
/// The same for tables that would hide changes of those.
const DERIVED: &[(&str, &[&str])] = &[
    ("ask", &["address", "life", "outcome"]),
    ("market_volume", &["address", "life", "valid_from"]),
    ("vault_assets", &["address", "life", "valid_from"]),
    ("event_account", &["account", "event_id"]),
    ("odds", &["event_id"]),
    ("sale", &["event_id"]),
    ("capital", &["event_id"]),
];
/// And for those that are compared with the ones before.
const PAST: &[(&str, &[&str])] = &[
    (
        "market_volume_past",
        &["address", "life", "valid_from", "rank"],
    ),
    (
        "vault_assets_past",
        &["address", "life", "valid_from", "is_closed", "rank"],
    ),
];
/// Keys that are changed in all rows, in two rounds.
const KEYS: [&[(&str, &str)]; 2] = [
    &[
        ("event_account", "event_id"),
        ("event_party", "event_id"),
        ("odds", "event_id"),
        ("sale", "event_id"),
        ("capital", "event_id"),
    ],
    &[("event_account", "account"), ("event_party", "wallet")],
];

/// A column of a table of schema `chain`.
type Column = (String, String);

struct Tampering<'a> {
    network: &'a Network,
    pool: &'a PgPool,
    tampered: BTreeSet<Column>,
    /// What is not reported.
    failures: Vec<String>,
}

/// Changes every column of a mirror that nobody writes, in a few rounds, and asserts that verification names it.
pub async fn every_column_is_compared(network: &Network, pool: &PgPool) {
    let mut tampering = Tampering {
        network,
        pool,
        tampered: BTreeSet::new(),
        failures: vec![],
    };
    tampering.save().await;
    tampering.round(ROWS, BEFORE_ROWS, &[]).await;
    tampering.round(DERIVED, ACCOUNTS, &[]).await;
    tampering.round(PAST, PAST_RANKS, &[]).await;
    tampering.round(&[], EVENTS, &[]).await;
    tampering.totals().await;
    tampering.round(&[], LATE, &[]).await;
    for (place, keys) in (0..).zip(KEYS) {
        let of_lives = ROWS.iter().map(|(table, _)| (*table, LIFE[1 - place]));
        let keys: Vec<_> = keys.iter().copied().chain(of_lives).collect();
        tampering.round(&[], &[], &keys).await;
    }
    let failures = &tampering.failures;
    assert!(failures.is_empty(), "not reported: {failures:#?}");
    let all = tampering.columns().await;
    let missing: Vec<_> = all.difference(&tampering.tampered).collect();
    assert!(
        missing.is_empty(),
        "compare these columns, or say why not: {missing:?}"
    );
    mirror::assert_matches_chain(network);
}

/// Changes the record of the slots that a mirror has lost.
pub async fn lost_slots_are_compared(network: &Network, pool: &PgPool) {
    let mut tampering = Tampering {
        network,
        pool,
        tampered: BTreeSet::new(),
        failures: vec![],
    };
    tampering.save().await;
    tampering.round(&[], GAP_STATES, &[]).await;
    tampering.round(&[], GAP_SLOTS, &[]).await;
    let failures = &tampering.failures;
    assert!(failures.is_empty(), "not reported: {failures:#?}");
    mirror::assert_matches_chain(network);
}

impl Tampering<'_> {
    fn expect(&mut self, is_reported: bool, what: String) {
        if !is_reported {
            self.failures.push(what);
        }
    }

    async fn run(&self, sql: &str) -> u64 {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(self.pool).await;
        done.unwrap_or_else(|error| panic!("{error}: {sql}"))
            .rows_affected()
    }

    async fn strings(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.pool)
            .await;
        rows.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    async fn tables(&self) -> Vec<String> {
        let tables = "select relname::text from pg_class where relnamespace = 'chain'::regnamespace
            and relkind in ('r', 'p') and not relispartition and relname <> 'life'";
        self.strings(tables).await
    }

    /// All columns that must be compared.
    async fn columns(&self) -> BTreeSet<Column> {
        let columns: Vec<Column> = sqlx::query_as(
            "select table_name::text, column_name::text from information_schema.columns
             where table_schema = 'chain' and table_name = any($1)",
        )
        .bind(self.tables().await)
        .fetch_all(self.pool)
        .await
        .unwrap();
        let is_due = |(table, column): &Column| {
            let known = UNCOMPARED
                .iter()
                .map(|(table, column, _)| (*table, *column));
            !REPORTED.contains(&&**table)
                && !EMPTY.contains(&&**table)
                && !known.into_iter().any(|known| known == (table, column))
        };
        columns.into_iter().filter(is_due).collect()
    }

    /// Keeps copies of the tables, and lets them take any value.
    async fn save(&self) {
        let checks =
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname)
            from pg_constraint where connamespace = 'chain'::regnamespace and contype = 'c'";
        for drop in self.strings(checks).await {
            self.run(&drop).await;
        }
        // Ranks from before all accounts were read can be incomplete, so that they aren't compared.
        self.run(
            "delete from chain.market_volume_past where valid_from <=
               (select max(seq) from chain.feed where kind in ('settled', 'rollback'))",
        )
        .await;
        self.run("create schema saved").await;
        for table in self.tables().await {
            self.run(&format!(
                "create table saved.{table} as table chain.{table}"
            ))
            .await;
        }
        for table in EMPTY.iter().filter(|table| **table != "gap") {
            let rows: i64 =
                sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from chain.{table}")))
                    .fetch_one(self.pool)
                    .await
                    .unwrap();
            assert_eq!(rows, 0, "chain.{table} has rows: tamper with it");
        }
    }

    /// Restores the tables in which something was changed.
    async fn restore(&self, tables: &BTreeSet<String>) {
        for table in tables {
            self.run(&format!("delete from chain.{table}")).await;
            self.run(&format!(
                "insert into chain.{table} select * from saved.{table}"
            ))
            .await;
        }
    }

    /// Changes the columns of `rows` but for their keys, what `special` says, and `keys` in all rows. Expects
    /// each to be reported, and restores the mirror.
    async fn round(&mut self, rows: &[(&str, &[&str])], special: Round, keys: &[(&str, &str)]) {
        let mut changed = BTreeSet::new();
        let mut expected = vec![];
        for (table, column, statement) in special {
            let reported = mirror::damage(self.pool, statement).await;
            for text in reported.split('|') {
                expected.push((table, column, text.to_owned()));
            }
            changed.insert((*table).to_owned());
            self.tampered
                .insert(((*table).to_owned(), (*column).to_owned()));
        }
        for (table, key) in rows {
            self.change_all(table, |column| !key.contains(&column))
                .await;
            changed.insert((*table).to_owned());
        }
        for (table, key) in keys {
            self.change_all(table, |column| column == *key).await;
            changed.insert((*table).to_owned());
        }
        let differences = mirror::differences(self.network);
        for (table, column, text) in expected {
            let is_reported = differences.iter().any(|line| line.contains(&text));
            let subject = text.split(':').next().unwrap_or_default();
            let of_it = differences.iter().filter(|line| line.contains(subject));
            let of_it: Vec<_> = of_it.collect();
            self.expect(
                is_reported,
                format!("{table}.{column}: {text} in {of_it:?}"),
            );
        }
        for (table, key) in rows {
            self.expect_named(table, key, &differences).await;
        }
        for (table, column) in keys {
            // A row with another key is missing.
            let names = [format!("chain.{table}"), format!("chain.\"{table}\"")];
            let is_named = |line: &String| names.iter().any(|name| line.contains(name));
            let is_reported = differences.iter().any(is_named);
            self.expect(is_reported, format!("{table}.{column}"));
            self.tampered
                .insert(((*table).to_owned(), (*column).to_owned()));
        }
        self.restore(&changed).await;
    }

    /// Changes columns in all rows of a table.
    async fn change_all(&self, table: &str, is_changed: impl Fn(&str) -> bool) {
        let columns: Vec<Column> = sqlx::query_as(
            "select column_name::text, case data_type when 'ARRAY' then udt_name else data_type end::text
             from information_schema.columns where table_schema = 'chain' and table_name = $1",
        )
        .bind(table)
        .fetch_all(self.pool)
        .await
        .unwrap();
        let columns = columns.iter().filter(|(column, _)| is_changed(column));
        let set: Vec<_> = columns.map(|(column, ty)| changed(column, ty)).collect();
        let changed = self
            .run(&format!("update chain.{table} set {}", set.join(", ")))
            .await;
        assert!(0 < changed, "chain.{table} has no row");
    }

    /// Expects the columns of a table, but for its key, to be named for each row.
    async fn expect_named(&mut self, table: &str, key: &[&str], differences: &[String]) {
        let subject = match key {
            ["address", ..] => "'account ' || base58(address) || ':'",
            _ => "'event ' || event_id || ':'",
        };
        let rows = format!("select distinct {subject} from saved.{table}");
        let rows = self.strings(&rows).await;
        let (quoted, plain) = (
            format!("chain.\"{table}\" differ: "),
            format!("chain.{table} differ: "),
        );
        for (_, column) in self.columns().await.iter().filter(|(of, _)| of == table) {
            if key.contains(&column.as_str()) {
                continue;
            }
            let names = |line: &String| {
                let named = line.split_once(&quoted).or_else(|| line.split_once(&plain));
                named.is_some_and(|(_, columns)| columns.split(", ").any(|name| name == column))
            };
            for row in &rows {
                let is_named = differences
                    .iter()
                    .any(|line| line.starts_with(row) && names(line));
                self.expect(is_named, format!("{table}.{column} of {row}"));
            }
            self.tampered.insert((table.to_owned(), column.clone()));
        }
    }

    /// Changes the measures of all totals by hour, and what is kept of them.
    async fn totals(&mut self) {
        let key = ["slot", "existed", "kind", "subject", "mint", "hour"];
        for table in ["hourly", "hourly_version"] {
            self.change_all(table, |column| !key.contains(&column))
                .await;
            let differences = mirror::differences(self.network);
            let kept = if table == "hourly" {
                "in the hour of"
            } else {
                "kept to undo"
            };
            for (_, column) in self.columns().await.iter().filter(|(of, _)| of == table) {
                if key.contains(&column.as_str()) {
                    continue;
                }
                let named = format!(": {column} is ");
                let is_named = |line: &String| line.contains(kept) && line.contains(&named);
                let is_reported = differences.iter().any(is_named);
                self.expect(is_reported, format!("{table}.{column}"));
                self.tampered.insert((table.to_owned(), column.clone()));
            }
            self.restore(&[table.to_owned()].into()).await;
        }
        self.round(&[], TOTALS, &[]).await;
    }
}

/// Assignment of another value to a column.
fn changed(column: &str, ty: &str) -> String {
    let value = match ty {
        "boolean" => format!("not \"{column}\""),
        "text" => format!("\"{column}\" || 'x'"),
        "bytea" => format!(
            "set_byte(coalesce(\"{column}\", '\\x00'), 0, get_byte(coalesce(\"{column}\", '\\x00'), 0) # 1)"
        ),
        "jsonb" => format!(
            "\"{column}\" || case jsonb_typeof(\"{column}\") when 'array' then '[{{}}]' else '{{\"x\": 1}}' end::jsonb"
        ),
        "timestamp with time zone" => format!("coalesce(\"{column}\", now()) + interval '1 h'"),
        "_bytea" => format!("array_append(\"{column}\", '\\x01'::bytea)"),
        "_text" => format!("array_append(\"{column}\", 'x')"),
        list if list.starts_with('_') => format!("array_append(\"{column}\", 1)"),
        _ => format!("coalesce(\"{column}\", 0) + 1"),
    };
    format!("\"{column}\" = {value}")
}
