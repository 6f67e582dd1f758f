//! Somebody who recounts every window, and the arbiter.

use driftshield_sdk::{Entry, Measurement, Receipt, ReceiptState, address};

use super::{plan::Plan, stage::Stage, truth::counts};
use crate::world::HOUR;

/// The longest time between two times at which the arbiter can act.
pub const LONGEST_STEP: i64 = 12 * HOUR;

impl Stage {
    /// Challenges `window` if what is proposed disagrees with the truth, or if oracles owe the window and
    /// none has submitted.
    pub fn challenge_if_wrong(&mut self, plan: &Plan, window: u64) {
        let (model, challenger) = (self.scene.model.clone(), self.cast.challenger.clone());
        let truth = plan.truth.at(window);
        if self.is_wrong(truth, window) {
            let sent = self
                .scene
                .world
                .challenge(&model, window, &challenger, &counts(truth));
            sent.expect("challenge_receipt");
        }
    }

    fn is_wrong(&self, truth: Measurement, window: u64) -> bool {
        let model = self.scene.model();
        match self.open_receipt(window) {
            Some(receipt) if receipt.state == ReceiptState::Proposed => {
                let proposed = receipt.agreed(&model).expect("a proposal");
                !truth.agrees(proposed, model.max_spread)
            }
            Some(_) => false, // the arbiter rules on a dispute without a challenge
            None => {
                let is_missing =
                    self.scene.world.entry(&self.scene.model.address, window) == Entry::None;
                let is_owed = model.observes(window).expect("in range");
                is_missing && is_owed && truth != Measurement::Thin
            }
        }
    }

    /// The receipt of `window`, if there is one that isn't settled.
    pub fn open_receipt(&self, window: u64) -> Option<Receipt> {
        let at = address::receipt(&self.scene.model.address, window);
        let exists = self.scene.world.exists(&at);
        let receipt = exists.then(|| self.scene.world.read::<Receipt>(&at))?;
        (!receipt.is_settled()).then_some(receipt)
    }

    /// The honest arbiter rules on what is in dispute: at once, or as late as it can.
    pub fn rule_honestly(&mut self, plan: &Plan) {
        for (_, receipt) in self.all::<Receipt>() {
            let last_time = self.ruling_end(&receipt) - LONGEST_STEP;
            if is_disputed(&receipt) && (plan.is_prompt || last_time <= self.scene.world.now()) {
                self.rule(receipt.window, plan.truth.at(receipt.window));
            }
        }
    }

    /// The windows that are in dispute.
    pub fn disputed(&self) -> Vec<u64> {
        let receipts = self
            .all::<Receipt>()
            .into_iter()
            .map(|(_, receipt)| receipt);
        receipts
            .filter(is_disputed)
            .map(|receipt| receipt.window)
            .collect()
    }

    /// When the time for a ruling is over.
    fn ruling_end(&self, receipt: &Receipt) -> i64 {
        let model = self.scene.model();
        let challenge_secs = if receipt.has_challenger() {
            0
        } else {
            model.challenge_secs
        };
        receipt.since + challenge_secs + model.ruling_secs
    }

    /// The arbiter rules that `window`, which is in dispute, is `found`.
    pub fn rule(&mut self, window: u64, found: Measurement) {
        let model = self.scene.model.clone();
        let sent = self.scene.world.rule(&model, window, &counts(found));
        sent.expect("rule_receipt");
    }
}

fn is_disputed(receipt: &Receipt) -> bool {
    receipt.state == ReceiptState::Challenged
}
