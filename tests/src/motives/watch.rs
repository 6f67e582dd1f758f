//! Somebody who recounts every window, and the arbiter.

use driftshield_sdk::{Entry, Measurement, Receipt, ReceiptState, address};

use super::{plan::Plan, stage::Stage, truth::counts};

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

    /// The arbiter rules that `window` is `found`, if it is in dispute. Returns whether it was.
    pub fn rule(&mut self, window: u64, found: Measurement) -> bool {
        let receipt = self.open_receipt(window);
        let is_disputed = receipt.is_some_and(|receipt| receipt.state == ReceiptState::Challenged);
        if is_disputed {
            let model = self.scene.model.clone();
            let sent = self.scene.world.rule(&model, window, &counts(found));
            sent.expect("rule_receipt");
        }
        is_disputed
    }
}
