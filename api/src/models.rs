//! Models: what is measured, how, by whom and with what result.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, Row, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    events::{self, Event, HistoryQuery},
    markets::{self, Market},
    page::{self, Limit, List, Page},
    problem::{Problem, ProblemBody},
    read::{InPath, InQuery, MinSlot, Read, Reply, Turn},
    receipts::{self, Receipt},
    values::{Columns, Key, Scaled, U64, unless_zeros},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(receipts))
        .routes(routes!(markets))
        .routes(routes!(history))
}

/// A machine-learning model whose drift is measured. Amounts are in its bond mint.
#[derive(Serialize, ToSchema)]
pub struct Model {
    pub key: String,
    pub owner: String,
    /// Number that the owner gave it.
    pub id: U64,
    pub name: String,
    pub uri: String,
    /// SHA-256 of what `uri` points to.
    pub metadata_hash: Option<String>,
    /// Hash of the model artifact.
    pub artifact_hash: Option<String>,
    /// SHA-256 of the metric-spec document.
    pub spec_hash: String,
    /// Head of the receipt chain.
    pub chain: String,
    #[schema(example = "active")]
    pub status: String,
    /// Raised by each update of the model.
    pub version: i64,
    #[schema(example = "psi")]
    pub metric: String,
    /// Rows of the reference by bin.
    pub reference: Vec<i64>,
    pub oracles: Vec<Oracle>,
    /// How many oracles have to submit.
    pub quorum: i16,
    /// When window 0 begins.
    pub genesis: Option<DateTime<Utc>>,
    pub window_secs: i64,
    /// Fewest rows of a submission.
    pub min_samples: U64,
    /// No threshold lies under it.
    pub noise_floor: Scaled,
    /// Furthest that a submission may lie from the median, or from a ruling, without dispute.
    pub max_spread: Scaled,
    pub bond_mint: String,
    /// Of the bond mint.
    pub decimals: u8,
    pub bond_vault: String,
    /// Rules on disputes.
    pub arbiter: String,
    pub min_bond: Scaled,
    pub slash_amount: Scaled,
    pub challenge_bond: Scaled,
    pub submit_secs: i64,
    pub challenge_secs: i64,
    pub ruling_secs: i64,
    pub unbond_secs: i64,
    pub retention_secs: i64,
    /// What the bond vault owes.
    pub held: Scaled,
    /// What bending the median costs at least.
    pub security: Scaled,
    /// `at_risk` may reach this many times `security`.
    pub security_multiple: i64,
    /// Unsettled stakes, and cover of open policies.
    pub at_risk: Scaled,
    /// Unsettled markets with a bet, and open policies.
    pub exposure: U64,
    /// Receipts that are neither final nor void.
    pub open_receipts: U64,
    /// Final receipts of this version.
    pub final_count: U64,
    /// Of the latest final window of this version; null where there is none.
    pub last: Option<WindowValue>,
    /// Of the latest window of this version that was proposed or ruled on; null where there is none.
    pub latest: Option<WindowValue>,
    /// The largest final value of this version; null where there is none.
    pub max_value: Option<Scaled>,
    /// Exponentially weighted mean of this version's final values; null where there is none.
    pub ewma: Option<Scaled>,
    /// Number of events that spoke of it.
    pub event_count: U64,
    /// When it was registered; null where the history doesn't reach back so far.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
    #[serde(skip)]
    created_seq: i64,
}

/// Who counts, and what it has put up.
#[derive(Serialize, ToSchema)]
pub struct Oracle {
    pub oracle: String,
    /// Beside what is unbonding.
    pub bond: Scaled,
}

#[derive(Serialize, ToSchema)]
pub struct WindowValue {
    pub window: U64,
    pub value: Scaled,
}

impl FromRow<'_, PgRow> for Model {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let model = Columns::new(row)?;
        let oracle_count = model.count("oracle_count")?;
        let oracles: Vec<String> = model.get("oracles")?;
        let bonds = model.amounts("bonds", oracle_count)?;
        let reference: Vec<i64> = model.get("reference")?;
        let measured = model.get::<U64>("final_count")? != U64(0);
        let seen = |window, value| {
            let window_value = WindowValue {
                window: model.get(window)?,
                value: model.drift(value)?,
            };
            let any = window_value.window != U64(0) || window_value.value.raw != U64(0);
            Ok::<_, sqlx::Error>((measured || any).then_some(window_value))
        };
        let final_drift = |name| Ok::<_, sqlx::Error>(measured.then_some(model.drift(name)?));
        Ok(Self {
            key: model.get("address")?,
            owner: model.get("owner")?,
            id: model.get("id")?,
            name: model.get("name")?,
            uri: model.get("uri")?,
            metadata_hash: unless_zeros(model.get("metadata_hash")?),
            artifact_hash: unless_zeros(model.get("artifact_hash")?),
            spec_hash: model.get("spec_hash")?,
            chain: model.get("chain")?,
            status: model.get("status")?,
            version: model.get("version")?,
            metric: model.get("metric")?,
            reference: reference.into_iter().take(model.count("bins")?).collect(),
            oracles: std::iter::zip(oracles, bonds)
                .map(|(oracle, bond)| Oracle { oracle, bond })
                .collect(),
            quorum: model.get("quorum")?,
            genesis: model.time("genesis")?,
            window_secs: model.get("window_secs")?,
            min_samples: model.get("min_samples")?,
            noise_floor: model.drift("noise_floor")?,
            max_spread: model.drift("max_spread")?,
            bond_mint: model.get("bond_mint")?,
            decimals: model.decimals,
            bond_vault: model.get("bond_vault")?,
            arbiter: model.get("arbiter")?,
            min_bond: model.amount("min_bond")?,
            slash_amount: model.amount("slash_amount")?,
            challenge_bond: model.amount("challenge_bond")?,
            submit_secs: model.get("submit_secs")?,
            challenge_secs: model.get("challenge_secs")?,
            ruling_secs: model.get("ruling_secs")?,
            unbond_secs: model.get("unbond_secs")?,
            retention_secs: model.get("retention_secs")?,
            held: model.amount("held")?,
            security: model.amount("security")?,
            security_multiple: model.get("security_multiple")?,
            at_risk: model.amount("at_risk")?,
            exposure: model.get("exposure")?,
            open_receipts: model.get("open_receipts")?,
            final_count: model.get("final_count")?,
            last: measured
                .then_some(seen("last_window", "last_value")?)
                .flatten(),
            latest: seen("latest_window", "latest")?,
            max_value: final_drift("max_value")?,
            ewma: final_drift("ewma")?,
            event_count: model.get("seq")?,
            created_at: model.get("created_at")?,
            created_slot: model.get("created_slot")?,
            slot: model.get("slot")?,
            created_seq: row.try_get("created_seq")?,
        })
    }
}

/// Joins `life`, the event that made the account `m` as it is now: an address can be closed and
/// made again, and then its events are numbered from 1 again.
pub const LIFE: &str = " left join lateral (
    select e.seq, e.slot, e.block_time
    from chain.event_account a join chain.event e on e.seq = a.seq
    where a.account = m.address and a.number = 1
    order by a.seq desc limit 1) life on true ";

fn select() -> String {
    format!(
        "select m.*, c.decimals, coalesce(life.seq, 0) as created_seq,
                life.slot as created_slot, life.block_time as created_at
         from chain.model m join chain.collateral c on c.mint = m.bond_mint {LIFE} where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    owner: Option<Key>,
    #[param(inline)]
    metric: Option<Metric>,
    #[param(inline)]
    status: Option<Status>,
    /// A part of the name, in any case.
    text: Option<String>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum Metric {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum Status {
    Active,
    Retired,
}

/// Models, the newest first.
#[utoipa::path(
    get,
    path = "/models",
    tag = "models",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Model>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    _turn: Turn,
    mut read: Read,
) -> Result<Reply<Page<Model>>, Problem> {
    let list = List::new("models", &query);
    let mut sql = QueryBuilder::new(select());
    if let Some(owner) = &query.owner {
        sql.push(" and m.owner = ").push_bind(owner.as_str());
    }
    if let Some(metric) = query.metric {
        sql.push(" and m.metric = ").push_bind(metric);
    }
    if let Some(status) = query.status {
        sql.push(" and m.status = ").push_bind(status);
    }
    if let Some(text) = &query.text {
        sql.push(" and strpos(lower(m.name), lower(")
            .push_bind(text)
            .push(")) > 0");
    }
    if let Some((seq, key)) = list.key::<(i64, String)>(query.cursor.as_deref())? {
        sql.push(" and (coalesce(life.seq, 0), m.address) < (")
            .push_bind(seq)
            .push(", ")
            .push_bind(key)
            .push(")");
    }
    sql.push(" order by created_seq desc, m.address desc limit ")
        .push_bind(query.limit.rows());
    let models: Vec<Model> = sql.build_query_as().fetch_all(&mut *read.tx).await?;
    let page = Page::new(models, query.limit, &list, |model| {
        (model.created_seq, model.key.clone())
    });
    read.reply(page).await
}

/// The model at an address.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Model>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select()))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Model, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::missing("model", key))
}

/// One model.
#[utoipa::path(
    get,
    path = "/models/{model}",
    tag = "models",
    params(("model" = Key, Path, description = "Its address"), MinSlot),
    responses(
        (status = 200, body = Model),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut read: Read) -> Result<Reply<Model>, Problem> {
    let model = require(&mut read.tx, &key).await?;
    read.reply(model).await
}

/// The receipts of a model, the latest window first.
#[utoipa::path(
    get,
    path = "/models/{model}/receipts",
    tag = "models",
    params(("model" = Key, Path, description = "Its address"), receipts::ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Receipt>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn receipts(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<receipts::ListQuery>,
    mut read: Read,
) -> Result<Reply<Page<Receipt>>, Problem> {
    require(&mut read.tx, &key).await?;
    let page = receipts::of_model(&mut read.tx, &key, &query).await?;
    read.reply(page).await
}

/// The markets on a model, the newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/markets",
    tag = "models",
    params(("model" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<Market>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn markets(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    _turn: Turn,
    mut read: Read,
) -> Result<Reply<Page<Market>>, Problem> {
    require(&mut read.tx, &key).await?;
    let query = markets::ListQuery::of_model(key, query.cursor, query.limit);
    let page = markets::page(&mut read, &query).await?;
    read.reply(page).await
}

/// The events of a model, the newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/history",
    tag = "models",
    params(("model" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<Page<Event>>, Problem> {
    require(&mut read.tx, &key).await?;
    let page = events::history(&mut read.tx, &key, &query).await?;
    read.reply(page).await
}
