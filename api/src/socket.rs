//! WebSocket: for each channel to which a client subscribes, a snapshot and then every later update
//! in order. docs/websocket.md describes the protocol.
//!
//! `tail` hands each record of the feed to the [`hub`], which passes its messages to the outboxes of
//! the sockets that listen to its channels. A [`session`] per socket sends what is in its outbox.

pub mod asyncapi;
mod bucket;
mod channel;
mod connection;
pub mod handshake;
pub mod hub;
mod limits;
mod message;
mod meter;
mod outbox;
mod session;
mod snapshots;

#[cfg(test)]
mod tests;

use axum::{Extension, extract::State, response::Response};

use crate::{client_address::ClientAddress, problem::Problem, state::AppState};

use connection::Connection;
use handshake::Handshake;
use session::Session;

pub async fn upgrade(
    State(app): State<AppState>,
    address: Option<Extension<ClientAddress>>,
    handshake: Handshake,
) -> Result<Response, Problem> {
    let slot = app.hub.admit(address.map(|Extension(address)| address))?;
    Ok(handshake.accept(async move |io| {
        let tracker = app.sockets.clone();
        let connection = Connection::new(io).await;
        let session = Session::new(app, slot, connection);
        tracker.track_future(session.run()).await;
    }))
}
