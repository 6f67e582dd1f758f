//! Successful responses: JSON with headers that identify the snapshot, and conditional requests.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    extract::min_slot,
    mirror::{MirrorStatus, Snapshot},
    problem::Problem,
    state::AppState,
};

/// Headers that identify the snapshot of an answer.
pub const SNAPSHOT_HEADERS: [&str; 5] = [EPOCH, SLOT, FINALIZED_SLOT, SEQ, DATA_AGE_MS];
const EPOCH: &str = "x-epoch";
const SLOT: &str = "x-slot";
const FINALIZED_SLOT: &str = "x-finalized-slot";
const SEQ: &str = "x-seq";
const DATA_AGE_MS: &str = "x-data-age-ms";

/// A body, and the status of the mirror from which the body was read.
pub struct Reply<T> {
    mirror: Option<MirrorStatus>,
    /// Whether to send an `ETag`.
    tagged: bool,
    body: T,
}

impl Snapshot {
    /// Ends the snapshot and replies with `body`, which was read from the snapshot.
    pub async fn reply<T: Serialize>(self, body: T) -> Result<Reply<T>, Problem> {
        Ok(Reply {
            mirror: self.close().await?,
            tagged: true,
            body,
        })
    }
}

impl<T> Reply<T> {
    /// Omits the `ETag`: the body depends on the time and not on events alone.
    pub fn untagged(self) -> Self {
        Self {
            tagged: false,
            ..self
        }
    }
}

impl<T> Reply<T> {
    fn headers(&self) -> HeaderMap {
        let mut headers = headers(self.mirror);
        if !self.tagged {
            headers.remove(header::ETAG);
        }
        headers
    }
}

impl Reply<String> {
    /// The body as comma-separated values, which have a header line.
    pub fn into_csv(self) -> Response {
        let mut headers = self.headers();
        let csv = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
        headers.insert(header::CONTENT_TYPE, csv);
        (headers, self.body).into_response()
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        (self.headers(), Json(self.body)).into_response()
    }
}

fn headers(mirror: Option<MirrorStatus>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut number = |name, number: i64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
    };
    number(EPOCH, mirror.map_or(0, |mirror| mirror.epoch));
    number(SLOT, mirror.map_or(0, |mirror| mirror.slot));
    number(
        FINALIZED_SLOT,
        mirror.map_or(0, |mirror| mirror.finalized_slot),
    );
    number(SEQ, mirror.map_or(0, |mirror| mirror.seq));
    if let Some(mirror) = mirror {
        number(DATA_AGE_MS, mirror.age_ms);
        if let Ok(etag) = HeaderValue::from_str(&etag(&mirror)) {
            headers.insert(header::ETAG, etag);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}

/// `ETag` of an answer: a tagged body changes only with a record of the feed, a rebuilt mirror, an
/// older start of the history or a new version of the API.
fn etag(mirror: &MirrorStatus) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let MirrorStatus {
        epoch,
        history_from,
        seq,
        ..
    } = mirror;
    format!("W/\"{version}-{epoch}-{history_from}-{seq}\"")
}

/// Answers a conditional request with 304 if nothing was mirrored since, without a database query.
pub async fn not_modified(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if let Some(mirror) = app.feed.fresh_mirror()
        && !mirror.settling
        && let Some(tags) = request.headers().get(header::IF_NONE_MATCH)
        && let Ok(tags) = tags.to_str()
        && tags.split(',').any(|tag| tag.trim() == etag(&mirror))
        && matches!(min_slot(request.uri()), Ok(min_slot) if min_slot <= Some(mirror.slot))
    {
        return (StatusCode::NOT_MODIFIED, headers(Some(mirror))).into_response();
    }
    next.run(request).await
}
