//! Series: the result of each window of a model.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Entry, entry_state, entry_value};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    mirror::Snapshot,
    page::{ListQuery, Order, Page, SortKey},
    problem::Problem,
    rows::{WindowColumns, select_by_row},
    values::{Scaled, U64},
};

/// Number of windows on a page of a series.
pub const PAGE_WINDOWS: u64 = 256;

/// Result of a window of a model.
#[derive(Serialize, ToSchema)]
pub struct Window {
    pub window: U64,
    pub window_start: Option<DateTime<Utc>>,
    pub window_end: Option<DateTime<Utc>>,
    /// `open`, `final`, `void` or `thin`.
    #[schema(example = "final")]
    pub state: &'static str,
    /// Drift; null unless the window is final.
    pub value: Option<Scaled>,
}

/// An entry of `chain.series`, with columns of its model.
#[derive(FromRow)]
struct WindowRow {
    window: U64,
    entry: U64,
    #[sqlx(flatten)]
    windows: WindowColumns,
}

select_by_row!(Window, WindowRow);

impl From<WindowRow> for Window {
    fn from(row: WindowRow) -> Self {
        let (U64(window), U64(word)) = (row.window, row.entry);
        let entry = Entry::from_word(word);
        Self {
            window: row.window,
            window_start: row.windows.start(Some(window)),
            window_end: row.windows.start(window.checked_add(1)),
            state: entry_state(entry),
            value: entry_value(entry).map(Scaled::drift),
        }
    }
}

/// A window's number, by which a page of the list starts.
#[derive(Serialize, Deserialize)]
struct WindowKey(U64);

impl SortKey for WindowKey {
    /// Page of the series, and position on the page from 1.
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let Self(U64(window)) = self;
        let position = window % PAGE_WINDOWS + 1;
        sql.push_bind(U64(window / PAGE_WINDOWS)).push(", ");
        sql.push_bind(position.cast_signed());
    }
}

/// Windows of `model` with an entry in its series, latest first.
pub async fn of_model(
    snapshot: &mut Snapshot,
    model: &Key,
    query: &ListQuery,
) -> Result<Page<Window>, Problem> {
    let pager = query.pager(("windows", model), snapshot.epoch());
    let mut sql = QueryBuilder::new(
        "select s.page * 256 + e.position - 1 as \"window\", e.entry,
                m.genesis, m.window_secs
         from chain.series s
         join chain.model m on m.address = s.model and m.is_current
         cross join unnest(s.entries) with ordinality e (entry, position)
         where s.is_current and e.entry <> 0 and s.model = ",
    );
    sql.push_bind(*model);
    if let Some(WindowKey(U64(window))) = pager.after()? {
        // Postgres does not infer this from the order, and would read the later pages too.
        sql.push(" and s.page <= ")
            .push_bind(U64(window / PAGE_WINDOWS));
    }
    let order = Order::descending(&["s.page", "e.position"]);
    pager
        .fetch(&mut snapshot.tx, sql, order, |window: &Window| {
            WindowKey(window.window)
        })
        .await
}
