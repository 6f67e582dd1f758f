use std::{cmp::Reverse, collections::BTreeMap};

use crate::{Policy, Series};

/// Consecutive windows with which a policy can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first_window: u64,
    /// Lowest drift in the run, in micro-units.
    pub value: u64,
    /// Payment of a claim with the run, in addition to earlier claims, in base units.
    pub payment: u64,
}

/// Finds the run in the pages `series` for which `policy` pays most; the earliest run wins a tie.
/// The pages may be in any order, and of any model. `None` if no run would be paid.
pub fn best_run<'a>(policy: &Policy, series: impl IntoIterator<Item = &'a Series>) -> Option<Run> {
    let covered = policy.first_window..=policy.last_window;
    let pages = series.into_iter().filter(|page| page.model == policy.model);
    let entries = pages.flat_map(|page| {
        page.windows()
            .map(move |window| (window, page.entry(window)))
    });
    let reached: BTreeMap<u64, u64> = entries
        .filter(|(window, _)| covered.contains(window))
        .filter_map(|(window, entry)| Some((window, policy.require_reached(entry).ok()?)))
        .collect();
    let lowest = |first: u64| {
        // `first` is a covered window, so the addition cannot overflow.
        let windows = first..first + u64::from(policy.persistence);
        // A window that isn't part of a run is `None`, which orders below every value.
        windows.map(|window| reached.get(&window)).min().flatten()
    };
    let runs = reached
        .keys()
        .filter_map(|&first| Some((*lowest(first)?, Reverse(first))));
    let (value, Reverse(first_window)) = runs.max()?;
    let payment = policy.due(value).ok()?;
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
    use crate::{Entry, PAGE_WINDOWS};

    /// A policy on windows 250 to 259 with a cover of 1000, trigger 200 and exhaustion 600.
    fn policy(persistence: u8, paid: u64) -> Policy {
        let mut policy = Policy::zeroed();
        (policy.cover, policy.paid) = (1_000, paid);
        (policy.trigger, policy.exhaustion) = (200, 600);
        (policy.first_window, policy.last_window) = (250, 259);
        policy.persistence = persistence;
        policy
    }

    /// The pages 0 and 1, in which the given windows are final.
    fn series<const N: usize>(values: [(u64, u64); N]) -> [Series; 2] {
        let mut pages = [Series::zeroed(), Series::zeroed()];
        pages[1].page = 1;
        for (window, value) in values {
            set(&mut pages, window, Entry::Final(value));
        }
        pages
    }

    fn set(pages: &mut [Series; 2], window: u64, entry: Entry) {
        let index = (window % PAGE_WINDOWS) as usize;
        pages[Series::page_of(window) as usize].entries[index] = entry.to_word();
    }

    /// First window and payment of the best run.
    fn best(policy: &Policy, series: &[Series]) -> Option<(u64, u64)> {
        let run = best_run(policy, series)?;
        Some((run.first_window, run.payment))
    }

    #[test]
    fn the_lowest_drift_of_a_run_determines_its_payment() {
        let drift = series([(254, 300), (255, 400), (256, 500), (257, 600), (258, 100)]);
        assert_eq!(best(&policy(1, 0), &drift), Some((257, 1_000)));
        assert_eq!(best(&policy(2, 0), &drift), Some((256, 750)));
        assert_eq!(best(&policy(3, 0), &drift), Some((255, 500)));
        assert_eq!(best(&policy(4, 0), &drift), Some((254, 250)));
    }

    #[test]
    fn earlier_payments_are_deducted() {
        let drift = series([(250, 300), (251, 400)]);
        assert_eq!(best(&policy(1, 250), &drift), Some((251, 250)));
        assert_eq!(best(&policy(1, 500), &drift), None);
        // A later, larger run pays the rest.
        let later = series([(250, 300), (251, 400), (252, 600)]);
        assert_eq!(best(&policy(1, 500), &later), Some((252, 500)));
    }

    #[test]
    fn the_earliest_run_wins_a_tie_in_any_order_of_pages() {
        let [first, second] = series([(258, 300), (256, 300), (255, 300)]);
        assert_eq!(best(&policy(1, 0), &[second, first]), Some((255, 250)));
        assert_eq!(best(&policy(2, 0), &[second, first]), Some((255, 250)));
    }

    #[test]
    fn windows_without_a_final_value_break_a_run() {
        let mut drift = series([(254, 600), (255, 600), (256, 600)]);
        assert_eq!(best(&policy(3, 0), &drift), Some((254, 1_000)));
        for entry in [Entry::None, Entry::Open, Entry::Void, Entry::Thin] {
            set(&mut drift, 255, entry);
            assert_eq!(best(&policy(2, 0), &drift), None);
        }
        assert_eq!(best(&policy(1, 0), &drift), Some((254, 1_000)));
        assert_eq!(best(&policy(1, 0), &drift[1..]), Some((256, 1_000)));
    }

    #[test]
    fn only_covered_windows_of_the_model_at_or_over_the_trigger_count() {
        let drift = series([(249, 600), (250, 199), (260, 600)]);
        assert_eq!(best(&policy(1, 0), &drift), None);
        let edges = series([(249, 600), (250, 600), (259, 600), (260, 600)]);
        assert_eq!(best(&policy(1, 0), &edges), Some((250, 1_000)));
        assert_eq!(best(&policy(2, 0), &edges), None);
        let mut foreign = series([(250, 600)]);
        foreign[0].model = [1; 32].into();
        assert_eq!(best(&policy(1, 0), &foreign), None);
    }
}
