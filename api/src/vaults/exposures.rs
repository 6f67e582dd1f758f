//! Exposures: the models that a vault lists.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    columns::Columns,
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::{Key, Scaled, U64},
};

/// A vault's listing of a model. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
pub struct Exposure {
    /// Address of the exposure's account.
    key: String,
    vault: String,
    model: String,
    /// Version of the model on which cover is sold.
    model_version: i64,
    /// Maximum of `cover`; 0 if the vault sells no more cover on the model.
    cap: Scaled,
    /// Minimum trigger of a policy.
    lowest_trigger: Scaled,
    /// Maximum persistence of a policy.
    max_persistence: i16,
    /// Cover of open policies that is not paid out yet.
    cover: Scaled,
    /// Number of open policies.
    policies: U64,
    /// Time of the latest listing.
    listed_at: Option<DateTime<Utc>>,
    /// Time from which the vault sells cover on the model.
    active_at: Option<DateTime<Utc>>,
    /// Number of events that reference the exposure.
    event_count: U64,
    /// Whether the account is closed on chain. If so, `cap`, `cover` and `policies` are 0.
    closed: bool,
    closed_slot: Option<i64>,
    /// Slot of this state.
    slot: i64,
}

impl FromRow<'_, PgRow> for Exposure {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        Ok(Self {
            key: columns.get("address")?,
            vault: columns.get("vault")?,
            model: columns.get("model")?,
            model_version: columns.get("model_version")?,
            cap: columns.amount_unless_closed("cap")?,
            lowest_trigger: columns.drift("lowest_trigger")?,
            max_persistence: columns.get("max_persistence")?,
            cover: columns.amount_unless_closed("cover")?,
            policies: columns.u64_unless_closed("policies")?,
            listed_at: columns.time("listed_at")?,
            active_at: columns.time("active_at")?,
            event_count: columns.get("seq")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("closed_slot")?,
            slot: columns.get("slot")?,
        })
    }
}

/// Exposures of a vault, open and closed, in ascending order of address.
pub async fn of_vault(
    db: &mut PgConnection,
    vault: &Key,
    query: &ListQuery,
) -> Result<Page<Exposure>, Problem> {
    let mut sql = QueryBuilder::new(
        "select x.*, m.decimals
         from chain.exposure x join chain.vault m on m.address = x.vault
         where x.vault = ",
    );
    sql.push_bind(vault.as_str());
    let order = Order::ascending(&["x.address"]);
    query
        .pager(("exposures", vault))
        .fetch(db, sql, order, |exposure: &Exposure| exposure.key.clone())
        .await
}
