//! The mirror equals the chain after schedules of faults. `scripts/faults` runs more of them.

use driftshield_tests::{
    chaos::{
        self,
        schedule::{Counted, ROUND},
    },
    network::faults::Kind,
};

/// Most kinds of faults that may change nothing in one round: a fault that comes while another one keeps
/// the indexer away.
const MAX_IDLE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_equals_the_chain_after_every_schedule_of_faults() {
    let report = chaos::run(0..ROUND, 1, |report| println!("{}", report.last_line())).await;
    let differences = &report.differences;
    assert!(differences.is_empty(), "{differences:#?}");
    let idle = report.idle_kinds();
    assert!(idle.len() <= MAX_IDLE, "{idle:?} {:#}", report.to_json());
    let stall = Counted::Stream(Kind::PingsOnly).name();
    assert!(!idle.contains(&stall), "no other fault is near it");
}
