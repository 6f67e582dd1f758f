use std::{cmp::Reverse, collections::BTreeMap};

use crate::{Policy, Receipt};

/// Consecutive windows with whose receipts a policy can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first_window: u64,
    /// Lowest drift in the run, in micro-units.
    pub value: u64,
    /// Payment of a claim with the run, in addition to earlier claims, in base units.
    pub payment: u64,
}

/// Finds the run in `receipts` for which `policy` pays most; the earliest run wins a tie.
/// `receipts` may be in any order. `None` if no run would be paid.
pub fn best_run<'a>(
    policy: &Policy,
    receipts: impl IntoIterator<Item = &'a Receipt>,
) -> Option<Run> {
    let reached = |receipt: &Receipt| {
        let value = policy.require_in_run(receipt, None).ok()?;
        Some((receipt.window, value))
    };
    let reached: BTreeMap<u64, u64> = receipts.into_iter().filter_map(reached).collect();
    let lowest = |first: u64| {
        // `first` is a covered window, so the addition cannot overflow.
        let windows = first..first + u64::from(policy.persistence);
        // A missing window is `None`, which orders below every value.
        windows.map(|window| reached.get(&window)).min().flatten()
    };
    let runs = reached
        .keys()
        .filter_map(|&first| Some((*lowest(first)?, Reverse(first))));
    let (value, Reverse(first_window)) = runs.max()?;
    let mut policy = *policy; // a copy
    let payment = policy.claim(value).ok()?;
    Some(Run {
        first_window,
        value,
        payment,
    })
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::ReceiptState;

    /// A policy on windows 10 to 19 with a cover of 1000, trigger 200 and exhaustion 600.
    fn policy(persistence: u8, paid: u64) -> Policy {
        let mut policy = Policy::zeroed();
        (policy.cover, policy.paid) = (1_000, paid);
        (policy.trigger, policy.exhaustion) = (200, 600);
        (policy.first_window, policy.last_window) = (10, 19);
        policy.persistence = persistence;
        policy
    }

    fn receipt(window: u64, value: u64) -> Receipt {
        let mut receipt = Receipt::zeroed();
        receipt.state = ReceiptState::Final.into();
        (receipt.window, receipt.value) = (window, value);
        receipt
    }

    /// First window and payment of the best run.
    fn best(policy: &Policy, receipts: &[Receipt]) -> Option<(u64, u64)> {
        let run = best_run(policy, receipts)?;
        Some((run.first_window, run.payment))
    }

    fn receipts<const N: usize>(values: [(u64, u64); N]) -> [Receipt; N] {
        values.map(|(window, value)| receipt(window, value))
    }

    #[test]
    fn the_lowest_drift_of_a_run_determines_its_payment() {
        let drift = receipts([(10, 300), (11, 400), (12, 500), (13, 600), (14, 100)]);
        assert_eq!(best(&policy(1, 0), &drift), Some((13, 1_000)));
        assert_eq!(best(&policy(2, 0), &drift), Some((12, 750)));
        assert_eq!(best(&policy(3, 0), &drift), Some((11, 500)));
        assert_eq!(best(&policy(4, 0), &drift), Some((10, 250)));
    }

    #[test]
    fn earlier_payments_are_deducted() {
        let drift = receipts([(10, 300), (11, 400)]);
        assert_eq!(best(&policy(1, 250), &drift), Some((11, 250)));
        assert_eq!(best(&policy(1, 500), &drift), None);
        // A later, larger run pays the rest.
        let later = receipts([(10, 300), (11, 400), (12, 600)]);
        assert_eq!(best(&policy(1, 500), &later), Some((12, 500)));
    }

    #[test]
    fn the_earliest_run_wins_a_tie_in_any_receipt_order() {
        let drift = receipts([(14, 300), (12, 300), (11, 300)]);
        assert_eq!(best(&policy(1, 0), &drift), Some((11, 250)));
        assert_eq!(best(&policy(2, 0), &drift), Some((11, 250)));
    }

    #[test]
    fn missing_and_non_final_windows_break_a_run() {
        let mut drift = receipts([(10, 600), (11, 600), (12, 600)]);
        assert_eq!(best(&policy(3, 0), &drift), Some((10, 1_000)));
        for state in [ReceiptState::Void, ReceiptState::Proposed] {
            drift[1].state = state.into();
            assert_eq!(best(&policy(2, 0), &drift), None);
        }
        assert_eq!(best(&policy(2, 0), &[drift[0], drift[2]]), None);
        assert_eq!(best(&policy(1, 0), &drift), Some((10, 1_000)));
    }

    #[test]
    fn only_covered_windows_of_the_model_at_or_over_the_trigger_count() {
        let drift = receipts([(9, 600), (10, 199), (20, 600)]);
        assert_eq!(best(&policy(1, 0), &drift), None);
        let edges = receipts([(9, 600), (10, 600), (19, 600), (20, 600)]);
        assert_eq!(best(&policy(1, 0), &edges), Some((10, 1_000)));
        assert_eq!(best(&policy(2, 0), &edges), None);
        let mut foreign = receipt(10, 600);
        foreign.model = [1; 32].into();
        assert_eq!(best(&policy(1, 0), &[foreign]), None);
    }
}
