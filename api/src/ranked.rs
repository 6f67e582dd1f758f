//! Lists that are sorted by something that changes: all pages have the order as of the first page.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};

use crate::{
    bytes::Key,
    event_id::EventId,
    mirror::Snapshot,
    page::{Order, Page, Pager, SortKey},
    problem::Problem,
};

/// Time for which the pages after the first one can be read.
const MAX_AGE: TimeDelta = TimeDelta::minutes(10);

/// The value by which a list is sorted: a number of any length in decimal digits, as Postgres writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Rank(String);

impl TryFrom<String> for Rank {
    type Error = &'static str;

    /// A cursor that a client has changed can contain any text.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
        match text.len() <= MAX_DIGITS && is_number(whole) && is_number(part) {
            true => Ok(Self(text)),
            false => Err("no number in decimal digits"),
        }
    }
}

/// Length of the longest rank, at least: 20 digits by a token's at most 255 decimals.
const MAX_DIGITS: usize = 1_000;

/// An item and its rank, the column `rank`.
struct Ranked<T> {
    item: T,
    rank: Rank,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Ranked<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            item: T::from_row(row)?,
            rank: Rank(row.try_get("rank")?),
        })
    }
}

/// When the first page of a sorted list was read. All of its pages show the order of that moment.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Moment {
    /// `seq` of the feed.
    seq: i64,
    #[serde(with = "chrono::serde::ts_seconds")]
    time: DateTime<Utc>,
}

impl Moment {
    /// The moment of the list whose previous page ended at `after`, or of a new list.
    ///
    /// # Errors
    ///
    /// If the first page is too old.
    fn of(after: Option<&RankKey>, seq: i64) -> Result<Self, Problem> {
        let now = Utc::now();
        match after.map(|after| after.moment) {
            None => Ok(Self { seq, time: now }),
            Some(moment) if now - moment.time <= MAX_AGE => Ok(moment),
            Some(_) => Err(Problem::CursorExpired(
                "the first page of the sorted list is more than 10 minutes old",
            )),
        }
    }
}

/// A list that is sorted by a value, highest first.
pub struct RankedList {
    /// Table of the accounts.
    pub accounts: &'static str,
    /// Table of their current values: the column `rank`. The table of the same name with `_past` has
    /// the replaced ones.
    pub ranks: &'static str,
}

/// Order of the values (alias `v`).
const ORDER: Order = Order::descending(&["v.rank", "v.address", "v.life"]);

impl RankedList {
    /// Reads a page of the list as of its moment. Each of the conditions `parts` selects a part of the current
    /// values, and the parts are merged as by [`Pager::fetch_merged`]. `filter` appends conditions on rows of
    /// the values' tables (alias `v`), and `key` returns an item's address and life.
    pub async fn page<T>(
        &self,
        snapshot: &mut Snapshot,
        pager: &Pager,
        parts: &[String],
        filter: impl Fn(&mut QueryBuilder<Postgres>),
        key: impl Fn(&T) -> (Key, EventId) + Send + Sync,
    ) -> Result<Page<T>, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let Self { accounts, ranks } = self;
        let moment = Moment::of(pager.after::<RankKey>()?.as_ref(), snapshot.seq())?;
        let mut sql = QueryBuilder::new("select m.*, v.rank::text as rank from (");
        for part in parts {
            sql.push(format!(
                "(select v.rank, v.address, v.life from chain.{ranks} v
                   where {part} and v.valid_from <= "
            ));
            sql.push_bind(moment.seq);
            filter(&mut sql);
            pager.push_range::<RankKey>(&mut sql, ORDER)?;
            sql.push(") union all ");
        }
        // Values that were replaced since then: none on the first page.
        sql.push(format!(
            "(select v.rank, v.address, v.life from chain.{ranks}_past v
               where v.valid_to > "
        ));
        sql.push_bind(moment.seq);
        sql.push(" and v.valid_from <= ").push_bind(moment.seq);
        filter(&mut sql);
        pager.push_range::<RankKey>(&mut sql, ORDER)?;
        sql.push(format!(
            ")) v join lateral (select * from chain.{accounts} m
               where m.address = v.address and m.life = v.life limit 1) m on true where true"
        ));
        let key = |ranked: &Ranked<T>| {
            let (address, life) = key(&ranked.item);
            RankKey::new(ranked, address, life, moment)
        };
        let page = pager.fetch(&mut snapshot.tx, sql, ORDER, key).await?;
        Ok(page.map(|ranked| ranked.item))
    }
}

/// Sort key in a list of [`Ranked`] items.
#[derive(Serialize, Deserialize)]
struct RankKey {
    rank: Rank,
    address: Key,
    life: EventId,
    moment: Moment,
}

impl RankKey {
    fn new<T>(ranked: &Ranked<T>, address: Key, life: EventId, moment: Moment) -> Self {
        Self {
            rank: ranked.rank.clone(),
            address,
            life,
            moment,
        }
    }
}

impl SortKey for RankKey {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        sql.push_bind(self.rank.0).push("::numeric, ");
        sql.push_bind(self.address).push(", ").push_bind(self.life);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(time: DateTime<Utc>) -> RankKey {
        RankKey {
            rank: Rank("1.5".to_owned()),
            address: Key::default(),
            life: EventId(7),
            moment: Moment { seq: 4, time },
        }
    }

    #[test]
    fn all_pages_are_sorted_as_of_the_first_one() {
        assert_eq!(Moment::of(None, 9).unwrap().seq, 9);
        let after = key(Utc::now());
        assert_eq!(Moment::of(Some(&after), 9).unwrap().seq, 4);
    }

    #[test]
    fn an_old_list_has_expired() {
        let after = key(Utc::now() - MAX_AGE - TimeDelta::seconds(1));
        let moment = Moment::of(Some(&after), 9);
        assert!(matches!(moment, Err(Problem::CursorExpired(_))));
    }

    #[test]
    fn a_rank_is_a_number_that_postgres_can_read() {
        let is_rank = |text: &str| Rank::try_from(text.to_owned()).is_ok();
        for text in ["0", "18446744073709551615", "3.000000000000000000"] {
            assert!(is_rank(text), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "1e9", "NaN", "1.5.2", " 1", "\0"] {
            assert!(!is_rank(text), "{text}");
        }
        assert!(!is_rank(&"9".repeat(MAX_DIGITS + 1)));
    }

    #[test]
    fn a_rank_is_compared_as_a_number() {
        let mut sql = QueryBuilder::new("");
        key(Utc::now()).push(&mut sql);
        assert_eq!(sql.sql(), "$1::numeric, $2, $3");
    }
}
