//! Every error of the program's is provoked by somebody.

use std::{collections::BTreeSet, fs, path::Path};

use driftshield_sdk::error;
use driftshield_tests::idl;

use crate::states;

/// The source of each function of the tests.
fn functions(dir: &Path) -> Vec<String> {
    let mut functions = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions.extend(self::functions(&path));
            continue;
        }
        // Where it is imported by another name.
        let source = fs::read_to_string(&path).unwrap();
        let source = source.replace(" Error::", " DriftShieldError::");
        for line in source.lines() {
            if line.trim_start().starts_with("fn ") || functions.is_empty() {
                functions.push(String::new());
            }
            let function = functions.last_mut().unwrap();
            function.push_str(line);
            function.push('\n');
        }
    }
    functions
}

/// The errors that a test expects of a transaction: which a function names that asserts refusals.
/// What a rule gives on the host is `error.into()`, and is not counted.
fn asserted() -> BTreeSet<String> {
    const NAME: &str = "DriftShieldError::";
    let mut asserted = BTreeSet::new();
    for function in functions(&idl::root().join("tests/tests/vm")) {
        if !["refused(", " code("]
            .iter()
            .any(|call| function.contains(call))
        {
            continue;
        }
        for place in function.split(NAME).skip(1) {
            let (name, rest) = place.split_at(place.find(|c: char| !c.is_alphanumeric()).unwrap());
            if !rest.starts_with(".into()") {
                asserted.insert(name.to_owned());
            }
        }
    }
    asserted
}

#[test]
fn every_error_is_provoked_in_the_virtual_machine() {
    // Given the errors that transactions are refused with, in assertions and in tables of states
    let mut provoked = asserted();
    for account in ["market", "policy", "receipt", "vault"] {
        provoked.extend(states::table(account).into_values());
    }

    // Then there is none besides
    let errors = error::all().iter().map(|error| &error.name);
    let missing: Vec<_> = errors.filter(|name| !provoked.contains(*name)).collect();
    assert!(missing.is_empty(), "nobody provokes {missing:?}");
}
