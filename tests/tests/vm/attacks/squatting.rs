//! Who takes an id, an address or a token account first takes nothing from anybody.

use driftshield_sdk::{Address, TokenProgram, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

/// The associated token accounts of `owners`, of `mint`, made by anybody.
fn make_accounts(world: &mut World, mint: &Address, owners: &[Address]) {
    let payer = world.payer.pubkey();
    for owner in owners {
        let program = TokenProgram::SplToken;
        let make = instruction::create_token_account(&payer, owner, mint, program);
        world.send(make, &[]).unwrap();
    }
}

#[test]
fn squads_tob_7_an_id_that_an_attacker_took_first_is_still_its_victims() {
    // Given an attacker who takes the ids that a victim is about to
    let mut scene = Insured::new();
    let [attacker, victim] = [(); 2].map(|()| scene.world.wallet(CAPITAL));
    let mut addresses = vec![];
    for who in [&attacker, &victim] {
        let (at, id) = (who.address(), 77);

        // When it and the victim make a model, a market, a vault and a policy of the same ids
        let (collateral, spec) = (scene.world.collateral(), share_spec(&scene.world));
        let terms = model_terms(std::slice::from_ref(&attacker));
        let register = instruction::register_model(at, id, &collateral, spec, terms);
        scene.world.send(register, &[&who.key]).unwrap();
        let mut terms = market_terms(&scene.world, &scene.model);
        (terms.first_window, terms.last_window) = (scene.window + 2, scene.window + 2);
        terms.close_ts = scene.model().window_start(terms.first_window).unwrap();
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

    // Then each has all of its own
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 10);
    assert_eq!(scene.policy(&victim, 77).holder, victim.address());
}

#[test]
fn nobody_makes_anything_in_anothers_name() {
    // Given what a victim is about to send
    let mut scene = Insured::new();
    let [attacker, victim] = [(); 2].map(|()| scene.world.wallet(CAPITAL));
    let (at, collateral) = (victim.address(), scene.world.collateral());
    let spec = share_spec(&scene.world);
    let terms = model_terms(std::slice::from_ref(&victim));
    let vault = scene.vault();
    let model = scene.model.address;
    let mut theirs = [
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
    for instruction in &mut theirs {
        // When an attacker sends it without the victim's signature, or with its own in its place
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
fn token_accounts_made_ahead_of_their_owners_stop_nothing() {
    // Given a vault and a market to come, of all of whose parties and PDAs somebody makes associated
    // token accounts
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
    make_accounts(&mut scene.world, &mint, &pdas);
    make_accounts(&mut scene.world, &share_mint, &pdas);
    let people = [lp.address(), holder.address(), scene.manager.address()];
    make_accounts(&mut scene.world, &share_mint, &people);

    // When all goes its way
    scene.deposit(&lp, CAPITAL).unwrap();
    scene.buy(&holder, 1, scene.terms()).unwrap();
    let mut terms = market_terms(&scene.world, &scene.model);
    (terms.first_window, terms.last_window) = (scene.window + 2, scene.window + 2);
    terms.close_ts = scene.model().window_start(terms.first_window).unwrap();
    let market = scene.world.create_market(&scene.model, &creator, 1, terms);
    let market = market.unwrap();
    scene.world.bet(&market, &holder, 0, TOKEN).unwrap();
    scene.cancel(&holder, 1).unwrap();

    // Then it goes as ever
    assert!(0 < scene.leave(&lp));
    scene.world.check_solvency();
}
