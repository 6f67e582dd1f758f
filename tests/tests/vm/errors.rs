//! Coverage of errors: a test provokes each error of the program.

use std::{collections::BTreeSet, fs, path::Path};

use driftshield_sdk::error;
use driftshield_tests::idl;

use crate::states;

/// The source of each test function below `dir`. A function's source reaches to the next `fn`.
fn functions(dir: &Path) -> Vec<String> {
    let mut functions = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions.extend(self::functions(&path));
            continue;
        }
        // Some files import `DriftShieldError` as `Error`.
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

/// The errors that tests expect of a transaction: those named in a function that asserts a refusal.
/// `error.into()` is excluded: it is the error of a rule that runs outside the virtual machine.
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
    // Given the errors that assertions and state tables expect of transactions
    let mut provoked = asserted();
    for account in ["market", "policy", "receipt", "vault"] {
        provoked.extend(states::table(account).into_values());
    }

    // Then they include every error of the program
    let errors = error::all().iter().map(|error| &error.name);
    let missing: Vec<_> = errors.filter(|name| !provoked.contains(*name)).collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
}
