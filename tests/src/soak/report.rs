//! What happened, in words and numbers.

use std::{collections::BTreeMap, fmt::Write};

use driftshield_sdk::{Address, address, error};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

use super::{books::Happened, call::Call, run::Driver};
use crate::world::Outcome;

/// A step of a story.
#[derive(Clone, Debug)]
pub enum Told {
    /// Seconds went by.
    Passed(i64),
    /// Somebody called; how the call was bent, and why it was refused.
    Called(Box<Call>, Option<String>, Option<String>),
}

/// How often each call succeeded and was refused, and by which errors.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub calls: BTreeMap<String, (u64, u64)>,
    pub errors: BTreeMap<String, u64>,
    pub happened: Happened,
}

impl Tally {
    pub fn count(&mut self, call: &str, outcome: &Outcome) {
        let (succeeded, refused) = self.calls.entry(call.into()).or_default();
        match outcome {
            Ok(_) => *succeeded += 1,
            Err(failed) => {
                *refused += 1;
                *self.errors.entry(name_of(&failed.err)).or_default() += 1;
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (call, (succeeded, refused)) in &other.calls {
            let own = self.calls.entry(call.clone()).or_default();
            own.0 += succeeded;
            own.1 += refused;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.happened.add(&other.happened);
    }

    pub fn succeeded(&self) -> u64 {
        self.calls.values().map(|(succeeded, _)| succeeded).sum()
    }

    pub fn refused(&self) -> u64 {
        self.calls.values().map(|(_, refused)| refused).sum()
    }

    pub fn steps(&self) -> u64 {
        self.succeeded() + self.refused()
    }

    /// A line a call, a line an error, and what happened.
    pub fn table(&self) -> String {
        let mut table = format!("{:<22} {:>9} {:>9}\n", "call", "succeeded", "refused");
        for (call, (succeeded, refused)) in &self.calls {
            writeln!(table, "{call:<22} {succeeded:>9} {refused:>9}").expect("a string");
        }
        let (succeeded, refused) = (self.succeeded(), self.refused());
        writeln!(table, "{:<22} {succeeded:>9} {refused:>9}\n", "all").expect("a string");
        for (error, count) in &self.errors {
            writeln!(table, "{error:<32} {count:>9}").expect("a string");
        }
        let never = error::all().iter().map(|error| error.name.as_str());
        let never: Vec<&str> = never
            .filter(|name| !self.errors.contains_key(*name))
            .collect();
        writeln!(table, "\nnever refused by: {}", never.join(", ")).expect("a string");
        write!(table, "\n{:#?}", self.happened).expect("a string");
        table
    }
}

fn name_of(failed: &TransactionError) -> String {
    match failed {
        TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
            error::by_code(*code)
                .map_or_else(|| format!("custom {code}"), |error| error.name.clone())
        }
        other => other.to_string(),
    }
}

impl Driver {
    /// The story so far, a line a step.
    pub fn tell(&self) -> String {
        let names = self.names();
        let mut told = String::new();
        for step in &self.story {
            match step {
                Told::Passed(secs) => writeln!(told, "  {secs} s pass"),
                Told::Called(call, bent, refused) => {
                    let mut line = format!("{call:?}");
                    for (address, name) in &names {
                        line = line.replace(&format!("{address:?}"), name);
                    }
                    let bent = bent
                        .as_ref()
                        .map_or(String::new(), |how| format!(", but {how}"));
                    let refused = refused
                        .as_ref()
                        .map_or(String::new(), |why| format!(": refused, {why}"));
                    writeln!(told, "  {line}{bent}{refused}")
                }
            }
            .expect("a string");
        }
        told
    }

    pub fn name(&self, at: &Address) -> String {
        self.names().remove(at).unwrap_or_else(|| at.to_string())
    }

    fn names(&self) -> BTreeMap<Address, String> {
        let mut names = BTreeMap::new();
        for actor in self.cast.addresses() {
            names.insert(actor, self.cast.name(&actor).expect("an actor").into());
            for (token, size) in self.cast.tokens.iter().zip(["small", "large", "freezable"]) {
                let own = address::token_account(&actor, &token.mint, token.program);
                names.insert(own, format!("{}'s {size}", names[&actor]));
            }
        }
        for (at, account) in &self.remembered {
            names.insert(*at, format!("{} {}", account.name(), &at.to_string()[..4]));
        }
        names
    }
}
