//! The tables in `tests/states`: the result of every instruction in every state of an account.

use std::{collections::BTreeMap, fs};

use crate::idl;

/// The result of each step in each state: the next state after `-> `, or the error.
pub type Table = BTreeMap<(String, String), String>;

/// Reads the table of an account; empty if the file is missing.
pub fn table(account: &str) -> Table {
    let file = idl::root().join(format!("tests/states/{account}.txt"));
    parse(&fs::read_to_string(file).unwrap_or_default())
}

/// Parses a table: `[state]` starts a state, and each line below it is a step and its result, separated
/// by two or more spaces. Lines that start with `#` are comments.
fn parse(text: &str) -> Table {
    let mut table = Table::new();
    let mut state = "";
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            state = name.strip_suffix(']').expect("a state in brackets");
            continue;
        }
        let (step, result) = line.split_once("  ").expect("a step and its result");
        let before = table.insert((state.into(), step.into()), result.trim().into());
        assert_eq!(before, None, "[{state}] has two results of {step}");
    }
    table
}
