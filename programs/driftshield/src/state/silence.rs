//! What silence costs: for which windows a model's oracles owe submissions, and who pays for those
//! that are missing.

use anchor_lang::prelude::*;

use crate::{Model, MAX_ORACLES};

impl Model {
    /// Counts a market or a policy on the windows from `first` to `last` in `exposure`.
    pub(super) fn expose(&mut self, first: u64, last: u64, now: i64) {
        if self.exposure == 0 {
            self.exposed_since = now;
            (self.observed_from, self.observed_until) = (first, last);
        }
        self.exposure += 1;
        self.observe(first, last);
    }

    /// Extends the observed windows to those from `first` to `last`.
    pub fn observe(&mut self, first: u64, last: u64) {
        self.observed_from = self.observed_from.min(first);
        self.observed_until = self.observed_until.max(last);
    }

    /// Whether the oracles owe submissions for `window`: it lies between the first and the last
    /// window of what has depended on the model since `exposure` was last 0, and began after that.
    pub fn observes(&self, window: u64) -> Result<bool> {
        Ok(0 < self.exposure
            && (self.observed_from..=self.observed_until).contains(&window)
            && self.exposed_since < self.window_start(window)?)
    }

    /// Returns the oracles that owed a submission for `window` and are not among those that
    /// `submitted`, as bits by oracle. An oracle owes one if its seat counted from the start of the
    /// window to the end of its submit period.
    pub fn silent(&self, window: u64, submitted: u8) -> Result<u8> {
        let mut silent = 0;
        if self.observes(window)? {
            let (start, end) = (self.window_start(window)?, self.submit_end(window)?);
            for oracle in 0..usize::from(self.oracle_count) {
                let bit = 1 << oracle;
                if submitted & bit == 0 && self.tenures[oracle].counted(start, end) {
                    silent |= bit;
                }
            }
        }
        Ok(silent)
    }

    /// Takes the penalty for silence from the `silent` oracles, bits by oracle, and adds it to the
    /// unearned pay, which never streams again. Returns what each lost: `absence_penalty`, but
    /// together at most what is at risk (rounded down), and at most its bond. The seats lose it when
    /// they are next changed.
    pub fn penalise(&mut self, silent: u8, now: i64) -> [u64; MAX_ORACLES] {
        let at_risk = u128::from(self.market_risk) + u128::from(self.cover_risk);
        let share = at_risk
            .checked_div(silent.count_ones().into())
            .unwrap_or(0)
            .min(self.absence_penalty.into()) as u64; // at most `absence_penalty`
        let mut penalties = [0; MAX_ORACLES];
        for (oracle, penalty) in penalties.iter_mut().enumerate() {
            if silent & (1 << oracle) != 0 {
                *penalty = share.min(self.bonds[oracle]);
                // Parts of the seat's bond, which the bond vault holds.
                self.penalties[oracle] += *penalty;
                self.pot.unearned += *penalty;
                self.set_bond(oracle, self.bonds[oracle] - *penalty, now);
            }
        }
        penalties
    }
}
