//! Revival of closed accounts, in the transaction that closes them and in later ones.

use driftshield_sdk::{
    Account, Address, DriftShieldError, FeePayee, ID, Instruction, MarketState, PAGE_WINDOWS,
    PolicyTerms, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::stakeholders::Stakeholders;

/// The balances of all token accounts.
fn balances(world: &World) -> Vec<(Address, u64)> {
    let program = world.token_program.id();
    let accounts = world.svm.get_program_accounts(&program).into_iter();
    let mut balances: Vec<_> = accounts
        .filter(|(_, account)| account.data.len() == 165)
        .map(|(address, _)| (address, world.tokens(&address)))
        .collect();
    balances.sort_unstable();
    balances
}

/// Asserts that `close` closes `account` and pays once, even if the address receives lamports again.
#[track_caller]
fn assert_closes_once(world: &World, close: &Instruction, signers: &[&Keypair], account: &Address) {
    let payer = world.payer.pubkey();
    let revive = solana_system_interface::instruction::transfer(&payer, account, 10_000_000);

    // Given the world after the account was closed once
    let mut closed = world.clone();
    closed.send(close.clone(), signers).unwrap();
    assert!(!closed.exists(account));

    // When it is closed twice in one transaction, with or without lamports in between, then it is refused
    let mut fork = world.clone();
    let twice = [close.clone(), close.clone()];
    assert!(fork.send_all(&twice, signers).is_err());
    let with_lamports = [close.clone(), revive.clone(), close.clone()];
    assert!(fork.send_all(&with_lamports, signers).is_err());

    // When it is closed and receives lamports in one transaction, then the account is empty, and closing it
    // again is refused
    let mut fork = world.clone();
    fork.send_all(&[close.clone(), revive], signers).unwrap();
    let revived = fork.svm.get_account(account).unwrap();
    assert!(revived.data.is_empty() && revived.owner != ID);
    assert!(fork.send(close.clone(), signers).is_err());

    // And the payout was made once
    assert_eq!(balances(&fork), balances(&closed));
}

/// The shared window of the market and the policy is Final with `drift`.
fn measured(drift: u64) -> Stakeholders {
    let mut all = Stakeholders::new();
    all.measure(drift);
    all
}

fn settled() -> Stakeholders {
    let mut all = measured(300_000);
    let market = all.market;
    all.insured.world.settle(&market).unwrap();
    all
}

#[test]
fn a_claimed_position_is_not_revived() {
    let all = settled();
    let (market, world) = (all.market, &all.insured.world);
    for owner in [all.winner.address(), all.loser.address()] {
        let claim = instruction::claim(owner, market, &world.market(&market));
        assert_closes_once(world, &claim, &[], &address::position(&market, &owner));
    }
}

#[test]
fn a_closed_or_cancelled_market_is_not_revived() {
    // A closed market.
    let mut all = settled();
    let market = all.market;
    let state = all.insured.world.market(&market);
    let world = &mut all.insured.world;
    for owner in [all.winner.address(), all.loser.address()] {
        world.claim(&market, &owner).unwrap();
    }
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &state, payee);
        world.send(collect, &[]).unwrap();
    }
    let close = instruction::close_market(market, &state);
    assert_closes_once(world, &close, &[], &market);

    // A cancelled market.
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let state = world.market(&market);
    let cancel = instruction::cancel_market(market, &state, true);
    assert_closes_once(&world, &cancel, &[&creator.key], &market);

    // A market that is cancelled and created again in one transaction is like any other.
    let (at, model_state) = (creator.address(), world.model(&model.address));
    let create = instruction::create_market(at, 1, model.address, &model_state, terms);
    world.send_all(&[cancel, create], &[&creator.key]).unwrap();
    assert_eq!(world.market(&market).state, MarketState::Open);
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
}

#[test]
fn a_withdraw_request_is_not_revived() {
    let mut all = Stakeholders::new();
    let provider = all.insured.provider();
    all.insured.request(&provider, CAPITAL).unwrap();
    all.insured.world.pass(COOLDOWN);
    let (vault, state) = (all.insured.vault, all.insured.vault());
    let request = address::withdraw_request(&vault, &provider.address());
    let world = &all.insured.world;
    let withdraw = instruction::withdraw(provider.address(), vault, &state);
    assert_closes_once(world, &withdraw, &[], &request);
    let cancel = instruction::cancel_withdraw(provider.address(), vault, &state);
    assert_closes_once(world, &cancel, &[&provider.key], &request);

    // A request that is created again in the transaction that paid it has a cooldown of its own.
    let again = instruction::request_withdraw(provider.address(), vault, &state, 1_000);
    let mut fork = world.clone();
    let steps = [withdraw.clone(), again, withdraw];
    let outcome = fork.send_all(&steps, &[&provider.key]);
    assert_refused(outcome, DriftShieldError::StillCoolingDown);
}

#[test]
fn a_paid_cancelled_or_expired_policy_is_not_revived() {
    let mut all = measured(300_000);
    let (vault, holder) = (all.insured.vault(), all.holder.clone());
    let policy = all.insured.policy(&holder, 1);
    let at = address::policy(&all.insured.vault, &holder.address(), 1);
    all.insured.examine(&holder, 1).unwrap();
    let claim = instruction::claim_policy(&policy, &vault);
    assert_closes_once(&all.insured.world, &claim, &[], &at);
    let cancel = instruction::cancel_policy(&policy, &vault);
    assert_closes_once(&all.insured.world, &cancel, &[&holder.key], &at);
    let expires = policy.expires_at(&all.insured.model()).unwrap();
    all.insured.world.warp_to(expires);
    let expire = instruction::expire_policy(&policy, &vault);
    assert_closes_once(&all.insured.world, &expire, &[], &at);
}

#[test]
fn a_policy_bought_again_is_not_claimed_by_old_receipts() {
    // Given a policy that a window has paid in full
    let mut all = measured(300_000);
    let holder = all.holder.clone();
    let policy = all.insured.policy(&holder, 1);
    all.insured.claim(&holder, 1).unwrap();
    all.insured.measure(CALM_DRIFT);

    // When the holder buys another policy with the same id
    let terms: PolicyTerms = all.insured.terms();
    all.insured.buy(&holder, 1, terms).unwrap();

    // Then the window that paid the first policy does not pay the second
    let windows = all.window..=all.window;
    let examine = instruction::examine_policy(&policy, windows);
    let outcome = all.insured.world.send(examine, &[]);
    assert_refused(outcome, DriftShieldError::NothingToExamine);
    let claim = instruction::claim_policy(&policy, &all.insured.vault());
    let outcome = all.insured.world.send(claim, &[]);
    assert_refused(outcome, DriftShieldError::NothingDue);
}

#[test]
fn a_seat_a_receipt_and_a_page_are_not_revived() {
    let mut all = measured(CALM_DRIFT);
    let (model, state) = (all.insured.model.address, all.insured.model());
    // A receipt, whose window cannot be submitted again.
    let window = all.insured.window;
    let world = &mut all.insured.world;
    world.warp_to_end(&all.insured.model, window);
    for oracle in [0, 1] {
        let submitted = world.submit(&all.insured.model, oracle, window, &share(CALM_DRIFT));
        submitted.unwrap();
    }
    world.pass(state.submit_secs + state.challenge_secs);
    let close = instruction::finalize_receipt(&world.receipt(&model, window));
    let at = address::receipt(&model, window);
    assert_closes_once(world, &close, &[], &at);
    world.send(close, &[]).unwrap();
    let outcome = world.submit(&all.insured.model, 0, window, &share(CALM_DRIFT));
    assert_refused(outcome, DriftShieldError::WindowSettled);

    // A seat.
    let oracle = all.insured.model.oracles[2].clone();
    // What is left after the penalty for its silence.
    let bonded = all.insured.model().bonds[2];
    let unbond = instruction::request_unbond(oracle.address(), model, bonded);
    all.insured.world.send(unbond, &[&oracle.key]).unwrap();
    all.insured.world.pass(state.unbond_secs);
    let withdraw = instruction::withdraw_bond(oracle.address(), model, &state);
    all.insured.world.send(withdraw, &[]).unwrap();
    let (insured, index) = (&mut all.insured, 2);
    insured.world.collect_reward(&insured.model, index).unwrap();
    let close = instruction::close_seat(oracle.address(), model);
    let seat = address::seat(&model, &oracle.address());
    assert_closes_once(&all.insured.world, &close, &[], &seat);

    // A page of the series, none of whose windows can be submitted again.
    let world = &mut all.insured.world;
    world.warp_to(state.retention_end(PAGE_WINDOWS - 1).unwrap());
    let close = instruction::close_series(&world.series(&model, 0));
    assert_closes_once(world, &close, &[], &address::series(&model, 0));
    world.send(close, &[]).unwrap();
    let outcome = all
        .insured
        .world
        .submit(&all.insured.model, 0, window, &share(CALM_DRIFT));
    assert_refused(outcome, DriftShieldError::SubmitPeriodOver);
}

#[test]
fn an_exposure_and_a_vault_are_not_revived() {
    let world = World::with(params(), insurance_terms());
    let mut scene = Insured::empty(world, vault_terms());
    let (vault, state, model) = (scene.vault, scene.vault(), scene.model.address);
    let close = instruction::close_exposure(vault, &state, model);
    let exposure = address::exposure(&vault, &model);
    assert_closes_once(&scene.world, &close, &[], &exposure);
    scene.world.send(close, &[]).unwrap();
    let close = instruction::close_vault(vault, &state, false);
    assert_closes_once(&scene.world, &close, &[], &vault);

    // The vault cannot be created again, in the same transaction or later.
    let manager = scene.manager.key.insecure_clone();
    let (at, collateral) = (manager.pubkey(), scene.world.collateral());
    let create = instruction::create_vault(at, 1, &collateral, COOLDOWN, 0, vault_terms());
    let both = [close.clone(), create.clone()];
    assert!(scene.world.send_all(&both, &[&manager]).is_err());
    scene.world.send(close, &[]).unwrap();
    assert!(scene.world.send(create, &[&manager]).is_err());
    let accounts = scene.world.svm.get_program_accounts(&ID).into_iter();
    let vaults = accounts
        .filter(|(_, account)| matches!(Account::decode(&account.data), Ok(Account::Vault(_))));
    assert_eq!(vaults.count(), 0);
}
