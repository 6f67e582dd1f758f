//! Plans of the API's queries on a large mirror: every list reads a range of an index.

mod log;
mod plan;
mod requests;

use std::{collections::BTreeSet, time::Duration};

use driftshield_tests::network::{Network, free_address, problem_kind, wait_for};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use log::PlanLog;
use plan::{Allowance, Plan};
use requests::Request;

/// What the limits of a model may read: its open markets and policies. The largest model has 200 of each, and tens of
/// thousands that have ended.
const LIMITS_ALLOWANCE: Allowance = Allowance {
    read: 450,
    ..requests::PAGE_ALLOWANCE
};

const ROWS: &str = include_str!("plans/rows.sql");

#[tokio::test(flavor = "multi_thread")]
async fn every_list_reads_a_range_of_an_index() {
    // Given an API on a mirror of 100,000 markets and 1,000,000 positions
    let network = Network::start(&["--bare"]).await;
    let pool = network.database().await;
    fill(&pool).await;
    let log = network.directory.path().join("logs/postgres.log");
    let mut log = PlanLog::begin(&pool, &log).await;
    let listen = free_address().to_string();
    let _api = network.service("api", "api", &["--listen", &listen]);
    let url = format!("http://{listen}");
    let document = wait_for("the API", Duration::from_secs(30), async || {
        let response = reqwest::get(format!("{url}/api-docs/openapi.json")).await;
        response.ok()?.json::<Value>().await.ok()
    })
    .await;

    wait_for_rankings(&url).await;

    // When each list is read in each order and with each combination of filters, each time the first two
    // pages
    let requests = requests::all(&document);
    let mut violations = vec![];
    let mut with_second_page = BTreeSet::new();
    for request in &requests {
        let separator = if request.url.ends_with('?') { "" } else { "&" };
        if request.is_refused {
            assert_refused(&url, &request.url).await;
            continue;
        }
        let first = get(&url, &request.url, request.may_be_empty).await;
        violations.extend(check(request, "first", &log.new_plans()));
        if let Some(cursor) = next_cursor(&first) {
            let next = format!("{}{separator}cursor={cursor}", request.url);
            get(&url, &next, false).await;
            violations.extend(check(request, "second", &log.new_plans()));
            with_second_page.insert(&request.list);
        }
    }

    // and when a receipt of a model with very many markets and policies becomes final
    run(&pool, FINAL_RECEIPT).await;
    let limits = wait_for(
        "the limits of the model",
        Duration::from_secs(30),
        async || {
            let mut plans = log.new_plans().into_iter();
            plans.rfind(|plan| plan.query.contains("noise_floor"))
        },
    )
    .await;
    for violation in limits.violations(LIMITS_ALLOWANCE) {
        violations.push(format!("limits: {violation}\n{}", limits.tree()));
    }

    // Then no query reads or sorts much more than a page
    println!(
        "{} lists, {} requests",
        with_second_page.len(),
        requests.len()
    );
    let lists: BTreeSet<_> = requests.iter().map(|request| &request.list).collect();
    assert_eq!(with_second_page, lists, "every list has a second page");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Announces an event, as the indexer does.
const FINAL_RECEIPT: &str = "
    insert into chain.event (id, slot, signature, name, body)
    values (2300001::bigint << 31, 2300001, decode(repeat('00', 64), 'hex'), 'ReceiptFinalized',
      jsonb_build_object('state', 'final', 'value', '310000', 'window', '1', 'receipt', base58(address_of(2, 0)),
        'model', base58(address_of(1, 0))));
    insert into chain.feed (seq, epoch, slot, kind, event_id, channels)
    values (200001, 1, 2300001, 'event', 2300001::bigint << 31, '{}');
    update chain.cursor set (slot, seq) = (2300001, 200001);
    notify driftshield";

/// Statements that drop and create the keys and indexes.
const INDEXES: &str = "
    select format('alter table %s drop constraint %I', conrelid::regclass, conname),
           format('alter table %s add constraint %I %s', conrelid::regclass, conname,
             pg_get_constraintdef(oid))
    from pg_constraint where connamespace = 'chain'::regnamespace and contype = 'p'
    union all
    select format('drop index chain.%I', indexname), replace(indexdef, ' ON ONLY ', ' ON ')
    from pg_indexes
    where schemaname = 'chain'
      and not exists (select from pg_constraint where conname = indexname)";

/// Fills the mirror with rows. Keys and indexes are created after them, which is faster.
async fn fill(pool: &PgPool) {
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(pool).await.unwrap();
    for (drop, _) in &indexes {
        run(pool, drop).await;
    }
    let mut parts = ROWS.split("-- part\n");
    run(pool, parts.next().unwrap()).await;
    join_all(parts.map(|part| run(pool, part))).await;
    let half = async |start| {
        for (_, create) in indexes.iter().skip(start).step_by(2) {
            run(pool, create).await;
        }
    };
    tokio::join!(half(0), half(1));
    run(pool, "vacuum analyze").await;
}

async fn run(pool: &PgPool, sql: &str) {
    let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await;
    run.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// Waits until the API has computed the rankings.
async fn wait_for_rankings(url: &str) {
    let bettors = requests::example_of_ranking();
    wait_for("the rankings", Duration::from_secs(120), async || {
        let response = reqwest::get(format!("{url}{bettors}")).await.ok()?;
        let body: Value = response.json().await.ok()?;
        body["slot"].is_number().then_some(())
    })
    .await;
}

async fn assert_refused(api: &str, url: &str) {
    let response = reqwest::get(format!("{api}{url}")).await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {body}");
    assert_eq!(
        problem_kind(&body),
        "unsupported-combination",
        "{url}: {body}"
    );
}

/// Reads a page that has items, unless it may be empty.
async fn get(api: &str, url: &str, may_be_empty: bool) -> Value {
    let response = reqwest::get(format!("{api}{url}")).await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert!(status.is_success(), "{url}: {body}");
    let items = list(&body)["items"].as_array();
    let items = items.unwrap_or_else(|| panic!("{url}: no page"));
    assert!(may_be_empty || !items.is_empty(), "{url}: no items");
    body
}

/// The page in the answer. Some answers contain it beside something else.
fn list(body: &Value) -> &Value {
    let parts = ["history", "seats", "places"].map(|name| &body[name]);
    parts
        .into_iter()
        .find(|part| !part.is_null())
        .unwrap_or(body)
}

fn next_cursor(body: &Value) -> Option<&str> {
    list(body)["next_cursor"].as_str()
}

/// Checks the plans of all queries that a page took. Returns what is wrong.
fn check(request: &Request, page: &str, plans: &[Plan]) -> Vec<String> {
    let url = &request.url;
    let reads_list = |plan: &Plan| plan.query.contains("order by");
    assert!(plans.iter().any(reads_list), "{url}: no plan in the log");
    let mut wrong = vec![];
    // Rankings are computed beside the requests, and read all hours of a period. sqlx looks types up in the catalog.
    let others = ["insert into app.ranking", "pg_catalog.pg_type"];
    let of_requests = plans
        .iter()
        .filter(|plan| !others.iter().any(|other| plan.query.contains(other)));
    for plan in of_requests {
        for violation in plan.violations(request.allowance) {
            let (query, tree) = (&plan.query, plan.tree());
            wrong.push(format!(
                "{url}, {page} page: {violation}\n  {query}\n{tree}"
            ));
        }
    }
    wrong
}
