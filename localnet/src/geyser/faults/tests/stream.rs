//! Faults of one stream.

use std::time::Duration;

use tonic::Code;
use yellowstone_grpc_proto::geyser::{SubscribeRequest, subscribe_update::UpdateOneof};

use crate::geyser::{
    faults::request::{Ending, Fault, Kind, Part, Request},
    test_client::{Subscriber, TestServer, content, everything, request, whole},
};

/// Confirms slots 10 and 11 with a fault in slot 10, and returns the labels that a client gets of
/// both. `count` is their number.
async fn labels_with(fault: Fault, count: usize) -> Vec<String> {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    let kind = fault.kind();
    server.arm_once(fault);
    server.confirm([10, 11]);
    let labels = subscriber.labels(count).await;
    server.assert_counts(kind, 1, 1).await;
    labels
}

/// What is missing of slot 10: the first word of each label. Slot 11 follows whole.
fn lost(labels: &[String]) -> Vec<String> {
    let whole = [whole(10), whole(11)].concat();
    let is_lost = |label: &&String| !labels.contains(label);
    let lost: Vec<_> = whole.iter().filter(is_lost).cloned().collect();
    assert!(lost.iter().all(|label| label.ends_with("of 10")));
    assert_eq!(labels.len() + lost.len(), whole.len());
    let words = lost.iter().filter_map(|label| label.split(' ').next());
    words.map(str::to_owned).collect()
}

#[tokio::test]
async fn cut_ends_the_stream_inside_a_slot_with_a_status() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    server.arm_once(Fault::Cut(Ending::Status(14)));
    server.confirm([10, 11]);
    let (labels, status) = subscriber.until_end().await;
    assert_eq!(status.unwrap().code(), Code::Unavailable);
    assert!(!labels.is_empty() && content(10).starts_with(&labels));
    server.assert_counts(Kind::Cut, 1, 1).await;

    // The next stream gets the slot from its start.
    let mut subscriber = server.subscribe(Some(10)).await;
    let labels = subscriber.labels(7).await;
    assert_eq!(labels[..5], whole(10)[..5]);
}

#[tokio::test]
async fn cut_happens_at_different_places() {
    let mut server = TestServer::start().await;
    server.confirm([10]);
    server.arm(request(Fault::Cut(Ending::Status(0))));
    let mut lengths = Vec::new();
    for _ in 0..20 {
        let request = everything(Some(10));
        let mut subscriber = server.try_subscribe(request).await.unwrap();
        let (labels, status) = subscriber.until_end().await;
        assert!(status.is_none(), "{status:?}");
        lengths.push(labels.len());
    }
    assert!((1..=4).all(|length| lengths.contains(&length)));
    assert!(lengths.iter().all(|length| (1..=4).contains(length)));
    server.assert_counts(Kind::Cut, 20, 20).await;
}

#[tokio::test]
async fn cut_closes_the_connection_with_all_its_streams() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    // These streams get no content, so that the cut happens on the first one.
    let nothing = SubscribeRequest::default;
    let mut bystander = server.try_subscribe(nothing()).await.unwrap();
    bystander.wait_for_pong().await;
    let mut client = server.new_client().await;
    let mut elsewhere = Subscriber::open(&mut client, nothing()).await.unwrap();
    elsewhere.wait_for_pong().await;

    server.arm_once(Fault::Cut(Ending::Connection));
    server.confirm([10]);
    let (labels, status) = subscriber.until_end().await;
    assert!(status.is_some());
    assert!(!labels.is_empty() && content(10).starts_with(&labels));
    assert!(bystander.until_end().await.1.is_some());
    elsewhere.wait_for_pong().await;
    server.assert_counts(Kind::Cut, 1, 1).await;
}

#[tokio::test]
async fn dropped_meta_never_arrives() {
    let labels = labels_with(Fault::DropMeta, 11).await;
    let mut without_meta = whole(10);
    without_meta.retain(|label| label != "meta 10");
    assert_eq!(labels, [without_meta, whole(11)].concat());
}

#[tokio::test]
async fn delayed_meta_arrives_after_the_content_of_later_slots() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    server.arm_once(Fault::DelayMeta { slots: 2 });
    server.confirm(10..=13);
    let labels = subscriber.labels(24).await;
    let mut expected = [whole(10), whole(11), whole(12), whole(13)].concat();
    let delayed = expected.remove(4);
    assert_eq!(delayed, "meta 10");
    let meta = expected
        .iter()
        .position(|label| label == "meta 12")
        .unwrap();
    expected.insert(meta, delayed);
    assert_eq!(labels, expected);
    server.assert_counts(Kind::DelayMeta, 1, 1).await;
}

#[tokio::test]
async fn duplicates_follow_their_originals() {
    let twice = |kind: &str| {
        let labels = whole(10).into_iter().flat_map(|label| {
            let count = if label.starts_with(kind) { 2 } else { 1 };
            vec![label; count]
        });
        labels.chain(whole(11)).collect::<Vec<_>>()
    };
    let accounts = labels_with(Fault::Duplicate(Part::Accounts), 14).await;
    assert_eq!(accounts, twice("account"));
    let transactions = labels_with(Fault::Duplicate(Part::Transactions), 14).await;
    assert_eq!(transactions, twice("transaction"));
    let slot = labels_with(Fault::Duplicate(Part::Slot), 18).await;
    assert_eq!(slot, [whole(10), whole(10), whole(11)].concat());
}

#[tokio::test]
async fn reordered_content_is_complete() {
    let labels = labels_with(Fault::Reorder, 12).await;
    let (reordered, rest) = labels.split_at(4);
    assert_ne!(reordered, content(10));
    let mut sorted = reordered.to_vec();
    sorted.sort();
    assert_eq!(sorted, content(10));
    assert_eq!(rest, [&whole(10)[4..], &whole(11)].concat());
}

#[tokio::test]
async fn an_order_that_stays_the_same_is_no_change() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    server.arm(request(Fault::Reorder));
    server.confirm(100..200);
    let labels = subscriber.labels(600).await;
    let same = (100u64..200)
        .zip(labels.chunks(6))
        .filter(|(number, labels)| *labels == whole(*number))
        .count();
    assert!(0 < same && same < 20, "{same} of 100 slots in order");
    let changed = 100 - same as u64;
    server.assert_counts(Kind::Reorder, 100, changed).await;
}

#[tokio::test]
async fn late_content_follows_the_meta() {
    let labels = labels_with(Fault::LateContent, 12).await;
    let meta = labels.iter().position(|label| label == "meta 10").unwrap();
    assert!(meta < 4, "{labels:?}");
    let mut slot = labels[..6].to_vec();
    let late = &slot[meta + 2..];
    assert!(late.iter().all(|label| content(10).contains(label)));
    slot.sort();
    let mut expected = whole(10);
    expected.sort();
    assert_eq!(slot, expected);
    assert_eq!(labels[6..], whole(11));
}

#[tokio::test]
async fn a_lost_transaction_never_arrives() {
    let labels = labels_with(Fault::LoseTransaction { writes: false }, 11).await;
    assert_eq!(lost(&labels), ["transaction"]);
    // Every transaction of these slots has the same signature.
    let labels = labels_with(Fault::LoseTransaction { writes: true }, 9).await;
    assert_eq!(lost(&labels), ["account", "account", "transaction"]);
}

#[tokio::test]
async fn a_lost_account_never_arrives() {
    let labels = labels_with(Fault::LoseAccount, 11).await;
    assert_eq!(lost(&labels), ["account"]);
}

#[tokio::test]
async fn each_stream_has_faults_of_its_own() {
    let mut server = TestServer::start().await;
    let mut first = server.subscribe(None).await;
    let mut second = server.subscribe(None).await;
    server.arm(Request {
        times: Some(2),
        ..request(Fault::DropMeta)
    });
    server.confirm([10, 11]);
    // Two metas are missing in all: which ones depends on which stream is faster.
    server.assert_counts(Kind::DropMeta, 2, 2).await;
    server.confirm([12]);
    let mut metas = 0;
    for subscriber in [&mut first, &mut second] {
        loop {
            let update = subscriber.next().await.unwrap().unwrap();
            if let Some(UpdateOneof::BlockMeta(meta)) = update.update_oneof {
                metas += 1;
                if meta.slot == 12 {
                    break;
                }
            }
        }
    }
    assert_eq!(metas, 4);
}

#[tokio::test]
async fn a_slot_without_content_is_not_faulted() {
    let mut server = TestServer::start().await;
    let only_meta = SubscribeRequest {
        accounts: Default::default(),
        transactions: Default::default(),
        ..everything(None)
    };
    let mut subscriber = server.try_subscribe(only_meta).await.unwrap();
    subscriber.wait_for_pong().await;
    server.arm_once(Fault::DropMeta);
    server.confirm([10]);
    assert_eq!(subscriber.labels(2).await, whole(10)[4..]);
    assert_eq!(server.faults.report().armed[0].injected, 0);
    server.assert_counts(Kind::DropMeta, 0, 0).await;
}

#[tokio::test]
async fn a_stalled_stream_pings_for_good_and_others_go_on() {
    let mut server = TestServer::start().await;
    let mut stalled = server.subscribe(None).await;
    let fault = server.arm_once(Fault::PingsOnly { ping_ms: 50 });
    server.confirm([10]);
    server.assert_counts(Kind::PingsOnly, 1, 1).await;
    assert!(!server.faults.release(fault), "it has hit a stream");
    server.confirm([11]);
    // The next one of a stream without the fault comes after ten seconds.
    for _ in 0..3 {
        stalled.wait_for_ping().await;
    }
    assert_eq!(stalled.wait_for_pong().await, 0, "updates before the pong");

    let mut other = server.subscribe(Some(10)).await;
    assert_eq!(other.labels(12).await, [whole(10), whole(11)].concat());
}

#[tokio::test]
async fn a_silent_node_sends_all_once_it_is_released() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    let silence = server.arm(request(Fault::Silence));
    server.assert_counts(Kind::Silence, 1, 0).await;
    server.confirm([10, 11]);
    server.assert_counts(Kind::Silence, 1, 1).await;
    // A replay is silent, too.
    let request = everything(Some(10));
    let mut other = server.try_subscribe(request).await.unwrap();
    server.assert_counts(Kind::Silence, 1, 2).await;

    assert!(server.faults.release(silence));
    let expected = [whole(10), whole(11)].concat();
    assert_eq!(subscriber.labels(12).await, expected);
    assert_eq!(other.labels(12).await, expected);
}

#[tokio::test]
async fn a_wholly_silent_node_sends_nothing_for_a_time() {
    let mut server = TestServer::start().await;
    server.confirm([10]);
    server.arm(Request {
        for_ms: Some(600),
        ..request(Fault::Silence)
    });
    let request = everything(Some(10));
    let mut subscriber = server.try_subscribe(request).await.unwrap();
    subscriber.ping().await;
    server.assert_counts(Kind::Silence, 1, 1).await;
    subscriber.assert_silent(Duration::from_millis(300)).await;
    assert_eq!(subscriber.labels(6).await, whole(10));
    assert!(server.faults.report().armed.is_empty());
}
