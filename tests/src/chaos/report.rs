//! What the schedules have shown.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    comparison::Differences,
    schedule::{Counted, Schedule},
};
use crate::network::faults::Counts;

#[derive(Default)]
pub struct Report {
    pub schedules: u64,
    pub differences: Differences,
    /// How long the mirror took to recover, with the faults of the schedule.
    recoveries: Vec<(Duration, Vec<Counted>)>,
    pub counts: Vec<(Counted, Counts)>,
    /// The schedule that was added last.
    last: Option<(u64, Duration, Differences)>,
}

impl Report {
    pub fn add(&mut self, schedule: &Schedule, recovery: Duration, differences: Differences) {
        self.schedules += 1;
        self.last = Some((schedule.seed, recovery, differences.clone()));
        let seed = schedule.seed;
        let with_seed = |lines: Vec<String>| {
            lines
                .into_iter()
                .map(move |line| format!("seed {seed}: {line}"))
        };
        self.differences.lost.extend(with_seed(differences.lost));
        self.differences
            .duplicated
            .extend(with_seed(differences.duplicated));
        self.differences
            .different
            .extend(with_seed(differences.different));
        let kinds = schedule.steps.iter().flat_map(|(_, step)| step.kinds());
        self.recoveries.push((recovery, kinds.collect()));
    }

    /// Adds what another world has shown.
    pub fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.differences.lost.extend(other.differences.lost);
        let duplicated = other.differences.duplicated;
        self.differences.duplicated.extend(duplicated);
        let different = other.differences.different;
        self.differences.different.extend(different);
        self.recoveries.extend(other.recoveries);
        for (kind, Counts { injected, changed }) in other.counts {
            match self.counts.iter_mut().find(|(counted, _)| *counted == kind) {
                Some((_, counts)) => {
                    counts.injected += injected;
                    counts.changed += changed;
                }
                None => self.counts.push((kind, Counts { injected, changed })),
            }
        }
    }

    /// One line on the schedule that was added last.
    pub fn last_line(&self) -> String {
        let Some((seed, recovery, differences)) = &self.last else {
            return String::new();
        };
        let millis = recovery.as_millis();
        if differences.is_empty() {
            format!("seed {seed}: right, recovered in {millis} ms")
        } else {
            format!("seed {seed}: WRONG, recovered in {millis} ms: {differences:#?}")
        }
    }

    /// Kinds of faults that were never injected, or never changed anything.
    pub fn idle_kinds(&self) -> Vec<String> {
        let all = Counted::all().into_iter();
        let is_idle = |kind: &Counted| {
            let counts = self.counts_of(*kind);
            counts.injected == 0 || counts.changed == 0
        };
        all.filter(is_idle).map(Counted::name).collect()
    }

    fn counts_of(&self, kind: Counted) -> Counts {
        let found = self.counts.iter().find(|(counted, _)| *counted == kind);
        found.map(|(_, counts)| *counts).unwrap_or_default()
    }

    /// The result as it is committed, without the machine.
    pub fn to_json(&self) -> Value {
        let mut all: Vec<_> = self.recoveries.iter().map(|(time, _)| *time).collect();
        let kinds: BTreeMap<String, Value> = Counted::all()
            .into_iter()
            .map(|kind| {
                let with = self
                    .recoveries
                    .iter()
                    .filter(|(_, kinds)| kinds.contains(&kind));
                let mut times: Vec<_> = with.map(|(time, _)| *time).collect();
                let Counts { injected, changed } = self.counts_of(kind);
                let recovery = quantiles(&mut times);
                let value = json!({ "injected": injected, "changed": changed,
                                    "recovery_ms": recovery });
                (kind.name(), value)
            })
            .collect();
        json!({
            "schedules": self.schedules,
            "lost": self.differences.lost.len(),
            "duplicated": self.differences.duplicated.len(),
            "different": self.differences.different.len(),
            "recovery_ms": quantiles(&mut all),
            "faults": kinds,
        })
    }
}

/// Median, 99th percentile and maximum in milliseconds.
fn quantiles(times: &mut [Duration]) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (share * times.len() as f64).ceil() as usize;
        let time = times.get(place.saturating_sub(1));
        time.map(|time| time.as_millis() as u64)
    };
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
