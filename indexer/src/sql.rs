//! Statements that are built at run time.

use sqlx::AssertSqlSafe;

/// A statement built from this program's own text: SQL, and names of tables and columns. Values are
/// always bound.
pub fn built(statement: impl Into<String>) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement.into())
}
