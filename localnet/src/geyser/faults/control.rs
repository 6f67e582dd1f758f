//! The control interface: JSON over HTTP.
//!
//! - `POST /faults` with a [`Request`] arms a fault and answers with its id.
//! - `GET /faults` reports the armed faults and the counts.
//! - `DELETE /faults/{id}` ends a fault, `DELETE /faults` all of them.
//!
//! A request that cannot be carried out is answered with a status of 400 or above, and the reason
//! as text.

use std::sync::Arc;

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Faults,
    request::{Accepted, Report, Request},
};

/// Serves until `stop` is cancelled.
pub async fn run(
    listener: TcpListener,
    faults: Arc<Faults>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/faults", get(report).post(arm).delete(release_all))
        .route("/faults/{id}", delete(release))
        .with_state(faults);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("the control interface of faults ended")
}

async fn arm(
    State(faults): State<Arc<Faults>>,
    Json(request): Json<Request>,
) -> Result<Json<Accepted>, (StatusCode, String)> {
    let id = faults
        .arm(request)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(Json(Accepted { id }))
}

async fn report(State(faults): State<Arc<Faults>>) -> Json<Report> {
    Json(faults.report())
}

async fn release(
    State(faults): State<Arc<Faults>>,
    Path(id): Path<u64>,
) -> Result<(), (StatusCode, String)> {
    match faults.release(id) {
        true => Ok(()),
        false => Err((
            StatusCode::NOT_FOUND,
            format!("fault {id} is not armed: it is over or was never requested"),
        )),
    }
}

async fn release_all(State(faults): State<Arc<Faults>>) {
    faults.release_all();
}
