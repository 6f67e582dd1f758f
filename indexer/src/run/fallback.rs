//! Polling of the RPC node while no gRPC server works.

use std::{sync::Arc, time::Duration};

use super::RunError;
use crate::{
    poll::PollError,
    status::Status,
    stream::{self, GrpcServer},
};

/// Polls until a gRPC server sends slots and is not behind the mirror, whose slot `status` has. This ends
/// with [`RunError::Recovered`]. The servers are tried every `interval`.
pub async fn poll_until_recovered(
    servers: Vec<GrpcServer>,
    interval: Duration,
    status: Arc<Status>,
    polled: impl Future<Output = Result<(), PollError>>,
) -> Result<(), RunError> {
    tokio::select! {
        ended = polled => Ok(ended?),
        server = first_to_work(&servers, interval, &status) => Err(RunError::Recovered(server)),
    }
}

/// Waits until one of the servers sends slots and is not behind the mirror. Returns its index.
async fn first_to_work(servers: &[GrpcServer], interval: Duration, status: &Status) -> usize {
    loop {
        tokio::time::sleep(interval).await;
        for (index, server) in servers.iter().enumerate() {
            match stream::probe(server.clone()).await {
                Ok(slot) => {
                    let mirrored = status.health().slot.map(i64::unsigned_abs);
                    if mirrored <= Some(slot) {
                        return index;
                    }
                    tracing::debug!(slot, index, "a gRPC server is behind the mirror");
                }
                Err(error) => tracing::debug!(%error, index, "a gRPC server doesn't work"),
            }
        }
    }
}
