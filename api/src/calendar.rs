//! Calendar: what closes and settles next.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use driftshield_sdk::{Account, AccountKind, Model};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    extract::MinSlot,
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
    values::U64,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(calendar))
}

/// Time for which windows are listed without `until`: there is no last one.
const WINDOWS_AHEAD: TimeDelta = TimeDelta::days(7);

/// What happens at a time. At the same time, kinds are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateKind {
    /// An open market takes no bets from this time on.
    MarketCloses,
    /// A window of the model ends: oracles can submit for it.
    WindowEnds,
    /// The submit period of a window of the model is over: what a quorum agrees on is proposed.
    WindowDue,
    /// The last window ends that a policy covers, or that is on probation.
    PolicyEnds,
    /// A withdrawal request can be paid from this time on.
    WithdrawalUnlocks,
    /// What wasn't paid of a withdrawal request becomes shares.
    WithdrawalLapses,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalendarDate {
    /// Null if it is outside the calendar's range.
    pub time: Option<DateTime<Utc>>,
    pub kind: DateKind,
    /// Market, model, policy or withdrawal request.
    pub address: Key,
    /// The account's `life`.
    pub life: EventId,
    /// Model of the market, window or policy; null for a withdrawal.
    pub model: Option<Key>,
    /// Vault of the policy or the withdrawal; null for others.
    pub vault: Option<Key>,
    /// Number of the window; null for others.
    pub window: Option<U64>,
    #[serde(skip)]
    key: DateKey,
}

/// Time in unix seconds, kind, address and life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct DateKey(i64, DateKind, Key, EventId);

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CalendarFilter {
    /// Start (RFC 3339), inclusive; the time of the mirror's latest block by default.
    from: Option<DateTime<Utc>>,
    /// End (RFC 3339), exclusive. By default without end, but for windows: those of the seven days after `from` are
    /// listed.
    until: Option<DateTime<Utc>>,
    /// Only markets, policies and windows of this model. Windows are listed only with it: every model has one at any
    /// time.
    model: Option<Key>,
}

/// Date of an account, from the mirror.
#[derive(FromRow)]
struct DateRow {
    time: i64,
    address: Key,
    life: EventId,
    model: Option<Key>,
    vault: Option<Key>,
}

/// What the windows of a model derive from.
#[derive(FromRow)]
struct ModelRow {
    life: EventId,
    genesis: i64,
    window_secs: i64,
    submit_secs: i64,
    takes_receipts: bool,
}

impl ModelRow {
    async fn find(db: &mut PgConnection, key: Key) -> Result<Self, Problem> {
        let found = sqlx::query_as(
            "select life, genesis, window_secs, submit_secs,
               status = 'active' or exposure <> 0 as takes_receipts
             from chain.model where address = $1 and is_current",
        )
        .bind(key)
        .fetch_optional(db)
        .await?;
        found.ok_or_else(|| Problem::not_found("model", key))
    }

    /// A model with these windows, for the program's own functions.
    fn windows(&self) -> Model {
        let Account::Model(mut model) = Account::zeroed(AccountKind::Model) else {
            unreachable!("the account is of the kind that was asked for");
        };
        model.genesis = self.genesis;
        model.window_secs = self.window_secs.max(1);
        model.submit_secs = self.submit_secs;
        *model
    }
}

/// Statements that list the dates of a kind in the order of an index. `$1`, `$2` and `$3` are time, address and life
/// after which the page begins, `$4` is the end, and `$5` the number of rows.
const OF_ALL: [(DateKind, &str); 4] = [
    (
        DateKind::MarketCloses,
        "select close_ts as time, address, life, model, null::bytea as vault from chain.market
         where status = 'open' and (close_ts, address, life) > ($1, $2, $3) and close_ts < $4
         order by close_ts, address, life limit $5",
    ),
    (
        DateKind::PolicyEnds,
        "select greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint) as time, address, life,
           model, vault
         from chain.policy
         where status in ('pending', 'open')
           and (greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint), address, life)
             > ($1, $2, $3)
           and greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint) < $4
         order by greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint), address, life
         limit $5",
    ),
    (
        DateKind::WithdrawalUnlocks,
        "select unlock_at as time, address, life, null::bytea as model, vault
         from chain.withdraw_request
         where ended_slot is null and (unlock_at, address, life) > ($1, $2, $3) and unlock_at < $4
         order by unlock_at, address, life limit $5",
    ),
    (
        DateKind::WithdrawalLapses,
        "select lapses_at as time, address, life, null::bytea as model, vault
         from chain.withdraw_request
         where ended_slot is null and (lapses_at, address, life) > ($1, $2, $3) and lapses_at < $4
         order by lapses_at, address, life limit $5",
    ),
];

/// The same for one model, which is `$6`.
const OF_MODEL: [(DateKind, &str); 2] = [
    (
        DateKind::MarketCloses,
        "select close_ts as time, address, life, model, null::bytea as vault from chain.market
         where model = $6 and status = 'open' and (close_ts, address, life) > ($1, $2, $3)
           and close_ts < $4
         order by close_ts, address, life limit $5",
    ),
    (
        DateKind::PolicyEnds,
        "select greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint) as time, address, life,
           model, vault
         from chain.policy
         where model = $6 and status in ('pending', 'open')
           and (greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint), address, life)
             > ($1, $2, $3)
           and greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint) < $4
         order by greatest((term ->> 'end')::bigint, (pending ->> 'end')::bigint), address, life
         limit $5",
    ),
];

/// Where a list of one kind begins: after this time, address and life.
fn start_of(kind: DateKind, from: i64, after: Option<&DateKey>) -> (i64, Vec<u8>, EventId) {
    let before_all = vec![];
    let after_all = vec![0xff; 33];
    match after {
        None => (from, before_all, EventId(-1)),
        // Dates of a later kind at the same time are still to come, those of an earlier kind are not.
        Some(DateKey(time, last, ..)) if *last < kind => (*time, before_all, EventId(-1)),
        Some(DateKey(time, last, ..)) if kind < *last => (*time, after_all, EventId(-1)),
        Some(DateKey(time, _, address, life)) => {
            (*time, address.address().to_bytes().to_vec(), *life)
        }
    }
}

/// What part of the calendar to read.
struct Range {
    from: i64,
    until: i64,
    /// End of the windows that are listed.
    windows_until: i64,
    after: Option<DateKey>,
    /// Number of dates.
    count: i64,
}

impl Range {
    async fn read(
        &self,
        db: &mut PgConnection,
        kind: DateKind,
        sql: &'static str,
        model: Option<Key>,
    ) -> Result<Vec<CalendarDate>, sqlx::Error> {
        let (time, address, life) = start_of(kind, self.from, self.after.as_ref());
        let mut query = sqlx::query_as(sql)
            .bind(time)
            .bind(address)
            .bind(life)
            .bind(self.until)
            .bind(self.count);
        if let Some(model) = model {
            query = query.bind(model);
        }
        let rows: Vec<DateRow> = query.fetch_all(db).await?;
        Ok(rows
            .into_iter()
            .map(|row| CalendarDate::of_account(kind, row))
            .collect())
    }

    /// Ends of windows of a model, or of their submit periods.
    fn windows(
        &self,
        kind: DateKind,
        address: Key,
        life: EventId,
        model: &Model,
    ) -> Vec<CalendarDate> {
        let delay = if kind == DateKind::WindowDue {
            model.submit_secs
        } else {
            0
        };
        let date = |window| {
            let end = model.window_end(window).ok()?;
            let time = end.checked_add(delay)?;
            let key = DateKey(time, kind, address, life);
            let date = CalendarDate {
                time: DateTime::from_timestamp(time, 0),
                kind,
                address,
                life,
                model: Some(address),
                vault: None,
                window: Some(U64(window)),
                key,
            };
            let is_after = self.after.is_none_or(|after| after < key);
            (time < self.windows_until).then_some((is_after, date))
        };
        let start = self.after.map_or(self.from, |after| after.0);
        // The first window that isn't over before.
        let first = model.windows_over(start.saturating_sub(delay).saturating_sub(1));
        (first..)
            .map_while(date)
            .filter(|(is_after, date)| *is_after && start <= date.key.0)
            .take(usize::try_from(self.count).unwrap_or(0))
            .map(|(_, date)| date)
            .collect()
    }
}

/// The first whole second at `time` or later: dates are at whole seconds.
fn first_second(time: DateTime<Utc>) -> i64 {
    time.timestamp() + i64::from(0 < time.timestamp_subsec_nanos())
}

impl CalendarDate {
    fn of_account(kind: DateKind, row: DateRow) -> Self {
        Self {
            time: DateTime::from_timestamp(row.time, 0),
            kind,
            address: row.address,
            life: row.life,
            model: row.model,
            vault: row.vault,
            window: None,
            key: DateKey(row.time, kind, row.address, row.life),
        }
    }
}

/// What closes and settles next, in ascending order of time: markets that close, policies that end, withdrawal
/// requests that unlock and lapse, and, with `model`, windows that end and become due.
#[utoipa::path(
    get,
    path = "/calendar",
    tag = "markets",
    params(ListQuery<CalendarFilter>, MinSlot),
    responses(
        (status = 200, body = Page<CalendarDate>),
        (status = 404, body = ProblemBody, description = "The mirror has no such `model`",
            content_type = "application/problem+json"),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn calendar(
    query: ListQuery<CalendarFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<CalendarDate>>, Problem> {
    let filter = &query.filter;
    let pager = query.pager("calendar", snapshot.epoch());
    let from = match filter.from {
        Some(from) => from,
        None => snapshot.require_time()?,
    };
    let until = filter.until.map(first_second);
    let range = Range {
        from: first_second(from),
        until: until.unwrap_or(i64::MAX),
        windows_until: until
            .unwrap_or_else(|| first_second(from).saturating_add(WINDOWS_AHEAD.num_seconds())),
        after: pager.after()?,
        // One date more than the limit shows whether another page follows.
        count: i64::try_from(pager.limit()).unwrap_or(i64::MAX - 1) + 1,
    };
    let db = &mut snapshot.tx;
    let mut dates = BTreeMap::new();
    let lists: &[_] = if filter.model.is_some() {
        &OF_MODEL
    } else {
        &OF_ALL
    };
    for (kind, sql) in lists {
        for date in range.read(db, *kind, sql, filter.model).await? {
            dates.insert(date.key, date);
        }
    }
    if let Some(key) = filter.model {
        let row = ModelRow::find(db, key).await?;
        let model = row.windows();
        // No window of a model that takes no receipts settles anything.
        let kinds = [DateKind::WindowEnds, DateKind::WindowDue];
        for kind in kinds.into_iter().filter(|_| row.takes_receipts) {
            for date in range.windows(kind, key, row.life, &model) {
                dates.insert(date.key, date);
            }
        }
    }
    let dates: Vec<_> = dates.into_values().take(pager.limit() + 1).collect();
    let page = pager.page(dates, |date: &CalendarDate| date.key);
    Ok(snapshot.reply(page).await?.untagged())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: EventId = EventId(7);

    /// Windows of 10 seconds from 100 on, with submit periods of 3 seconds.
    fn model() -> Model {
        let row = ModelRow {
            life: LIFE,
            genesis: 100,
            window_secs: 10,
            submit_secs: 3,
            takes_receipts: true,
        };
        row.windows()
    }

    fn range(from: i64, until: i64, after: Option<DateKey>) -> Range {
        Range {
            from,
            until,
            windows_until: until,
            after,
            count: 3,
        }
    }

    fn times(range: &Range, kind: DateKind) -> Vec<(i64, u64)> {
        let dates = range.windows(kind, Key::default(), LIFE, &model());
        let time = |date: CalendarDate| (date.key.0, date.window.unwrap().0);
        dates.into_iter().map(time).collect()
    }

    #[test]
    fn windows_are_listed_from_the_first_one_that_ends_in_the_range() {
        let ends = |from, until| times(&range(from, until, None), DateKind::WindowEnds);
        assert_eq!(ends(0, 125), [(110, 0), (120, 1)]);
        assert_eq!(ends(110, i64::MAX), [(110, 0), (120, 1), (130, 2)]);
        assert_eq!(ends(111, 130), [(120, 1)]);
        let due = times(&range(113, 124, None), DateKind::WindowDue);
        assert_eq!(due, [(113, 0), (123, 1)]);
    }

    #[test]
    fn the_next_page_begins_after_the_last_date() {
        let after = Some(DateKey(120, DateKind::WindowEnds, Key::default(), LIFE));
        let next = range(0, 135, after);
        assert_eq!(times(&next, DateKind::WindowEnds), [(130, 2)]);
        assert_eq!(times(&next, DateKind::WindowDue), [(123, 1), (133, 2)]);
    }

    #[test]
    fn a_range_begins_and_ends_between_seconds() {
        let at = |text: &str| first_second(text.parse().unwrap());
        assert_eq!(at("1970-01-01T00:00:07Z"), 7);
        assert_eq!(at("1970-01-01T00:00:07.001Z"), 8);
        assert_eq!(at("1969-12-31T23:59:58.5Z"), -1);
    }

    #[test]
    fn kinds_at_one_time_follow_each_other() {
        let after = DateKey(5, DateKind::PolicyEnds, Key::default(), LIFE);
        let start = |kind| start_of(kind, 1, Some(&after));
        assert_eq!(start(DateKind::WithdrawalUnlocks), (5, vec![], EventId(-1)));
        assert_eq!(start(DateKind::MarketCloses).1.len(), 33);
        assert_eq!(start(DateKind::PolicyEnds), (5, vec![0; 32], LIFE));
        assert_eq!(start_of(DateKind::PolicyEnds, 1, None).0, 1);
    }
}
