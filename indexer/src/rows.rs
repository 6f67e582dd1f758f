//! Rows as JSON objects, whose members are named like the columns.

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

/// How many rows one statement takes: JSON in Postgres has a size limit.
pub const STATEMENT_ROWS: usize = 5_000;

/// Inserts whole rows: an object without a member for each column would write null.
pub async fn insert(
    connection: &mut PgConnection,
    table: &str,
    rows: &[Value],
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into chain.{table} select * from jsonb_populate_recordset(null::chain.{table}, $1)"
    );
    for rows in rows.chunks(STATEMENT_ROWS) {
        sqlx::query(&sql)
            .bind(Json(rows))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
