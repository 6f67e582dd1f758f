//! The mirror equals the chain after schedules of faults. `scripts/faults` runs more of them.

use driftshield_tests::chaos::{self, schedule::ROUND};

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_equals_the_chain_after_every_schedule_of_faults() {
    let report = chaos::run(0..ROUND, 1, |report| println!("{}", report.last_line())).await;
    let differences = &report.differences;
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(report.idle_kinds(), [""; 0], "{:#}", report.to_json());
}
