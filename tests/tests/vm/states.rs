//! What every instruction does in every state of an account, in the virtual machine: a table an
//! account, in `tests/states`.
//!
//! A state is what whoever watches the chain can tell apart. Each cell of a table is carried out in a
//! fork of a world in that state, and says what comes of it: the next state, or the error.

mod market;
mod policy;
mod receipt;
mod vault;

use std::{collections::BTreeSet, fmt::Write, fs};

use anchor_lang_idl::types::{Idl, IdlInstruction, IdlInstructionAccountItem};
use driftshield_sdk::{Event, error};
pub use driftshield_tests::states::table;
use driftshield_tests::{idl, states::Cells, world::*};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

/// A world around an account.
trait Scene: Clone {
    /// The account's state.
    fn state(&self) -> String;

    /// Keeps how the account ended, which only an event tells.
    fn watch(&mut self, event: &Event);
}

/// An instruction and, where it matters, who sends it or with what. The name begins with the
/// instruction's.
type Step<S> = (&'static str, fn(&mut S) -> Outcome);

/// Carries out all `steps` in all `scenes`, each named by its state, and compares what comes of them
/// with the account's table.
fn check<S: Scene>(account: &str, scenes: &[(&str, S)], steps: &[Step<S>]) {
    let states: BTreeSet<&str> = scenes.iter().map(|(name, _)| *name).collect();
    assert_eq!(states.len(), scenes.len(), "each state comes once");
    let mut cells = Cells::new();
    let mut table = String::new();
    for (state, scene) in scenes {
        assert_eq!(&scene.state(), state, "a scene is in its state");
        writeln!(table, "\n[{state}]").unwrap();
        for (step, send) in steps {
            let result = carry_out(scene, *send);
            if let Some(next) = result.strip_prefix("-> ") {
                assert!(states.contains(next), "{state}, {step}: {next} has no row");
            }
            writeln!(table, "{step:<38}{result}").unwrap();
            cells.insert((state.to_string(), step.to_string()), result);
        }
    }
    let wrong = differences(&self::table(account), &cells);
    assert!(
        wrong.is_empty(),
        "the table of a {account} is not what the program does, which is:\n{table}\nThe table differs in:\n{wrong}"
    );
}

fn carry_out<S: Scene>(scene: &S, send: fn(&mut S) -> Outcome) -> String {
    let mut fork = scene.clone();
    match send(&mut fork) {
        Ok(sent) => {
            sent.events.iter().for_each(|event| fork.watch(event));
            format!("-> {}", fork.state())
        }
        Err(failure) => match failure.err {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
                error::by_code(code).map_or(format!("Custom({code})"), |error| error.name.clone())
            }
            TransactionError::InstructionError(_, error) => format!("{error:?}"),
            error => panic!("the transaction itself was refused: {error:?}"),
        },
    }
}

fn differences(expected: &Cells, actual: &Cells) -> String {
    let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let different = keys
        .iter()
        .filter(|key| expected.get(key) != actual.get(key));
    different.fold(String::new(), |mut text, key| {
        let [expected, actual] =
            [expected, actual].map(|cells| cells.get(key).map_or("nothing", String::as_str));
        writeln!(text, "{}, {}: {expected}, but {actual}", key.0, key.1).unwrap();
        text
    })
}

fn idl() -> Idl {
    let file = fs::read_to_string(idl::root().join("idl/driftshield.json")).unwrap();
    serde_json::from_str(&file).unwrap()
}

/// The instructions that name an account in one of these ways: their names and numbers.
pub fn instructions_of(names: &[&str]) -> Vec<(String, u8)> {
    let instructions = idl().instructions.into_iter();
    let theirs = instructions.filter(|i| accounts(i).iter().any(|name| names.contains(name)));
    theirs.map(|i| (i.name, i.discriminator[0])).collect()
}

/// Fails where an instruction of which `takes` holds has no step. Names of its accounts are asked.
fn assert_complete<S>(steps: &[Step<S>], takes: impl Fn(&[&str]) -> bool) {
    for instruction in idl().instructions.iter().filter(|i| takes(&accounts(i))) {
        let name = &instruction.name;
        let mut named = steps.iter().map(|(step, _)| step.split(' ').next());
        assert!(named.any(|step| step == Some(name)), "no step of {name}");
    }
}

fn accounts(instruction: &IdlInstruction) -> Vec<&str> {
    let names = instruction.accounts.iter().map(|item| match item {
        IdlInstructionAccountItem::Single(account) => account.name.as_str(),
        IdlInstructionAccountItem::Composite(composite) => composite.name.as_str(),
    });
    names.collect()
}
