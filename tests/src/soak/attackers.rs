//! Every privileged key is stolen, but for the upgrade authority's, and does its worst: the admin's,
//! the guardian's, the arbiter's, those of owners, creators and managers, and of as many oracles of a
//! model as are no quorum. Two accomplices bet, buy cover and provide capital as anybody may.

mod markets;
mod models;
mod roles;
mod vaults;

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, address};
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

pub use vaults::listing;

use super::{
    books::Books,
    call::Call,
    leave::{self, Holding, Payouts},
    run::{Checked, Driver},
};

/// The id of what thieves make.
pub const ID: u64 = 90;
const HOUR: i64 = 60 * 60;

/// All that thieves try, by instruction.
const TRICKS: [&str; 43] = [
    "initialize",
    "update_config",
    "propose_admin",
    "accept_admin",
    "set_pause",
    "register_collateral",
    "update_collateral",
    "withdraw_treasury",
    "register_model",
    "update_model",
    "retire_model",
    "bond",
    "request_unbond",
    "withdraw_bond",
    "close_seat",
    "submit_receipt",
    "challenge_receipt",
    "rule_receipt",
    "finalize_receipt",
    "collect_challenge",
    "close_receipt",
    "create_market",
    "cancel_market",
    "place_bet",
    "settle_market",
    "claim",
    "collect_fees",
    "close_market",
    "create_vault",
    "update_vault",
    "list_model",
    "deposit",
    "request_withdraw",
    "cancel_withdraw",
    "withdraw",
    "collect_manager_fees",
    "close_exposure",
    "close_vault",
    "buy_policy",
    "claim_policy",
    "cancel_policy",
    "renew_policy",
    "expire_policy",
];

/// Cover that was sold to an accomplice, or renewed by one.
#[derive(Clone, Debug)]
pub struct Sale {
    pub vault: Address,
    pub model: Address,
    pub policy: Address,
    pub at: i64,
    /// Whether the listing was made, or loosened, with a stolen key.
    pub is_theirs: bool,
}

pub struct Thieves {
    dice: StdRng,
    /// When the keys were stolen.
    since: i64,
    /// Everybody who acts with them.
    pub keys: BTreeSet<Address>,
    /// Buys and bets, but never measures.
    pub accomplice: Address,
    /// Measures models that thieves make.
    pub tool: Address,
    /// Oracles that tell the truth, by model; all others are stolen.
    pub honest: BTreeMap<Address, Vec<Address>>,
    /// Whether the arbiter's key rules on what is in dispute.
    pub rules: bool,
    /// A model of their own, which they let alone.
    pub own_model: Option<Address>,
    left: Vec<&'static str>,
    /// How often each was tried and succeeded.
    pub tried: BTreeMap<&'static str, (u64, u64)>,
    /// Models on which a receipt was ruled on.
    pub ruled: BTreeSet<Address>,
    pub sales: Vec<Sale>,
}

impl Thieves {
    pub fn new(driver: &Driver, seed: u64, rules: bool) -> Self {
        let strangers = driver.cast.of("stranger");
        let books = &driver.books;
        let honest = books.models.iter().map(|(at, model)| {
            let counting = model.oracles.iter().filter(|oracle| model.counts(oracle));
            (*at, counting.take(model.quorum).copied().collect())
        });
        let honest: BTreeMap<Address, Vec<Address>> = honest.collect();
        let config = books.config.as_ref().expect("is set up");
        let mut keys: BTreeSet<Address> = strangers.iter().copied().collect();
        keys.extend([config.admin, config.guardian, config.arbiter]);
        for role in [
            "admin", "guardian", "arbiter", "owner", "creator", "manager",
        ] {
            keys.extend(driver.cast.of(role));
        }
        keys.extend(books.models.values().map(|model| model.owner));
        keys.extend(books.markets.values().map(|market| market.creator));
        keys.extend(books.vaults.values().map(|vault| vault.manager));
        keys.extend(driver.cast.of("oracle"));
        Self {
            dice: StdRng::seed_from_u64(seed),
            since: books.now,
            keys,
            accomplice: strangers[0],
            tool: strangers[1],
            honest,
            rules,
            own_model: None,
            left: vec![],
            tried: BTreeMap::new(),
            ruled: BTreeSet::new(),
            sales: vec![],
        }
    }

    /// So many more of their tricks, each in its turn.
    pub fn strike(&mut self, driver: &mut Driver, tricks: usize, paid: &mut Payouts) -> Checked {
        for _ in 0..tricks {
            if self.left.is_empty() {
                self.left = TRICKS.to_vec();
                self.left.shuffle(&mut self.dice);
            }
            let name = self.left.pop().expect("tricks");
            if let Some(call) = self.trick(driver, name) {
                self.carry_out(driver, call, paid)?;
            }
        }
        Ok(())
    }

    /// One call of theirs.
    pub fn carry_out(
        &mut self,
        driver: &mut Driver,
        call: Call,
        paid: &mut Payouts,
    ) -> Checked<bool> {
        let name = call.name();
        let name = TRICKS.iter().find(|trick| **trick == name);
        let name = *name.expect("a trick");
        let succeeded = leave::carry_out(driver, call.clone(), paid)?;
        let tried = self.tried.entry(name).or_default();
        tried.0 += 1;
        tried.1 += u64::from(succeeded);
        if !succeeded {
            return Ok(false);
        }
        let sold = match call {
            Call::RuleReceipt { model, .. } => {
                self.ruled.insert(model);
                None
            }
            Call::BuyPolicy { vault, who, id, .. } => Some(address::policy(&vault, &who, id)),
            Call::RenewPolicy { policy, .. } => Some(policy),
            _ => None,
        };
        if let Some(at) = sold {
            let books = &driver.books;
            let policy = &books.policies[&at];
            let exposure = &books.exposures[&address::exposure(&policy.vault, &policy.model)];
            self.sales.push(Sale {
                vault: policy.vault,
                model: policy.model,
                policy: at,
                at: books.now,
                is_theirs: self.since < exposure.active_at,
            });
        }
        Ok(true)
    }

    /// Whether a holding may be paid less for what they did: it depends on a receipt that the arbiter's key
    /// ruled on, or they bought cover as anybody could.
    pub fn may_lower(&self, before: &Books, holding: &Holding) -> bool {
        let models = models_of(before, holding);
        let ruled = models.iter().any(|model| self.ruled.contains(model));
        let sold = |vault: &Address| {
            let mut sales = self.sales.iter();
            sales.any(|sale| sale.vault == *vault && !sale.is_theirs)
        };
        ruled
            || match holding {
                Holding::Shares(vault, _) => sold(vault),
                _ => false,
            }
    }

    // Choices.

    fn pick<T: Clone>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.into_iter().collect();
        all.choose(&mut self.dice).cloned()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_ratio(percent, 100)
    }

    /// Where a payout goes: mostly to a thief, who signs if the payee's key is stolen.
    fn divert(&mut self, books: &Books, payee: &Address, mint: &Address) -> (Address, bool) {
        let thief = if self.chance(70) {
            self.accomplice
        } else {
            *payee
        };
        let at = books.own_account(&thief, mint);
        (at, self.keys.contains(payee) && !self.is_honest(payee))
    }

    fn is_honest(&self, who: &Address) -> bool {
        self.honest.values().any(|oracles| oracles.contains(who))
    }

    fn treasury_or_own(&mut self, books: &Books, mint: &Address) -> Address {
        if self.chance(50) {
            books.collaterals[mint].treasury
        } else {
            books.own_account(&self.accomplice, mint)
        }
    }

    /// Stolen seats of a model's: model, oracle.
    fn seats(&self, books: &Books) -> Vec<(Address, Address)> {
        let listed = books
            .models
            .iter()
            .flat_map(|(at, model)| model.oracles.iter().map(|oracle| (*at, *oracle)));
        let stolen = listed.filter(|(at, oracle)| {
            if Some(*at) == self.own_model {
                return false;
            }
            let honest = self.honest.get(at);
            honest.is_none_or(|honest| !honest.contains(oracle))
        });
        stolen.collect()
    }

    /// Whether nobody but an accomplice has shares of a vault.
    fn has_alone(&self, books: &Books, vault: &Address) -> bool {
        let is_others = |holding: &Holding| match holding {
            Holding::Shares(of, owner) => of == vault && *owner != self.accomplice,
            _ => false,
        };
        !leave::holdings(books).iter().any(is_others)
    }

    /// Whether as many oracles tell the truth as make a quorum.
    fn is_measured(&self, books: &Books, model: &Address) -> bool {
        let honest = self.honest.get(model);
        honest.is_none_or(|honest| honest.len() == books.models[model].quorum)
    }

    // Tricks.

    fn trick(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        self.of_roles(driver, name)
            .or_else(|| self.of_models(&driver.books, name))
            .or_else(|| self.of_receipts(driver, name))
            .or_else(|| self.of_markets(&driver.books, name))
            .or_else(|| self.of_vaults(&driver.books, name))
            .or_else(|| self.of_shares(&driver.books, name))
            .or_else(|| self.of_policies(&driver.books, name))
    }
}

/// The models that a holding depends on.
fn models_of(books: &Books, holding: &Holding) -> BTreeSet<Address> {
    let of_vault = |vault: &Address| {
        let exposures = books.exposures.values();
        let listed = exposures.filter(|exposure| exposure.vault == *vault);
        listed.map(|exposure| exposure.model).collect()
    };
    match holding {
        Holding::Position(at) => [books.markets[&books.positions[at].market].model].into(),
        Holding::CreatorFee(at) => [books.markets[at].model].into(),
        Holding::Policy(at) => [books.policies[at].model].into(),
        Holding::Bond(model, _) => [*model].into(),
        Holding::Challenge(at) => [books.receipts[at].model].into(),
        Holding::Shares(vault, _) | Holding::ManagerFee(vault) => of_vault(vault),
    }
}
