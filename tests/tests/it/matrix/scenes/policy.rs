use driftshield_sdk::{Instruction, Policy, PolicyTerms, instruction};
use driftshield_tests::insurance::CALM_DRIFT;

use crate::matrix::town::{FIRST, LAST, Town};

fn policy(town: &Town) -> Policy {
    let site = town.here();
    town.world.policy(&site.vault, &site.holder.address(), 1)
}

pub fn buy_policy(town: &mut Town) -> Instruction {
    let site = town.here();
    let insured = site.insured(town.world.clone());
    let terms: PolicyTerms = insured.terms();
    instruction::buy_policy(
        site.holder.address(),
        2,
        site.vault,
        &insured.vault(),
        site.model.address,
        site.holder.tokens,
        terms,
    )
}

/// By two windows, of a policy that they pay all of.
pub fn claim_policy(town: &mut Town) -> Instruction {
    town.measure_to(FIRST - 1, CALM_DRIFT);
    town.measure_to(LAST, 400_000);
    let vault = town.world.vault(&town.here().vault);
    instruction::claim_policy(&policy(town), &vault, FIRST)
}

pub fn cancel_policy(town: &mut Town) -> Instruction {
    let vault = town.world.vault(&town.here().vault);
    instruction::cancel_policy(&policy(town), &vault)
}

fn renew(town: &Town, signs: bool) -> Instruction {
    let site = town.here();
    let vault = town.world.vault(&site.vault);
    instruction::renew_policy(&policy(town), &vault, site.holder.tokens, signs)
}

pub fn renew_policy(town: &mut Town) -> Instruction {
    renew(town, true)
}

pub fn renew_policy_by_anyone(town: &mut Town) -> Instruction {
    renew(town, false)
}

pub fn expire_policy(town: &mut Town) -> Instruction {
    let (policy, model) = (policy(town), town.world.model(&town.here().model.address));
    town.world.warp_to(policy.expires_at(&model).unwrap());
    instruction::expire_policy(&policy)
}
