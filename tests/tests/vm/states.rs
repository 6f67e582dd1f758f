//! State tables: the results of all instructions on a market, a receipt, a policy and a vault, in every
//! state of that account. Each of these accounts has a table in `tests/states`.
//!
//! A state is identified by data on chain, and for a closed account by the event of its closing. For each
//! cell of a table, the test forks a fixture in that state, sends the instruction, and compares the next
//! state or the error with the cell.

mod market;
mod policy;
mod receipt;
mod vault;

use std::{collections::BTreeSet, fmt::Write};

use anchor_lang_idl::types::IdlInstruction;
use driftshield_sdk::{Event, error};
pub use driftshield_tests::states::table;
use driftshield_tests::{states::Table, world::*};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

use crate::committed_idl;

/// A world around the account whose states are tested.
trait StateFixture: Clone {
    /// Name of the account's current state.
    fn state(&self) -> String;

    /// Records what only events show, such as how the account was closed.
    fn observe(&mut self, event: &Event);
}

/// A named instruction. The name is that of the instruction, followed by the sender or the arguments if
/// these matter.
type Step<S> = (&'static str, fn(&mut S) -> Outcome);

/// Runs all `steps` from all `fixtures`, which are named by their states, and compares the results
/// with the account's table.
fn check<S: StateFixture>(account: &str, fixtures: &[(&str, S)], steps: &[Step<S>]) {
    let states: BTreeSet<&str> = fixtures.iter().map(|(name, _)| *name).collect();
    assert_eq!(states.len(), fixtures.len(), "two fixtures share a state");
    let mut results = Table::new();
    let mut text = String::new();
    for (state, fixture) in fixtures {
        assert_eq!(&fixture.state(), state, "the fixture is in another state");
        writeln!(text, "\n[{state}]").unwrap();
        for (step, send) in steps {
            let result = run_step(fixture, *send);
            if let Some(next) = result.strip_prefix("-> ") {
                let is_known = states.contains(next);
                assert!(is_known, "{state}, {step}: no fixture for state {next}");
            }
            writeln!(text, "{step:<38}{result}").unwrap();
            results.insert((state.to_string(), step.to_string()), result);
        }
    }
    let differences = differences(&table(account), &results);
    assert!(
        differences.is_empty(),
        "tests/states/{account}.txt differs from the program, whose table is:\n{text}\nThe differences are:\n{differences}"
    );
}

fn run_step<S: StateFixture>(fixture: &S, send: fn(&mut S) -> Outcome) -> String {
    let mut fork = fixture.clone();
    match send(&mut fork) {
        Ok(sent) => {
            sent.events.iter().for_each(|event| fork.observe(event));
            format!("-> {}", fork.state())
        }
        Err(failure) => match failure.err {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
                error::by_code(code).map_or(format!("Custom({code})"), |error| error.name.clone())
            }
            TransactionError::InstructionError(_, error) => format!("{error:?}"),
            error => panic!("the runtime refused the transaction: {error:?}"),
        },
    }
}

fn differences(expected: &Table, actual: &Table) -> String {
    let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let different = keys
        .iter()
        .filter(|key| expected.get(key) != actual.get(key));
    different.fold(String::new(), |mut text, key| {
        let [expected, actual] =
            [expected, actual].map(|table| table.get(key).map_or("missing", String::as_str));
        let (state, step) = key;
        writeln!(text, "{state}, {step}: {actual} instead of {expected}").unwrap();
        text
    })
}

/// Names and numbers of the instructions that have an account with one of these names.
pub fn instructions_with_account(names: &[&str]) -> Vec<(String, u8)> {
    let instructions = committed_idl::instructions().iter();
    let found = instructions.filter(|i| accounts(i).iter().any(|name| names.contains(name)));
    found
        .map(|i| (i.name.clone(), i.discriminator[0]))
        .collect()
}

/// Asserts that every instruction whose account names satisfy `is_relevant` has a step.
fn assert_complete<S>(steps: &[Step<S>], is_relevant: impl Fn(&[&str]) -> bool) {
    let instructions = committed_idl::instructions().iter();
    for instruction in instructions.filter(|i| is_relevant(&accounts(i))) {
        let name = &instruction.name;
        let mut named = steps.iter().map(|(step, _)| step.split(' ').next());
        assert!(named.any(|step| step == Some(name)), "{name} has no step");
    }
}

fn accounts(instruction: &IdlInstruction) -> Vec<&str> {
    committed_idl::accounts(instruction)
        .map(|account| account.name.as_str())
        .collect()
}
