//! Answers that the API gives again are those that it would read anew, whatever happens on the chain.

use std::{path::Path, process::Command, time::Duration};

use driftshield_tests::network::{Service, binary, free_address, wait_for};
use futures::{StreamExt, stream};
use reqwest::{Client, Response, StatusCode};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::recorded::{Stage, reach_tip, settle};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Slots that are mirrored, and slots between two comparisons.
const SLOTS: usize = 300;
const PACE: usize = 50;
/// Number of accounts of each kind whose answers are compared.
const ACCOUNTS: i64 = 3;
/// Number of comparisons at the same time.
const CONCURRENCY: usize = 4;

struct Api {
    url: String,
    client: Client,
    _service: Service,
}

impl Api {
    fn start(name: &str, database_url: &str, folder: &Path, cache_mib: &str) -> Self {
        let address = free_address().to_string();
        let mut command = Command::new(binary("api"));
        command
            .env("DATABASE_URL", database_url)
            .args(["--listen", &address, "--cache-mib", cache_mib])
            .args(["--requests-per-second", "0"]);
        Self {
            url: format!("http://{address}"),
            client: Client::new(),
            _service: Service::start(name, &mut command, folder),
        }
    }

    async fn get(&self, path: &str) -> Option<Response> {
        let request = self.client.get(format!("{}{path}", self.url));
        request.send().await.ok()
    }

    /// Waits until the API serves the record `seq` of the mirror.
    async fn reach(&self, seq: i64) {
        wait_for("the API", TIMEOUT, async || {
            let response = self.get("/api/v1/events?limit=1").await?;
            let reached = response.headers().get("x-seq")?.to_str().ok()?;
            (response.status() == StatusCode::OK && seq <= reached.parse().ok()?).then_some(())
        })
        .await;
    }

    /// Status, tag and body of an answer.
    async fn answer(&self, path: &str) -> (StatusCode, String, String) {
        let response = self.get(path).await.unwrap();
        let tag = response.headers().get("etag");
        let tag = tag.map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status();
        (
            status,
            tag.unwrap_or_default(),
            response.text().await.unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_is_the_one_that_would_be_read() {
    let stage = Stage::start().await;
    let (mut mirror, mut database) = stage.mirror("cached").await;
    settle(&mirror.chain, &mut database).await;
    let start =
        |name, cache_mib| Api::start(name, &mirror.database_url, stage.folder.path(), cache_mib);
    let (cached, fresh) = (start("api-cached", "64"), start("api-fresh", "0"));
    let plan = stage.plan(mirror.chain.tip());
    let mut compared = 0;
    for (number, slot) in plan.slots.into_iter().take(SLOTS).enumerate() {
        mirror.chain.confirm_all([slot]);
        if !(number + 1).is_multiple_of(PACE) {
            continue;
        }
        reach_tip(&mut mirror, &mut database).await;
        let seq: i64 = sqlx::query_scalar("select seq from chain.cursor")
            .fetch_one(&mut database)
            .await
            .unwrap();
        cached.reach(seq).await;
        fresh.reach(seq).await;
        let slot = mirror.chain.tip();
        let comparisons = paths(&mut database).await.into_iter().map(async |path| {
            let (given, read) = tokio::join!(cached.answer(&path), fresh.answer(&path));
            assert_eq!(given, read, "{path} after {slot:?}");
        });
        let done = stream::iter(comparisons).buffer_unordered(CONCURRENCY);
        compared += done.count().await;
    }
    assert!(400 < compared, "{compared} answers were compared");
    mirror.stop().unwrap();
}

/// Paths of lists, and of the accounts that changed last, which are those whose answers can be outdated, and
/// of some others.
async fn paths(database: &mut PgConnection) -> Vec<String> {
    let mut paths: Vec<String> = [
        "models",
        "markets",
        "markets?sort=volume",
        "markets?state=open&sort=closing",
        "insurance/vaults",
        "insurance/vaults?sort=assets",
        "insurance/policies",
        "insurance/withdrawals",
        "events?limit=20",
    ]
    .into_iter()
    .map(|path| format!("/api/v1/{path}"))
    .collect();
    for (table, path, parts) in [
        (
            "model",
            "models",
            &["", "/receipts", "/windows", "/markets", "/history"][..],
        ),
        (
            "market",
            "markets",
            &[
                "",
                "/odds",
                "/candles",
                "/positions",
                "/asks",
                "/sales",
                "/history",
            ],
        ),
        ("vault", "insurance/vaults", &["", "/exposures", "/history"]),
        ("policy", "insurance/policies", &[""]),
        ("receipt", "receipts", &[""]),
    ] {
        for key in keys(database, table).await {
            paths.extend(
                parts
                    .iter()
                    .map(|part| format!("/api/v1/{path}/{key}{part}")),
            );
        }
    }
    let owners =
        "select public.base58(owner) from (select distinct owner from chain.position limit 4) o";
    let owners: Vec<String> = sqlx::query_scalar(owners)
        .fetch_all(&mut *database)
        .await
        .unwrap();
    for owner in owners {
        paths.extend([
            format!("/api/v1/positions?owner={owner}"),
            format!("/api/v1/users/{owner}"),
            format!("/api/v1/users/{owner}/positions"),
            format!("/api/v1/wallet/{owner}/balance"),
            format!("/api/v1/wallet/{owner}/transactions?limit=20"),
            format!("/api/v1/analytics/portfolio?wallet={owner}"),
        ]);
    }
    let oracles =
        "select public.base58(oracle) from (select distinct oracle from chain.seat limit 4) o";
    let oracles: Vec<String> = sqlx::query_scalar(oracles)
        .fetch_all(database)
        .await
        .unwrap();
    paths.extend(
        oracles
            .iter()
            .map(|oracle| format!("/api/v1/oracles/{oracle}")),
    );
    paths
}

async fn keys(database: &mut PgConnection, table: &str) -> Vec<String> {
    let sql = format!(
        "(select public.base58(address) from chain.{table} where is_current order by slot desc, address limit $1)
         union (select public.base58(address) from chain.{table} where is_current order by address limit $1)"
    );
    let keys = sqlx::query_scalar(AssertSqlSafe(sql)).bind(ACCOUNTS);
    keys.fetch_all(database).await.unwrap()
}
