//! Exposures: the models that a vault lists.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    rows::{AccountColumns, Token, drift, select_by_row, time},
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

/// Row of `chain.exposure`.
#[derive(FromRow)]
struct ExposureRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    vault: Key,
    model: Key,
    cap: U64,
    lowest_trigger: U64,
    cover: U64,
    policies: U64,
    listed_at: i64,
    active_at: i64,
    model_version: i64,
    max_persistence: i16,
}

select_by_row!(Exposure, ExposureRow);

impl From<ExposureRow> for Exposure {
    fn from(row: ExposureRow) -> Self {
        let (account, token) = (row.account, row.token);
        Self {
            key: account.address,
            life: account.life,
            vault: row.vault,
            model: row.model,
            model_version: row.model_version,
            cap: token.amount(account.unless_closed(row.cap)),
            lowest_trigger: drift(row.lowest_trigger),
            max_persistence: row.max_persistence,
            cover: token.amount(account.unless_closed(row.cover)),
            policies: account.unless_closed(row.policies),
            listed_at: time(row.listed_at),
            active_at: time(row.active_at),
            event_count: account.seq,
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
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
