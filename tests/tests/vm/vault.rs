//! Liquidity: shares, their price, who bears losses and who earns premiums.

use driftshield_sdk::{
    DriftShieldError, Event, ListingTerms, PolicyTerms, PremiumPayee, VaultTerms, address,
    instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

const YEAR: i64 = 365 * DAY;

/// What `owner`'s shares would pay if they left now.
fn worth(scene: &Insured, owner: &Wallet) -> u64 {
    scene.vault_now().worth(scene.shares(owner))
}

/// A wallet that has put `amount` into the scene's vault.
fn lp(scene: &mut Insured, amount: u64) -> Wallet {
    let wallet = scene.world.wallet(amount);
    scene.deposit(&wallet, amount).unwrap();
    wallet
}

/// The policy of a holder on a year of windows.
fn year(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        windows: 363,
        cover: 5_000 * TOKEN,
        ..scene.terms()
    }
}

#[test]
fn a_first_deposit_gets_a_thousand_shares_a_unit() {
    // Given a vault without capital
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());

    // When somebody deposits
    let owner = scene.world.wallet(5 * TOKEN);
    let sent = scene.deposit(&owner, 5 * TOKEN).unwrap();

    // Then a unit is a thousand shares, and the event says what came of it
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
        // Given a first depositor who sends the vault tokens
        let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
        let thief = lp(&mut scene, first);
        let tokens = scene.vault().tokens;
        scene.world.mint_to(&tokens, donation);

        // When somebody else deposits
        let victim = lp(&mut scene, second);

        // Then neither's shares are worth another's money
        assert_eq!(worth(&scene, &victim), second);
        assert_eq!(worth(&scene, &thief), first);
        assert_eq!(scene.leave(&thief), first);
        assert_eq!(scene.leave(&victim), second);
    }
}

#[test]
fn burned_shares_are_nobody_elses_gain() {
    // Given two depositors
    let mut scene = Insured::new();
    let other = lp(&mut scene, CAPITAL);

    // When one burns half of its shares
    let (mint, account) = {
        let vault = scene.vault();
        (
            vault.share_mint,
            address::share_account(&other.address(), &vault),
        )
    };
    let half = scene.shares(&other) / 2;
    let program = &spl_token_interface::ID;
    let burn = spl_token_interface::instruction::burn(
        program,
        &account,
        &mint,
        &other.address(),
        &[],
        half,
    )
    .unwrap();
    scene.world.send(burn, &[&other.key]).unwrap();

    // Then the other's are worth what they were
    let lp = scene.provider();
    assert_eq!(worth(&scene, &lp), CAPITAL);
    assert_eq!(worth(&scene, &other), CAPITAL / 2);
}

#[test]
fn a_day_of_a_years_policy_earns_a_day_of_its_stream() {
    // Given a policy of a year, and nobody else's money in the vault but a liquidity provider's
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = year(&scene);
    let quote = scene.quote(&terms).unwrap();
    let bought = scene.world.now();
    scene.buy(&holder, 1, terms).unwrap();
    let bucket = params().bucket_secs;
    let stream_end = (quote.end / bucket + 1) * bucket;
    scene.world.pass(100 * DAY);

    // When somebody comes with as much again for a day
    let as_much = worth(&scene, &scene.lp);
    let guest = lp(&mut scene, as_much);
    let before = worth(&scene, &guest);
    scene.world.pass(DAY);
    let earned = worth(&scene, &guest) - before;

    // Then it earns half of the stream of that day, to within rounding
    let day = u128::from(quote.streamed_part) * DAY as u128 / (stream_end - bought) as u128;
    assert!((day / 2).abs_diff(earned.into()) <= 2, "{earned} of {day}");
    assert!(300 * DAY < quote.end - bought && 1_000 < day);
}

#[test]
fn all_of_a_premium_has_streamed_in_the_end() {
    // Given a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let premium = scene.policy(&holder, 1).premium;
    let (protocol, manager) = (premium / 20, premium / 10);

    // When its last bucket is over
    scene.world.pass(30 * DAY);

    // Then every unit of the premium is somebody's
    let vault = scene.vault_now();
    assert_eq!(vault.unearned, 0);
    assert_eq!(vault.rate.get(), 0);
    assert_eq!(vault.protocol_credit, protocol);
    assert_eq!(vault.manager_credit, manager);
    assert_eq!(vault.assets, CAPITAL + premium - protocol - manager);
}

#[test]
fn what_streams_while_there_are_no_shares_is_the_treasurys() {
    // Given a vault with a policy that ended, whose premium still streams, and no shares
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year(&scene)).unwrap();
    let sent = scene.cancel(&holder, 1).unwrap();
    let Event::PolicyCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(0 < event.totals.unearned);
    let owner = scene.provider();
    scene.leave(&owner);
    let before = scene.vault();
    assert_eq!((before.shares, before.assets), (0, 0));

    // When the rest of it streams
    scene.world.pass(400 * DAY);

    // Then it is the treasury's
    let after = scene.vault_now();
    assert_eq!(after.assets, 0);
    assert_eq!(
        after.protocol_credit,
        before.protocol_credit + before.unearned
    );
    let collect = instruction::collect_manager_fees(scene.vault, &after, PremiumPayee::Treasury);
    scene.world.send(collect, &[]).unwrap();
    assert_eq!(
        scene.world.tokens(&scene.world.treasury()),
        after.protocol_credit
    );
}

#[test]
fn who_asked_to_leave_bears_a_loss_that_was_measured_before() {
    // Given two liquidity providers with as much each, and cover that drift has reached
    let mut scene = Insured::new();
    let other = lp(&mut scene, CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        cover: 1_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let first = scene.policy(&holder, 1).first_window;
    while scene.window < first {
        scene.measure(CALM_DRIFT);
    }

    // When one asks to leave before a window of full loss is Final, and the claim is paid after
    let shares = scene.shares(&other);
    scene.request(&other, shares).unwrap();
    scene.measure(300_000);
    scene.claim(&holder, 1, first).unwrap();
    scene.world.pass(COOLDOWN);
    scene.withdraw(&other).unwrap();

    // Then it has borne its half
    let paid = scene.world.tokens(&other.tokens);
    let borne = CAPITAL - paid;
    assert!(borne.abs_diff(500 * TOKEN) < 5 * TOKEN, "{borne}"); // less what the premium gave before
}

#[test]
fn who_asked_to_leave_gains_nothing_more() {
    // Given two liquidity providers, one of which has asked to leave
    let mut scene = Insured::new();
    let leaving = lp(&mut scene, CAPITAL);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();
    let asked = scene.world.request(&scene.vault, &leaving.address()).value;

    // When premium streams afterwards
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year(&scene)).unwrap();
    scene.world.pass(30 * DAY);
    let streamed = scene.vault_now().assets - 2 * CAPITAL;
    assert!(100 < streamed);
    scene.withdraw(&leaving).unwrap();

    // Then all of it is the other's
    assert_eq!(asked, CAPITAL);
    assert_eq!(scene.world.tokens(&leaving.tokens), CAPITAL);
    let rest = scene.vault();
    assert_eq!(rest.assets, CAPITAL + streamed);
    assert!(rest.assets - rest.worth(scene.shares(&scene.lp)) <= 1);
}

#[test]
fn a_request_that_is_given_up_returns_its_value_of_then() {
    // Given somebody who has asked to leave
    let mut scene = Insured::new();
    let leaving = lp(&mut scene, CAPITAL);
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();

    // When it gives that up after others have earned
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year(&scene)).unwrap();
    scene.world.pass(30 * DAY);
    let lamports = scene.world.lamports(&leaving.address());
    let sent = scene.cancel_request(&leaving).unwrap();

    // Then it has shares of the value of then, and the others of the rest
    let Event::WithdrawCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(event.returned < event.shares);
    assert_eq!(scene.shares(&leaving), event.returned);
    assert!(CAPITAL - worth(&scene, &leaving) <= 1);
    // Its account is closed, and the rent back.
    assert!(
        !scene
            .world
            .exists(&address::withdraw_request(&scene.vault, &leaving.address()))
    );
    assert!(lamports < scene.world.lamports(&leaving.address()));
}

#[test]
fn a_request_that_is_given_up_at_once_returns_all_shares() {
    let mut scene = Insured::new();
    let owner = lp(&mut scene, 12_345_677);
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.cancel_request(&owner).unwrap();
    assert_eq!(scene.shares(&owner), shares);
}

#[test]
fn adding_to_a_request_restarts_it() {
    // Given a request whose cooldown is nearly over
    let mut scene = Insured::new();
    let owner = lp(&mut scene, CAPITAL);
    let half = scene.shares(&owner) / 2;
    scene.request(&owner, half).unwrap();
    scene.world.pass(COOLDOWN - 1);

    // When its owner asks for more
    scene.request(&owner, half).unwrap();

    // Then all of it waits anew, to the second
    scene.world.pass(COOLDOWN - 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::StillCoolingDown);
    scene.world.pass(1);
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.world.tokens(&owner.tokens), CAPITAL);
}

#[test]
fn a_withdrawal_takes_no_more_than_leaves_policies_backed() {
    // Given capital of which policies need nearly all
    let mut scene = Insured::new();
    let holder = scene.world.wallet(10 * CAPITAL);
    let terms = PolicyTerms {
        cover: 4_500 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let owner = scene.provider();
    let before = scene.world.tokens(&owner.tokens);
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);

    // When its owner leaves
    scene.withdraw(&owner).unwrap();

    // Then half of it stays: 4,500 of 5,000 is the utilisation that is allowed
    let paid = scene.world.tokens(&owner.tokens) - before;
    let vault = scene.vault();
    assert!(paid.abs_diff(5_000 * TOKEN) < 50 * TOKEN, "{paid}");
    assert!(10 * vault.locked <= 9 * vault.assets);
    let request = scene.world.request(&scene.vault, &owner.address());
    assert!(0 < request.shares && request.value.abs_diff(CAPITAL - paid) <= 1);
    assert_refused(scene.withdraw(&owner), DriftShieldError::CapitalLocked);

    // And is paid when the policy has ended
    scene.cancel(&holder, 1).unwrap();
    scene.withdraw(&owner).unwrap();
    let all = scene.world.tokens(&owner.tokens) - before;
    assert!(CAPITAL - all <= 2, "{all}");
    assert!(
        !scene
            .world
            .exists(&address::withdraw_request(&scene.vault, &owner.address()))
    );
}

#[test]
fn calls_for_many_small_withdrawals_cost_their_owner_little() {
    // Given a request of which a unit or two at a time is free
    let mut scene = Insured::new();
    let holder = scene.world.wallet(10 * CAPITAL);
    let terms = PolicyTerms {
        cover: 9_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let owner = scene.provider();
    let before = scene.world.tokens(&owner.tokens);
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    let _ = scene.withdraw(&owner);
    let mut calls = 0;
    let others = scene.vault();

    // When anybody calls for each of them
    for _ in 0..200 {
        scene.world.pass(1);
        calls += u64::from(scene.withdraw(&owner).is_ok());
    }

    // Then each call took less than a unit
    assert!(50 < calls, "{calls}");
    let paid = scene.world.tokens(&owner.tokens) - before;
    let request = scene.world.request(&scene.vault, &owner.address());
    assert!(CAPITAL - paid - request.value <= calls + 2);
    assert!(others.assets <= scene.vault().assets + paid);
}

#[test]
fn a_vault_that_was_wiped_out_takes_no_deposits() {
    // Given a vault of which a policy took nearly everything
    let terms = VaultTerms {
        max_utilisation_bps: 10_000,
        ..vault_terms()
    };
    let mut scene =
        Insured::empty(World::with(params(), insurance_terms()), terms).with_capital(1_000 * TOKEN);
    let holder = scene.world.wallet(CAPITAL);
    let cover = PolicyTerms {
        cover: 1_000 * TOKEN,
        exhaustion: 100_000,
        ..scene.terms()
    };
    scene.buy(&holder, 1, cover).unwrap();
    let first = scene.policy(&holder, 1).first_window;
    while scene.window < first {
        scene.measure(CALM_DRIFT);
    }
    scene.measure(100_000);
    scene.claim(&holder, 1, first).unwrap();
    // The premium that streamed until now is left: not wiped out.
    let other = scene.world.wallet(TOKEN);
    scene.deposit(&other, TOKEN).unwrap();

    // When a vault has nothing left at all
    let mut scene =
        Insured::empty(World::with(params(), insurance_terms()), terms).with_capital(1_000 * TOKEN);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, cover_at(&scene, cover)).unwrap();
    let mut vault = scene.vault();
    vault.assets = 0;
    vault.locked = 0;

    // Then it takes no deposit
    let listings = vault.listings;
    assert_eq!(
        vault.deposit(TOKEN, 0, listings),
        Err(DriftShieldError::VaultWipedOut.into())
    );
}

fn cover_at(scene: &Insured, terms: PolicyTerms) -> PolicyTerms {
    PolicyTerms {
        first_window: scene.terms().first_window,
        ..terms
    }
}

#[test]
fn no_group_gains_by_its_own_deposits_and_withdrawals() {
    // Given a vault whose price is odd
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pass(30 * DAY);
    scene.cancel(&holder, 1).unwrap(); // nothing streams any more
    let mut random = rand::rngs::StdRng::seed_from_u64(5);
    use rand::{Rng, SeedableRng};
    let group: Vec<Wallet> = (0..3).map(|_| scene.world.wallet(CAPITAL)).collect();

    // When a group deposits, asks, gives up and leaves in any order
    for _ in 0..150 {
        let one = &group[random.random_range(0..3)];
        let shares = scene.shares(one);
        let outcome = match random.random_range(0..4) {
            0 => scene.deposit(one, random.random_range(1..5_000_000)),
            1 if 0 < shares => scene.request(one, random.random_range(1..=shares)),
            2 => {
                if scene
                    .world
                    .exists(&address::withdraw_request(&scene.vault, &one.address()))
                {
                    scene.cancel_request(one)
                } else {
                    continue;
                }
            }
            _ => {
                if scene
                    .world
                    .exists(&address::withdraw_request(&scene.vault, &one.address()))
                {
                    scene.world.pass(COOLDOWN);
                    scene.withdraw(one)
                } else {
                    continue;
                }
            }
        };
        outcome.unwrap();
    }
    for one in &group {
        let shares = scene.shares(one);
        if 0 < shares {
            scene.request(one, shares).unwrap();
        }
        scene.world.pass(COOLDOWN);
        if scene
            .world
            .exists(&address::withdraw_request(&scene.vault, &one.address()))
        {
            scene.withdraw(one).unwrap();
        }
    }

    // Then it has no more than before
    let held: u64 = group
        .iter()
        .map(|one| scene.world.tokens(&one.tokens))
        .sum();
    assert!(held <= 3 * CAPITAL, "{held}");
    assert!(3 * CAPITAL - held < 200, "{held}");
}

// Refusals.

#[test]
fn deposits_are_refused_for_their_reasons() {
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
    // Leaving is never paused.
    scene.world.pause(pause::ALL);
    assert_eq!(scene.leave(&owner), 2 * TOKEN);
    scene.world.pause(0);

    let admin = scene.world.admin.insecure_clone();
    let mint = scene.world.mint;
    let disable = instruction::update_collateral(admin.pubkey(), mint, insurance_terms(), false);
    scene.world.send(disable, &[&admin]).unwrap();
    assert_refused(
        scene.deposit(&owner, TOKEN),
        DriftShieldError::CollateralDisabled,
    );
}

#[test]
fn no_vault_is_made_in_collateral_that_is_disabled() {
    let mut world = World::new();
    let (admin, manager) = (world.admin.insecure_clone(), world.wallet(0));
    let (collateral, mint) = (world.collateral(), world.mint);
    let update = |enabled| instruction::update_collateral(admin.pubkey(), mint, terms(), enabled);
    let at = manager.address();
    let create = instruction::create_vault(at, 1, &collateral, DAY, 0, vault_terms());
    world.send(update(false), &[&admin]).unwrap();
    let outcome = world.send(create.clone(), &[&manager.key]);
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    world.send(update(true), &[&admin]).unwrap();
    world.send(create, &[&manager.key]).unwrap();
}

#[test]
fn a_deposit_that_buys_no_share_is_refused() {
    // Given a provider of a base unit, and one of much more that leaves it all of a premium
    let world = World::with(params(), insurance_terms());
    let mut scene = Insured::empty(world, vault_terms()).with_capital(1);
    let leaving = lp(&mut scene, CAPITAL);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year(&scene)).unwrap();
    let shares = scene.shares(&leaving);
    scene.request(&leaving, shares).unwrap();
    let policy = scene.policy(&holder, 1);
    scene
        .world
        .warp_to(policy.expires_at(&scene.model()).unwrap());
    scene.expire(&holder, 1).unwrap();
    scene.withdraw(&leaving).unwrap();
    let price = scene.vault_now().worth(1);
    assert!(1_000 < price, "{price}");

    // When somebody deposits less than a share is worth
    let outcome = scene.deposit(&holder, price - 1);

    // Then it is refused, and a little more buys one
    assert_refused(outcome, DriftShieldError::ZeroShares);
    scene.deposit(&holder, price + 1).unwrap();
    assert_eq!(scene.shares(&holder), 1);
}

#[test]
fn a_vault_takes_its_own_share_mint_and_escrow_alone() {
    // Given two vaults with a provider, one of which has a request that is due
    let mut scene = Insured::new();
    let (first, owner) = (scene.vault(), scene.provider());
    scene.request(&owner, CAPITAL).unwrap();
    let (manager, collateral) = (scene.manager.address(), scene.world.collateral());
    let create = instruction::create_vault(manager, 2, &collateral, COOLDOWN, 0, vault_terms());
    scene.world.send(create, &[&scene.manager.key]).unwrap();
    let other = scene.world.vault(&address::vault(&manager, 2));
    scene.world.pass(COOLDOWN);

    // When an instruction names the other's escrow or share mint
    let (at, state, key) = (scene.vault, scene.vault(), owner.address());
    let (manager, model) = (scene.manager.key.insecure_clone(), scene.model.address);
    for (instruction, signer) in [
        (
            instruction::deposit(key, at, &state, owner.tokens, TOKEN, 0),
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
        (instruction::withdraw(key, at, &state), None),
        (instruction::close_exposure(at, &state, model), None),
        (instruction::close_vault(at, &state, true), Some(&manager)),
    ] {
        for (own, others) in [
            (first.escrow, other.escrow),
            (first.share_mint, other.share_mint),
        ] {
            if instruction
                .accounts
                .iter()
                .any(|account| account.pubkey == own)
            {
                let wrong = swapped(instruction.clone(), &own, &others);
                let outcome = scene.world.send(wrong, signer.as_slice());
                // Then it is refused
                assert_refused(outcome, DriftShieldError::WrongShares);
            }
        }
    }
}

#[test]
fn only_the_owner_asks_and_gives_up() {
    let mut scene = Insured::new();
    let (owner, stranger) = (lp(&mut scene, CAPITAL), scene.world.wallet(0));
    assert_refused(scene.request(&owner, 0), DriftShieldError::ZeroAmount);
    scene.request(&owner, 1_000).unwrap();
    let cancel = instruction::cancel_withdraw(owner.address(), scene.vault, &scene.vault());
    let cancel = swapped(cancel, &owner.address(), &stranger.address());
    let outcome = scene.world.send(cancel, &[&stranger.key]);
    assert_refused(outcome, DriftShieldError::NotShareOwner);
}

#[test]
fn a_withdrawal_goes_to_the_owner_alone() {
    let mut scene = Insured::new();
    let (owner, thief) = (lp(&mut scene, CAPITAL), scene.world.wallet(0));
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).unwrap();
    scene.world.pass(COOLDOWN);
    let withdraw = instruction::withdraw(owner.address(), scene.vault, &scene.vault());
    let stolen = swapped(withdraw.clone(), &owner.tokens, &thief.tokens);
    assert_refused(
        scene.world.send(stolen, &[]),
        DriftShieldError::WrongDestination,
    );
    let stolen = swapped(withdraw, &owner.address(), &thief.address());
    assert_refused(scene.world.send(stolen, &[]), DriftShieldError::WrongPayee);
}

#[test]
fn vaults_are_made_within_limits() {
    let mut world = World::with(params(), insurance_terms());
    let manager = world.wallet(0);
    let collateral = world.collateral();
    let mut create = |cooldown, fee, terms: VaultTerms| {
        let create =
            instruction::create_vault(manager.address(), 1, &collateral, cooldown, fee, terms);
        world.send(create, &[&manager.key])
    };
    let good = vault_terms();
    assert_refused(create(0, 0, good), DriftShieldError::InvalidCooldown);
    assert_refused(
        create(121 * DAY + 1, 0, good),
        DriftShieldError::InvalidCooldown,
    );
    // With the protocol's 5%.
    assert_refused(create(DAY, 1_501, good), DriftShieldError::FeesTooHigh);
    type Change = (&'static str, fn(&mut VaultTerms));
    let changes: [Change; 12] = [
        ("no smallest cover", |t| t.min_cover = 0),
        ("cover", |t| t.max_cover = t.min_cover - 1),
        ("no shortest duration", |t| t.min_duration_secs = 0),
        ("negative duration", |t| t.min_duration_secs = -1),
        ("duration", |t| {
            t.max_duration_secs = t.min_duration_secs - 1
        }),
        ("no kink", |t| t.kink_bps = 0),
        ("kink", |t| t.kink_bps = 10_000),
        ("no utilisation", |t| t.max_utilisation_bps = 4_999),
        ("utilisation", |t| t.max_utilisation_bps = 10_001),
        ("cancel fee", |t| t.cancel_fee_bps = 10_001),
        ("padding", |t| t.reserved = [1, 0]),
        ("padding", |t| t.reserved = [0, 1]),
    ];
    for (name, change) in changes {
        let mut terms = good;
        change(&mut terms);
        println!("{name}");
        assert_refused(create(DAY, 0, terms), DriftShieldError::InvalidVaultTerms);
    }
    create(121 * DAY, 1_500, good).unwrap();
}

#[test]
fn new_terms_take_effect_after_the_cooldown_and_a_day() {
    // Given a manager who announces other terms
    let mut scene = Insured::new();
    let dearer = VaultTerms {
        base_bps: 5_000,
        ..vault_terms()
    };
    let (manager, vault) = (scene.manager.address(), scene.vault);
    let update = instruction::update_vault(manager, vault, dearer);
    scene.world.send(update, &[&scene.manager.key]).unwrap();
    let announced = scene.world.now();
    let cheap = scene.quote(&scene.terms()).unwrap().premium;
    for _ in 0..4 {
        scene.measure(CALM_DRIFT);
    }

    // When the notice is over, to the second, then they hold
    scene.world.warp_to(announced + COOLDOWN + DAY - 1);
    let before = scene.quote(&scene.terms()).unwrap().premium;
    scene.world.warp_to(announced + COOLDOWN + DAY);
    let after = scene.quote(&scene.terms()).unwrap().premium;
    assert!(before.abs_diff(cheap) < cheap / 5);
    assert!(10 * before < after, "{before} {after}");
}

#[test]
fn only_the_manager_administers() {
    let mut scene = Insured::new();
    let stranger = scene.world.wallet(0);
    let (manager, vault, model) = (scene.manager.address(), scene.vault, scene.model.address);
    let listing = ListingTerms {
        model_version: 1,
        cap: 0,
        lowest_trigger: 20_000,
    };
    for instruction in [
        instruction::update_vault(manager, vault, vault_terms()),
        instruction::list_model(manager, vault, model, listing),
    ] {
        let other = swapped(instruction, &manager, &stranger.address());
        let outcome = scene.world.send(other, &[&stranger.key]);
        assert_refused(outcome, DriftShieldError::NotManager);
    }
}

#[test]
fn a_looser_listing_waits_and_a_tighter_one_does_not() {
    // Given a vault with shares that lists a model
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let notice = COOLDOWN + DAY;

    // When the manager tightens the listing, then it holds at once
    scene.list(1_000 * TOKEN, 30_000).unwrap();
    let terms = PolicyTerms {
        trigger: 29_999,
        ..scene.terms()
    };
    assert_refused(
        scene.buy(&holder, 1, terms),
        DriftShieldError::TriggerTooLow,
    );
    let terms = PolicyTerms {
        cover: 1_001 * TOKEN,
        ..scene.terms()
    };
    assert_refused(scene.buy(&holder, 1, terms), DriftShieldError::ExposureFull);
    scene
        .buy(
            &holder,
            1,
            PolicyTerms {
                cover: 1_000 * TOKEN,
                ..terms
            },
        )
        .unwrap();

    // When it loosens it, then nothing is sold until who disagrees could leave
    for (cap, lowest) in [(1_001 * TOKEN, 30_000), (1_001 * TOKEN, 29_999)] {
        scene.list(cap, lowest).unwrap();
        assert_eq!(scene.exposure().active_at, scene.world.now() + notice);
        let terms = PolicyTerms {
            cover: TOKEN,
            ..scene.terms()
        };
        assert_refused(
            scene.buy(&holder, 2, terms),
            DriftShieldError::ListingNotActive,
        );
    }
    let active = scene.exposure().active_at;
    for _ in 0..4 {
        scene.measure(CALM_DRIFT);
    }
    scene.world.warp_to(active - 1);
    let terms = PolicyTerms {
        cover: TOKEN,
        ..scene.terms()
    };
    assert_refused(
        scene.buy(&holder, 2, terms),
        DriftShieldError::ListingNotActive,
    );
    scene.world.warp_to(active);
    scene.buy(&holder, 2, scene_cover(&scene)).unwrap();
}

fn scene_cover(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        cover: TOKEN,
        ..scene.terms()
    }
}

#[test]
fn a_model_that_is_measured_too_slowly_is_not_listed() {
    // Given a vault whose cooldown is a second shorter than a window takes to be measured
    let mut world = World::with(params(), insurance_terms());
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 10_000 * TOKEN);
    let manager = world.wallet(0);
    let slowest = world.model(&model.address).dispute_secs() + DAY;
    let collateral = world.collateral();
    for (id, cooldown) in [(1, slowest - 1), (2, slowest)] {
        let create = instruction::create_vault(
            manager.address(),
            id,
            &collateral,
            cooldown,
            0,
            vault_terms(),
        );
        world.send(create, &[&manager.key]).unwrap();
    }
    let listing = |lowest_trigger, model_version| ListingTerms {
        model_version,
        cap: TOKEN,
        lowest_trigger,
    };
    let list = |world: &mut World, id, terms| {
        let vault = address::vault(&manager.address(), id);
        let list = instruction::list_model(manager.address(), vault, model.address, terms);
        world.send(list, &[&manager.key])
    };

    // Then the model can't be listed there, nor under its noise floor or by another version
    let floor = world.model(&model.address).noise_floor;
    let outcome = list(&mut world, 1, listing(floor, 1));
    assert_refused(outcome, DriftShieldError::ModelTooSlow);
    let outcome = list(&mut world, 2, listing(floor - 1, 1));
    assert_refused(outcome, DriftShieldError::BelowNoiseFloor);
    let outcome = list(&mut world, 2, listing(floor, 2));
    assert_refused(outcome, DriftShieldError::VersionMismatch);
    list(&mut world, 2, listing(floor, 1)).unwrap();
}

// Ends.

#[test]
fn an_exposure_closes_when_it_is_dead_and_unused() {
    // Given a listing with a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let close = |scene: &mut Insured| {
        let close = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
        scene.world.send(close, &[])
    };
    assert_refused(close(&mut scene), DriftShieldError::ExposureInUse);

    // When it goes off the list, then it waits for its policy
    scene.list(0, 20_000).unwrap();
    assert_refused(close(&mut scene), DriftShieldError::ExposureInUse);
    scene.cancel(&holder, 1).unwrap();
    let lamports = scene.world.lamports(&scene.manager.address());
    close(&mut scene).unwrap();
    assert!(lamports < scene.world.lamports(&scene.manager.address()));
    assert_eq!(scene.vault().exposures, 0);
}

#[test]
fn a_live_listing_cannot_be_closed_by_anyone() {
    let mut scene = Insured::new();
    let close = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
    assert_refused(
        scene.world.send(close.clone(), &[]),
        DriftShieldError::ExposureInUse,
    );
    // A model that takes no new risk is dead.
    let owner = scene.model.owner.key.insecure_clone();
    let retire = instruction::retire_model(owner.pubkey(), scene.model.address);
    scene.world.send(retire, &[&owner]).unwrap();
    scene.world.send(close, &[]).unwrap();
}

#[test]
fn a_vault_closes_when_nothing_depends_on_it() {
    // Given a vault whose manager has gone, with a policy, a request and donations
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
    // A few shares are sent to the escrow by mistake.
    let state = scene.vault();
    let account = address::share_account(&owner.address(), &state);
    let program = &spl_token_interface::ID;
    let donate = spl_token_interface::instruction::transfer(
        program,
        &account,
        &state.escrow,
        &owner.address(),
        &[],
        777,
    )
    .unwrap();
    scene.world.send(donate, &[&owner.key]).unwrap();
    scene.request(&owner, shares - 777).unwrap();
    scene.world.pass(COOLDOWN);
    assert_refused(close(&mut scene, false), DriftShieldError::VaultInUse);
    scene.withdraw(&owner).unwrap();

    // When everything that depends on it has ended, step by step
    assert_refused(close(&mut scene, false), DriftShieldError::VaultInUse);
    let listed = scene.exposure().listed_at;
    scene
        .world
        .warp_to(scene.world.now().max(listed + COOLDOWN + DAY));
    let exposure = instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
    scene.world.send(exposure, &[]).unwrap();
    assert_refused(close(&mut scene, false), DriftShieldError::FeesLeft);
    let create = instruction::create_token_account(
        &scene.world.payer.pubkey(),
        &scene.manager.address(),
        &scene.world.mint,
        scene.world.token_program,
    );
    let collect = instruction::collect_manager_fees(scene.vault, &state, PremiumPayee::Manager);
    scene.world.send_all(&[create, collect], &[]).unwrap();
    let treasury = scene.world.treasury();
    let before = scene.world.tokens(&treasury);
    let vault = scene.vault();
    scene.world.mint_to(&vault.tokens, 5); // a donation
    let left = scene.world.tokens(&vault.tokens);
    close(&mut scene, false).unwrap();

    // Then what was left is the treasury's, and nothing of it is there but its mint
    assert_eq!(scene.world.tokens(&treasury), before + left);
    for gone in [scene.vault, vault.tokens, vault.escrow] {
        assert!(!scene.world.exists(&gone));
    }
    // So its address is never used again.
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
fn nobody_but_its_manager_closes_a_vault_within_its_notice() {
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
    let (one, two) = (create(&mut world, 1), create(&mut world, 2));
    let close =
        |world: &World, vault, signs| instruction::close_vault(vault, &world.vault(&vault), signs);
    let by_anyone = close(&world, one, false);
    assert_refused(world.send(by_anyone, &[]), DriftShieldError::VaultInUse);
    let by_manager = close(&world, one, true);
    world.send(by_manager, &[&manager.key]).unwrap();
    world.pass(COOLDOWN + DAY - 1);
    let by_anyone = close(&world, two, false);
    assert_refused(
        world.send(by_anyone.clone(), &[]),
        DriftShieldError::VaultInUse,
    );
    world.pass(1);
    world.send(by_anyone, &[]).unwrap();
}

#[test]
fn year_long_streams_fit_the_ring() {
    // The longest policy ends within the ring of 64 weeks.
    let scene = Insured::new();
    let terms = PolicyTerms {
        windows: 398,
        ..scene.terms()
    };
    let quote = scene.quote(&terms).unwrap();
    assert!(YEAR + 30 * DAY < quote.end - scene.world.now());
}

#[test]
fn shares_that_were_burned_hold_no_listing_open() {
    // Given a vault of which one share was burned, and all others left
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
    let burn = spl_token_interface::instruction::burn(
        &spl_token_interface::ID,
        &address::share_account(&owner.address(), &state),
        &state.share_mint,
        &owner.address(),
        &[],
        1,
    );
    scene.world.send(burn.unwrap(), &[&owner.key]).unwrap();
    scene.world.pass(100 * DAY);
    scene.expire(&holder, 1).unwrap();
    let close = instruction::close_exposure(scene.vault, &state, scene.model.address);
    let outcome = scene.world.send(close.clone(), &[]);
    assert_refused(outcome, DriftShieldError::ExposureInUse); // a request is open
    scene.withdraw(&owner).unwrap();
    assert_eq!(scene.vault().shares, 1);

    // When anybody winds it up, then nothing of it stays
    scene.world.send(close, &[]).unwrap();
    let create = instruction::create_token_account(
        &scene.world.payer.pubkey(),
        &scene.manager.address(),
        &scene.world.mint,
        scene.world.token_program,
    );
    let collect = instruction::collect_manager_fees(scene.vault, &state, PremiumPayee::Manager);
    scene.world.send_all(&[create, collect], &[]).unwrap();
    let close = instruction::close_vault(scene.vault, &scene.vault(), false);
    scene.world.send(close, &[]).unwrap();
    assert!(!scene.world.exists(&state.tokens));
}
