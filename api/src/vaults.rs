//! Vaults: capital that backs policies, with its share price and the models that it covers.

mod capital;
mod exposures;
mod list;
mod terms;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    extract::{InPath, InQuery, MinSlot},
    lives::LifeFilter,
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
    values::U64,
};

use capital::{Capital, CapitalPoint};
use exposures::Exposure;
use terms::VaultTerms;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(list::router())
        .routes(routes!(one))
        .routes(routes!(history))
        .routes(routes!(exposures))
}

/// Capital of liquidity providers that backs policies. Amounts are in the vault's mint. Balances
/// are as of `accrued_at`.
#[derive(Serialize, ToSchema)]
pub struct Vault {
    /// Address of the vault's account.
    pub key: Key,
    /// Event that created the account: each time that a vault is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    pub life: EventId,
    pub manager: Key,
    /// Number chosen by the manager.
    pub id: U64,
    pub mint: Key,
    /// Decimals of the mint.
    pub decimals: u8,
    /// Token account that holds capital, premiums and credits.
    pub tokens: Key,
    pub share_mint: Key,
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
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
}

impl FromRow<'_, PgRow> for Vault {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let terms_at: i64 = columns.get("terms_at")?;
        let has_next_terms = terms_at != 0;
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
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
            created_slot: columns.get("began_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
    }
}

/// Reads the vault at an address.
pub async fn find(
    db: &mut PgConnection,
    key: &Key,
    life: LifeFilter,
) -> Result<Option<Vault>, sqlx::Error> {
    let mut sql = QueryBuilder::new("select m.* from chain.vault m where true");
    life.push(&mut sql, key);
    sql.build_query_as().fetch_optional(db).await
}

async fn require(db: &mut PgConnection, key: &Key, life: LifeFilter) -> Result<Vault, Problem> {
    find(db, key, life)
        .await?
        .ok_or_else(|| Problem::not_found("vault", life.name(key)))
}

/// The vault at an address.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Address of the vault"), LifeFilter, MinSlot),
    responses(
        (status = 200, body = Vault),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    InQuery(life): InQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Vault>, Problem> {
    let vault = require(&mut snapshot.tx, &key, life).await?;
    snapshot.reply(vault).await
}

/// Balances and share price of a vault after each event that reports them, newest first.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/history",
    tag = "insurance",
    params(
        ("vault" = Key, Path, description = "Address of the vault"),
        ListQuery<LifeFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<CapitalPoint>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    query: ListQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<CapitalPoint>>, Problem> {
    let vault = require(&mut snapshot.tx, &key, query.filter).await?;
    let page = capital::history(&mut snapshot, &vault, &query).await?;
    snapshot.reply(page).await
}

/// Exposures of a vault, open and closed, in ascending order of address (as bytes) and `life`.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/exposures",
    tag = "insurance",
    params(
        ("vault" = Key, Path, description = "Address of the vault"),
        ListQuery<LifeFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Exposure>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn exposures(
    InPath(key): InPath<Key>,
    query: ListQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Exposure>>, Problem> {
    let vault = require(&mut snapshot.tx, &key, query.filter).await?;
    let page = exposures::of_vault(&mut snapshot, &vault, &query).await?;
    snapshot.reply(page).await
}
