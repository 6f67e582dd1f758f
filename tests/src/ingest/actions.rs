//! Recorded random actions in which every kind of event happens.

use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::load::Summary;
use crate::{
    soak::{
        Action, Checked, Driver, Violation,
        action::ActionKind::{
            self, ClaimPolicy, RenewPolicy, ReplaceOracle, ReturnSlashes, SyncSeat,
        },
        actions,
        wind_down::WindDown,
    },
    world::{Recorder, World},
};

/// Most actions of a seed. Hardly an event happens first in later ones.
const ACTIONS: usize = 2_000;
/// Most seeds that are tried.
const SEEDS: u64 = 40;
/// Events that rarely happen by chance, and the actions that lead to them.
const RARE: [(&str, ActionKind); 5] = [
    ("OracleReplaced", ReplaceOracle),
    ("PolicyClaimed", ClaimPolicy),
    ("PolicyRenewed", RenewPolicy),
    ("SeatSynced", SyncSeat),
    ("SlashesReturned", ReturnSlashes),
];

/// Records the actions of the first seed from `seed` on that has every kind of event into `path`.
///
/// # Errors
///
/// The file can't be written, no seed has them, or the program differs from the books.
pub fn record(path: &Path, seed: u64) -> anyhow::Result<Summary> {
    for seed in seed..seed + SEEDS {
        let recorder = Recorder::create(path).with_context(|| path.display().to_string())?;
        match every_kind_of_event(recorder, seed, ACTIONS)? {
            Ok(mut world) => {
                let recorder = world.recorder.take().expect("the actions are recorded");
                let summary = Summary::of(seed, &recorder);
                recorder.finish()?;
                return Ok(summary);
            }
            Err(missing) => eprintln!("trying the next seed: {missing}"),
        }
    }
    bail!("none of {SEEDS} seeds from {seed} on has every kind of event")
}

/// A world in which every kind of event has happened, after `most` random actions or fewer, or else which
/// kinds are missing. The admin's key is that of the world.
pub fn every_kind_of_event(
    recorder: Recorder,
    seed: u64,
    most: usize,
) -> anyhow::Result<Result<World, String>> {
    let violated = |violation: Violation| anyhow!("seed {seed}: {}", violation.0);
    let mut driver = Driver::recorded(Some(recorder));
    for action in actions(seed, most) {
        if missing(&driver).is_empty() {
            break;
        }
        driver.act(&action).map_err(violated)?;
        try_rare(&mut driver, action.seed).map_err(violated)?;
    }
    if !missing(&driver).is_empty() {
        // Some happen only when everything is paid and closed.
        let wound_down = WindDown::new(&mut driver).all();
        wound_down.map_err(violated)?;
    }
    let missing = missing(&driver);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Ok(Err(format!("seed {seed} has no {missing}")));
    }
    let Driver {
        mut world, actors, ..
    } = driver;
    let admin = actors.key(&world.config().admin).expect("an actor");
    world.admin = admin.insecure_clone();
    Ok(Ok(world))
}

/// Tries the actions that lead to the rare events that have not happened.
fn try_rare(driver: &mut Driver, seed: u64) -> Checked {
    let missing = missing(driver);
    let rare = RARE.iter().filter(|(event, _)| missing.contains(event));
    for &(_, kind) in rare {
        driver.act(&Action {
            kind,
            seed,
            tampering: None,
        })?;
    }
    Ok(())
}

fn missing(driver: &Driver) -> Vec<&'static str> {
    let recorder = driver.world.recorder.as_ref();
    recorder.expect("the actions are recorded").missing_events()
}
