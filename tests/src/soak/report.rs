//! The log of a run, and its statistics.

use std::{collections::BTreeMap, fmt::Write};

use driftshield_sdk::error;
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

use super::{books::RareEvents, call::Call};
use crate::world::{Closings, Outcome};

/// A step that was run.
#[derive(Clone, Debug)]
pub enum LogEntry {
    /// Seconds of waiting.
    Waited(i64),
    /// The new rent in lamports per byte.
    Rent(u64),
    Called {
        call: Box<Call>,
        /// How the call was tampered with, if it was.
        tampering: Option<String>,
        /// Why the program refused it, if it did.
        refusal: Option<String>,
    },
}

/// Counters of calls, errors and rare events.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By instruction, how often it succeeded and how often it was refused.
    pub calls: BTreeMap<String, (u64, u64)>,
    /// By error, how many calls failed with it.
    pub errors: BTreeMap<String, u64>,
    pub rare_events: RareEvents,
    pub closings: Closings,
}

impl Tally {
    pub fn count(&mut self, call: &str, outcome: &Outcome) {
        let (succeeded, refused) = self.calls.entry(call.into()).or_default();
        match outcome {
            Ok(_) => *succeeded += 1,
            Err(failed) => {
                *refused += 1;
                *self.errors.entry(error_name(&failed.err)).or_default() += 1;
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
        self.rare_events.add(&other.rare_events);
        self.closings.add(&other.closings);
    }

    pub fn succeeded(&self) -> u64 {
        self.calls.values().map(|(succeeded, _)| succeeded).sum()
    }

    pub fn refused(&self) -> u64 {
        self.calls.values().map(|(_, refused)| refused).sum()
    }

    /// The number of calls, accepted or refused.
    pub fn steps(&self) -> u64 {
        self.succeeded() + self.refused()
    }

    /// A table of calls, a table of errors, and the rare events, as text.
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
        writeln!(table, "\nerrors that never occurred: {}", never.join(", ")).expect("a string");
        write!(table, "\n{:#?}\n{:#?}", self.rare_events, self.closings).expect("a string");
        table
    }
}

fn error_name(failed: &TransactionError) -> String {
    match failed {
        TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
            error::by_code(*code)
                .map_or_else(|| format!("custom {code}"), |error| error.name.clone())
        }
        other => other.to_string(),
    }
}
