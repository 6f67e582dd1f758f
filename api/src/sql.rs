//! SQL shared by several resources.

use sqlx::{Encode, Postgres, QueryBuilder, Type};

/// Joins `creation`, the event that created the account `m`. The address of a closed account can be
/// used again, and its events are then numbered from 1 again; this is the latest creation.
pub const JOIN_CREATION: &str = " left join lateral (
    select e.seq, e.slot, e.block_time
    from chain.event_account a join chain.event e on e.seq = a.seq
    where a.account = m.address and a.number = 1
    order by a.seq desc limit 1) creation on true ";

/// Sequence number of the creation event; 0 if it is older than the mirror's history.
pub const CREATED_SEQ: &str = "coalesce(creation.seq, 0)";

/// Whether an account is closed on chain.
pub const IS_CLOSED: &str = "(m.closed_slot is not null)";

/// Appends the condition that `expression` equals `value`, if there is one.
pub fn push_equals<'a, T>(sql: &mut QueryBuilder<'a, Postgres>, expression: &str, value: Option<T>)
where
    T: 'a + Encode<'a, Postgres> + Type<Postgres>,
{
    if let Some(value) = value {
        sql.push(format!(" and {expression} = ")).push_bind(value);
    }
}
