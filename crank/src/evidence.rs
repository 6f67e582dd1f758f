//! Evidence: what an oracle counted, as a document that anyone can check.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anchor_lang::Address;
use axum::{
    Router,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use driftshield_sdk::json::hex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{config::Windows, measure::Window};

/// An evidence document, as JSON. The chain holds its SHA-256.
///
/// It depends on the data alone, so that a crank that starts again writes the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Version of this format: 1.
    pub version: u32,
    /// The model's address.
    pub model: String,
    pub window: u64,
    pub rows: Rows,
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// Rows counted.
    pub samples: u64,
    /// Rows left out because a value was missing.
    pub missing: u64,
    /// SHA-256 of the metric-spec document, in hexadecimal digits.
    pub spec_sha256: String,
    /// SHA-256 of the window's rows, by row the key (i64) and the measured values (f64,
    /// missing as 0x7ff8000000000000), little-endian.
    pub rows_sha256: String,
    /// SHA-256 of the data file.
    pub data_sha256: String,
}

/// Which rows were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The column that rows are in ascending order of.
    pub order_by: String,
    /// Positions of the first and the last row in that order, from 0.
    pub first: u64,
    pub last: u64,
    /// Their values of `order_by`; of a time, microseconds since 1970.
    pub first_key: i64,
    pub last_key: i64,
}

impl Document {
    pub fn new(
        model: &Address,
        window: u64,
        counted: &Window,
        windows: &Windows,
        spec_sha256: &[u8; 32],
        data_sha256: &[u8; 32],
    ) -> Self {
        let samples = counted.samples();
        Self {
            version: 1,
            model: model.to_string(),
            window,
            rows: Rows {
                order_by: windows.column().to_owned(),
                first: counted.rows.start as u64,
                last: counted.rows.end as u64 - 1, // a window that was counted has a row
                first_key: counted.keys.0,
                last_key: counted.keys.1,
            },
            counts: counted.counts.clone(),
            samples,
            missing: counted.rows.len() as u64 - samples,
            spec_sha256: hex(spec_sha256),
            rows_sha256: hex(&counted.sha256),
            data_sha256: hex(data_sha256),
        }
    }

    /// The bytes to keep, serve and hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data becomes JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// A directory of documents, each named by its SHA-256.
#[derive(Clone, Debug)]
pub struct Store {
    directory: Arc<Path>,
}

impl Store {
    /// Makes the directory where it is missing.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.into(),
        })
    }

    /// Keeps a document; it is there as a whole or not at all. Returns its SHA-256.
    pub fn put(&self, document: &[u8]) -> io::Result<[u8; 32]> {
        let sha256 = driftshield_sdk::spec::sha256(document);
        let path = self.path(&hex(&sha256));
        if !path.exists() {
            // Two processes may write it at once, so the name is each one's own.
            let draft = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = fs::File::create(&draft)?;
            file.write_all(document)?;
            file.sync_all()?;
            fs::rename(draft, path)?;
            fs::File::open(&self.directory)?.sync_all()?; // else a power cut may undo the renaming
        }
        Ok(sha256)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}.json"))
    }
}

/// How long open connections get to end when the process ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves the documents at `/evidence/<sha256>.json` until `stop`.
pub async fn serve(store: Store, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    let serving =
        axum::serve(listener, router(store)).with_graceful_shutdown(stop.clone().cancelled_owned());
    // No client keeps the process up by not ending its request.
    let overtime = async {
        stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = overtime => Ok(()),
    }
}

fn router(store: Store) -> Router {
    Router::new()
        .route("/evidence/{name}", get(document))
        .with_state(store)
}

async fn document(State(store): State<Store>, UrlPath(name): UrlPath<String>) -> Response {
    // Nothing but a hash becomes a path.
    let Some(sha256) = name.strip_suffix(".json").filter(|name| is_hash(name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokio::fs::read(store.path(sha256)).await {
        Ok(document) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                // A hash never gets another document.
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            ];
            (headers, document).into_response()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => {
            tracing::error!(%error, sha256, "evidence document not readable");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn is_hash(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 64 && name.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn documents_are_served_by_their_hash_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("evidence")).expect("opened");
        let hash = hex(&store.put(b"{}\n").expect("kept"));
        store.put(b"{}\n").expect("kept again");
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
    async fn half_a_request_does_not_keep_the_process() {
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
        let ended = tokio::time::timeout(4 * GOODBYE, server).await;
        ended.expect("in time").expect("ended").expect("ended well");
    }
}
