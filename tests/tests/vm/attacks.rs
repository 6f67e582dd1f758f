//! Attacks that must fail: on vaults and policies in this file, other attacks by kind in the modules.

mod blocked_withdrawals;
mod disputes;
mod donations;
mod economics;
mod exits;
mod foreign_accounts;
mod liquidity;
mod monaco;
mod noise;
mod payouts;
mod pot;
mod prefunding;
mod prices;
mod probation;
mod revival;
mod sales;
mod seats;
mod second_life;
mod silence;
mod splitting;
mod squads;
mod squatting;
mod stolen_keys;
mod streams;
mod thin;

use driftshield_sdk::{Address, DriftShieldError, PolicyTerms, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

/// Sends lamports to addresses that have no account yet.
fn prefund(world: &mut World, addresses: &[Address]) {
    let payer = world.payer.pubkey();
    for address in addresses {
        assert!(!world.exists(address));
        let send = solana_system_interface::instruction::transfer(&payer, address, 1_000_000);
        world.send(send, &[]).unwrap();
    }
}

/// A vault with cover on a model with three oracles, in its first covered window. Returns the scene and
/// the holder.
fn covered(cover: u64) -> (Insured, Wallet) {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).expect("buy_policy");
    scene.measure_until(terms.first_window, CALM_DRIFT);
    (scene, holder)
}

#[test]
fn lamports_sent_in_advance_block_no_creation() {
    // Given the addresses of a vault's accounts, a listing, a request and a policy, which receive lamports
    // before these are created
    let mut world = World::with(params(), insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    for _ in 0..HISTORY {
        scene.measure(CALM_DRIFT);
    }
    let manager = scene.manager.key.insecure_clone();
    let vault = address::vault(&manager.pubkey(), 2);
    let create = instruction::create_vault(
        manager.pubkey(),
        2,
        &scene.world.collateral(),
        COOLDOWN,
        0,
        vault_terms(),
    );
    let created: Vec<_> = create
        .accounts
        .iter()
        .filter(|account| account.is_writable && !account.is_signer)
        .map(|account| account.pubkey)
        .collect();
    assert_eq!(created.len(), 3);
    prefund(&mut scene.world, &created);
    scene.world.send(create, &[&manager]).unwrap();
    scene.vault = vault;
    let (lp, holder) = (scene.provider(), scene.world.wallet(CAPITAL));
    let addresses = [
        address::exposure(&vault, &scene.model.address),
        address::withdraw_request(&vault, &lp.address()),
        address::policy(&vault, &holder.address(), 1),
    ];
    prefund(&mut scene.world, &addresses);

    // When they are created, then each works as usual
    scene.list(CAPITAL, 20_000).unwrap();
    scene.deposit(&lp, CAPITAL).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.request(&lp, 1_000).unwrap();
    scene.world.check_solvency();
}

#[test]
fn premiums_stream_correctly_after_years_without_an_instruction() {
    // Given policies whose premium streams end in many buckets, and three years without an instruction
    let mut scene = Insured::new();
    let holder = scene.world.wallet(10 * CAPITAL);
    for (id, windows) in [(1, 1), (2, 7), (3, 90), (4, 180), (5, 363)] {
        let terms = PolicyTerms {
            windows,
            ..scene.terms()
        };
        scene.buy(&holder, id, terms).unwrap();
    }
    for id in 1..=5 {
        scene.start(&holder, id);
    }
    let unearned = scene.vault().unearned;
    let assets = scene.vault().assets;
    scene.world.pass(3 * 365 * DAY);

    // When the policies expire
    for id in 1..=5 {
        scene.expire(&holder, id).unwrap();
    }

    // Then every premium has streamed once, and no bucket of the ring holds an end
    let vault = scene.vault();
    assert_eq!((vault.assets, vault.unearned), (assets + unearned, 0));
    assert_eq!((vault.rate.get(), vault.locked), (0, 0));
    assert!(vault.rate_changes.iter().all(|change| change.get() == 0));
    scene.world.check_solvency();
}

#[test]
fn a_stranger_never_pays_for_a_renewal() {
    // Given a policy with automatic renewal, and a stranger who delegates its own tokens to the holder's
    // renewal authority
    let mut scene = Insured::new();
    let (holder, stranger) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let authority = address::renewal_authority(&holder.address());
    let approve = spl_token_interface::instruction::approve(
        &spl_token_interface::ID,
        &stranger.tokens,
        &authority,
        &stranger.address(),
        &[],
        CAPITAL,
    )
    .unwrap();
    scene.world.send(approve, &[&stranger.key]).unwrap();

    for _ in 0..9 {
        scene.measure(CALM_DRIFT); // until anyone may renew
    }
    scene.begin(&holder, 1).unwrap();

    // When the renewal is to be paid from the stranger's account or from the vault's, then it is refused
    let policy = scene.policy(&holder, 1);
    let state = scene.vault();
    let renew = instruction::renew_policy(&policy, &state, stranger.tokens, false);
    let outcome = scene.world.send(renew, &[]);
    assert_refused(outcome, DriftShieldError::TooLittleDelegated);
    let renew = instruction::renew_policy(&policy, &state, state.tokens, false);
    assert!(scene.world.send(renew, &[]).is_err());
    let renew = instruction::renew_policy(&policy, &state, stranger.tokens, true);
    assert!(scene.world.send(renew, &[&holder.key]).is_err());
}

#[test]
fn a_policy_is_cancelled_with_its_own_vault_only() {
    // Given two vaults of one manager that list the same model, with a policy on each
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let (first, manager) = (scene.vault, scene.manager.key.insecure_clone());
    let create = instruction::create_vault(
        manager.pubkey(),
        2,
        &scene.world.collateral(),
        COOLDOWN,
        0,
        vault_terms(),
    );
    scene.world.send(create, &[&manager]).unwrap();
    scene.vault = address::vault(&manager.pubkey(), 2);
    scene.list(CAPITAL, 20_000).unwrap();
    let lp = scene.provider();
    scene.deposit(&lp, CAPITAL).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let cancel = instruction::cancel_policy(&scene.policy(&holder, 1), &scene.vault());

    // When one is cancelled with the vault, the listing or the token account of the other, then it is
    // refused
    let model = scene.model.address;
    let tokens = (scene.vault().tokens, scene.world.vault(&first).tokens);
    for (old, new, expected) in [
        (scene.vault, first, DriftShieldError::WrongInsuranceVault),
        (
            address::exposure(&scene.vault, &model),
            address::exposure(&first, &model),
            DriftShieldError::WrongInsuranceVault,
        ),
        (tokens.0, tokens.1, DriftShieldError::WrongVault),
    ] {
        let wrong = swapped(cancel.clone(), &old, &new);
        assert_refused(scene.world.send(wrong, &[&holder.key]), expected);
    }
    scene.world.send(cancel, &[&holder.key]).unwrap();
}

#[test]
fn changes_of_a_loosened_listing_do_not_shorten_its_notice() {
    // Given an active listing that the manager loosens
    let mut scene = Insured::new();
    let narrow = 50 * TOKEN;
    scene.list(narrow, 50_000).unwrap();
    let loosened = scene.world.now();
    scene.list(100_000 * TOKEN, 20_000).unwrap();
    let notice = loosened + COOLDOWN + DAY;
    assert_eq!(scene.exposure().active_at, notice);

    // When the manager tightens the listing, disables it, closes it or creates it again, then its notice
    // does not end sooner
    scene.world.pass(DAY);
    scene.list(90_000 * TOKEN, 20_000).unwrap();
    assert_eq!(scene.exposure().active_at, notice);
    scene.list(0, 20_000).unwrap();
    let close = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
    scene.world.send(close, &[]).unwrap();
    scene.list(narrow, 50_000).unwrap();
    let again = scene.world.now() + COOLDOWN + DAY;
    assert_eq!(scene.exposure().active_at, again);
    let holder = scene.world.wallet(CAPITAL);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::ListingNotActive);
}
