//! Expected outcomes of mutations: `tests/matrix` has a table for each scene.
//!
//! The columns of a row are an account slot (or `*`, `b` or `c`: see `Mutation::slot`), mutations
//! separated by commas, their outcome and, after a `#`, the reason. Only a successful outcome (`ok`)
//! needs a reason. A line that starts with `#` is a comment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
};

/// Outcomes by slot and mutation.
pub type Outcomes = BTreeMap<(String, String), String>;

fn file(scene: &str) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/matrix");
    PathBuf::from(dir).join(format!("{scene}.txt"))
}

/// Compares the outcomes of a scene's mutations with its table. If they differ, panics with the rows to
/// add, the changed outcomes and the mutations that no longer exist.
pub fn check(scene: &str, slots: &[String], outcomes: &Outcomes) {
    let text = fs::read_to_string(file(scene)).unwrap_or_default();
    let expected = parse(scene, &text);
    let missing = outcomes
        .iter()
        .filter(|(key, _)| !expected.contains_key(*key));
    let missing: Outcomes = missing
        .map(|(key, outcome)| (key.clone(), outcome.clone()))
        .collect();
    let mut report = String::new();
    if !missing.is_empty() {
        let rows = rows(slots, &missing);
        write!(report, "\nReview these rows and add them:\n{rows}").unwrap();
    }
    for (key, expected) in &expected {
        let (slot, mutation) = key;
        match outcomes.get(key) {
            None => writeln!(report, "no such mutation, remove it: {slot} {mutation}"),
            Some(outcome) if outcome != expected => {
                writeln!(report, "{slot} {mutation}: {outcome} instead of {expected}")
            }
            Some(_) => Ok(()),
        }
        .unwrap();
    }
    assert!(report.is_empty(), "tests/matrix/{scene}.txt: {report}");
}

fn parse(scene: &str, text: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let is_row = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    for line in text.lines().filter(is_row) {
        let (entry, reason) = line.split_once('#').unwrap_or((line, ""));
        let columns: Vec<&str> = entry.split_whitespace().collect();
        let [slot, mutations, outcome] = columns[..] else {
            panic!("{scene}: a row needs an account, mutations and an outcome: {line}")
        };
        let has_reason = outcome != "ok" || !reason.trim().is_empty();
        assert!(
            has_reason,
            "{scene}: a successful mutation needs a reason after `#`: {line}"
        );
        for mutation in mutations.split(',') {
            let key = (slot.to_owned(), mutation.to_owned());
            let duplicate = outcomes.insert(key, outcome.to_owned());
            assert!(
                duplicate.is_none(),
                "{scene}: {slot} {mutation} has two rows, remove one"
            );
        }
    }
    outcomes
}

/// Formats outcomes as rows: slots in order, and mutations with the same outcome together.
fn rows(slots: &[String], outcomes: &Outcomes) -> String {
    const MUTATIONS_PER_ROW: usize = 8;
    let mut text = String::new();
    for slot in slots.iter().map(String::as_str).chain(["*", "b", "c"]) {
        let mut by_outcome: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((_, mutation), outcome) in outcomes.iter().filter(|((of, _), _)| of == slot) {
            by_outcome.entry(outcome).or_default().insert(mutation);
        }
        for (outcome, mutations) in by_outcome {
            let mutations: Vec<&str> = mutations.into_iter().collect();
            for mutations in mutations.chunks(MUTATIONS_PER_ROW) {
                let reason = if outcome == "ok" { "  # " } else { "" };
                let mutations = mutations.join(",");
                writeln!(text, "{slot}  {mutations}  {outcome}{reason}").unwrap();
            }
        }
    }
    text
}
