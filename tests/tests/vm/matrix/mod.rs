//! Every instruction with every account slot changed, in every way that an attacker could.
//!
//! The slots are those of the IDL, and the remaining accounts. `tests/matrix` holds how each change
//! ends. Who is refused has changed nothing; who is not harms nobody but who signed.

mod idl;
mod kind;
mod mutation;
mod outcome;
mod reborn;
mod scene;
mod scenes;
mod seeds;
mod table;
mod town;
mod wealth;
mod whole;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anchor_lang::address;
use driftshield_sdk::{AccountMeta, Address, Instruction};
use driftshield_tests::world::*;
use litesvm::LiteSVM;
use solana_account::ReadableAccount;
use solana_signer::Signer;

use mutation::{Least, Mutation};
use scene::Scene;
use town::Town;
use wealth::{Wealth, wealth};

/// Everything that is compared of a success.
struct Baseline {
    before: Wealth,
    /// After the instruction as it should be.
    after: Wealth,
    signers: BTreeSet<Address>,
}

/// Changes each slot of the instruction that `scene` ends with.
fn check(name: &str, scene: fn(&mut Town) -> Instruction) {
    let mut town = Town::new();
    let instruction = scene(&mut town);
    assert_eq!(scenes::instruction_of(name), idl::of(&instruction).name);
    let scene = Scene::new(town, instruction);
    let baseline = baseline(&scene);
    let mut found = table::Outcomes::new();
    for mutation in scene.mutations() {
        let at = (mutation.slot.clone(), mutation.name.clone());
        let checked = catch_unwind(AssertUnwindSafe(|| run(&scene, &mutation, &baseline)));
        let end = checked.unwrap_or_else(|_| panic!("{name}: {} {}", at.0, at.1));
        // The sets of another site's accounts are many: a table has those that succeed.
        if mutation.least == Least::Any && end != "ok" {
            continue;
        }
        let twice = found.insert(at, end);
        assert!(
            twice.is_none(),
            "{name}: {} {} twice",
            mutation.slot,
            mutation.name
        );
    }
    table::check(name, &scene.slots, &found);
}

fn baseline(scene: &Scene) -> Baseline {
    let mut town = scene.town.clone();
    let before = wealth(&town.world);
    town.send(scene.instruction.clone())
        .expect("the scene's instruction");
    Baseline {
        before,
        after: wealth(&town.world),
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

/// How the mutation ends.
fn run(scene: &Scene, mutation: &Mutation, baseline: &Baseline) -> String {
    let mut world = scene.town.world.clone();
    for (address, account) in &mutation.planted {
        world
            .svm
            .set_account(*address, account.clone())
            .expect("planted");
    }
    if let Some(ahead) = &mutation.ahead {
        let signers = scene.keys(mutation);
        world.send(ahead.clone(), &signers).expect("the first time");
    }
    let before = world.svm.clone();
    let outcome = world.send_all(&mutation.instructions, &scene.keys(mutation));
    if outcome.is_ok() {
        assert_nobody_is_harmed(&world, mutation, baseline);
    } else {
        assert_nothing_changed(&before, &world);
    }
    outcome::name(&outcome)
}

/// But for who pays the fee, and the clockwork of the chain.
fn assert_nothing_changed(before: &LiteSVM, world: &World) {
    let sysvars = address!("Sysvar1111111111111111111111111111111111111");
    let payer = world.payer.pubkey();
    let [before, after] = [before, &world.svm].map(|svm| &svm.accounts_db().inner);
    for (address, account) in after {
        let exempt = *address == payer || *account.owner() == sysvars;
        let same = before.get(address) == Some(account);
        assert!(exempt || same, "{address} has changed");
    }
    assert_eq!(before.len(), after.len());
}

/// Who has not signed has at least what the instruction would have left it.
fn assert_nobody_is_harmed(world: &World, mutation: &Mutation, baseline: &Baseline) {
    let now = wealth(world);
    let signers = signers(&mutation.instructions);
    for (at, &due) in &baseline.after {
        let (whom, _) = at;
        if signers.contains(whom) || *whom == world.payer.pubkey() {
            continue;
        }
        // Who would have signed has done nothing this time.
        let before = baseline.before.get(at).copied().unwrap_or(0);
        let least = match mutation.least {
            Least::Any => 0,
            Least::AsAfter if !baseline.signers.contains(whom) => due,
            Least::AsAfter | Least::AsBefore => due.min(before),
        };
        let has = now.get(at).copied().unwrap_or(0);
        assert!(
            least <= has,
            "{whom} has {has} instead of {least} of {}",
            at.1
        );
    }
}

#[test]
fn nobody_else_can_tell_an_event() {
    // Given an event that the program told
    let mut town = Town::new();
    let set_pause = driftshield_sdk::instruction::set_pause(town.world.guardian.pubkey(), 1);
    let sent = town.send(set_pause).unwrap();
    let told = &sent.metadata.inner_instructions[0][0].instruction;

    // When a stranger tells it to the program again, with or without the authority's name
    let stranger = town.stranger.key.insecure_clone();
    let authority = driftshield_sdk::address::event_authority();
    for (account, is_signer, expected) in [
        (stranger.pubkey(), true, "InvalidSeeds"),
        (authority, false, "MissingRequiredSignature"),
    ] {
        let tell = Instruction {
            program_id: driftshield_sdk::ID,
            accounts: vec![AccountMeta::new_readonly(account, is_signer)],
            data: told.data.clone(),
        };
        let signers = if is_signer { vec![&stranger] } else { vec![] };

        // Then it is refused
        let outcome = town.world.send(tell, &signers);
        assert_eq!(outcome::name(&outcome), expected);
    }
}
