//! Collateral of Token-2022: accepted and refused extensions, changes of a mint, and markets and
//! vaults in such a mint.

use driftshield_sdk::{
    Collateral, DriftShieldError, FeePayee, PolicyTerms, PremiumPayee, TokenProgram, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};
use litesvm::LiteSVM;
use solana_signer::Signer;

use crate::policy::measure_until_covered;

/// Numbers of mint extensions of Token-2022.
const TRANSFER_FEE: u16 = 1;
const MINT_CLOSE_AUTHORITY: u16 = 3;
const METADATA_POINTER: u16 = 18;
const TOKEN_METADATA: u16 = 19;
const ALLOWED: [u16; 6] = [18, 19, 20, 21, 22, 23];

/// Turns a mint into one of Token-2022 with extensions of these numbers, each with `length` zero
/// bytes.
fn extend(svm: &mut LiteSVM, mint: &anchor_lang::Address, extensions: &[u16], length: u16) {
    let mut account = svm.get_account(mint).unwrap();
    account.owner = TokenProgram::Token2022.id();
    account.data.truncate(82);
    if !extensions.is_empty() {
        account.data.resize(165, 0);
        account.data.push(1); // account type: mint
        for extension in extensions {
            account.data.extend(extension.to_le_bytes());
            account.data.extend(length.to_le_bytes());
            account.data.extend(vec![0; length.into()]);
        }
    }
    account.lamports = svm.minimum_balance_for_rent_exemption(account.data.len());
    svm.set_account(*mint, account).unwrap();
}

/// A world that is not initialized, whose mint is of Token-2022 and has these extensions.
fn world(extensions: &[u16]) -> World {
    let mut world = World::bare();
    let mint = world.mint;
    extend(&mut world.svm, &mint, extensions, 64);
    world.token_program = TokenProgram::Token2022;
    world
}

/// A vault with capital, whose mint is of Token-2022 and has these extensions.
fn insured(extensions: &[u16]) -> Insured {
    let world = world(extensions).set_up(params(), insurance_terms());
    Insured::on(world, vault_terms())
}

/// Registers the world's mint as collateral.
fn register(world: &mut World) -> Outcome {
    let admin = world.admin.insecure_clone();
    let register = instruction::register_collateral(
        admin.pubkey(),
        world.mint,
        world.token_program,
        terms(),
        false,
    );
    world.send(register, &[&admin])
}

/// A world that is initialized, whose mint is not registered.
fn initialized(extensions: &[u16]) -> World {
    let mut world = world(extensions);
    let admin = world.admin.insecure_clone();
    let initialize = instruction::initialize(
        admin.pubkey(),
        admin.pubkey(),
        world.guardian.pubkey(),
        world.arbiter.pubkey(),
        params(),
    );
    world.send(initialize, &[&admin]).unwrap();
    world
}

#[test]
fn only_allowed_extensions_are_accepted() {
    for extension in 1..=40 {
        let mut world = initialized(&[extension]);
        let outcome = register(&mut world);
        if ALLOWED.contains(&extension) {
            outcome.unwrap();
            assert_eq!(world.collateral().extensions, 1 << extension);
        } else {
            println!("extension {extension}");
            assert_refused(outcome, DriftShieldError::UnsupportedMint);
        }
    }
    // A forbidden extension after an allowed one, extensions with much larger numbers, and an
    // extension shorter than its length are refused.
    let mut world = initialized(&[METADATA_POINTER, TRANSFER_FEE]);
    assert_refused(register(&mut world), DriftShieldError::UnsupportedMint);
    for extension in [50, 64 + 18, u16::MAX] {
        let mut world = initialized(&[extension]);
        assert_refused(register(&mut world), DriftShieldError::UnsupportedMint);
    }
    let mut world = initialized(&[METADATA_POINTER]);
    let mint = world.mint;
    let mut account = world.svm.get_account(&mint).unwrap();
    account.data.truncate(account.data.len() - 1);
    world.svm.set_account(mint, account).unwrap();
    assert_refused(register(&mut world), DriftShieldError::UnsupportedMint);
    // An uninitialized mint is refused, with extensions or without.
    for extensions in [&[][..], &[METADATA_POINTER]] {
        let mut world = initialized(extensions);
        let mint = world.mint;
        let mut account = world.svm.get_account(&mint).unwrap();
        account.data[45] = 0;
        world.svm.set_account(mint, account).unwrap();
        assert_refused(register(&mut world), DriftShieldError::UnsupportedMint);
    }
    // An account like a mint is refused if its type is a token account, or its owner another
    // program.
    let changes: [fn(&mut solana_account::Account); 2] = [
        |account| account.data[165] = 2,
        |account| account.owner = driftshield_sdk::ID,
    ];
    for change in changes {
        let mut world = initialized(&[METADATA_POINTER]);
        let mint = world.mint;
        let mut account = world.svm.get_account(&mint).unwrap();
        change(&mut account);
        world.svm.set_account(mint, account).unwrap();
        assert_refused(register(&mut world), DriftShieldError::UnsupportedMint);
    }
}

#[test]
fn accepted_extensions_are_recorded() {
    let mut world = initialized(&[METADATA_POINTER, TOKEN_METADATA]);
    register(&mut world).unwrap();
    let collateral: Collateral = world.collateral();
    assert_eq!(collateral.token_program, TokenProgram::Token2022);
    assert_eq!(collateral.extensions, 1 << 18 | 1 << 19);
    assert_eq!(collateral.decimals, 6);
}

#[test]
fn a_token_program_that_does_not_own_the_mint_is_refused() {
    let mut world = initialized(&[]);
    world.token_program = TokenProgram::SplToken;
    assert!(register(&mut world).is_err());
}

#[test]
fn payments_in_are_refused_once_the_mint_has_changed() {
    // Given a vault, a model, a market and a policy in a mint of Token-2022
    let mut scene = insured(&[METADATA_POINTER]);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let creator = scene.world.wallet(0);
    let mut terms = market_terms(&scene.world, &scene.model);
    terms.first_window = scene.window + 3;
    terms.last_window = scene.window + 4;
    terms.close_ts = scene.model().window_start(terms.first_window).unwrap();
    let market = scene
        .world
        .create_market(&scene.model, &creator, 1, terms)
        .unwrap();
    let seller = scene.world.wallet(CAPITAL);
    let world = &mut scene.world;
    world.bet(&market, &seller, 0, TOKEN).unwrap();
    world.offer(&market, &seller, 0, TOKEN, 900).unwrap();
    let mint = scene.world.mint;
    let accepted = scene.world.svm.get_account(&mint).unwrap();
    scene
        .world
        .submit_all(&scene.model, scene.window, &share(CALM_DRIFT));
    let window = scene.window;
    let purchase = scene.world.purchase(&market, 0, TOKEN);

    type Change = (&'static str, fn(&mut solana_account::Account));
    let changes: [Change; 5] = [
        ("a transfer fee", |a| {
            a.data[166..168].copy_from_slice(&TRANSFER_FEE.to_le_bytes())
        }),
        ("a close authority", |a| {
            a.data[166..168].copy_from_slice(&MINT_CLOSE_AUTHORITY.to_le_bytes());
        }),
        ("no extension", |a| a.data.truncate(82)),
        ("a freeze authority", |a| a.data[46] = 1),
        ("other decimals", |a| a.data[44] = 9),
    ];
    for (name, change) in changes {
        // When the mint changes
        println!("{name}");
        let mut account = accepted.clone();
        change(&mut account);
        scene.world.svm.set_account(mint, account).unwrap();

        // Then no instruction accepts payments in that mint
        let outcomes = [
            scene.deposit(&holder, TOKEN),
            scene.buy(&holder, 2, scene.terms()),
            scene.renew(&holder, 1, true),
            scene.world.bet(&market, &holder, 0, TOKEN),
            scene.world.buy_stake(&market, &holder, &seller, purchase),
            scene.world.bond(&scene.model, 0, TOKEN),
            scene.world.fund(&scene.model, &holder, TOKEN, DAY),
            scene
                .world
                .challenge(&scene.model, window, &holder, &share(2 * CALM_DRIFT)),
        ];
        for outcome in outcomes {
            assert_refused(outcome, DriftShieldError::MintChanged);
        }
    }

    // But payments are accepted if only metadata is added
    let mut account = accepted.clone();
    account.data.extend(TOKEN_METADATA.to_le_bytes());
    account.data.extend(4u16.to_le_bytes());
    account.data.extend([0; 4]);
    scene.world.svm.set_account(mint, account).unwrap();
    scene.deposit(&holder, TOKEN).unwrap();
}

#[test]
fn payouts_continue_after_the_mint_has_changed() {
    // Given capital, policies and credits in a mint that gets a freeze authority
    let mut scene = insured(&[METADATA_POINTER]);
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.buy(&holder, 2, scene.terms()).unwrap();
    measure_until_covered(&mut scene, &holder);
    scene.measure(300_000);
    let mint = scene.world.mint;
    let mut account = scene.world.svm.get_account(&mint).unwrap();
    account.data[46] = 1; // freeze authority
    scene.world.svm.set_account(mint, account).unwrap();

    // Then everything is still paid out
    scene.claim(&holder, 1).unwrap();
    scene.cancel(&holder, 2).unwrap();
    let provider = scene.provider();
    assert!(0 < scene.leave(&provider));
    let state = scene.vault();
    let collect = instruction::collect_manager_fees(scene.vault, &state, PremiumPayee::Treasury);
    scene.world.send(collect, &[]).unwrap();
}

#[test]
fn a_market_and_a_vault_work_with_token_2022() {
    // Given a mint of Token-2022 with metadata
    let mut scene = insured(&[METADATA_POINTER, TOKEN_METADATA]);
    let (winner, loser) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
    let creator = scene.world.wallet(0);
    let mut terms = market_terms(&scene.world, &scene.model);
    terms.first_window = scene.window + 3;
    terms.last_window = scene.window + 3;
    terms.close_ts = scene.model().window_start(terms.first_window).unwrap();
    let window = terms.first_window;
    let market = scene
        .world
        .create_market(&scene.model, &creator, 1, terms)
        .unwrap();
    scene.world.bet(&market, &winner, 1, 10 * TOKEN).unwrap();
    scene.world.bet(&market, &loser, 0, 10 * TOKEN).unwrap();
    let terms = PolicyTerms {
        first_window: scene.terms().first_window,
        ..scene.terms()
    };
    scene.buy(&winner, 1, terms).unwrap();

    // When the drift reaches the threshold and the trigger, and everything is settled and claimed
    scene.measure_until(window, CALM_DRIFT);
    scene.measure(300_000);
    scene.world.settle(&market).unwrap();
    for owner in [&winner, &loser] {
        scene.world.claim(&market, &owner.address()).unwrap();
    }
    let state = scene.world.market(&market);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &state, payee);
        scene.world.send(collect, &[]).unwrap();
    }
    scene
        .world
        .send(instruction::close_market(market, &state), &[])
        .unwrap();
    scene.claim(&winner, 1).unwrap();
    let provider = scene.provider();
    scene.leave(&provider);

    // Then everybody is paid, in accounts of Token-2022
    let account = address::token_account(
        &winner.address(),
        &scene.world.mint,
        TokenProgram::Token2022,
    );
    assert_eq!(account, winner.tokens);
    assert!(CAPITAL < scene.world.tokens(&winner.tokens));
    // And the vault holds only the credits of the treasury and the manager.
    scene.world.pass(40 * DAY);
    let vault = scene.vault_now();
    assert_eq!(scene.world.tokens(&vault.tokens), vault.owed().unwrap());
    assert_eq!((vault.shares, vault.locked), (0, 0));
    assert!(vault.assets <= 1, "more than a rounded loss is left");
}
