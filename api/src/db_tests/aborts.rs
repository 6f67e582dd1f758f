//! Requests that are aborted: their clients disconnect, or their time is up.

use std::{
    future::poll_fn,
    io::{self, Write},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use axum::http::StatusCode;
use futures::future::join_all;
use sqlx::{
    ConnectOptions, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::sleep;

use super::Api;

/// Requests that read the mirror in one statement and in several.
const PATHS: [&str; 4] = [
    "/api/v1/events?limit=500",
    "/api/v1/markets?sort=volume",
    "/api/v1/models?text=fraud",
    "/api/v1/models/DriftSh1e1d11111111111111111111111111111111",
];
/// An aborted request is polled less often than this, which is about as often as it needs.
const MOST_POLLS: usize = 8;
const ROUNDS: usize = 80;

/// When an aborted request is dropped.
#[derive(Clone, Copy)]
enum Moment {
    /// Right after the poll, which has sent something or not.
    AtOnce,
    /// When something has arrived, unread.
    Woken,
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn an_aborted_request_leaves_no_transaction(_: PgPoolOptions, options: PgConnectOptions) {
    // Given an API, and the warnings of Postgres
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let mut observer = options.connect().await.unwrap();
    let api = Api::new(options);

    // When thousands of requests are aborted, each after another number of polls
    let mut aborted = 0;
    for _ in 0..ROUNDS {
        for path in PATHS {
            let requests = (0..MOST_POLLS).flat_map(|polls| {
                [Moment::AtOnce, Moment::Woken].map(|moment| abort(api.get(path), polls, moment))
            });
            let ended = join_all(requests).await;
            aborted += ended.iter().filter(|ended| !**ended).count();
        }

        // Then all connections are returned, and none is in a transaction
        wait_until_idle(&api, &mut observer).await;
    }
    assert!(2_000 < aborted, "only {aborted} requests were aborted");

    // and every request succeeds, on every connection
    let requests = (0..200).map(|_| api.get(PATHS[0]));
    for (status, body) in join_all(requests).await {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    assert_eq!(log.text(), "");

    // This is what a warning would look like.
    let rollback = sqlx::raw_sql("rollback").execute(&mut observer).await;
    rollback.unwrap();
    assert!(log.text().contains("there is no transaction in progress"));
}

/// Polls a request this often, and drops it if it has not ended. Returns whether it has.
async fn abort<T>(request: impl Future<Output = T>, polls: usize, moment: Moment) -> bool {
    let mut request = pin!(request);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match (request.as_mut().poll(context), moment) {
            (Poll::Ready(_), _) => Poll::Ready(true),
            (Poll::Pending, Moment::AtOnce) if left == 0 => Poll::Ready(false),
            (Poll::Pending, _) => Poll::Pending,
        }
    })
    .await
}

/// Waits until the pool has its connections again, and each is idle. Those that were closed may be in any state
/// until the server notices.
async fn wait_until_idle(api: &Api, observer: &mut PgConnection) {
    let mut states: Vec<String> = vec![];
    for _ in 0..1_000 {
        if api.db.num_idle() == api.db.size() as usize {
            states = sqlx::query_scalar(
                "select distinct state from pg_stat_activity
                 where application_name = 'driftshield-api' and datname = current_database()
                   and state <> 'idle'",
            )
            .fetch_all(&mut *observer)
            .await
            .unwrap();
            if states.is_empty() {
                return;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("connections are not returned, or {states:?}");
}

/// Warnings of Postgres, as sqlx logs them.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_env_filter("sqlx::postgres::notice=warn")
            .with_writer(move || log.clone())
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
