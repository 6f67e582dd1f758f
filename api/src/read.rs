//! Reading the mirror: everything that one answer says is of one moment, which it names.

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use crate::{AppState, problem::Problem};

/// Headers that say what an answer is of.
pub const HEADERS: [&str; 4] = [SLOT, FINALIZED_SLOT, SEQ, DATA_AGE_MS];
const SLOT: &str = "x-slot";
const FINALIZED_SLOT: &str = "x-finalized-slot";
const SEQ: &str = "x-seq";
const DATA_AGE_MS: &str = "x-data-age-ms";

/// How long a request waits for its `min_slot`.
const SLOT_WAIT: Duration = Duration::from_secs(2);

/// How far the mirror has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct Mirror {
    /// The last slot that is in.
    pub slot: i64,
    /// Of these the chain takes nothing back.
    pub finalized_slot: i64,
    /// Number of the last event that is in: they are numbered without gaps.
    pub seq: i64,
    /// Events of earlier slots may be missing.
    pub history_from: i64,
    pub block_time: Option<DateTime<Utc>>,
    /// Milliseconds since the last slot came in.
    pub age_ms: i64,
}

impl Mirror {
    /// `None` while nothing is mirrored yet.
    pub async fn read(db: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select slot, finalized_slot, seq, history_from, block_time,
                    (extract(epoch from clock_timestamp() - updated_at) * 1000)::bigint as age_ms
             from chain.cursor",
        )
        .fetch_optional(db)
        .await
    }

    /// Whatever a tagged answer says changes by an event only, or by starting the mirror again.
    fn etag(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("W/\"{version}-{}-{}\"", self.history_from, self.seq)
    }
}

/// What every answer from the mirror says of itself.
fn headers(mirror: Option<Mirror>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut number = |name, number: i64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
    };
    number(SLOT, mirror.map_or(0, |mirror| mirror.slot));
    number(
        FINALIZED_SLOT,
        mirror.map_or(0, |mirror| mirror.finalized_slot),
    );
    number(SEQ, mirror.map_or(0, |mirror| mirror.seq));
    if let Some(mirror) = mirror {
        number(DATA_AGE_MS, mirror.age_ms.max(0));
        if let Ok(etag) = HeaderValue::from_str(&mirror.etag()) {
            headers.insert(header::ETAG, etag);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}

/// A transaction in which one moment of the mirror is read.
pub struct Read {
    pub tx: Transaction<'static, Postgres>,
    pub mirror: Option<Mirror>,
}

impl Read {
    pub async fn begin(db: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = db
            .begin_with("begin isolation level repeatable read, read only")
            .await?;
        let mirror = Mirror::read(&mut tx).await?;
        Ok(Self { tx, mirror })
    }

    /// The number of the last event that is seen.
    pub fn seq(&self) -> i64 {
        self.mirror.map_or(0, |mirror| mirror.seq)
    }

    pub async fn reply<T: Serialize>(self, body: T) -> Result<Reply<T>, Problem> {
        self.tx.rollback().await?;
        Ok(Reply {
            mirror: self.mirror,
            tagged: true,
            body,
        })
    }
}

impl FromRequestParts<AppState> for Read {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if let Some(min_slot) = min_slot(&parts.uri)? {
            let slot = app.feed.wait_for(min_slot, SLOT_WAIT).await;
            if slot < min_slot {
                return Err(Problem::NotYet { min_slot, slot });
            }
        }
        Ok(Self::begin(&app.db).await?)
    }
}

/// A turn at reading what takes long: a handler that wants one asks for it before its [`Read`], so
/// that those who wait for theirs hold no connection, and other reads find some free.
pub struct Turn(#[expect(dead_code, reason = "it ends when it is dropped")] OwnedSemaphorePermit);

/// How many of them read at once.
pub const TURNS: usize = 4;

impl FromRequestParts<AppState> for Turn {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let turn = app.turns.clone().acquire_owned().await;
        Ok(Self(turn.expect("nobody closes it")))
    }
}

/// What a request's body asks, and the moment to answer it from. The body comes first: who sends
/// it slowly holds no connection.
pub struct Asked<T> {
    pub body: T,
    pub read: Read,
}

impl<T: DeserializeOwned + Send> FromRequest<AppState> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let Json(body) = Json::from_request(request, app)
            .await
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
        let read = Read::from_request_parts(&mut parts, app).await?;
        Ok(Self { body, read })
    }
}

/// An answer and the moment that it is of.
pub struct Reply<T> {
    mirror: Option<Mirror>,
    /// Whether it is the same until another event comes.
    tagged: bool,
    body: T,
}

impl<T> Reply<T> {
    /// Says nothing of how long the answer holds: it depends on the time.
    pub fn untagged(self) -> Self {
        Self {
            tagged: false,
            ..self
        }
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut headers = headers(self.mirror);
        if !self.tagged {
            headers.remove(header::ETAG);
        }
        (headers, Json(self.body)).into_response()
    }
}

/// Tells a client that what it has is what there is, without asking the database.
pub async fn not_modified(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if let Some(mirror) = app.feed.fresh()
        && let Some(tags) = request.headers().get(header::IF_NONE_MATCH)
        && let Ok(tags) = tags.to_str()
        && tags.split(',').any(|tag| tag.trim() == mirror.etag())
        && matches!(min_slot(request.uri()), Ok(min_slot) if min_slot <= Some(mirror.slot))
    {
        return (StatusCode::NOT_MODIFIED, headers(Some(mirror))).into_response();
    }
    next.run(request).await
}

/// Of every read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `min_slot` reads")]
pub struct MinSlot {
    /// Wait up to 2 s until the mirror has reached this slot; 425 where it hasn't.
    min_slot: Option<i64>,
}

fn min_slot(uri: &Uri) -> Result<Option<i64>, Problem> {
    let Some(slot) = pairs(uri).find_map(|pair| pair.strip_prefix("min_slot=")) else {
        return Ok(None);
    };
    match slot.parse() {
        Ok(slot) if 0 <= slot => Ok(Some(slot)),
        _ => Err(Problem::BadRequest(
            "`min_slot` is a slot's number".to_owned(),
        )),
    }
}

fn pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().unwrap_or_default().split('&')
}

/// The parameters behind `?` but for `min_slot`, which is [`Read`]'s.
pub struct InQuery<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let others: Vec<_> = pairs(&parts.uri)
            .filter(|pair| !pair.starts_with("min_slot="))
            .collect();
        let uri = Uri::builder()
            .path_and_query(format!("/?{}", others.join("&")))
            .build()
            .map_err(|error| Problem::BadRequest(error.to_string()))?;
        axum::extract::Query::try_from_uri(&uri)
            .map(|axum::extract::Query(parameters)| Self(parameters))
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
    }
}

/// What the path names.
pub struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(names)| Self(names))
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
    }
}
