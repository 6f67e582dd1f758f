//! Insiders, who may not bet; the pause flags of models, markets and bets; and what no flag pauses.

use driftshield_sdk::{
    ChallengePayee, DriftShieldError, FeePayee, MarketState, ModelTerms, ReceiptState, address,
    instruction, pause,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

/// A model, a market on it, and a bettor.
struct MarketScene {
    world: World,
    model: TestModel,
    creator: Wallet,
    market: anchor_lang::Address,
    bettor: Wallet,
}

fn scene() -> MarketScene {
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(10 * TOKEN);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(100 * TOKEN);
    MarketScene {
        world,
        model,
        creator,
        market,
        bettor,
    }
}

impl MarketScene {
    fn bet(&mut self, outcome: u8) -> Outcome {
        self.world.bet(&self.market, &self.bettor, outcome, TOKEN)
    }

    /// The model's owner replaces the oracles.
    fn set_oracles(&mut self, oracles: &[&Wallet]) {
        let terms = ModelTerms {
            oracles: oracles.iter().map(|oracle| oracle.address()).collect(),
            quorum: (oracles.len() / 2 + 1) as u8,
            ..model_terms(&[])
        };
        let owner = &self.model.owner;
        let state = self.world.model(&self.model.address);
        let update = instruction::update_model(owner.address(), self.model.address, &state, terms);
        self.world.send(update, &[&owner.key]).unwrap();
    }

    fn open_market(&mut self, id: u64) -> Outcome {
        let create = instruction::create_market(
            self.creator.address(),
            id,
            self.model.address,
            &self.world.model(&self.model.address),
            market_terms(&self.world, &self.model),
        );
        self.world.send(create, &[&self.creator.key])
    }

    fn register_model(&mut self, id: u64) -> Outcome {
        let owner = &self.model.owner;
        let register = instruction::register_model(
            owner.address(),
            id,
            &self.world.collateral(),
            spec(&self.world),
            model_terms(&self.model.oracles),
        );
        self.world.send(register, &[&owner.key])
    }

    /// All oracles submit window 0 without drift, and a new wallet challenges it. Returns the challenger.
    fn challenge_first_window(&mut self) -> Wallet {
        let challenger = self.world.wallet(terms().challenge_bond);
        self.world.submit_all(&self.model, 0, &CALM);
        self.world
            .challenge(&self.model, 0, &challenger, &DRIFTED)
            .expect("challenge_receipt");
        challenger
    }

    fn close_market(&mut self) -> Outcome {
        let close = instruction::close_market(self.market, &self.world.market(&self.market));
        self.world.send(close, &[])
    }
}

// Insiders

#[test]
fn a_models_owner_may_not_bet_on_it() {
    // Given a market on a model whose owner has tokens
    let mut scene = scene();
    scene.world.mint_to(&scene.model.owner.tokens, TOKEN);
    // When the owner bets
    let outcome = scene.world.bet(&scene.market, &scene.model.owner, 0, TOKEN);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::Insider);
}

#[test]
fn a_models_oracles_may_not_bet_on_it() {
    // Given a market on a model
    let mut scene = scene();
    for oracle in &scene.model.oracles {
        // When one of its oracles bets
        let outcome = scene.world.bet(&scene.market, oracle, 0, TOKEN);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn an_oracle_without_a_bond_may_not_bet_on_its_model() {
    // Given a market on a model with seven oracles; only a quorum of them has bonded
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 7, 0);
    for oracle in 0..4 {
        let tokens = model.oracles[oracle].tokens;
        world.mint_to(&tokens, terms().min_bond);
        world.bond(&model, oracle, terms().min_bond).unwrap();
    }
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    for oracle in &model.oracles[4..] {
        // When one of the others bets
        world.mint_to(&oracle.tokens, TOKEN);
        let outcome = world.bet(&market, oracle, 0, TOKEN);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn a_replacement_oracle_may_not_bet_and_a_former_oracle_may() {
    // Given a model whose oracles were replaced by a new one, and a market created afterwards
    let mut scene = scene();
    let new = scene.world.wallet(TOKEN);
    scene.set_oracles(&[&new]);
    scene.world.mint_to(&new.tokens, terms().min_bond);
    let state = scene.world.model(&scene.model.address);
    let bond = instruction::bond(
        new.address(),
        scene.model.address,
        &state,
        new.tokens,
        terms().min_bond,
    );
    scene.world.send(bond, &[&new.key]).unwrap();
    scene.open_market(2).unwrap();
    let market = address::market(&scene.creator.address(), 2);
    // When the new oracle bets
    let outcome = scene.world.bet(&market, &new, 0, TOKEN);
    // Then it is refused, and a bet of a former oracle is accepted
    assert_refused(outcome, DriftShieldError::Insider);
    let former = &scene.model.oracles[0];
    scene.world.bet(&market, former, 0, TOKEN).unwrap();
}

#[test]
fn an_insider_of_another_model_may_bet() {
    // Given a market on a model, and another model
    let mut scene = scene();
    let other = scene.world.default_model();
    // When an oracle and the owner of the other model bet
    scene.world.mint_to(&other.owner.tokens, TOKEN);
    for bettor in [&other.oracles[0], &other.owner] {
        let outcome = scene.world.bet(&scene.market, bettor, 0, TOKEN);
        // Then both bets are accepted
        outcome.unwrap();
    }
}

#[test]
fn a_markets_creator_may_bet() {
    // Given a market
    let mut scene = scene();
    // When its creator bets
    let outcome = scene.world.bet(&scene.market, &scene.creator, 1, TOKEN);
    // Then the bet is accepted
    outcome.unwrap();
    let position = scene
        .world
        .position(&scene.market, &scene.creator.address());
    assert_eq!(position.stakes[1], TOKEN);
}

// What a pause stops

/// Asserts that `flag` stops `act`, and that no other flag does. `act` gets a different id in each call.
#[track_caller]
fn assert_stopped_by(flag: u8, act: fn(&mut MarketScene, u64) -> Outcome) {
    // Given a program that is paused by this flag only
    let mut scene = scene();
    scene.world.pause(flag);
    // When the instruction is sent
    let outcome = act(&mut scene, 10);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::Paused);
    // And it is refused with all flags set, and succeeds with all other flags set
    scene.world.pause(pause::ALL);
    assert_refused(act(&mut scene, 11), DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !flag);
    act(&mut scene, 12).unwrap();
}

#[test]
fn new_models_are_paused_by_their_own_flag() {
    assert_stopped_by(pause::MODELS, MarketScene::register_model);
}

#[test]
fn new_markets_are_paused_by_their_own_flag() {
    assert_stopped_by(pause::MARKETS, MarketScene::open_market);
}

#[test]
fn bets_are_paused_by_their_own_flag() {
    assert_stopped_by(pause::BETS, |scene, _| scene.bet(0));
}

// What a pause does not stop

#[test]
fn a_market_settles_and_pays_while_everything_is_paused() {
    // Given a market with bets on both outcomes, and all pause flags set
    let mut scene = scene();
    scene.bet(0).unwrap();
    scene.bet(1).unwrap();
    scene.world.pause(pause::ALL);
    // When oracles submit, receipts become Final, and the market is settled and paid
    let MarketScene {
        world,
        model,
        creator,
        market,
        bettor,
    } = &mut scene;
    for window in 1..=3 {
        world.finalize_with(model, window, &CALM);
    }
    world.settle(market).unwrap();
    world.claim(market, &bettor.address()).unwrap();
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(*market, &world.market(market), payee);
        world.send(collect, &[]).unwrap();
    }
    // Then the bettor, the creator and the treasury have their parts
    let paid = [&bettor.tokens, &creator.tokens, &world.treasury()].map(|t| world.tokens(t));
    assert_eq!(
        paid,
        [
            100 * TOKEN - TOKEN * 3 / 100,
            10 * TOKEN + TOKEN / 100,
            TOKEN * 2 / 100
        ]
    );
    scene.close_market().unwrap();
    assert!(!scene.world.exists(&scene.market));
}

#[test]
fn a_void_market_refunds_while_everything_is_paused() {
    // Given a market with a bet, windows without a receipt, and all pause flags set
    let mut scene = scene();
    scene.bet(0).unwrap();
    scene.world.pause(pause::ALL);
    scene.world.warp_to_end(&scene.model, 3);
    scene
        .world
        .pass(params().submit_secs + params().challenge_secs);
    // When the market is settled
    scene.world.settle(&scene.market).unwrap();
    // Then the market is Void, and refunds the bet
    assert_eq!(scene.world.market(&scene.market).state, MarketState::Void);
    let bettor = scene.bettor.address();
    scene.world.claim(&scene.market, &bettor).unwrap();
    assert_eq!(scene.world.tokens(&scene.bettor.tokens), 100 * TOKEN);
    scene.close_market().unwrap();
}

#[test]
fn a_market_is_cancelled_while_everything_is_paused() {
    // Given two markets without bets, and all pause flags set
    let mut scene = scene();
    scene.open_market(2).unwrap();
    scene.world.pause(pause::ALL);
    // When the creator cancels one, and a stranger the other after betting has closed
    let second = address::market(&scene.creator.address(), 2);
    let state = scene.world.market(&second);
    let cancel = instruction::cancel_market(second, &state, true);
    scene.world.send(cancel, &[&scene.creator.key]).unwrap();
    scene.world.warp_to(state.close_ts);
    let state = scene.world.market(&scene.market);
    let cancel = instruction::cancel_market(scene.market, &state, false);
    scene.world.send(cancel, &[]).unwrap();
    // Then both are closed
    assert!(!scene.world.exists(&second));
    assert!(!scene.world.exists(&scene.market));
}

#[test]
fn a_dispute_is_ruled_and_paid_while_everything_is_paused() {
    // Given a program with all pause flags set
    let mut scene = scene();
    scene.world.pause(pause::ALL);
    // When a wrong value is proposed, challenged and ruled on
    let challenger = scene.challenge_first_window();
    let MarketScene { world, model, .. } = &mut scene;
    world.rule(model, 0, &DRIFTED).unwrap();
    world.pass(params().appeal_secs);
    // Then both credits are paid, the receipt is closed, and its page after its retention
    for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
        let collect = instruction::collect_challenge(
            model.address,
            &world.model(&model.address),
            &world.receipt(&model.address, 0),
            payee,
        );
        world.send(collect, &[]).unwrap();
    }
    let slashed = 3 * terms().slash_amount;
    let reward = 2 * terms().challenge_bond;
    assert_eq!(
        world.tokens(&challenger.tokens),
        terms().challenge_bond + reward
    );
    assert_eq!(world.tokens(&world.treasury()), slashed - reward);
    assert!(!world.exists(&address::receipt(&model.address, 0)));
    let end = world.model(&model.address).retention_end(255).unwrap();
    world.warp_to(end);
    let close = instruction::close_series(&world.series(&model.address, 0));
    world.send(close, &[]).unwrap();
    assert!(!world.exists(&address::series(&model.address, 0)));
}

#[test]
fn a_dispute_without_a_ruling_lapses_while_everything_is_paused() {
    // Given a challenged receipt, and all pause flags set
    let mut scene = scene();
    scene.world.pause(pause::ALL);
    scene.challenge_first_window();
    let MarketScene { world, model, .. } = &mut scene;
    // When the ruling period ends without a ruling
    world.pass(params().ruling_secs);
    world.finalize(model, 0).unwrap();
    // Then the receipt is Final with the median
    assert_eq!(world.receipt(&model.address, 0).state, ReceiptState::Final);
}

#[test]
fn bonds_are_paid_in_and_out_while_everything_is_paused() {
    // Given a program with all pause flags set
    let mut scene = scene();
    scene.world.pause(pause::ALL);
    let MarketScene { world, model, .. } = &mut scene;
    let oracle = &model.oracles[0];
    // When an oracle adds to its bond, and then withdraws all of it
    world.bond(model, 0, TOKEN).unwrap();
    let bonded = world.seat(&model.address, &oracle.address()).bonded;
    let request = instruction::request_unbond(oracle.address(), model.address, bonded);
    world.send(request, &[&oracle.key]).unwrap();
    world.pass(params().unbond_secs);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    world.send(withdraw, &[]).unwrap();
    let close = instruction::close_seat(oracle.address(), model.address);
    world.send(close, &[]).unwrap();
    // Then the oracle has all of its tokens, and its seat is closed
    assert_eq!(world.tokens(&oracle.tokens), 100_000 * TOKEN);
    assert!(!world.exists(&address::seat(&model.address, &oracle.address())));
}

#[test]
fn owners_update_and_retire_models_while_everything_is_paused() {
    // Given a program with all pause flags set
    let mut scene = scene();
    scene.world.pause(pause::ALL);
    // When the owner updates its model, and then retires it
    let new = scene.world.wallet(0);
    scene.set_oracles(&[&new]);
    let owner = &scene.model.owner;
    let retire = instruction::retire_model(owner.address(), scene.model.address);
    scene.world.send(retire, &[&owner.key]).unwrap();
    // Then the model has a new version with one oracle
    let model = scene.world.model(&scene.model.address);
    assert_eq!((model.version, model.oracle_count), (2, 1));
}

#[test]
fn the_admin_can_administer_while_everything_is_paused() {
    // Given a program with all pause flags set
    let mut scene = scene();
    scene.world.pause(pause::ALL);
    let MarketScene { world, bettor, .. } = &mut scene;
    let treasury = world.treasury();
    world.mint_to(&treasury, TOKEN);
    let admin = world.admin.insecure_clone();
    let new = world.wallet(0);
    // When the admin updates the settings, registers collateral, withdraws from the treasury and hands its
    // role over
    let guardian = world.guardian.pubkey();
    let key = admin.pubkey();
    world.second_collateral();
    for instruction in [
        instruction::update_config(key, guardian, params()),
        instruction::update_collateral(key, world.mint, terms(), true),
        instruction::withdraw_treasury(key, &world.collateral(), bettor.tokens, TOKEN),
        instruction::propose_admin(key, new.address()),
    ] {
        world.send(instruction, &[&admin]).unwrap();
    }
    world
        .send(instruction::accept_admin(new.address()), &[&new.key])
        .unwrap();
    // Then the new admin has the role, and all pause flags are still set
    assert_eq!(world.config().admin, new.address());
    assert_eq!(world.config().paused, pause::ALL);
    assert_eq!(world.tokens(&bettor.tokens), 101 * TOKEN);
}
