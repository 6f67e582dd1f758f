//! Database migrations.

use anyhow::Context;
use sqlx::{Connection, PgConnection};

use crate::endpoints::Endpoints;

/// Creates the tables, or updates them to the current schema.
pub async fn migrate(endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("cannot connect to Postgres; check --database-url")?;
    sqlx::migrate!("../migrations")
        .run(&mut connection)
        .await
        .context("cannot migrate the database")
}

/// Adds what to do if the tables don't exist or are of another version.
pub fn with_advice(error: sqlx::Error) -> anyhow::Error {
    const UNDEFINED_TABLE: &str = "42P01";
    const UNDEFINED_COLUMN: &str = "42703";
    let code = match &error {
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    match code.as_deref() {
        Some(UNDEFINED_TABLE | UNDEFINED_COLUMN) => anyhow::anyhow!(
            "the database has no tables of this version ({error}); run `indexer migrate` first"
        ),
        _ => anyhow::Error::new(error).context("database error"),
    }
}
