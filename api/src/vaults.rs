//! Vaults: capital that backs policies, with its share price and the models that it covers.

mod capital;
mod exposures;
mod terms;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    columns::Columns,
    extract::{ExpensiveQueryPermit, InPath, MinSlot},
    mirror::Snapshot,
    page::{ChosenKey, ListQuery, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{CREATED_SEQ, IS_CLOSED, JOIN_CREATION, push_equals},
    state::AppState,
    values::{Key, U64},
};

use capital::{Capital, CapitalPoint};
use exposures::Exposure;
use terms::VaultTerms;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(history))
        .routes(routes!(exposures))
}

/// Capital of liquidity providers that backs policies. Amounts are in the vault's mint. Balances
/// are as of `accrued_at`.
#[derive(Serialize, ToSchema)]
pub struct Vault {
    /// Address of the vault's account.
    pub key: String,
    pub manager: String,
    /// Number chosen by the manager.
    pub id: U64,
    pub mint: String,
    /// Decimals of the mint.
    pub decimals: u8,
    /// Token account that holds capital, premiums and credits.
    pub tokens: String,
    pub share_mint: String,
    #[serde(flatten)]
    pub capital: Capital,
    /// Time up to which the balances include streamed premiums. On chain, premiums stream every
    /// second.
    pub accrued_at: Option<DateTime<Utc>>,
    pub terms: VaultTerms,
    /// Announced terms, in force from `terms_at` on; null if there are none. From `terms_at` on
    /// they apply, even while `terms` still has the previous ones.
    pub next_terms: Option<VaultTerms>,
    pub terms_at: Option<DateTime<Utc>>,
    /// Time after a withdrawal request from which it can be paid.
    pub cooldown_secs: i64,
    /// Minimum time between the purchase of a policy and its first covered window.
    pub waiting_secs: i64,
    /// Time for which a policy can be claimed after its last window could be settled.
    pub claim_grace_secs: i64,
    /// Length of a bucket of time. A premium streams until the end of the bucket in which its term
    /// ends.
    pub bucket_secs: i64,
    /// Time for which a withdrawal request can be paid after its cooldown.
    pub exit_secs: i64,
    /// Time in which `seasoned` follows all of the capital.
    pub season_secs: i64,
    /// Protocol's part of a premium.
    pub protocol_fee_bps: i32,
    /// Manager's part of a premium.
    pub manager_fee_bps: i32,
    /// Number of open policies.
    pub policies: U64,
    /// Number of exposures, including those of unlisted models.
    pub exposures: U64,
    /// Number of open withdrawal requests.
    pub requests: U64,
    /// Number of times that the manager has listed a model, changed a listing or announced terms.
    /// An argument of `deposit`.
    pub revision: i64,
    /// Number of events that reference the vault.
    pub event_count: U64,
    pub created_at: Option<DateTime<Utc>>,
    /// Slot of creation; null if the creation is older than the mirror's history.
    pub created_slot: Option<i64>,
    /// Whether the account is closed on chain. If so, the balances, `policies`, `exposures` and
    /// `requests` are 0.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Value that the list is sorted by, in decimal digits.
    #[serde(skip)]
    sort_key: String,
}

impl FromRow<'_, PgRow> for Vault {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let terms_at: i64 = columns.get("terms_at")?;
        let has_next_terms = terms_at != 0;
        Ok(Self {
            key: columns.get("address")?,
            manager: columns.get("manager")?,
            id: columns.get("id")?,
            mint: columns.get("mint")?,
            decimals: columns.decimals,
            tokens: columns.get("tokens")?,
            share_mint: columns.get("share_mint")?,
            capital: Capital::from_columns(&columns, |name| columns.u64_unless_closed(name))?,
            accrued_at: columns.time("accrued_at")?,
            terms: VaultTerms::from_column(&columns, "terms")?,
            next_terms: has_next_terms
                .then(|| VaultTerms::from_column(&columns, "next_terms"))
                .transpose()?,
            terms_at: has_next_terms
                .then(|| columns.time("terms_at"))
                .transpose()?
                .flatten(),
            cooldown_secs: columns.get("cooldown_secs")?,
            waiting_secs: columns.get("waiting_secs")?,
            claim_grace_secs: columns.get("claim_grace_secs")?,
            bucket_secs: columns.get("bucket_secs")?,
            exit_secs: columns.get("exit_secs")?,
            season_secs: columns.get("season_secs")?,
            protocol_fee_bps: columns.get("protocol_fee_bps")?,
            manager_fee_bps: columns.get("manager_fee_bps")?,
            policies: columns.u64_unless_closed("policies")?,
            exposures: columns.u64_unless_closed("exposures")?,
            requests: columns.u64_unless_closed("requests")?,
            revision: columns.get("revision")?,
            event_count: columns.get("seq")?,
            created_at: columns.time("created_at")?,
            created_slot: columns.get("created_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("closed_slot")?,
            slot: columns.get("slot")?,
            sort_key: columns.get("sort_text")?,
        })
    }
}

/// Selects vaults (alias `m`). `sort_key` is an SQL expression.
fn select(sort_key: &str) -> String {
    format!(
        "select m.*, m.sort_key::text as sort_text from (
           select m.*, {CREATED_SEQ} as created_seq, creation.slot as created_slot,
                  ({sort_key})::numeric as sort_key
           from chain.vault m {JOIN_CREATION}
         ) m where true"
    )
}

/// SQL expression for the assets of a vault as of the event `as_of`, in whole tokens. If the mirror
/// has neither balances of the vault up to that event nor the creation event, these are the current
/// assets.
fn assets(as_of: i64) -> String {
    format!(
        "coalesce(
           (select h.assets from chain.capital h
            where h.vault = m.address and h.seq <= {as_of}
            order by h.seq desc limit 1),
           case when creation.seq is null then m.assets else 0 end
         ) / power(10::numeric, m.decimals)"
    )
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
    /// change the order.
    Assets,
}

/// Vaults in their current state. With `sort=assets`, later pages keep the order as of the first
/// page, and omit vaults that were created after it.
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
    let filter = &query.filter;
    let pager = query.pager("vaults");
    let after: Option<ChosenKey> = pager.after()?;
    let as_of = after.map_or(snapshot.seq(), |after| after.as_of);
    let mut sql = QueryBuilder::new(match filter.sort {
        VaultSort::Newest => select(CREATED_SEQ),
        VaultSort::Assets => select(&assets(as_of)),
    });
    if filter.sort == VaultSort::Assets {
        sql.push(" and m.created_seq <= ").push_bind(as_of);
    }
    let manager = filter.manager.as_ref().map(Key::as_str);
    push_equals(&mut sql, "m.manager", manager);
    if let Some(model) = &filter.model {
        sql.push(
            " and exists (select from chain.exposure x
                where x.vault = m.address and x.closed_slot is null and x.model = ",
        )
        .push_bind(model.as_str())
        .push(")");
    }
    push_equals(&mut sql, "m.mint", filter.mint.as_ref().map(Key::as_str));
    push_equals(&mut sql, IS_CLOSED, filter.closed);
    let page = pager
        .fetch(
            &mut snapshot.tx,
            sql,
            ChosenKey::DESCENDING,
            |vault: &Vault| ChosenKey {
                value: vault.sort_key.clone(),
                address: vault.key.clone(),
                as_of,
            },
        )
        .await?;
    snapshot.reply(page).await
}

/// Reads the vault at an address.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Vault>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select(CREATED_SEQ)))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Vault, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::not_found("vault", key))
}

/// The vault at an address.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Address of the vault"), MinSlot),
    responses(
        (status = 200, body = Vault),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut snapshot: Snapshot) -> Result<Reply<Vault>, Problem> {
    let vault = require(&mut snapshot.tx, &key).await?;
    snapshot.reply(vault).await
}

/// Balances and share price of a vault after each event that reports them, newest first.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/history",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Address of the vault"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<CapitalPoint>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<CapitalPoint>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = capital::history(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}

/// Exposures of a vault, open and closed, in ascending order of address.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/exposures",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Address of the vault"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Exposure>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn exposures(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Exposure>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = exposures::of_vault(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}
