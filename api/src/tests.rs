//! The routes without a database and an RPC node.

use std::collections::BTreeSet;

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

async fn get(path: &str) -> (StatusCode, Value) {
    send(Request::get(path).body(Body::empty()).unwrap()).await
}

/// An app whose database is unreachable.
fn unconnected() -> Front {
    let settings = Settings::of_tests();
    let db = connect(&settings.database_url).unwrap();
    let state = AppState::new(db, &settings, CancellationToken::new());
    app(state, "https://api.test")
}

async fn send(request: Request<Body>) -> (StatusCode, Value) {
    let response = unconnected().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn invalid_requests_get_a_problem() {
    for (path, status, kind) in [
        ("/nowhere", 404, "no-such-route"),
        ("/api/v1/models/abc", 400, "bad-request"),
        (
            &format!("/api/v1/models/{}", "1".repeat(33)),
            422,
            "invalid-value",
        ),
        (
            &format!("/api/v1/models?owner={}", "z".repeat(44)),
            422,
            "invalid-value",
        ),
        ("/api/v1/events/9999999999999999999", 422, "invalid-value"),
        ("/api/v1/events?name=Dance", 400, "bad-request"),
        ("/api/v1/events?cursor=%20", 400, "bad-request"),
        ("/api/v1/calendar?until=", 400, "bad-request"),
        ("/api/v1/markets?min_slot=1&min_slot=2", 400, "bad-request"),
        ("/api/v1/models?limit=501", 400, "bad-request"),
        ("/api/v1/models?colour=red", 400, "bad-request"),
        ("/api/v1/models?text=a%00", 400, "bad-request"),
        ("/api/v1/markets?state=asleep", 400, "bad-request"),
        ("/api/v1/positions", 400, "bad-request"),
        ("/api/v1/events/x", 400, "bad-request"),
        (&format!("/api/v1/markets/{KEY}?life=x"), 400, "bad-request"),
        ("/api/v1/insurance/vaults?sort=name", 400, "bad-request"),
        (
            &format!("/api/v1/models/{KEY}/drift-analysis?windows=367"),
            400,
            "bad-request",
        ),
        (
            &format!("/api/v1/models/{KEY}/drift-analysis?thresholds=0.2"),
            400,
            "bad-request",
        ),
        (
            &format!("/api/v1/models/{KEY}/metrics?interval=month"),
            400,
            "bad-request",
        ),
        (
            &format!("/api/v1/models/{KEY}/monitoring-agent/config"),
            405,
            "method-not-allowed",
        ),
        ("/api/v1/insurance/policies?state=lost", 400, "bad-request"),
        (
            "/api/v1/insurance/withdrawals?owner=abc",
            400,
            "bad-request",
        ),
        ("/api/v1/insurance/quote", 405, "method-not-allowed"),
        (
            &format!("/api/v1/markets/{KEY}?min_slot=x"),
            400,
            "bad-request",
        ),
        (
            &format!("/api/v1/markets/{KEY}/candles?interval=2h"),
            400,
            "bad-request",
        ),
        ("/api/v1/analytics/portfolio", 400, "bad-request"),
        (
            &format!("/api/v1/analytics/leaderboard/dogs?mint={KEY}"),
            400,
            "bad-request",
        ),
        ("/api/v1/analytics/leaderboard/bettors", 400, "bad-request"),
        ("/api/v1/calendar?until=never", 400, "bad-request"),
        (
            &format!("/api/v1/wallet/{KEY}/statement.csv?from=x"),
            400,
            "bad-request",
        ),
        (
            &format!("/api/v1/wallet/{KEY}/sync"),
            405,
            "method-not-allowed",
        ),
        ("/api/v1/ws", 400, "bad-request"),
    ] {
        let (got, problem) = get(path).await;
        assert_eq!(got.as_u16(), status, "{path}");
        let kind = format!("https://api.test/problems/{kind}");
        assert_eq!(problem["type"], kind, "{path}");
        assert_eq!(problem["status"], status, "{path}");
        assert_ne!(problem["request_id"], "", "{path}");
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused_before_its_slot_is_reached() {
    // The slot of a mirror that is not connected is 0.
    for (path, status) in [
        ("/api/v1/models/abc?min_slot=9", 400),
        ("/api/v1/models?limit=501&min_slot=9", 400),
        ("/api/v1/markets?state=asleep&min_slot=9", 400),
        (
            &format!("/api/v1/models/{}?min_slot=9", "1".repeat(33)),
            422,
        ),
        ("/api/v1/models?min_slot=9", 425),
    ] {
        let (got, problem) = get(path).await;
        assert_eq!(got.as_u16(), status, "{path}: {problem}");
    }
    let request = Request::post("/api/v1/insurance/quote?min_slot=9")
        .header("content-type", "application/json")
        .body(Body::from("{}"));
    let (status, problem) = send(request.unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
}

#[tokio::test]
async fn every_integer_of_the_document_has_bounds() {
    fn check(value: &Value, path: &str, count: &mut usize) {
        match value {
            Value::Object(object) => {
                // Of a number without a format, the document doesn't know the size.
                if value["type"] == "integer" && object.contains_key("format") {
                    assert!(value["minimum"].is_number(), "{path}: {value}");
                    assert!(value["maximum"].is_number(), "{path}: {value}");
                    *count += 1;
                }
                for (name, value) in object {
                    check(value, &format!("{path}/{name}"), count);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, path, count)),
            _ => {}
        }
    }
    let (_, document) = get("/api-docs/openapi.json").await;
    let mut count = 0;
    check(&document, "", &mut count);
    assert!(100 < count, "only {count} integers");
    let outcome = &document["components"]["schemas"]["BetRequest"]["properties"]["outcome"];
    assert_eq!(outcome["maximum"], 255);
    assert_eq!(outcome["format"], "uint8");
    let calendar = &document["paths"]["/api/v1/calendar"]["get"]["responses"];
    assert!(calendar["404"].is_object(), "{calendar}");
    // utoipa takes a type called `Date` for a text, whatever its fields are.
    let page = &document["components"]["schemas"]["Page_CalendarDate"];
    let date = &page["properties"]["items"]["items"];
    assert!(!date.is_null() && date["type"] != "string", "{page}");
}

#[tokio::test]
async fn a_quote_request_is_json() {
    let whole = format!(
        r#"{{"vault":"{KEY}","model":"{KEY}","cover":"1","trigger":"1","exhaustion":"1",
            "persistence":1,"windows":"1"}}"#
    );
    for (kind, body, status) in [
        ("application/json", whole.as_str(), 503),
        ("application/json", "{}", 400),
        ("application/json", "", 400),
        ("text/plain", whole.as_str(), 415),
        (
            "application/json",
            &" ".repeat(problem::MAX_BODY_BYTES + 1),
            413,
        ),
    ] {
        let request = Request::post("/api/v1/insurance/quote")
            .header("content-type", kind)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let (got, problem) = send(request).await;
        assert_eq!(got.as_u16(), status, "{kind} {body}: {problem}");
    }
}

#[tokio::test]
async fn a_transaction_needs_a_valid_request_and_a_node() {
    let bet = |amount: &str| format!(r#"{{"account":"{KEY}","outcome":0,"amount":{amount}}}"#);
    let path = format!("/api/v1/markets/{KEY}/bet");
    for (kind, body, status, problem_kind, named) in [
        ("json", bet(r#""1""#), 503, "no-rpc-node", "RPC_URL"),
        ("json", bet("1"), 400, "bad-request", "amount"),
        (
            "json",
            bet(r#""1","colour":1"#),
            400,
            "bad-request",
            "colour",
        ),
        ("json", "{}".to_owned(), 400, "bad-request", "account"),
        (
            "json",
            bet(r#""18446744073709551616""#),
            422,
            "invalid-value",
            "`amount`",
        ),
        (
            "json",
            bet(r#""1""#).replace("\"outcome\":0", "\"outcome\":300"),
            400,
            "bad-request",
            "a whole number from 0 to 255",
        ),
        ("text", bet(r#""1""#), 415, "not-json", "application/json"),
        (
            "json",
            " ".repeat(problem::MAX_BODY_BYTES + 1),
            413,
            "body-too-large",
            "16 KiB",
        ),
    ] {
        let request = Request::post(&path)
            .header("content-type", format!("application/{kind}"))
            .body(Body::from(body))
            .unwrap();
        let (got, problem) = send(request).await;
        assert_eq!(got.as_u16(), status, "{problem}");
        let expected = format!("https://api.test/problems/{problem_kind}");
        assert_eq!(problem["type"], expected);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{problem}");
    }
}

#[tokio::test]
async fn errors_of_actions_are_messages_for_any_origin() {
    for (method, path, status) in [
        ("GET", "/api/v1/actions/dance", 404),
        ("GET", "/api/v1/actions/bet", 503),
        ("GET", "/api/v1/actions/bet?min_slot=x", 400),
        ("DELETE", "/api/v1/actions/bet", 405),
        ("OPTIONS", "/api/v1/actions/bet", 200),
        ("OPTIONS", "/actions.json", 200),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let response = unconnected().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
        assert_eq!(headers["x-action-version"], "2.4", "{path}");
        assert_eq!(headers["content-type"], "application/json", "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
        assert_eq!(headers.contains_key("retry-after"), status == 503, "{path}");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        if status != 200 {
            let error: Value = serde_json::from_slice(&body).unwrap();
            assert_ne!(error["message"], "", "{path}");
            assert_eq!(error.as_object().unwrap().len(), 1, "{path}");
        }
    }
}

#[tokio::test]
async fn every_transaction_is_documented_with_an_example_and_its_failures() {
    let (_, document) = get("/api-docs/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let operations = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values());
    let transactions: Vec<_> = operations
        .filter(|operation| operation["tags"][0] == "transactions")
        .collect();
    assert_eq!(transactions.len(), 18);
    for operation in transactions {
        let content = &operation["requestBody"]["content"]["application/json"];
        let reference = content["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        let has_example = content["example"].is_object() || schema["example"].is_object();
        assert!(has_example, "{reference}");
        assert!(operation["summary"].is_string());
        let responses = operation["responses"].as_object().unwrap();
        let statuses: BTreeSet<_> = responses.keys().map(String::as_str).collect();
        let failures = [
            "400", "404", "413", "415", "422", "425", "429", "500", "503",
        ];
        let expected = BTreeSet::from_iter(["200"].into_iter().chain(failures));
        assert_eq!(statuses, expected, "{reference}");
        let [refused, unavailable] =
            ["422", "503"].map(|status| responses[status]["description"].as_str().unwrap());
        assert!(refused.contains("The transaction would fail"), "{refused}");
        assert!(unavailable.contains("RPC node"), "{unavailable}");
    }
}

/// The result of a call of the MCP endpoint.
async fn mcp(method: &str, params: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = Request::post("/mcp")
        .header("host", "api.test")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .body(Body::from(call.to_string()))
        .unwrap();
    let (status, answer) = send(request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn every_operation_of_the_document_is_a_tool_that_answers_the_same() {
    let tools = mcp("tools/list", json!({})).await;
    let tools = tools["tools"].as_array().unwrap();
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    let (_, document) = get("/api-docs/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let operations = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values());
    let operations = operations.filter(|operation| {
        let tag = operation["tags"][0].as_str().unwrap();
        !["health", "actions"].contains(&tag)
    });
    assert_eq!(operations.count(), names.len(), "{names:?}");
    let bet = json!({ "account": KEY, "outcome": 0, "amount": "1" });
    let of_key = |name: &str, body: &Value| json!({ name: KEY, "body": body });
    for (name, arguments, kind) in [
        ("get_markets", json!({ "limit": 3 }), "unavailable"),
        (
            "post_markets_by_market_bet",
            of_key("market", &bet),
            "no-rpc-node",
        ),
        (
            "patch_models_by_model",
            of_key("model", &json!({ "account": KEY })),
            "no-rpc-node",
        ),
        (
            "delete_models_by_model",
            of_key("model", &json!({})),
            "bad-request",
        ),
    ] {
        let call = json!({ "name": name, "arguments": arguments });
        let failed = mcp("tools/call", call).await;
        assert_eq!(failed["isError"], true, "{failed}");
        let problem = failed["content"][0]["text"].as_str().unwrap();
        assert!(problem.contains(&format!("/problems/{kind}")), "{problem}");
    }
}

#[tokio::test]
async fn an_answer_carries_headers_that_protect_browsers() {
    let request = Request::get("/api/v1/models").body(Body::empty()).unwrap();
    let response = unconnected().oneshot(request).await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    let request = Request::get("/api-docs/").body(Body::empty()).unwrap();
    let page = unconnected().oneshot(request).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'"), "{policy}");
}

#[tokio::test]
async fn a_request_id_is_the_clients_if_it_is_fit_for_a_log() {
    for (id, is_kept) in [("a-1", true), ("a b", false), (&"a".repeat(200), false)] {
        let request = Request::get("/health/liveness").header("x-request-id", id);
        let request = request.body(Body::empty()).unwrap();
        let response = unconnected().oneshot(request).await.unwrap();
        let given = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(given == id, is_kept, "{given}");
    }
}

#[tokio::test]
async fn without_a_database_the_api_is_live_but_not_ready() {
    let (status, problem) = get("/api/v1/models").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["type"], "https://api.test/problems/unavailable");
    assert_eq!(get("/health/liveness").await.0, StatusCode::OK);
    let (status, health) = get("/health/readiness").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(health["reason"].is_string());
}

#[tokio::test]
async fn an_incomplete_request_does_not_block_the_shutdown() {
    use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    let settings = Settings {
        listen: address,
        ..Settings::of_tests()
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let serving = tokio::spawn(async move { serve(&settings, stop).await });
    sleep(Duration::from_millis(200)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    shutdown.cancel();
    timeout(4 * SHUTDOWN_TIMEOUT, serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn all_references_of_the_document_resolve() {
    let (_, document) = get("/api-docs/openapi.json").await;
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let parameters = &document["paths"]["/api/v1/models"]["get"]["parameters"];
    let names: Vec<_> = parameters
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(
        names,
        [
            "owner", "metric", "status", "text", "cursor", "limit", "min_slot"
        ]
    );
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object
                .values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(array) => array
            .iter()
            .for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
