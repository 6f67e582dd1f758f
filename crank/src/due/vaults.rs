//! Actions on vaults: close listings, pay withdrawal requests, collect fees, close.

use anchor_lang::Address;
use driftshield_sdk::{Exposure, PremiumPayee, Vault, WithdrawRequest, address, instruction};

use super::action::{Action, Step};
use crate::snapshot::{ModelSnapshot, Snapshot, VaultSnapshot};

/// Minimum partial payment, as a divisor of the request's value. Streaming premium frees a little
/// capital every second, and each payment costs a transaction.
const MIN_PARTIAL_PAYMENT_DIVISOR: u64 = 10;

/// Closures of exposures without open policies whose listing is dead: no cover can be sold on it,
/// or nobody holds shares of the vault.
pub fn exposure_closures(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let close = |exposure: &Exposure| {
        let vault = snapshot.vault(&exposure.vault)?;
        // If the number is unknown, the vault is assumed to have shareholders.
        let circulating_shares = vault.circulating_shares.unwrap_or(u64::MAX);
        let vault = &vault.account;
        let is_due = exposure.policies == 0
            && exposure.is_dead(vault, &model.account, circulating_shares, snapshot.now);
        let account = address::exposure(&exposure.vault, &exposure.model);
        let close = || instruction::close_exposure(exposure.vault, vault, exposure.model);
        is_due.then(|| Action::new(Step::CloseExposure, account, close()))
    };
    model.exposures.iter().filter_map(close).collect()
}

/// Withdrawals and fee collections of a vault, and its closure.
pub fn actions(snapshot: &Snapshot, vault: &VaultSnapshot) -> Vec<Action> {
    let mut actions = withdrawals(snapshot, vault);
    actions.extend(fee_collections(snapshot, vault));
    actions.extend(closure(snapshot, vault));
    actions
}

/// Due steps of withdrawal requests: payments out of free capital, and what follows the exit window.
/// Each payment reduces the free capital for the next request. A payment that falls short is sent
/// once even if it is small, because it records that free capital did not suffice.
fn withdrawals(snapshot: &Snapshot, vault: &VaultSnapshot) -> Vec<Action> {
    let mut account = vault.account; // a copy
    account.accrue(snapshot.now);
    let withdraw = |request: &WithdrawRequest| {
        let (mut after, mut remaining) = (account, *request); // copies
        let paid = after.withdraw(&mut remaining, snapshot.now).ok()?;
        let value = account.requested(request);
        let is_worthwhile = snapshot.now >= request.lapses_at
            || remaining.is_over()
            || value / MIN_PARTIAL_PAYMENT_DIVISOR <= paid
            || !request.is_short.get();
        // Missing token accounts are not created: a payee could farm rent by closing the account
        // repeatedly.
        let is_payable = paid == 0 || can_be_paid(snapshot, &request.owner, &account);
        if !is_worthwhile || !is_payable {
            return None;
        }
        account = after;
        let request_address = address::withdraw_request(&vault.address, &request.owner);
        let withdraw = instruction::withdraw(request.owner, vault.address, &vault.account);
        Some(Action::new(Step::Withdraw, request_address, withdraw))
    };
    vault.requests.iter().filter_map(withdraw).collect()
}

/// Whether `owner`'s associated token account exists, is still owned by `owner`, and is not frozen.
fn can_be_paid(snapshot: &Snapshot, owner: &Address, vault: &Vault) -> bool {
    let address = address::token_account(owner, &vault.mint, vault.token_program.into());
    let account = snapshot.token_accounts.get(&address);
    account.is_some_and(|account| account.owner == *owner && !account.is_frozen)
}

/// Collections of the treasury's and the manager's part of premiums. The manager's is only
/// collected to a token account that exists.
fn fee_collections(snapshot: &Snapshot, vault: &VaultSnapshot) -> Vec<Action> {
    let account = &vault.account;
    let collect = |step, payee| {
        let collect = instruction::collect_manager_fees(vault.address, account, payee);
        Action::new(step, vault.address, collect)
    };
    let mut actions = vec![];
    if 0 < account.protocol_credit {
        actions.push(collect(Step::CollectPremiumFee, PremiumPayee::Treasury));
    }
    if 0 < account.manager_credit && can_be_paid(snapshot, &account.manager, account) {
        actions.push(collect(Step::CollectManagerFee, PremiumPayee::Manager));
    }
    actions
}

fn closure(snapshot: &Snapshot, vault: &VaultSnapshot) -> Option<Action> {
    let account = &vault.account;
    let is_due = account.is_empty(vault.circulating_shares?)
        && account.is_notice_over(snapshot.now)
        && account.protocol_credit == 0
        && account.manager_credit == 0;
    let close = || instruction::close_vault(vault.address, account, false);
    is_due.then(|| Action::new(Step::CloseVault, vault.address, close()))
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{ModelStatus, WHOLE_INDEX};

    use super::*;
    use crate::fixtures::{
        insurance::{MANAGER, PROVIDER, VAULT, add_token_account, insured_snapshot, vault},
        key, snapshot, steps, zeroed,
    };

    fn with_requests(now: i64, providers: &[u8]) -> Snapshot {
        let mut snapshot = insured_snapshot(now);
        snapshot.models[0].policies.clear();
        for &provider in providers {
            let mut request: WithdrawRequest = zeroed();
            (request.vault, request.owner) = (key(VAULT), key(provider));
            (request.value, request.index) = (5_000, WHOLE_INDEX);
            (request.unlock_at, request.lapses_at) = (150, 200);
            snapshot.vaults[0].account.shares -= 5_000_000;
            snapshot.vaults[0].account.leaving += request.value;
            snapshot.vaults[0].requests.push(request);
            add_token_account(&mut snapshot, provider, 0);
        }
        snapshot
    }

    #[test]
    fn requests_are_paid_after_the_cooldown_to_accounts_that_exist() {
        assert_eq!(steps(&with_requests(149, &[PROVIDER])), []);
        let mut snapshot = with_requests(150, &[PROVIDER]);
        assert_eq!(steps(&snapshot), [Step::Withdraw]);
        for account in snapshot.token_accounts.values_mut() {
            account.is_frozen = true;
        }
        assert_eq!(steps(&snapshot), []);
        snapshot.token_accounts.clear();
        assert_eq!(steps(&snapshot), []);
        // Worthless shares are withdrawn without a token account.
        snapshot.vaults[0].requests[0].value = 0;
        assert_eq!(steps(&snapshot), [Step::Withdraw]);
    }

    #[test]
    fn requests_are_paid_in_part_if_free_capital_covers_a_tenth_of_them() {
        let with_locked = |locked, providers: &[u8], is_short: bool| {
            let mut snapshot = with_requests(150, providers);
            let vault = &mut snapshot.vaults[0];
            vault.account.locked = locked;
            for request in &mut vault.requests {
                request.is_short = is_short.into();
            }
            steps(&snapshot)
        };
        assert_eq!(with_locked(10_000, &[PROVIDER], true), []);
        assert_eq!(with_locked(9_501, &[PROVIDER], true), []);
        assert_eq!(with_locked(9_500, &[PROVIDER], true), [Step::Withdraw]);
        // Once even without a payment, which marks the request as short.
        assert_eq!(with_locked(10_000, &[PROVIDER], false), [Step::Withdraw]);
        // The payment of the first request leaves no free capital for the second.
        let (two, both) = ([PROVIDER, PROVIDER + 1], [Step::Withdraw, Step::Withdraw]);
        assert_eq!(with_locked(9_000, &two, true), [Step::Withdraw]);
        assert_eq!(with_locked(9_000, &two, false), both);
        assert_eq!(with_locked(0, &two, true), both);
    }

    #[test]
    fn premium_fees_are_collected_for_payees_with_a_token_account() {
        let mut snapshot = insured_snapshot(150);
        let vault = &mut snapshot.vaults[0].account;
        (vault.protocol_credit, vault.manager_credit) = (1, 1);
        assert_eq!(steps(&snapshot), [Step::CollectPremiumFee]);
        add_token_account(&mut snapshot, MANAGER, 0);
        let both = [Step::CollectPremiumFee, Step::CollectManagerFee];
        assert_eq!(steps(&snapshot), both);
    }

    #[test]
    fn exposures_close_when_their_model_is_retired_and_no_policy_is_open() {
        let mut snapshot = insured_snapshot(150);
        snapshot.models[0].policies.clear();
        snapshot.models[0].exposures[0].policies = 0;
        assert_eq!(steps(&snapshot), []);
        snapshot.models[0].account.status = ModelStatus::Retired.into();
        assert_eq!(steps(&snapshot), [Step::CloseExposure]);
        snapshot.models[0].exposures[0].policies = 1;
        assert_eq!(steps(&snapshot), []);
    }

    #[test]
    fn a_vault_closes_when_it_is_empty_and_its_notice_is_over() {
        let at = |now, circulating_shares, credit| {
            let mut snapshot = snapshot(now);
            snapshot.models[0].submissions.clear();
            let mut empty = vault();
            (empty.account.exposures, empty.account.policies) = (0, 0);
            empty.account.protocol_credit = credit;
            empty.circulating_shares = circulating_shares;
            snapshot.vaults.push(empty);
            steps(&snapshot)
        };
        assert_eq!(at(86_499, Some(0), 0), []);
        assert_eq!(at(86_500, Some(0), 0), [Step::CloseVault]);
        assert_eq!(at(86_500, Some(1), 0), []);
        assert_eq!(at(86_500, None, 0), []);
        assert_eq!(at(86_500, Some(0), 1), [Step::CollectPremiumFee]);
    }
}
