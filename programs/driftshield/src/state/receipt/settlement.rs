//! Steps of a receipt that time causes, and what settling it records.

use anchor_lang::{bytemuck, prelude::*};

use super::submission::{oracles, Finding};
use crate::{Entry, Measurement, Model, Penalty, Receipt, ReceiptState, MAX_ORACLES};

impl Receipt {
    /// Applies every step that is due by `now`. A step that the end of a period causes takes effect
    /// at that end, so that nobody gains by a late call. Returns whether the state changed.
    pub fn advance(&mut self, model: &mut Model, now: i64) -> Result<bool> {
        let before = self.state;
        if self.state == ReceiptState::Collecting {
            let submit_end = model.submit_end(self.window)?;
            if submit_end <= now {
                self.propose(model, submit_end);
            } else if self.is_complete(model)? {
                // The last awaited seat stopped counting.
                self.propose(model, now);
            }
        }
        if self.state == ReceiptState::Proposed {
            let decided = self.since + model.challenge_secs;
            if decided <= now {
                self.settle(model, self.agreed_finding(model), decided)?;
            }
        } else if self.state == ReceiptState::Challenged {
            let decided = self.ruling_end(model);
            if decided <= now {
                self.lapse(model, decided)?;
            }
        }
        Ok(self.state != before)
    }

    /// Settles the receipt by what was found, or as Void if nothing was: records it in the model's
    /// statistics and chain, rewards the submitters that agree with it, and penalises the silent.
    /// Nobody is penalised if nothing was found.
    pub(super) fn settle(
        &mut self,
        model: &mut Model,
        found: Option<Finding>,
        since: i64,
    ) -> Result<()> {
        self.since = since;
        self.state = ReceiptState::Void.into();
        if let Some(found) = found {
            self.state = match found.measurement {
                Measurement::Value(_) => ReceiptState::Final,
                Measurement::Thin => ReceiptState::Thin,
            }
            .into();
            self.value = found.measurement.value();
            model.record_settled(self.window, found.measurement);
            self.earners = found.agreeing;
            self.silent = model.silent(self.window, self.submitted)?;
            if self.silent != 0 {
                self.penalties = model.penalise(self.silent, since);
            }
        }
        model.reward(self.pay, self.earners);
        if !self.is_appealable() {
            self.stop_counting(model);
        }
        model.chain = self.extend_chain(&model.chain);
        Ok(())
    }

    /// Whether the receipt is Final, Void or Thin, so that its value can't change any more.
    pub fn is_settled(&self) -> bool {
        self.entry() != Entry::Open
    }

    /// Returns what oracles, challenger and treasury can still get, in base units of the bond mint.
    pub fn owed(&self) -> u64 {
        // Parts of the bond vault's balance.
        self.challenger_credit + self.treasury_credit + self.held()
    }

    /// Whether the receipt is settled and owes nothing, so that nobody needs it any more.
    pub fn is_done(&self) -> bool {
        // As long as something is held, it can be returned or wait to be credited.
        self.is_settled()
            && !self.is_appealable()
            && self.challenger_credit + self.treasury_credit == 0
    }

    /// Returns what each silent oracle lost, in the order of the model's oracles.
    pub fn penalties(&self, model: &Model) -> Vec<Penalty> {
        let penalty = |oracle| Penalty {
            oracle: model.oracles[oracle],
            amount: self.penalties[oracle],
        };
        match self.silent {
            0 => vec![], // nearly always
            silent => oracles(silent).map(penalty).collect(),
        }
    }

    /// Returns the entry of the receipt's window in the series.
    pub fn entry(&self) -> Entry {
        match self.state.into() {
            ReceiptState::Collecting | ReceiptState::Proposed | ReceiptState::Challenged => {
                Entry::Open
            }
            ReceiptState::Final => Entry::Final(self.value),
            ReceiptState::Void => Entry::Void,
            ReceiptState::Thin => Entry::Thin,
        }
    }

    /// Returns the next head of the receipt chain: SHA-256 of head ‖ window ‖ state ‖ value ‖ total
    /// samples ‖ the seven evidence hashes by oracle (zeros if none). Numbers are u64 and the state
    /// is u8, little-endian.
    pub fn extend_chain(&self, head: &[u8; 32]) -> [u8; 32] {
        let samples: u64 = self.samples.iter().sum();
        let mut link = [0; 32 + 8 + 1 + 8 + 8 + 32 * MAX_ORACLES];
        let (numbers, evidence) = link.split_at_mut(32 + 8 + 1 + 8 + 8);
        numbers[..32].copy_from_slice(head);
        numbers[32..40].copy_from_slice(&self.window.to_le_bytes());
        numbers[40] = self.state.0;
        numbers[41..49].copy_from_slice(&self.value.to_le_bytes());
        numbers[49..].copy_from_slice(&samples.to_le_bytes());
        evidence.copy_from_slice(bytemuck::bytes_of(&self.evidence));
        sha256(&link)
    }
}
