//! Deposits, shares and their price.

use driftshield_sdk::{
    DepositLimits, DriftShieldError, Event, PolicyTerms, VaultTerms, address, instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{burn, depositor, has_request, value_of, year_terms};
use crate::{admin::update_collateral, policy::measure_until_covered};

#[test]
fn a_first_deposit_gets_a_thousand_shares_per_unit() {
    // Given a vault without capital
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());

    // When somebody deposits
    let owner = scene.world.wallet(5 * TOKEN);
    let sent = scene.deposit(&owner, 5 * TOKEN).unwrap();

    // Then each base unit is a thousand shares, and the event has the new totals
    assert_eq!(scene.shares(&owner), 5_000 * TOKEN);
    let Event::Deposited(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.amount, event.shares), (5 * TOKEN, 5_000 * TOKEN));
    assert_eq!(event.totals, scene.vault().totals());
    assert_eq!(scene.vault().assets, 5 * TOKEN);
}

#[test]
fn a_first_depositor_who_donates_gains_nothing() {
    for (first, donation, second) in [
        (1, 1_000_000 * TOKEN, TOKEN),
        (1, TOKEN, 1),
        (2, 3, 1_000),
        (1_000, 999_999_999, 999_999_999),
    ] {
        // Given a first depositor who donates tokens to the vault
        let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
        let thief = depositor(&mut scene, first);
        let tokens = scene.vault().tokens;
        scene.world.mint_to(&tokens, donation);

        // When somebody else deposits
        let victim = depositor(&mut scene, second);

        // Then the shares of each are worth exactly the deposit
        assert_eq!(value_of(&scene, &victim), second);
        assert_eq!(value_of(&scene, &thief), first);
        assert_eq!(scene.leave(&thief), first);
        assert_eq!(scene.leave(&victim), second);
    }
}

#[test]
fn burned_shares_do_not_change_the_price() {
    // Given two depositors
    let mut scene = Insured::new();
    let other = depositor(&mut scene, CAPITAL);

    // When one of them burns half of its shares
    let half = scene.shares(&other) / 2;
    burn(&mut scene, &other, half);

    // Then the other's shares are worth as much as before
    let lp = scene.provider();
    assert_eq!(value_of(&scene, &lp), CAPITAL);
    assert_eq!(value_of(&scene, &other), CAPITAL / 2);
}

#[test]
fn a_wiped_out_vault_accepts_no_deposits() {
    // Given a vault that paid nearly everything to a policy
    let terms = VaultTerms {
        max_utilisation_bps: 10_000,
        ..vault_terms()
    };
    let mut scene =
        Insured::empty(World::with(params(), insurance_terms()), terms).with_capital(1_000 * TOKEN);
    let holder = scene.world.wallet(CAPITAL);
    let cover = PolicyTerms {
        cover: 1_000 * TOKEN,
        exhaustion: scene.lowest_exhaustion(100_000),
        ..scene.terms()
    };
    scene.buy(&holder, 1, cover).unwrap();
    measure_until_covered(&mut scene, &holder);
    scene.measure(cover.exhaustion);
    scene.claim(&holder, 1).unwrap();
    // The premium that has streamed is left, so the vault is not wiped out.
    let other = scene.world.wallet(TOKEN);
    scene.deposit(&other, TOKEN).unwrap();

    // When a vault with shares has no assets left at all
    let mut scene =
        Insured::empty(World::with(params(), insurance_terms()), terms).with_capital(1_000 * TOKEN);
    let mut vault = scene.vault();
    (vault.assets, vault.seasoned) = (0, 0);
    scene.world.solvency_checks = false;
    scene.world.write(&scene.vault.clone(), &vault);
    let other = scene.world.wallet(TOKEN);

    // Then it accepts no deposit
    let outcome = scene.deposit(&other, TOKEN);
    assert_refused(outcome, DriftShieldError::VaultWipedOut);
}

/// Withdraws what a member has requested, or takes the shares back that the request became after its
/// exit window.
fn end_request(scene: &mut Insured, member: &Wallet) -> Outcome {
    let request = scene.world.request(&scene.vault, &member.address());
    if 0 < request.shares {
        scene.cancel_request(member)
    } else {
        scene.withdraw(member)
    }
}

#[test]
fn no_group_gains_by_its_own_deposits_and_withdrawals() {
    // Given a vault with an uneven share price
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.start(&holder, 1);
    scene.world.pass(30 * DAY);
    scene.cancel(&holder, 1).unwrap(); // the end of all streams
    let mut random = StdRng::seed_from_u64(5);
    let group: Vec<Wallet> = (0..3).map(|_| scene.world.wallet(CAPITAL)).collect();

    // When a group deposits, requests, cancels and withdraws at random
    for _ in 0..150 {
        let member = &group[random.random_range(0..3)];
        let shares = scene.shares(member);
        let outcome = match random.random_range(0..4) {
            0 => scene.deposit(member, random.random_range(1..5_000_000)),
            1 if 0 < shares => scene.request(member, random.random_range(1..=shares)),
            2 => {
                if has_request(&scene, member) {
                    scene.cancel_request(member)
                } else {
                    continue;
                }
            }
            _ => {
                if has_request(&scene, member) {
                    scene.world.pass(COOLDOWN);
                    end_request(&mut scene, member)
                } else {
                    continue;
                }
            }
        };
        outcome.unwrap();
    }
    for member in &group {
        if has_request(&scene, member) {
            scene.cancel_request(member).unwrap();
        }
        let shares = scene.shares(member);
        if 0 < shares {
            scene.request(member, shares).unwrap();
            scene.world.pass(COOLDOWN);
            scene.withdraw(member).unwrap();
        }
    }

    // Then the group has no more than before
    let held: u64 = group
        .iter()
        .map(|member| scene.world.tokens(&member.tokens))
        .sum();
    assert!(held <= 3 * CAPITAL, "the group holds {held}");
    assert!(3 * CAPITAL - held < 200, "the group holds {held}");
}

#[test]
fn invalid_deposits_are_refused() {
    let mut scene = Insured::new();
    let owner = scene.world.wallet(CAPITAL);
    assert_refused(scene.deposit(&owner, 0), DriftShieldError::ZeroAmount);
    let outcome = scene.deposit_for(&owner, TOKEN, 1_000 * TOKEN + 1);
    assert_refused(outcome, DriftShieldError::TooFewShares);
    scene.deposit_for(&owner, TOKEN, 1_000 * TOKEN).unwrap();

    scene.world.pause(pause::DEPOSITS);
    assert_refused(scene.deposit(&owner, TOKEN), DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !pause::DEPOSITS);
    scene.deposit(&owner, TOKEN).unwrap();
    // Withdrawals cannot be paused.
    scene.world.pause(pause::ALL);
    assert_eq!(scene.leave(&owner), 2 * TOKEN);
    scene.world.pause(0);

    update_collateral(&mut scene.world, insurance_terms(), false);
    assert_refused(
        scene.deposit(&owner, TOKEN),
        DriftShieldError::CollateralDisabled,
    );
}

#[test]
fn a_deposit_that_buys_no_share_is_refused() {
    // Given a price of over 1,000 base units a share: the premium of a cancelled policy, which refunds
    // nothing, streams to a provider with one base unit of capital, after all others have left
    let world = World::with(params(), insurance_terms());
    let terms = VaultTerms {
        cancel_fee_bps: 10_000,
        ..vault_terms()
    };
    let mut scene = Insured::empty(world, terms).with_capital(1);
    let leaving = depositor(&mut scene, CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    scene.cancel(&holder, 1).unwrap();
    scene.leave(&leaving);
    scene.world.pass(400 * DAY);
    let price = scene.vault_now().worth(1);
    assert!(1_000 < price, "a share costs only {price}");

    // When somebody deposits less than the price of a share
    let outcome = scene.deposit(&holder, price - 1);

    // Then it is refused, and a little more buys one share
    assert_refused(outcome, DriftShieldError::ZeroShares);
    scene.deposit(&holder, price + 1).unwrap();
    assert_eq!(scene.shares(&holder), 1);
}

#[test]
fn a_foreign_share_mint_is_refused() {
    // Given two vaults, one with a request past its cooldown
    let mut scene = Insured::new();
    let (first, owner) = (scene.vault(), scene.provider());
    scene.request(&owner, CAPITAL).unwrap();
    let (manager, collateral) = (scene.manager.address(), scene.world.collateral());
    let create = instruction::create_vault(manager, 2, &collateral, COOLDOWN, 0, vault_terms());
    scene.world.send(create, &[&scene.manager.key]).unwrap();
    let other = scene.world.vault(&address::vault(&manager, 2));
    scene.world.pass(COOLDOWN);

    // When an instruction names the other vault's share mint
    let (at, state, key) = (scene.vault, scene.vault(), owner.address());
    let (manager, model) = (scene.manager.key.insecure_clone(), scene.model.address);
    for (instruction, signer) in [
        (
            instruction::deposit(
                key,
                at,
                &state,
                owner.tokens,
                TOKEN,
                DepositLimits::as_read(&state, 0),
            ),
            Some(&owner.key),
        ),
        (
            instruction::request_withdraw(key, at, &state, 1_000),
            Some(&owner.key),
        ),
        (
            instruction::cancel_withdraw(key, at, &state),
            Some(&owner.key),
        ),
        (instruction::close_exposure(at, &state, model), None),
        (instruction::close_vault(at, &state, true), Some(&manager)),
    ] {
        let wrong = swapped(instruction, &first.share_mint, &other.share_mint);
        let outcome = scene.world.send(wrong, signer.as_slice());
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongShares);
    }
}
