//! Users: the people behind wallets. A user is a wallet.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    models::{self, Model},
    page::{ListQuery, Page},
    positions::{self, Position},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
    wallet::{self, WalletBalance, WalletEvent},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(one))
        .routes(routes!(models))
        .routes(routes!(positions))
        .routes(routes!(transactions))
}

/// The route whose answer depends on the RPC node, too.
pub fn untagged_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(balance))
}

/// A user, who is a wallet.
#[derive(Serialize, ToSchema)]
struct User {
    /// Names the user in paths: the wallet's address.
    user: Key,
    wallet: Key,
    /// Time of the first event that the mirror has in which the wallet has a part; null if the block has none.
    first_seen: Option<DateTime<Utc>>,
    /// Time of the latest event in which the wallet has a part; null if the block has none.
    last_seen: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Seen {
    block_time: Option<DateTime<Utc>>,
}

const FIRST: &str = "select e.block_time
    from (select event_id from chain.event_party where wallet = $1 order by event_id limit 1) p
    join lateral (select * from chain.event e where e.id = p.event_id limit 1) e on true";
const LAST: &str = "select e.block_time
    from (select event_id from chain.event_party where wallet = $1 order by event_id desc limit 1) p
    join lateral (select * from chain.event e where e.id = p.event_id limit 1) e on true";

async fn seen(
    db: &mut PgConnection,
    sql: &'static str,
    user: &Key,
) -> Result<Option<Seen>, sqlx::Error> {
    sqlx::query_as(sql).bind(*user).fetch_optional(db).await
}

/// The user with this wallet, if it has a part in an event.
#[utoipa::path(
    get,
    path = "/users/{user}",
    tag = "users",
    params(("user" = Key, Path, description = "Address of the user's wallet"), MinSlot),
    responses(
        (status = 200, body = User),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(user): InPath<Key>, mut snapshot: Snapshot) -> Result<Reply<User>, Problem> {
    let first = seen(&mut snapshot.tx, FIRST, &user).await?;
    let last = seen(&mut snapshot.tx, LAST, &user).await?;
    let (Some(first), Some(last)) = (first, last) else {
        return Err(Problem::not_found("user", user));
    };
    let user = User {
        user,
        wallet: user,
        first_seen: first.block_time,
        last_seen: last.block_time,
    };
    snapshot.reply(user).await
}

/// Models of a user, newest first.
#[utoipa::path(
    get,
    path = "/users/{user}/models",
    tag = "users",
    params(("user" = Key, Path, description = "Address of the user's wallet"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Model>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn models(
    InPath(user): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Model>>, Problem> {
    let page = models::of_owner(&mut snapshot, user, query).await?;
    snapshot.reply(page).await
}

/// Positions of a user, open and closed, in ascending order of address (as bytes) and `life`.
#[utoipa::path(
    get,
    path = "/users/{user}/positions",
    tag = "users",
    params(("user" = Key, Path, description = "Address of the user's wallet"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn positions(
    InPath(user): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Position>>, Problem> {
    let page = positions::of_owner(&mut snapshot, user, query).await?;
    snapshot.reply(page).await
}

/// What a user has in the program, by token: see `/wallet/{wallet}/balance`.
#[utoipa::path(
    get,
    path = "/users/{user}/balance",
    tag = "users",
    params(("user" = Key, Path, description = "Address of the user's wallet"), MinSlot),
    responses(
        (status = 200, body = WalletBalance),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn balance(
    InPath(user): InPath<Key>,
    State(app): State<AppState>,
    snapshot: Snapshot,
) -> Result<Reply<WalletBalance>, Problem> {
    wallet::read_balance(&app, snapshot, &user).await
}

/// Events in which a user has a part, newest first, with what each moved for the user: see
/// `/wallet/{wallet}/transactions`.
#[utoipa::path(
    get,
    path = "/users/{user}/transactions",
    tag = "users",
    params(("user" = Key, Path, description = "Address of the user's wallet"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<WalletEvent>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn transactions(
    InPath(user): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<WalletEvent>>, Problem> {
    let page = wallet::transactions_page(&mut snapshot, &user, &query).await?;
    snapshot.reply(page).await
}
