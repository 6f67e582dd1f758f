//! A stateful test of agents with motives. A coalition of oracles, holders, bettors, providers, managers,
//! owners and arbiters tries to profit, and its profit is counted in base units.
//!
//! A seed draws a hidden truth for every window and everything that others do. From one state, the world
//! runs to its end twice: in one run the coalition keeps the rules, in the other it does what it is after.
//! Others act alike in both. When everything is settled and everybody has left, the two purses are
//! compared: the difference must not exceed what the protocol's page and SECURITY.md allow, which is nothing
//! for whoever breaks a rule while somebody recounts and the arbiter is honest.

pub mod motive;
pub mod tally;

mod bound;
mod coalition;
mod cover;
mod keeper;
mod plan;
mod run;
mod stage;
mod truth;
mod watch;

use std::collections::BTreeSet;

use motive::Motive;
use plan::Plan;
use run::Run;

use crate::soak::{Checked, Violation, guarded};

/// How a pair of runs ended, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub seed: u64,
    pub motive: Motive,
    /// How often the coalition acted.
    pub deeds: u64,
    /// What it has more at the end than if it had not.
    pub profit: i64,
    /// The most that it may have more.
    pub most: u64,
}

impl Pair {
    /// Runs a seed's world twice, with and without the deeds of its coalition.
    ///
    /// # Errors
    ///
    /// A violation if the coalition gains more than the pages allow, or if a run panics.
    pub fn run(seed: u64) -> Checked<Self> {
        Self::with_gift(seed, 0)
    }

    /// Like [`Self::run`], but gives the coalition `gift` base units at the end, to see that a profit is noticed.
    pub fn with_gift(seed: u64, gift: u64) -> Checked<Self> {
        guarded(|| {
            let pair = Self::compare(&Plan::draw(seed), gift);
            if i128::from(pair.profit) <= i128::from(pair.most) {
                Ok(pair)
            } else {
                Err(Violation(format!("{pair:?}")))
            }
        })
    }

    fn compare(plan: &Plan, gift: u64) -> Self {
        let (idle, mut acting) = both(&Run::start(plan));
        acting.stage.give(gift);
        Self {
            seed: plan.seed,
            motive: plan.motive,
            deeds: acting.deeds,
            profit: acting.purse() as i64 - idle.purse() as i64, // fewer tokens than 2⁶³
            most: bound::most(&idle, &acting),
        }
    }
}

/// Runs to the end without and with the coalition's deeds. A trade of others that only one of the runs
/// would accept is left out of both: what a coalition gains must not be what others happened not to do.
fn both<'a>(start: &Run<'a>) -> (Run<'a>, Run<'a>) {
    let mut left_out = BTreeSet::new();
    loop {
        let [idle, acting] = [false, true].map(|acts| start.clone().finish(acts, &left_out));
        let different = &idle.trades ^ &acting.trades;
        if different.is_empty() {
            return (idle, acting);
        }
        left_out.extend(different);
    }
}
