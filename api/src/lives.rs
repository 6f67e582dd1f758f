//! Lives: an account that is closed can be created again at the same address. The mirror keeps every
//! life, named by the event that began it.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::IntoParams;

use crate::{bytes::Key, event_id::EventId};

/// Query parameter of the routes that return one account, or what belongs to it.
#[derive(Clone, Copy, Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LifeFilter {
    /// The `life` to return, if the account was closed and created again at the address; the current
    /// one by default.
    pub life: Option<EventId>,
}

impl LifeFilter {
    /// Appends the condition that selects the account in row `m` at `key`.
    pub fn push(self, sql: &mut QueryBuilder<Postgres>, key: &Key) {
        sql.push(" and m.address = ").push_bind(*key);
        match self.life {
            Some(life) => sql.push(" and m.life = ").push_bind(life),
            None => sql.push(" and m.is_current"),
        };
    }

    /// Name of the account at `key`, for error messages.
    pub fn name(self, key: &Key) -> String {
        match self.life {
            Some(life) => format!("{key} with life {life}"),
            None => key.to_string(),
        }
    }
}

/// Events of one life of an account: those from `from` on and before `until`.
#[derive(Clone, Copy)]
pub struct LifeRange {
    from: EventId,
    until: EventId,
}

impl LifeRange {
    /// Reads when `life` of the account at `key` ends: when the next one begins. `table` is that of
    /// the account's type.
    pub async fn read(
        db: &mut PgConnection,
        table: &str,
        key: &Key,
        life: EventId,
    ) -> Result<Self, sqlx::Error> {
        let mut sql = QueryBuilder::new("select min(life) from chain.");
        sql.push(table).push(" where address = ").push_bind(*key);
        sql.push(" and life > ").push_bind(life);
        let next: Option<EventId> = sql.build_query_scalar().fetch_one(db).await?;
        Ok(Self {
            from: life,
            until: next.unwrap_or(EventId(i64::MAX)),
        })
    }

    /// Appends the condition that `column`, the id of an event, is in the range.
    pub fn push(self, sql: &mut QueryBuilder<Postgres>, column: &str) {
        sql.push(format!(" and {column} >= ")).push_bind(self.from);
        if self.until != EventId(i64::MAX) {
            sql.push(format!(" and {column} < ")).push_bind(self.until);
        }
    }

    /// Appends the condition that `column`, the life of another account, began in the range. If
    /// the mirror does not know when an account began, the account belongs to the latest range.
    pub fn push_children(self, sql: &mut QueryBuilder<Postgres>, column: &str) {
        if self.until == EventId(i64::MAX) {
            sql.push(format!(" and ({column} = 0 or {column} >= "));
            sql.push_bind(self.from).push(")");
        } else {
            self.push(sql, column);
        }
    }
}

/// Joins `alias`: the life of the account in `table` at `address` that was current at the event `at`.
/// If `at` is 0, that is, unknown, and the mirror has no life of unknown beginning, the latest life.
pub fn join_life(table: &str, alias: &str, address: &str, at: &str) -> String {
    format!(
        " join lateral (
            (select p.* from chain.{table} p where p.address = {address} and p.life <= {at}
             order by p.life desc limit 1)
            union all
            (select p.* from chain.{table} p where p.address = {address} and {at} = 0
             order by p.life desc limit 1)
            limit 1) {alias} on true "
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: EventId = EventId(i64::MAX);

    fn condition(push: impl FnOnce(&mut QueryBuilder<Postgres>)) -> String {
        let mut sql = QueryBuilder::new("where true");
        push(&mut sql);
        sql.sql().as_str().to_owned()
    }

    #[test]
    fn an_account_is_selected_by_its_life_or_the_current_one() {
        let key = Key::from(driftshield_sdk::ID);
        let select = |life| condition(|sql| LifeFilter { life }.push(sql, &key));
        assert_eq!(
            select(None),
            "where true and m.address = $1 and m.is_current"
        );
        assert_eq!(
            select(Some(EventId(7))),
            "where true and m.address = $1 and m.life = $2"
        );
    }

    #[test]
    fn a_range_ends_where_the_next_life_begins() {
        let (from, until) = (EventId(5), EventId(9));
        let range = LifeRange { from, until };
        let expected = "where true and o.id >= $1 and o.id < $2";
        assert_eq!(condition(|sql| range.push(sql, "o.id")), expected);
        assert_eq!(condition(|sql| range.push_children(sql, "o.id")), expected);

        let range = LifeRange { from, until: LAST };
        assert_eq!(
            condition(|sql| range.push(sql, "o.id")),
            "where true and o.id >= $1"
        );
        assert_eq!(
            condition(|sql| range.push_children(sql, "m.life")),
            "where true and (m.life = 0 or m.life >= $1)"
        );
    }
}
