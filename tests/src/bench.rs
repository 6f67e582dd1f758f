//! The costliest path of every instruction, run in a world of its own keys.

use driftshield_sdk::{
    ChallengePayee, FeePayee, Market, MetricSpec, TokenProgram, address, instruction, pause,
};

use crate::world::*;

/// Compute units of every instruction's costliest path, by name, with the keys of `keys`.
pub fn compute(keys: &str) -> Vec<(&'static str, u64)> {
    let mut units = Vec::new();
    admin(keys, &mut units);
    bonds(keys, &mut units);
    receipts(keys, &mut units);
    disputes(keys, &mut units);
    markets(keys, &mut units);
    units
}

type Units = Vec<(&'static str, u64)>;

fn admin(keys: &str, units: &mut Units) {
    let mut world = World::named(keys);
    let admin = world.admin.insecure_clone();
    let (guardian, arbiter) = (world.guardian.insecure_clone(), key("arbiter"));
    let who = [&admin, &admin, &guardian, &arbiter].map(solana_signer::Signer::pubkey);
    let [authority, admin_key, guardian_key, arbiter_key] = who;
    let mut run = |name, world: &mut World, instruction, signer| {
        units.push((name, world.send(instruction, &[signer]).expect(name).units));
    };

    let initialize =
        instruction::initialize(authority, admin_key, guardian_key, arbiter_key, params());
    run("initialize", &mut world, initialize, &admin);
    let update = instruction::update_config(admin_key, guardian_key, arbiter_key, params());
    run("update_config", &mut world, update, &admin);
    let propose = instruction::propose_admin(admin_key, guardian_key);
    run("propose_admin", &mut world, propose, &admin);
    let accept = instruction::accept_admin(guardian_key);
    run("accept_admin", &mut world, accept, &guardian);
    let pause = instruction::set_pause(guardian_key, pause::ALL);
    run("set_pause", &mut world, pause, &guardian);
    let register = instruction::register_collateral(
        guardian_key,
        world.mint,
        TokenProgram::SplToken,
        terms(),
        false,
    );
    run("register_collateral", &mut world, register, &guardian);
    let update = instruction::update_collateral(guardian_key, world.mint, terms(), true);
    run("update_collateral", &mut world, update, &guardian);
    let treasury = world.treasury();
    world.mint_to(&treasury, TOKEN);
    let destination = world.wallet(0).tokens;
    let withdraw =
        instruction::withdraw_treasury(guardian_key, &world.collateral(), destination, TOKEN);
    run("withdraw_treasury", &mut world, withdraw, &guardian);
}

/// Sixteen bins and seven oracles: the largest model.
fn largest_spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: driftshield_sdk::Metric::JensenShannon,
        reference: vec![1_000; 16],
        ..spec(world)
    }
}

fn bonds(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let owner = world.wallet(0);
    let oracles: Vec<Wallet> = (0..7).map(|_| world.wallet(20_000 * TOKEN)).collect();
    let spec = largest_spec(&world);
    let mut terms = model_terms(&oracles);
    terms.name = "n".repeat(32);
    terms.uri = "u".repeat(128);
    let register =
        instruction::register_model(owner.address(), 1, &world.collateral(), spec, terms.clone());
    let sent = world.send(register, &[&owner.key]).expect("register_model");
    units.push(("register_model", sent.units));

    let model = TestModel {
        address: address::model(&owner.address(), 1),
        owner,
        oracles,
    };
    for oracle in 0..6 {
        world.bond(&model, oracle, 10_000 * TOKEN).expect("bond");
    }
    let first = world.bond(&model, 6, 10_000 * TOKEN).expect("bond_first");
    units.push(("bond_first", first.units));
    let bond = world.bond(&model, 6, TOKEN).expect("bond");
    units.push(("bond", bond.units));

    let owner = &model.owner;
    let update = instruction::update_model(owner.address(), model.address, terms);
    let sent = world.send(update, &[&owner.key]).expect("update_model");
    units.push(("update_model", sent.units));

    let oracle = &model.oracles[6];
    let all = world.seat(&model.address, &oracle.address()).bonded;
    let unbond = instruction::request_unbond(oracle.address(), model.address, all);
    let sent = world.send(unbond, &[&oracle.key]).expect("request_unbond");
    units.push(("request_unbond", sent.units));
    world.pass(params().unbond_secs);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    let sent = world.send(withdraw, &[]).expect("withdraw_bond");
    units.push(("withdraw_bond", sent.units));
    let close = instruction::close_seat(oracle.address(), model.address);
    units.push((
        "close_seat",
        world.send(close, &[]).expect("close_seat").units,
    ));
    let retire = instruction::retire_model(owner.address(), model.address);
    let sent = world.send(retire, &[&owner.key]).expect("retire_model");
    units.push(("retire_model", sent.units));
}

fn receipts(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let model = world.default_model();
    world.warp_to_end(&model, 0);
    // Ten bins, PSI; the last of three submissions proposes.
    for (oracle, name) in ["submit_receipt_first", "submit_receipt", "submit_receipt"]
        .into_iter()
        .enumerate()
    {
        let sent = world.submit(&model, oracle, 0, &DRIFTED).expect(name);
        if oracle != 1 {
            units.push((name, sent.units));
        }
    }
    let spec = largest_spec(&world);
    let largest = world.model_with(spec, 7, 10_000 * TOKEN);
    world.warp_to_end(&largest, 0);
    let mut counts = vec![100; 16];
    counts[0] = 5_000;
    for oracle in 0..7 {
        let sent = world
            .submit(&largest, oracle, 0, &counts)
            .expect("submit_receipt");
        if oracle == 6 {
            units.push(("submit_receipt_largest", sent.units));
        }
    }
    world.pass(params().challenge_secs);
    let finalize = instruction::finalize_receipt(largest.address, 0);
    let sent = world.send(finalize, &[]).expect("finalize_receipt");
    units.push(("finalize_receipt", sent.units));
    world.pass(params().retention_secs);
    let close = instruction::close_receipt(&world.receipt(&largest.address, 0));
    let sent = world.send(close, &[]).expect("close_receipt");
    units.push(("close_receipt", sent.units));
}

fn disputes(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let spec = largest_spec(&world);
    let model = world.model_with(spec, 7, 10_000 * TOKEN);
    let mut counts = vec![100; 16];
    counts[0] = 5_000;
    world.warp_to_end(&model, 0);
    for oracle in 0..6 {
        world
            .submit(&model, oracle, 0, &counts)
            .expect("submit_receipt");
    }
    // The seventh stays away: time proposes, the challenge does so on its way.
    world.pass(params().submit_secs);
    let challenger = world.wallet(1_000 * TOKEN);
    let sent = world
        .challenge(&model, 0, &challenger)
        .expect("challenge_receipt");
    units.push(("challenge_receipt", sent.units));
    let sent = world.rule(&model, 0, &[1_000; 16]).expect("rule_receipt");
    units.push(("rule_receipt", sent.units));
    let (state, receipt) = (
        world.model(&model.address),
        world.receipt(&model.address, 0),
    );
    let collect =
        instruction::collect_challenge(model.address, &state, &receipt, ChallengePayee::Challenger);
    let sent = world.send(collect, &[]).expect("collect_challenge");
    units.push(("collect_challenge", sent.units));
}

fn markets(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let model = world.default_model();
    let creator = world.wallet(0);
    let mut terms = market_terms(&world, &model);
    terms.thresholds = (1..=7).map(|n| n * 100_000).collect();
    terms.question = "q".repeat(128);
    let create = instruction::create_market(
        creator.address(),
        1,
        model.address,
        &world.model(&model.address),
        terms.clone(),
    );
    let sent = world.send(create, &[&creator.key]).expect("create_market");
    units.push(("create_market", sent.units));
    let market = address::market(&creator.address(), 1);
    let state = world.market(&market);
    world.mint_to(&state.vault, 1); // a donation to sweep
    let cancel = instruction::cancel_market(market, &state, true);
    let sent = world.send(cancel, &[&creator.key]).expect("cancel_market");
    units.push(("cancel_market", sent.units));

    terms.last_window = terms.first_window;
    let market = world
        .create_market(&model, &creator, 2, terms)
        .expect("create_market");
    let (winner, loser) = (world.wallet(1_000 * TOKEN), world.wallet(1_000 * TOKEN));
    let first = world
        .bet(&market, &winner, 7, 3 * TOKEN)
        .expect("place_bet_first");
    units.push(("place_bet_first", first.units));
    let bet = world
        .bet(&market, &winner, 7, 5 * TOKEN)
        .expect("place_bet");
    units.push(("place_bet", bet.units));
    let position = address::position(&market, &loser.address());
    world
        .svm
        .airdrop(&position, 1_000_000)
        .expect("lamports ahead of the account");
    let prefunded = world
        .bet(&market, &loser, 0, 7 * TOKEN)
        .expect("place_bet_first");
    units.push(("place_bet_first_prefunded", prefunded.units));

    world.submit_all(&model, 1, &DRIFTED);
    world.pass(params().challenge_secs);
    // Finalizes the receipt on its way, and resolves.
    let sent = world.settle(&market, 1).expect("settle_market");
    units.push(("settle_market", sent.units));
    finish(&mut world, market, &winner, &loser, units);
    settle_many(&mut world, &model, &creator, units);
}

/// Twenty windows at once: with a receipt each, and without.
fn settle_many(world: &mut World, model: &TestModel, creator: &Wallet, units: &mut Units) {
    let bettor = world.wallet(1_000 * TOKEN);
    let mut terms = market_terms(world, model);
    terms.thresholds = (1..=7).map(|n| n * 100_000).collect();
    for (id, name, first) in [
        (3, "settle_market_20", 4),
        (4, "settle_market_20_missing", 30),
    ] {
        terms.first_window = first;
        terms.last_window = first + 19;
        terms.close_ts = world
            .model(&model.address)
            .window_start(first)
            .expect("in range");
        let market = world
            .create_market(model, creator, id, terms.clone())
            .expect("create_market");
        world.bet(&market, &bettor, 0, TOKEN).expect("place_bet");
        for window in first..first + 20 {
            world.warp_to_end(model, window);
            if first == 4 {
                world.submit_all(model, window, &CALM);
            }
        }
        world.pass(params().submit_secs + params().challenge_secs);
        let sent = world.settle(&market, 20).expect(name);
        units.push((name, sent.units));
    }
}

/// Pays and closes a market that has been resolved.
fn finish(
    world: &mut World,
    market: anchor_lang::Address,
    winner: &Wallet,
    loser: &Wallet,
    units: &mut Units,
) {
    let sent = world.claim(&market, &winner.address()).expect("claim");
    units.push(("claim", sent.units));
    world.claim(&market, &loser.address()).expect("claim");
    let state: Market = world.market(&market);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &state, payee);
        let sent = world.send(collect, &[]).expect("collect_fees");
        if payee == FeePayee::Creator {
            units.push(("collect_fees", sent.units));
        }
    }
    world.mint_to(&state.vault, 1); // a donation to sweep
    let close = instruction::close_market(market, &state);
    let sent = world.send(close, &[]).expect("close_market");
    units.push(("close_market", sent.units));
}
