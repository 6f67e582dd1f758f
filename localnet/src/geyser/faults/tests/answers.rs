//! Faults of the server's answers.

use tonic::Code;

use crate::geyser::{
    faults::request::{Fault, Kind, Refusal, Request},
    test_client::{TestServer, everything, request, whole},
};

#[tokio::test]
async fn replay_fails_some_times_and_is_then_out_of_range() {
    let mut server = TestServer::start().await;
    server.confirm(10..=12);
    let refuse = Fault::RefuseReplay(Refusal::Error { internal: 3 });
    server.arm(Request {
        times: Some(5),
        ..request(refuse)
    });
    for _ in 0..3 {
        assert_eq!(server.replay_error(11).await.0, Code::Internal);
    }
    for _ in 0..2 {
        let (code, message) = server.replay_error(11).await;
        assert_eq!(code, Code::OutOfRange);
        assert!(message.starts_with("broadcast from 11 is not available"));
    }
    server.assert_counts(Kind::RefuseReplay, 5, 5).await;
    let mut subscriber = server.subscribe(Some(12)).await;
    assert_eq!(subscriber.labels(6).await, whole(12));
}

#[tokio::test]
async fn ignored_replay_starts_with_the_next_slot() {
    let mut server = TestServer::start().await;
    server.confirm(10..=12);
    server.arm_once(Fault::RefuseReplay(Refusal::Ignored));
    let mut subscriber = server.subscribe(Some(11)).await;
    server.confirm([13]);
    assert_eq!(subscriber.labels(6).await, whole(13));
    server.assert_counts(Kind::IgnoreReplay, 1, 1).await;
}

#[tokio::test]
async fn a_server_without_replay_says_so() {
    let mut server = TestServer::start().await;
    server.confirm(10..=12);
    let fault = server.arm(request(Fault::RefuseReplay(Refusal::Unsupported)));
    let unsupported = (Code::Internal, "from_slot is not supported".to_owned());
    assert_eq!(server.replay_error(11).await, unsupported);
    assert_eq!(server.first_available().await, None);
    // Refuses what it would refuse anyway: no change for the client.
    server.replay_error(9).await;
    server.assert_counts(Kind::NoReplay, 3, 2).await;
    let mut subscriber = server.subscribe(None).await;
    server.confirm([13]);
    assert_eq!(subscriber.labels(6).await, whole(13));
    assert!(server.faults.release(fault));
    assert_eq!(server.first_available().await, Some(10));
}

#[tokio::test]
async fn false_replay_info_names_a_slot_that_is_refused() {
    let mut server = TestServer::start().await;
    server.confirm(10..=12);
    server.arm_once(Fault::FalseReplayInfo { slots_early: 4 });
    assert_eq!(server.first_available().await, Some(6));
    assert_eq!(server.replay_error(6).await.0, Code::OutOfRange);
    server.assert_counts(Kind::FalseReplayInfo, 1, 1).await;
    assert_eq!(server.first_available().await, Some(10));
}

#[tokio::test]
async fn refused_subscriptions_are_unavailable_until_released() {
    let mut server = TestServer::start().await;
    let mut open = server.subscribe(None).await;
    let fault = server.arm(request(Fault::RefuseSubscriptions));
    for _ in 0..2 {
        let refused = server.try_subscribe(everything(None)).await;
        assert_eq!(refused.err().unwrap().code(), Code::Unavailable);
    }
    server.assert_counts(Kind::RefuseSubscriptions, 2, 2).await;
    server.confirm([10]);
    assert_eq!(open.labels(6).await, whole(10));
    assert!(server.faults.release(fault));
    server.subscribe(None).await;
}

#[tokio::test]
async fn a_node_behind_answers_with_an_old_slot() {
    let mut server = TestServer::start().await;
    server.confirm(10..=12);
    server.arm_once(Fault::Behind { slots: 5 });
    assert_eq!(server.slot().await.unwrap(), 7);
    assert_eq!(server.slot().await.unwrap(), 12);
    server.assert_counts(Kind::Behind, 1, 1).await;
}
