//! Closing of exposures and vaults.

use driftshield_sdk::{DriftShieldError, PolicyTerms, PremiumPayee, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

use super::burn;
use crate::model::retire;

/// Pays the manager's fees into an account that the transaction creates.
fn collect_manager_fees(scene: &mut Insured) {
    let create = instruction::create_token_account(
        &scene.world.payer.pubkey(),
        &scene.manager.address(),
        &scene.world.mint,
        scene.world.token_program,
    );
    let (vault, state) = (scene.vault, scene.vault());
    let collect = instruction::collect_manager_fees(vault, &state, PremiumPayee::Manager);
    scene.world.send_all(&[create, collect], &[]).unwrap();
}

#[test]
fn an_inactive_exposure_closes_once_it_has_no_policies() {
    // Given a listing with a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let close = |scene: &mut Insured| {
        let close = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
        scene.world.send(close, &[])
    };
    assert_refused(close(&mut scene), DriftShieldError::ExposureInUse);

    // When the model is unlisted, then the exposure cannot be closed until the policy has ended
    scene.list(0, 20_000).unwrap();
    assert_refused(close(&mut scene), DriftShieldError::ExposureInUse);
    scene.cancel(&holder, 1).unwrap();
    let lamports = scene.world.lamports(&scene.manager.address());
    close(&mut scene).unwrap();
    assert!(lamports < scene.world.lamports(&scene.manager.address()));
    assert_eq!(scene.vault().exposures, 0);
}

#[test]
fn an_active_listing_cannot_be_closed() {
    let mut scene = Insured::new();
    let close = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
    assert_refused(
        scene.world.send(close.clone(), &[]),
        DriftShieldError::ExposureInUse,
    );
    // The listing of a retired model is inactive.
    retire(&mut scene.world, &scene.model).unwrap();
    scene.world.send(close, &[]).unwrap();
}

#[test]
fn a_vault_closes_when_nothing_depends_on_it() {
    // Given a vault whose manager does not act, with a policy, a request and donations
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let close = |scene: &mut Insured, signs: bool| {
        let close = instruction::close_vault(scene.vault, &scene.vault(), signs);
        let manager = scene.manager.key.insecure_clone();
        let signers = if signs { vec![&manager] } else { vec![] };
        scene.world.send(close, &signers)
    };
    for signs in [false, true] {
        assert_refused(close(&mut scene, signs), DriftShieldError::VaultInUse);
    }
    let owner = scene.provider();
    scene.world.pass(40 * DAY);
    scene.expire(&holder, 1).unwrap();
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    assert_refused(close(&mut scene, false), DriftShieldError::VaultInUse);
    scene.withdraw(&owner).unwrap();

    // When the policy, the request, the exposure and the fees are gone, one after another
    assert_refused(close(&mut scene, false), DriftShieldError::VaultInUse);
    let listed = scene.exposure().listed_at;
    scene
        .world
        .warp_to(scene.world.now().max(listed + COOLDOWN + DAY));
    let exposure = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
    scene.world.send(exposure, &[]).unwrap();
    assert_refused(close(&mut scene, false), DriftShieldError::FeesLeft);
    collect_manager_fees(&mut scene);
    let treasury = scene.world.treasury();
    let before = scene.world.tokens(&treasury);
    let vault = scene.vault();
    scene.world.mint_to(&vault.tokens, 5); // a donation
    let left = scene.world.tokens(&vault.tokens);
    close(&mut scene, false).unwrap();

    // Then the treasury receives the donations, and of the vault's accounts only the share mint is
    // left
    assert_eq!(scene.world.tokens(&treasury), before + left);
    for gone in [scene.vault, vault.tokens] {
        assert!(!scene.world.exists(&gone));
    }
    // So its address can never be used again.
    let again = instruction::create_vault(
        scene.manager.address(),
        1,
        &scene.world.collateral(),
        COOLDOWN,
        0,
        vault_terms(),
    );
    assert!(scene.world.exists(&vault.share_mint));
    assert!(
        scene
            .world
            .send(again, &[&scene.manager.key.insecure_clone()])
            .is_err()
    );
}

#[test]
fn only_the_manager_can_close_a_vault_within_its_notice() {
    let mut world = World::with(params(), insurance_terms());
    let manager = world.wallet(0);
    let create = |world: &mut World, id| {
        let create = instruction::create_vault(
            manager.address(),
            id,
            &world.collateral(),
            COOLDOWN,
            0,
            vault_terms(),
        );
        world.send(create, &[&manager.key]).unwrap();
        address::vault(&manager.address(), id)
    };
    let (first, second) = (create(&mut world, 1), create(&mut world, 2));
    let close =
        |world: &World, vault, signs| instruction::close_vault(vault, &world.vault(&vault), signs);
    let by_anyone = close(&world, first, false);
    assert_refused(world.send(by_anyone, &[]), DriftShieldError::VaultInUse);
    let by_manager = close(&world, first, true);
    world.send(by_manager, &[&manager.key]).unwrap();
    world.pass(COOLDOWN + DAY - 1);
    let by_anyone = close(&world, second, false);
    assert_refused(
        world.send(by_anyone.clone(), &[]),
        DriftShieldError::VaultInUse,
    );
    world.pass(1);
    world.send(by_anyone, &[]).unwrap();
}

#[test]
fn burned_shares_do_not_keep_a_listing_open() {
    // Given a vault whose shares are all requested back, except one that is burned
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let owner = scene.provider();
    let shares = scene.shares(&owner);
    let terms = PolicyTerms {
        windows: 30,
        cover: 5_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    scene.request(&owner, shares - 1).unwrap();
    let state = scene.vault();
    burn(&mut scene, &owner, 1);
    scene.world.pass(100 * DAY);
    scene.expire(&holder, 1).unwrap();
    scene.withdraw(&owner).unwrap(); // the exit window is over
    scene.request(&owner, 0).unwrap();
    scene.world.pass(COOLDOWN);
    let close = instruction::close_exposure(scene.vault, &state, scene.model.address);
    let outcome = scene.world.send(close.clone(), &[]);
    assert_refused(outcome, DriftShieldError::ExposureInUse); // the request is open
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.vault().shares, 1);

    // When anybody closes the exposure and the vault, then it is allowed
    scene.world.send(close, &[]).unwrap();
    collect_manager_fees(&mut scene);
    let close = instruction::close_vault(scene.vault, &scene.vault(), false);
    scene.world.send(close, &[]).unwrap();
    assert!(!scene.world.exists(&state.tokens));
}
