//! List of vaults.

use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::MinSlot,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    ranked::RankedList,
    reply::Reply,
    sql::{allow_sort, push_equals, unless},
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
    /// change the order. Cursors expire 10 minutes after the first page.
    Assets,
}

impl VaultFilter {
    /// Appends the conditions that select vaults, or their assets (alias `v`).
    fn push(&self, sql: &mut QueryBuilder<Postgres>, is_closed: &str) {
        push_equals(sql, "v.manager", self.manager);
        if let Some(model) = self.model {
            sql.push(
                " and (v.address, v.life) in (
                    select vault.address, vault.life
                    from chain.exposure x join chain.vault on vault.address = x.vault
                    where vault.is_current and x.ended_slot is null and x.model = ",
            )
            .push_bind(model)
            .push(")");
        }
        push_equals(sql, "v.mint", self.mint);
        push_equals(sql, is_closed, self.closed);
    }
}

const BY_ASSETS: RankedList = RankedList {
    accounts: "vault",
    ranks: "vault_assets",
};

async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<VaultFilter>,
) -> Result<Page<Vault>, Problem> {
    let pager = query.pager("vaults", snapshot.epoch());
    if query.filter.model.is_some() {
        // The vaults that cover a model are few, and in no order.
        allow_sort(&mut snapshot.tx).await?;
    }
    let filter = &query.filter;
    let parts = |open: &str, closed: &str| {
        unless(filter.closed.is_some(), || {
            [open, closed].map(str::to_owned).into()
        })
    };
    if filter.sort == VaultSort::Assets {
        let parts = parts("not v.is_closed", "v.is_closed");
        let push = |sql: &mut QueryBuilder<Postgres>| filter.push(sql, "v.is_closed");
        let key = |vault: &Vault| (vault.key, vault.life);
        return BY_ASSETS.page(snapshot, &pager, &parts, push, key).await;
    }
    let parts = parts("v.ended_slot is null", "v.ended_slot is not null");
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(format!("select v.* from chain.vault v where {part}"));
        filter.push(sql, "(v.ended_slot is not null)");
    };
    let order = Order::descending(&["v.life", "v.address"]);
    let key = |vault: &Vault| (vault.life, vault.key);
    pager
        .fetch_merged(&mut snapshot.tx, "v", &parts, select, order, key)
        .await
}

/// Vaults in their current state, closed ones included: one item for each time that a vault was
/// created at an address. With `sort=assets`, later pages list the vaults in the order of the first page,
/// and omit vaults that were created after it.
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
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Vault>>, Problem> {
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}
