//! Registration and updates of collateral.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    CollateralTerms, DriftShieldError, Event, TokenProgram, address, events, instruction,
};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{admin, smallest_terms, update_collateral};

/// Terms with one field just outside its range, each with the name of the violated rule.
fn terms_out_of_range() -> [(&'static str, CollateralTerms); 5] {
    let smallest = smallest_terms();
    [
        (
            "min_bet",
            CollateralTerms {
                min_bet: 0,
                ..smallest
            },
        ),
        (
            "slash_amount",
            CollateralTerms {
                slash_amount: 1,
                ..smallest
            },
        ),
        (
            "min_bond below slash_amount",
            CollateralTerms {
                min_bond: 1,
                ..smallest
            },
        ),
        (
            "challenge_bond",
            CollateralTerms {
                challenge_bond: 0,
                ..smallest
            },
        ),
        (
            "absence_penalty",
            CollateralTerms {
                absence_penalty: 1, // a sixteenth of the slash is below 1
                ..smallest
            },
        ),
    ]
}

/// The registration of an SPL Token mint.
fn register_collateral(
    authority: &Keypair,
    mint: Address,
    terms: CollateralTerms,
    accepts_freeze: bool,
) -> Instruction {
    let program = TokenProgram::SplToken;
    instruction::register_collateral(authority.pubkey(), mint, program, terms, accepts_freeze)
}

/// Creates a mint that is not registered.
fn new_mint(world: &mut World, freeze_authority: Option<&Address>) -> Address {
    let authority = world.payer.pubkey();
    let mint = key("an unregistered mint").pubkey();
    set_mint(&mut world.svm, &mint, &authority, freeze_authority)
}

#[test]
fn only_the_admin_can_register_collateral() {
    // Given a mint, and the guardian, who is not the admin
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let guardian = world.guardian.insecure_clone();
    // When the guardian registers the mint
    let register = register_collateral(&guardian, mint, terms(), false);
    let outcome = world.send(register, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn an_unaccepted_freeze_authority_is_refused() {
    // Given a mint whose issuer can freeze accounts
    let mut world = World::new();
    let mint = new_mint(&mut world, Some(&key("issuer").pubkey()));
    let admin = admin(&world);
    // When the admin registers it without accepting the freeze authority
    let register = register_collateral(&admin, mint, terms(), false);
    let outcome = world.send(register, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::FreezeAuthorityNotAccepted);
}

#[test]
fn an_accepted_freeze_authority_is_recorded() {
    // Given a mint whose issuer can freeze accounts
    let mut world = World::new();
    let mint = new_mint(&mut world, Some(&key("issuer").pubkey()));
    let admin = admin(&world);
    // When the admin registers it and accepts the freeze authority
    let register = register_collateral(&admin, mint, terms(), true);
    world.send(register, &[&admin]).unwrap();
    // Then the collateral records the acceptance
    let collateral: driftshield_sdk::Collateral = world.read(&address::collateral(&mint));
    assert!(collateral.accepts_freeze.get());
    assert!(collateral.enabled.get());
}

#[test]
fn register_collateral_refuses_terms_out_of_range() {
    // Given a mint
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let admin = admin(&world);
    for (name, terms) in terms_out_of_range() {
        // When the admin registers it with one term out of range
        let register = register_collateral(&admin, mint, terms, false);
        let outcome = world.send(register, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidCollateralTerms);
    }
}

#[test]
fn a_mint_cannot_be_registered_twice() {
    // Given a mint that is registered
    let mut world = World::new();
    let admin = admin(&world);
    // When the admin registers it again
    let register = register_collateral(&admin, world.mint, smallest_terms(), false);
    let outcome = world.send(register, &[&admin]);
    // Then it is refused, and the terms are unchanged
    assert!(outcome.is_err());
    assert_eq!(world.collateral().terms, terms());
}

#[test]
fn a_registered_mint_gets_its_own_treasury() {
    // Given a mint
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let admin = admin(&world);
    // When the admin registers it
    let register = register_collateral(&admin, mint, smallest_terms(), false);
    let sent = world.send(register, &[&admin]).unwrap();
    // Then event and account have the properties of the mint, and the collateral owns a treasury
    let collateral = address::collateral(&mint);
    let treasury = address::treasury(&collateral);
    assert_eq!(
        *sent.event(),
        Event::CollateralRegistered(events::CollateralRegistered {
            collateral,
            collateral_seq: 1,
            mint,
            token_program: TokenProgram::SplToken,
            extensions: 0,
            treasury,
            decimals: 6,
            accepts_freeze: false,
            terms: smallest_terms(),
        })
    );
    let account: driftshield_sdk::Collateral = world.read(&collateral);
    assert_eq!(account.mint, mint);
    assert_eq!(account.treasury, treasury);
    assert_eq!(account.token_program, TokenProgram::SplToken);
    assert_eq!(account.decimals, 6);
    assert_eq!(account.terms, smallest_terms());
    assert!(account.enabled.get());
    let treasury = world.svm.get_account(&treasury).unwrap();
    assert_eq!(&treasury.data[..32], mint.as_ref());
    assert_eq!(&treasury.data[32..64], collateral.as_ref());
}

#[test]
fn only_the_admin_can_update_collateral() {
    // Given the guardian, who is not the admin
    let mut world = World::new();
    let guardian = world.guardian.insecure_clone();
    // When the guardian disables a collateral
    let update = instruction::update_collateral(guardian.pubkey(), world.mint, terms(), false);
    let outcome = world.send(update, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn update_collateral_refuses_terms_out_of_range() {
    // Given a registered collateral
    let mut world = World::new();
    let admin = admin(&world);
    for (name, terms) in terms_out_of_range() {
        // When the admin sets one term out of its range
        let update = instruction::update_collateral(admin.pubkey(), world.mint, terms, true);
        let outcome = world.send(update, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidCollateralTerms);
    }
}

#[test]
fn collateral_can_be_disabled_and_enabled_again() {
    // Given a registered collateral
    let mut world = World::new();
    let admin = admin(&world);
    for (seq, enabled) in [(2, false), (3, true)] {
        // When the admin disables it, or enables it again
        let update =
            instruction::update_collateral(admin.pubkey(), world.mint, smallest_terms(), enabled);
        let sent = world.send(update, &[&admin]).unwrap();
        // Then the event and the account have the new state
        assert_eq!(
            *sent.event(),
            Event::CollateralUpdated(events::CollateralUpdated {
                collateral: address::collateral(&world.mint),
                collateral_seq: seq,
                mint: world.mint,
                enabled,
                terms: smallest_terms(),
            })
        );
        assert_eq!(world.collateral().enabled.get(), enabled);
        assert_eq!(world.collateral().terms, smallest_terms());
    }
}

#[test]
fn disabled_collateral_blocks_new_markets_and_bets_but_no_payout() {
    // Given a market with bets on both outcomes
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms_of_market = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms_of_market.clone())
        .unwrap();
    let bettor = world.wallet(100 * TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    world.bet(&market, &bettor, 1, TOKEN).unwrap();
    // When the admin disables the market's collateral
    update_collateral(&mut world, terms(), false);
    // Then new markets and bets are refused, but the bets are paid out
    assert_refused(
        world.bet(&market, &bettor, 0, TOKEN),
        DriftShieldError::CollateralDisabled,
    );
    let second = world.create_market(&model, &creator, 2, terms_of_market);
    let code = code(second.map(|_| unreachable!("refused")));
    assert_eq!(
        code,
        driftshield_sdk::error::code(DriftShieldError::CollateralDisabled)
    );
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market).unwrap();
    world.claim(&market, &bettor.address()).unwrap();
    assert_eq!(world.tokens(&bettor.tokens), 100 * TOKEN - TOKEN * 3 / 100);
}
