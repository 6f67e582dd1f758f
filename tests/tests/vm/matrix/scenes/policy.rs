use driftshield_sdk::{Instruction, Policy, PolicyTerms, instruction};
use driftshield_tests::insurance::CALM_DRIFT;

use crate::matrix::town::{FIRST, LAST, Town};

/// The policy, of a vault that covers a second model.
fn policy(town: &mut Town) -> Policy {
    town.list_idle(1);
    let site = town.here();
    town.world.policy(&site.vault, &site.holder.address(), 1)
}

pub fn buy_policy(town: &mut Town) -> Instruction {
    town.list_idle(1);
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
    let (policy, vault) = (policy(town), town.world.vault(&town.here().vault));
    instruction::claim_policy(&policy, &vault, FIRST)
}

pub fn cancel_policy(town: &mut Town) -> Instruction {
    let (policy, vault) = (policy(town), town.world.vault(&town.here().vault));
    instruction::cancel_policy(&policy, &vault)
}

fn renew(town: &mut Town, signs: bool) -> Instruction {
    let (policy, vault) = (policy(town), town.world.vault(&town.here().vault));
    instruction::renew_policy(&policy, &vault, town.here().holder.tokens, signs)
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
