//! The rows of a mirror by `COPY` into the same tables: the fastest way to store them in Postgres.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::chain::Chain;

/// Size of a message to Postgres.
const MESSAGE_BYTES: usize = 64 << 10;

/// Rows that were copied in one transaction.
pub struct Copied {
    pub rows: u64,
    pub bytes: usize,
    pub time: Duration,
}

impl Copied {
    pub fn rows_per_sec(&self) -> f64 {
        self.rows as f64 / self.time.as_secs_f64()
    }
}

/// A table, and its rows in the binary format.
struct Content {
    table: String,
    columns: String,
    bytes: Vec<u8>,
    /// 0 until the rows are stored.
    rows: u64,
}

/// Stores the rows that a mirror has in the end: each account once, in its last state.
pub async fn last_rows(database_url: &str) -> anyhow::Result<Copied> {
    measure(database_url, |columns, table| {
        format!("select {columns} from {table}")
    })
    .await
}

/// Stores the rows that a mirror was sent: each account once for each of its updates, always in the last
/// state, with lives that differ.
pub async fn all_rows(database_url: &str, chain: &Chain) -> anyhow::Result<Copied> {
    let mut connection = PgConnection::connect(database_url).await?;
    let mut updates: HashMap<&[u8], i64> = HashMap::new();
    for slot in chain.slots() {
        for (transaction, account) in chain.last_updates(slot.transactions) {
            let account = &chain.recording.transactions[transaction].accounts[account];
            *updates.entry(&account.pubkey).or_default() += 1;
        }
    }
    let (addresses, counts): (Vec<_>, Vec<_>) = updates.into_iter().unzip();
    sqlx::raw_sql(
        "create table public.updates (address bytea primary key, number bigint not null)",
    )
    .execute(&mut connection)
    .await?;
    sqlx::query("insert into public.updates select * from unnest($1::bytea[], $2::bigint[])")
        .bind(addresses)
        .bind(counts)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    measure(database_url, |columns, table| {
        if !columns.contains("\"is_current\"") {
            return format!("select {columns} from {table}");
        }
        let columns = columns
            .replace("\"is_current\"", "row.is_current and place = 0")
            .replace("\"life\"", "row.life + place")
            .replace("\"address\"", "row.address");
        format!(
            "select {columns} from {table} row
             left join public.updates on updates.address = row.address and row.is_current
             cross join lateral generate_series(0, coalesce(number, 1) - 1) as copies (place)"
        )
    })
    .await
}

/// Reads rows, empties the tables, and measures the time to store the rows in them.
async fn measure(
    database_url: &str,
    query: impl Fn(&str, &str) -> String,
) -> anyhow::Result<Copied> {
    let mut connection = PgConnection::connect(database_url).await?;
    let mut contents = vec![];
    for (table, columns) in tables(&mut connection).await? {
        let copy = format!(
            "copy ({}) to stdout (format binary)",
            query(&columns, &table)
        );
        let mut messages = connection.copy_out_raw(&copy).await?;
        let mut bytes = vec![];
        while let Some(message) = messages.try_next().await? {
            bytes.extend(message);
        }
        contents.push(Content {
            table,
            columns,
            bytes,
            rows: 0,
        });
    }
    let names: Vec<_> = contents.iter().map(|content| &content.table[..]).collect();
    let empty = format!("truncate {}; checkpoint", names.join(", "));
    sqlx::raw_sql(AssertSqlSafe(empty))
        .execute(&mut connection)
        .await?;
    let started = Instant::now();
    let mut transaction = connection.begin().await?;
    for content in &mut contents {
        content.rows = store(&mut transaction, content).await?;
    }
    transaction.commit().await?;
    let time = started.elapsed();
    connection.close().await?;
    Ok(Copied {
        rows: contents.iter().map(|content| content.rows).sum(),
        bytes: contents.iter().map(|content| content.bytes.len()).sum(),
        time,
    })
}

async fn store(connection: &mut PgConnection, content: &Content) -> anyhow::Result<u64> {
    let (table, columns) = (&content.table, &content.columns);
    let statement = format!("copy {table} ({columns}) from stdin (format binary)");
    let mut copy = connection.copy_in_raw(&statement).await?;
    for message in content.bytes.chunks(MESSAGE_BYTES) {
        copy.send(message).await?;
    }
    Ok(copy.finish().await?)
}

/// The tables that the indexer fills while it follows a stream, each with its columns. Versions to undo
/// slots are not among them: they are deleted once the slots are finalized.
async fn tables(connection: &mut PgConnection) -> anyhow::Result<Vec<(String, String)>> {
    let tables = sqlx::query_as(
        r#"select format('chain.%I', relname),
             (select string_agg('"' || attname || '"', ', ' order by attnum) from pg_attribute
              where attrelid = pg_class.oid and 0 < attnum and not attisdropped)
           from pg_class
           where relnamespace = 'chain'::regnamespace and relkind in ('r', 'p')
             and not relispartition
             and relname not in ('life', 'cursor', 'gap', 'dead_letter', 'account_version',
               'hourly_version')
           order by relname"#,
    );
    Ok(tables.fetch_all(connection).await?)
}
