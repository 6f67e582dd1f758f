//! Opening handshake (RFC 6455, section 4.2).

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Version,
        header::{
            CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
            UPGRADE,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::Problem;

/// The only version of the protocol.
const VERSION: &str = "13";
/// Length of the client's nonce, in bytes.
const KEY_LEN: usize = 16;

/// A client's valid request to open a WebSocket.
pub struct Handshake {
    /// Value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    upgrade: OnUpgrade,
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let key = check(parts)?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
            .map_err(|_| bad("header `Sec-WebSocket-Key` is invalid"))?;
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| bad("connection cannot be upgraded"))?;
        Ok(Self { accept, upgrade })
    }
}

impl Handshake {
    /// Accepts the request. Once the connection is upgraded, `serve` gets it in a task of its own.
    pub fn accept<F>(self, serve: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { accept, upgrade } = self;
        tokio::spawn(async move {
            // Fails if the client has gone.
            if let Ok(upgraded) = upgrade.await {
                // On the heap, so that the task keeps no room for both the upgrade and the session.
                Box::pin(serve(TokioIo::new(upgraded))).await;
            }
        });
        let mut headers = HeaderMap::from_iter(switching_headers());
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
    }
}

fn switching_headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
    ]
}

/// Headers of a response that asks for another version of the protocol.
pub fn upgrade_headers() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let version = (SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    switching_headers().into_iter().chain([version])
}

/// Checks a request. Returns the client's nonce.
fn check(parts: &Parts) -> Result<String, Problem> {
    let headers = &parts.headers;
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return Err(bad("WebSocket needs GET over HTTP/1.1"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad("header `Connection` has no `upgrade`"));
    }
    if !has_token(headers, &UPGRADE, "websocket") {
        return Err(bad("header `Upgrade` has no `websocket`"));
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    let version = version.map_or(&b"none"[..], HeaderValue::as_bytes);
    if version != VERSION.as_bytes() {
        let version = String::from_utf8_lossy(version).into_owned();
        return Err(Problem::WebSocketVersion(version));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let key = key.and_then(|key| key.to_str().ok());
    let is_nonce = |key: &&str| {
        let nonce = BASE64_STANDARD.decode(key.as_bytes());
        nonce.is_ok_and(|nonce| nonce.len() == KEY_LEN)
    };
    let key = key.filter(is_nonce);
    let key = key.ok_or_else(|| bad("header `Sec-WebSocket-Key` is not 16 bytes in base64"))?;
    Ok(key.to_owned())
}

fn bad(reason: &str) -> Problem {
    Problem::BadRequest(format!("{reason}; use a WebSocket client"))
}

/// Whether one of the comma-separated tokens of a header is `token`, in either case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut tokens = values.flat_map(|value| value.split(','));
    tokens.any(|each| each.trim().eq_ignore_ascii_case(token))
}
