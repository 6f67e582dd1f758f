//! Series: what became of a model's windows.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Entry, entry_state, entry_value};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    columns::Columns,
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::{Key, Scaled, U64},
};

/// What became of a window of a model.
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

impl FromRow<'_, PgRow> for Window {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let U64(window) = columns.get("window")?;
        let U64(word) = columns.get("entry")?;
        let entry = Entry::from_word(word);
        Ok(Self {
            window: U64(window),
            window_start: columns.window_start(Some(window))?,
            window_end: columns.window_start(window.checked_add(1))?,
            state: entry_state(entry),
            value: entry_value(entry).map(Scaled::drift),
        })
    }
}

/// Windows of `model` with an entry in its series, latest first.
pub async fn of_model(
    db: &mut PgConnection,
    model: &Key,
    query: &ListQuery,
) -> Result<Page<Window>, Problem> {
    let mut sql = QueryBuilder::new(
        "select w.* from (
           select s.page * 256 + e.position - 1 as \"window\", e.entry,
                  m.genesis, m.window_secs, c.decimals
           from chain.series s
           join chain.model m on m.address = s.model
           join chain.collateral c on c.mint = m.bond_mint
           cross join unnest(s.entries) with ordinality e (entry, position)
           where e.entry <> 0 and s.model = ",
    );
    sql.push_bind(model.as_str()).push(") w where true");
    let order = Order::descending(&["w.\"window\""]);
    let pager = query.pager(("windows", model));
    pager
        .fetch(db, sql, order, |window: &Window| window.window)
        .await
}
