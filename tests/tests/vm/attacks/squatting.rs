//! Ids, addresses and token accounts that an attacker takes first: this blocks nobody else.

use driftshield_sdk::{Address, TokenProgram, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

use crate::stakeholders::market_terms_on;

/// Creates the associated token accounts of `owners`; anybody can.
fn create_token_accounts(world: &mut World, mint: &Address, owners: &[Address]) {
    let payer = world.payer.pubkey();
    for owner in owners {
        let program = TokenProgram::SplToken;
        let create = instruction::create_token_account(&payer, owner, mint, program);
        world.send(create, &[]).unwrap();
    }
}

#[test]
fn squads_tob_7_an_attacker_cannot_take_the_ids_of_others() {
    // Given an attacker who uses the same ids as a victim, and is first
    let mut scene = Insured::new();
    let [attacker, victim] = [(); 2].map(|()| scene.world.wallet(CAPITAL));
    let mut addresses = vec![];
    for who in [&attacker, &victim] {
        let (at, id) = (who.address(), 77);

        // When the attacker and then the victim create a model, a market, a vault and a policy
        let (collateral, spec) = (scene.world.collateral(), share_spec(&scene.world));
        let terms = model_terms(std::slice::from_ref(&attacker));
        let register = instruction::register_model(at, id, &collateral, spec, terms);
        scene.world.send(register, &[&who.key]).unwrap();
        let window = scene.window + 2;
        let terms = market_terms_on(&scene.world, &scene.model, window, window);
        let market = scene.world.create_market(&scene.model, who, id, terms);
        let (cooldown, terms) = (COOLDOWN, vault_terms());
        let create = instruction::create_vault(at, id, &collateral, cooldown, 0, terms);
        scene.world.send(create, &[&who.key]).unwrap();
        scene.buy(who, id, scene.terms()).unwrap();
        scene.deposit(who, TOKEN).unwrap();
        scene.request(who, 1_000).unwrap();
        addresses.extend([
            address::model(&at, id),
            market.unwrap(),
            address::vault(&at, id),
            address::policy(&scene.vault, &at, id),
            address::withdraw_request(&scene.vault, &at),
        ]);
    }

    // Then each has accounts of its own
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 10);
    assert_eq!(scene.policy(&victim, 77).holder, victim.address());
}

#[test]
fn nobody_creates_accounts_for_others_without_their_signature() {
    // Given the instructions with which a victim creates accounts
    let mut scene = Insured::new();
    let [attacker, victim] = [(); 2].map(|()| scene.world.wallet(CAPITAL));
    let (at, collateral) = (victim.address(), scene.world.collateral());
    let spec = share_spec(&scene.world);
    let terms = model_terms(std::slice::from_ref(&victim));
    let vault = scene.vault();
    let model = scene.model.address;
    let mut creations = [
        instruction::register_model(at, 1, &collateral, spec, terms),
        instruction::create_market(
            at,
            1,
            model,
            &scene.model(),
            market_terms(&scene.world, &scene.model),
        ),
        instruction::create_vault(at, 1, &collateral, COOLDOWN, 0, vault_terms()),
        instruction::buy_policy(
            at,
            1,
            scene.vault,
            &vault,
            model,
            victim.tokens,
            scene.terms(),
        ),
    ];
    for instruction in &mut creations {
        // When an attacker sends one without the victim's signature, or with itself in the victim's place
        let first = instruction.accounts[0].clone();
        assert_eq!((first.pubkey, first.is_signer), (at, true));
        let mut unsigned = instruction.clone();
        unsigned.accounts[0].is_signer = false;
        let mut replaced = instruction.clone();
        replaced.accounts[0].pubkey = attacker.address();

        // Then it is refused
        assert!(scene.world.send(unsigned, &[]).is_err());
        assert!(scene.world.send(replaced, &[&attacker.key]).is_err());
    }
}

#[test]
fn token_accounts_created_in_advance_block_nothing() {
    // Given associated token accounts that somebody creates for all parties and PDAs of a vault and of a
    // future market
    let world = World::with(params(), insurance_terms());
    let mut scene = Insured::empty(world, vault_terms());
    let [lp, holder] = [(); 2].map(|()| scene.world.wallet(CAPITAL));
    let mint = scene.world.mint;
    let share_mint = scene.vault().share_mint;
    let creator = scene.world.wallet(0);
    let pdas = [
        scene.vault,
        scene.model.address,
        address::collateral(&mint),
        address::market(&creator.address(), 1),
        address::exposure(&scene.vault, &scene.model.address),
    ];
    create_token_accounts(&mut scene.world, &mint, &pdas);
    create_token_accounts(&mut scene.world, &share_mint, &pdas);
    let people = [lp.address(), holder.address(), scene.manager.address()];
    create_token_accounts(&mut scene.world, &share_mint, &people);

    // When capital, policies and bets are paid in
    scene.deposit(&lp, CAPITAL).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let window = scene.window + 2;
    let terms = market_terms_on(&scene.world, &scene.model, window, window);
    let market = scene.world.create_market(&scene.model, &creator, 1, terms);
    let market = market.unwrap();
    scene.world.bet(&market, &holder, 0, TOKEN).unwrap();
    scene.cancel(&holder, 1).unwrap();

    // Then everything works as usual
    assert!(0 < scene.leave(&lp));
    scene.world.check_solvency();
}
