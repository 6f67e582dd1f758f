//! Every error of the program is expected by a test in the virtual machine.

use std::{collections::BTreeSet, fs};

use driftshield_sdk::error;
use driftshield_tests::{idl, mutants::rust_files, states};

/// The source of each function of the tests in the virtual machine.
fn functions() -> Vec<String> {
    let mut functions = vec![String::new()];
    for path in rust_files(&idl::root().join("tests/tests/vm")).unwrap() {
        let source = fs::read_to_string(&path).unwrap();
        // Some files import the error type by a shorter name.
        let source = source.replace(" Error::", " DriftShieldError::");
        for line in source.lines() {
            if line.trim_start().starts_with("fn ") {
                functions.push(String::new());
            }
            let function = functions.last_mut().unwrap();
            function.push_str(line);
            function.push('\n');
        }
    }
    functions
}

/// The errors that are named in functions which assert the refusal of a transaction. `Error.into()` does
/// not count: functions of the program return that when they run outside of the virtual machine.
fn asserted_errors() -> BTreeSet<String> {
    const PREFIX: &str = "DriftShieldError::";
    let mut asserted = BTreeSet::new();
    for function in functions() {
        if !["refused(", " code("]
            .iter()
            .any(|call| function.contains(call))
        {
            continue;
        }
        for text in function.split(PREFIX).skip(1) {
            let (name, rest) = text.split_at(text.find(|c: char| !c.is_alphanumeric()).unwrap());
            if !rest.starts_with(".into()") {
                asserted.insert(name.to_owned());
            }
        }
    }
    asserted
}

#[test]
fn every_error_is_expected_by_a_test_in_the_virtual_machine() {
    // Given the errors in assertions and in the tables of states
    let mut expected = asserted_errors();
    for account in ["market", "policy", "receipt", "vault"] {
        expected.extend(states::table(account).into_values());
    }

    // Then every error of the program is among them
    let errors = error::all().iter().map(|error| &error.name);
    let missing: Vec<_> = errors.filter(|name| !expected.contains(*name)).collect();
    assert!(missing.is_empty(), "no test expects {missing:?}");
}
