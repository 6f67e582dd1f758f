//! What audits of Monaco, a betting protocol, found, tried on this one.

use std::collections::BTreeSet;

use driftshield_sdk::{
    Account, Address, DriftShieldError, FeePayee, Instruction, ModelTerms, PolicyTerms, VaultTerms,
    address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::everybody::{Everybody, accounts, set_tokens};
use crate::states;

/// Two instructions of the same kind, of which every mixture of accounts is refused.
#[track_caller]
fn assert_not_mixed(world: &World, one: &Instruction, other: &Instruction, signers: &[&Keypair]) {
    let places = 0..one.accounts.len();
    let different: Vec<_> = places
        .filter(|&place| one.accounts[place].pubkey != other.accounts[place].pubkey)
        .collect();
    assert!(1 < different.len());
    for mixture in 1..(1 << different.len()) - 1 {
        let mut mixed = one.clone();
        for (bit, place) in different.iter().enumerate() {
            if mixture & (1 << bit) != 0 {
                mixed.accounts[*place].pubkey = other.accounts[*place].pubkey;
            }
        }
        let signs = |key: &&&Keypair| {
            let mut metas = mixed.accounts.iter();
            metas.any(|meta| meta.is_signer && meta.pubkey == key.pubkey())
        };
        let signers: Vec<_> = signers.iter().filter(signs).copied().collect();
        let outcome = world.clone().send(mixed, &signers);
        assert!(outcome.is_err(), "mixture {mixture:b} of {different:?}");
    }
}

#[test]
fn monaco_m1_to_m3_no_account_of_another_market_is_taken() {
    // Given two markets alike, each on a model, of a creator and with a bettor of its own
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

    // When bets, settlements, claims, fees and closes mix their accounts, then all are refused
    let bets = [0, 1].map(|index| {
        let (market, _, bettor) = &markets[index];
        let (at, state) = (bettor.address(), state(&world, index));
        instruction::place_bet(at, *market, &state, bettor.tokens, 1, TOKEN, 0)
    });
    assert_not_mixed(&world, &bets[0], &bets[1], &keys);
    for (_, model, _) in &markets {
        world.submit_all(model, 1, &DRIFTED);
    }
    world.pass(params().challenge_secs);
    let settles =
        [0, 1].map(|index| instruction::settle_market(markets[index].0, &state(&world, index), 1));
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
fn monaco_i2_a_market_closes_in_no_state_in_which_it_owes_anybody() {
    // Given what a test carries out in every state of a market
    let closes = states::table("market").into_iter();
    let closes =
        closes.filter(|((_, step), result)| step == "close_market" && result.starts_with("->"));
    let states: Vec<_> = closes.map(|((state, _), _)| state).collect();

    // Then it closes in these states alone
    let expected = [
        "resolved, nothing left",
        "void, never bet on",
        "void, nothing left",
    ];
    assert_eq!(states, expected);
}

/// Where the account should be by what it says of itself.
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
        Account::Vault(a) => address::vault(&a.manager, a.id),
        Account::WithdrawRequest(a) => address::withdraw_request(&a.vault, &a.owner),
    }
}

#[test]
fn monaco_i4_no_change_of_an_account_moves_its_address() {
    // Given a world with an account of each kind, and all that can be changed in them
    let mut all = Everybody::new();
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
            instruction::update_config(admin.pubkey(), guardian, other, params()),
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

    // Then each is where its own fields say
    let mut kinds = BTreeSet::new();
    for (address, account) in accounts(&all.insured.world) {
        let account = Account::decode(&account.data).unwrap();
        assert_eq!(address_by_fields(&account), address, "{}", account.name());
        kinds.insert(account.name());
    }
    assert_eq!(kinds.len(), 11);
}

#[test]
fn monaco_i4_an_update_of_a_model_moves_nothing() {
    // Given a model that changes all that its owner can
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
    let update = instruction::update_model(owner.address(), model.address, terms);
    world.send(update, &[&owner.key]).unwrap();

    // Then it, its seats and its receipts are where they were
    for (address, account) in accounts(&world) {
        let account = Account::decode(&account.data).unwrap();
        assert_eq!(address_by_fields(&account), address);
    }
}

#[test]
fn monaco_m5_no_amount_overflows_unnoticed() {
    // Given people who have as much as there can be
    let mut scene = Insured::new();
    let rich = scene.world.wallet(1);
    let mut terms = market_terms(&scene.world, &scene.model);
    (terms.first_window, terms.last_window) = (scene.window + 2, scene.window + 2);
    terms.close_ts = scene.model().window_start(terms.first_window).unwrap();
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
        set_tokens(&mut scene.world, &tokens, u64::MAX);
    }

    // When they put it all in, then it is refused by name
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

    // And amounts that fit alone, but not with what is there
    let most = max / 1_001;
    scene.deposit(&rich, most).unwrap();
    for amount in [most * 999, most / 100] {
        assert_refused(scene.deposit(&rich, amount), overflow);
    }
}
