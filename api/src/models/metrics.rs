//! Drift of a model by hour, day or week.

use std::{collections::BTreeMap, ops::RangeInclusive};

use chrono::{DateTime, Utc};
use driftshield_sdk::Entry;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::{IntoParams, ToSchema};

use crate::{
    bytes::Key,
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::Problem,
    series::PAGE_WINDOWS,
    statistics::Statistic,
    values::{Scaled, U64},
};

use super::Model;

/// Largest number of pages of a series that one request reads.
const MAX_PAGES: i64 = 400;

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricsFilter {
    /// Length of the periods; `day` by default. An interval of more than 100,000 windows is refused.
    #[serde(default)]
    #[param(inline, value_type = Option<Interval>)]
    interval: Interval,
}

/// Length of the periods. They start at the full hour, at midnight, or at midnight from Sunday to Monday,
/// in UTC.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Hour,
    #[default]
    Day,
    Week,
}

impl Interval {
    fn secs(self) -> i64 {
        const HOUR: i64 = 60 * 60;
        match self {
            Self::Hour => HOUR,
            Self::Day => 24 * HOUR,
            Self::Week => 7 * 24 * HOUR,
        }
    }

    /// Start of the period that contains a time.
    fn start(self, time: i64) -> i64 {
        // Unix time starts on a Thursday.
        let monday = match self {
            Self::Hour | Self::Day => 0,
            Self::Week => 4 * Self::Day.secs(),
        };
        time.saturating_sub((time.saturating_sub(monday)).rem_euclid(self.secs()))
    }
}

/// Windows of a model that start in one period.
#[derive(Serialize, ToSchema)]
pub struct MetricsBucket {
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    /// First and last window with a submission that start in the period.
    pub first_window: U64,
    pub last_window: U64,
    /// Number of windows with a value.
    #[serde(rename = "final")]
    pub final_windows: u32,
    /// Number of windows without a valid value.
    pub void: u32,
    /// Number of windows with too few rows for a value.
    pub thin: u32,
    /// Number of windows that are not settled yet.
    pub open: u32,
    /// Mean drift of the final windows; null if there is none.
    pub mean: Option<Statistic>,
    /// Smallest drift of the final windows; null if there is none.
    pub min: Option<Scaled>,
    /// Largest drift of the final windows; null if there is none.
    pub max: Option<Scaled>,
    /// Drift of the latest final window; null if there is none.
    pub last: Option<Scaled>,
    /// Number of windows that somebody challenged, whatever the ruling. Receipts from before the mirror's
    /// history are not counted.
    pub disputes: u32,
}

/// Start of a period in unix seconds, before which the next page starts.
type BucketKey = i64;

/// Reads a page of the periods, latest first.
pub async fn of_model(
    snapshot: &mut Snapshot,
    model: &Model,
    query: &ListQuery<MetricsFilter>,
) -> Result<Page<MetricsBucket>, Problem> {
    let interval = query.filter.interval;
    let clock = Clock::of(model)?;
    let pager = query.pager(("metrics", model.key), snapshot.epoch());
    let newest = match pager.after::<BucketKey>()? {
        Some(start) => clock.last_before(start),
        None => Some(u64::MAX),
    };
    let Some(newest) = newest else {
        return Ok(pager.page_of(vec![], false, |_| 0));
    };
    let pages = clock.pages(interval, pager.limit())?;
    let rows = read_pages(&mut snapshot.tx, &model.key, newest, pages).await?;
    let is_end = (rows.len() as i64) < pages;
    let mut buckets = clock.buckets(interval, newest, &rows);
    // The oldest period may start on a page that was not read.
    if !is_end {
        buckets.pop();
    }
    let another_follows = !is_end || pager.limit() < buckets.len();
    buckets.truncate(pager.limit());
    count_disputes(&mut snapshot.tx, &model.key, &mut buckets).await?;
    let items = buckets
        .iter()
        .map(|(start, bucket)| bucket.item(interval, *start))
        .collect();
    let start = |item: &MetricsBucket| item.start.map_or(0, |start| start.timestamp());
    Ok(pager.page_of(items, another_follows, start))
}

#[derive(FromRow)]
struct SeriesPage {
    page: U64,
    entries: Vec<U64>,
}

/// Reads pages of the series that have windows up to `newest`, latest first.
async fn read_pages(
    db: &mut PgConnection,
    model: &Key,
    newest: u64,
    limit: i64,
) -> Result<Vec<SeriesPage>, sqlx::Error> {
    sqlx::query_as(
        "select s.page, s.entries from chain.series s
         where s.model = $1 and s.is_current and s.page <= $2 order by s.page desc limit $3",
    )
    .bind(*model)
    .bind(U64(newest / PAGE_WINDOWS))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// When the windows of a model start.
struct Clock {
    genesis: i64,
    window_secs: i64,
}

impl Clock {
    fn of(model: &Model) -> Result<Self, Problem> {
        match model.genesis {
            Some(genesis) if 0 < model.window_secs => Ok(Self {
                genesis: genesis.timestamp(),
                window_secs: model.window_secs,
            }),
            _ => Err(sqlx::Error::Decode("the model has no valid windows".into()).into()),
        }
    }

    fn start(&self, window: u64) -> Option<i64> {
        let start = i64::try_from(window).ok()?.checked_mul(self.window_secs)?;
        self.genesis.checked_add(start)
    }

    /// The last window that starts before a time.
    fn last_before(&self, time: i64) -> Option<u64> {
        let elapsed = time.checked_sub(self.genesis)?.checked_sub(1)?;
        u64::try_from(elapsed.div_euclid(self.window_secs)).ok()
    }

    /// Number of pages of the series that have all windows of `limit` periods, or of as many as can be read.
    fn pages(&self, interval: Interval, limit: usize) -> Result<i64, Problem> {
        let page_secs = self.window_secs.saturating_mul(PAGE_WINDOWS as i64);
        // A period can start and end within a page. One page can be beyond the newest window that is left, and one
        // more has windows of another period, so at least one period is whole.
        let pages_of = |secs: i64| secs / page_secs + 4;
        if MAX_PAGES < pages_of(interval.secs()) {
            return Err(Problem::InvalidValue(format!(
                "`interval` has too many windows of {} s; give a shorter one",
                self.window_secs
            )));
        }
        Ok(pages_of(interval.secs().saturating_mul(limit as i64)).min(MAX_PAGES))
    }

    /// The periods of the windows up to `newest`, latest first, each with its start.
    fn buckets(&self, interval: Interval, newest: u64, pages: &[SeriesPage]) -> Vec<(i64, Bucket)> {
        let mut buckets = BTreeMap::<i64, Bucket>::new();
        for page in pages.iter().rev() {
            let first = page.page.0.saturating_mul(PAGE_WINDOWS);
            for (window, U64(word)) in (first..=newest).zip(&page.entries) {
                let entry = Entry::from_word(*word);
                let Some(start) = self.start(window).filter(|_| entry != Entry::None) else {
                    continue;
                };
                let bucket = buckets.entry(interval.start(start)).or_default();
                bucket.add(window, entry);
            }
        }
        buckets.into_iter().rev().collect()
    }
}

/// What a period is made of.
#[derive(Default)]
struct Bucket {
    windows: Option<(u64, u64)>,
    values: Vec<u64>,
    void: u32,
    thin: u32,
    open: u32,
    disputes: u32,
}

impl Bucket {
    /// Windows are added in ascending order.
    fn add(&mut self, window: u64, entry: Entry) {
        let first = self.windows.map_or(window, |(first, _)| first);
        self.windows = Some((first, window));
        match entry {
            Entry::None => {}
            Entry::Open => self.open += 1,
            Entry::Final(value) => self.values.push(value),
            Entry::Void => self.void += 1,
            Entry::Thin => self.thin += 1,
        }
    }

    fn windows(&self) -> RangeInclusive<u64> {
        let (first, last) = self.windows.unwrap_or_default();
        first..=last
    }

    fn item(&self, interval: Interval, start: i64) -> MetricsBucket {
        let values = &self.values;
        let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
        let drift = |value: Option<&u64>| value.copied().map(Scaled::drift);
        MetricsBucket {
            start: DateTime::from_timestamp(start, 0),
            end: DateTime::from_timestamp(start.saturating_add(interval.secs()), 0),
            first_window: U64(*self.windows().start()),
            last_window: U64(*self.windows().end()),
            final_windows: values.len() as u32, // of a page of windows
            void: self.void,
            thin: self.thin,
            open: self.open,
            mean: (!values.is_empty()).then(|| Statistic(sum as f64 / values.len() as f64)),
            min: drift(values.iter().min()),
            max: drift(values.iter().max()),
            last: drift(values.last()),
            disputes: self.disputes,
        }
    }
}

/// Counts the challenged windows of each period.
async fn count_disputes(
    db: &mut PgConnection,
    model: &Key,
    buckets: &mut [(i64, Bucket)],
) -> Result<(), sqlx::Error> {
    let (Some(latest), Some(oldest)) = (buckets.first(), buckets.last()) else {
        return Ok(());
    };
    let (from, to) = (*oldest.1.windows().start(), *latest.1.windows().end());
    let challenged: Vec<U64> = sqlx::query_scalar(
        "select m.\"window\" from chain.receipt m
         where m.model = $1 and m.\"window\" between $2 and $3 and m.challenger <> $4",
    )
    .bind(*model)
    .bind(U64(from))
    .bind(U64(to))
    .bind(Key::default())
    .fetch_all(db)
    .await?;
    for U64(window) in challenged {
        let of_window = |bucket: &&mut (i64, Bucket)| bucket.1.windows().contains(&window);
        if let Some((_, bucket)) = buckets.iter_mut().find(of_window) {
            bucket.disputes += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;
    const FINAL: u64 = 2 << 56;

    #[test]
    fn periods_start_at_the_hour_at_midnight_and_on_monday() {
        // Thursday, 1970-01-08, 01:02:03.
        let time = 7 * DAY + 3_723;
        assert_eq!(Interval::Hour.start(time), 7 * DAY + 3_600);
        assert_eq!(Interval::Day.start(time), 7 * DAY);
        assert_eq!(Interval::Week.start(time), 4 * DAY);
        assert_eq!(Interval::Week.start(4 * DAY - 1), -3 * DAY);
    }

    #[test]
    fn windows_belong_to_the_period_in_which_they_start() {
        let clock = Clock {
            genesis: DAY - 5_400,
            window_secs: 3_600,
        };
        let mut words = vec![U64(0); 256];
        words[0] = U64(FINAL | 5);
        words[1] = U64(FINAL | 1);
        words[2] = U64(3 << 56);
        words[4] = U64(FINAL | 2);
        words[5] = U64(1 << 56);
        let page = SeriesPage {
            page: U64(0),
            entries: words,
        };
        let buckets = clock.buckets(Interval::Day, 5, std::slice::from_ref(&page));
        let items: Vec<_> = buckets
            .iter()
            .map(|(start, bucket)| bucket.item(Interval::Day, *start))
            .collect();
        let [second, first] = &items[..] else {
            panic!("{} periods", items.len());
        };
        assert_eq!((first.first_window, first.last_window), (U64(0), U64(1)));
        assert_eq!((first.final_windows, first.void, first.open), (2, 0, 0));
        assert_eq!(first.mean, Some(Statistic(3.0)));
        assert_eq!(first.min, Some(Scaled::drift(1)));
        assert_eq!(first.max, Some(Scaled::drift(5)));
        assert_eq!(first.last, Some(Scaled::drift(1)));
        assert_eq!(second.start.unwrap().timestamp(), DAY);
        assert_eq!((second.first_window, second.last_window), (U64(2), U64(5)));
        assert_eq!((second.final_windows, second.void, second.open), (1, 1, 1));
        // The next page starts before the period.
        assert_eq!(clock.last_before(DAY), Some(1));
        assert_eq!(clock.last_before(clock.genesis), None);
        assert_eq!(clock.buckets(Interval::Day, 1, &[page]).len(), 1);
    }

    #[test]
    fn a_request_reads_a_bounded_number_of_pages() {
        let clock = |window_secs| Clock {
            genesis: 0,
            window_secs,
        };
        assert_eq!(clock(3_600).pages(Interval::Day, 50).unwrap(), 8);
        assert_eq!(clock(1).pages(Interval::Day, 50).unwrap(), MAX_PAGES);
        assert!(clock(1).pages(Interval::Week, 1).is_err());
    }
}
