//! List of vaults.

use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    extract::{ExpensiveQueryPermit, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    ranked::{self, Moment, RankKey, Ranked},
    reply::Reply,
    sql::{IS_CLOSED, push_equals},
    state::AppState,
};

use super::Vault;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct VaultFilter {
    manager: Option<Key>,
    /// Only vaults with an open exposure to this model.
    model: Option<Key>,
    mint: Option<Key>,
    /// Only vaults that are closed on chain if true, only open ones if false.
    closed: Option<bool>,
    #[serde(default)]
    #[param(inline, value_type = Option<VaultSort>)]
    sort: VaultSort,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum VaultSort {
    /// Newest first.
    #[default]
    Newest,
    /// Highest `assets` first, as of the `seq` of the first page: deposits between two pages do not
    /// change the order. Cursors expire 10 minutes after the first page, and when the chain is rolled
    /// back.
    Assets,
}

impl VaultFilter {
    /// Appends the conditions that select vaults (alias `m`).
    fn push(&self, sql: &mut QueryBuilder<'_, Postgres>) {
        push_equals(sql, "m.manager", self.manager);
        if let Some(model) = self.model {
            sql.push(
                " and m.is_current and exists (select from chain.exposure x
                    where x.vault = m.address and x.ended_slot is null and x.model = ",
            )
            .push_bind(model)
            .push(")");
        }
        push_equals(sql, "m.mint", self.mint);
        push_equals(sql, IS_CLOSED, self.closed);
    }
}

async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<VaultFilter>,
) -> Result<Page<Vault>, Problem> {
    let pager = query.pager("vaults", snapshot.epoch());
    if query.filter.sort == VaultSort::Newest {
        let mut sql = QueryBuilder::new("select m.* from chain.vault m where true");
        query.filter.push(&mut sql);
        let order = Order::descending(&["m.life", "m.address"]);
        let key = |vault: &Vault| (vault.life, vault.key);
        return pager.fetch(&mut snapshot.tx, sql, order, key).await;
    }
    let moment = Moment::of(pager.after::<RankKey>()?.as_ref(), snapshot.seq())?;
    let next_event = moment.next_event(&mut snapshot.tx).await?;
    let mut sql = QueryBuilder::new(select_by_assets(next_event));
    query.filter.push(&mut sql);
    let order = Order::descending(&["m.assets_then", "m.address", "m.life"]);
    let key = |ranked: &Ranked<Vault>| {
        let vault = &ranked.item;
        RankKey::new(ranked, vault.key, vault.life, moment)
    };
    let page = pager.fetch(&mut snapshot.tx, sql, order, key).await?;
    Ok(ranked::items(page))
}

/// Selects the vaults (alias `m`) from before the event `until`, with their assets right before it in
/// whole tokens. If the mirror has neither balances up to that event nor the creation event, these are
/// the current assets.
fn select_by_assets(until: EventId) -> String {
    let slot = until.slot();
    format!(
        "select m.*, m.assets_then::text as rank from (
           select m.*, case when m.ended_slot < {slot} then 0
             else coalesce(
               (select h.assets from chain.capital h
                where h.vault = m.address and h.event_id >= m.life and h.event_id < {until}
                order by h.event_id desc limit 1),
               case when m.life = 0 then m.assets else 0 end
             ) / power(10::numeric, m.decimals) end as assets_then
           from chain.vault m where m.life < {until}
         ) m where true"
    )
}

/// Vaults in their current state, closed ones included: one item for each time that a vault was
/// created at an address. With `sort=assets`, later pages keep the order as of the first page, and omit
/// vaults that were created after it.
#[utoipa::path(
    get,
    path = "/insurance/vaults",
    tag = "insurance",
    params(ListQuery<VaultFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Vault>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<VaultFilter>,
    _permit: ExpensiveQueryPermit,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Vault>>, Problem> {
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}
