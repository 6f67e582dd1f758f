//! Models: metric, oracles and statistics.

mod drift_analysis;
mod metrics;
mod model;
mod monitoring_agent;
mod parts;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    events::{self, Event},
    extract::{InPath, InQuery, MinSlot},
    markets::{self, Market, MarketFilter},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    receipts::{self, Receipt, ReceiptFilter},
    reply::Reply,
    series::{self, Window},
    sql::{allow_sort, each_value, push_equals},
    state::AppState,
};

use drift_analysis::{AnalysisQuery, DriftAnalysis};
use metrics::{MetricsBucket, MetricsFilter};

pub use model::Model;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(receipts))
        .routes(routes!(windows))
        .routes(routes!(markets))
        .routes(routes!(history))
        .routes(routes!(drift_analysis))
        .routes(routes!(metrics))
}

/// Routes whose answers have no `ETag`.
pub fn untagged_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(monitoring_agent::config))
}

/// Selects models (alias `m`). A model is never closed, so it has one life.
const SELECT: &str = "select m.*, c.decimals
    from chain.model m
    join chain.collateral c on c.mint = m.bond_mint and c.is_current
    where m.is_current";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ModelFilter {
    owner: Option<Key>,
    #[param(inline)]
    metric: Option<DriftMetric>,
    #[param(inline)]
    status: Option<ModelStatus>,
    /// Part of the name, case-insensitive.
    #[param(value_type = Option<String>, min_length = 1, pattern = "^[^\\x00]+$")]
    text: Option<SearchText>,
}

/// A text that Postgres can search for.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "String")]
struct SearchText(String);

impl TryFrom<String> for SearchText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // No text in Postgres contains it.
        if text.contains('\0') {
            return Err("`text` contains a zero byte; give a part of the name");
        }
        Ok(Self(text))
    }
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum DriftMetric {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum ModelStatus {
    Active,
    Retired,
}

/// Reads a page of models, newest first.
async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<ModelFilter>,
) -> Result<Page<Model>, Problem> {
    let filter = &query.filter;
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(format!("{SELECT} and {part}"));
        push_equals(sql, "m.owner", filter.owner);
        push_equals(sql, "m.metric", filter.metric);
        push_equals(sql, "m.status", filter.status);
        if let Some(SearchText(text)) = &filter.text {
            sql.push(" and m.name ilike ").push_bind(contains(text));
        }
    };
    if filter.text.is_some() {
        allow_sort(&mut snapshot.tx).await?;
    }
    let parts = each_value::<ModelStatus>("m.status", filter.status.is_some());
    let order = Order::descending(&["m.life", "m.address"]);
    let key = |model: &Model| (model.life, model.key);
    query
        .pager("models", snapshot.epoch())
        .fetch_merged(&mut snapshot.tx, "m", &parts, select, order, key)
        .await
}

/// Models of `owner`, newest first.
pub async fn of_owner(
    snapshot: &mut Snapshot,
    owner: Key,
    query: ListQuery,
) -> Result<Page<Model>, Problem> {
    let filter = ModelFilter {
        owner: Some(owner),
        metric: None,
        status: None,
        text: None,
    };
    let paging = query.paging;
    page(snapshot, &ListQuery { filter, paging }).await
}

/// Models, newest first.
#[utoipa::path(
    get,
    path = "/models",
    tag = "models",
    params(ListQuery<ModelFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Model>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<ModelFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Model>>, Problem> {
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}

/// Pattern of `ilike` for all texts that contain `text`.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern + "%"
}

/// Reads the model at an address.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Model>, sqlx::Error> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push(" and m.address = ").push_bind(*key);
    sql.build_query_as().fetch_optional(db).await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Model, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::not_found("model", key))
}

/// The model at an address.
#[utoipa::path(
    get,
    path = "/models/{model}",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    responses(
        (status = 200, body = Model),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut snapshot: Snapshot) -> Result<Reply<Model>, Problem> {
    let model = require(&mut snapshot.tx, &key).await?;
    snapshot.reply(model).await
}

/// Receipts of a model, latest window first.
#[utoipa::path(
    get,
    path = "/models/{model}/receipts",
    tag = "models",
    params(
        ("model" = Key, Path, description = "Address of the model"),
        ListQuery<ReceiptFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Receipt>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn receipts(
    InPath(key): InPath<Key>,
    query: ListQuery<ReceiptFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Receipt>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = receipts::of_model(&mut snapshot, &key, &query).await?;
    snapshot.reply(page).await
}

/// Windows of a model with a submission, latest first. The list comes from the model's series on
/// chain, so it is complete even if the mirror is younger than the model.
#[utoipa::path(
    get,
    path = "/models/{model}/windows",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Window>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn windows(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Window>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = series::of_model(&mut snapshot, &key, &query).await?;
    snapshot.reply(page).await
}

/// Markets on a model, newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/markets",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Market>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn markets(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Market>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let query = ListQuery {
        filter: MarketFilter::of_model(key),
        paging: query.paging,
    };
    let page = markets::page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}

/// Events of a model, newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/history",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Event>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = events::of_account(&mut snapshot, &key, &query).await?;
    snapshot.reply(page).await
}

/// Trend, volatility and change points of a model's drift, and the chances that it reaches thresholds.
///
/// Statistics in units of drift are decimal strings with six places. Probabilities are numbers from 0 to 1,
/// rounded to four places. docs/drift-analysis.md explains the methods and their limits.
#[utoipa::path(
    get,
    path = "/models/{model}/drift-analysis",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), AnalysisQuery, MinSlot),
    responses(
        (status = 200, body = DriftAnalysis),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn drift_analysis(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<AnalysisQuery>,
    mut snapshot: Snapshot,
) -> Result<Reply<DriftAnalysis>, Problem> {
    let model = require(&mut snapshot.tx, &key).await?;
    let analysis = drift_analysis::of_model(&mut snapshot.tx, model, query).await?;
    snapshot.reply(analysis).await
}

/// Drift of a model by hour, day or week (UTC), latest first. Only periods in which a window with a
/// submission starts are listed. A page has fewer items than `limit` if they have very many windows.
#[utoipa::path(
    get,
    path = "/models/{model}/metrics",
    tag = "models",
    params(
        ("model" = Key, Path, description = "Address of the model"),
        ListQuery<MetricsFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<MetricsBucket>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn metrics(
    InPath(key): InPath<Key>,
    query: ListQuery<MetricsFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<MetricsBucket>>, Problem> {
    let model = require(&mut snapshot.tx, &key).await?;
    let page = metrics::of_model(&mut snapshot, &model, &query).await?;
    snapshot.reply(page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_searched_literally() {
        assert_eq!(contains("Fraud v2"), "%Fraud v2%");
        assert_eq!(contains(r"50%_\"), r"%50\%\_\\%");
    }
}
