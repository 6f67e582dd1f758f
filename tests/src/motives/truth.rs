//! What a model's outputs really are, window by window, whatever anybody reports.

use driftshield_sdk::Measurement;
use rand::{Rng, rngs::StdRng};

use crate::{insurance::HISTORY, world::share};

/// The trigger of all policies and the threshold of all markets.
pub const TRIGGER: u64 = 180_000;
/// The first window that may drift: cover that is sold at the start has begun by then.
pub const CALM_UNTIL: u64 = HISTORY + 6;
/// The first window that may drift if policies of the start are to be renewed, or stakes of the start to be
/// sold: neither can once drift has paid.
pub const CALM_LONGER_UNTIL: u64 = CALM_UNTIL + 4;
/// Windows after which nothing depends on the model any more.
pub const END: u64 = HISTORY + 24;

/// The true measurement of every window.
#[derive(Clone, Debug)]
pub struct Truth(Vec<Measurement>);

impl Truth {
    /// Draws calm windows up to `calm_until`, then spells of calm, drift, a rise, values close to the
    /// trigger, and thin windows. `spread` is the distance within which values agree.
    pub fn draw(random: &mut StdRng, calm_until: u64, spread: u64) -> Self {
        let mut windows: Vec<Measurement> = (0..calm_until).map(|_| Self::calm(random)).collect();
        while windows.len() < END as usize {
            let length = random.random_range(1..=3);
            match random.random_range(0..10) {
                0..2 => windows.extend((0..length).map(|_| Self::calm(random))),
                2..6 => windows
                    .extend((0..length).map(|_| {
                        Measurement::Value(random.random_range(2 * TRIGGER..4 * TRIGGER))
                    })),
                6 => windows.extend(
                    (1..=4).map(|step| Measurement::Value(step * TRIGGER / 2 - TRIGGER / 4)),
                ),
                7..9 => windows.extend((0..length).map(|_| {
                    Measurement::Value(random.random_range(TRIGGER - spread..TRIGGER + spread))
                })),
                _ => windows.push(Measurement::Thin),
            }
        }
        Self(windows)
    }

    fn calm(random: &mut StdRng) -> Measurement {
        Measurement::Value(random.random_range(10_000..50_000))
    }

    pub fn at(&self, window: u64) -> Measurement {
        self.0[window as usize]
    }

    /// Whether the window's drift reaches the trigger.
    pub fn drifts(&self, window: u64) -> bool {
        window < END && reaches(self.at(window))
    }
}

/// Whether a measurement is a value at the trigger or above.
pub fn reaches(measurement: Measurement) -> bool {
    matches!(measurement, Measurement::Value(value) if TRIGGER <= value)
}

/// Counts whose measurement is `measurement`.
pub fn counts(measurement: Measurement) -> [u32; 2] {
    match measurement {
        Measurement::Value(value) => share(value),
        Measurement::Thin => [10, 2],
    }
}
