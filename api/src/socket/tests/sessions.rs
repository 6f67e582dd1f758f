//! Subscriptions, slow clients and limits. The tests hand out the feed themselves.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use super::{
    Server,
    client::{Client, Got, HANDSHAKE},
};
use crate::{
    connections::ConnectionLimits,
    feed::{DerivedState, FeedMessage, Gap, Position, Rollback, Update},
    mirror::MirrorStatus,
    socket::limits::{CLOSE_TIMEOUT, MESSAGE_BURST, REPLAYS, SOCKETS},
    tail::Change,
    updates::Record,
};

const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

impl Server {
    /// A server whose mirror is at the record `seq` of the epoch 1.
    async fn at(seq: i64) -> Self {
        let server = Self::start().await;
        server.begin(seq);
        server
    }

    fn begin(&self, seq: i64) {
        let position = Position { epoch: 1, seq };
        self.app.hub.take(&Change::Begun { position });
        self.app.feed.record_poll(Some(MirrorStatus::example(seq)));
    }

    fn hand_out(&self, seq: i64, channels: &[&str], message: FeedMessage) {
        let channels = channels.iter().map(|&name| name.to_owned()).collect();
        self.app.hub.take(&Change::Record(&Record {
            seq,
            channels,
            message: Some(message),
        }));
        self.app.feed.record_poll(Some(MirrorStatus::example(seq)));
    }

    /// Hands out an event with a field of this length. With `odds`, it changes those of a market.
    fn publish(&self, seq: i64, channels: &[&str], len: usize, odds: bool) {
        let state = DerivedState {
            kind: "market:odds_updated",
            key: Some(KEY.into()),
            channels: channels.iter().map(|&name| name.to_owned()).collect(),
            json: json!({
                "market": KEY, "total": { "raw": "4", "scaled": "0.000004" }, "outcomes": [],
            })
            .to_string(),
        };
        let update = Update {
            epoch: 1,
            seq,
            slot: 90,
            kind: "event",
            channels: channels.iter().map(|&name| name.to_owned()).collect(),
            json: json!({
                "id": "10136122830848", "slot": 90, "time": null, "signature": "1".repeat(64),
                "transaction_index": 3, "instruction_index": 0, "event_index": 0,
                "name": "BetPlaced", "accounts": [{ "account": KEY, "number": "7" }],
                "body": { "text": "x".repeat(len) },
            })
            .to_string(),
            states: odds.then_some(state).into_iter().collect(),
        };
        self.hand_out(seq, channels, FeedMessage::Update(Arc::new(update)));
    }
}

fn subscribe(channel: &str) -> Value {
    json!({ "op": "subscribe", "id": channel, "channel": channel })
}

fn resume(channel: &str, from: i64) -> Value {
    json!({ "op": "subscribe", "id": channel, "channel": channel, "epoch": 1, "from": from })
}

async fn snapshot(client: &mut Client, channel: &str) -> Value {
    client.send(&subscribe(channel)).await;
    client.find("snapshot").await
}

fn seq_and_prev(message: &Value) -> (i64, i64) {
    let number = |name: &str| message[name].as_i64().unwrap();
    (number("seq"), number("prev"))
}

#[tokio::test]
async fn a_client_gets_a_snapshot_and_then_what_comes_on_the_channel() {
    let server = Server::at(5).await;
    let mut client = Client::open(server.address).await;
    let message = snapshot(&mut client, "events").await;
    assert_eq!(
        message,
        json!({
            "type": "snapshot", "id": "events", "channel": "events", "epoch": 1, "seq": 5, "slot": 90,
            "data": null,
        })
    );
    server.publish(6, &["events"], 1, false);
    server.publish(7, &["markets"], 1, false);
    server.publish(8, &["events", "markets"], 1, false);
    assert_eq!(seq_and_prev(&client.json().await), (6, 5));
    assert_eq!(seq_and_prev(&client.json().await), (8, 6));
}

#[tokio::test]
async fn a_client_resumes_from_memory_and_is_told_when_it_has_everything() {
    let server = Server::at(5).await;
    for seq in 6..=9 {
        server.publish(seq, &[["events", "markets"][seq as usize % 2]], 1, false);
    }
    let gap = Gap {
        epoch: 1,
        seq: 10,
        from_slot: 91,
        to_slot: 92,
        state: "open".to_owned(),
    };
    server.hand_out(10, &[], FeedMessage::Gap(Arc::new(gap)));
    let mut client = Client::open(server.address).await;
    client.send(&resume("events", 5)).await;
    let resumed = client.json().await;
    assert_eq!(
        (&resumed["type"], &resumed["seq"]),
        (&json!("resumed"), &json!(5))
    );
    assert_eq!(seq_and_prev(&client.json().await), (6, 5));
    assert_eq!(seq_and_prev(&client.json().await), (8, 6));
    assert_eq!(client.json().await["type"], "gap");
    assert_eq!(
        client.json().await,
        json!({ "type": "caught_up", "id": "events", "channel": "events", "epoch": 1, "seq": 10 })
    );
    server.publish(11, &["events"], 1, false);
    assert_eq!(seq_and_prev(&client.json().await), (11, 8));
}

#[tokio::test]
async fn a_rollback_and_another_mirror_reset_every_subscription() {
    let server = Server::at(5).await;
    let mut client = Client::open(server.address).await;
    snapshot(&mut client, "events").await;
    let rollback = Rollback {
        epoch: 1,
        seq: 6,
        to_slot: 80,
    };
    server.hand_out(6, &[], FeedMessage::Rollback(rollback));
    let messages = [
        client.json().await,
        client.json().await,
        client.json().await,
    ];
    let kinds = messages.each_ref().map(|message| message["type"].as_str());
    assert_eq!(kinds, [Some("rollback"), Some("reset"), Some("snapshot")]);
    assert_eq!(messages[1]["reason"], "chain was rolled back to slot 80");
    assert_eq!(
        (&messages[2]["seq"], &messages[2]["id"]),
        (&json!(6), &Value::Null)
    );

    let position = Position { epoch: 2, seq: 3 };
    server.app.feed.record_poll(Some(MirrorStatus {
        epoch: 2,
        ..MirrorStatus::example(3)
    }));
    server.app.hub.take(&Change::Discontinued {
        position,
        reason: "mirror was rebuilt",
    });
    assert_eq!(client.json().await["reason"], "mirror was rebuilt");
    let snapshot = client.json().await;
    assert_eq!(
        (&snapshot["epoch"], &snapshot["seq"]),
        (&json!(2), &json!(3))
    );
}

#[tokio::test]
async fn a_subscription_that_was_reset_waits_until_the_mirror_has_settled() {
    let server = Server::at(5).await;
    let mut client = Client::open(server.address).await;
    snapshot(&mut client, "events").await;
    let settling = MirrorStatus {
        settling: true,
        ..MirrorStatus::example(6)
    };
    let rollback = Rollback {
        epoch: 1,
        seq: 6,
        to_slot: 80,
    };
    server.app.feed.record_poll(Some(settling));
    server.app.hub.take(&Change::Record(&Record {
        seq: 6,
        channels: vec![],
        message: Some(FeedMessage::Rollback(rollback)),
    }));
    client.find("reset").await;
    // The mirror's status becomes stale, and the database is unreachable, so the snapshot fails.
    sleep(Duration::from_secs(4)).await;
    server.app.feed.record_poll(Some(MirrorStatus::example(7)));
    server.app.hub.take(&Change::Record(&Record {
        seq: 7,
        channels: vec![],
        message: Some(FeedMessage::Settled),
    }));
    let message = timeout(Duration::from_secs(1), client.find("snapshot")).await;
    assert_eq!(message.unwrap()["seq"], 7);
}

#[tokio::test]
async fn reading_the_database_holds_up_nothing_else() {
    // A database that accepts connections and never answers.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "postgres://nobody@{}/nothing",
        database.local_addr().unwrap()
    );
    let server = Server::start_with(SOCKETS, &url).await;
    server.begin(5);
    let mut client = Client::open(server.address).await;
    snapshot(&mut client, "events").await;
    client.send(&subscribe("markets")).await;
    client.send(&resume(&format!("market:{KEY}"), 2)).await;
    sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    for seq in 6..506 {
        server.publish(seq, &["events"], 100, false);
        assert_eq!(client.find("event").await["seq"], seq);
    }
    // The subscription fails later.
    assert!(
        started.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        started.elapsed()
    );
    let error = client.find("error").await;
    assert_eq!(
        (&error["id"], &error["code"]),
        (&json!("markets"), &json!("unavailable"))
    );
}

#[tokio::test]
async fn a_heartbeat_names_no_seq_that_a_resuming_client_lacks() {
    let server = Server::at(50).await;
    // No replay can begin.
    let all = server
        .app
        .hub
        .replays
        .try_acquire_many(REPLAYS as u32)
        .unwrap();
    let mut client = Client::open(server.address).await;
    snapshot(&mut client, "events").await;
    client.send(&resume("markets", 7)).await;
    server.publish(51, &["events"], 1, false);
    assert_eq!(client.find("heartbeat").await["seq"], 7);
    client
        .send(&json!({ "op": "unsubscribe", "channel": "markets" }))
        .await;
    client.find("unsubscribed").await;
    assert_eq!(client.find("heartbeat").await["seq"], 51);
    drop(all);
}

/// Hands out 64 MiB on `events`, while the client reads nothing, and waits until it is given up.
async fn flood(server: &Server, from: i64) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut seq = from;
    while server.app.hub.slow() == 0 {
        assert!(Instant::now() < deadline, "the client is not given up");
        if seq < from + 4096 {
            server.publish(seq, &["events"], 16 * 1024, false);
            seq += 1;
            if seq % 16 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        } else {
            sleep(Duration::from_millis(20)).await;
        }
    }
    seq - 1
}

/// Reads up to the close frame. Returns the `seq` of the last event, and the reason.
async fn read_to_close(client: &mut Client) -> (i64, String) {
    let mut last = 0;
    loop {
        match client.next().await {
            Got::Json(message) if message["type"] == "event" => {
                last = message["seq"].as_i64().unwrap();
            }
            Got::Json(_) | Got::Ping => {}
            Got::Close(Some(4008), reason) => return (last, reason),
            got => panic!("{got:?}"),
        }
    }
}

fn named_seq(reason: &str) -> i64 {
    let named = reason.strip_prefix("too slow; reconnect and subscribe from ");
    let named = named.and_then(|named| named.strip_suffix(" of epoch 1"));
    named.unwrap_or_else(|| panic!("{reason}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_accepts_nothing_is_told_from_where_to_resume() {
    let server = Server::at(50).await;
    let mut client = Client::open_slow(server.address).await;
    snapshot(&mut client, "events").await;
    let handed_out = flood(&server, 51).await;
    let (last, reason) = read_to_close(&mut client).await;
    let named = named_seq(&reason);
    assert!(
        named <= last && last < handed_out,
        "{named} {last} {handed_out}"
    );
    assert!(last <= named + 200, "{named} {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_that_resumes_is_told_to_resume_where_it_was() {
    let server = Server::at(50).await;
    let all = server
        .app
        .hub
        .replays
        .try_acquire_many(REPLAYS as u32)
        .unwrap();
    let mut client = Client::open_slow(server.address).await;
    snapshot(&mut client, "events").await;
    client.send(&resume("markets", 7)).await;
    flood(&server, 51).await;
    let (_, reason) = read_to_close(&mut client).await;
    assert_eq!(named_seq(&reason), 7);
    drop(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_reset_where_it_misses_events_and_others_miss_nothing() {
    let server = Server::at(5).await;
    let mut slow = Client::open_slow(server.address).await;
    let mut quick = Client::open(server.address).await;
    snapshot(&mut slow, "events").await;
    snapshot(&mut slow, &format!("wallet:{KEY}")).await;
    snapshot(&mut quick, "events").await;
    let wallet = format!("wallet:{KEY}");
    let last = 5 + 2048;
    for seq in 6..=last {
        let channels: &[&str] = if seq % 100 == 0 {
            &["events", &wallet]
        } else {
            &["events"]
        };
        server.publish(seq, channels, 8 * 1024, true);
        assert_eq!(quick.find("event").await["seq"], seq);
    }
    // The slow client reads again: its small channel lost nothing.
    let (mut resets, mut of_wallet, mut position) = (0, vec![], 5);
    while position < last || of_wallet.len() < 20 {
        let message = slow.json().await;
        let seq = message["seq"].as_i64();
        match (
            message["type"].as_str().unwrap(),
            message["channel"].as_str(),
        ) {
            ("reset", Some("events")) => {
                assert_eq!(message["reason"], "slow");
                resets += 1;
            }
            ("reset", channel) => panic!("{channel:?} was reset"),
            ("event", Some("events")) => {
                assert!(
                    message["prev"].as_i64().unwrap() <= position,
                    "{message} {position}"
                );
                position = seq.unwrap();
            }
            ("snapshot", Some("events")) => position = seq.unwrap(),
            ("event", _) => of_wallet.push(seq_and_prev(&message)),
            _ => {}
        }
    }
    assert!(0 < resets);
    let due: Vec<_> = (1..=20)
        .map(|n| (100 * n, (100 * (n - 1)).max(5)))
        .collect();
    assert_eq!(of_wallet, due);
}

#[tokio::test]
async fn requests_are_limited_and_the_error_says_for_how_long() {
    let server = Server::at(5).await;
    let mut client = Client::open(server.address).await;
    for _ in 0..=MESSAGE_BURST {
        client.send(&subscribe("events")).await;
    }
    let error = client.find("error").await;
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("rate-limited"), &json!("events"))
    );
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=101).contains(&wait), "{error}");
    sleep(Duration::from_millis(wait)).await;
    client
        .send(&json!({ "op": "unsubscribe", "id": 7, "channel": "events" }))
        .await;
    assert_eq!(client.find("unsubscribed").await["id"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_block_the_shutdown() {
    let server = Server::at(5).await;
    let mut client = Client::open_slow(server.address).await;
    snapshot(&mut client, "events").await;
    for seq in 6..1006 {
        server.publish(seq, &["events"], 16 * 1024, false);
    }
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    server.app.shutdown.cancel();
    server.app.sockets.close();
    server.app.sockets.wait().await;
    let elapsed = started.elapsed();
    assert!(
        elapsed < CLOSE_TIMEOUT + Duration::from_secs(1),
        "{elapsed:?}"
    );
    drop(client);
}

#[tokio::test]
async fn sockets_beyond_the_maximum_are_refused() {
    let limits = ConnectionLimits {
        total: 1,
        ..SOCKETS
    };
    let server = Server::start_with(limits, "postgres://nobody@127.0.0.1:1/nothing").await;
    let client = Client::open(server.address).await;
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let answer = Client { stream }.handshake("HTTP/1.1", &HANDSHAKE).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(client);
    let reopened = async {
        loop {
            let stream = tokio::net::TcpStream::connect(server.address)
                .await
                .unwrap();
            let answer = Client { stream }.handshake("HTTP/1.1", &HANDSHAKE).await;
            if answer.starts_with("HTTP/1.1 101 ") {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), reopened).await.unwrap();
}
