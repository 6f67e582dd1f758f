//! Accounts that are closed and created again, in one transaction and in one slot: nothing of the first
//! life binds the second, and nothing that was signed for the first works on the second.
//!
//! Receipts, pages of a series and vaults have no second life.

use anchor_lang::bytemuck;
use driftshield_sdk::{
    Address, ChallengePayee, DepositLimits, DriftShieldError, Instruction, ListingTerms,
    MarketState, MarketTerms, PAGE_WINDOWS, PolicyTerms, Stream, address,
    instruction::{self, Bet},
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::stakeholders::{Stakeholders, market_terms_on};

/// Two lives of one account: what closes the first, and what creates the second.
struct Lives<'a> {
    world: &'a World,
    account: Address,
    close: Vec<Instruction>,
    create: Vec<Instruction>,
    signers: Vec<&'a Keypair>,
}

impl Lives<'_> {
    /// Closes and creates the account in one transaction.
    fn in_one_transaction(&self) -> World {
        let mut world = self.world.clone();
        let all = [&self.close[..], &self.create].concat();
        world.send_all(&all, &self.signers).unwrap();
        world
    }

    /// Closes and creates the account in one slot, in a transaction for each instruction.
    fn in_one_slot(&self) -> World {
        let mut world = self.world.clone();
        for instruction in self.close.iter().chain(&self.create) {
            let signers = signers_of(instruction, &self.signers);
            world.send(instruction.clone(), &signers).unwrap();
        }
        world
    }

    /// Both worlds. Asserts that the second life is the same in both.
    #[track_caller]
    fn worlds(&self) -> [World; 2] {
        let worlds = [self.in_one_transaction(), self.in_one_slot()];
        let [first, second] = [&worlds[0], &worlds[1]].map(|world| bytes(world, &self.account));
        assert_eq!(first, second);
        worlds
    }

    /// Asserts that `instruction`, which was signed for the first life, is refused by the second.
    #[track_caller]
    fn assert_refused(
        &self,
        instruction: &Instruction,
        signer: &Keypair,
        expected: DriftShieldError,
    ) {
        let own = signers_of(instruction, &[signer]);
        // In the transaction that ends the first life.
        let last = std::slice::from_ref(instruction);
        let all = [&self.close[..], &self.create, last].concat();
        let mut signers = [&self.signers[..], &own].concat();
        signers.sort_by_key(|key| key.pubkey());
        signers.dedup_by_key(|key| key.pubkey());
        let outcome = self.world.clone().send_all(&all, &signers);
        assert_refused(outcome, expected);
        // In a later one of the same slot.
        let outcome = self.in_one_slot().send(instruction.clone(), &own);
        assert_refused(outcome, expected);
    }
}

/// Those of `keys` that have to sign `instruction`.
fn signers_of<'a>(instruction: &Instruction, keys: &[&'a Keypair]) -> Vec<&'a Keypair> {
    let signs = |key: &Keypair| {
        let mut accounts = instruction.accounts.iter();
        accounts.any(|account| account.is_signer && account.pubkey == key.pubkey())
    };
    keys.iter().copied().filter(|key| signs(key)).collect()
}

fn bytes(world: &World, account: &Address) -> Vec<u8> {
    let account = world.svm.get_account(account).expect("the account exists");
    account.data
}

#[test]
fn a_market_created_again_is_like_one_at_a_new_address() {
    // Given a market whose creator cancels it and creates another under its id, and the same world
    // without the first
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(TOKEN));
    let first = market_terms(&world, &model);
    let second = MarketTerms {
        thresholds: vec![100_000, 300_000],
        last_window: 2,
        creator_fee_bps: 50,
        ..first.clone()
    };
    let mut without = world.clone();
    let market = world.create_market(&model, &creator, 1, first).unwrap();
    let state = world.market(&market);
    without
        .create_market(&model, &creator, 1, second.clone())
        .unwrap();
    let model_state = world.model(&model.address);
    let at = creator.address();
    let create = instruction::create_market(at, 1, model.address, &model_state, second);
    let lives = Lives {
        world: &world,
        account: market,
        close: vec![instruction::cancel_market(market, &state, true)],
        create: vec![create],
        signers: vec![&creator.key],
    };

    // When both happen in one transaction or slot, then the second market is as if there had been no first
    for world in lives.worlds() {
        assert_eq!(bytes(&world, &market), bytes(&without, &market));
        let vault = without.market(&market).vault;
        assert_eq!(bytes(&world, &vault), bytes(&without, &vault));
    }

    // And refuses a bet that was signed for the first
    let (at, source) = (bettor.address(), bettor.tokens);
    let bet = instruction::place_bet(at, market, &state, source, Bet::unlimited(0, TOKEN));
    lives.assert_refused(&bet, &bettor.key, DriftShieldError::TermsMismatch);
}

/// A market that is settled, whose fees are collected, and on which only the loser has a position.
fn nearly_closed() -> Stakeholders {
    let mut all = Stakeholders::new();
    all.measure(300_000);
    let market = all.market;
    let world = &mut all.insured.world;
    world.settle(&market).unwrap();
    world.claim(&market, &all.winner.address()).unwrap();
    world.collect_fees(&market);
    all
}

#[test]
fn a_market_and_a_position_after_a_whole_life_start_from_zero() {
    // Given a settled market, whose last position is claimed and which is closed, created again and bet on
    let all = nearly_closed();
    let (market, world) = (all.market, &all.insured.world);
    let state = world.market(&market);
    let model = &all.insured.model;
    let (creator, loser) = (&all.creator, &all.loser);
    let window = all.insured.window + 2;
    let terms = market_terms_on(world, model, window, window);
    let model_state = world.model(&model.address);
    let at = creator.address();
    let create = instruction::create_market(at, 1, model.address, &model_state, terms);
    let close = vec![
        instruction::claim(loser.address(), market, &state),
        instruction::close_market(market, &state),
    ];
    // The state that the bettor signs for: that of the second market.
    let mut later = world.clone();
    for closing in &close {
        later.send(closing.clone(), &[]).unwrap();
    }
    later.send(create.clone(), &[&creator.key]).unwrap();
    let successor = later.market(&market);
    let (at, source) = (loser.address(), loser.tokens);
    let bet = instruction::place_bet(at, market, &successor, source, Bet::unlimited(1, TOKEN));
    let position = address::position(&market, &at);
    let lives = Lives {
        world,
        account: position,
        close,
        create: vec![create, bet],
        signers: vec![&creator.key, &loser.key],
    };

    // When all of it happens in one transaction or slot, then both accounts start from zero
    for world in lives.worlds() {
        let state = world.market(&market);
        assert_eq!((state.seq, state.positions), (2, 1));
        assert_eq!((state.total, state.owed), (TOKEN, TOKEN));
        assert_eq!((state.pools[0], state.pools[1]), (0, TOKEN));
        assert_eq!((state.observed, state.accumulator, state.value), (0, 0, 0));
        assert!(state.state == MarketState::Open && state.outcome == 0);
        assert_eq!((state.next_window, state.winnings), (window, 0));
        assert_eq!((state.protocol_credit, state.creator_credit), (0, 0));
        let held = world.position(&market, &loser.address());
        assert_eq!((held.seq, held.total(), held.stakes[1]), (1, TOKEN, TOKEN));
    }

    // And the second position is not paid by the first result
    let claim = instruction::claim(loser.address(), market, &state);
    lives.assert_refused(&claim, &loser.key, DriftShieldError::MarketNotSettled);
    // And a bet that was signed for the first market is refused
    let source = all.winner.tokens;
    let bet = instruction::place_bet(
        all.winner.address(),
        market,
        &state,
        source,
        Bet::unlimited(1, TOKEN),
    );
    lives.assert_refused(&bet, &all.winner.key, DriftShieldError::TermsMismatch);
}

#[test]
fn a_seat_taken_again_is_like_a_new_one() {
    // Given an oracle that was slashed and unbonds the rest, and the same world in which it never bonded
    let mut world = World::new();
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 0);
    let challenger = world.wallet(1_000 * TOKEN);
    for oracle in &model.oracles {
        world.mint_to(&oracle.tokens, 5_000 * TOKEN);
    }
    for oracle in [0, 1] {
        world.bond(&model, oracle, 1_000 * TOKEN).unwrap();
    }
    let (oracle, amount) = (model.oracles[2].clone(), 2_000 * TOKEN);
    let seat = address::seat(&model.address, &oracle.address());
    let mut without = world.clone();
    without.bond(&model, 2, amount).unwrap();
    world.bond(&model, 2, 3_000 * TOKEN).unwrap();
    world.warp_to_end(&model, 0);
    for (oracle, drift) in [(0, CALM_DRIFT), (1, CALM_DRIFT), (2, 400_000)] {
        world.submit(&model, oracle, 0, &share(drift)).unwrap();
    }
    world
        .challenge(&model, 0, &challenger, &share(100))
        .unwrap();
    world.rule(&model, 0, &share(CALM_DRIFT)).unwrap();
    let (at, state) = (oracle.address(), world.model(&model.address));
    let slashed = world.seat(&model.address, &at);
    assert_eq!((slashed.submissions, slashed.slashes), (1, 1));
    let unbond = instruction::request_unbond(at, model.address, slashed.bonded);
    world.send(unbond, &[&oracle.key]).unwrap();
    world.pass(state.unbond_secs);
    let receipt = world.receipt(&model.address, 0);
    let collect =
        instruction::collect_challenge(model.address, &state, &receipt, ChallengePayee::Treasury);
    world.send(collect, &[]).unwrap();
    let lives = Lives {
        world: &world,
        account: seat,
        close: vec![
            instruction::withdraw_bond(at, model.address, &state),
            instruction::close_seat(at, model.address),
        ],
        create: vec![instruction::bond(
            at,
            model.address,
            &state,
            oracle.tokens,
            amount,
        )],
        signers: vec![&oracle.key],
    };

    // When it takes its seat again in the transaction or slot that closes it, then the seat is like a first
    for world in lives.worlds() {
        assert_eq!(bytes(&world, &seat), bytes(&without, &seat));
        assert_eq!(world.model(&model.address).bonds[2], amount);
    }

    // And neither the withdrawal nor the closing of the first works on it
    let [withdraw, close] = [0, 1].map(|index| lives.close[index].clone());
    lives.assert_refused(&withdraw, &oracle.key, DriftShieldError::NothingUnbonding);
    lives.assert_refused(&close, &oracle.key, DriftShieldError::SeatInUse);
}

#[test]
fn a_listing_made_again_waits_for_its_own_notice_and_refuses_what_named_the_first() {
    // Given an active listing that the manager ends, closes and makes again
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let (lp, manager) = (scene.provider(), scene.manager.clone());
    let (vault, model) = (scene.vault, scene.model.address);
    let first = scene.vault();
    let at = holder.address();
    let buy = instruction::buy_policy(at, 1, vault, &first, model, holder.tokens, scene.terms());
    let deposit = instruction::deposit(
        lp.address(),
        vault,
        &first,
        lp.tokens,
        TOKEN,
        DepositLimits::as_read(&first, 0),
    );
    let listing = ListingTerms {
        model_version: 1,
        cap: 500 * TOKEN,
        lowest_trigger: 30_000,
        max_persistence: 1,
    };
    let unlisted = ListingTerms { cap: 0, ..listing };
    let list = |terms| instruction::list_model(manager.address(), vault, model, terms);
    let lives = Lives {
        world: &scene.world,
        account: address::exposure(&vault, &model),
        close: vec![
            list(unlisted),
            instruction::close_exposure(vault, &first, model),
        ],
        create: vec![list(listing)],
        signers: vec![&manager.key],
    };

    // When all of it happens in one transaction or slot, then the listing starts from zero
    let now = scene.world.now();
    for world in lives.worlds() {
        let exposure = world.exposure(&vault, &model);
        assert_eq!((exposure.seq, exposure.cover, exposure.policies), (1, 0, 0));
        assert_eq!(
            (exposure.listed_at, exposure.active_at),
            (now, now + COOLDOWN + DAY)
        );
        let terms = (exposure.cap, exposure.lowest_trigger);
        assert_eq!(terms, (listing.cap, listing.lowest_trigger));
    }

    // And a purchase or a deposit that was signed for the first is refused
    lives.assert_refused(&buy, &holder.key, DriftShieldError::ListingNotActive);
    lives.assert_refused(&deposit, &lp.key, DriftShieldError::VaultChanged);
}

/// A purchase of policy `id`.
fn purchase(scene: &Insured, holder: &Wallet, id: u64, terms: PolicyTerms) -> Instruction {
    let (vault, model) = (scene.vault, scene.model.address);
    let (at, state) = (holder.address(), scene.vault());
    instruction::buy_policy(at, id, vault, &state, model, holder.tokens, terms)
}

#[test]
fn a_policy_bought_again_is_like_one_with_a_new_id() {
    // Given a policy with automatic renewal that a window has paid in part, and other terms
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        auto_renew: true,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    let window = scene.policy(&holder, 1).first_window;
    scene.measure_until(window, CALM_DRIFT);
    scene.measure(200_000);
    scene.claim(&holder, 1).unwrap();
    for _ in 0..2 {
        scene.measure(CALM_DRIFT);
    }
    let policy = scene.policy(&holder, 1);
    assert!(0 < policy.paid && policy.auto_renew.get());
    let claim = instruction::claim_policy(&policy, &scene.vault());
    let terms = PolicyTerms {
        trigger: 150_000,
        windows: 5,
        cover: 70 * TOKEN,
        ..scene.terms()
    };
    let lives = Lives {
        world: &scene.world,
        account: address::policy(&scene.vault, &holder.address(), 1),
        close: vec![instruction::cancel_policy(&policy, &scene.vault())],
        create: vec![purchase(&scene, &holder, 1, terms)],
        signers: vec![&holder.key],
    };

    // When it is cancelled and bought again in one transaction or slot, then the second is like one with
    // an id that was never used
    let mut other = scene.clone();
    other.cancel(&holder, 1).unwrap();
    other.buy(&holder, 2, terms).unwrap();
    for world in lives.worlds() {
        let second = world.policy(&scene.vault, &holder.address(), 1);
        let mut expected = other.policy(&holder, 2);
        (expected.id, expected.bump) = (second.id, second.bump);
        assert_eq!(bytemuck::bytes_of(&second), bytemuck::bytes_of(&expected));
        assert_eq!((second.seq, second.paid), (1, 0));
        assert_eq!(second.term, Stream::NONE);
    }

    // And what the first was owed is not owed to it
    lives.assert_refused(&claim, &holder.key, DriftShieldError::NothingDue);
}

#[test]
fn a_request_made_again_has_a_cooldown_and_a_value_of_its_own() {
    // Given a provider whose request can be paid or cancelled, and the same world without the request
    let mut scene = Insured::new();
    let (lp, vault) = (scene.provider(), scene.vault);
    let mut without = scene.clone();
    scene.request(&lp, CAPITAL).unwrap();
    for scene in [&mut scene, &mut without] {
        scene.world.pass(COOLDOWN);
    }
    let state = scene.vault();
    let at = lp.address();
    let again = instruction::request_withdraw(at, vault, &state, 5_000);
    let request = address::withdraw_request(&vault, &at);
    without.request(&lp, 5_000).unwrap();
    for close in [
        instruction::withdraw(at, vault, &state),
        instruction::cancel_withdraw(at, vault, &state),
    ] {
        let lives = Lives {
            world: &scene.world,
            account: request,
            close: vec![close],
            create: vec![again.clone()],
            signers: vec![&lp.key],
        };

        // When it ends and is made again in one transaction or slot, then it is like a first one
        for world in lives.worlds() {
            assert_eq!(bytes(&world, &request), bytes(&without.world, &request));
        }

        // And is not paid before its own cooldown is over
        let withdraw = instruction::withdraw(at, vault, &state);
        lives.assert_refused(&withdraw, &lp.key, DriftShieldError::StillCoolingDown);
    }
}

#[test]
fn a_receipt_and_a_page_have_no_second_life() {
    // Given a window that two of three oracles have measured, and what closes its receipt
    let mut scene = Insured::new();
    let (model, window) = (scene.model.clone(), scene.window);
    let counts = share(CALM_DRIFT);
    scene.world.warp_to_end(&model, window);
    for oracle in [0, 1] {
        scene.world.submit(&model, oracle, window, &counts).unwrap();
    }
    let state = scene.model();
    scene.world.pass(state.submit_secs + state.challenge_secs);
    let close = instruction::finalize_receipt(&scene.world.receipt(&model.address, window));
    let third = &model.oracles[2];
    let submit = |window| {
        let (counts, uri) = (counts.to_vec(), String::new());
        let at = third.address();
        instruction::submit_receipt(at, model.address, window, counts, [0; 32], uri)
    };
    let lives = Lives {
        world: &scene.world,
        account: address::receipt(&model.address, window),
        close: vec![close],
        create: vec![],
        signers: vec![],
    };

    // When the third oracle submits in the transaction or slot that closes it, then it is refused
    lives.assert_refused(&submit(window), &third.key, DriftShieldError::WindowSettled);
    assert!(!lives.in_one_slot().exists(&lives.account));

    // And a page is closed so late that no window of it can get a submission again
    let mut world = lives.in_one_slot();
    let last = PAGE_WINDOWS - 1;
    world.warp_to(state.retention_end(last).unwrap());
    let lives = Lives {
        world: &world,
        account: address::series_page(&model.address, 0),
        close: vec![instruction::close_series(&world.series(&model.address, 0))],
        create: vec![],
        signers: vec![],
    };
    for window in [window, last] {
        lives.assert_refused(
            &submit(window),
            &third.key,
            DriftShieldError::SubmitPeriodOver,
        );
    }
    assert!(!lives.in_one_slot().exists(&lives.account));
}
