//! Why mirroring was interrupted.

use crate::{
    apply::{ApplyError, Obstacle},
    history::HistoryError,
    poll::PollError,
    rpc::ReadError,
    stream::StreamError,
};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    History(HistoryError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Poll(#[from] PollError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("slot {slot} is not on the mirrored chain, and its parent {parent_slot} isn't either")]
    UnknownFork { slot: i64, parent_slot: i64 },
    #[error(
        "messages of slot {0} are missing, or arrived after its block metadata; the slot is read again"
    )]
    Late(i64),
    #[error("stopped")]
    Stopped,
    #[error("the RPC node has no block after slot {0} yet")]
    RpcBehind(i64),
    #[error("the RPC node lacks the block of slot {0}, although it says that it has it")]
    Missing(i64),
    #[error("the blocks of the RPC node don't continue the mirror: {0:?}")]
    Filling(Obstacle),
    #[error("a gRPC server, number {} of them, sends slots again", .0 + 1)]
    Recovered(usize),
}

impl From<HistoryError> for RunError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Stopped => Self::Stopped,
            error => Self::History(error),
        }
    }
}

impl RunError {
    /// Whether a retry from the cursor can succeed although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_transient(),
            Self::History(HistoryError::Apply(error)) => error.is_transient(),
            Self::History(HistoryError::Read(error)) => !matches!(error, ReadError::Slot(_)),
            Self::Stream(error) => error.is_transient(),
            Self::Read(ReadError::Slot(_)) | Self::Poll(PollError::Read(ReadError::Slot(_))) => {
                false
            }
            Self::Read(_)
            | Self::Poll(_)
            | Self::UnknownFork { .. }
            | Self::Late(_)
            | Self::Filling(_)
            | Self::Missing(_)
            | Self::History(_)
            | Self::RpcBehind(_)
            | Self::Recovered(_)
            | Self::Stopped => true,
        }
    }

    /// Whether an answer of the RPC node is the reason. The next one, or that of another node behind the same
    /// address, can be another.
    pub fn is_of_rpc(&self) -> bool {
        matches!(
            self,
            Self::Read(_) | Self::Poll(PollError::Read(_)) | Self::History(HistoryError::Read(_))
        )
    }

    /// The reason in the metrics: one of `RECONNECT_REASONS`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Apply(_)
            | Self::History(HistoryError::Apply(_))
            | Self::Poll(PollError::Database(_)) => "database",
            Self::Stream(StreamError::Connect(_)) => "connect",
            Self::Stream(StreamError::Ended) | Self::Stopped => "ended",
            Self::Stream(StreamError::Silent) => "silent",
            Self::Stream(StreamError::Stalled) | Self::Poll(PollError::Stalled) => "stalled",
            Self::Stream(StreamError::Behind { .. }) => "behind",
            Self::Stream(StreamError::Status(_)) => "status",
            Self::Stream(StreamError::NoReplay { .. }) => "no_replay",
            Self::Stream(StreamError::Slot(_)) => "malformed",
            Self::UnknownFork { .. } => "fork",
            Self::Late(_) => "late",
            Self::Recovered(_) => "recovered",
            Self::History(_)
            | Self::Poll(PollError::Read(_))
            | Self::Read(_)
            | Self::RpcBehind(_)
            | Self::Filling(_)
            | Self::Missing(_) => "rpc",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use yellowstone_grpc_proto::tonic;

    use super::*;
    use crate::{metrics::RECONNECT_REASONS, slot::SlotError};

    #[test]
    fn the_metrics_have_every_reason_of_an_interruption() {
        let status = tonic::Status::unavailable("down");
        let streams = [
            StreamError::Connect(String::new()),
            StreamError::Ended,
            StreamError::Silent,
            StreamError::Stalled,
            StreamError::Behind {
                server_slot: 1,
                from_slot: 2,
            },
            StreamError::Status(Box::new(status)),
            StreamError::NoReplay {
                from_slot: 7,
                reason: String::new(),
            },
            StreamError::Slot(SlotError::NeverSealed),
        ];
        let others = [
            RunError::Apply(ApplyError::NoCursor),
            RunError::History(HistoryError::NoBlock),
            RunError::History(HistoryError::Apply(ApplyError::NoCursor)),
            RunError::Read(ReadError::NoBlock(1)),
            RunError::UnknownFork {
                slot: 2,
                parent_slot: 1,
            },
            RunError::Late(1),
            RunError::Recovered(0),
            RunError::RpcBehind(1),
            RunError::Missing(1),
            RunError::Filling(Obstacle::Gap {
                slot: 3,
                parent_slot: 2,
            }),
        ];
        let errors = streams.into_iter().map(RunError::Stream).chain(others);
        let reasons: BTreeSet<_> = errors.map(|error| error.reason()).collect();
        assert_eq!(reasons, RECONNECT_REASONS.iter().copied().collect());
    }
}
