//! Reading vaults and policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
};

use anchor_lang::Address;
use anyhow::{Context, Result, bail};
use driftshield_sdk::{
    Account, Exposure, Policy, Vault, WithdrawRequest, address,
    rpc::Error,
    token::{self, TokenAccount},
};
use futures::future::try_join_all;

use super::{Reader, decode, without_addresses};
use crate::due::VaultState;

impl Reader {
    /// Lists the vaults in the models' tokens with what is asked back of them, and what of the
    /// models is covered: as many calls as there are models and tokens, however many accounts.
    pub(super) async fn list_insurance(&mut self) -> Result<()> {
        let client = &self.client;
        let vaults = self.mints().into_iter().map(|mint| async move {
            let filter = [(offset_of!(Vault, mint), mint)];
            client.list::<Vault>(&filter).await
        });
        let vaults: Vec<_> = try_join_all(vaults).await?.into_iter().flatten().collect();
        let asked = vaults.iter().any(|(_, vault)| 0 < vault.requests);
        let requests = if asked {
            client.list::<WithdrawRequest>(&[]).await?
        } else {
            vec![]
        };
        let lists = |(_, vault): &(Address, Vault)| 0 < vault.exposures;
        let is_listed = vaults.iter().any(lists);
        self.state.vaults = with_requests(vaults, requests);

        let calls = self.state.models.iter_mut().map(|state| async move {
            state.exposures.clear();
            state.policies.clear();
            if is_listed {
                let filter = [(offset_of!(Exposure, model), state.address)];
                let exposures = client.list::<Exposure>(&filter).await?;
                state.exposures = without_addresses(exposures);
            }
            if is_listed && 0 < state.model.exposure {
                let filter = [(offset_of!(Policy, model), state.address)];
                let policies = client.list::<Policy>(&filter).await?;
                state.policies = without_addresses(policies);
            }
            Ok::<_, Error>(())
        });
        try_join_all(calls).await?;
        Ok(())
    }

    fn mints(&self) -> BTreeSet<Address> {
        let models = self.state.models.iter();
        models.map(|state| state.model.bond_mint).collect()
    }

    /// Reads what else decides about vaults and policies, by address.
    pub(super) async fn read_insurance(&mut self, min_slot: u64) -> Result<()> {
        if self.state.vaults.is_empty() {
            return Ok(());
        }
        self.read_rules(min_slot).await?;
        self.read_tokens(min_slot).await
    }

    /// Reads what can be renewed at all.
    async fn read_rules(&mut self, min_slot: u64) -> Result<()> {
        let mints = self.mints();
        let collaterals = mints.iter().map(address::collateral);
        let addresses: Vec<_> = [address::config()].into_iter().chain(collaterals).collect();
        let mut accounts = self.fetch(&addresses, min_slot).await?.into_iter();
        let mut next = || accounts.next().flatten();

        let config = next().context("the program is not set up on this chain")?;
        let Account::Config(config) = decode(&config)? else {
            bail!("account {} is no config", address::config());
        };
        self.state.paused = config.paused;
        self.state.collaterals.clear();
        for mint in mints {
            if let Some(data) = next()
                && let Account::Collateral(collateral) = decode(&data)?
            {
                self.state.collaterals.insert(mint, *collateral);
            }
        }
        Ok(())
    }

    /// Reads token accounts of holders and of those that vaults owe something, and whether
    /// somebody holds shares of vaults that nothing else keeps from their end.
    async fn read_tokens(&mut self, min_slot: u64) -> Result<()> {
        let tokens = self.token_accounts();
        let ending = self.state.vaults.iter().filter(|of| may_end(of));
        let ending = ending.flat_map(|of| [of.vault.share_mint, of.vault.escrow]);
        let addresses: Vec<_> = tokens.iter().copied().chain(ending).collect();
        let mut accounts = self.fetch(&addresses, min_slot).await?.into_iter();
        let mut next = || accounts.next().flatten();

        let account = |address| Some((address, TokenAccount::decode(&next()?)?));
        self.state.tokens = tokens.into_iter().filter_map(account).collect();
        for of in self.state.vaults.iter_mut().filter(|of| may_end(of)) {
            let supply = next().and_then(|mint| token::mint_supply(&mint));
            let escrow = next().and_then(|escrow| TokenAccount::decode(&escrow));
            let shares = supply.zip(escrow);
            of.in_hands = shares.and_then(|(supply, escrow)| supply.checked_sub(escrow.amount));
        }
        Ok(())
    }

    /// Token accounts of holders that renew, and of those that vaults owe something.
    fn token_accounts(&self) -> BTreeSet<Address> {
        let state = &self.state;
        let account = |owner: &Address, vault: &Vault| {
            address::token_account(owner, &vault.mint, vault.token_program.into())
        };
        let mut accounts = BTreeSet::new();
        for of in &state.vaults {
            let released = |request: &&WithdrawRequest| request.unlock_at <= state.now;
            let owners = of.requests.iter().filter(released);
            accounts.extend(owners.map(|request| account(&request.owner, &of.vault)));
            if 0 < of.vault.manager_credit {
                accounts.insert(account(&of.vault.manager, &of.vault));
            }
        }
        for of in &state.models {
            let program = of.model.token_program.into();
            let renewing = of.policies.iter().filter(|policy| policy.auto_renew.get());
            let holders = renewing.map(|policy| policy.holder);
            accounts.extend(
                holders.map(|holder| address::token_account(&holder, &of.model.bond_mint, program)),
            );
        }
        accounts
    }
}

/// Each vault with its requests.
fn with_requests(
    vaults: Vec<(Address, Vault)>,
    requests: Vec<(Address, WithdrawRequest)>,
) -> Vec<VaultState> {
    let mut by_vault: BTreeMap<Address, Vec<WithdrawRequest>> = BTreeMap::new();
    for (_, request) in requests {
        by_vault.entry(request.vault).or_default().push(request);
    }
    let vaults = vaults.into_iter().map(|(address, vault)| VaultState {
        address,
        vault,
        requests: by_vault.remove(&address).unwrap_or_default(),
        in_hands: None,
    });
    vaults.collect()
}

/// Whether nothing but listings and shares that somebody holds keeps the vault from its end.
fn may_end(of: &VaultState) -> bool {
    of.vault.requests == 0 && of.vault.policies == 0
}
