//! Answers that are given again: none is given after a record of the feed that changes it, and none that depends on
//! the time.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::sleep;
use tower::ServiceExt;

use super::{Api, chain::Chain, key};
use crate::tail::tail;

impl Api {
    /// Waits until this process has read the record `seq` of the feed.
    async fn reach(&self, seq: i64) {
        for _ in 0..1_000 {
            let mirror = self.state.feed.mirror();
            if mirror.is_some_and(|mirror| seq <= mirror.seq) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the record {seq} was not read");
    }
}

/// A change that a record announces: the path of an answer that it changes, and the statement that stores both.
struct Case {
    path: String,
    change: &'static str,
}

/// Each stores a record after the 100th one.
fn cases() -> [Case; 8] {
    let case = |path: String, change| Case { path, change };
    [
        // A bet.
        case(
            format!("markets/{}/candles", key(4, 1)),
            "insert into chain.odds (market, event_id, block_time, pools)
             values (key(4, 1), id(1990, 0), '2026-01-01 23:00:00Z', '{30, 1, 0, 0}');
             select public.record(101, array['market:' || base58(key(4, 1)), 'wallet:' || base58(key(9, 6))])",
        ),
        case(
            format!("users/{}/models", key(9, 1)),
            "update chain.model set name = 'Renamed' where address = key(2, 1);
             select public.record(102, array['model:' || base58(key(2, 1))])",
        ),
        case(
            format!("users/{}/positions", key(9, 6)),
            "update chain.position set seq = seq + 1 where address = key(5, 1);
             select public.record(103, array['market:' || base58(key(4, 1))])",
        ),
        // A report on the model, with which asks fall.
        case(
            format!("users/{}/positions?limit=1", key(9, 6)),
            "update chain.model set reports = reports + 1 where address = key(2, 1);
             select public.record(104, array['model:' || base58(key(2, 1))])",
        ),
        case(
            format!("oracles/{}", key(9, 2)),
            "update chain.seat set submissions = submissions + 1 where address = key(13, 1);
             select public.record(105, array['model:' || base58(key(2, 1)), 'wallet:' || base58(key(9, 2))])",
        ),
        // The end of a seat changes no account with a channel.
        case(
            format!("oracles/{}?limit=2", key(9, 2)),
            "update chain.seat set ended_slot = 2000 where address = key(13, 1);
             select public.record(106, array['wallet:' || base58(key(9, 2))])",
        ),
        case(
            format!("wallet/{}/transactions", key(9, 6)),
            "insert into chain.event_party values (key(9, 6), id(1500, 0), 'earner', false);
             select public.record(107, array['model:' || base58(key(2, 1)), 'wallet:' || base58(key(9, 6))])",
        ),
        case(
            format!("users/{}", key(9, 6)),
            "insert into chain.event_party values (key(9, 6), id(1600, 0), 'owner', true);
             select public.record(108, array['vault:' || base58(key(6, 1)), 'wallet:' || base58(key(9, 6))])",
        ),
    ]
}

/// A record of an event that the mirror has.
const RECORD: &str = "
    create function public.record(seq bigint, channels text[]) returns void language sql as $$
      insert into chain.feed (seq, epoch, slot, kind, event_id, channels, body)
      values (seq, 1, 2000, 'event', id(1304, 0), channels, '{\"name\": \"PositionBought\", \"body\": {}}');
      update chain.cursor set seq = record.seq;
    $$";

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn no_answer_is_given_after_a_record_that_changes_it(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let mut chain = Chain::connect(&options).await;
    chain.run(RECORD).await;
    let api = Api::new(options);
    let tailing = tokio::spawn(tail(api.state.clone()));
    api.reach(100).await;
    for (seq, Case { path, change }) in (101..).zip(cases()) {
        let path = format!("/api/v1/{path}");
        let before = api.ok(&path).await;
        assert_eq!(api.ok(&path).await, before, "{path}");
        chain.run(change).await;
        api.reach(seq).await;
        assert_ne!(api.ok(&path).await, before, "{path}");
    }
    tailing.abort();
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn only_answers_that_no_time_changes_have_a_tag(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let tailing = tokio::spawn(tail(api.state.clone()));
    api.reach(100).await;
    let (wallet, mint) = (key(9, 6), key(1, 1));
    for (path, has_tag) in [
        (format!("wallet/{wallet}/balance"), false),
        (format!("wallet/{wallet}/transactions"), true),
        (format!("wallet/{wallet}/statement.csv"), false),
        (format!("analytics/portfolio?wallet={wallet}"), true),
        (format!("analytics/leaderboard/bettors?mint={mint}"), false),
        ("analytics/platform/stats".to_owned(), false),
        ("analytics/markets/performance".to_owned(), false),
        (format!("markets/{}/candles", key(4, 1)), true),
        (format!("oracles/{}", key(9, 2)), true),
        ("oracles".to_owned(), false),
        ("calendar".to_owned(), false),
        (format!("users/{wallet}"), true),
    ] {
        let (_, headers, body) = api.get_raw(&format!("/api/v1/{path}")).await;
        assert_eq!(headers.contains_key("etag"), has_tag, "{path}: {body}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
    }
    tailing.abort();
}

/// The routes of answers whose headers and body are compared.
fn cached_paths() -> [String; 3] {
    [
        format!("/api/v1/markets/{}", key(4, 1)),
        "/api/v1/markets?limit=2".to_owned(),
        format!("/api/v1/markets/{}/odds", key(4, 1)),
    ]
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn an_answer_that_is_given_again_is_the_one_that_was_sent(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let mut chain = Chain::connect(&options).await;
    let api = Api::new(options);
    let tailing = tokio::spawn(tail(api.state.clone()));
    api.reach(100).await;
    let send = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(path).header("x-request-id", "same");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = api
            .front
            .clone()
            .oneshot(request.body(Body::empty()).unwrap());
        let (parts, body) = response.await.unwrap().into_parts();
        let mut headers = parts.headers;
        headers.remove("x-data-age-ms");
        (
            parts.status,
            headers,
            to_bytes(body, usize::MAX).await.unwrap(),
        )
    };
    let paths = cached_paths();
    for path in &paths {
        let mut sent = vec![];
        for coding in [&[][..], &[("accept-encoding", "br, gzip")]] {
            let first = send(path, coding).await;
            assert_eq!(send(path, coding).await, first, "{path}");
            assert_eq!(first.0, StatusCode::OK, "{path}");
            // The layers choose the coding for a client that weighs them.
            let weighed = [("accept-encoding", "identity;q=0.5, gzip;q=0.1")];
            assert!(
                !send(path, &weighed)
                    .await
                    .1
                    .contains_key("content-encoding")
            );

            let tag = first.1["etag"].to_str().unwrap().to_owned();
            let known = [coding, &[("if-none-match", &tag)]].concat();
            let (status, headers, body) = send(path, &known).await;
            assert_eq!(
                (status, body.len()),
                (StatusCode::NOT_MODIFIED, 0),
                "{path}"
            );
            for (name, value) in &headers {
                assert_eq!(first.1.get(name), Some(value), "{path}: {name}");
            }
            assert!(!headers.contains_key("content-type"), "{path}");
            sent.push(first);
        }
        assert!(sent[1].1.contains_key("content-encoding"), "{path}");
        assert!(sent[1].2.len() < sent[0].2.len(), "{path}");
    }

    // When nothing but what was sent is left, it is given, also to a client that waited for its slot
    chain.run("alter schema chain rename to gone").await;
    for path in &paths {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (status, headers, _) = send(&format!("{path}{separator}min_slot=1"), &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers["x-request-id"], "same", "{path}");
    }
    // A request that the routes refuse is refused.
    let path = format!("{}?min_slot=x", paths[0]);
    assert_eq!(send(&path, &[]).await.0, StatusCode::BAD_REQUEST);
    tailing.abort();
}
