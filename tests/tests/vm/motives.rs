//! Coalitions with motives, from fixed seeds: what they profit, and that it is no more than the protocol's
//! page and SECURITY.md allow.

use std::thread;

use driftshield_tests::motives::{
    Pair,
    motive::{Bound, Motive},
    tally::Tally,
};

/// Seeds of each motive.
const ROUNDS: u64 = 4;
/// Runs of each motive in which the coalition finds something to do, at least.
const LEAST_RUNS: u64 = 2;

/// Runs a seed. Panics at a violation, with the command that replays it.
#[track_caller]
fn run(seed: u64) -> Pair {
    Pair::run(seed).unwrap_or_else(|violation| {
        panic!(
            "seed {seed}: {}\nreplay: scripts/soak --motives {seed}",
            violation.0
        )
    })
}

/// Runs the first seeds of all motives, on all processors.
fn tally() -> Tally {
    let seeds = ROUNDS * Motive::ALL.len() as u64;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let pairs: Vec<Pair> = thread::scope(|scope| {
        let runs: Vec<_> = (0..threads as u64)
            .map(|first| {
                scope.spawn(move || (first..seeds).step_by(threads).map(run).collect::<Vec<_>>())
            })
            .collect();
        let joined = runs.into_iter().map(|run| run.join());
        joined
            .flat_map(|pairs| pairs.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut tally = Tally::default();
    pairs.iter().for_each(|pair| tally.count(pair));
    tally
}

#[test]
fn no_coalition_profits_by_more_than_the_pages_allow() {
    // When coalitions of all motives act (`run` panics if one profits by more)
    let tally = tally();
    println!("{}", tally.table());

    for motive in Motive::ALL {
        let line = &tally.0[&motive];
        // Then each found something to do
        assert!(LEAST_RUNS <= line.runs, "{motive:?}: {line:?}");
        // And none that breaks a rule has gained, while somebody recounts and the arbiter is honest
        if motive.bound() == Bound::Nothing {
            assert_eq!(line.gains, 0, "{motive:?}: {line:?}");
        }
    }
    // And the same lies pay if nobody recounts or the arbiter takes part, and so does what the rules allow:
    // the deeds have an effect, and profit is noticed
    for motive in [
        Motive::RuleLate,
        Motive::RuleFalsely,
        Motive::RuleForLiars,
        Motive::WithholdUnwatched,
        Motive::BendUnwatched,
        Motive::CallThinUnwatched,
        Motive::BuyOnComing,
        Motive::BuyStakes,
        Motive::DepositLate,
        Motive::RenewOnRunning,
        Motive::SellCheaply,
    ] {
        let line = &tally.0[&motive];
        assert!(0 < line.gains, "{motive:?}: {line:?}");
    }
}

#[test]
fn a_base_unit_of_profit_is_noticed() {
    // Given a coalition that breaks a rule, and loses by it
    let seed = Motive::ALL
        .iter()
        .position(|motive| *motive == Motive::BendAndReturn)
        .unwrap() as u64;
    let pair = run(seed);
    let loss = pair.profit.unsigned_abs();
    assert!(0 < pair.deeds && pair.profit < 0, "{pair:?}");

    // When it is given as much as it has lost, then nothing is noticed; with one base unit more, it is
    assert_eq!(Pair::with_gift(seed, loss).unwrap().profit, 0);
    let violation = Pair::with_gift(seed, loss + 1).unwrap_err();
    assert!(violation.0.contains("profit: 1, most: 0"), "{violation:?}");
}

#[test]
fn a_seed_determines_a_pair_of_runs() {
    assert_eq!(run(7), run(7));
}
