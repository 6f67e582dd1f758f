//! Reads vaults, exposures and policies, and the accounts that actions on them depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
};

use anchor_lang::Address;
use anyhow::{Context, Result, bail};
use driftshield_sdk::{
    Account, Exposure, Policy, Vault, WithdrawRequest, address,
    rpc::{Client, Error},
    token::{self, TokenAccount},
};
use futures::future::try_join_all;

use super::accounts::{decode, fetch, without_addresses};
use crate::snapshot::{Snapshot, VaultSnapshot};

/// Lists the vaults in the models' bond mints with their withdrawal requests, and the models'
/// exposures and policies. The number of calls grows with the number of models and mints, not with
/// the number of accounts.
pub async fn list(client: &Client, snapshot: &mut Snapshot) -> Result<()> {
    let vaults = bond_mints(snapshot).into_iter().map(|mint| async move {
        let filter = [(offset_of!(Vault, mint), mint)];
        client.list::<Vault>(&filter).await
    });
    let vaults: Vec<_> = try_join_all(vaults).await?.into_iter().flatten().collect();
    let any_requests = vaults.iter().any(|(_, vault)| 0 < vault.requests);
    let requests = if any_requests {
        client.list::<WithdrawRequest>(&[]).await?
    } else {
        vec![]
    };
    let any_exposures = vaults.iter().any(|(_, vault)| 0 < vault.exposures);
    snapshot.vaults = with_requests(vaults, requests);

    let calls = snapshot.models.iter_mut().map(|model| async move {
        model.exposures.clear();
        model.policies.clear();
        if any_exposures {
            let filter = [(offset_of!(Exposure, model), model.address)];
            let exposures = client.list::<Exposure>(&filter).await?;
            model.exposures = without_addresses(exposures);
        }
        if any_exposures && 0 < model.account.exposure {
            let filter = [(offset_of!(Policy, model), model.address)];
            let policies = client.list::<Policy>(&filter).await?;
            model.policies = without_addresses(policies);
        }
        Ok::<_, Error>(())
    });
    try_join_all(calls).await?;
    Ok(())
}

/// Reads by address the accounts that actions on vaults and policies depend on. Reads nothing if
/// there is no vault.
pub async fn read(client: &Client, snapshot: &mut Snapshot, min_slot: u64) -> Result<()> {
    if snapshot.vaults.is_empty() {
        return Ok(());
    }
    read_config_and_collaterals(client, snapshot, min_slot).await?;
    read_tokens(client, snapshot, min_slot).await
}

/// Reads the pause flags and the collaterals. Both decide whether policies can be renewed.
async fn read_config_and_collaterals(
    client: &Client,
    snapshot: &mut Snapshot,
    min_slot: u64,
) -> Result<()> {
    let mints = bond_mints(snapshot);
    let collaterals = mints.iter().map(address::collateral);
    let addresses: Vec<_> = [address::config()].into_iter().chain(collaterals).collect();
    let mut accounts = fetch(client, &addresses, min_slot).await?.into_iter();
    let mut next = || accounts.next().flatten();

    let config = next().with_context(|| {
        let config = address::config();
        format!("the program's Config account {config} does not exist; check rpc_url")
    })?;
    let Account::Config(config) = decode(&config)? else {
        bail!("account {} is not a Config", address::config());
    };
    snapshot.paused = config.paused;
    snapshot.collaterals.clear();
    for mint in mints {
        if let Some(data) = next()
            && let Account::Collateral(collateral) = decode(&data)?
        {
            snapshot.collaterals.insert(mint, *collateral);
        }
    }
    Ok(())
}

/// Reads the token accounts at the addresses of [`token_accounts`], and the circulating shares of
/// vaults without obligations.
async fn read_tokens(client: &Client, snapshot: &mut Snapshot, min_slot: u64) -> Result<()> {
    let token_accounts = token_accounts(snapshot);
    let vaults = snapshot.vaults.iter();
    let share_mints = vaults
        .filter(|vault| !vault.has_obligations())
        .map(|vault| vault.account.share_mint);
    let addresses: Vec<_> = token_accounts.iter().copied().chain(share_mints).collect();
    let mut accounts = fetch(client, &addresses, min_slot).await?.into_iter();
    let mut next = || accounts.next().flatten();

    let decode = |address| Some((address, TokenAccount::decode(&next()?)?));
    snapshot.token_accounts = token_accounts.into_iter().filter_map(decode).collect();
    let vaults = snapshot.vaults.iter_mut();
    for vault in vaults.filter(|vault| !vault.has_obligations()) {
        vault.circulating_shares = next().and_then(|mint| token::mint_supply(&mint));
    }
    Ok(())
}

/// Addresses of the token accounts of [`Snapshot::token_accounts`].
fn token_accounts(snapshot: &Snapshot) -> BTreeSet<Address> {
    let mut accounts = BTreeSet::new();
    for VaultSnapshot {
        account, requests, ..
    } in &snapshot.vaults
    {
        let program = account.token_program.into();
        let token_account = |owner| address::token_account(owner, &account.mint, program);
        let released = requests
            .iter()
            .filter(|request| request.unlock_at <= snapshot.now);
        accounts.extend(released.map(|request| token_account(&request.owner)));
        if 0 < account.manager_credit {
            accounts.insert(token_account(&account.manager));
        }
    }
    for model in &snapshot.models {
        let mint = &model.account.bond_mint;
        let program = model.account.token_program.into();
        let policies = model.policies.iter();
        let renewing = policies.filter(|policy| policy.auto_renew.get());
        accounts
            .extend(renewing.map(|policy| address::token_account(&policy.holder, mint, program)));
    }
    accounts
}

fn bond_mints(snapshot: &Snapshot) -> BTreeSet<Address> {
    let models = snapshot.models.iter();
    models.map(|model| model.account.bond_mint).collect()
}

/// Combines each vault with its requests.
fn with_requests(
    vaults: Vec<(Address, Vault)>,
    requests: Vec<(Address, WithdrawRequest)>,
) -> Vec<VaultSnapshot> {
    let mut by_vault: BTreeMap<Address, Vec<WithdrawRequest>> = BTreeMap::new();
    for (_, request) in requests {
        by_vault.entry(request.vault).or_default().push(request);
    }
    let vaults = vaults.into_iter().map(|(address, account)| VaultSnapshot {
        address,
        account,
        requests: by_vault.remove(&address).unwrap_or_default(),
        circulating_shares: None,
    });
    vaults.collect()
}
