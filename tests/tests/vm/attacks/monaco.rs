//! Findings of audits of Monaco Protocol, a betting protocol, tried on this program.

use std::collections::BTreeSet;

use driftshield_sdk::{
    Account, Address, DriftShieldError, FeePayee, Instruction, ModelTerms, PolicyTerms, VaultTerms,
    address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{
    stakeholders::{Stakeholders, market_terms_on, raw_accounts},
    states,
    tampering::set_token_balance,
};

/// Asserts that every mixture of the accounts of two instructions of the same kind is refused.
#[track_caller]
fn assert_not_mixed(world: &World, one: &Instruction, other: &Instruction, signers: &[&Keypair]) {
    let slots = 0..one.accounts.len();
    let different: Vec<_> = slots
        .filter(|&slot| one.accounts[slot].pubkey != other.accounts[slot].pubkey)
        .collect();
    assert!(1 < different.len());
    for mixture in 1..(1 << different.len()) - 1 {
        let mut mixed = one.clone();
        for (bit, slot) in different.iter().enumerate() {
            if mixture & (1 << bit) != 0 {
                mixed.accounts[*slot].pubkey = other.accounts[*slot].pubkey;
            }
        }
        let signs = |key: &&&Keypair| {
            let mut metas = mixed.accounts.iter();
            metas.any(|meta| meta.is_signer && meta.pubkey == key.pubkey())
        };
        let signers: Vec<_> = signers.iter().filter(signs).copied().collect();
        let outcome = world.clone().send(mixed, &signers);
        assert!(
            outcome.is_err(),
            "mixture {mixture:b} of slots {different:?} succeeded"
        );
    }
}

#[test]
fn monaco_m1_to_m3_accounts_of_another_market_are_refused() {
    // Given two equal markets, each with a model, a creator and bettors of its own
    let mut world = World::new();
    let mut markets = vec![];
    for id in [1, 2] {
        let model = world.default_model();
        let (creator, winner) = (world.wallet(0), world.wallet(100 * TOKEN));
        let loser = world.wallet(100 * TOKEN);
        let terms = market_terms(&world, &model);
        let market = world.create_market(&model, &creator, id, terms).unwrap();
        world.bet(&market, &winner, 1, 10 * TOKEN).unwrap();
        world.bet(&market, &loser, 0, 10 * TOKEN).unwrap();
        markets.push((market, model, winner));
    }
    let state = |world: &World, index: usize| world.market(&markets[index].0);
    let keys = [&markets[0].2.key, &markets[1].2.key];

    // When the accounts of the two are mixed in bets, settlements, claims, fee collections and closings,
    // then every mixture is refused
    let bets = [0, 1].map(|index| {
        let (market, _, bettor) = &markets[index];
        let (at, state) = (bettor.address(), state(&world, index));
        instruction::place_bet(
            at,
            *market,
            &state,
            bettor.tokens,
            instruction::Bet::unlimited(1, TOKEN),
        )
    });
    assert_not_mixed(&world, &bets[0], &bets[1], &keys);
    for (_, model, _) in &markets {
        world.submit_all(model, 1, &DRIFTED);
    }
    world.pass(params().challenge_secs);
    for (_, model, _) in &markets {
        world.finalize(model, 1).unwrap();
    }
    let settles =
        [0, 1].map(|index| instruction::settle_market(markets[index].0, &state(&world, index)));
    assert_not_mixed(&world, &settles[0], &settles[1], &[]);
    for settle in settles {
        world.send(settle, &[]).unwrap();
    }
    let claims = [0, 1].map(|index| {
        let (market, _, winner) = &markets[index];
        instruction::claim(winner.address(), *market, &state(&world, index))
    });
    assert_not_mixed(&world, &claims[0], &claims[1], &[]);
    let fees = [0, 1].map(|index| {
        instruction::collect_fees(markets[index].0, &state(&world, index), FeePayee::Creator)
    });
    assert_not_mixed(&world, &fees[0], &fees[1], &[]);
    let closes =
        [0, 1].map(|index| instruction::close_market(markets[index].0, &state(&world, index)));
    assert_not_mixed(&world, &closes[0], &closes[1], &[]);
}

#[test]
fn monaco_i2_a_market_closes_only_when_it_owes_nothing() {
    // Given the state table of a market, which a test of its own checks
    let closes = states::table("market").into_iter();
    let closes =
        closes.filter(|((_, step), result)| step == "close_market" && result.starts_with("->"));
    let states: Vec<_> = closes.map(|((state, _), _)| state).collect();

    // Then a market closes in these states only
    let expected = [
        "resolved, nothing left",
        "void, never bet on",
        "void, nothing left",
    ];
    assert_eq!(states, expected);
}

/// The address that an account's own fields derive.
fn address_by_fields(account: &Account) -> Address {
    match account {
        Account::Collateral(a) => address::collateral(&a.mint),
        Account::Config(_) => address::config(),
        Account::Exposure(a) => address::exposure(&a.vault, &a.model),
        Account::Market(a) => address::market(&a.creator, a.id),
        Account::Model(a) => address::model(&a.owner, a.id),
        Account::Policy(a) => address::policy(&a.vault, &a.holder, a.id),
        Account::Position(a) => address::position(&a.market, &a.owner),
        Account::Receipt(a) => address::receipt(&a.model, a.window),
        Account::Seat(a) => address::seat(&a.model, &a.oracle),
        Account::Series(a) => address::series_page(&a.model, a.page),
        Account::Vault(a) => address::vault(&a.manager, a.id),
        Account::WithdrawRequest(a) => address::withdraw_request(&a.vault, &a.owner),
    }
}

#[test]
fn monaco_i4_no_update_changes_the_fields_that_derive_an_address() {
    // Given an account of each kind, and every change of their settings
    let mut all = Stakeholders::new();
    let provider = all.insured.provider();
    all.insured.request(&provider, CAPITAL).unwrap();
    let (admin, heir) = (all.insured.world.admin.insecure_clone(), key("heir"));
    let manager = all.insured.manager.key.insecure_clone();
    let owner = all.insured.model.owner.key.insecure_clone();
    let (mint, vault) = (all.insured.world.mint, all.insured.vault);
    let changed = VaultTerms {
        base_bps: 1,
        ..vault_terms()
    };
    let (other, guardian) = (heir.pubkey(), heir.pubkey());
    let changes = [
        (
            instruction::update_config(admin.pubkey(), guardian, params()),
            &admin,
        ),
        (
            instruction::update_collateral(admin.pubkey(), mint, terms(), false),
            &admin,
        ),
        (instruction::propose_admin(admin.pubkey(), other), &admin),
        (instruction::accept_admin(other), &heir),
        (
            instruction::update_vault(manager.pubkey(), vault, changed),
            &manager,
        ),
        (
            instruction::retire_model(owner.pubkey(), all.insured.model.address),
            &owner,
        ),
    ];
    for (change, signer) in changes {
        all.insured.world.send(change, &[signer]).unwrap();
    }

    // Then each account is at the address that its fields derive
    let mut kinds = BTreeSet::new();
    for (address, account) in raw_accounts(&all.insured.world) {
        let account = Account::decode(&account.data).unwrap();
        assert_eq!(
            address_by_fields(&account),
            address,
            "{}",
            account.kind().name()
        );
        kinds.insert(account.kind().name());
    }
    assert_eq!(kinds.len(), 11);
}

#[test]
fn monaco_i4_an_update_of_a_model_changes_no_address() {
    // Given a model whose owner changes everything that it can
    let mut world = World::new();
    let model = world.default_model();
    world.finalize_with(&model, 0, &CALM);
    let terms = ModelTerms {
        name: "another".into(),
        uri: "https://elsewhere.example".into(),
        max_spread: 1,
        metadata_hash: [9; 32],
        artifact_hash: [9; 32],
        ..model_terms(&model.oracles[..2])
    };
    let owner = &model.owner;
    let state = world.model(&model.address);
    let update = instruction::update_model(owner.address(), model.address, &state, terms);
    world.send(update, &[&owner.key]).unwrap();

    // Then the model, its seats and its receipts are at the addresses that their fields derive
    for (address, account) in raw_accounts(&world) {
        let account = Account::decode(&account.data).unwrap();
        assert_eq!(address_by_fields(&account), address);
    }
}

#[test]
fn monaco_m5_amounts_that_overflow_are_refused() {
    // Given a wallet and an oracle with the largest token balance, u64::MAX
    let mut scene = Insured::new();
    let rich = scene.world.wallet(1);
    let window = scene.window + 2;
    let terms = market_terms_on(&scene.world, &scene.model, window, window);
    let creator = scene.world.wallet(0);
    let [market, empty] = [1, 2].map(|id| {
        let terms = terms.clone();
        let market = scene.world.create_market(&scene.model, &creator, id, terms);
        market.unwrap()
    });
    let poor = scene.world.wallet(TOKEN);
    scene.world.bet(&market, &poor, 0, TOKEN).unwrap();
    let oracle = scene.model.oracles[0].tokens;
    for tokens in [rich.tokens, oracle] {
        set_token_balance(&mut scene.world, &tokens, u64::MAX);
    }

    // When they deposit, bet, bond or cover all of it, then it is refused with an error of its own
    let max = u64::MAX;
    let overflow = DriftShieldError::Overflow;
    assert_refused(scene.deposit(&rich, max), overflow);
    for market in [market, empty] {
        assert_refused(scene.world.bet(&market, &rich, 0, max), overflow);
    }
    let bond = scene.world.bond(&scene.model, 0, max);
    assert_refused(bond, DriftShieldError::Overflow);
    let terms = PolicyTerms {
        cover: max,
        ..scene.terms()
    };
    let refused = scene.buy(&rich, 1, terms);
    assert_refused(refused, DriftShieldError::ExposureFull);

    // And so are amounts that fit alone, but overflow when added to the vault's assets or shares
    let most = max / 1_001;
    scene.deposit(&rich, most).unwrap();
    for amount in [most * 999, most / 100] {
        assert_refused(scene.deposit(&rich, amount), overflow);
    }
}
