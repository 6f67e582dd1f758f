//! What `scripts/mutants` has recorded.

use std::fs;

use driftshield_tests::{
    idl::root,
    mutants::{
        RECORD, SOURCE,
        record::{Fate, Record},
        sites,
    },
};

#[test]
fn every_check_that_no_test_misses_is_explained() {
    let page = fs::read_to_string(root().join("SECURITY.md")).expect("the page");
    let record = Record::read(&root().join(RECORD)).expect("the record");
    for site in sites::find(&root().join(SOURCE)).expect("the program's source") {
        if record.fate(&site) == Some(&Fate::Survived) {
            let key = &site.key;
            assert!(page.contains(key), "say why in SECURITY.md: {key} {site}");
        }
    }
}
