//! What pausing stops, and what nothing ever stops.

use driftshield_sdk::{ChallengePayee, DriftShieldError, FeePayee, instruction, pause};
use driftshield_tests::world::*;
use solana_signer::Signer;

fn set_pause(world: &mut World, paused: u8) {
    let admin = world.admin.insecure_clone();
    let set = instruction::set_pause(admin.pubkey(), paused);
    world.send(set, &[&admin]).unwrap();
}

#[test]
fn each_flag_stops_its_own_new_risk() {
    // Given a model with a market
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(100 * TOKEN);
    let bettor = world.wallet(100 * TOKEN);
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();

    // When its flag alone is set, each is refused; when all others are, it succeeds
    for id in 2..4 {
        let allowed = id == 3;
        let flags = |own: u8| if allowed { pause::ALL & !own } else { own };
        let expect = |outcome: Outcome| match allowed {
            true => assert!(outcome.is_ok()),
            false => assert_refused(outcome, DriftShieldError::Paused),
        };

        set_pause(&mut world, flags(pause::MODELS));
        let spec = spec(&world);
        let mint = world.mint;
        let terms_of_model = model_terms(&model.oracles);
        let register =
            instruction::register_model(creator.address(), id, mint, spec, terms_of_model);
        expect(world.send(register, &[&creator.key]));

        set_pause(&mut world, flags(pause::MARKETS));
        let create =
            instruction::create_market(creator.address(), id, model.address, mint, terms.clone());
        expect(world.send(create, &[&creator.key]));

        set_pause(&mut world, flags(pause::BETS));
        expect(world.bet(&market, &bettor, 0, TOKEN));
    }
}

#[test]
fn no_exit_is_ever_paused() {
    // Given bets on a market that will resolve and on one that will be void, one market without
    // bets, and a dispute
    let mut world = World::new();
    let model = world.default_model();
    let (creator, yes) = (world.wallet(0), world.wallet(100 * TOKEN));
    let (no, challenger) = (world.wallet(100 * TOKEN), world.wallet(100 * TOKEN));
    let mut terms = market_terms(&world, &model);
    let empty = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let resolved = world
        .create_market(&model, &creator, 2, terms.clone())
        .unwrap();
    (terms.first_window, terms.last_window) = (4, 4);
    let void = world.create_market(&model, &creator, 3, terms).unwrap();
    for market in [resolved, void] {
        world.bet(&market, &yes, 1, 10 * TOKEN).unwrap();
        world.bet(&market, &no, 0, 10 * TOKEN).unwrap();
    }

    // When everything that can be is paused
    let guardian = world.guardian.insecure_clone();
    let set = instruction::set_pause(guardian.pubkey(), pause::ALL);
    world.send(set, &[&guardian]).unwrap();

    // Then oracles bond, submit and are disputed as ever
    world.bond(&model, 0, TOKEN).unwrap();
    world.submit_all(&model, 1, &CALM);
    world.challenge(&model, 1, &challenger).unwrap();
    world.rule(&model, 1, &DRIFTED).unwrap();
    let state = world.model(&model.address);
    let receipt = world.receipt(&model.address, 1);
    for payee in [ChallengePayee::Treasury, ChallengePayee::Challenger] {
        let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
        world.send(collect, &[]).unwrap();
    }

    // ... markets settle, pay, refund and close
    let cancel = instruction::cancel_market(empty, &world.market(&empty), false);
    world.send(cancel, &[]).unwrap();
    world.settle(&resolved, 1).unwrap();
    world.warp_to_end(&model, 4);
    world.pass(params().submit_secs);
    world.settle(&void, 1).unwrap();
    for market in [resolved, void] {
        world.claim(&market, &yes.address()).unwrap();
        world.claim(&market, &no.address()).unwrap();
    }
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(resolved, &world.market(&resolved), payee);
        world.send(collect, &[]).unwrap();
    }
    for market in [resolved, void] {
        let close = instruction::close_market(market, &world.market(&market));
        world.send(close, &[]).unwrap();
    }

    // ... and bonds, seats and receipts leave
    for oracle in &model.oracles {
        let all = world.seat(&model.address, &oracle.address()).bonded;
        let unbond = instruction::request_unbond(oracle.address(), model.address, all);
        world.send(unbond, &[&oracle.key]).unwrap();
    }
    world.pass(params().unbond_secs);
    for oracle in &model.oracles {
        let state = world.model(&model.address);
        let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
        world.send(withdraw, &[]).unwrap();
        let close = instruction::close_seat(oracle.address(), model.address);
        world.send(close, &[]).unwrap();
    }
    world.pass(params().retention_secs);
    let close = instruction::close_receipt(&world.receipt(&model.address, 1));
    world.send(close, &[]).unwrap();
    assert_eq!(world.model(&model.address).held, 0);
}
