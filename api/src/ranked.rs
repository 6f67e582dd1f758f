//! Lists that are sorted by something that changes: all pages have the order as of the first page.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row, postgres::PgRow};

use crate::{
    bytes::Key,
    event_id::EventId,
    page::{Page, SortKey},
    problem::Problem,
};

/// Time for which the pages after the first one can be read.
const MAX_AGE: TimeDelta = TimeDelta::minutes(10);

/// An item, and the value by which its list is sorted, in decimal digits: the column `rank`.
pub struct Ranked<T> {
    pub item: T,
    pub rank: String,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Ranked<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            item: T::from_row(row)?,
            rank: row.try_get("rank")?,
        })
    }
}

/// The items of a page without their ranks.
pub fn items<T>(page: Page<Ranked<T>>) -> Page<T> {
    page.map(|ranked| ranked.item)
}

/// When the first page of a sorted list was read. All of its pages show the order of that moment.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Moment {
    /// `seq` of the feed.
    pub seq: i64,
    #[serde(with = "chrono::serde::ts_seconds")]
    time: DateTime<Utc>,
}

impl Moment {
    /// The moment of the list whose previous page ended at `after`, or of a new list.
    ///
    /// # Errors
    ///
    /// If the first page is too old.
    pub fn of(after: Option<&RankKey>, seq: i64) -> Result<Self, Problem> {
        let now = Utc::now();
        match after.map(|after| after.moment) {
            None => Ok(Self { seq, time: now }),
            Some(moment) if now - moment.time <= MAX_AGE => Ok(moment),
            Some(_) => Err(Problem::CursorExpired(
                "the first page of the sorted list is more than 10 minutes old",
            )),
        }
    }

    /// Reads the first event after the moment; `i64::MAX` if there is none yet. All earlier events
    /// have lower ids.
    ///
    /// # Errors
    ///
    /// If events from before the moment were rolled back or added since.
    pub async fn next_event(self, db: &mut PgConnection) -> Result<EventId, Problem> {
        let (next, is_changed): (Option<EventId>, Option<bool>) = sqlx::query_as(
            "select min(event_id), bool_or(kind <> 'event') from chain.feed where $1 < seq",
        )
        .bind(self.seq)
        .fetch_one(db)
        .await?;
        if is_changed == Some(true) {
            return Err(Problem::CursorExpired(
                "the chain was rolled back, or the mirror has got missing events",
            ));
        }
        Ok(next.unwrap_or(EventId(i64::MAX)))
    }
}

/// Sort key in a list of [`Ranked`] items.
#[derive(Serialize, Deserialize)]
pub struct RankKey {
    rank: String,
    address: Key,
    life: EventId,
    moment: Moment,
}

impl RankKey {
    pub fn new<T>(ranked: &Ranked<T>, address: Key, life: EventId, moment: Moment) -> Self {
        Self {
            rank: ranked.rank.clone(),
            address,
            life,
            moment,
        }
    }
}

impl SortKey for RankKey {
    fn push(self, sql: &mut QueryBuilder<'_, Postgres>) {
        sql.push_bind(self.rank).push("::numeric, ");
        sql.push_bind(self.address).push(", ").push_bind(self.life);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(time: DateTime<Utc>) -> RankKey {
        RankKey {
            rank: "1.5".to_owned(),
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
    fn a_rank_is_compared_as_a_number() {
        let mut sql = QueryBuilder::new("");
        key(Utc::now()).push(&mut sql);
        assert_eq!(sql.sql(), "$1::numeric, $2, $3");
    }
}
