//! What is due of policies and vaults.

use std::collections::BTreeMap;

use anchor_lang::Address;
use driftshield_sdk::{
    Exposure, Policy, PremiumPayee, Receipt, TokenProgram, Vault, WithdrawRequest, address,
    best_run, instruction, pause, quote_renewal,
};

use super::{Action, ModelState, State, Step, VaultState, action, ended, payout, token_account};

/// A request that can't be paid whole is paid by this part of it at least: premium frees a little
/// capital every second.
const LEAST_PART: u64 = 10;

/// Each policy by the run that it pays most for.
pub fn claims(state: &State, model: &ModelState) -> Vec<Action> {
    let claim = |policy: &Policy| {
        if ended(policy.expires_at(&model.model), state.now) {
            return None;
        }
        let run = best_run(policy, receipts(model, policy))?;
        let vault = &state.vault(&policy.vault)?.vault;
        let claim = instruction::claim_policy(policy, vault, run.first_window);
        let create = token_account(state, &policy.holder, &vault.mint, vault.token_program);
        Some(payout(Step::ClaimPolicy, address_of(policy), create, claim))
    };
    model.policies.iter().filter_map(claim).collect()
}

/// What is known of the windows that `policy` covers.
fn receipts<'a>(model: &'a ModelState, policy: &Policy) -> impl Iterator<Item = &'a Receipt> {
    let windows = policy.first_window..=policy.last_window;
    let open = model.receipts.range(windows.clone());
    let settled = model.settled.range(windows);
    open.chain(settled).map(|(_, receipt)| receipt)
}

fn address_of(policy: &Policy) -> Address {
    address::policy(&policy.vault, &policy.holder, policy.id)
}

/// Renewals that nobody has to sign, and that the holders' allowances bear together.
pub fn renewals(state: &State, model: &ModelState) -> Vec<Action> {
    let mint = model.model.bond_mint;
    let enabled = |collateral: &driftshield_sdk::Collateral| collateral.enabled.get();
    let allowed =
        state.paused & pause::RENEWALS == 0 && state.collaterals.get(&mint).is_some_and(enabled);
    if !allowed {
        return vec![];
    }
    let mut spent: BTreeMap<Address, u64> = BTreeMap::new();
    let renew = |policy: &Policy| {
        let vault = &state.vault(&policy.vault)?.vault;
        let premium = renewal_premium(state, model, policy, vault)?;
        let source = address::token_account(&policy.holder, &mint, vault.token_program.into());
        let authority = address::renewal_authority(&policy.holder);
        let takeable = state.tokens.get(&source)?;
        let takeable = takeable.takeable(&policy.holder, &authority);
        let spent = spent.entry(source).or_default();
        let total = spent.checked_add(premium)?;
        if takeable < total {
            return None;
        }
        *spent = total;
        let renew = instruction::renew_policy(policy, vault, source, false);
        Some(action(Step::RenewPolicy, address_of(policy), renew))
    };
    model.policies.iter().filter_map(renew).collect()
}

/// What the renewal of `policy` would cost, if it is due and the program takes it.
fn renewal_premium(
    state: &State,
    model: &ModelState,
    policy: &Policy,
    vault: &Vault,
) -> Option<u64> {
    if !policy.auto_renew.get() || !is_time(policy, vault, model, state.now)? {
        return None;
    }
    vault.require_outsider(&policy.holder, &model.model).ok()?;
    let mut exposures = model.exposures.iter();
    let exposure = exposures.find(|exposure| exposure.vault == policy.vault)?;
    let mut vault = *vault; // a copy
    let quote = quote_renewal(&mut vault, exposure, &model.model, policy, state.now);
    quote.ok().map(|quote| quote.premium)
}

/// Whether it is time to renew: late, so that holders keep their tokens and their choice for long,
/// and at the prices of then; but with the vault's waiting period, or a window, to try it in. Not
/// before the term has begun that it follows, where that leaves any time.
fn is_time(policy: &Policy, vault: &Vault, model: &ModelState, now: i64) -> Option<bool> {
    let start = |window| model.model.window_start(window).ok();
    let next = policy.last_window + 1; // its times fit an i64
    let begins = start(next.checked_sub(policy.windows)?)?;
    let last = start(next)? - vault.waiting_secs;
    let first = last - vault.waiting_secs.max(model.model.window_secs);
    let first = if begins < last {
        first.max(begins)
    } else {
        first
    };
    Some((first..=last).contains(&now))
}

pub fn expirations(state: &State, model: &ModelState) -> Vec<Action> {
    let policies = model.policies.iter();
    let expired = policies.filter(|policy| ended(policy.expires_at(&model.model), state.now));
    expired
        .map(|policy| {
            let expire = instruction::expire_policy(policy);
            action(Step::ExpirePolicy, address_of(policy), expire)
        })
        .collect()
}

/// Exposures that nothing depends on.
pub fn exposures(state: &State, model: &ModelState) -> Vec<Action> {
    let close = |exposure: &Exposure| {
        let of = state.vault(&exposure.vault)?;
        let vault = &of.vault;
        let in_hands = of.in_hands.unwrap_or(u64::MAX); // not read: something depends on it
        let is_dead = exposure.is_dead(vault, &model.model, in_hands, state.now);
        let is_over = exposure.policies == 0 && is_dead;
        let account = address::exposure(&exposure.vault, &exposure.model);
        let close = || instruction::close_exposure(exposure.vault, vault, exposure.model);
        is_over.then(|| action(Step::CloseExposure, account, close()))
    };
    model.exposures.iter().filter_map(close).collect()
}

/// Of a vault: what it owes, and its end.
pub fn vault_steps(state: &State, vault: &VaultState) -> Vec<Action> {
    let mut actions = withdrawals(state, vault);
    actions.extend(fees(state, vault));
    actions.extend(closure(state, vault));
    actions
}

/// Requests that free capital pays, one after the other.
fn withdrawals(state: &State, of: &VaultState) -> Vec<Action> {
    let mut vault = of.vault; // a copy
    vault.accrue(state.now);
    let withdraw = |request: &WithdrawRequest| {
        let (mut after, mut left) = (vault, *request); // copies
        let (paid, _) = after.withdraw(&mut left, state.now).ok()?;
        let value = request.value.min(vault.worth(request.shares));
        let worthwhile = left.shares == 0 || value / LEAST_PART <= paid;
        // Whoever could have an account made again and again would live on it.
        let payable = paid == 0 || is_payable(state, &request.owner, &vault);
        if !worthwhile || !payable {
            return None;
        }
        vault = after;
        let account = address::withdraw_request(&of.address, &request.owner);
        let withdraw = instruction::withdraw(request.owner, of.address, &of.vault);
        Some(action(Step::Withdraw, account, withdraw))
    };
    of.requests.iter().filter_map(withdraw).collect()
}

/// Whether `owner` has an associated token account that can be paid.
fn is_payable(state: &State, owner: &Address, vault: &Vault) -> bool {
    let program: TokenProgram = vault.token_program.into();
    let account = address::token_account(owner, &vault.mint, program);
    let account = state.tokens.get(&account);
    account.is_some_and(|account| account.owner == *owner && !account.is_frozen)
}

fn fees(state: &State, of: &VaultState) -> Vec<Action> {
    let vault = &of.vault;
    let collect = |step, payee| {
        let collect = instruction::collect_manager_fees(of.address, vault, payee);
        action(step, of.address, collect)
    };
    let mut actions = vec![];
    if 0 < vault.protocol_credit {
        actions.push(collect(Step::CollectPremiumFee, PremiumPayee::Treasury));
    }
    if 0 < vault.manager_credit && is_payable(state, &vault.manager, vault) {
        actions.push(collect(Step::CollectManagerFee, PremiumPayee::Manager));
    }
    actions
}

fn closure(state: &State, of: &VaultState) -> Option<Action> {
    let vault = &of.vault;
    let is_due = vault.is_empty(of.in_hands?)
        && vault.is_notice_over(state.now)
        && vault.protocol_credit == 0
        && vault.manager_credit == 0;
    let close = || instruction::close_vault(of.address, vault, false);
    is_due.then(|| action(Step::CloseVault, of.address, close()))
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Collateral, ModelStatus, ReceiptState, token::TokenAccount};

    use super::*;
    use crate::due::{
        due,
        tests::{key, receipt, state, steps, zeroed},
    };

    const MODEL: u8 = 9;
    const MANAGER: u8 = 50;
    const VAULT: u8 = 51;
    const HOLDER: u8 = 70;
    const PROVIDER: u8 = 80;

    /// Capital of 10 000 in ten million shares, a cooldown of 100 s and a waiting period of 15 s.
    fn vault() -> VaultState {
        let mut vault: Vault = zeroed();
        vault.manager = key(MANAGER);
        (vault.assets, vault.shares) = (10_000, 10_000_000);
        (vault.exposures, vault.policies) = (1, 1);
        (vault.cooldown_secs, vault.waiting_secs) = (100, 15);
        vault.bucket_secs = 1_000;
        vault.terms.min_cover = 1;
        vault.terms.max_cover = 10_000;
        vault.terms.min_duration_secs = 1;
        vault.terms.max_duration_secs = 1_000;
        vault.terms.kink_bps = 5_000;
        vault.terms.max_utilisation_bps = 10_000;
        VaultState {
            address: key(VAULT),
            vault,
            requests: vec![],
            in_hands: None,
        }
    }

    /// Of the windows 0 to 9, which end at 200; it pays from 200 on, and all of 100 at 600.
    fn policy(id: u64) -> Policy {
        let mut policy: Policy = zeroed();
        (policy.vault, policy.model, policy.holder) = (key(VAULT), key(MODEL), key(HOLDER));
        (policy.id, policy.cover, policy.persistence) = (id, 100, 1);
        (policy.trigger, policy.exhaustion) = (200, 600);
        (policy.last_window, policy.windows) = (9, 10);
        policy.claim_grace_secs = 30;
        policy.max_premium = 10;
        policy.auto_renew = true.into();
        policy.term.end = 200;
        policy
    }

    fn insured(now: i64) -> State {
        let mut state = state(now);
        let mut exposure: Exposure = zeroed();
        (exposure.vault, exposure.model) = (key(VAULT), key(MODEL));
        (exposure.cap, exposure.policies, exposure.cover) = (1_000, 1, 100);
        let of = &mut state.models[0];
        of.submissions.clear();
        (of.model.final_count, of.model.last_window) = (8, 5);
        (of.model.security, of.model.security_multiple) = (1_000, 1);
        of.exposures.push(exposure);
        of.policies.push(policy(1));
        state.vaults.push(vault());
        state
    }

    fn settle(state: &mut State, window: u64, value: u64) {
        let mut receipt = receipt(window, ReceiptState::Final, 0, 0);
        receipt.value = value;
        state.models[0].settled.insert(window, receipt);
    }

    /// Gives `owner` its associated token account with 50 base units.
    fn fund(state: &mut State, owner: u8, delegated: u64) {
        let owner = key(owner);
        let account = TokenAccount {
            owner,
            amount: 50,
            delegate: Some(address::renewal_authority(&owner)),
            delegated,
            is_frozen: false,
        };
        let address = address::token_account(&owner, &Address::default(), TokenProgram::SplToken);
        state.tokens.insert(address, account);
    }

    fn renewable(now: i64) -> State {
        let mut state = insured(now);
        let mut collateral: Collateral = zeroed();
        collateral.enabled = true.into();
        state.collaterals.insert(Address::default(), collateral);
        fund(&mut state, HOLDER, 1);
        state
    }

    fn with_requests(now: i64, providers: &[u8]) -> State {
        let mut state = insured(now);
        state.models[0].policies.clear();
        for &provider in providers {
            let mut request: WithdrawRequest = zeroed();
            (request.vault, request.owner) = (key(VAULT), key(provider));
            (request.shares, request.value) = (5_000_000, 5_000);
            request.unlock_at = 150;
            state.vaults[0].vault.escrowed += request.shares;
            state.vaults[0].requests.push(request);
            fund(&mut state, provider, 0);
        }
        state
    }

    #[test]
    fn a_policy_is_claimed_by_the_run_that_pays_most() {
        let mut state = insured(150);
        assert_eq!(steps(&state), []);
        settle(&mut state, 2, 300);
        settle(&mut state, 4, 400);
        let actions = due(&state);
        assert_eq!(steps(&state), [Step::ClaimPolicy]);
        // The holder's token account may have to be made first.
        assert_eq!(actions[0].instructions.len(), 2);
        let accounts = &actions[0].instructions[1].accounts;
        let named = |window| {
            let receipt = address::receipt(&key(MODEL), window);
            accounts.iter().any(|account| account.pubkey == receipt)
        };
        assert!(named(4) && !named(2));

        state.models[0].policies[0].paid = 50;
        assert_eq!(steps(&state), []);
        // A receipt counts even while it owes a credit.
        let mut ruled = receipt(5, ReceiptState::Final, 0, 0);
        ruled.value = 500;
        state.models[0].receipts.insert(5, ruled);
        assert_eq!(steps(&state), [Step::ClaimPolicy]);
    }

    #[test]
    fn a_policy_expires_when_it_can_no_longer_be_claimed() {
        let at = |now| {
            let mut state = insured(now);
            settle(&mut state, 2, 300);
            steps(&state)
        };
        assert_eq!(at(289), [Step::ClaimPolicy]);
        assert_eq!(at(290), [Step::ExpirePolicy]);
    }

    #[test]
    fn renewals_are_due_for_a_waiting_period_and_not_later_than_they_can_be() {
        for now in [101, 169, 186] {
            assert_eq!(steps(&renewable(now)), [], "at {now}");
        }
        for now in [170, 185] {
            assert_eq!(steps(&renewable(now)), [Step::RenewPolicy], "at {now}");
        }
        // Of a policy of two windows, from when its term begins: 180.
        let mut short = renewable(179);
        let policy = &mut short.models[0].policies[0];
        (policy.first_window, policy.windows) = (8, 2);
        assert_eq!(steps(&short), []);
        short.now = 180;
        assert_eq!(steps(&short), [Step::RenewPolicy]);
        // Of one window there is no time left then: it has to be earlier.
        let policy = &mut short.models[0].policies[0];
        (policy.first_window, policy.windows) = (9, 1);
        assert_eq!(steps(&short), [Step::RenewPolicy]);
    }

    #[test]
    fn only_renewals_that_succeed_are_sent() {
        let refused = |change: fn(&mut State)| {
            let mut state = renewable(175);
            change(&mut state);
            steps(&state).is_empty()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|state| state.paused = pause::RENEWALS));
        assert!(refused(|state| state.collaterals.clear()));
        assert!(refused(|state| fund(state, HOLDER, 0)));
        assert!(refused(|state| state.tokens.clear()));
        assert!(refused(|state| state.vaults[0].vault.manager = key(HOLDER)));
        assert!(refused(|state| state.models[0].exposures[0].cap = 99));
        let changes: [fn(&mut Policy); 4] = [
            |policy| policy.auto_renew = false.into(),
            |policy| policy.paid = 1,
            |policy| policy.previous_term.end = 176,
            |policy| policy.max_premium = 0,
        ];
        for change in changes {
            let mut state = renewable(175);
            change(&mut state.models[0].policies[0]);
            assert_eq!(steps(&state), []);
        }
    }

    #[test]
    fn renewals_share_an_allowance() {
        let mut state = renewable(175);
        state.models[0].policies.push(policy(2));
        assert_eq!(steps(&state), [Step::RenewPolicy]);
        fund(&mut state, HOLDER, 2);
        assert_eq!(steps(&state), [Step::RenewPolicy, Step::RenewPolicy]);
    }

    #[test]
    fn requests_are_paid_after_the_cooldown_to_accounts_that_exist() {
        assert_eq!(steps(&with_requests(149, &[PROVIDER])), []);
        let mut state = with_requests(150, &[PROVIDER]);
        assert_eq!(steps(&state), [Step::Withdraw]);
        for account in state.tokens.values_mut() {
            account.is_frozen = true;
        }
        assert_eq!(steps(&state), []);
        state.tokens.clear();
        assert_eq!(steps(&state), []);
        // Shares that are worth nothing end without one.
        state.vaults[0].requests[0].value = 0;
        assert_eq!(steps(&state), [Step::Withdraw]);
    }

    #[test]
    fn requests_are_paid_in_part_where_that_is_worth_a_transaction() {
        let with_locked = |locked, providers: &[u8]| {
            let mut state = with_requests(150, providers);
            state.vaults[0].vault.locked = locked;
            steps(&state)
        };
        assert_eq!(with_locked(10_000, &[PROVIDER]), []);
        assert_eq!(with_locked(9_501, &[PROVIDER]), []);
        assert_eq!(with_locked(9_500, &[PROVIDER]), [Step::Withdraw]);
        // What one gets, the other doesn't.
        let two = [PROVIDER, PROVIDER + 1];
        assert_eq!(with_locked(9_000, &two), [Step::Withdraw]);
        assert_eq!(with_locked(0, &two), [Step::Withdraw, Step::Withdraw]);
    }

    #[test]
    fn parts_of_premiums_are_collected_for_whom_they_can_be_paid() {
        let mut state = insured(150);
        let vault = &mut state.vaults[0].vault;
        (vault.protocol_credit, vault.manager_credit) = (1, 1);
        assert_eq!(steps(&state), [Step::CollectPremiumFee]);
        fund(&mut state, MANAGER, 0);
        let both = [Step::CollectPremiumFee, Step::CollectManagerFee];
        assert_eq!(steps(&state), both);
    }

    #[test]
    fn exposures_close_when_they_are_dead_and_unused() {
        let mut state = insured(150);
        state.models[0].policies.clear();
        state.models[0].exposures[0].policies = 0;
        assert_eq!(steps(&state), []);
        state.models[0].model.status = ModelStatus::Retired.into();
        assert_eq!(steps(&state), [Step::CloseExposure]);
        state.models[0].exposures[0].policies = 1;
        assert_eq!(steps(&state), []);
    }

    #[test]
    fn a_vault_closes_when_it_is_empty_and_its_notice_is_over() {
        let at = |now, in_hands, credit| {
            let mut state = state(now);
            state.models[0].submissions.clear();
            let mut empty = vault();
            (empty.vault.exposures, empty.vault.policies) = (0, 0);
            empty.vault.protocol_credit = credit;
            empty.in_hands = in_hands;
            state.vaults.push(empty);
            steps(&state)
        };
        assert_eq!(at(86_499, Some(0), 0), []);
        assert_eq!(at(86_500, Some(0), 0), [Step::CloseVault]);
        assert_eq!(at(86_500, Some(1), 0), []);
        assert_eq!(at(86_500, None, 0), []);
        assert_eq!(at(86_500, Some(0), 1), [Step::CollectPremiumFee]);
    }
}
