//! What clients of the API are told when the chain is rolled back, and when the mirror is rebuilt.

mod client;

use std::{collections::BTreeMap, time::Duration};

use driftshield_sdk::Market;
use driftshield_tests::network::{
    faults::{Fault, Kind},
    fixture::BETTORS,
    problem_kind, wait_for,
};
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tokio::sync::watch;

use crate::{
    api_fixture::ApiFixture,
    socket::{record_answers, record_messages},
};

use client::Client;

/// Index of the market that stays open for as long as the tests run.
const MARKET: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A chain with a market that stays open, its mirror and an API.
async fn start() -> ApiFixture {
    let mut api = ApiFixture::start_with(&["--bare", "--faults-port", "0"]).await;
    api.fixture.create_market(300).await;
    api.get_ok(&format!(
        "/api/v1/markets?min_slot={}",
        api.current_slot().await
    ))
    .await;
    api
}

fn market(api: &ApiFixture) -> String {
    api.fixture.markets[MARKET].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_reported_and_its_events_are_never_served_as_final() {
    // Given clients of a market that has bets all the time
    let api = start().await;
    let channel = format!("market:{}", market(&api));
    let messages = record_messages(&api.url, vec![channel]);
    let pages = poll_history(&api);
    let faults = api.fixture.network.faults();

    // When the cluster drops confirmed slots, until a client has got events again that were dropped
    for round in 1.. {
        assert!(round < 20, "no event came again: {:?}", *messages.borrow());
        let before = faults.counts(Kind::DeadSlot).await.changed;
        faults.once(Fault::DeadSlot { children: 3 }).await;
        while faults.counts(Kind::DeadSlot).await.changed == before {
            bet(&api).await;
        }
        for _ in 0..8 {
            bet(&api).await;
        }
        if !Client::after(&messages.borrow()).repeated.is_empty() {
            break;
        }
    }

    // Then the clients have every event, and none twice without a rollback
    let address = api.fixture.markets[MARKET];
    let state: Market = api.fixture.network.client.get(&address).await.unwrap();
    let client = wait_for("the last event", TIMEOUT, async || {
        let client = Client::after(&messages.borrow());
        (client.last_number() == Some(state.seq)).then_some(client)
    })
    .await;
    let slot = api.current_slot().await;
    let path = format!("/api/v1/markets/{address}/history?limit=500&min_slot={slot}");
    let history = events(&api.get_ok(&path).await);
    assert!(client.repeated.iter().all(|id| history.contains_key(id)));

    // and what was served as final stays
    let pages = pages.borrow();
    for rollback in &client.rollbacks {
        for page in pages.iter().filter(|page| page.seq < rollback.seq) {
            assert!(
                page.finalized_slot <= rollback.to_slot,
                "{rollback:?}: {page:?}"
            );
        }
    }
    let served_then_dropped = |page: &Page| {
        client.rollbacks.iter().any(|rollback| {
            page.seq < rollback.seq && page.events.values().any(|slot| rollback.to_slot < *slot)
        })
    };
    assert!(
        pages.iter().any(served_then_dropped),
        "pages had dropped events"
    );
    for page in pages.iter() {
        let is_final = |slot: &i64| *slot <= page.finalized_slot;
        let ids = page.events.iter().filter(|(_, slot)| is_final(slot));
        for (id, slot) in ids {
            assert_eq!(
                history.get(id),
                Some(slot),
                "event {id} was served as final"
            );
        }
    }
}

/// Places a bet of each bettor, so that a slot has several events. A false slot has one less.
async fn bet(api: &ApiFixture) {
    let bets = (0..BETTORS).map(|bettor| api.fixture.place_bet(MARKET, bettor, 1));
    join_all(bets).await;
}

/// A page of the market's history.
#[derive(Debug)]
struct Page {
    seq: i64,
    finalized_slot: i64,
    /// Slots of the events by id.
    events: BTreeMap<String, i64>,
}

fn events(page: &Value) -> BTreeMap<String, i64> {
    let items = page["items"].as_array().unwrap().iter();
    let event = |item: &Value| {
        (
            item["id"].as_str().unwrap().to_owned(),
            item["slot"].as_i64().unwrap(),
        )
    };
    items.map(event).collect()
}

fn header(response: &Response, name: &str) -> i64 {
    response.headers()[name].to_str().unwrap().parse().unwrap()
}

/// Reads the market's history all the time, until the receiver is dropped.
fn poll_history(api: &ApiFixture) -> watch::Receiver<Vec<Page>> {
    let url = format!(
        "{}/api/v1/markets/{}/history?limit=500",
        api.url,
        market(api)
    );
    let (sender, receiver) = watch::channel(vec![]);
    tokio::spawn(async move {
        while !sender.is_closed() {
            let response = reqwest::get(&url).await.unwrap();
            // A mirror that changes over to another source of slots refuses reads for a moment.
            if response.status() == StatusCode::OK {
                let (seq, finalized_slot) = (
                    header(&response, "x-seq"),
                    header(&response, "x-finalized-slot"),
                );
                let events = events(&response.json().await.unwrap());
                let page = Page {
                    seq,
                    finalized_slot,
                    events,
                };
                sender.send_modify(|pages| pages.push(page));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_an_earlier_epoch_begin_anew() {
    // Given clients with an open socket, a last record, cursors and an ETag
    let mut api = start().await;
    api.fixture.place_bet(MARKET, 0, 1).await;
    let slot = api.current_slot().await;
    let channel = format!("market:{}", market(&api));
    let path = format!("/api/v1/markets/{}", market(&api));
    let response = conditional(&api, &format!("{path}?min_slot={slot}"), "").await;
    let (epoch, seq) = (header(&response, "x-epoch"), header(&response, "x-seq"));
    let etag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(
        conditional(&api, &path, &etag).await.status(),
        StatusCode::NOT_MODIFIED
    );
    let mut next_pages = vec![];
    for sort in ["newest", "volume", "closing"] {
        let list = format!("/api/v1/markets?limit=1&sort={sort}");
        let cursor = api.get_ok(&list).await["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
        next_pages.push(format!("{list}&cursor={cursor}"));
    }
    for page in &next_pages {
        api.get_ok(page).await;
    }
    let open = record_messages(&api.url, vec![channel.clone()]);
    find(&open, "snapshot").await;
    let resume = json!({
        "op": "subscribe", "id": 3, "channel": channel, "epoch": epoch, "from": seq,
    });
    find(&record_answers(&api.url, vec![resume.clone()]), "resumed").await;

    // When the mirror is rebuilt
    rebuild(&mut api).await;
    let new_epoch = wait_for("the new mirror", TIMEOUT, async || {
        let response = reqwest::get(format!("{}{path}", api.url)).await.ok()?;
        let is_new = response.status() == StatusCode::OK && header(&response, "x-epoch") != epoch;
        is_new.then(|| header(&response, "x-epoch"))
    })
    .await;
    assert!(epoch < new_epoch);

    // Then a client that resumes is told so, and begins anew
    let resumed = record_answers(&api.url, vec![resume]);
    find(&resumed, "snapshot").await;
    let messages = resumed.borrow().clone();
    let [reset, snapshot] = &messages[..2] else {
        panic!("{messages:?}");
    };
    assert_eq!((&reset["type"], &reset["id"]), (&"reset".into(), &3.into()));
    let reason = format!("mirror has epoch {new_epoch}, not {epoch}");
    assert_eq!(reset["reason"], reason);
    assert_eq!(snapshot["epoch"], new_epoch);
    assert_eq!(snapshot["data"]["key"], market(&api));

    // and so is one whose socket stayed open
    find(&open, "reset").await;
    wait_for("a snapshot of the new mirror", TIMEOUT, async || {
        let messages = open.borrow();
        let last = messages
            .iter()
            .rfind(|message| message["type"] == "snapshot")?;
        (last["epoch"] == new_epoch && last["id"].is_null()).then_some(())
    })
    .await;

    // and cursors have expired, and the ETag no longer matches
    for page in &next_pages {
        let (status, problem) = api.get(page).await;
        assert_eq!(status, StatusCode::GONE, "{page}: {problem}");
        assert_eq!(problem_kind(&problem), "cursor-expired");
    }
    let response = conditional(&api, &path, &etag).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["key"], market(&api));
}

/// Requests a path unless it still has the `ETag`.
async fn conditional(api: &ApiFixture, path: &str, etag: &str) -> Response {
    let request = reqwest::Client::new().get(format!("{}{path}", api.url));
    request.header("if-none-match", etag).send().await.unwrap()
}

/// Waits for a message of a type.
async fn find(messages: &watch::Receiver<Vec<Value>>, kind: &str) -> Value {
    wait_for(&format!("a {kind}"), TIMEOUT, async || {
        let messages = messages.borrow();
        messages
            .iter()
            .find(|message| message["type"] == kind)
            .cloned()
    })
    .await
}

/// Replaces the database by a new one, and fills it.
async fn rebuild(api: &mut ApiFixture) {
    assert!(api.indexer.stop(), "{}", api.indexer.output());
    let network = &api.fixture.network;
    let options: PgConnectOptions = network.addresses.database_url.parse().unwrap();
    let mut connection = options.database("postgres").connect().await.unwrap();
    for sql in [
        "drop database driftshield with (force)",
        "create database driftshield",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let (code, output) = network.run("indexer", &["migrate"]);
    assert_eq!(code, 0, "{output}");
    api.indexer = api.fixture.start_indexer();
}
