//! Statistics of a model's values.

use crate::{Measurement, Model};

impl Model {
    /// Records what `window` was proposed or ruled to be, unless a later window has a value already.
    /// If the latest window is ruled thin, its value is refuted: the newest Final value takes its
    /// place.
    pub fn record_latest(&mut self, window: u64, measurement: Measurement) {
        match measurement {
            Measurement::Value(value) if self.latest_window <= window => {
                self.latest_window = window;
                self.latest = value;
            }
            Measurement::Thin if self.latest_window == window => {
                self.latest_window = self.last_window;
                self.latest = self.last_value;
            }
            _ => {}
        }
    }

    /// Records the Final value of `window` in the statistics. A late value of an earlier window
    /// changes the count and the maximum only. A thin window has no value.
    pub fn record_settled(&mut self, window: u64, measurement: Measurement) {
        let Measurement::Value(value) = measurement else {
            return;
        };
        let first = self.final_count == 0;
        self.final_count = self.final_count.wrapping_add(1); // once per receipt
        self.max_value = self.max_value.max(value);
        if first || self.last_window < window {
            self.last_window = window;
            self.last_value = value;
            self.record_latest(window, measurement); // a later value may have been refuted
            self.ewma = if first {
                value
            } else {
                // Drift values are far below 2⁶¹.
                (7 * self.ewma + value) / 8
            };
        }
    }
}
