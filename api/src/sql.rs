//! SQL shared by several resources.

use sqlx::{Encode, PgConnection, Postgres, QueryBuilder, Type};

/// SQL condition: the account in row `m` is closed on chain.
pub const IS_CLOSED: &str = "(m.ended_slot is not null)";

/// Lets Postgres sort in this transaction: what the list selects has no index in the list's order.
pub async fn allow_sort(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("set local enable_sort = on")
        .execute(db)
        .await?;
    Ok(())
}

/// Appends ` and expression = value`; appends nothing if `value` is `None`.
pub fn push_equals<'a, T>(sql: &mut QueryBuilder<'a, Postgres>, expression: &str, value: Option<T>)
where
    T: 'a + Encode<'a, Postgres> + Type<Postgres>,
{
    if let Some(value) = value {
        sql.push(format!(" and {expression} = ")).push_bind(value);
    }
}
