//! Inserts of rows given as JSON objects, whose members are named after the columns.

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

/// Maximum number of rows in one statement: Postgres limits the size of a JSON value.
pub const MAX_STATEMENT_ROWS: usize = 5_000;

/// Inserts rows into a table of schema `chain`. Each object must have a member for every column:
/// for a missing member, null is inserted instead of the column's default.
pub async fn insert(
    connection: &mut PgConnection,
    table: &str,
    rows: &[Value],
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into chain.{table} select * from jsonb_populate_recordset(null::chain.{table}, $1)"
    );
    for rows in rows.chunks(MAX_STATEMENT_ROWS) {
        sqlx::query(&sql)
            .bind(Json(rows))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
