//! Faults that all streams see.

use driftshield_sdk::ID;
use tonic::Code;
use yellowstone_grpc_proto::geyser::{
    SubscribeUpdate, SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta,
    subscribe_update::UpdateOneof,
};

use crate::geyser::{
    faults::request::{Fault, Kind, Undecodable},
    test_client::{Subscriber, TestServer, everything, labels, request, slot, whole},
};

fn metas(updates: &[SubscribeUpdate]) -> Vec<&SubscribeUpdateBlockMeta> {
    let metas = updates
        .iter()
        .filter_map(|update| match &update.update_oneof {
            Some(UpdateOneof::BlockMeta(meta)) => Some(meta),
            _ => None,
        });
    metas.collect()
}

fn accounts(updates: &[SubscribeUpdate]) -> Vec<&SubscribeUpdateAccountInfo> {
    let accounts = updates
        .iter()
        .filter_map(|update| match &update.update_oneof {
            Some(UpdateOneof::Account(update)) => update.account.as_ref(),
            _ => None,
        });
    accounts.collect()
}

/// Number of messages of a false version of [`slot`]: a transaction is missing.
const FALSE_SLOT: usize = 5;
/// Number of messages of its false child: all content is missing.
const FALSE_CHILD: usize = 2;

#[tokio::test]
async fn a_dead_slot_and_its_children_are_replaced_by_the_true_slots() {
    let mut server = TestServer::start().await;
    server.confirm([10]);
    let mut subscriber = server.subscribe(None).await;
    server.arm_once(Fault::DeadSlot { children: 1 });

    // Two false slots, the second one on top of the first one
    server.confirm([11, 12]);
    let updates = subscriber.updates(FALSE_SLOT + FALSE_CHILD).await;
    let metas_before = metas(&updates);
    let [false_slot, false_child] = metas_before[..] else {
        panic!("{metas_before:?}");
    };
    assert_eq!((false_slot.slot, false_child.slot), (11, 12));
    assert_eq!(false_slot.parent_blockhash, "true 10");
    assert_eq!(false_slot.executed_transaction_count, 1);
    assert_eq!(false_child.executed_transaction_count, 0);
    assert_eq!(false_child.parent_slot, 11);
    assert_eq!(false_child.parent_blockhash, false_slot.blockhash);
    let hash = bs58::decode(&false_slot.blockhash).into_vec().unwrap();
    assert_eq!(hash.len(), 32);
    let expected = [11, 12].map(|slot| [format!("meta {slot}"), format!("confirmed {slot}")]);
    let received = labels(&updates);
    assert_eq!([&received[3..5], &received[5..]], expected);
    // The accounts have their states of slot 10.
    assert_eq!(accounts(&updates)[0].lamports, 110);
    assert_eq!(server.slot().await.unwrap(), 12);

    // The next slot ends the fork.
    server.confirm([13]);
    let updates = subscriber.updates(1 + 3 * 6).await;
    let expected = [vec!["dead 11".to_owned()], whole(11), whole(12), whole(13)];
    assert_eq!(labels(&updates), expected.concat());
    let metas_after = metas(&updates);
    for (number, meta) in (11..=13).zip(metas_after) {
        let mut true_meta = slot(number).meta;
        true_meta.bank_id = meta.bank_id;
        assert_eq!(*meta, true_meta);
    }
    server.assert_counts(Kind::DeadSlot, 1, 2).await;

    // Replay no longer has the false slots.
    let mut subscriber = server.subscribe(Some(11)).await;
    let replay = subscriber.updates(18).await;
    assert_eq!(labels(&replay), [whole(11), whole(12), whole(13)].concat());
    assert_eq!(metas(&replay)[0].blockhash, "true 11");
    server.assert_counts(Kind::DeadSlot, 1, 2).await;
}

#[tokio::test]
async fn a_false_slot_is_replayed_but_never_finalized() {
    let mut server = TestServer::start().await;
    server.confirm([10]);
    server.arm_once(Fault::DeadSlot { children: 1 });
    server.confirm([11]);
    server.node.finalize(11);
    let mut subscriber = server.subscribe(Some(10)).await;
    let mut expected = whole(10);
    expected.push("finalized 10".to_owned());
    assert_eq!(subscriber.labels(7).await, expected);
    let false_slot = subscriber.updates(FALSE_SLOT).await;
    assert_ne!(metas(&false_slot)[0].blockhash, "true 11");
    server.assert_counts(Kind::DeadSlot, 1, 1).await;

    server.confirm([12, 13]);
    let received = subscriber.labels(FALSE_CHILD + 1 + 3 * 6).await;
    assert!(received.iter().all(|label| !label.starts_with("finalized")));
    server.node.finalize(11);
    assert_eq!(subscriber.labels(1).await, ["finalized 11"]);
}

#[tokio::test]
async fn a_dead_slot_without_children_is_the_head_until_the_next_slot() {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    server.arm_once(Fault::DeadSlot { children: 0 });
    server.confirm([10]);
    let false_slot = subscriber.updates(FALSE_SLOT).await;
    // No earlier state is known: the lamports are wrong.
    assert_eq!(accounts(&false_slot)[0].lamports, 111);
    server.confirm([11]);
    let expected = [vec!["dead 10".to_owned()], whole(10), whole(11)];
    assert_eq!(subscriber.labels(13).await, expected.concat());
}

/// Arms a fault and returns the account that it adds to slot 10, and the real account beside it.
async fn malformed_account(fault: Fault) -> [SubscribeUpdateAccountInfo; 2] {
    let mut server = TestServer::start().await;
    let mut subscriber = server.subscribe(None).await;
    let kind = fault.kind();
    server.arm_once(fault);
    server.confirm([10, 11]);
    let updates = subscriber.updates(7).await;
    let [first, second, added] = accounts(&updates)[..] else {
        panic!("{:?}", labels(&updates));
    };
    assert_eq!(slot(10).accounts, [first.clone(), second.clone()]);
    assert_eq!(added.owner, ID.as_ref());
    assert!(second.write_version < added.write_version);
    assert_eq!(subscriber.labels(6).await, whole(11));
    server.assert_counts(kind, 1, 1).await;

    // A replay repeats it.
    let mut subscriber = server.subscribe(Some(10)).await;
    let replayed = subscriber.updates(7).await;
    assert_eq!(accounts(&replayed)[2], added);
    server.assert_counts(kind, 1, 2).await;
    [added.clone(), first.clone()]
}

#[tokio::test]
async fn an_oversized_account_is_sent_whole() {
    let bytes = 12 << 20;
    let [added, real] = malformed_account(Fault::OversizedAccount { bytes }).await;
    assert_eq!(added.data.len(), 12 << 20);
    assert_ne!(added.pubkey, real.pubkey);
}

#[tokio::test]
async fn undecodable_accounts_have_addresses_of_their_own() {
    let fault = Fault::UndecodableAccount(Undecodable::Discriminator);
    let [added, real] = malformed_account(fault).await;
    assert_eq!(added.data[..8], [0xff; 8]);
    assert_ne!(added.pubkey, real.pubkey);
    let fault = Fault::UndecodableAccount(Undecodable::Truncated);
    let [added, real] = malformed_account(fault).await;
    assert_eq!(added.data, real.data[..2]);
    assert_ne!(added.pubkey, real.pubkey);
}

#[tokio::test]
async fn a_restarted_node_ends_streams_and_forgets_slots_and_write_versions() {
    let mut server = TestServer::start().await;
    server.confirm([10, 11]);
    let mut streams: Vec<Subscriber> = Vec::new();
    for _ in 0..2 {
        streams.push(server.subscribe(None).await);
    }
    server.arm(request(Fault::Restart));
    for mut stream in streams {
        let (labels, status) = stream.until_end().await;
        assert!(labels.is_empty());
        assert_eq!(status.unwrap().code(), Code::Unavailable);
    }
    server.assert_counts(Kind::Restart, 1, 2).await;
    assert_eq!(server.first_available().await, Some(u64::MAX));

    server.confirm([12, 13]);
    assert_eq!(server.first_available().await, Some(12));
    let mut refused = server.try_subscribe(everything(Some(11))).await.unwrap();
    assert_eq!(
        refused.until_end().await.1.unwrap().code(),
        Code::OutOfRange
    );
    let mut subscriber = server.subscribe(Some(12)).await;
    let updates = subscriber.updates(12).await;
    assert_eq!(labels(&updates), [whole(12), whole(13)].concat());
    let versions = accounts(&updates).into_iter();
    let versions: Vec<_> = versions.map(|account| account.write_version).collect();
    assert_eq!(versions, [1, 2, 1_001, 1_002]);
}

#[tokio::test]
async fn a_restart_ends_a_false_fork() {
    let mut server = TestServer::start().await;
    server.arm_once(Fault::DeadSlot { children: 3 });
    server.confirm([10]);
    server.arm(request(Fault::Restart));
    server.confirm([11]);
    let mut subscriber = server.subscribe(Some(11)).await;
    let updates = subscriber.updates(6).await;
    assert_eq!(labels(&updates), whole(11));
    assert_eq!(metas(&updates)[0].parent_blockhash, "true 10");
}
