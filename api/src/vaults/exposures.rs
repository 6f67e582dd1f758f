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
    /// Version of the model that is covered.
    model_version: i64,
    /// Maximum of `cover`; 0 if the vault sells no more cover on the model.
    cap: Scaled,
    /// Minimum trigger of a policy.
    lowest_trigger: Scaled,
    /// Cover of open policies, less what they were paid.
    cover: Scaled,
    /// Number of open policies.
    policies: U64,
    listed_at: Option<DateTime<Utc>>,
    /// Time from which the vault sells cover on the model.
    active_at: Option<DateTime<Utc>>,
    /// Number of events that reference the exposure.
    event_count: U64,
    /// Whether the account is closed on chain.
    closed: bool,
    closed_slot: Option<i64>,
    /// Slot of this state.
    slot: i64,
}

impl FromRow<'_, PgRow> for Exposure {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let exposure = Columns::new(row)?;
        Ok(Self {
            key: exposure.get("address")?,
            vault: exposure.get("vault")?,
            model: exposure.get("model")?,
            model_version: exposure.get("model_version")?,
            cap: exposure.amount_unless_closed("cap")?,
            lowest_trigger: exposure.drift("lowest_trigger")?,
            cover: exposure.amount_unless_closed("cover")?,
            policies: exposure.u64_unless_closed("policies")?,
            listed_at: exposure.time("listed_at")?,
            active_at: exposure.time("active_at")?,
            event_count: exposure.get("seq")?,
            closed: exposure.is_closed()?,
            closed_slot: exposure.get("closed_slot")?,
            slot: exposure.get("slot")?,
        })
    }
}

/// Exposures of a vault, open and closed, by address.
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
