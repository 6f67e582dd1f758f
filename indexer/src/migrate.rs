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
