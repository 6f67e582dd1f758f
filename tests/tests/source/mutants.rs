//! The record of `scripts/mutants`.

use std::{collections::HashSet, fs};

use driftshield_tests::{
    idl::root,
    mutants::{
        RECORD,
        record::{Record, Status},
        sites::{self, Site},
    },
};

fn sites() -> Vec<Site> {
    sites::find(root()).expect("the program's source")
}

fn record() -> Record {
    Record::read(&root().join(RECORD)).expect("the record")
}

#[test]
fn every_surviving_mutant_is_explained() {
    let page = fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md");
    let record = record();
    for site in sites() {
        if record.status(&site) == Some(&Status::Survived) {
            let key = &site.key;
            assert!(
                page.contains(key),
                "no test fails without {site}; explain {key} in SECURITY.md"
            );
        }
    }
}

#[test]
fn no_row_is_stale_or_repeated() {
    let sites = sites();
    let mut expected: HashSet<&str> = sites.iter().map(|site| site.key.as_str()).collect();
    for key in record().keys() {
        assert!(
            expected.remove(key),
            "{key} is stale or repeated in {RECORD}; run scripts/mutants --report to drop such rows"
        );
    }
}
