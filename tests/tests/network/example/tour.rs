//! The README's tour of the API.

use std::{collections::BTreeSet, path::Path, process::Command};

use driftshield_tests::paths::root;
use serde_json::Value;

/// Number of requests in the tour.
const REQUESTS: usize = 10;

/// Runs the tour's commands in the network's directory. Each answer has the fields that the README names.
pub fn check(directory: &Path) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let variables = directory.join("tour.sh");
    let requests: Vec<_> = readme
        .lines()
        .filter(|line| line.starts_with("curl -s \"$API"))
        .collect();
    assert_eq!(requests.len(), REQUESTS);
    for request in requests {
        let (command, fields) = request.split_once("  # ").unwrap();
        let script = format!(". '{}'\n{command} --fail-with-body", variables.display());
        let output = Command::new("bash")
            .args(["-euc", &script])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{request}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let answer = answer.as_object().unwrap();
        let has: BTreeSet<&str> = answer.keys().map(String::as_str).collect();
        let mut named: BTreeSet<&str> = fields.trim().split(", ").collect();
        let names_all = !named.remove("…");
        let is_right = if names_all {
            named == has
        } else {
            named.is_subset(&has)
        };
        assert!(is_right, "{request}: {has:?}");
        let items = answer.get("items").map(|items| items.as_array().unwrap());
        assert!(
            items.is_none_or(|items| !items.is_empty()),
            "{request}: no items"
        );
    }
}
