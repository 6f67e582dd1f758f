//! SQL shared by several resources.

use sqlx::{Encode, Postgres, QueryBuilder, Type};

/// SQL condition: the account in row `m` is closed on chain.
pub const IS_CLOSED: &str = "(m.ended_slot is not null)";

/// Appends ` and expression = value`; appends nothing if `value` is `None`.
pub fn push_equals<'a, T>(sql: &mut QueryBuilder<'a, Postgres>, expression: &str, value: Option<T>)
where
    T: 'a + Encode<'a, Postgres> + Type<Postgres>,
{
    if let Some(value) = value {
        sql.push(format!(" and {expression} = ")).push_bind(value);
    }
}
