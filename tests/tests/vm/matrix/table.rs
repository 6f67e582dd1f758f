//! What is expected of each mutation: a file for each scene in `tests/matrix`.
//!
//! A line is a slot, its mutations, how they end and, after a `#`, why. A success needs a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
};

/// By slot and mutation.
pub type Outcomes = BTreeMap<(String, String), String>;

fn file(scene: &str) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/matrix");
    PathBuf::from(dir).join(format!("{scene}.txt"))
}

/// Compares what the mutations of a scene came to with its file. Says what to write where they differ.
pub fn check(scene: &str, slots: &[String], found: &Outcomes) {
    let text = fs::read_to_string(file(scene)).unwrap_or_default();
    let expected = parse(scene, &text);
    let missing = found.iter().filter(|(at, _)| !expected.contains_key(*at));
    let missing: Outcomes = missing.map(|(at, end)| (at.clone(), end.clone())).collect();
    let mut report = String::new();
    if !missing.is_empty() {
        let lines = lines(slots, &missing);
        write!(report, "\nLines to review and to add:\n{lines}").unwrap();
    }
    for (at, end) in &expected {
        let (slot, mutation) = at;
        match found.get(at) {
            None => writeln!(report, "stale: {slot} {mutation}"),
            Some(other) if other != end => {
                writeln!(report, "{slot} {mutation}: {other} instead of {end}")
            }
            Some(_) => Ok(()),
        }
        .unwrap();
    }
    assert!(report.is_empty(), "tests/matrix/{scene}.txt: {report}");
}

fn parse(scene: &str, text: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (entry, reason) = line.split_once('#').unwrap_or((line, ""));
        let columns: Vec<&str> = entry.split_whitespace().collect();
        let [slot, mutations, end] = columns[..] else {
            panic!("{scene}: not a slot, mutations and an outcome: {line}")
        };
        let explained = end != "ok" || !reason.trim().is_empty();
        assert!(explained, "{scene}: why does it succeed? {line}");
        for mutation in mutations.split(',') {
            let at = (slot.to_owned(), mutation.to_owned());
            let twice = outcomes.insert(at, end.to_owned());
            assert!(twice.is_none(), "{scene}: {slot} {mutation} is there twice");
        }
    }
    outcomes
}

/// The outcomes as a file holds them: slots in order, mutations that end alike together.
fn lines(slots: &[String], outcomes: &Outcomes) -> String {
    const MUTATIONS: usize = 8;
    let mut text = String::new();
    for slot in slots.iter().map(String::as_str).chain(["*", "b", "c"]) {
        let mut by_end: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((_, mutation), end) in outcomes.iter().filter(|((at, _), _)| at == slot) {
            by_end.entry(end).or_default().insert(mutation);
        }
        for (end, mutations) in by_end {
            let mutations: Vec<&str> = mutations.into_iter().collect();
            for some in mutations.chunks(MUTATIONS) {
                let reason = if end == "ok" { "  # " } else { "" };
                writeln!(text, "{slot}  {}  {end}{reason}", some.join(",")).unwrap();
            }
        }
    }
    text
}
