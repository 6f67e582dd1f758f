//! The chances of the drift analysis, compared with what happens in simulated series.

use driftshield_tests::{calibration::calibrate, noise::threads};

/// Number of series of each law. `scripts/bench analysis` draws 1,000.
const SERIES: u64 = 40;

/// Accepted calibration error. That of a method that takes the windows for independent is twice as high.
const CALIBRATION_ERROR: f64 = 0.02;

#[test]
fn chances_are_calibrated_and_those_for_independent_windows_are_not() {
    let results = calibrate(SERIES, &[1, 3, 10], 2, threads());
    let (all, max) = (&results.all, &results.max);
    assert!(all.calibration_error < CALIBRATION_ERROR, "{all:?}");
    assert!(all.bias.abs() < 0.02 && 0.4 < all.skill, "{all:?}");
    assert!(max.calibration_error < CALIBRATION_ERROR, "{max:?}");
    assert!(0.45 < max.skill, "{max:?}");
    for (law, report) in &results.by_law {
        assert!(report.calibration_error < 0.15, "{law}: {report:?}");
        assert!(0.05 < report.skill, "{law}: {report:?}");
    }
    let independent = &results.max_if_independent;
    assert!(
        1.5 * CALIBRATION_ERROR < independent.calibration_error,
        "{independent:?}"
    );
    assert!(independent.skill < 0.4, "{independent:?}");
}
