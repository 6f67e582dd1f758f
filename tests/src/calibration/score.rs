//! Scores of forecasts: calibration by bins, and the Brier score.

use serde::Serialize;

/// Forecasts that are added up.
#[derive(Clone, Default)]
pub struct Score {
    bins: [Sums; 10],
    /// Sum of the squared differences between chance and outcome.
    squares: f64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    chances: f64,
    happened: u64,
    forecasts: u64,
}

/// What a score shows.
#[derive(Debug, Serialize)]
pub struct Report {
    pub forecasts: u64,
    /// Mean squared difference between chance (0 to 1) and outcome (0 or 1); the lower, the better.
    pub brier: f64,
    /// The same for the base-rate forecast: always the share that happened.
    pub brier_of_base_rate: f64,
    /// By how much `brier` is lower, relatively.
    pub skill: f64,
    /// Mean distance of the forecast chances from the share that happened, by bins, weighted by forecasts
    /// (expected calibration error).
    pub calibration_error: f64,
    /// Mean chance minus share that happened.
    pub bias: f64,
    /// Bins of the chance, 0 to 0.1, 0.1 to 0.2, …
    pub bins: Vec<Bin>,
}

#[derive(Debug, Serialize)]
pub struct Bin {
    pub forecasts: u64,
    /// Mean chance.
    pub forecast: f64,
    /// Share that happened.
    pub happened: f64,
}

impl Score {
    pub fn add(&mut self, chance: f64, happened: bool) {
        let bin = &mut self.bins[((chance * 10.0) as usize).min(9)];
        bin.chances += chance;
        bin.happened += u64::from(happened);
        bin.forecasts += 1;
        self.squares += (chance - f64::from(u8::from(happened))).powi(2);
    }

    pub fn report(&self) -> Report {
        let sum = |of: &dyn Fn(&Sums) -> f64| self.bins.iter().map(of).sum::<f64>();
        let forecasts = sum(&|bin| bin.forecasts as f64);
        let happened = sum(&|bin| bin.happened as f64);
        let distance = sum(&|bin| (bin.chances - bin.happened as f64).abs());
        let share = happened / forecasts;
        let (brier, base_rate) = (self.squares / forecasts, share * (1.0 - share));
        let bins = self.bins.iter().map(|bin| Bin {
            forecasts: bin.forecasts,
            forecast: rounded(bin.chances / bin.forecasts.max(1) as f64),
            happened: rounded(bin.happened as f64 / bin.forecasts.max(1) as f64),
        });
        Report {
            forecasts: forecasts as u64,
            brier: rounded(brier),
            brier_of_base_rate: rounded(base_rate),
            skill: rounded(1.0 - brier / base_rate),
            calibration_error: rounded(distance / forecasts),
            bias: rounded((sum(&|bin| bin.chances) - happened) / forecasts),
            bins: bins.collect(),
        }
    }
}

/// Four decimal places.
pub fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_computed_by_hand() {
        let mut score = Score::default();
        for (chance, happened) in [(0.05, false), (0.25, true), (0.25, false), (1.0, true)] {
            score.add(chance, happened);
        }
        let report = score.report();
        assert_eq!(report.forecasts, 4);
        // 0.0025, 0.5625, 0.0625 and 0.
        assert_eq!(report.brier, 0.1569);
        assert_eq!((report.brier_of_base_rate, report.skill), (0.25, 0.3725));
        // 0.05, 0.5 and 0, of 4.
        assert_eq!((report.calibration_error, report.bias), (0.1375, -0.1125));
        assert_eq!(
            (report.bins[2].forecast, report.bins[2].happened),
            (0.25, 0.5)
        );
        assert_eq!(report.bins[9].forecasts, 1);
    }
}
