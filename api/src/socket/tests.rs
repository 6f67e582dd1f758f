//! Sockets of a server without a database, seen by a client that knows nothing but TCP.

mod client;
mod rfc6455;
mod sessions;
mod utf8;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{hub::Hub, limits::SOCKETS};
use crate::{app, config::Settings, connect, connections::ConnectionLimits, state::AppState};

/// A server whose database is unreachable.
pub struct Server {
    pub address: SocketAddr,
    pub app: AppState,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(SOCKETS, "postgres://nobody@127.0.0.1:1/nothing").await
    }

    pub async fn start_with(limits: ConnectionLimits, database_url: &str) -> Self {
        let db = connect(database_url).unwrap();
        let settings = Settings::of_tests();
        let mut state = AppState::new(db, &settings, CancellationToken::new());
        state.hub = Arc::new(Hub::new(limits));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let service = app(state.clone(), "https://api.test");
        tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback_service(service)).await
        });
        Self {
            address,
            app: state,
        }
    }
}
