//! The control interface.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::geyser::{
    faults::{
        control,
        request::{Ending, Fault, Kind, Part, Refusal, Report, Request, Undecodable},
    },
    test_client::{TestServer, request, whole},
};

struct Control {
    url: String,
    http: Client,
    _stop: DropGuard,
}

impl Control {
    async fn start(server: &TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/faults", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let faults = Arc::clone(&server.faults);
        tokio::spawn(control::run(listener, faults, stop.clone()));
        Self {
            url,
            http: Client::new(),
            _stop: stop.drop_guard(),
        }
    }

    async fn post(&self, request: Value) -> (StatusCode, String) {
        let response = self.http.post(&self.url).json(&request).send().await;
        let response = response.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn report(&self) -> Value {
        let response = self.http.get(&self.url).send().await.unwrap();
        response.json().await.unwrap()
    }

    async fn delete(&self, path: &str) -> StatusCode {
        let url = format!("{}{path}", self.url);
        self.http.delete(url).send().await.unwrap().status()
    }
}

#[tokio::test]
async fn a_fault_is_requested_and_reported_in_json() {
    let mut server = TestServer::start().await;
    let control = Control::start(&server).await;
    let mut subscriber = server.subscribe(None).await;
    let request = json!({"fault": "drop_meta", "times": 2});
    let (status, answer) = control.post(request).await;
    assert_eq!((status, &answer[..]), (StatusCode::OK, r#"{"id":1}"#));

    server.confirm([10]);
    assert_eq!(subscriber.labels(5).await.len(), 5);
    server.assert_counts(Kind::DropMeta, 1, 1).await;
    let expected = json!({
        "armed": [
            {"id": 1, "request": {"fault": "drop_meta", "times": 2, "seed": 0}, "injected": 1},
        ],
        "counts": {"drop_meta": {"injected": 1, "changed": 1}},
    });
    assert_eq!(control.report().await, expected);

    assert_eq!(control.delete("/1").await, StatusCode::OK);
    assert_eq!(control.delete("/1").await, StatusCode::NOT_FOUND);
    server.confirm([11]);
    assert_eq!(subscriber.labels(6).await, whole(11));
}

#[tokio::test]
async fn all_faults_are_released_together() {
    let server = TestServer::start().await;
    let control = Control::start(&server).await;
    for fault in ["reorder", "drop_meta"] {
        let (status, _) = control.post(json!({ "fault": fault })).await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(server.faults.report().armed.len(), 2);
    assert_eq!(control.delete("").await, StatusCode::OK);
    assert_eq!(server.faults.report(), Report::default());
}

#[tokio::test]
async fn a_fault_ends_after_its_time() {
    let server = TestServer::start().await;
    let control = Control::start(&server).await;
    let request = json!({"fault": "refuse_subscriptions", "for_ms": 100});
    assert_eq!(control.post(request).await.0, StatusCode::OK);
    assert_eq!(server.faults.report().armed.len(), 1);
    tokio::time::timeout(Duration::from_secs(10), async {
        while !server.faults.report().armed.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_reason() {
    let server = TestServer::start().await;
    let control = Control::start(&server).await;
    for (request, reason) in [
        (json!({"fault": "nonsense"}), "unknown variant"),
        (json!({"fault": "cut"}), "cut"),
        (json!({"fault": "reorder", "time": 1}), "unknown field"),
        (json!({"fault": "reorder", "times": 0}), "at least 1"),
        (json!({"fault": {"cut": {"status": 17}}}), "from 0 to 16"),
        (json!({"fault": "restart", "times": 2}), "remove `times`"),
        (json!({"fault": "silence", "times": 1}), "remove `times`"),
        (json!({"fault": {"delay_meta": {"slots": 0}}}), "at least 1"),
        (
            json!({"fault": {"pings_only": {"ping_ms": 0}}}),
            "at least 1",
        ),
        (
            json!({"fault": {"dead_slot": {"children": 17}}}),
            "at most 16",
        ),
        (
            json!({"fault": {"oversized_account": {"bytes": 99_000_000}}}),
            "at most 33554432",
        ),
    ] {
        let (status, text) = control.post(request.clone()).await;
        assert!(status.is_client_error(), "{request}: {status}");
        assert!(text.contains(reason), "{request}: {text}");
    }
    assert_eq!(server.faults.report(), Report::default());
}

#[test]
fn faults_have_one_form_in_json() {
    for (fault, expected) in [
        (
            Fault::Cut(Ending::Status(14)),
            json!({"cut": {"status": 14}}),
        ),
        (Fault::Cut(Ending::Connection), json!({"cut": "connection"})),
        (Fault::DropMeta, json!("drop_meta")),
        (
            Fault::DelayMeta { slots: 2 },
            json!({"delay_meta": {"slots": 2}}),
        ),
        (
            Fault::Duplicate(Part::Accounts),
            json!({"duplicate": "accounts"}),
        ),
        (
            Fault::Duplicate(Part::Transactions),
            json!({"duplicate": "transactions"}),
        ),
        (Fault::Duplicate(Part::Slot), json!({"duplicate": "slot"})),
        (Fault::Reorder, json!("reorder")),
        (Fault::LateContent, json!("late_content")),
        (
            Fault::RefuseReplay(Refusal::Error { internal: 50 }),
            json!({"refuse_replay": {"error": {"internal": 50}}}),
        ),
        (
            Fault::RefuseReplay(Refusal::Ignored),
            json!({"refuse_replay": "ignored"}),
        ),
        (
            Fault::RefuseReplay(Refusal::Unsupported),
            json!({"refuse_replay": "unsupported"}),
        ),
        (
            Fault::FalseReplayInfo { slots_early: 4 },
            json!({"false_replay_info": {"slots_early": 4}}),
        ),
        (
            Fault::PingsOnly { ping_ms: 500 },
            json!({"pings_only": {"ping_ms": 500}}),
        ),
        (
            Fault::DeadSlot { children: 2 },
            json!({"dead_slot": {"children": 2}}),
        ),
        (
            Fault::OversizedAccount { bytes: 12 << 20 },
            json!({"oversized_account": {"bytes": 12_582_912}}),
        ),
        (
            Fault::UndecodableAccount(Undecodable::Discriminator),
            json!({"undecodable_account": "discriminator"}),
        ),
        (
            Fault::UndecodableAccount(Undecodable::Truncated),
            json!({"undecodable_account": "truncated"}),
        ),
        (Fault::Restart, json!("restart")),
        (Fault::RefuseSubscriptions, json!("refuse_subscriptions")),
        (Fault::IgnoreSubscriptions, json!("ignore_subscriptions")),
        (Fault::Behind { slots: 5 }, json!({"behind": {"slots": 5}})),
    ] {
        let request = request(fault.clone());
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(written, json!({"fault": expected, "seed": 1}));
        let kind = serde_json::to_value(fault.kind()).unwrap();
        let named = match &expected {
            // Each way of refusing counts by itself.
            Value::Object(fields) if fields.get("refuse_replay") == Some(&json!("ignored")) => {
                Some("ignore_replay".to_owned())
            }
            Value::Object(fields) if fields.get("refuse_replay") == Some(&json!("unsupported")) => {
                Some("no_replay".to_owned())
            }
            Value::Object(fields) => fields.keys().next().cloned(),
            name => name.as_str().map(str::to_owned),
        };
        assert_eq!(kind.as_str(), named.as_deref());
        let read: Request = serde_json::from_value(written).unwrap();
        assert_eq!(read, request);
    }
}
