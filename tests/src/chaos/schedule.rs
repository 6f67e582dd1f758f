//! Which faults come when: determined by a seed.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{TIME_SCALE, node::NodeFault};
use crate::network::faults::{Ending, Fault, Kind, Part, Refusal, Undecodable};

/// Faults that come one after another.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub seed: u64,
    /// Each with the pause before it.
    pub steps: Vec<(Duration, Disturbance)>,
}

/// A fault of one of the parts on which the indexer depends, or of the indexer.
#[derive(Clone, Debug, PartialEq)]
pub enum Disturbance {
    /// A fault of the stream while others are held, each for this long or until the schedule ends.
    Stream {
        once: Fault,
        held: Vec<(Fault, Option<Duration>)>,
    },
    /// The server sends nothing for this long.
    Silence(Duration),
    /// The stream sends pings only, for good. The schedule goes on once the mirror does.
    PingsOnly,
    /// SIGKILL to the indexer, which starts again.
    KillIndexer,
    Database(DatabaseFault),
    /// A fault of the RPC node while the indexer, started again with a node that replays nothing, has to
    /// read blocks and accounts from it.
    Node(NodeFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseFault {
    /// Its connections are closed.
    Cut,
    /// Its machine no longer answers over the connections that it has, and none is closed until the indexer
    /// gives it up.
    HalfOpen,
    /// SIGKILL to the server, which starts again.
    Kill,
    /// A clean restart.
    Restart,
    /// Other clients have all connections.
    Full,
    /// A standby takes over that lacks the last transactions; at first it refuses to write.
    Failover,
}

/// A fault as the report counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    Stream(Kind),
    KillIndexer,
    Database(DatabaseFault),
    SlowSnapshot,
    Busy,
    Ghosts,
}

/// A list of accounts takes at least this long, on the clock of these waits: it is no short request.
const SLOW_LIST: Duration = Duration::from_secs(300);
/// Number of faults in a schedule, besides kills of the indexer.
const FAULTS: usize = 3;
/// Number of seeds in a row, from a multiple of it on, whose schedules have every kind of fault together.
pub const ROUND: u64 = 11;

impl Schedule {
    /// The faults of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let kinds = all_from(&mut random);
        // All seeds of a round share one order of the kinds. Each takes its own part of it.
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed / ROUND));
        let first = (seed % ROUND) as usize * FAULTS;
        let own = (first..first + FAULTS).map(|place| order[place % order.len()]);
        let mut steps: Vec<_> = own
            .map(|kind| {
                let pause = Duration::from_millis(random.random_range(100..900));
                (pause, kinds[kind].clone())
            })
            .collect();
        if random.random_ratio(1, 2) {
            let pause = Duration::from_millis(random.random_range(0..600));
            let place = random.random_range(0..=steps.len());
            steps.insert(place, (pause, Disturbance::KillIndexer));
        }
        Self { seed, steps }
    }
}

fn all() -> Vec<Disturbance> {
    all_from(&mut StdRng::seed_from_u64(0))
}

/// Every kind of disturbance, in a fixed order, with random parameters.
fn all_from(random: &mut StdRng) -> Vec<Disturbance> {
    let alone = |once| Disturbance::Stream { once, held: vec![] };
    let with = |once, held: Fault| Disturbance::Stream {
        once,
        held: vec![(held, None)],
    };
    let cut = || Fault::Cut(Ending::Status(14));
    let refuse = |refusal| Fault::RefuseReplay(refusal);
    let part = [Part::Accounts, Part::Transactions, Part::Slot];
    let part = part[random.random_range(0..3)].clone();
    let slow = SLOW_LIST / TIME_SCALE + Duration::from_millis(random.random_range(500..3_000));
    let silence = Duration::from_millis(random.random_range(1_000..5_000));
    let undecodable = [Undecodable::Discriminator, Undecodable::Truncated];
    let undecodable = undecodable[random.random_range(0..2)].clone();
    use DatabaseFault::{Cut, Failover, Full, HalfOpen, Kill, Restart};
    let mut all = vec![
        alone(cut()),
        alone(Fault::Cut(Ending::Connection)),
        alone(Fault::DropMeta),
        alone(Fault::DelayMeta {
            slots: random.random_range(1..4),
        }),
        alone(Fault::Duplicate(part)),
        alone(Fault::Reorder),
        alone(Fault::LateContent),
        alone(Fault::LoseTransaction { writes: false }),
        alone(Fault::LoseAccount),
        alone(Fault::DeadSlot {
            children: random.random_range(0..5),
        }),
        alone(Fault::Restart),
        alone(Fault::OversizedAccount { bytes: 11 << 20 }),
        alone(Fault::UndecodableAccount(undecodable)),
        with(cut(), refuse(Refusal::Unsupported)),
        with(cut(), refuse(Refusal::Ignored)),
        with(cut(), refuse(Refusal::Error { internal: 50 })),
        // Once the node is back, it has some slots, and says that it has more.
        Disturbance::Stream {
            once: Fault::Restart,
            held: vec![
                (Fault::FalseReplayInfo { slots_early: 9 }, None),
                (
                    Fault::RefuseSubscriptions,
                    Some(Duration::from_millis(1_500)),
                ),
            ],
        },
        with(cut(), Fault::Behind { slots: 5 }),
        with(Fault::Restart, Fault::RefuseSubscriptions),
        with(cut(), Fault::IgnoreSubscriptions),
        Disturbance::Silence(silence),
        Disturbance::PingsOnly,
        Disturbance::KillIndexer,
    ];
    let database = [Cut, HalfOpen, Kill, Restart, Full, Failover];
    all.extend(database.map(Disturbance::Database));
    let node = [NodeFault::Slow(slow), NodeFault::Busy, NodeFault::Ghosts];
    all.extend(node.map(Disturbance::Node));
    all
}

impl Disturbance {
    /// The kinds of faults that it has.
    pub fn kinds(&self) -> Vec<Counted> {
        match self {
            Self::Stream { once, held } => {
                let faults = held.iter().map(|(fault, _)| fault).chain([once]);
                faults.map(|fault| Counted::Stream(fault.kind())).collect()
            }
            Self::Silence(_) => vec![Counted::Stream(Kind::Silence)],
            Self::PingsOnly => vec![Counted::Stream(Kind::PingsOnly)],
            Self::KillIndexer => vec![Counted::KillIndexer],
            Self::Database(fault) => vec![Counted::Database(*fault)],
            Self::Node(NodeFault::Slow(_)) => vec![Counted::SlowSnapshot],
            Self::Node(NodeFault::Busy) => vec![Counted::Busy],
            Self::Node(NodeFault::Ghosts) => vec![Counted::Ghosts],
            Self::Node(
                NodeFault::Purged(_)
                | NodeFault::Lacks(_)
                | NodeFault::Silent
                | NodeFault::Hole(..),
            ) => vec![],
        }
    }

    /// Whether it adds an account to the stream that is not on chain.
    pub fn adds_account(&self) -> bool {
        let added = [Kind::OversizedAccount, Kind::UndecodableAccount].map(Counted::Stream);
        self.kinds().iter().any(|kind| added.contains(kind))
    }
}

impl Counted {
    /// All kinds.
    pub fn all() -> Vec<Self> {
        let mut kinds: Vec<_> = all().iter().flat_map(Disturbance::kinds).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    pub fn name(self) -> String {
        let camel = match self {
            Self::Stream(kind) => format!("stream: {kind:?}"),
            Self::KillIndexer => "indexer: kill".to_owned(),
            Self::Database(fault) => format!("database: {fault:?}"),
            Self::SlowSnapshot => "node: five-minute snapshot".to_owned(),
            Self::Busy => "node: 429".to_owned(),
            Self::Ghosts => "node: ghosts".to_owned(),
        };
        let mut name = String::new();
        for letter in camel.chars() {
            if letter.is_uppercase() && !name.ends_with(' ') {
                name.push(' ');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_its_faults_and_a_round_has_all_kinds() {
        let steps = |seed| Schedule::new(seed).steps;
        assert_eq!(steps(3), steps(3));
        assert_ne!(steps(3), steps(3 + ROUND));
        for first in [0, ROUND] {
            let steps = (first..first + ROUND).flat_map(steps);
            let mut kinds: Vec<_> = steps.flat_map(|(_, step)| step.kinds()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds, Counted::all());
        }
    }

    #[test]
    fn names_are_words() {
        assert_eq!(Counted::Stream(Kind::DropMeta).name(), "stream: drop meta");
        let half_open = Counted::Database(DatabaseFault::HalfOpen);
        assert_eq!(half_open.name(), "database: half open");
    }
}
