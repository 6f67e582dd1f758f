//! Prometheus metrics of the process. `docs/indexer.md` lists them.
//!
//! Recording is free of cost and effect until they are installed.

use driftshield_service::metric::{Kind, Metric};

pub const SLOT: &str = "driftshield_indexer_slot";
pub const TIP_SLOT: &str = "driftshield_indexer_tip_slot";
pub const LAG_SLOTS: &str = "driftshield_indexer_lag_slots";
pub const AGE_SECONDS: &str = "driftshield_indexer_age_seconds";
pub const READY: &str = "driftshield_indexer_ready";
pub const SLOT_TO_ROW_SECONDS: &str = "driftshield_indexer_slot_to_row_seconds";
pub const COMMITS: &str = "driftshield_indexer_commits_total";
pub const BATCH_SLOTS: &str = "driftshield_indexer_batch_slots";
pub const QUEUE_DEPTH: &str = "driftshield_indexer_queue_depth";
pub const RECONNECTS: &str = "driftshield_indexer_reconnects_total";
pub const GAPS: &str = "driftshield_indexer_gaps_total";
pub const FORKS: &str = "driftshield_indexer_forks_total";
pub const UNDONE_SLOTS: &str = "driftshield_indexer_undone_slots_total";
pub const LATE_SLOTS: &str = "driftshield_indexer_late_slots_total";
pub const GUARD_REJECTIONS: &str = "driftshield_indexer_guard_rejections_total";
pub const DEAD_LETTERS: &str = "driftshield_indexer_dead_letters";
pub const RPC_REQUESTS: &str = "driftshield_indexer_rpc_requests_total";
pub const AUDITED_ACCOUNTS: &str = "driftshield_indexer_audited_accounts_total";
pub const AUDIT_DIFFERENCES: &str = "driftshield_indexer_audit_differences_total";
pub const AUDIT_FAILURES: &str = "driftshield_indexer_audit_failures_total";

use Kind::{Counter, Gauge, Histogram};

/// All metrics, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    Metric::new(SLOT, Gauge, "Last applied slot."),
    Metric::new(
        TIP_SLOT,
        Gauge,
        "Newest confirmed slot that the gRPC server, or the polled RPC node, has reached.",
    ),
    Metric::new(
        LAG_SLOTS,
        Gauge,
        "Slots by which the mirror is behind the tip.",
    ),
    Metric::new(
        AGE_SECONDS,
        Gauge,
        "Age of the data in seconds: the time since the server reached its tip, or, if that is more, the \
         time since the last applied block that has a time. The block counts only if the mirror is \
         behind, or the block was older than `block_time_tolerance_secs` when the server reached its tip.",
    ),
    Metric::new(READY, Gauge, "1 if `/ready` answers 200, 0 if it doesn't."),
    Metric::new(
        SLOT_TO_ROW_SECONDS,
        Histogram(&[
            0.002, 0.005, 0.01, 0.02, 0.037, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
        ]),
        "Seconds from the arrival of a slot's last message to the commit of its rows.",
    ),
    Metric::new(COMMITS, Counter, "Transactions that applied updates."),
    Metric::new(
        BATCH_SLOTS,
        Histogram(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
        "Slots of such a transaction.",
    ),
    Metric::new(
        QUEUE_DEPTH,
        Gauge,
        "Updates that wait between the source and the database.",
    ),
    Metric::new(RECONNECTS,
            Counter,
            "Interruptions after which the indexer connected again.").labelled(&[("reason", RECONNECT_REASONS)]),
    Metric::new(GAPS,
            Counter,
            "Ranges of slots that the source didn't deliver: found, filled by RPC, or lost. If \
             filling one is interrupted, the rest counts again.").labelled(&[("state", &["opened", "filled", "lost"])]),
    Metric::new(FORKS, Counter, "Times that slots were undone."),
    Metric::new(
        UNDONE_SLOTS,
        Counter,
        "Slots undone, because the cluster dropped them or may have, or they were incomplete.",
    ),
    Metric::new(
        LATE_SLOTS,
        Counter,
        "Slots that lack messages, or have some after their block metadata.",
    ),
    Metric::new(
        GUARD_REJECTIONS,
        Counter,
        "States of accounts that were not stored, because the mirror's is as new or newer.",
    ),
    Metric::new(
        DEAD_LETTERS,
        Gauge,
        "Unresolved rows of `chain.dead_letter`.",
    ),
    Metric::new(RPC_REQUESTS,
            Counter,
            "Requests to the RPC node, each retry counted. An error can be an answer, such as a missing \
             block.").labelled(&[("method", RPC_METHODS), ("result", &["ok", "error"])]),
    Metric::new(
        AUDITED_ACCOUNTS,
        Counter,
        "Accounts of the audit's samples.",
    ),
    Metric::new(
        AUDIT_DIFFERENCES,
        Counter,
        "Differences that the audit found.",
    ),
    Metric::new(
        AUDIT_FAILURES,
        Counter,
        "Comparisons of accounts or of transactions that failed.",
    ),
];

/// Why mirroring was interrupted.
pub const RECONNECT_REASONS: &[&str] = &[
    "connect",
    "ended",
    "silent",
    "stalled",
    "behind",
    "status",
    "no_replay",
    "malformed",
    "late",
    "fork",
    "rpc",
    "database",
    "recovered",
];

const RPC_METHODS: &[&str] = &[
    "getSlot",
    "getBlocks",
    "getBlock",
    "getMultipleAccounts",
    "getProgramAccounts",
    "getSignaturesForAddress",
    "getFirstAvailableBlock",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use driftshield_service::metric;

    use super::*;

    const PAGE: &str = include_str!("../../docs/indexer.md");

    #[test]
    fn the_page_lists_exactly_the_metrics_of_the_process() {
        let rows: Vec<_> = METRICS.iter().map(Metric::row).collect();
        let listed = PAGE.lines().filter(|line| line.starts_with("| `drift"));
        assert_eq!(listed.collect::<Vec<_>>(), rows);
    }

    #[test]
    fn every_metric_is_exposed_from_the_start() {
        let exposed = metric::exposition_at_start(METRICS).expect("valid buckets");
        let types = exposed
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        let names: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
        let expected: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names, expected, "{exposed}");
    }
}
