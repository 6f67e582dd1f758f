//! Successful responses: JSON with headers that identify the snapshot.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    mirror::{MirrorStatus, Snapshot},
    problem::Problem,
};

/// Headers that identify the snapshot of an answer.
pub const SNAPSHOT_HEADERS: [HeaderName; 5] = [EPOCH, SLOT, FINALIZED_SLOT, SEQ, DATA_AGE_MS];
const EPOCH: HeaderName = HeaderName::from_static("x-epoch");
const SLOT: HeaderName = HeaderName::from_static("x-slot");
const FINALIZED_SLOT: HeaderName = HeaderName::from_static("x-finalized-slot");
const SEQ: HeaderName = HeaderName::from_static("x-seq");
const DATA_AGE_MS: HeaderName = HeaderName::from_static("x-data-age-ms");

/// A body, and the status of the mirror from which the body was read.
pub struct Reply<T> {
    mirror: Option<MirrorStatus>,
    /// Whether only a record of the feed changes the body.
    tagged: bool,
    body: T,
}

impl Snapshot {
    /// Ends the snapshot and replies with `body`, which was read from the snapshot.
    pub async fn reply<T: Serialize>(self, body: T) -> Result<Reply<T>, Problem> {
        Ok(Reply {
            mirror: self.close(),
            tagged: true,
            body,
        })
    }
}

impl<T> Reply<T> {
    /// Makes another body of the body.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reply<U> {
        Reply {
            mirror: self.mirror,
            tagged: self.tagged,
            body: make(self.body),
        }
    }

    /// The body depends on the time and not on events alone: it has no `ETag`, and is not given again.
    pub fn untagged(self) -> Self {
        Self {
            tagged: false,
            ..self
        }
    }
}

/// Extension of the response with an answer that changes only with records of the feed: the mirror that it
/// was read from.
#[derive(Clone, Copy)]
pub struct Answered {
    pub mirror: MirrorStatus,
}

impl Reply<String> {
    /// The body as comma-separated values, which have a header line.
    pub fn into_csv(self) -> Response {
        let mut headers = snapshot_headers(self.mirror);
        let csv = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
        headers.insert(header::CONTENT_TYPE, csv);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        (headers, self.body).into_response()
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = (snapshot_headers(self.mirror), Json(self.body)).into_response();
        let no_cache = HeaderValue::from_static("no-cache");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_cache);
        if let (Some(mirror), true) = (self.mirror, self.tagged) {
            response.extensions_mut().insert(Answered { mirror });
        }
        response
    }
}

/// Headers that identify a snapshot.
pub fn snapshot_headers(mirror: Option<MirrorStatus>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    write_snapshot(&mut headers, mirror);
    headers
}

/// Writes the headers that identify a snapshot, over those of another one.
pub fn write_snapshot(headers: &mut HeaderMap, mirror: Option<MirrorStatus>) {
    let mut number = |name: HeaderName, number: i64| {
        headers.insert(name, HeaderValue::from(number));
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
    }
}
