//! SQL shared by several resources.

use sqlx::{Encode, Postgres, QueryBuilder, Type};

/// Left-joins `creation`: the event that created the account in row `m`. A closed account can be
/// created again at the same address, so this is the latest event with `number` 1.
pub const JOIN_CREATION: &str = " left join lateral (
    select e.seq, e.slot, e.block_time
    from chain.event_account a join chain.event e on e.seq = a.seq
    where a.account = m.address and a.number = 1
    order by a.seq desc limit 1) creation on true ";

/// Mirror-wide `seq` of the creation event; 0 if the mirror does not have that event.
pub const CREATED_SEQ: &str = "coalesce(creation.seq, 0)";

/// SQL condition: the account in row `m` is closed on chain.
pub const IS_CLOSED: &str = "(m.closed_slot is not null)";

/// Appends ` and expression = value`; appends nothing if `value` is `None`.
pub fn push_equals<'a, T>(sql: &mut QueryBuilder<'a, Postgres>, expression: &str, value: Option<T>)
where
    T: 'a + Encode<'a, Postgres> + Type<Postgres>,
{
    if let Some(value) = value {
        sql.push(format!(" and {expression} = ")).push_bind(value);
    }
}
