//! The API on the mirror of a running chain.

use std::{collections::BTreeSet, process::Command, time::Duration};

use driftshield_sdk::{Address, Market, rpc::Signer};
use driftshield_tests::{
    network::{
        Service,
        fixture::{BETTORS, WINDOWS},
        free_address, problem_kind, wait_for,
    },
    world::TOKEN,
};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::api_fixture::ApiFixture;

#[tokio::test(flavor = "multi_thread")]
async fn api_responses_match_the_chain() {
    // Given a market and a bet that are newer than the mirror
    let mut api = ApiFixture::start().await;
    api.fixture.create_market(WINDOWS - 2).await;
    let fixture = &api.fixture;
    fixture.place_bet(1, 0, 2).await;
    let slot = api.current_slot().await;

    // Then a request with `min_slot` sees the bet
    let (model, market) = (fixture.model.to_string(), fixture.markets[1].to_string());
    let body = api
        .get_ok(&format!("/api/v1/markets/{market}?min_slot={slot}"))
        .await;
    let state: Market = fixture
        .network
        .client
        .get(&fixture.markets[1])
        .await
        .unwrap();
    assert_eq!(body["model"], model);
    assert_eq!(body["total"]["raw"], state.total.to_string());
    assert_eq!(body["total"]["scaled"], (state.total / TOKEN).to_string());
    assert_eq!(body["terms_hash"], const_hex::encode(state.terms_hash));
    for (outcome, pool) in body["outcomes"].as_array().unwrap().iter().zip(state.pools) {
        assert_eq!(outcome["pool"]["raw"], pool.to_string());
    }
    assert_eq!(body["outcomes"].as_array().unwrap().len(), state.outcomes());
    assert_eq!(
        (body["state"].as_str(), body["closed"].as_bool()),
        (Some("open"), Some(false))
    );

    let body = api.get_ok(&format!("/api/v1/models/{model}")).await;
    assert_eq!(
        body["oracles"][0]["oracle"],
        fixture.oracle.pubkey().to_string()
    );
    assert_eq!(body["metric"], "psi");
    assert_eq!(
        body["market_risk"]["raw"],
        ((BETTORS as u64 + 1) * TOKEN).to_string()
    );
    let receipts = api
        .get_ok(&format!("/api/v1/models/{model}/receipts"))
        .await;
    assert_eq!(receipts["items"], Value::Array(vec![]));
    assert_eq!(receipts["next_cursor"], Value::Null);

    // and the odds and the history include the bet
    let odds = api.get_ok(&format!("/api/v1/markets/{market}/odds")).await;
    assert_eq!(odds["total"]["raw"], state.total.to_string());
    let history = api
        .get_ok(&format!("/api/v1/markets/{market}/history"))
        .await;
    let names: Vec<_> = history["items"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["name"], "BetPlaced");
    assert_eq!(names[0]["body"]["amount"], TOKEN.to_string());

    let newest = fixture.markets[2].to_string();
    lives_are_named_by_their_first_event(&api, &newest).await;
    lists_are_sorted(&api).await;
    pages_list_every_position_once(&api).await;
    asks_and_sales_match_the_chain(&api).await;
    responses_follow_the_conventions(&api, &market).await;
    every_documented_path_answers(&api, &model, &market).await;
    the_api_role_is_read_only(&api).await;
    without_a_database_the_api_is_not_ready(&api).await;
}

/// A market has the id of the event that created it as its `life`, and is found by it.
async fn lives_are_named_by_their_first_event(api: &ApiFixture, market: &str) {
    let path = format!("/api/v1/markets/{market}");
    let history = api.get_ok(&format!("{path}/history")).await;
    let created = history["items"].as_array().unwrap().last().unwrap();
    assert_eq!(created["name"], "MarketCreated");
    assert_eq!(created["accounts"][0]["number"], "1");
    let id = created["id"].as_str().unwrap();
    let event = api.get_ok(&format!("/api/v1/events/{id}")).await;
    assert_eq!(event, *created);

    let current = api.get_ok(&path).await;
    assert_eq!(
        (&current["life"], &current["stale"]),
        (&id.into(), &false.into())
    );
    assert_eq!(current["created_slot"], created["slot"]);
    let by_life = api.get_ok(&format!("{path}?life={id}")).await;
    assert_eq!(by_life["created_at"], current["created_at"]);
    let (status, problem) = api.get(&format!("{path}?life=1")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

/// Pages through the markets, one per page, in every order.
async fn lists_are_sorted(api: &ApiFixture) {
    for (sort, field) in [
        ("newest", "/life"),
        ("volume", "/total/scaled"),
        ("closing", "/closes_at"),
    ] {
        let path = format!("/api/v1/markets?sort={sort}&limit=1");
        let (mut values, mut cursor) = (vec![], String::new());
        loop {
            let page = api.get_ok(&format!("{path}{cursor}")).await;
            values.extend(page["items"][0].pointer(field).cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        assert_eq!(values.len(), api.fixture.markets.len(), "{sort}");
        let in_order = match sort {
            "closing" => values.is_sorted_by_key(|value| value.as_str().unwrap().to_owned()),
            _ => values.is_sorted_by(|a, b| number(b) <= number(a)),
        };
        assert!(in_order, "{sort}: {values:?}");
    }
}

/// Lists the first market's positions with one position per page.
async fn pages_list_every_position_once(api: &ApiFixture) {
    let path = format!(
        "/api/v1/markets/{}/positions?limit=1",
        api.fixture.markets[0]
    );
    let mut owners = BTreeSet::new();
    let mut cursor = String::new();
    for _ in 0..BETTORS {
        let page = api.get_ok(&format!("{path}{cursor}")).await;
        let [position] = &page["items"].as_array().unwrap()[..] else {
            panic!("not one position per page: {page}");
        };
        assert!(owners.insert(position["owner"].as_str().unwrap().to_owned()));
        cursor = match page["next_cursor"].as_str() {
            Some(next) => format!("&cursor={next}"),
            None => String::new(),
        };
    }
    assert_eq!(cursor, "");
    let bettors = api
        .fixture
        .bettors
        .iter()
        .map(|key| key.pubkey().to_string());
    assert_eq!(owners, bettors.collect());

    // A cursor is valid only for the list that returned it.
    let page = api.get_ok("/api/v1/markets?limit=1").await;
    let next = page["next_cursor"].as_str().unwrap();
    let (status, problem) = api.get(&format!("{path}&cursor={next}")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem_kind(&problem), "cursor-mismatch");
}

/// Sells a part of a stake and all of another, and reads the asks, the sales and the positions.
async fn asks_and_sales_match_the_chain(api: &ApiFixture) {
    let fixture = &api.fixture;
    let market = fixture.markets[0];
    // The bettors 0 and 3 have bet on outcome 0, bettor 1 on outcome 1.
    fixture.sell(0, [0, 1], 0, TOKEN / 4).await;
    fixture.sell(0, [3, 1], 0, TOKEN).await;
    let slot = api.current_slot().await;
    let keys: Vec<_> = fixture.bettors.iter().map(Signer::pubkey).collect();

    let path = format!("/api/v1/markets/{market}");
    let asks = api.get_ok(&format!("{path}/asks?min_slot={slot}")).await;
    let [ask] = &asks["items"].as_array().unwrap()[..] else {
        panic!("{asks}");
    };
    assert_eq!(ask["seller"], keys[0].to_string());
    assert_eq!(
        (&ask["outcome"], &ask["fallen"]),
        (&0.into(), &false.into())
    );
    assert_eq!(ask["amount"]["scaled"], "0.75");
    assert_eq!(ask["price"]["scaled"], "0.9");
    assert!(ask["valid_until"].is_string());
    let none = api.get_ok(&format!("{path}/asks?outcome=1")).await;
    assert_eq!(none["items"], Value::Array(vec![]));

    let sales = api.get_ok(&format!("{path}/sales")).await;
    let [last, first] = &sales["items"].as_array().unwrap()[..] else {
        panic!("{sales}");
    };
    assert_eq!(last["seller"], keys[3].to_string());
    assert_eq!(last["paid"]["scaled"], "0.9");
    assert_eq!(first["buyer"], keys[1].to_string());
    assert_eq!(first["amount"]["scaled"], "0.25");
    assert_eq!(first["paid"]["raw"], "225000");

    let positions = api.get_ok(&format!("{path}/positions")).await;
    for position in positions["items"].as_array().unwrap() {
        let of = |owner: &Address| position["owner"] == owner.to_string();
        let asks = position["asks"].as_array().unwrap();
        assert_eq!(asks.len(), usize::from(of(&keys[0])), "{position}");
        assert_eq!(position["sold_out"], of(&keys[3]));
        assert_eq!(
            (position["closed"] == true, position["paid"].is_null()),
            (of(&keys[3]), true)
        );
        if of(&keys[1]) {
            assert_eq!(position["stakes"][0]["scaled"], "1.25");
            assert_eq!(position["total"]["scaled"], "2.25");
        }
    }
}

async fn responses_follow_the_conventions(api: &ApiFixture, market: &str) {
    let path = format!("{}/api/v1/markets/{market}", api.url);
    let client = reqwest::Client::new();
    let response = client.get(&path).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(0 < header("x-slot").parse::<u64>().unwrap());
    assert!(0 < header("x-seq").parse::<u64>().unwrap());
    assert!(0 < header("x-epoch").parse::<u64>().unwrap());
    assert!(header("etag").starts_with("W/\""));
    let conditional = client.get(&path).header("if-none-match", header("etag"));
    assert_eq!(
        conditional.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );

    let ahead = api.current_slot().await + 1_000_000;
    let (status, problem) = api.get(&format!("/api/v1/markets?min_slot={ahead}")).await;
    assert_eq!(status, StatusCode::TOO_EARLY, "{problem}");
    for (path, status) in [
        ("/api/v1/markets/nonsense", StatusCode::BAD_REQUEST),
        ("/api/v1/markets?state=nonsense", StatusCode::BAD_REQUEST),
        ("/api/v1/markets?limit=0", StatusCode::BAD_REQUEST),
        (
            "/api/v1/markets?cursor=nonsense",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/api/v1/markets/11111111111111111111111111111111",
            StatusCode::NOT_FOUND,
        ),
        ("/api/v1/nonsense", StatusCode::NOT_FOUND),
    ] {
        let (found, problem) = api.get(path).await;
        assert_eq!(found, status, "{path}: {problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert_ne!(problem_kind(&problem), "");
        assert!(problem["request_id"].is_string() && problem["detail"].is_string());
    }
}

/// Requests every path of the OpenAPI document whose objects exist.
async fn every_documented_path_answers(api: &ApiFixture, model: &str, market: &str) {
    let document = api.get_ok("/api-docs/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(15 < paths.len());
    let events = api.get_ok("/api/v1/events?limit=1").await;
    let event = events["items"][0]["id"].as_str().unwrap().to_owned();
    let owner = api.fixture.bettors[0].pubkey().to_string();
    let reads = paths.iter().filter(|(_, item)| item["get"].is_object());
    for path in reads.map(|(path, _)| path) {
        let key = |name: &str| path.contains(&format!("{{{name}}}"));
        if ["receipt", "vault", "policy"].into_iter().any(key) {
            continue; // none exists on this chain
        }
        let filled = path
            .replace("{model}", model)
            .replace("{market}", market)
            .replace("{id}", &event)
            .replace("{oracle}", &api.fixture.oracle.pubkey().to_string())
            .replace("{wallet}", &owner)
            .replace("{user}", &owner)
            .replace("{board}", "bettors")
            .replace("{name}", "bet");
        let query = match path.rsplit('/').next() {
            Some("positions") if !key("market") && !key("user") => format!("?owner={owner}"),
            Some("portfolio") => format!("?wallet={owner}"),
            Some("{name}") => format!("?market={market}"),
            Some("{board}") => format!("?mint={owner}"),
            _ => String::new(),
        };
        let response = reqwest::get(format!("{}{filled}{query}", api.url)).await;
        let status = response.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{filled}{query}");
    }
}

/// The API's database role can read the mirror and cannot change it.
async fn the_api_role_is_read_only(api: &ApiFixture) {
    let url = &api.fixture.network.addresses.database_url;
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("role", "driftshield_api")]);
    let pool: PgPool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let read: i64 = sqlx::query_scalar("select count(*) from chain.market")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(0 < read);
    for statement in [
        "delete from chain.event",
        "update chain.market set total = 0",
        "update chain.cursor set slot = 0",
        "create table chain.another (id int)",
    ] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
        let error = error.into_database_error().unwrap();
        assert_eq!(error.code().unwrap(), "42501", "{statement}"); // insufficient privilege
    }
}

/// An API that cannot reach its database starts and reports that it is not ready.
async fn without_a_database_the_api_is_not_ready(api: &ApiFixture) {
    let listen = free_address().to_string();
    let mut command: Command = api.fixture.network.command("api");
    command.args(["--listen", &listen]);
    command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing");
    let mut service = Service::start(
        "api-without-database",
        &mut command,
        api.fixture.network.directory.path(),
    );
    let status = wait_for(
        "the API without a database",
        Duration::from_secs(20),
        async || {
            let response = reqwest::get(format!("http://{listen}/health/readiness")).await;
            Some(response.ok()?.status())
        },
    )
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let liveness = reqwest::get(format!("http://{listen}/health/liveness")).await;
    assert_eq!(liveness.unwrap().status(), StatusCode::OK);
    assert!(service.stop(), "{}", service.output());
}
