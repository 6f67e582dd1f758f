//! Vaults: capital that backs policies, with its share price and the models that it covers.

mod capital;
mod exposures;
mod list;
mod terms;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    extract::{InPath, InQuery, MinSlot},
    lives::LifeFilter,
    mirror::Snapshot,
    page::{ListQuery, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::{AccountColumns, Token, select_by_row, time, time_if_set},
    state::AppState,
    values::U64,
};

use capital::{Capital, CapitalColumns, CapitalPoint};
use exposures::Exposure;
use terms::{MirroredTerms, VaultTerms};

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

/// Row of `chain.vault`.
#[derive(FromRow)]
struct VaultRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(flatten)]
    capital: CapitalColumns,
    manager: Key,
    mint: Key,
    tokens: Key,
    share_mint: Key,
    id: U64,
    policies: U64,
    exposures: U64,
    requests: U64,
    created_at: i64,
    cooldown_secs: i64,
    waiting_secs: i64,
    claim_grace_secs: i64,
    bucket_secs: i64,
    exit_secs: i64,
    season_secs: i64,
    accrued_at: i64,
    terms_at: i64,
    #[sqlx(json)]
    terms: MirroredTerms,
    #[sqlx(json)]
    next_terms: MirroredTerms,
    revision: i64,
    protocol_fee_bps: i32,
    manager_fee_bps: i32,
}

select_by_row!(Vault, VaultRow);

impl From<VaultRow> for Vault {
    fn from(row: VaultRow) -> Self {
        let (account, token) = (row.account, row.token);
        let number = |number| account.unless_closed(number);
        let has_next_terms = row.terms_at != 0;
        Self {
            key: account.address,
            life: account.life,
            manager: row.manager,
            id: row.id,
            mint: row.mint,
            decimals: token.decimals,
            tokens: row.tokens,
            share_mint: row.share_mint,
            capital: Capital::new(row.capital, token, number),
            accrued_at: time(row.accrued_at),
            terms: VaultTerms::new(row.terms, token),
            next_terms: has_next_terms.then(|| VaultTerms::new(row.next_terms, token)),
            terms_at: time_if_set(row.terms_at),
            cooldown_secs: row.cooldown_secs,
            waiting_secs: row.waiting_secs,
            claim_grace_secs: row.claim_grace_secs,
            bucket_secs: row.bucket_secs,
            exit_secs: row.exit_secs,
            season_secs: row.season_secs,
            protocol_fee_bps: row.protocol_fee_bps,
            manager_fee_bps: row.manager_fee_bps,
            policies: number(row.policies),
            exposures: number(row.exposures),
            requests: number(row.requests),
            revision: row.revision,
            event_count: account.seq,
            created_at: time(row.created_at),
            created_slot: account.began_slot,
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
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
