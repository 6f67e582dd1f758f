//! SQL shared by several resources.

use sqlx::{Encode, PgConnection, PgPool, Postgres, QueryBuilder, Type};
use utoipa::{
    PartialSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::problem::Problem;

/// Whether a standby canceled a read because the primary has removed rows that it needs. A retry reads
/// newer ones.
pub fn is_recovery_conflict(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.and_then(|error| error.code()).as_deref() == Some("40001")
}

/// Whether the database is a standby, which nothing can be written to.
pub async fn is_standby(db: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_is_in_recovery()")
        .fetch_one(db)
        .await
}

/// SQL condition: the account in row `m` is closed on chain.
pub const IS_CLOSED: &str = "(m.ended_slot is not null)";

/// SQL conditions that divide accounts in rows `m` into open and closed ones; one that has all if `given`:
/// the list is filtered by it.
pub fn open_or_closed(given: bool) -> Vec<String> {
    unless(given, || {
        ["m.ended_slot is null", "m.ended_slot is not null"]
            .map(str::to_owned)
            .into()
    })
}

/// SQL conditions that divide rows by the values of `column`, which has a value of the enum `T`; one that
/// has all if `given`: the list is filtered by it.
///
/// # Panics
///
/// If `T` isn't an enum without fields.
pub fn each_value<T: PartialSchema>(column: &str, given: bool) -> Vec<String> {
    unless(given, || {
        let values = match T::schema() {
            RefOr::T(Schema::Object(object)) => object.enum_values.unwrap_or_default(),
            _ => vec![],
        };
        assert!(!values.is_empty(), "{column} is no enum");
        let texts = values.iter().filter_map(|value| value.as_str());
        texts.map(|value| format!("{column} = '{value}'")).collect()
    })
}

/// The conditions, unless the list is filtered by one of them.
pub fn unless(given: bool, conditions: impl FnOnce() -> Vec<String>) -> Vec<String> {
    if given {
        vec!["true".to_owned()]
    } else {
        conditions()
    }
}

/// Refuses a combination of filters for which no index exists. `rule` says what to give instead.
pub fn refuse_if(combined: bool, rule: &'static str) -> Result<(), Problem> {
    if combined {
        return Err(Problem::Combination(rule));
    }
    Ok(())
}

/// Lets Postgres sort in this transaction: what the list selects has no index in the list's order.
pub async fn allow_sort(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("set local enable_sort = on")
        .execute(db)
        .await?;
    Ok(())
}

/// Appends ` and expression = value`; appends nothing if `value` is `None`.
pub fn push_equals<'a, T>(sql: &mut QueryBuilder<Postgres>, expression: &str, value: Option<T>)
where
    T: Encode<'a, Postgres> + Type<Postgres>,
{
    if let Some(value) = value {
        sql.push(format!(" and {expression} = ")).push_bind(value);
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is read")]
    enum State {
        /// Documented.
        Open,
        SoldOut,
    }

    #[test]
    fn a_list_is_divided_by_all_values_of_a_filter_that_is_not_given() {
        assert_eq!(
            each_value::<State>("m.status", false),
            ["m.status = 'open'", "m.status = 'sold_out'"]
        );
        assert_eq!(each_value::<State>("m.status", true), ["true"]);
        assert_eq!(open_or_closed(false).len(), 2);
        assert_eq!(open_or_closed(true), ["true"]);
    }
}
