//! The most that a motive may gain, in base units.

use super::{
    cover::EXHAUSTION, motive::Bound, plan::SPREAD, run::Run, stage::Stage, truth::TRIGGER,
};
use crate::insurance::COOLDOWN;

/// The state when a coalition first acts.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    market_risk: u64,
    cover_risk: u64,
    /// What the bonds secure.
    budget: u64,
    /// Cover that was sold before.
    covers: u64,
    /// Premium that the vault has got, and that has not streamed yet.
    unearned: u64,
    /// Premiums that others paid before.
    premiums: u64,
}

impl Mark {
    pub fn of(stage: &Stage) -> Self {
        let (model, vault) = (stage.scene.model(), stage.scene.vault_now());
        let secured = u64::from(model.security_multiple) * model.lasting_security;
        assert!(model.market_risk + model.cover_risk <= secured);
        Self {
            market_risk: model.market_risk,
            cover_risk: model.cover_risk,
            budget: secured,
            covers: stage.records.covers,
            unearned: vault.unearned + vault.held,
            premiums: stage.records.premiums,
        }
    }
}

/// The most that the coalition of `acting` may have more than in `idle`, where it did nothing. 0 if it
/// found nothing to do.
pub fn most(idle: &Run, acting: &Run) -> u64 {
    let Some(mark) = acting.mark else { return 0 };
    let records = &acting.stage.records;
    // What was sold after the first deed was at risk at later ones.
    let cover = mark.cover_risk + records.covers - mark.covers;
    let risk = mark.market_risk + cover;
    match acting.plan.motive.bound() {
        Bound::Nothing => 0,
        Bound::RiskAndPay => risk + idle.honest_pay(),
        Bound::RiskAndBonds => {
            let bond = acting.stage.scene.model().challenge_bond;
            risk + idle.honest_pay() + 2 * bond * acting.deeds
        }
        Bound::Stakes => mark.market_risk,
        Bound::Spread => {
            let ramp = EXHAUSTION - TRIGGER;
            let policies = records.policies;
            mark.market_risk + cover * SPREAD / ramp + policies // each rounded
        }
        Bound::Budget => mark.budget,
        Bound::LaterLosses => {
            let left_at = records.left_at.map_or(i64::MAX, |at| at + COOLDOWN);
            let losses = records.losses.iter();
            let later = losses.filter(|(at, _)| left_at < *at);
            later.map(|(_, amount)| amount).sum()
        }
        Bound::Unearned => mark.unearned + records.premiums - mark.premiums,
        Bound::Renewal => records.renewals,
        Bound::OwnPremium => idle.stage.records.own_premium,
    }
}
