//! Serves evidence documents over HTTP.

use std::{io, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::store::Store;

/// Time for open requests to complete at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Serves the documents at `/evidence/<sha256>.json` until `stop` is cancelled. Requests that are
/// open then have [`SHUTDOWN_GRACE`] to complete.
pub async fn serve(store: Store, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    let serving =
        axum::serve(listener, router(store)).with_graceful_shutdown(stop.clone().cancelled_owned());
    // The graceful shutdown alone would wait for ever for a client that never completes a request.
    let grace_over = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = grace_over => Ok(()),
    }
}

fn router(store: Store) -> Router {
    Router::new()
        .route("/evidence/{name}", get(document))
        .with_state(store)
}

async fn document(State(store): State<Store>, Path(name): Path<String>) -> Response {
    // Only a hash becomes a path, so a request can't leave the directory.
    let Some(sha256) = name.strip_suffix(".json").filter(|name| is_sha256(name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokio::fs::read(store.path(sha256)).await {
        Ok(document) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                // The hash in the path identifies the content.
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            ];
            (headers, document).into_response()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => {
            tracing::error!(%error, sha256, "could not read an evidence document");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether `name` is a SHA-256 in lowercase hexadecimal.
fn is_sha256(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 64 && name.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn documents_are_served_by_their_hash_and_other_files_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("evidence")).expect("opened");
        let hash = const_hex::encode(store.put(b"{}\n").expect("stored"));
        store.put(b"{}\n").expect("stored again");
        fs::write(directory.path().join("secret.json"), "no").expect("written");

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(store, listener, stop.clone()));

        let get = |path: String| reqwest::get(format!("{base}{path}"));
        let found = get(format!("/evidence/{hash}.json"))
            .await
            .expect("answered");
        assert_eq!(found.status(), 200);
        assert_eq!(found.headers()["content-type"], "application/json");
        assert_eq!(found.text().await.expect("read"), "{}\n");
        for name in [
            "..%2Fsecret.json",
            &hash,
            &format!("{}.json", "0".repeat(64)),
        ] {
            let missing = get(format!("/evidence/{name}")).await.expect("answered");
            assert_eq!(missing.status(), 404, "{name}");
        }
        stop.cancel();
        server.await.expect("ended").expect("ended well");
    }

    #[tokio::test]
    async fn an_incomplete_request_does_not_block_the_shutdown() {
        use tokio::io::AsyncWriteExt;

        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path()).expect("opened");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut client = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(store, listener, stop.clone()));
        client
            .write_all(b"GET / HTTP/1.1\r\n")
            .await
            .expect("written");
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
        let ended = tokio::time::timeout(4 * SHUTDOWN_GRACE, server).await;
        ended.expect("in time").expect("ended").expect("ended well");
    }
}
