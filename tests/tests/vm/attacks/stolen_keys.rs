//! Stolen privileged keys: whoever has them takes nothing that belongs to others.
//!
//! Modelled on the attack on the Drift protocol in 2026: the thief of the admin's keys lowered limits, listed
//! a token of its own and withdrew everything.

use std::collections::BTreeSet;

use driftshield_sdk::{
    Address, CollateralTerms, ConfigParams, DepositLimits, DriftShieldError, Instruction,
    ListingTerms, PolicyTerms, TokenProgram, Vault, VaultTerms, address, instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{stakeholders::Stakeholders, states};

/// The harshest settings that the program accepts.
fn harshest_params() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        appeal_secs: 1,
        unbond_secs: 400 * DAY,
        leave_secs: 400 * DAY,
        replace_secs: 4,
        retention_secs: 530 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 30 * DAY,
        exit_secs: 1,
        season_secs: 400 * DAY,
        bucket_secs: 31 * DAY,
        min_window_secs: 31 * DAY,
        max_window_secs: 31 * DAY,
        max_spread_limit: 0,
        security_multiple: 1,
        min_security_rent_bps: 10_000,
        max_security_rent_bps: 10_000,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
    }
}

/// Every instruction of the admin and the guardian, in an order in which all succeed, each with its signer.
/// They register `fake`, a mint of the thief, as collateral.
fn admin_instructions(
    all: &Stakeholders,
    thief: &Keypair,
    fake: Address,
) -> Vec<(Instruction, Keypair)> {
    let world = &all.insured.world;
    let (admin, guardian) = (&world.admin, &world.guardian);
    let (at, to) = (admin.pubkey(), thief.pubkey());
    let worst = CollateralTerms {
        min_bet: u64::MAX,
        min_bond: u64::MAX,
        slash_amount: u64::MAX / 2,
        challenge_bond: u64::MAX,
        absence_penalty: u64::MAX / 32,
    };
    let treasury = world.tokens(&world.treasury()).max(1);
    let program = TokenProgram::SplToken;
    let mint = world.mint;
    vec![
        (
            instruction::set_pause(guardian.pubkey(), pause::ALL),
            guardian.insecure_clone(),
        ),
        (
            instruction::update_config(at, to, harshest_params()),
            admin.insecure_clone(),
        ),
        (
            instruction::update_collateral(at, mint, worst, false),
            admin.insecure_clone(),
        ),
        (
            instruction::register_collateral(at, fake, program, terms(), true),
            admin.insecure_clone(),
        ),
        (instruction::propose_admin(at, to), admin.insecure_clone()),
        (instruction::accept_admin(to), thief.insecure_clone()),
        (
            instruction::withdraw_treasury(to, &world.collateral(), all.creator.tokens, treasury),
            thief.insecure_clone(),
        ),
    ]
}

/// Every instruction that the model's owner and the vault's manager can send while others depend on the
/// model and the vault, each with its signer.
fn owner_and_manager_instructions(all: &Stakeholders) -> Vec<(Instruction, Keypair)> {
    let (owner, manager) = (&all.insured.model.owner, &all.insured.manager);
    let (model, vault) = (all.insured.model.address, all.insured.vault);
    let worst = VaultTerms {
        base_bps: 0,
        slope1_bps: 0,
        slope2_bps: 0,
        risk_slope_bps: 0,
        max_utilisation_bps: 10_000,
        cancel_fee_bps: 10_000,
        ..vault_terms()
    };
    let listing = ListingTerms {
        model_version: 1,
        cap: u64::MAX,
        lowest_trigger: all.insured.model().noise_floor,
        max_persistence: 1,
    };
    let list = instruction::list_model(manager.address(), vault, model, listing);
    let update = instruction::update_vault(manager.address(), vault, worst);
    let retire = instruction::retire_model(owner.address(), model);
    vec![
        (list, manager.key.insecure_clone()),
        (update, manager.key.insecure_clone()),
        (retire, owner.key.insecure_clone()),
    ]
}

/// Creates a mint whose authorities are the thief.
fn fake_mint(world: &mut World, thief: &Keypair) -> Address {
    let mint = key("fake mint").pubkey();
    set_mint(
        &mut world.svm,
        &mint,
        &thief.pubkey(),
        Some(&thief.pubkey()),
    )
}

fn thief(world: &mut World) -> Keypair {
    let thief = key("thief");
    world
        .svm
        .airdrop(&thief.pubkey(), 1_000_000_000_000)
        .unwrap();
    thief
}

#[test]
fn stolen_admin_and_guardian_keys_take_nothing_from_others() {
    // Given the final balances of an exit without a theft
    let all = Stakeholders::new();
    let honest = all.clone().redeem();

    // When a thief sends every instruction of the admin and the guardian
    let mut robbed = all.clone();
    // The admin may withdraw the treasury, so the thief may too.
    let treasury = robbed.insured.world.treasury();
    robbed.insured.world.mint_to(&treasury, TOKEN);
    let thief = thief(&mut robbed.insured.world);
    let fake = fake_mint(&mut robbed.insured.world, &thief);
    let creator = robbed.insured.world.tokens(&robbed.creator.tokens);
    let mut done = BTreeSet::new();
    for (instruction, signer) in admin_instructions(&robbed, &thief, fake) {
        done.insert(instruction.data[0]);
        robbed.insured.world.send(instruction, &[&signer]).unwrap();
    }
    let taken = robbed.insured.world.tokens(&robbed.creator.tokens) - creator;

    // Then the final balances are the same, except for the thief's withdrawal from the treasury
    let mut stolen = robbed.redeem();
    let creators = stolen
        .iter_mut()
        .find(|(name, _)| *name == "creator")
        .unwrap();
    creators.1 -= taken;
    assert_eq!(stolen, honest);

    // And the admin and the guardian have no other instructions, except that the admin returns slashes to
    // the oracles that lost them, which `attacks::disputes` tests
    let theirs = states::instructions_with_account(&["admin", "pending_admin", "authority"]);
    let theirs: BTreeSet<_> = theirs
        .into_iter()
        .filter(|(name, _)| name != "initialize" && name != "return_slashes")
        .collect();
    assert_eq!(
        theirs
            .iter()
            .map(|(_, number)| *number)
            .collect::<BTreeSet<_>>(),
        done
    );
}

#[test]
fn stolen_owner_and_manager_keys_take_nothing_from_others() {
    // Given the final balances of an exit without a theft
    let all = Stakeholders::new();
    let honest = all.clone().redeem();

    // When a thief changes everything that the model's owner and the vault's manager can change
    let mut robbed = all.clone();
    for (instruction, signer) in owner_and_manager_instructions(&all) {
        robbed.insured.world.send(instruction, &[&signer]).unwrap();
    }

    // Then the final balances are the same
    assert_eq!(robbed.redeem(), honest);

    // And an update of the exposed model is refused
    let mut robbed = all;
    let (owner, model) = (
        robbed.insured.model.owner.clone(),
        robbed.insured.model.address,
    );
    let terms = model_terms(std::slice::from_ref(&robbed.creator));
    let state = robbed.insured.model();
    let update = instruction::update_model(owner.address(), model, &state, terms);
    let outcome = robbed.insured.world.send(update, &[&owner.key]);
    assert_refused(outcome, DriftShieldError::ModelExposed);
}

#[test]
fn providers_can_leave_before_a_stolen_managers_listing_sells_cover() {
    // Given a stolen manager's key, and a listing of a model that the thief measures itself
    let mut all = Stakeholders::new();
    let spec = share_spec(&all.insured.world);
    let own = all.insured.world.model_with(spec, 1, 100_000 * TOKEN);
    for window in 0..HISTORY {
        all.insured
            .world
            .finalize_with(&own, window, &share(CALM_DRIFT));
    }
    let manager = all.insured.manager.clone();
    let listing = ListingTerms {
        model_version: 1,
        cap: u64::MAX,
        lowest_trigger: all.insured.world.model(&own.address).noise_floor,
        max_persistence: 1,
    };
    let vault = all.insured.vault;
    let list = instruction::list_model(manager.address(), vault, own.address, listing);
    all.insured.world.send(list, &[&manager.key]).unwrap();

    // When the provider requests its withdrawal as soon as the listing is announced
    let provider = all.insured.provider();
    let shares = all.insured.shares(&provider);
    all.insured.request(&provider, shares).unwrap();
    let due = all.insured.world.now() + COOLDOWN;
    for window in HISTORY..HISTORY + 5 {
        let counts = share(CALM_DRIFT);
        all.insured.world.finalize_with(&own, window, &counts);
    }
    all.insured.world.warp_to(due);

    // Then the provider is paid before the thief can buy cover
    all.insured.withdraw(&provider).unwrap();
    let buyer = all.insured.world.wallet(CAPITAL);
    let (state, model) = (all.insured.vault(), all.insured.world.model(&own.address));
    let terms = PolicyTerms {
        first_window: driftshield_sdk::first_window(&state, &model, all.insured.world.now()),
        ..all.insured.terms()
    };
    let (at, source) = (buyer.address(), buyer.tokens);
    let buy = instruction::buy_policy(at, 1, vault, &state, own.address, source, terms);
    let outcome = all.insured.world.send(buy, &[&buyer.key]);
    assert_refused(outcome, DriftShieldError::ListingNotActive);
}

#[test]
fn a_fake_token_is_never_accepted_for_a_real_one() {
    // Given a thief's token that a stolen admin key registered, and a vault in that token
    let mut all = Stakeholders::new();
    let world = &mut all.insured.world;
    let thief = thief(world);
    let fake = fake_mint(world, &thief);
    let (admin, at, program) = (
        world.admin.insecure_clone(),
        thief.pubkey(),
        TokenProgram::SplToken,
    );
    let register =
        instruction::register_collateral(admin.pubkey(), fake, program, insurance_terms(), true);
    world.send(register, &[&admin]).unwrap();
    let collateral = world.read(&address::collateral(&fake));
    let create = instruction::create_vault(at, 1, &collateral, COOLDOWN, 0, vault_terms());
    world.send(create, &[&thief]).unwrap();
    let fake_vault = address::vault(&at, 1);
    let state = world.vault(&fake_vault);
    let account = address::token_account(&at, &fake, program);
    let payer = world.payer.pubkey();
    let mint = spl_token_interface::instruction::mint_to(
        &spl_token_interface::ID,
        &fake,
        &account,
        &at,
        &[],
        u64::MAX / 2_000,
    );
    let setup = [
        instruction::create_token_account(&payer, &at, &fake, program),
        mint.unwrap(),
        instruction::create_share_account(&payer, &at, &state),
        instruction::deposit(
            at,
            fake_vault,
            &state,
            account,
            CAPITAL,
            DepositLimits::as_read(&state, 0),
        ),
    ];
    world.send_all(&setup, &[&thief]).unwrap();

    // When the token or its vault takes the place of the real one, then it is refused
    let (real, vault, model) = (
        all.insured.vault,
        all.insured.vault(),
        all.insured.model.address,
    );
    let market = all.insured.world.market(&all.market);
    let terms = all.insured.terms();
    let listing = ListingTerms {
        model_version: 1,
        cap: TOKEN,
        lowest_trigger: 20_000,
        max_persistence: 1,
    };
    let wrong_mint = DriftShieldError::WrongMint;
    let list = instruction::list_model(at, fake_vault, model, listing);
    let outcome = all.insured.world.send(list, &[&thief]);
    assert_refused(outcome, wrong_mint);
    let deposit = instruction::deposit(
        at,
        real,
        &vault,
        account,
        TOKEN,
        DepositLimits::as_read(&vault, 0),
    );
    let bet = instruction::place_bet(
        at,
        all.market,
        &market,
        account,
        instruction::Bet::unlimited(1, TOKEN),
    );
    let buy = instruction::buy_policy(at, 1, real, &vault, model, account, terms);
    let payer = all.insured.world.payer.pubkey();
    let shares = instruction::create_share_account(&payer, &at, &vault);
    all.insured.world.send(shares, &[]).unwrap();
    for real in [deposit, bet, buy] {
        // The fake token account only.
        let outcome = all.insured.world.send(real.clone(), &[&thief]);
        assert!(outcome.is_err());
        // The fake mint too, then the fake collateral too.
        let faked = swapped(real, &all.insured.world.mint, &fake);
        let outcome = all.insured.world.send(faked.clone(), &[&thief]);
        assert_refused(outcome, DriftShieldError::WrongMint);
        let pair = (
            address::collateral(&all.insured.world.mint),
            address::collateral(&fake),
        );
        let outcome = all
            .insured
            .world
            .send(swapped(faked, &pair.0, &pair.1), &[&thief]);
        assert_refused(outcome, DriftShieldError::WrongCollateral);
    }

    // And the fake vault does not pay from the tokens of the real one
    let request = instruction::request_withdraw(at, fake_vault, &state, TOKEN);
    all.insured.world.send(request, &[&thief]).unwrap();
    all.insured.world.pass(COOLDOWN);
    let withdraw = instruction::withdraw(at, fake_vault, &state);
    let withdraw = swapped(withdraw, &state.tokens, &vault.tokens);
    let outcome = all.insured.world.send(withdraw, &[]);
    assert_refused(outcome, DriftShieldError::WrongVault);
}

#[test]
fn instructions_with_durable_nonces_are_refused_once_conditions_have_changed() {
    // Given instructions that a user and the admin signed long ago with durable nonces, and nobody sent
    let mut all = Stakeholders::new();
    let world = &all.insured.world;
    let (admin, thief) = (world.admin.insecure_clone(), key("thief"));
    let (buyer, market) = (all.loser.clone(), world.market(&all.market));
    let (at, vault, state) = (buyer.address(), all.insured.vault, all.insured.vault());
    let (source, model) = (buyer.tokens, all.insured.model.address);
    let bet = instruction::place_bet(
        at,
        all.market,
        &market,
        source,
        instruction::Bet::unlimited(1, TOKEN),
    );
    let buy = instruction::buy_policy(at, 1, vault, &state, model, source, all.insured.terms());
    let price = state.worth(1_000 * TOKEN);
    let deposit = instruction::deposit(
        at,
        vault,
        &state,
        source,
        price,
        DepositLimits::as_read(&state, 1_000 * TOKEN),
    );
    let accept = instruction::accept_admin(thief.pubkey());
    let pause = instruction::set_pause(admin.pubkey(), pause::ALL);

    // When the admin has been replaced meanwhile, and premiums have streamed
    all.measure_history();
    let heir = key("heir");
    for proposed in [thief.pubkey(), heir.pubkey()] {
        let propose = instruction::propose_admin(admin.pubkey(), proposed);
        all.insured.world.send(propose, &[&admin]).unwrap();
    }
    let accepted = instruction::accept_admin(heir.pubkey());
    all.insured.world.send(accepted, &[&heir]).unwrap();
    all.insured.world.pass(30 * DAY);
    let payer = solana_signer::Signer::pubkey(&all.insured.world.payer);
    let shares = instruction::create_share_account(&payer, &at, &state);
    all.insured.world.send(shares, &[]).unwrap();

    // Then each of the instructions is refused
    for (old, signer, expected) in [
        (bet, &buyer.key, DriftShieldError::BettingClosed),
        (buy, &buyer.key, DriftShieldError::WindowsBegan),
        (deposit, &buyer.key, DriftShieldError::TooFewShares),
        (accept, &thief, DriftShieldError::NotPendingAdmin),
        (pause, &admin, DriftShieldError::NotGuardian),
    ] {
        assert_refused(all.insured.world.send(old, &[signer]), expected);
    }
}

#[test]
fn a_first_deposit_accepts_only_the_listings_that_it_names() {
    // Given a vault without shares and listings, and a signed deposit
    let world = World::with(params(), insurance_terms());
    let mut scene = Insured::empty(world, vault_terms());
    let manager = scene.manager.clone();
    let collateral = scene.world.collateral();
    let (at, terms) = (manager.address(), vault_terms());
    let create = instruction::create_vault(at, 2, &collateral, COOLDOWN, 0, terms);
    scene.world.send(create, &[&manager.key]).unwrap();
    scene.vault = address::vault(&at, 2);
    let provider = scene.world.wallet(CAPITAL);
    let state = scene.vault();
    let payer = scene.world.payer.pubkey();
    let account = instruction::create_share_account(&payer, &provider.address(), &state);
    scene.world.send(account, &[]).unwrap();
    let (from, source) = (provider.address(), provider.tokens);
    let vault = scene.vault;
    let deposit = |state: &Vault| {
        let limits = DepositLimits::as_read(state, 0);
        instruction::deposit(from, vault, state, source, CAPITAL, limits)
    };
    let signed = deposit(&state);

    // When a thief of the manager's key lists a model just before the deposit is executed
    scene.list(CAPITAL, 20_000).unwrap();
    let outcome = scene.world.send(signed, &[&provider.key]);

    // Then the deposit is refused, and so is one that was signed before the listing's terms changed
    assert_refused(outcome, DriftShieldError::VaultChanged);
    let state = scene.vault();
    scene.list(CAPITAL / 2, 20_000).unwrap();
    let signed = deposit(&state);
    let outcome = scene.world.send(signed, &[&provider.key]);
    assert_refused(outcome, DriftShieldError::VaultChanged);

    // When the deposit names the current listings, then it is accepted
    scene.deposit(&provider, CAPITAL).unwrap();
}
