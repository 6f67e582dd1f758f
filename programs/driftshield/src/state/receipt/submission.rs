//! Submissions of the oracles, and the measurement on which they agree.

use anchor_lang::prelude::*;

use crate::{math, DriftShieldError, Measurement, Model, Receipt, ReceiptState, MAX_ORACLES};

/// Returns the indices of the oracles in `bits`, in ascending order.
pub(crate) fn oracles(bits: u8) -> impl Iterator<Item = usize> {
    (0..MAX_ORACLES).filter(move |&oracle| bits & (1 << oracle) != 0)
}

/// What a receipt's window is found to be, and the submitters that agree with it, as bits by oracle.
#[derive(Clone, Copy)]
pub(super) struct Finding {
    pub measurement: Measurement,
    pub agreeing: u8,
}

impl Receipt {
    pub fn has_submitted(&self, oracle: usize) -> bool {
        self.submitted & (1 << oracle) != 0
    }

    pub fn submissions(&self) -> usize {
        self.submitted.count_ones() as usize
    }

    /// Returns the indices of the oracles that have submitted.
    pub fn submitters(&self) -> impl Iterator<Item = usize> + '_ {
        oracles(self.submitted)
    }

    /// Returns the measurement of an oracle that has submitted.
    pub fn submission(&self, oracle: usize) -> Measurement {
        if self.thin & (1 << oracle) == 0 {
            Measurement::Value(self.values[oracle])
        } else {
            Measurement::Thin
        }
    }

    /// Records the submission of the oracle at index `oracle`, and the median of all values so far.
    /// Proposes what a quorum agrees on, or starts a dispute, once a quorum and every seat that
    /// counts have submitted. The receipt must be Collecting.
    pub fn submit(
        &mut self,
        model: &mut Model,
        oracle: usize,
        measurement: Measurement,
        samples: u64,
        evidence_hash: [u8; 32],
        now: i64,
    ) -> Result<()> {
        require!(
            !self.has_submitted(oracle),
            DriftShieldError::AlreadySubmitted
        );
        self.submitted |= 1 << oracle;
        model.tenures[oracle].open_submissions += 1; // once per window
        self.samples[oracle] = samples;
        self.evidence[oracle] = evidence_hash;
        match measurement {
            Measurement::Value(value) => self.values[oracle] = value,
            Measurement::Thin => self.thin |= 1 << oracle,
        }
        self.value = self.median();
        if self.is_complete(model)? {
            self.propose(model, now);
        }
        Ok(())
    }

    /// Returns the median of the submitted values; 0 if there is none.
    fn median(&self) -> u64 {
        let mut values = [0; MAX_ORACLES];
        let mut count = 0;
        for oracle in self.submitters() {
            if let Measurement::Value(value) = self.submission(oracle) {
                values[count] = value;
                count += 1;
            }
        }
        if count == 0 {
            return 0;
        }
        math::median(&mut values[..count])
    }

    /// Whether a quorum and every seat that counts have submitted, except those of oracles that were
    /// listed after the window began.
    pub(super) fn is_complete(&self, model: &Model) -> Result<bool> {
        for oracle in 0..usize::from(model.oracle_count) {
            let awaited = model.seat_counts(oracle) && !self.has_submitted(oracle);
            if awaited && model.was_listed(oracle, self.window)? {
                return Ok(false);
            }
        }
        Ok(self.has_quorum(model))
    }

    pub(super) fn has_quorum(&self, model: &Model) -> bool {
        usize::from(model.quorum) <= self.submissions()
    }

    /// Returns the measurement on which a quorum of the submissions agrees: thin, or the median of
    /// the values. There is at most one, because a quorum is more than half of the oracles. The
    /// receipt must not be settled.
    pub fn agreed(&self, model: &Model) -> Option<Measurement> {
        Some(self.agreed_finding(model)?.measurement)
    }

    pub(super) fn agreed_finding(&self, model: &Model) -> Option<Finding> {
        [Measurement::Thin, Measurement::Value(self.value)]
            .into_iter()
            .map(|measurement| self.finding(model, measurement))
            .find(|finding| u32::from(model.quorum) <= finding.agreeing.count_ones())
    }

    pub(super) fn finding(&self, model: &Model, measurement: Measurement) -> Finding {
        Finding {
            measurement,
            agreeing: self.agreeing(measurement, model.max_spread),
        }
    }

    fn agreeing(&self, measurement: Measurement, max_spread: u64) -> u8 {
        match measurement {
            Measurement::Thin => self.thin,
            Measurement::Value(value) => oracles(self.submitted & !self.thin)
                .filter(|&oracle| self.values[oracle].abs_diff(value) <= max_spread)
                .fold(0, |bits, oracle| bits | 1 << oracle),
        }
    }

    /// Proposes what a quorum agrees on, or starts a dispute if there is no such measurement.
    pub(super) fn propose(&mut self, model: &mut Model, since: i64) {
        self.since = since;
        self.state = match self.agreed(model) {
            Some(measurement) => {
                model.record_latest(self.window, measurement);
                ReceiptState::Proposed
            }
            None => ReceiptState::Challenged,
        }
        .into();
    }
}
