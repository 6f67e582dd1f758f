//! The messages of the control interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A request to inject a fault: the body of `POST /faults`.
///
/// The fault stays armed until it was injected `times` times, until `for_ms` milliseconds have
/// passed, or until it is released, whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub fault: Fault,
    /// No limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// No limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Determines everything that the fault chooses at random.
    #[serde(default)]
    pub seed: u64,
}

/// A fault of a node.
///
/// Content of a slot means the accounts and transactions that pass the filters of a subscription.
/// Faults of a stream wait for a slot with content and block metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Ends the stream after a part of a slot's content and before the slot's block metadata.
    Cut(Ending),
    /// Never sends the block metadata of a slot on this stream.
    DropMeta,
    /// Sends the block metadata of a slot after the content of the `slots`-th later slot, before
    /// that slot's block metadata.
    DelayMeta { slots: u32 },
    /// Sends a part of a slot twice.
    Duplicate(Part),
    /// Sends the content of a slot in random order. Waits for a slot with two messages of content.
    Reorder,
    /// Sends a random part of a slot's content after the slot's block metadata and statuses.
    LateContent,
    /// Never sends a random transaction of a slot on this stream, and, with `writes`, the accounts that it was
    /// the last to write. Waits for a slot with a transaction that is missed: its events, if it has any, leave an
    /// account open and with a higher counter.
    LoseTransaction { writes: bool },
    /// Never sends a random account of the program that a transaction with the program wrote on this stream.
    /// Waits for a slot with both.
    LoseAccount,
    /// Refuses or ignores `from_slot`.
    RefuseReplay(Refusal),
    /// Reports as the first slot that can be replayed one that is this number of slots too early.
    FalseReplayInfo { slots_early: u64 },
    /// Sends nothing, not even pings, while connections stay open. Updates follow once the fault is over.
    Silence,
    /// Sends nothing more on a stream but pings, one every `ping_ms` milliseconds, and answers to pings:
    /// a node that has stalled. Only another stream helps. A stream that the fault has hit stays so even
    /// if the fault is released.
    PingsOnly { ping_ms: u64 },
    /// Replaces a slot with accounts of the program by a false one with the same number and
    /// parent, which has another blockhash, false account states and not the last transaction of the
    /// program. The accounts' counters are those of the transactions that remain. Later slots become
    /// its false children, without anything of the program, until there are `children`. The next slot
    /// ends the false fork: the false slot is reported dead, and the true slots follow. A false slot is
    /// confirmed but never finalized. A fork that has begun goes on to its end even if it is released.
    DeadSlot { children: u32 },
    /// Adds an account of the program with this number of bytes to a slot. Its address is random.
    OversizedAccount { bytes: usize },
    /// Adds an account of the program that cannot be decoded to a slot. Its address is random.
    UndecodableAccount(Undecodable),
    /// Restarts the node at once: streams end as `Unavailable`, nothing can be replayed, and write
    /// versions of accounts start again at 1. With [`Self::RefuseSubscriptions`] before it, the node
    /// stays down for a while.
    Restart,
    /// Refuses new subscriptions as `Unavailable`.
    RefuseSubscriptions,
    /// Never answers new subscriptions, as a proxy whose node hangs. Those that the fault has hit stay without
    /// an answer even if it is released.
    IgnoreSubscriptions,
    /// Answers `GetSlot` with a slot that is this number of slots too old.
    Behind { slots: u64 },
}

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With this gRPC status code.
    Status(i32),
    /// By closing the connection, with all its streams.
    Connection,
}

/// A part of a slot's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Accounts,
    Transactions,
    /// Content, block metadata and statuses.
    Slot,
}

/// The answer to a subscription with `from_slot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// This number of times the `Internal` error of a server whose replay fails, then `OutOfRange`.
    Error { internal: u32 },
    /// A stream that starts with the next slot.
    Ignored,
    /// The `Internal` error of a server that stores no slots for replay.
    /// `SubscribeReplayInfo` then names no slot.
    Unsupported,
}

/// Why an account cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecodable {
    /// Its discriminator is unknown.
    Discriminator,
    /// It is the first half of a real account. Waits for a slot with an account of the program.
    Truncated,
}

/// What a fault counts as: its name, without its parameters. Each refusal of a replay counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cut,
    DropMeta,
    DelayMeta,
    Duplicate,
    Reorder,
    LateContent,
    LoseTransaction,
    LoseAccount,
    /// Replays that fail, and then are out of range.
    RefuseReplay,
    /// Streams that start with the next slot instead of the one that was asked for.
    IgnoreReplay,
    /// A server that stores no slots for replay.
    NoReplay,
    FalseReplayInfo,
    Silence,
    PingsOnly,
    DeadSlot,
    OversizedAccount,
    UndecodableAccount,
    Restart,
    RefuseSubscriptions,
    IgnoreSubscriptions,
    Behind,
}

/// The answer to `POST /faults`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Identifies the fault in [`Report::armed`] and in `DELETE /faults/{id}`.
    pub id: u64,
}

/// The answer to `GET /faults`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Faults that can still be injected, oldest first.
    pub armed: Vec<Armed>,
    /// Faults that were injected, since the start.
    pub counts: BTreeMap<Kind, Counts>,
}

/// An armed fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    pub id: u64,
    pub request: Request,
    /// How often this request was injected.
    pub injected: u32,
}

/// How often a kind of fault occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How often the server injected the fault into a slot of a stream, into an answer, or into
    /// the node.
    pub injected: u64,
    /// How often a client got something else because of it. A fault of the node counts once for
    /// each stream, a false slot once for each stream that got it.
    pub changed: u64,
}

impl Fault {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cut(_) => Kind::Cut,
            Self::DropMeta => Kind::DropMeta,
            Self::DelayMeta { .. } => Kind::DelayMeta,
            Self::Duplicate(_) => Kind::Duplicate,
            Self::Reorder => Kind::Reorder,
            Self::LateContent => Kind::LateContent,
            Self::LoseTransaction { .. } => Kind::LoseTransaction,
            Self::LoseAccount => Kind::LoseAccount,
            Self::RefuseReplay(Refusal::Error { .. }) => Kind::RefuseReplay,
            Self::RefuseReplay(Refusal::Ignored) => Kind::IgnoreReplay,
            Self::RefuseReplay(Refusal::Unsupported) => Kind::NoReplay,
            Self::FalseReplayInfo { .. } => Kind::FalseReplayInfo,
            Self::Silence => Kind::Silence,
            Self::PingsOnly { .. } => Kind::PingsOnly,
            Self::DeadSlot { .. } => Kind::DeadSlot,
            Self::OversizedAccount { .. } => Kind::OversizedAccount,
            Self::UndecodableAccount(_) => Kind::UndecodableAccount,
            Self::Restart => Kind::Restart,
            Self::RefuseSubscriptions => Kind::RefuseSubscriptions,
            Self::IgnoreSubscriptions => Kind::IgnoreSubscriptions,
            Self::Behind { .. } => Kind::Behind,
        }
    }
}
