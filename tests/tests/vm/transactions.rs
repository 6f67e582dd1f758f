//! Size and compute units of the largest transaction of every instruction, which must stay within
//! the limits.
//!
//! Each transaction has that instruction, a compute budget with a priority fee, a fee payer and at
//! most one other signer.

mod probation;

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{
    Aggregate, ChallengePayee, Entry, FeePayee, MarketTerms, MetricSpec, ModelTerms, PAGE_WINDOWS,
    PolicyTerms, PremiumPayee, TokenProgram, address, instruction, rpc::Budget,
};
use driftshield_tests::{bench, insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

/// What a packet holds.
const MAX_BYTES: usize = 1_232;
const MAX_UNITS: u64 = 200_000;
/// Seeds of the keys of a world. Other keys give other addresses, whose derivation costs another
/// number of compute units.
const KEYS: [&str; 3] = ["one", "two", "three"];

/// Asserts that a transaction succeeded within the limits, and returns it.
#[track_caller]
fn assert_fits(outcome: Outcome) -> Sent {
    let sent = outcome.unwrap();
    let (bytes, units) = (sent.bytes, sent.units);
    println!("{bytes} bytes, {units} units");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    assert!(units <= MAX_UNITS, "{units} units");
    sent
}

/// Sends an instruction with one signer beside the fee payer, and asserts that it fits.
#[track_caller]
fn send_fitting(world: &mut World, instruction: Instruction, signer: &Keypair) -> Sent {
    assert_fits(world.send(instruction, &[signer]))
}

/// Sixteen bins, with the metric that costs the most units.
fn largest_spec(world: &World) -> MetricSpec {
    MetricSpec {
        metric: driftshield_sdk::Metric::JensenShannon,
        reference: vec![1_000; 16],
        ..spec(world)
    }
}

/// Seven oracles and the longest texts.
fn largest_terms(oracles: &[Wallet]) -> ModelTerms {
    ModelTerms {
        name: "n".repeat(32),
        uri: "u".repeat(128),
        ..model_terms(oracles)
    }
}

/// The largest model, with seven bonded oracles.
fn largest_model(world: &mut World) -> TestModel {
    let spec = largest_spec(world);
    world.model_with(spec, 7, 20_000 * TOKEN)
}

/// Eight outcomes and the longest question.
fn largest_market(world: &World, model: &TestModel) -> MarketTerms {
    MarketTerms {
        thresholds: (1..8).map(|n| n * 100_000).collect(),
        question: "q".repeat(128),
        ..market_terms(world, model)
    }
}

/// Submits counts with the longest evidence URI. A larger `skew` means a larger drift.
fn submit(world: &mut World, model: &TestModel, oracle: usize, window: u64, skew: u32) -> Outcome {
    let oracle = &model.oracles[oracle];
    let submit = instruction::submit_receipt(
        oracle.address(),
        model.address,
        window,
        (0..16).map(|bin| 1_000 + skew * bin).collect(),
        [9; 32],
        "e".repeat(128),
    );
    world.send(submit, &[&oracle.key])
}

#[test]
fn administrative_transactions_stay_within_the_limits() {
    // Given a program that is not initialized
    let mut world = World::bare();
    let admin = world.admin.insecure_clone();
    let guardian = world.guardian.insecure_clone();
    let (a, g, mint) = (admin.pubkey(), guardian.pubkey(), world.mint);
    let arbiter_key = world.arbiter.insecure_clone();
    let arbiter = arbiter_key.pubkey();

    // Then every administrative transaction fits
    let initialize = instruction::initialize(a, a, g, arbiter, params());
    send_fitting(&mut world, initialize, &admin);
    let update = instruction::update_config(a, g, params());
    send_fitting(&mut world, update, &admin);
    let propose = instruction::propose_admin(a, g);
    send_fitting(&mut world, propose, &admin);
    let accept = instruction::accept_admin(g);
    send_fitting(&mut world, accept, &guardian);
    let propose = instruction::propose_arbiter(arbiter, g);
    send_fitting(&mut world, propose, &arbiter_key);
    let accept = instruction::accept_arbiter(g);
    send_fitting(&mut world, accept, &guardian);
    let pause = instruction::set_pause(g, 1);
    send_fitting(&mut world, pause, &guardian);
    let register = instruction::register_collateral(g, mint, TokenProgram::SplToken, terms(), true);
    send_fitting(&mut world, register, &guardian);
    let update = instruction::update_collateral(g, mint, terms(), false);
    send_fitting(&mut world, update, &guardian);
    let treasury = world.treasury();
    world.mint_to(&treasury, TOKEN);
    let destination = world.wallet(0).tokens;
    let withdraw = instruction::withdraw_treasury(g, &world.collateral(), destination, TOKEN);
    send_fitting(&mut world, withdraw, &guardian);
}

#[test]
fn transactions_on_models_and_bonds_stay_within_the_limits() {
    for keys in KEYS {
        // Given the largest model
        let mut world = World::with_keys_of(keys);
        let owner = world.wallet(0);
        let oracles: Vec<Wallet> = (0..7).map(|_| world.wallet(20_000 * TOKEN)).collect();
        let spec = largest_spec(&world);
        let terms = largest_terms(&oracles);

        // Then every transaction of its owner and its oracles fits
        let register = instruction::register_model(
            owner.address(),
            1,
            &world.collateral(),
            spec,
            terms.clone(),
        );
        send_fitting(&mut world, register, &owner.key);
        let address = address::model(&owner.address(), 1);
        let update = {
            let state = world.model(&address);
            instruction::update_model(owner.address(), address, &state, terms)
        };
        send_fitting(&mut world, update, &owner.key);
        let model = TestModel {
            address,
            owner,
            oracles,
        };
        for oracle in 0..7 {
            assert_fits(world.bond(&model, oracle, 10_000 * TOKEN)); // creates the seat
            assert_fits(world.bond(&model, oracle, TOKEN));
        }
        let oracle = &model.oracles[6];
        let all = 10_001 * TOKEN;
        let unbond = instruction::request_unbond(oracle.address(), address, all);
        send_fitting(&mut world, unbond, &oracle.key);
        world.pass(params().unbond_secs);
        let state = world.model(&address);
        let withdraw = instruction::withdraw_bond(oracle.address(), address, &state);
        assert_fits(world.send(withdraw, &[]));
        let close = instruction::close_seat(oracle.address(), address);
        assert_fits(world.send(close, &[]));
        let (leaver, bettor) = (&model.oracles[0], world.wallet(2 * TOKEN));
        let leave = instruction::leave_seat(leaver.address(), address);
        send_fitting(&mut world, leave, &leaver.key);
        let market = MarketTerms {
            first_window: 5,
            last_window: 30,
            close_ts: state.window_start(5).unwrap(),
            ..market_terms(&world, &model)
        };
        let market = world.create_market(&model, &bettor, 1, market).unwrap();
        world.bet(&market, &bettor, 0, TOKEN).unwrap();
        world.pass(params().replace_secs);
        let (owner, successor) = (&model.owner, bettor.address());
        let (owner_at, oracle, state) = (owner.address(), oracle.address(), world.model(&address));
        let replace = instruction::replace_oracle(owner_at, address, &state, oracle, successor);
        send_fitting(&mut world, replace, &owner.key);
        let retire = instruction::retire_model(owner.address(), address);
        send_fitting(&mut world, retire, &owner.key);
    }
}

#[test]
fn transactions_on_receipts_and_disputes_stay_within_the_limits() {
    for keys in KEYS {
        // Given the largest model
        let mut world = World::with_keys_of(keys);
        let model = largest_model(&mut world);
        let challenger = world.wallet(1_000 * TOKEN);

        // Then every transaction of a dispute fits, with seven seats that are all slashed
        world.warp_to_end(&model, 0);
        let units = [0, 1, 2, 3, 4, 5, 6]
            .map(|oracle| assert_fits(submit(&mut world, &model, oracle, 0, 0)).units);
        // A submission that is simulated before the others land stays within its limit after them.
        let least = *units.iter().min().unwrap();
        let limit = Budget::with_margin(least, 0, 0).units;
        assert!(
            units.iter().all(|units| *units <= limit.into()),
            "{units:?}"
        );
        let mut counts = vec![1; 16];
        counts[0] = 1_000_000;
        assert_fits(world.challenge(&model, 0, &challenger, &counts));
        let ruled = assert_fits(world.rule(&model, 0, &counts));
        let driftshield_sdk::Event::ReceiptRuled(event) = ruled.event() else {
            panic!("{:?}", ruled.event())
        };
        assert_eq!(event.seats.len(), 7);
        assert_eq!(event.slashed, 7 * terms().slash_amount);
        let state = world.model(&model.address);
        let receipt = world.receipt(&model.address, 0);
        let mut returned = world.clone();
        let admin = returned.admin.insecure_clone();
        let address = solana_signer::Signer::pubkey(&admin);
        let give_back = instruction::return_slashes(address, model.address, &state, &receipt);
        assert_fits(returned.send(give_back, &[&admin]));
        world.pass(params().appeal_secs);
        for payee in [ChallengePayee::Challenger, ChallengePayee::Treasury] {
            let collect = instruction::collect_challenge(model.address, &state, &receipt, payee);
            assert_fits(world.send(collect, &[]));
        }

        // And so does every transaction of a receipt that is proposed and finalized after its
        // periods
        world.warp_to_end(&model, 100);
        for oracle in 0..6 {
            assert_fits(submit(&mut world, &model, oracle, 100, 0));
        }
        world.pass(params().submit_secs + params().challenge_secs);
        assert_fits(world.finalize(&model, 100));
        world.warp_to_end(&model, PAGE_WINDOWS - 1);
        world.pass(params().retention_secs);
        let close = instruction::close_series(&world.series(&model.address, 0));
        assert_fits(world.send(close, &[]));
    }
}

#[test]
fn a_ruling_that_rewards_seven_seats_stays_within_the_limits() {
    // Given a challenge of a value that seven oracles agree on
    let mut world = World::new();
    let model = largest_model(&mut world);
    let challenger = world.wallet(1_000 * TOKEN);
    world.warp_to_end(&model, 0);
    for oracle in 0..7 {
        submit(&mut world, &model, oracle, 0, 100).unwrap();
    }
    let mut asserted = vec![1; 16];
    asserted[0] = 1_000_000;
    world.challenge(&model, 0, &challenger, &asserted).unwrap();

    // When the arbiter upholds the value, then the transaction fits
    let counts: Vec<u32> = (0..16).map(|bin| 1_000 + 100 * bin).collect();
    let ruled = assert_fits(world.rule(&model, 0, &counts));
    let driftshield_sdk::Event::ReceiptRuled(event) = ruled.event() else {
        panic!("{:?}", ruled.event())
    };
    assert!(!event.vindicated && event.compensation > 0);
}

#[test]
fn transactions_on_markets_stay_within_the_limits() {
    for keys in KEYS {
        // Given the largest model
        let mut world = World::with_keys_of(keys);
        let model = largest_model(&mut world);
        let creator = world.wallet(0);
        let (winner, loser) = (world.wallet(100 * TOKEN), world.wallet(100 * TOKEN));

        // Then every transaction of the largest market fits
        let terms = largest_market(&world, &model);
        let create = |world: &World, id| {
            let terms = terms.clone();
            instruction::create_market(
                creator.address(),
                id,
                model.address,
                &world.model(&model.address),
                terms,
            )
        };
        let first = create(&world, 1);
        send_fitting(&mut world, first, &creator.key);
        let cancelled = address::market(&creator.address(), 1);
        let state = world.market(&cancelled);
        world.mint_to(&state.vault, 1); // something to sweep
        let cancel = instruction::cancel_market(cancelled, &state, true);
        send_fitting(&mut world, cancel, &creator.key);

        let second = create(&world, 2);
        send_fitting(&mut world, second, &creator.key);
        let market = address::market(&creator.address(), 2);
        // Creating an account at an address that holds lamports takes three calls instead of one.
        let position = address::position(&market, &loser.address());
        world.svm.airdrop(&position, 1_000_000).unwrap();
        assert_fits(world.bet(&market, &winner, 7, 3 * TOKEN));
        assert_fits(world.bet(&market, &winner, 7, 5 * TOKEN));
        assert_fits(world.bet(&market, &loser, 0, 7 * TOKEN));

        assert_fits(world.offer(&market, &loser, 0, 3 * TOKEN, 900));
        let buyer = world.wallet(100 * TOKEN);
        let position = address::position(&market, &buyer.address());
        world.svm.airdrop(&position, 1_000_000).unwrap();
        for _ in 0..2 {
            let purchase = world.purchase(&market, 0, TOKEN);
            assert_fits(world.buy_stake(&market, &buyer, &loser, purchase));
        }

        world.warp_to_end(&model, 1);
        let mut counts = vec![1; 16];
        counts[0] = 1_000_000;
        for oracle in 0..7 {
            world.submit(&model, oracle, 1, &counts).unwrap();
        }
        world.pass(params().challenge_secs);
        assert_fits(world.finalize(&model, 1));
        assert_fits(world.settle(&market));
        let state = world.market(&market);
        assert_eq!(state.outcome, 7);
        assert_fits(world.claim(&market, &winner.address()));
        assert_fits(world.claim(&market, &loser.address()));
        assert_fits(world.claim(&market, &buyer.address()));
        for payee in [FeePayee::Treasury, FeePayee::Creator] {
            let collect = instruction::collect_fees(market, &state, payee);
            assert_fits(world.send(collect, &[]));
        }
        world.mint_to(&state.vault, 1); // something to sweep
        let close = instruction::close_market(market, &state);
        assert_fits(world.send(close, &[]));
    }
}

#[test]
fn settling_the_longest_market_stays_within_the_limits() {
    for keys in KEYS {
        // Given a market on 366 windows in three pages, whose pages exist or not
        for exist in [false, true] {
            let mut world = World::with_keys_of(keys);
            let model = largest_model(&mut world);
            let creator = world.wallet(0);
            let bettor = world.wallet(TOKEN);
            world.warp_to_end(&model, 253);
            let terms = MarketTerms {
                first_window: 255,
                last_window: 255 + 365,
                close_ts: world.now() + 1,
                aggregate: Aggregate::Mean,
                ..largest_market(&world, &model)
            };
            let market = world.create_market(&model, &creator, 1, terms).unwrap();
            world.bet(&market, &bettor, 0, TOKEN).unwrap();
            world.warp_to_end(&model, 255 + 365);
            world.pass(params().submit_secs + params().challenge_secs);
            if exist {
                for page in 0..3 {
                    let entries = [Entry::Final(1); PAGE_WINDOWS as usize];
                    world.set_series(&model, page, &entries);
                }
            }

            // When it is settled by one instruction, then the transaction fits
            assert_fits(world.settle(&market));
            let state = world.market(&market);
            assert_eq!(state.next_window, 255 + 366);
            assert_eq!(state.observed, if exist { 366 } else { 0 });
        }
    }
}

#[test]
fn transactions_on_vaults_stay_within_the_limits() {
    for keys in KEYS {
        // Given a vault around the largest model, and a premium that streams for a year
        let mut scene = bench::largest_insured(keys);
        let manager = scene.world.wallet(0);
        let (holder, owner) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));
        let year = PolicyTerms {
            windows: 360,
            ..scene.terms()
        };
        scene.buy(&holder, 1, year).unwrap();
        bench::start_largest(&mut scene, &holder, 1);
        scene.deposit(&owner, 10 * TOKEN).unwrap();
        let shares = scene.shares(&owner);
        scene.request(&owner, shares / 2).unwrap();

        // Then every transaction of a liquidity provider fits, even if it has to accrue 53 buckets
        scene.world.pass(53 * params().bucket_secs);
        let before = scene.vault();
        let has_accrued = |scene: &Insured| scene.vault().unearned != before.unearned;
        assert_fits(scene.deposit(&owner, TOKEN));
        assert!(has_accrued(&scene));
        assert_fits(scene.withdraw(&owner));
        assert_fits(scene.request(&owner, shares / 2));
        assert_fits(scene.cancel_request(&owner));
        let state = scene.vault();
        for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
            let collect = instruction::collect_manager_fees(scene.vault, &state, payee);
            assert_fits(scene.world.send(collect, &[]));
        }

        // And so does every transaction of a manager
        let collateral = scene.world.collateral();
        let create = instruction::create_vault(
            manager.address(),
            1,
            &collateral,
            COOLDOWN,
            1_000,
            vault_terms(),
        );
        send_fitting(&mut scene.world, create, &manager.key);
        scene.vault = address::vault(&manager.address(), 1);
        scene.manager = manager;
        let key = scene.manager.key.insecure_clone();
        let update = instruction::update_vault(key.pubkey(), scene.vault, vault_terms());
        send_fitting(&mut scene.world, update, &key);
        let lowest = scene.model().noise_floor;
        assert_fits(scene.list(TOKEN, lowest));
        assert_fits(scene.list(0, lowest));
        let exposure =
            instruction::close_exposure(scene.vault, &scene.vault(), scene.model.address);
        assert_fits(scene.world.send(exposure, &[]));
        let tokens = scene.vault().tokens;
        scene.world.mint_to(&tokens, 1); // something to sweep
        let close = instruction::close_vault(scene.vault, &scene.vault(), true);
        send_fitting(&mut scene.world, close, &key);
    }
}

#[test]
fn transactions_on_policies_stay_within_the_limits() {
    for keys in KEYS {
        // Given a vault around the largest model
        let mut scene = bench::largest_insured(keys);
        let (holder, other) = (scene.world.wallet(CAPITAL), scene.world.wallet(CAPITAL));

        // Then every transaction of a policy fits
        let terms = PolicyTerms {
            persistence: 4,
            windows: 360,
            auto_renew: true,
            ..scene.terms()
        };
        for id in 1..=2 {
            assert_fits(scene.buy(&holder, id, terms));
        }
        let short = PolicyTerms {
            windows: 4,
            ..terms
        };
        assert_fits(scene.buy(&holder, 3, short));
        assert_fits(scene.buy(&other, 1, short));
        while scene.window < terms.first_window {
            bench::measure_largest(&mut scene, false);
        }
        for id in 1..=3 {
            assert_fits(scene.begin(&holder, id));
        }
        assert_fits(scene.renew(&holder, 3, true));
        for _ in 0..4 {
            bench::measure_largest(&mut scene, true);
        }
        assert_fits(scene.claim(&holder, 1));

        // And so do expiry and cancellation, even if one has to accrue 53 buckets
        scene.world.pass(53 * params().bucket_secs);
        let before = scene.vault().unearned;
        assert_fits(scene.expire(&other, 1));
        assert!(scene.vault().unearned < before);
        scene.world.pass(DAY);
        assert_fits(scene.cancel(&holder, 2));
    }
}
