//! Answers that are given again as they were sent, before anything else is done for a request.
//!
//! The layers of the routes cost more than an answer that is in the cache. So what they made of it, headers and
//! compressed body, is kept with it. A request that is refused for any reason goes through the layers, which say why.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use tower::{Service, ServiceExt};

use super::{Outcome, key, missed_slot};
use crate::{admission, problem::assign_request_id, reply::write_snapshot, state::AppState};

/// The routes, with the cache before them.
#[derive(Clone)]
pub struct Front {
    parts: Arc<(AppState, Router)>,
}

/// In the extensions of a response: the answer in the cache that it was made of.
#[derive(Clone)]
pub struct Given(pub Arc<Outcome>);

/// An answer as it was sent: to clients that accept it as it is, and to those that accept it compressed.
#[derive(Default)]
pub struct Forms {
    plain: OnceLock<Form>,
    compressed: OnceLock<Form>,
}

struct Form {
    /// Those that each response has of its own are written over.
    headers: HeaderMap,
    body: Bytes,
    /// Headers of a response without the body.
    unmodified: HeaderMap,
}

/// The form that a client accepts; `None` if the layers have to choose it.
#[derive(Clone, Copy)]
enum Accepted {
    Plain,
    Compressed,
}

impl Accepted {
    fn of(request: &HeaderMap) -> Option<Self> {
        let mut values = request.get_all(header::ACCEPT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Some(Self::Plain);
        };
        let codings = value.to_str().ok().filter(|_| values.next().is_none())?;
        // Weights can exclude a coding.
        let has_gzip = codings.split(',').any(|coding| coding.trim() == "gzip");
        (has_gzip && !codings.contains(';')).then_some(Self::Compressed)
    }
}

impl Forms {
    fn get(&self, accepted: Accepted) -> &OnceLock<Form> {
        match accepted {
            Accepted::Plain => &self.plain,
            Accepted::Compressed => &self.compressed,
        }
    }
}

impl Front {
    pub fn new(app: AppState, routes: Router) -> Self {
        Self {
            parts: Arc::new((app, routes)),
        }
    }
}

impl Service<Request<Body>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // as a router always is
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let parts = self.parts.clone();
        Box::pin(async move {
            let (app, routes) = &*parts;
            // Boxed, so that this future is small where the cache has the answer.
            let through_routes = |request| Box::pin(routes.clone().oneshot(request));
            let accepted = Accepted::of(request.headers());
            let Some(accepted) = accepted.filter(|_| *request.method() == Method::GET) else {
                return through_routes(request).await;
            };
            // Only without its body, a request can be lent across an await.
            let (head, body) = request.into_parts();
            let head = Request::from_parts(head, ());
            if let Some(response) = give(app, &head, accepted).await {
                return Ok(response);
            }
            let request = Request::from_parts(head.into_parts().0, body);
            let response = through_routes(request).await?;
            Ok(keep(response, accepted).await)
        })
    }
}

/// The answer to a request, if it is in the cache as it was sent, and is still right.
async fn give(app: &AppState, request: &Request<()>, accepted: Accepted) -> Option<Response> {
    let start = Instant::now();
    let mirror = app.feed.mirror().filter(|mirror| !mirror.settling)?;
    let outcome = app.answers.known(&key(request.uri()), &mirror).await?;
    let Outcome::Answer(answer) = &*outcome else {
        return None;
    };
    let form = answer.forms.get(accepted).get()?;
    if !matches!(missed_slot(app, request.uri()).await, Ok(None)) {
        return None;
    }
    let bucket = admission::count(app, request).ok()?;
    let mut response = form.respond(&answer.tag, request.headers());
    write_snapshot(response.headers_mut(), Some(answer.shown(&mirror)));
    assign_request_id(request.headers(), response.headers_mut());
    if let Some(bucket) = bucket {
        bucket.write_headers(response.headers_mut());
    }
    answer.requests.record(response.status(), start.elapsed());
    Some(response)
}

impl Form {
    fn of(headers: HeaderMap, body: Bytes) -> Self {
        let mut unmodified = headers.clone();
        for name in [
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::CONTENT_LENGTH,
        ] {
            unmodified.remove(name);
        }
        Self {
            headers,
            body,
            unmodified,
        }
    }

    /// The response without the headers that each has of its own.
    fn respond(&self, tag: &ETag, request: &HeaderMap) -> Response {
        let mut response = Response::default();
        if self.is_known(tag, request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = self.unmodified.clone();
        } else {
            *response.headers_mut() = self.headers.clone();
            *response.body_mut() = Body::from(self.body.clone());
        }
        response
    }

    /// Whether the client has this answer.
    fn is_known(&self, tag: &ETag, request: &HeaderMap) -> bool {
        let Some(given) = request.get(header::IF_NONE_MATCH) else {
            return false;
        };
        // Most clients name one tag, as they got it.
        if self.headers.get(header::ETAG) == Some(given) {
            return true;
        }
        let condition = request.typed_get::<IfNoneMatch>();
        condition.is_some_and(|condition| !condition.precondition_passes(tag))
    }
}

/// Keeps what the layers made of an answer in the cache.
async fn keep(mut response: Response, accepted: Accepted) -> Response {
    let given = response.extensions_mut().remove();
    let (Some(Given(outcome)), StatusCode::OK) = (given, response.status()) else {
        return response;
    };
    let Outcome::Answer(answer) = &*outcome else {
        return response;
    };
    let form = answer.forms.get(accepted);
    if form.get().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The body is in memory, or compressed from what is.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // Another request can have kept the same.
    let _ = form.set(Form::of(parts.headers.clone(), body.clone()));
    Response::from_parts(parts, Body::from(body))
}
