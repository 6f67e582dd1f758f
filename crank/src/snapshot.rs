//! The input of a round's decisions: what was read from the chain, the oracle's
//! counts, and the smallest reward to collect.

use std::collections::BTreeMap;

use anchor_lang::Address;
use driftshield_sdk::{
    Collateral, Entry, Exposure, Market, Model, Policy, Position, Receipt, ReceiptState, Seat,
    Series, Vault, WithdrawRequest, entry_in, token::TokenAccount,
};

use crate::periods::{ended_windows, first_open_window};

/// The accounts read in one round.
pub struct Snapshot {
    /// The chain's time in unix seconds.
    pub now: i64,
    /// Fee payer of all transactions, and the oracle that submits.
    pub payer: Address,
    pub models: Vec<ModelSnapshot>,
    /// Pause flags of the program's Config. Read only if there is a vault.
    pub paused: u8,
    /// Collaterals of the models' bond mints, by mint. Read only if there is a vault.
    pub collaterals: BTreeMap<Address, Collateral>,
    /// All vaults whose mint is the bond mint of a configured model.
    pub vaults: Vec<VaultSnapshot>,
    /// Existing token accounts, by address: those of holders of policies with `auto_renew`, of
    /// owners of withdrawal requests past their cooldown, and of managers with a credit.
    pub token_accounts: BTreeMap<Address, TokenAccount>,
}

impl Snapshot {
    pub fn vault(&self, address: &Address) -> Option<&VaultSnapshot> {
        self.vaults.iter().find(|vault| vault.address == *address)
    }
}

/// By default, a reward is collected from this part of the model's smallest bond on: the price of a
/// token is not on chain, but the smallest bond is worth thousands of transactions.
const BOND_PER_MIN_REWARD: u64 = 10_000;

/// A model with the accounts that belong to it.
pub struct ModelSnapshot {
    pub address: Address,
    pub account: Model,
    /// Smallest reward of an oracle that is collected while more can follow, in base units.
    pub min_reward: u64,
    /// Receipts by window. A receipt exists while it has a step left to take, or something can still be
    /// returned or collected.
    pub receipts: BTreeMap<u64, Receipt>,
    /// Pages of the model's series, by index.
    pub series: BTreeMap<u64, Series>,
    /// Every receipt and every page of a window before this one has been read.
    pub known_until: u64,
    pub seats: Vec<Seat>,
    pub markets: Vec<MarketSnapshot>,
    /// Exposures of vaults to the model.
    pub exposures: Vec<Exposure>,
    pub policies: Vec<Policy>,
    /// The oracle's counts that are ready to submit, by window.
    pub submissions: BTreeMap<u64, Submission>,
}

impl ModelSnapshot {
    /// A model without the accounts that belong to it. Without a `min_reward`, it is a part of the
    /// model's smallest bond.
    pub fn new(address: Address, account: Model, min_reward: Option<u64>) -> Self {
        let min_reward = min_reward.unwrap_or(account.min_bond / BOND_PER_MIN_REWARD);
        Self {
            address,
            account,
            min_reward,
            receipts: BTreeMap::new(),
            series: BTreeMap::new(),
            known_until: 0,
            seats: vec![],
            markets: vec![],
            exposures: vec![],
            policies: vec![],
            submissions: BTreeMap::new(),
        }
    }

    /// The entry of `window`, as of the latest read of its page.
    pub fn entry(&self, window: u64) -> Entry {
        entry_in(self.series.get(&Series::page_of(window)), window)
    }

    /// Windows for which `oracle` can submit counts at `now` and has not submitted any: those that
    /// began after it was listed. Empty if the oracle's seat does not count.
    pub fn windows_to_submit(&self, oracle: &Address, now: i64) -> Vec<u64> {
        let model = &self.account;
        let index = model.oracle_index(oracle);
        let Some(index) = index.filter(|&index| model.seat_counts(index)) else {
            return vec![];
        };
        let end = ended_windows(model, now).min(self.known_until);
        (first_open_window(model, now)..end)
            .filter(|&window| model.require_listed(index, window).is_ok())
            .filter(|window| match self.receipts.get(window) {
                Some(receipt) => {
                    receipt.state == ReceiptState::Collecting && !receipt.has_submitted(index)
                }
                None => model.takes_receipts() && self.entry(*window) == Entry::None,
            })
            .collect()
    }
}

/// A market, with its positions if it is settled.
pub struct MarketSnapshot {
    pub address: Address,
    pub account: Market,
    pub positions: Vec<Position>,
}

/// A vault with its withdrawal requests.
pub struct VaultSnapshot {
    pub address: Address,
    pub account: Vault,
    pub requests: Vec<WithdrawRequest>,
    /// Supply of the vault's shares. `None` if [`Self::has_obligations`] is true, because they
    /// are not read then.
    pub circulating_shares: Option<u64>,
}

impl VaultSnapshot {
    /// Whether the vault has open policies or withdrawal requests. Both keep it open, whatever its
    /// circulating shares.
    pub fn has_obligations(&self) -> bool {
        self.account.requests != 0 || self.account.policies != 0
    }
}

/// The oracle's counts of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// SHA-256 of the evidence document.
    pub evidence_hash: [u8; 32],
    pub evidence_uri: String,
}
