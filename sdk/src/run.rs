use std::{cmp::Reverse, collections::BTreeMap};

use crate::{Policy, Receipt};

/// Consecutive windows by whose receipts a policy pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first_window: u64,
    /// The lowest drift of the run.
    pub value: u64,
    /// What the policy pays for it beyond what it paid before, in base units.
    pub payment: u64,
}

/// Of `receipts`, in any order, the run that `policy` pays the most for, the earliest of equals.
/// `None` where it pays nothing more.
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
        let windows = first..first + u64::from(policy.persistence); // covered: far from 2⁶⁴
        // A window that is not there counts as lower than any.
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

    /// Of windows 10 to 19, paying from 200 on and all of 1000 at 600.
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

    /// The first window and the payment of the best run.
    fn best(policy: &Policy, receipts: &[Receipt]) -> Option<(u64, u64)> {
        let run = best_run(policy, receipts)?;
        Some((run.first_window, run.payment))
    }

    fn receipts<const N: usize>(values: [(u64, u64); N]) -> [Receipt; N] {
        values.map(|(window, value)| receipt(window, value))
    }

    #[test]
    fn a_run_is_worth_its_lowest_window() {
        let drift = receipts([(10, 300), (11, 400), (12, 500), (13, 600), (14, 100)]);
        assert_eq!(best(&policy(1, 0), &drift), Some((13, 1_000)));
        assert_eq!(best(&policy(2, 0), &drift), Some((12, 750)));
        assert_eq!(best(&policy(3, 0), &drift), Some((11, 500)));
        assert_eq!(best(&policy(4, 0), &drift), Some((10, 250)));
    }

    #[test]
    fn what_was_paid_is_not_paid_again() {
        let drift = receipts([(10, 300), (11, 400)]);
        assert_eq!(best(&policy(1, 250), &drift), Some((11, 250)));
        assert_eq!(best(&policy(1, 500), &drift), None);
        // A later, larger run pays the rest.
        let later = receipts([(10, 300), (11, 400), (12, 600)]);
        assert_eq!(best(&policy(1, 500), &later), Some((12, 500)));
    }

    #[test]
    fn the_earliest_of_equal_runs_is_taken_whatever_the_order() {
        let drift = receipts([(14, 300), (12, 300), (11, 300)]);
        assert_eq!(best(&policy(1, 0), &drift), Some((11, 250)));
        assert_eq!(best(&policy(2, 0), &drift), Some((11, 250)));
    }

    #[test]
    fn gaps_and_void_windows_break_a_run() {
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
    fn only_covered_windows_of_the_model_over_the_trigger_count() {
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
