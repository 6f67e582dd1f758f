//! The faults that localnet injects into its gRPC feed.

use std::time::Duration;

use driftshield_tests::network::{
    Network,
    faults::{Fault, Kind},
};
use futures::StreamExt;
use yellowstone_grpc_client::{GeyserGrpcBuilder, GeyserGrpcClient, GeyserStream};
use yellowstone_grpc_proto::{
    prelude::{CommitmentLevel, SubscribeRequest, subscribe_update::UpdateOneof},
    tonic::{Code, Status},
};

/// Reads block metadata until that of a wanted slot. Returns the slot, or the error that ends the
/// stream.
async fn block(stream: &mut GeyserStream, wanted: impl Fn(u64) -> bool) -> Result<u64, Status> {
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let update = stream.next().await.expect("a stream ends with an error")?;
            if let Some(UpdateOneof::BlockMeta(meta)) = update.update_oneof
                && wanted(meta.slot)
            {
                return Ok(meta.slot);
            }
        }
    })
    .await
    .expect("a block in time")
}

async fn subscribe(client: &mut GeyserGrpcClient, from_slot: Option<u64>) -> GeyserStream {
    let request = SubscribeRequest {
        commitment: Some(CommitmentLevel::Confirmed as i32),
        blocks_meta: [("all".to_owned(), Default::default())].into(),
        from_slot,
        ..Default::default()
    };
    client.subscribe_once(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_request_ends_streams_and_empties_the_replay() {
    // Given a client that follows the chain
    let network = Network::start(&["--bare", "--faults-port", "0"]).await;
    let faults = network.faults();
    let url = network.addresses.grpc_url.clone();
    let builder = GeyserGrpcBuilder::from_shared(url).unwrap();
    let mut client = builder.connect().await.unwrap();
    let mut stream = subscribe(&mut client, None).await;
    let last = block(&mut stream, |_| true).await.unwrap();

    // When another process restarts the node
    faults.once(Fault::Restart).await;

    // Then the stream ends, and a replay from the last slot is refused
    let end = block(&mut stream, |_| false).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    let mut replay = subscribe(&mut client, Some(last)).await;
    let refused = block(&mut replay, |_| true).await.unwrap_err();
    // `Internal` until there is a new slot.
    assert!(matches!(refused.code(), Code::OutOfRange | Code::Internal));

    // and later slots can be followed
    let mut live = subscribe(&mut client, None).await;
    let next = block(&mut live, |_| true).await.unwrap();
    assert!(last < next);

    // and the interface counts the restart and the stream that it ended
    let timeout = Duration::from_secs(10);
    faults.wait_for_changes(Kind::Restart, 1, timeout).await;
    let counts = faults.counts(Kind::Restart).await;
    assert_eq!((counts.injected, counts.changed), (1, 1));
}
