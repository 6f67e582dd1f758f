//! Accounts that were paid for at a lower rent, and are used again after it rose.

use driftshield_sdk::{Address, address, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{assert_whole, leave, stakeholders_at};

/// All accounts that the program created, with their lamports.
fn paid_for(world: &World) -> Vec<(Address, u64)> {
    let paid = world.rent_ledger.accounts();
    paid.map(|at| (*at, world.lamports(at))).collect()
}

#[test]
fn accounts_made_at_a_lower_rent_are_used_on_after_it_rose() {
    // Given one of everything, a withdrawal request and a receipt with one submission, at the lowest rent
    let mut all = stakeholders_at(696);
    let (market, scene) = (all.market, &mut all.insured);
    let lp = scene.provider();
    scene.request(&lp, 1_000).unwrap();
    let (model, window) = (scene.model.clone(), scene.window);
    let counts = share(CALM_DRIFT);
    scene.world.warp_to_end(&model, window);
    scene.world.submit(&model, 0, window, &counts).unwrap();
    let before = paid_for(&scene.world);

    // When the rent rises tenfold, and every account is credited or changed
    scene.world.set_rent(6_960);
    scene.world.bet(&market, &all.winner, 0, TOKEN).unwrap();
    scene.world.bet(&market, &all.loser, 1, TOKEN).unwrap();
    scene.world.bond(&model, 0, TOKEN).unwrap();
    for oracle in [1, 2] {
        scene.world.submit(&model, oracle, window, &counts).unwrap();
    }
    scene.world.pass(params().challenge_secs);
    scene.world.finalize(&model, window).unwrap();
    scene.window += 1;
    scene.list(90_000 * TOKEN, 20_000).unwrap();
    scene.deposit(&lp, TOKEN).unwrap();
    scene.request(&lp, 1_000).unwrap();
    let update = instruction::update_vault(scene.manager.address(), scene.vault, vault_terms());
    let manager = scene.manager.key.insecure_clone();
    scene.world.send(update, &[&manager]).unwrap();

    // Then nobody had to add lamports to an account. Only the settled receipt is closed
    let after = paid_for(&scene.world);
    let receipt = address::receipt(&model.address, window);
    let kept = before.into_iter().filter(|(at, _)| *at != receipt);
    assert_eq!(after, kept.collect::<Vec<_>>());

    // And everybody leaves with all lamports
    leave(&mut all);
    assert_whole(&all, "after the accounts were used on");
}
