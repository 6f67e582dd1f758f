//! A model-based test of the whole program. Random calls of many actors, honest and hostile, run on the
//! built program and in the [`books`], an independent reference implementation of the protocol.
//!
//! After each step, every account on chain is compared with the books, and the [`invariants`] are
//! checked. A sequence of [`action`]s replays exactly; [`shrink`] reduces a failing sequence to a small
//! part that still fails.

pub mod action;
pub mod actors;
pub mod attackers;
pub mod books;
pub mod call;
pub mod report;
pub mod shrink;
pub mod wind_down;

mod compare;
mod driver;
mod generate;
mod invariants;
mod run;
mod setup;
mod snapshot;
mod step;
mod tamper;
mod terms;

pub use action::{Action, actions};
pub use driver::Driver;
pub use step::{Checked, Step, Violation, guarded};

/// The driver after the first `steps` actions of a seed.
///
/// # Panics
///
/// If an action causes a violation.
pub fn driver_after(seed: u64, steps: usize) -> Driver {
    let mut driver = Driver::new();
    run_or_panic(&mut driver, seed, &actions(seed, steps));
    driver
}

/// `count` forks of a seed's driver, one after every `every` actions. Each comes with the number of
/// actions run so far.
///
/// # Panics
///
/// If an action causes a violation.
pub fn checkpoints(seed: u64, every: usize, count: usize) -> impl Iterator<Item = (usize, Driver)> {
    let actions = actions(seed, every * count);
    let mut driver = Driver::new();
    (0..count).map(move |checkpoint| {
        let (from, steps) = (checkpoint * every, (checkpoint + 1) * every);
        run_or_panic(&mut driver, seed, &actions[from..steps]);
        (steps, driver.fork())
    })
}

fn run_or_panic(driver: &mut Driver, seed: u64, actions: &[Action]) {
    if let Err(violation) = driver.run(actions) {
        panic!("seed {seed}: {}\n{}", violation.0, driver.transcript());
    }
}
