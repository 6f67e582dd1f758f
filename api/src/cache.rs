//! Answers that can be given again: bodies by path and query, as long as no record of the feed concerns
//! them.
//!
//! A body that is still right is served without the database, and requests that come together read it once.
//! While the database is unreachable, the bodies that were right at the last poll are served with their age.

mod changes;
mod front;
mod scope;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, OriginalUri, RawPathParams, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use metrics::counter;
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::{
    extract::{OnlyCheck, min_slot, wait_for_min_slot},
    metrics::{CACHED, CachedRequests},
    mirror::MirrorStatus,
    problem::Problem,
    reply::{Answered, snapshot_headers},
    state::AppState,
};

pub use changes::Changes;
pub use front::Front;
use front::{Forms, Given};
use scope::Scope;

/// Memory of an entry beside its key and body, in bytes: most of it are headers.
const ENTRY_OVERHEAD: u32 = 4 * 1024;

/// Answers by path and query.
pub struct Answers {
    /// `None` without a cache.
    entries: Option<Cache<String, Arc<Outcome>>>,
    pub changes: Changes,
}

/// What a handler made of a request.
enum Outcome {
    Answer(Box<Answer>),
    /// A failure, or an answer that depends on the time: it is for the requests that waited for it.
    Other {
        parts: Box<axum::http::response::Parts>,
        body: Bytes,
    },
}

/// An answer that stays right until a record concerns its scope.
struct Answer {
    body: Bytes,
    tag: ETag,
    scope: Scope,
    /// The mirror when the body was read.
    mirror: MirrorStatus,
    read_at: Instant,
    forms: Forms,
    requests: CachedRequests,
}

impl Answers {
    /// `capacity` is in bytes.
    pub fn new(capacity: u64) -> Self {
        let entries = (capacity != 0).then(|| {
            Cache::builder()
                .max_capacity(capacity)
                .weigher(|key: &String, outcome: &Arc<Outcome>| {
                    // A body can be kept compressed, too.
                    let size = key.len() + 2 * outcome.body().len();
                    u32::try_from(size)
                        .unwrap_or(u32::MAX)
                        .saturating_add(ENTRY_OVERHEAD)
                })
                .build()
        });
        Self {
            entries,
            changes: Changes::default(),
        }
    }

    /// Bytes of the entries, with what they take beside their bodies.
    pub fn size(&self) -> u64 {
        self.entries.as_ref().map_or(0, Cache::weighted_size)
    }

    /// Whether an answer would be the same if it was read from `mirror`.
    fn is_right(&self, outcome: &Outcome, mirror: &MirrorStatus) -> bool {
        let Outcome::Answer(answer) = outcome else {
            return false;
        };
        let numbering = |mirror: &MirrorStatus| (mirror.epoch, mirror.history_from);
        numbering(&answer.mirror) == numbering(mirror)
            && self.changes.latest(&answer.scope) <= answer.mirror.seq
    }

    /// The outcome in the cache, if it is still right.
    async fn known(&self, key: &str, mirror: &MirrorStatus) -> Option<Arc<Outcome>> {
        let outcome = self.entries.as_ref()?.get(key).await?;
        self.is_right(&outcome, mirror).then_some(outcome)
    }

    /// The outcome of a request: one that is still right, or else what `handle` makes.
    async fn outcome(
        &self,
        key: &str,
        mirror: &MirrorStatus,
        handle: impl Future<Output = Outcome>,
    ) -> Arc<Outcome> {
        let Some(entries) = &self.entries else {
            return Arc::new(handle.await);
        };
        if let Some(outcome) = self.known(key, mirror).await {
            counter!(CACHED, "from" => "cache").increment(1);
            return outcome;
        }
        let entry = entries.entry_by_ref(key).or_insert_with_if(
            async {
                counter!(CACHED, "from" => "database").increment(1);
                Arc::new(handle.await)
            },
            |outcome| !self.is_right(outcome, mirror),
        );
        let outcome = entry.await.into_value();
        if matches!(*outcome, Outcome::Other { .. }) {
            entries.invalidate(key).await;
        }
        outcome
    }
}

impl Outcome {
    fn body(&self) -> &Bytes {
        match self {
            Self::Answer(answer) => &answer.body,
            Self::Other { body, .. } => body,
        }
    }

    async fn of(response: Response, route: &MatchedPath, scope: Scope) -> Self {
        let (parts, body) = response.into_parts();
        // A handler's body is in memory, and complete.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        match parts.extensions.get::<Answered>() {
            Some(Answered { mirror }) if parts.status == StatusCode::OK => {
                Self::Answer(Box::new(Answer {
                    tag: tag(mirror.epoch, &body),
                    body,
                    scope,
                    mirror: *mirror,
                    read_at: Instant::now(),
                    forms: Forms::default(),
                    requests: CachedRequests::of(route.as_str()),
                }))
            }
            _ => Self::Other {
                parts: Box::new(parts),
                body,
            },
        }
    }

    fn respond(&self, condition: Option<&IfNoneMatch>, polled: &MirrorStatus) -> Response {
        match self {
            Self::Answer(answer) => answer.respond(condition, polled),
            Self::Other { parts, body } => {
                let mut response = Response::new(Body::from(body.clone()));
                *response.status_mut() = parts.status;
                *response.headers_mut() = parts.headers.clone();
                *response.extensions_mut() = parts.extensions.clone();
                response
            }
        }
    }
}

impl Answer {
    /// The mirror that the answer shows. `polled` is the mirror at the last poll, for which the answer is right.
    fn shown(&self, polled: &MirrorStatus) -> MirrorStatus {
        let position = |mirror: &MirrorStatus| (mirror.epoch, mirror.seq, mirror.slot);
        if position(polled) < position(&self.mirror) {
            self.mirror.aged(self.read_at.elapsed())
        } else {
            *polled
        }
    }

    fn respond(&self, condition: Option<&IfNoneMatch>, polled: &MirrorStatus) -> Response {
        let mut headers = snapshot_headers(Some(self.shown(polled)));
        headers.typed_insert(self.tag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if condition.is_some_and(|condition| !condition.precondition_passes(&self.tag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        (headers, self.body.clone()).into_response()
    }
}

/// Tag of a body: the same in every process, and another one in every epoch. It is weak, because the body
/// can be sent compressed.
fn tag(epoch: i64, body: &[u8]) -> ETag {
    let hash = Sha256::new().chain_update(epoch.to_le_bytes());
    let hash = hash.chain_update(body).finalize();
    let hash = URL_SAFE_NO_PAD.encode(&hash[..16]);
    let tag = format!("W/\"{hash}\"").parse();
    tag.expect("base64 is valid in a tag")
}

/// The request's `min_slot` and the mirror's slot, if the mirror hasn't reached it.
async fn missed_slot(app: &AppState, uri: &Uri) -> Result<Option<OnlyCheck>, Problem> {
    let Some(min_slot) = min_slot(uri)? else {
        return Ok(None);
    };
    let slot = app.feed.wait_for(min_slot, Duration::ZERO).await;
    Ok((slot < min_slot).then_some(OnlyCheck { min_slot, slot }))
}

/// Waits for the `min_slot` of a read. One that isn't valid is refused without the wait: its route is asked
/// first, with a copy of it.
async fn reach(
    app: &AppState,
    missed: OnlyCheck,
    request: Request,
    next: Next,
) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    let mut copy = Request::from_parts(parts.clone(), Body::empty());
    copy.extensions_mut().insert(missed);
    let checked = next.run(copy).await;
    if checked.status() != StatusCode::TOO_EARLY {
        return Err(checked);
    }
    match wait_for_min_slot(app, &parts.uri).await {
        Ok(()) => Ok(Request::from_parts(parts, body)),
        Err(problem) => Err(problem.into_response()),
    }
}

/// Waits for the `min_slot` of a read, and answers from the cache if it has the answer. A conditional
/// request gets 304 if the answer has the tag that the client names.
pub async fn answer(
    State(app): State<AppState>,
    OriginalUri(uri): OriginalUri,
    route: MatchedPath,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    if is_read(request.method()) {
        match missed_slot(&app, request.uri()).await {
            Ok(None) => {}
            Ok(Some(missed)) => match reach(&app, missed, request, next.clone()).await {
                Ok(reached) => request = reached,
                Err(refusal) => return refusal,
            },
            Err(problem) => return problem.into_response(),
        }
    }
    let readable = app.feed.mirror().filter(|mirror| !mirror.settling);
    let (Some(mirror), true) = (readable, is_read(request.method())) else {
        return next.run(request).await;
    };
    let condition = request.headers().typed_get::<IfNoneMatch>();
    let key = key(&uri);
    let scope = Scope::of(&route, &parameters);
    // A GET of the same path shares the body, of which a HEAD is not sent any.
    *request.method_mut() = Method::GET;
    let handle = async { Outcome::of(next.run(request).await, &route, scope).await };
    let outcome = app.answers.outcome(&key, &mirror, handle).await;
    let mut response = outcome.respond(condition.as_ref(), &mirror);
    response.extensions_mut().insert(Given(outcome));
    response
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Path and query of a request, without `min_slot`.
fn key(uri: &Uri) -> Cow<'_, str> {
    let Some(query) = uri.query() else {
        return uri.path().into();
    };
    let mut key = uri.path().to_owned();
    let pairs = query.split('&');
    for pair in pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("min_slot=")) {
        key.push(if key.contains('?') { '&' } else { '?' });
        key.push_str(pair);
    }
    key.into()
}
