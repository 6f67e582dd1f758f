//! Exposures: the models that a vault lists.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::{Scaled, U64},
};

use super::Vault;

/// A vault's listing of a model. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
pub struct Exposure {
    /// Address of the exposure's account.
    key: Key,
    /// Event that created the account: each time that an exposure is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    life: EventId,
    vault: Key,
    model: Key,
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
    /// Whether the account has newer content that this version cannot decode.
    stale: bool,
}

impl FromRow<'_, PgRow> for Exposure {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
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
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
    }
}

/// Exposures of a vault, open and closed, in ascending order of address and life.
pub async fn of_vault(
    snapshot: &mut Snapshot,
    vault: &Vault,
    query: &ListQuery<LifeFilter>,
) -> Result<Page<Exposure>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "vault", &vault.key, vault.life).await?;
    let mut sql = QueryBuilder::new("select x.*, ");
    sql.push_bind(i16::from(vault.decimals))
        .push("::smallint as decimals from chain.exposure x where x.vault = ")
        .push_bind(vault.key);
    range.push_children(&mut sql, "x.life");
    let order = Order::ascending(&["x.address", "x.life"]);
    let key = |exposure: &Exposure| (exposure.key, exposure.life);
    query
        .pager(("exposures", vault.key, vault.life), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, key)
        .await
}
