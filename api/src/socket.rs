//! WebSocket: for each channel to which a client subscribes, a snapshot and then every later update
//! in order. docs/websocket.md describes the protocol.

mod channel;
mod connection;
mod message;
mod session;

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};

use crate::{problem::Problem, state::AppState};

use session::Session;

/// Maximum size of a client's message, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;

pub async fn upgrade(
    State(app): State<AppState>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        // The server allocates memory for a whole frame, so frames are limited too.
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let tracker = app.sockets.clone();
            tracker.track_future(Session::new(app, socket).run()).await;
        }))
}
