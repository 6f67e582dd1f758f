//! Drift, 2026: who stole the keys of the admin lowered limits, listed a token of its own and took
//! everything. Here every privileged key is stolen, and takes nothing that somebody has.

use std::collections::BTreeSet;

use driftshield_sdk::{
    Address, CollateralTerms, ConfigParams, DriftShieldError, Instruction, ListingTerms,
    PolicyTerms, TokenProgram, VaultTerms, address, instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::everybody::Everybody;
use crate::states;

/// The harshest settings that the program takes.
fn harsh() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        unbond_secs: 400 * DAY,
        retention_secs: 530 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 30 * DAY,
        bucket_secs: 31 * DAY,
        min_window_secs: 31 * DAY,
        max_window_secs: 31 * DAY,
        max_spread_limit: 0,
        security_multiple: 1,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
    }
}

/// All that the admin can do, in an order that works, each with the keys that sign it. A fake mint of
/// the thief's is listed.
fn admins(all: &Everybody, thief: &Keypair, fake: Address) -> Vec<(Instruction, Keypair)> {
    let world = &all.insured.world;
    let (admin, guardian) = (&world.admin, &world.guardian);
    let (at, to) = (admin.pubkey(), thief.pubkey());
    let worst = CollateralTerms {
        min_bet: u64::MAX,
        min_bond: u64::MAX,
        slash_amount: u64::MAX,
        challenge_bond: u64::MAX,
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
            instruction::update_config(at, to, to, harsh()),
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

/// What the owner of the model and the manager of the vault can do while somebody depends on them.
fn owners(all: &Everybody) -> Vec<(Instruction, Keypair)> {
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
fn drift_a_stolen_admin_takes_nothing_that_somebody_has() {
    // Given what everybody comes out with
    let all = Everybody::new();
    let honest = all.clone().redeem();

    // When a thief does all that the admin and the guardian can, at once
    let mut robbed = all.clone();
    // The treasury's own money is the admin's to take; it has some.
    let treasury = robbed.insured.world.treasury();
    robbed.insured.world.mint_to(&treasury, TOKEN);
    let thief = thief(&mut robbed.insured.world);
    let fake = fake_mint(&mut robbed.insured.world, &thief);
    let creator = robbed.insured.world.tokens(&robbed.creator.tokens);
    let mut done = BTreeSet::new();
    for (instruction, signer) in admins(&robbed, &thief, fake) {
        done.insert(instruction.data[0]);
        robbed.insured.world.send(instruction, &[&signer]).unwrap();
    }
    let taken = robbed.insured.world.tokens(&robbed.creator.tokens) - creator;

    // Then everybody comes out with the same, whatever is paused, disabled or set
    let mut stolen = robbed.redeem();
    let creators = stolen
        .iter_mut()
        .find(|(name, _)| *name == "creator")
        .unwrap();
    creators.1 -= taken;
    assert_eq!(stolen, honest);

    // And there is nothing more that an admin or a guardian could have done
    let theirs = states::instructions_of(&["admin", "pending_admin", "authority"]);
    let theirs: BTreeSet<_> = theirs
        .into_iter()
        .filter(|(name, _)| name != "initialize")
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
fn drift_stolen_owners_and_managers_take_nothing_that_somebody_has() {
    // Given what everybody comes out with
    let all = Everybody::new();
    let honest = all.clone().redeem();

    // When thieves with their keys change all they can
    let mut robbed = all.clone();
    for (instruction, signer) in owners(&all) {
        robbed.insured.world.send(instruction, &[&signer]).unwrap();
    }

    // Then everybody comes out with the same
    assert_eq!(robbed.redeem(), honest);

    // And what they can't do, is refused
    let mut robbed = all;
    let (owner, model) = (
        robbed.insured.model.owner.clone(),
        robbed.insured.model.address,
    );
    let terms = model_terms(std::slice::from_ref(&robbed.creator));
    let update = instruction::update_model(owner.address(), model, terms);
    let outcome = robbed.insured.world.send(update, &[&owner.key]);
    assert_refused(outcome, DriftShieldError::ModelExposed);
}

#[test]
fn drift_within_the_notice_a_stolen_manager_sells_no_cover_that_the_providers_did_not_agree_to() {
    // Given a manager's key that is stolen, and a model that the thief measures by itself
    let mut all = Everybody::new();
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
    };
    let vault = all.insured.vault;
    let list = instruction::list_model(manager.address(), vault, own.address, listing);
    all.insured.world.send(list, &[&manager.key]).unwrap();

    // When the providers ask to leave as soon as they see it
    let provider = all.insured.provider();
    let shares = all.insured.shares(&provider);
    all.insured.request(&provider, shares).unwrap();
    all.insured.world.pass(COOLDOWN);

    // Then they leave before the thief can buy
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
fn drift_a_fake_token_buys_nothing_of_value() {
    // Given a token of a thief's that a stolen admin registered, and all that it makes in it
    let mut all = Everybody::new();
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
        instruction::deposit(at, fake_vault, &state, account, CAPITAL, 0),
    ];
    world.send_all(&setup, &[&thief]).unwrap();

    // When it is passed for the real one, then it is refused
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
    };
    let wrong_mint = DriftShieldError::WrongMint;
    let list = instruction::list_model(at, fake_vault, model, listing);
    let outcome = all.insured.world.send(list, &[&thief]);
    assert_refused(outcome, wrong_mint);
    let deposit = instruction::deposit(at, real, &vault, account, TOKEN, 0);
    let bet = instruction::place_bet(at, all.market, &market, account, 1, TOKEN, 0);
    let buy = instruction::buy_policy(at, 1, real, &vault, model, account, terms);
    let payer = all.insured.world.payer.pubkey();
    let shares = instruction::create_share_account(&payer, &at, &vault);
    all.insured.world.send(shares, &[]).unwrap();
    for real in [deposit, bet, buy] {
        // Its account for the real mint's.
        let outcome = all.insured.world.send(real.clone(), &[&thief]);
        assert!(outcome.is_err());
        // Its mint and its collateral too.
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

    // Nor does its vault pay out of the real one's tokens
    let request = instruction::request_withdraw(at, fake_vault, &state, TOKEN);
    all.insured.world.send(request, &[&thief]).unwrap();
    all.insured.world.pass(COOLDOWN);
    let withdraw = instruction::withdraw(at, fake_vault, &state);
    let withdraw = swapped(withdraw, &state.tokens, &vault.tokens);
    let outcome = all.insured.world.send(withdraw, &[]);
    assert_refused(outcome, DriftShieldError::WrongVault);
}

#[test]
fn drift_durable_nonces_what_was_signed_long_ago_is_worth_nothing_now() {
    // Given what people and admins signed and nobody sent
    let mut all = Everybody::new();
    let world = &all.insured.world;
    let (admin, thief) = (world.admin.insecure_clone(), key("thief"));
    let (buyer, market) = (all.loser.clone(), world.market(&all.market));
    let (at, vault, state) = (buyer.address(), all.insured.vault, all.insured.vault());
    let (source, model) = (buyer.tokens, all.insured.model.address);
    let bet = instruction::place_bet(at, all.market, &market, source, 1, TOKEN, 0);
    let buy = instruction::buy_policy(at, 1, vault, &state, model, source, all.insured.terms());
    let price = state.worth(1_000 * TOKEN);
    let deposit = instruction::deposit(at, vault, &state, source, price, 1_000 * TOKEN);
    let accept = instruction::accept_admin(thief.pubkey());
    let pause = instruction::set_pause(admin.pubkey(), pause::ALL);

    // When the admin has changed since, and a premium has streamed
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

    // Then each is refused
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
fn a_first_deposit_bears_no_listing_that_it_has_not_seen() {
    // Given a vault without shares and listings, and a deposit that somebody signed for it
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
    let deposit = instruction::deposit(from, scene.vault, &state, source, CAPITAL, 0);

    // When whoever stole the manager's key lists a model of its own right before it lands
    scene.list(CAPITAL, 20_000).unwrap();
    let outcome = scene.world.send(deposit, &[&provider.key]);

    // Then it is refused, as is one that names a listing less after a change of terms
    assert_refused(outcome, DriftShieldError::ListingsChanged);
    let state = scene.vault();
    scene.list(CAPITAL / 2, 20_000).unwrap();
    let deposit = instruction::deposit(from, scene.vault, &state, source, CAPITAL, 0);
    let outcome = scene.world.send(deposit, &[&provider.key]);
    assert_refused(outcome, DriftShieldError::ListingsChanged);

    // When it names what the vault has listed by now, then it is taken
    scene.deposit(&provider, CAPITAL).unwrap();
}
