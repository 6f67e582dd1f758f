//! A property test of the whole program: random calls by many actors, honest and hostile, run on the
//! built program and in the [`books`], an independent account of what everybody has and is owed.
//!
//! After each step everything that the chain tells is compared with what the books tell, and what must
//! always hold is looked for. A sequence of [`action`]s replays exactly, and [`shrink`] finds a small
//! part of it that still goes wrong.

pub mod action;
pub mod books;
pub mod call;
pub mod cast;
pub mod check;
pub mod hostile;
pub mod leave;
pub mod report;
pub mod run;
pub mod shrink;

mod choose;
mod invariants;
mod prelude;
mod twist;

pub use action::{Action, actions};
pub use run::{Driver, Violation};

/// The world, everybody in it and the books after `steps` actions of a seed. Nothing may have gone
/// wrong on the way.
pub fn reach(seed: u64, steps: usize) -> Driver {
    let mut driver = Driver::new();
    if let Err(violation) = driver.run(&actions(seed, steps)) {
        panic!("seed {seed}: {}\n{}", violation.0, driver.tell());
    }
    driver
}

/// The states that a seed comes to after each `every` actions, `count` of them, with the number of actions.
pub fn stops(seed: u64, every: usize, count: usize) -> impl Iterator<Item = (usize, Driver)> {
    let actions = actions(seed, every * count);
    let mut driver = Driver::new();
    (0..count).map(move |stop| {
        let (from, steps) = (stop * every, (stop + 1) * every);
        if let Err(violation) = driver.run(&actions[from..steps]) {
            panic!("seed {seed}: {}\n{}", violation.0, driver.tell());
        }
        (steps, driver.fork())
    })
}
