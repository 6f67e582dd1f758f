//! Benchmark cases: the compute units of every instruction on its most expensive path, and of some
//! instructions on other paths as well.

use driftshield_sdk::{
    Aggregate, ChallengePayee, Entry, FeePayee, Market, MarketTerms, MetricSpec, PAGE_WINDOWS,
    PolicyTerms, PremiumPayee, Series, TokenProgram, address, instruction, pause,
};

use crate::{insurance::*, world::*};

/// The name and the compute units of each benchmark case. `keys` seeds the keys of the worlds, so the
/// addresses and their bumps depend on it.
pub fn compute(keys: &str) -> Vec<(&'static str, u64)> {
    let mut units = Vec::new();
    admin(keys, &mut units);
    bonds(keys, &mut units);
    receipts(keys, &mut units);
    disputes(keys, &mut units);
    markets(keys, &mut units);
    vaults(keys, &mut units);
    policies(keys, &mut units);
    units
}

type Units = Vec<(&'static str, u64)>;

fn admin(keys: &str, units: &mut Units) {
    let mut world = World::named(keys);
    let admin = world.admin.insecure_clone();
    let (guardian, arbiter) = (world.guardian.insecure_clone(), key("arbiter"));
    let keys = [&admin, &admin, &guardian, &arbiter].map(solana_signer::Signer::pubkey);
    let [authority, admin_key, guardian_key, arbiter_key] = keys;
    let mut run = |name, world: &mut World, instruction, signer| {
        units.push((name, world.send(instruction, &[signer]).expect(name).units));
    };

    let initialize =
        instruction::initialize(authority, admin_key, guardian_key, arbiter_key, params());
    run("initialize", &mut world, initialize, &admin);
    let update = instruction::update_config(admin_key, guardian_key, params());
    run("update_config", &mut world, update, &admin);
    let propose = instruction::propose_admin(admin_key, guardian_key);
    run("propose_admin", &mut world, propose, &admin);
    let accept = instruction::accept_admin(guardian_key);
    run("accept_admin", &mut world, accept, &guardian);
    let propose = instruction::propose_arbiter(arbiter_key, guardian_key);
    run("propose_arbiter", &mut world, propose, &arbiter);
    let accept = instruction::accept_arbiter(guardian_key);
    run("accept_arbiter", &mut world, accept, &guardian);
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

/// A spec with sixteen bins, the maximum.
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
    let update = {
        let state = world.model(&model.address);
        instruction::update_model(owner.address(), model.address, &state, terms)
    };
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
    let leave = instruction::leave_seat(model.oracles[0].address(), model.address);
    let sent = world.send(leave, &[&model.oracles[0].key]);
    units.push(("leave_seat", sent.expect("leave_seat").units));
    let bettor = world.wallet(2 * TOKEN);
    let market = MarketTerms {
        first_window: 5,
        last_window: 30,
        close_ts: state.window_start(5).expect("in range"),
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &bettor, 1, market);
    world
        .bet(&market.expect("a market"), &bettor, 0, TOKEN)
        .expect("a bet");
    world.pass(params().replace_secs);
    let successor = world.wallet(0).address();
    let (at, model_at) = (owner.address(), model.address);
    let state = world.model(&model_at);
    let replace = instruction::replace_oracle(at, model_at, &state, oracle.address(), successor);
    let sent = world.send(replace, &[&owner.key]).expect("replace_oracle");
    units.push(("replace_oracle", sent.units));
    let retire = instruction::retire_model(owner.address(), model.address);
    let sent = world.send(retire, &[&owner.key]).expect("retire_model");
    units.push(("retire_model", sent.units));
}

fn receipts(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let model = world.default_model();
    world.warp_to_end(&model, 0);
    // The last of three submissions proposes.
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
    let largest = world.model_with(spec, 7, 20_000 * TOKEN);
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
    let sent = world.finalize(&largest, 0).expect("finalize_receipt");
    units.push(("finalize_receipt", sent.units));
    world.warp_to_end(&largest, PAGE_WINDOWS - 1);
    world.pass(params().retention_secs);
    let close = instruction::close_series(&world.series(&largest.address, 0));
    let sent = world.send(close, &[]).expect("close_series");
    units.push(("close_series", sent.units));
}

fn disputes(keys: &str, units: &mut Units) {
    let mut world = World::with_keys_of(keys);
    let spec = largest_spec(&world);
    let model = world.model_with(spec, 7, 20_000 * TOKEN);
    let mut counts = vec![100; 16];
    counts[0] = 5_000;
    world.warp_to_end(&model, 0);
    for oracle in 0..6 {
        world
            .submit(&model, oracle, 0, &counts)
            .expect("submit_receipt");
    }
    // The seventh oracle does not submit: the challenge has to propose the receipt first.
    world.pass(params().submit_secs);
    let challenger = world.wallet(1_000 * TOKEN);
    let sent = world
        .challenge(&model, 0, &challenger, &[1_000; 16])
        .expect("challenge_receipt");
    units.push(("challenge_receipt", sent.units));
    let sent = world.rule(&model, 0, &[1_000; 16]).expect("rule_receipt");
    units.push(("rule_receipt", sent.units));
    let (state, receipt) = (
        world.model(&model.address),
        world.receipt(&model.address, 0),
    );
    let mut appealed = world.clone();
    let admin = appealed.admin.insecure_clone();
    let admin_key = solana_signer::Signer::pubkey(&admin);
    let give_back = instruction::return_slashes(admin_key, model.address, &state, &receipt);
    let sent = appealed.send(give_back, &[&admin]).expect("return_slashes");
    units.push(("return_slashes", sent.units));
    world.pass(params().appeal_secs);
    for payee in [ChallengePayee::Treasury, ChallengePayee::Challenger] {
        let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
        let sent = world.send(collect, &[]).expect("collect_challenge");
        if payee == ChallengePayee::Challenger {
            units.push(("collect_challenge", sent.units)); // closes the receipt
        }
    }
    silence(&mut world, &model, &challenger, units);
}

/// A window for which nobody submits, and one for which one oracle doesn't.
fn silence(world: &mut World, model: &TestModel, bettor: &Wallet, units: &mut Units) {
    const MISSING: u64 = 2 * PAGE_WINDOWS; // the first of its page
    world.warp_to_end(model, MISSING - 3);
    let terms = MarketTerms {
        first_window: MISSING,
        last_window: MISSING + 1,
        close_ts: world.now() + 1,
        ..market_terms(world, model)
    };
    let market = world
        .create_market(model, bettor, 1, terms)
        .expect("create_market");
    world.bet(&market, bettor, 0, TOKEN).expect("place_bet");
    world.warp_to_end(model, MISSING);
    world.pass(params().submit_secs);
    let sent = world
        .challenge(model, MISSING, bettor, &[1_000; 16])
        .expect("challenge_receipt_first");
    units.push(("challenge_receipt_first", sent.units));
    world.warp_to_end(model, MISSING + 1);
    for oracle in 0..6 {
        let sent = world.submit(model, oracle, MISSING + 1, &[1_000; 16]);
        sent.expect("submit_receipt");
    }
    world.pass(params().submit_secs + params().challenge_secs);
    world
        .finalize(model, MISSING + 1)
        .expect("finalize_receipt");
    let sync = instruction::sync_seat(model.oracles[6].address(), model.address);
    let sent = world.send(sync, &[]).expect("sync_seat");
    units.push(("sync_seat", sent.units));
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
    world.svm.airdrop(&position, 1_000_000).expect("lamports");
    let prefunded = world
        .bet(&market, &loser, 0, 7 * TOKEN)
        .expect("place_bet_first");
    units.push(("place_bet_first_prefunded", prefunded.units));

    let buyer = world.wallet(1_000 * TOKEN);
    let asked = world
        .offer(&market, &loser, 0, 3 * TOKEN, 900)
        .expect("set_ask");
    units.push(("set_ask", asked.units));
    for name in ["buy_position_first", "buy_position"] {
        let purchase = world.purchase(&market, 0, TOKEN);
        let bought = world
            .buy_stake(&market, &buyer, &loser, purchase)
            .expect(name);
        units.push((name, bought.units));
    }

    world.submit_all(&model, 1, &DRIFTED);
    world.pass(params().challenge_secs);
    world.finalize(&model, 1).expect("finalize_receipt");
    let sent = world.settle(&market).expect("settle_market");
    units.push(("settle_market", sent.units));
    world.claim(&market, &buyer.address()).expect("claim");
    pay_out_and_close(&mut world, market, &winner, &loser, units);
    settle_many(&mut world, &model, &creator, units);
}

/// Settles the largest market, which observes windows of three pages, at once: with final values for each
/// aggregate, and without pages.
fn settle_many(world: &mut World, model: &TestModel, creator: &Wallet, units: &mut Units) {
    let bettor = world.wallet(1_000 * TOKEN);
    let mut terms = market_terms(world, model);
    terms.thresholds = (1..=7).map(|n| n * 100_000).collect();
    for (id, name, aggregate, is_measured) in [
        (3, "settle_market_366_max", Aggregate::Max, true),
        (4, "settle_market_366_last", Aggregate::Last, true),
        (5, "settle_market_366_mean", Aggregate::Mean, true),
        (6, "settle_market_366_missing", Aggregate::Mean, false),
    ] {
        terms.aggregate = aggregate;
        terms.first_window = PAGE_WINDOWS * 4 * id - 1;
        terms.last_window = terms.first_window + 365;
        world.warp_to_end(model, terms.first_window - 2);
        terms.close_ts = world.now() + 1;
        let market = world
            .create_market(model, creator, id, terms.clone())
            .expect("create_market");
        world.bet(&market, &bettor, 0, TOKEN).expect("place_bet");
        world.warp_to_end(model, terms.last_window);
        world.pass(params().submit_secs + params().challenge_secs);
        if is_measured {
            let pages = Series::page_of(terms.first_window)..=Series::page_of(terms.last_window);
            for page in pages {
                world.set_series(model, page, &[Entry::Final(99_999); PAGE_WINDOWS as usize]);
            }
        }
        let sent = world.settle(&market).expect(name);
        units.push((name, sent.units));
    }
}

/// Pays out and closes a resolved market.
fn pay_out_and_close(
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

/// A vault with capital that lists a model of the largest size, which has [`HISTORY`] Final windows.
pub fn largest_insured(keys: &str) -> Insured {
    let mut world = World::named(keys).set_up(params(), insurance_terms());
    let spec = largest_spec(&world);
    let model = world.model_with(spec, 7, 20_000 * TOKEN);
    let mut scene = Insured::around(world, model, vault_terms());
    for _ in 0..HISTORY {
        measure_largest(&mut scene, false);
    }
    scene.with_capital(CAPITAL)
}

/// Makes the next window of the largest model Final, with or without drift.
pub fn measure_largest(scene: &mut Insured, drifted: bool) {
    let mut counts = vec![1_000; 16];
    if drifted {
        counts[0] = 1_000_000;
    }
    scene
        .world
        .finalize_with(&scene.model, scene.window, &counts);
    scene.window += 1;
}

/// Like [`Insured::start`], for the largest model.
pub fn start_largest(scene: &mut Insured, holder: &Wallet, id: u64) {
    let last = scene.policy(holder, id).last_window;
    while scene.window <= last {
        measure_largest(scene, false);
    }
    scene.begin(holder, id).expect("begin_policy");
}

/// Sells a policy of almost a year, and lets 53 buckets pass.
fn let_53_buckets_pass(scene: &mut Insured, holder: &Wallet) {
    let terms = PolicyTerms {
        windows: 360,
        ..scene.terms()
    };
    scene.buy(holder, 99, terms).expect("buy_policy");
    start_largest(scene, holder, 99);
    scene.world.pass(53 * params().bucket_secs);
}

fn vaults(keys: &str, units: &mut Units) {
    let mut scene = largest_insured(keys);
    let manager = scene.world.wallet(0);
    let create = |scene: &Insured, id| {
        let collateral = scene.world.collateral();
        instruction::create_vault(
            manager.address(),
            id,
            &collateral,
            COOLDOWN,
            0,
            vault_terms(),
        )
    };
    let create = create(&scene, 1);
    let sent = scene
        .world
        .send(create, &[&manager.key])
        .expect("create_vault");
    units.push(("create_vault", sent.units));
    let vault = address::vault(&manager.address(), 1);
    let update = instruction::update_vault(manager.address(), vault, vault_terms());
    let sent = scene
        .world
        .send(update, &[&manager.key])
        .expect("update_vault");
    units.push(("update_vault", sent.units));
    let first_vault = std::mem::replace(&mut scene.vault, vault);
    let first_manager = std::mem::replace(&mut scene.manager, manager);
    let lowest = scene.model().noise_floor;
    let first = scene.list(TOKEN, lowest).expect("list_model_first");
    units.push(("list_model_first", first.units));
    let again = scene.list(0, lowest).expect("list_model");
    units.push(("list_model", again.units));
    let close = instruction::close_exposure(vault, &scene.vault(), scene.model.address);
    let sent = scene.world.send(close, &[]).expect("close_exposure");
    units.push(("close_exposure", sent.units));
    let tokens = scene.vault().tokens;
    scene.world.mint_to(&tokens, 1); // a donation to sweep
    let close = instruction::close_vault(vault, &scene.vault(), true);
    let key = scene.manager.key.insecure_clone();
    let sent = scene.world.send(close, &[&key]).expect("close_vault");
    units.push(("close_vault", sent.units));
    scene.vault = first_vault;
    scene.manager = first_manager;

    liquidity(&mut scene, units);

    let mut scene = largest_insured(keys);
    let holder = scene.world.wallet(CAPITAL);
    let_53_buckets_pass(&mut scene, &holder);
    let owner = scene.world.wallet(CAPITAL);
    let sent = scene.deposit(&owner, TOKEN).expect("deposit");
    units.push(("deposit_after_53_buckets", sent.units));
}

/// Deposits, requests, cancels and makes withdrawals, and collects the fees of a vault.
fn liquidity(scene: &mut Insured, units: &mut Units) {
    let owner = scene.world.wallet(CAPITAL);
    scene.deposit(&owner, TOKEN).expect("deposit");
    let sent = scene.deposit(&owner, TOKEN).expect("deposit");
    units.push(("deposit", sent.units));
    let first = scene
        .request(&owner, TOKEN)
        .expect("request_withdraw_first");
    units.push(("request_withdraw_first", first.units));
    let sent = scene.request(&owner, TOKEN).expect("request_withdraw");
    units.push(("request_withdraw", sent.units));
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).expect("buy_policy");
    start_largest(scene, &holder, 1);
    scene.world.pass(COOLDOWN);
    let sent = scene.cancel_request(&owner).expect("cancel_withdraw");
    units.push(("cancel_withdraw", sent.units));
    let shares = scene.shares(&owner);
    scene.request(&owner, shares).expect("request_withdraw");
    scene.world.pass(COOLDOWN);
    let sent = scene.withdraw(&owner).expect("withdraw");
    units.push(("withdraw", sent.units));
    for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
        let state = scene.vault();
        let collect = instruction::collect_manager_fees(scene.vault, &state, payee);
        let sent = scene
            .world
            .send(collect, &[])
            .expect("collect_manager_fees");
        if payee == PremiumPayee::Manager {
            units.push(("collect_manager_fees", sent.units));
        }
    }
}

fn policies(keys: &str, units: &mut Units) {
    let mut scene = largest_insured(keys);
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        persistence: 4,
        auto_renew: true,
        ..scene.terms()
    };
    let sent = scene.buy(&holder, 1, terms).expect("buy_policy");
    units.push(("buy_policy", sent.units));
    scene.buy(&holder, 2, terms).expect("buy_policy");
    scene.buy(&holder, 3, terms).expect("buy_policy");
    start_largest(&mut scene, &holder, 3);
    let sent = scene.begin(&holder, 1).expect("begin_policy");
    units.push(("begin_policy", sent.units));
    scene.begin(&holder, 2).expect("begin_policy");
    scene.delegate(&holder, CAPITAL);
    let sent = scene.cancel(&holder, 2).expect("cancel_policy");
    units.push(("cancel_policy", sent.units));
    scene.skip_window();
    // Anyone may renew in the last quarter of the term before the last time for a renewal.
    let term = scene.policy(&holder, 1).term;
    let last = term.end - scene.vault().waiting_secs;
    while scene.world.now() < last - (term.end - term.start) / 4 {
        measure_largest(&mut scene, false);
    }
    let sent = scene.renew(&holder, 1, false).expect("renew_policy");
    units.push(("renew_policy", sent.units));
    scene.examine(&holder, 1).expect("examine_policy");
    for _ in 0..4 {
        measure_largest(&mut scene, true);
    }
    let sent = scene.examine(&holder, 1).expect("examine_policy");
    units.push(("examine_policy", sent.units));
    let sent = scene.claim_examined(&holder, 1).expect("claim_policy");
    units.push(("claim_policy", sent.units));
    // Nobody has measured the first window of the term. All of them are examined at once.
    let sent = scene.examine(&holder, 3).expect("examine_policy");
    units.push(("examine_policy_term", sent.units));
    let policy = scene.policy(&holder, 3);
    let expires = policy.expires_at(&scene.model()).expect("in range");
    scene.world.warp_to(expires);
    let sent = scene.expire(&holder, 3).expect("expire_policy");
    units.push(("expire_policy", sent.units));
}
