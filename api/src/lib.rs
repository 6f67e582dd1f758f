//! Serves the mirror of the chain: reads over REST, changes over a WebSocket. Builds transactions for
//! wallets to sign.
//!
//! The API holds no key, and can neither sign nor send. Its database role can read the schema `chain`,
//! but not write it. Each answer names the slot of its snapshot; only the chain is authoritative.

mod actions;
mod admission;
pub mod analysis;
mod analytics;
mod asks;
mod bytes;
mod cache;
mod calendar;
mod client_address;
pub mod config;
mod connections;
#[cfg(test)]
mod db_tests;
mod docs;
mod event_id;
mod events;
mod extract;
mod feed;
mod health;
mod lives;
mod markets;
mod mcp;
mod metrics;
mod mirror;
mod models;
mod odds;
mod oracles;
mod page;
mod policies;
mod positions;
mod problem;
mod quote;
mod ranked;
mod reason;
mod receipts;
mod reply;
mod rows;
mod series;
mod server;
mod signed;
mod socket;
mod sql;
mod state;
mod statistics;
mod tail;
#[cfg(test)]
mod tests;
mod transactions;
mod updates;
mod users;
mod values;
mod vaults;
mod wallet;
mod withdrawals;

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Extension, Router,
    error_handling::HandleErrorLayer,
    extract::DefaultBodyLimit,
    http::{
        HeaderName, HeaderValue, Method, Request, Uri,
        header::{
            CONTENT_SECURITY_POLICY, ETAG, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use driftshield_service::metric;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, timeout::TimeoutLayer};
use tower_http::{
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    cache::Front,
    problem::{Problem, ProblemTypes, RandomIds},
    server::Admission,
    state::AppState,
};

pub use config::{Options, Settings};

/// Time limit for open requests to finish at shutdown, and after that for open sockets to close.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two rounds of upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Pool of read-only connections, with the privileges of the role `driftshield_api`.
///
/// Connections are opened on first use, so that the process can start before the database does.
///
/// # Errors
///
/// If `url` is not a Postgres URL.
fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    Ok(pool(PgConnectOptions::from_str(url)?))
}

fn pool(options: PgConnectOptions) -> PgPool {
    let options = options.application_name("driftshield-api").options([
        ("role", "driftshield_api"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "5000"),
        ("idle_in_transaction_session_timeout", "15000"),
        // Every list is a range of an index that has the list's filter and order, and Postgres has
        // to choose that index whatever it estimates. It must not take a plan for all values of a
        // filter, which is right for the common ones only; nor sort what matches, because there can
        // be much more than it estimates; nor read another index and drop what doesn't match, because
        // the rows of that one lie together.
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_sort", "off"),
        // A sort costs so much then that Postgres would compile the query, which takes longer than it.
        ("jit", "off"),
        ("seq_page_cost", "0"),
        ("random_page_cost", "0"),
        // What a row of a page is joined with is found by its key.
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options)
}

/// Serves until `shutdown` is cancelled.
///
/// # Errors
///
/// If an address cannot be listened on, or the poll loop panics.
pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let db = connect(&settings.database_url)
        .context("the database URL is not a Postgres URL; give postgres://USER@HOST/DATABASE")?;
    let listener = listen(settings.listen, "--listen").await?;
    let address = listener.local_addr().context("cannot listen")?;
    let state = AppState::new(db, settings, shutdown.clone());
    let operations = match settings.operations_listen {
        Some(address) => {
            let listener = listen(address, "--operations-listen").await?;
            let prometheus = metric::install(metrics::METRICS)?;
            Some((listener, operations(state.clone(), prometheus)))
        }
        None => None,
    };
    let tail = tokio::spawn(tail::tail(state.clone()));
    let upkeep = tokio::spawn(upkeep(state.clone()));
    let rankings = analytics::leaderboard::keeper::keep(state.db.clone(), shutdown.clone());
    let rankings = tokio::spawn(rankings);
    tracing::info!(%address, "listening");
    let public_url = settings.public_url.clone();
    let router = app(
        state.clone(),
        &public_url.unwrap_or_else(|| format!("http://{address}")),
    );
    let admission = Admission {
        connections: state.connections.clone(),
        trusted_proxies: Arc::new(settings.trusted_proxies.clone()),
        header_timeout: server::HEADER_TIMEOUT,
    };
    let serving = server::serve(listener, router, admission, shutdown, SHUTDOWN_TIMEOUT);
    match operations {
        Some((listener, router)) => {
            let operating = axum::serve(listener, router).into_future();
            tokio::select! {
                () = serving => {}
                served = operating => served.context("the server for operators has ended")?,
            }
        }
        None => serving.await,
    }
    state.sockets.close();
    if timeout(SHUTDOWN_TIMEOUT, state.sockets.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            sockets = state.sockets.len(),
            "dropped sockets that did not close in time"
        );
    }
    upkeep.abort();
    // A computation that is under way is rolled back.
    rankings.abort();
    tail.await?;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another {option}"))
}

/// Routes for operators.
fn operations(state: AppState, prometheus: PrometheusHandle) -> Router {
    let metrics = get(metrics::exposition).with_state((state.clone(), prometheus));
    health::operations_router()
        .with_state(state)
        .route("/metrics", metrics)
}

/// Forgets what is not needed any more, from time to time.
async fn upkeep(app: AppState) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        if let Some(limiter) = &app.rate_limiter {
            limiter.forget_idle();
        }
    }
}

/// All routes. Sockets get updates only while [`tail::tail`] runs.
fn app(state: AppState, public_url: &str) -> Front {
    let types = ProblemTypes {
        public_url: public_url.into(),
    };
    let (actions, of_actions) = actions::router().split_for_parts();
    let (router, mut document) = OpenApiRouter::with_openapi(docs::info(public_url))
        .nest("/api/v1", resources(&state))
        .merge(health::router())
        .split_for_parts();
    document.merge(of_actions);
    docs::complete(&mut document);
    let routes = router
        .route("/api/v1/ws", get(socket::upgrade))
        .merge(docs::router(document.clone()))
        .merge(socket::asyncapi::router())
        .merge(problem::kinds::router())
        .with_state(state.clone());
    let api = |routes| with_problems(routes, &state, &types);
    let tools = mcp::router(&document, with_headers(api(routes.clone())));
    // Any web page may use the actions, and their errors have another body.
    let actions = limited(actions.with_state(state.clone()), &state)
        .layer(Extension(actions::PublicUrl(types.public_url.clone())))
        .layer(from_fn_with_state(state.clone(), actions::finish))
        .layer(from_fn(metrics::record_request));
    Front::new(
        state.clone(),
        with_headers(api(routes.merge(tools)).merge(actions)),
    )
}

/// The routes of `/api/v1` with their documentation.
fn resources(state: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(models::router())
        .merge(receipts::router())
        .merge(markets::router())
        .merge(positions::router())
        .merge(vaults::router())
        .merge(policies::router())
        .merge(withdrawals::router())
        .merge(events::router())
        .merge(wallet::router())
        .merge(oracles::router())
        .merge(users::router())
        .merge(analytics::router())
        // These depend on the time or on the request: they are not given again.
        .merge(quote::router())
        .merge(models::untagged_router())
        .merge(wallet::untagged_router())
        .merge(users::untagged_router())
        .merge(analytics::untagged_router())
        .merge(oracles::untagged_router())
        .merge(calendar::router())
        .route_layer(from_fn_with_state(state.clone(), cache::answer))
        // These read the chain from the RPC node, whose slot is another one than the mirror's.
        .merge(transactions::router())
}

/// The routes with the limits of all requests. What is refused is a [`Problem`] without a body.
fn limited(routes: Router, state: &AppState) -> Router {
    let limits = ServiceBuilder::new()
        .layer(from_fn_with_state(state.clone(), admission::limit_rate))
        .layer(HandleErrorLayer::new(async |_| Problem::Timeout))
        .layer(TimeoutLayer::new(problem::REQUEST_TIMEOUT))
        .layer(DefaultBodyLimit::max(problem::MAX_BODY_BYTES));
    routes
        .method_not_allowed_fallback(
            |method: Method| async move { Problem::MethodNotAllowed(method) },
        )
        .layer(limits)
}

/// The routes of the API, and all others, with problem details as errors.
fn with_problems(routes: Router, state: &AppState, types: &ProblemTypes) -> Router {
    let routes = routes.fallback(|uri: Uri| async move { Problem::NoRoute(uri.path().to_owned()) });
    let problems = ServiceBuilder::new()
        .layer(cors())
        .layer(from_fn(metrics::record_request))
        .layer(from_fn_with_state(types.clone(), problem::write_body));
    limited(routes, state).layer(problems)
}

/// The routes with what all answers have.
fn with_headers(routes: Router) -> Router {
    // One layer: each layer of a router boxes every route again, which each request pays for.
    let headers = ServiceBuilder::new()
        .layer(security_header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .layer(security_header(REFERRER_POLICY, "no-referrer"))
        .layer(security_header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .map_request(problem::check_request_id)
        .layer(SetRequestIdLayer::new(problem::REQUEST_ID, RandomIds))
        .layer(PropagateRequestIdLayer::new(problem::REQUEST_ID))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()), // `write_body` logs failures
        )
        .layer(CompressionLayer::new());
    routes.layer(headers)
}

/// A header with which a browser uses an answer for nothing but what it is. Pages have values of their own.
fn security_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

fn cors() -> CorsLayer {
    let exposed = reply::SNAPSHOT_HEADERS
        .into_iter()
        .chain(admission::RATE_HEADERS)
        .chain([ETAG, RETRY_AFTER, problem::REQUEST_ID]);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(Any)
        .expose_headers(exposed.collect::<Vec<_>>())
}

fn span<B>(request: &Request<B>) -> tracing::Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        id = problem::request_id(request.headers()),
    )
}
