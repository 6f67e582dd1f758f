//! Runs all mutations of a scene and compares their outcomes with the scene's table.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anchor_lang::address;
use driftshield_sdk::{Address, Instruction};
use driftshield_tests::world::*;
use litesvm::LiteSVM;
use solana_account::ReadableAccount;
use solana_signer::Signer;

use super::{
    balances::{Balances, balances},
    fixture::Fixture,
    mutation::{BalanceFloor, Mutation},
    outcome,
    scene::Scene,
    table,
};
use crate::committed_idl;

/// Balances before and after the unmutated instruction, and its signers.
struct Baseline {
    before: Balances,
    after: Balances,
    signers: BTreeSet<Address>,
}

/// Runs every mutation of the instruction that `scene` returns, and compares the outcomes with the
/// table of the scene named `name`.
pub fn check(name: &str, scene: fn(&mut Fixture) -> Instruction) {
    let mut fixture = Fixture::new();
    let instruction = scene(&mut fixture);
    assert_eq!(
        instruction_of(name),
        committed_idl::definition_of(&instruction).name
    );
    let scene = Scene::new(fixture, instruction);
    let baseline = baseline(&scene);
    let mut outcomes = table::Outcomes::new();
    for mutation in scene.mutations() {
        let key = (mutation.slot.clone(), mutation.name.clone());
        let checked = catch_unwind(AssertUnwindSafe(|| run(&scene, &mutation, &baseline)));
        let outcome = checked.unwrap_or_else(|_| panic!("{name}: {} {}", key.0, key.1));
        // Combinations of another set's accounts are many, so tables list only those that succeed.
        if mutation.floor == BalanceFloor::Unchecked && outcome != "ok" {
            continue;
        }
        let duplicate = outcomes.insert(key, outcome);
        assert!(
            duplicate.is_none(),
            "{name}: two mutations are named {} {}; rename one",
            mutation.slot,
            mutation.name
        );
    }
    table::check(name, &scene.slots, &outcomes);
}

/// The instruction of a scene: the longest instruction name that the scene's name starts with.
pub fn instruction_of(scene: &str) -> &str {
    let names = committed_idl::instructions().iter();
    let names = names.map(|definition| definition.name.as_str());
    names
        .filter(|name| scene.starts_with(name))
        .max_by_key(|name| name.len())
        .expect("a scene is named after its instruction")
}

fn baseline(scene: &Scene) -> Baseline {
    let mut fixture = scene.fixture.clone();
    let before = balances(&fixture.world);
    fixture
        .send(scene.instruction.clone())
        .expect("the unmutated instruction succeeds");
    Baseline {
        before,
        after: balances(&fixture.world),
        signers: signers(std::slice::from_ref(&scene.instruction)),
    }
}

fn signers(instructions: &[Instruction]) -> BTreeSet<Address> {
    let accounts = instructions
        .iter()
        .flat_map(|instruction| &instruction.accounts);
    let signers = accounts.filter(|account| account.is_signer);
    signers.map(|account| account.pubkey).collect()
}

/// Sends a mutation, checks its effects and returns the name of its outcome.
fn run(scene: &Scene, mutation: &Mutation, baseline: &Baseline) -> String {
    let mut world = scene.fixture.world.clone();
    for (address, account) in &mutation.planted {
        world
            .svm
            .set_account(*address, account.clone())
            .expect("the planted account is set");
    }
    if let Some(preceding) = &mutation.preceding {
        world
            .send(preceding.clone(), &mutation.signers(scene))
            .expect("the preceding instruction succeeds");
    }
    let before = world.svm.clone();
    let outcome = world.send_all(&mutation.instructions, &mutation.signers(scene));
    if outcome.is_ok() {
        assert_non_signers_lose_nothing(&world, mutation, baseline);
    } else {
        assert_nothing_changed(&before, &world);
    }
    outcome::name(&outcome)
}

/// Asserts that no account but the fee payer and the sysvars has changed.
fn assert_nothing_changed(before: &LiteSVM, world: &World) {
    let sysvars = address!("Sysvar1111111111111111111111111111111111111");
    let payer = world.payer.pubkey();
    let [before, after] = [before, &world.svm].map(|svm| &svm.accounts_db().inner);
    for (address, account) in after {
        let exempt = *address == payer || *account.owner() == sysvars;
        let same = before.get(address) == Some(account);
        assert!(exempt || same, "the refused mutation changed {address}");
    }
    assert_eq!(before.len(), after.len());
}

/// Asserts that everybody who has not signed the mutation has at least its [`BalanceFloor`].
fn assert_non_signers_lose_nothing(world: &World, mutation: &Mutation, baseline: &Baseline) {
    let now = balances(world);
    let signers = signers(&mutation.instructions);
    for (key, &after) in &baseline.after {
        let (owner, asset) = key;
        if signers.contains(owner) || *owner == world.payer.pubkey() {
            continue;
        }
        let before = baseline.before.get(key).copied().unwrap_or(0);
        let floor = match mutation.floor {
            BalanceFloor::Unchecked => 0,
            BalanceFloor::After if !baseline.signers.contains(owner) => after,
            // A signer of the unmutated instruction who has not signed the mutation may have its balance from
            // before.
            BalanceFloor::After | BalanceFloor::BeforeOrAfter => after.min(before),
        };
        let has = now.get(key).copied().unwrap_or(0);
        assert!(floor <= has, "{owner} has {has} of {asset}, needs {floor}");
    }
}
