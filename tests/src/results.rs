//! Results of measurements, as they are committed.

use std::fs;

use serde_json::{Value, json};

use crate::paths::root;

/// The kind of processor, and the number of threads that run at once. A measurement can use fewer.
pub fn machine() -> Value {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
    let threads = info.lines().filter(|line| line.starts_with("processor"));
    json!({ "processor": model, "threads": threads.count() })
}

/// Returns the version of each named dependency of this crate. The lock file may hold more versions of it, which
/// only other crates use.
pub fn versions_of(names: &[&str]) -> Value {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("readable");
    let (_, own) = lock
        .split_once("name = \"driftshield-tests\"\n")
        .expect("this crate is locked");
    let (own, _) = own.split_once("\n\n").expect("not the last package");
    let version = |name: &str| {
        // A dependency's entry states the version if the lock file holds more than one.
        let several = own.split_once(&format!("\n \"{name} "));
        let only = || lock.split_once(&format!("name = \"{name}\"\nversion = \""));
        let (_, version) = several.or_else(only)?;
        Some(version.split_once('"')?.0.to_owned())
    };
    names.iter().map(|name| (*name, version(name))).collect()
}

/// Writes `bench/NAME.json`.
pub fn write_results(name: &str, results: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(results).expect("serializable") + "\n";
    let folder = root().join("bench");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join(name).with_extension("json"), text))
        .expect("writable");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_are_used() {
        let versions = versions_of(&["rand", "litesvm", "no-such-crate"]);
        let major = |name: &str| versions[name].as_str().map(|version| &version[..4]);
        assert_eq!(major("rand"), Some("0.9."));
        assert_eq!(major("litesvm"), Some("0.18"));
        assert_eq!(versions["no-such-crate"], Value::Null);
    }
}
