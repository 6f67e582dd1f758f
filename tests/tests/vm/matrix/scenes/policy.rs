//! Scenes of the instructions on policies.

use driftshield_sdk::{Instruction, Policy, PolicyTerms, instruction};
use driftshield_tests::insurance::CALM_DRIFT;

use crate::matrix::fixture::{FIRST_WINDOW, Fixture, LAST_WINDOW};

/// Policy 1 of the holder, in a vault that lists a second model.
fn policy(fixture: &mut Fixture) -> Policy {
    fixture.list_idle_models(1);
    let set = fixture.target();
    fixture.world.policy(&set.vault, &set.holder.address(), 1)
}

pub fn buy_policy(fixture: &mut Fixture) -> Instruction {
    fixture.list_idle_models(1);
    let set = fixture.target();
    let insured = set.insured(fixture.world.clone());
    let terms: PolicyTerms = insured.terms();
    instruction::buy_policy(
        set.holder.address(),
        2,
        set.vault,
        &insured.vault(),
        set.model.address,
        set.holder.tokens,
        terms,
    )
}

/// The holder is owed the whole cover.
pub fn claim_policy(fixture: &mut Fixture) -> Instruction {
    fixture.begin_policies();
    fixture.measure_through(LAST_WINDOW, 400_000);
    let examine = examine_policy_now(fixture);
    fixture.world.send(examine, &[]).unwrap();
    let (policy, vault) = (
        policy(fixture),
        fixture.world.vault(&fixture.target().vault),
    );
    instruction::claim_policy(&policy, &vault)
}

/// On probation.
pub fn cancel_policy(fixture: &mut Fixture) -> Instruction {
    let (policy, vault) = (
        policy(fixture),
        fixture.world.vault(&fixture.target().vault),
    );
    instruction::cancel_policy(&policy, &vault)
}

fn renew(fixture: &mut Fixture, signs: bool) -> Instruction {
    let (policy, vault) = (
        policy(fixture),
        fixture.world.vault(&fixture.target().vault),
    );
    instruction::renew_policy(&policy, &vault, fixture.target().holder.tokens, signs)
}

pub fn renew_policy(fixture: &mut Fixture) -> Instruction {
    fixture.begin_policies();
    renew(fixture, true)
}

/// Near the end of the term.
pub fn renew_policy_by_anyone(fixture: &mut Fixture) -> Instruction {
    fixture.begin_policies();
    fixture.measure_through(FIRST_WINDOW + 7, CALM_DRIFT);
    renew(fixture, false)
}

/// Returns the premium of windows that nobody has measured.
pub fn expire_policy(fixture: &mut Fixture) -> Instruction {
    fixture.begin_policies();
    let (policy, model) = (
        policy(fixture),
        fixture.world.model(&fixture.target().model.address),
    );
    fixture.world.warp_to(policy.expires_at(&model).unwrap());
    let vault = fixture.world.vault(&policy.vault);
    instruction::expire_policy(&policy, &vault)
}

fn begin(fixture: &mut Fixture, drift: u64) -> Instruction {
    fixture.measure_through(FIRST_WINDOW - 1, drift);
    let policy = policy(fixture);
    let vault = fixture.world.vault(&policy.vault);
    instruction::begin_policy(&policy, &vault)
}

/// The probation is passed: the term begins.
pub fn begin_policy(fixture: &mut Fixture) -> Instruction {
    begin(fixture, CALM_DRIFT)
}

/// The probation has failed: the premium is refunded, and the policy is closed.
pub fn begin_policy_void(fixture: &mut Fixture) -> Instruction {
    begin(fixture, 400_000)
}

fn examine_policy_now(fixture: &mut Fixture) -> Instruction {
    let policy = policy(fixture);
    let model = fixture.world.model(&policy.model);
    let windows = policy.windows_to_examine(&model, fixture.world.now(), usize::MAX);
    instruction::examine_policy(&policy, windows)
}

/// Sets aside the premium of the windows of the term, which nobody has measured.
pub fn examine_policy(fixture: &mut Fixture) -> Instruction {
    fixture.begin_policies();
    let (policy, model) = (policy(fixture), fixture.target().model.clone());
    let last = *policy.term_windows().end();
    fixture.world.warp_to_end(&model, last);
    let state = fixture.world.model(&model.address);
    fixture.world.pass(state.submit_secs + state.challenge_secs);
    examine_policy_now(fixture)
}
