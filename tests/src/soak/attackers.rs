//! Attackers with every privileged key except the upgrade authority's: those of the admin, the guardian,
//! the arbiter, all owners, creators and managers, and, of each model, all oracles but an honest quorum.
//! Two accomplices bet, buy cover and provide capital, as anybody may.

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
    driver::Driver,
    step::Checked,
    wind_down::{self, Holding, Payouts},
};

/// The id of models, markets and vaults that attackers create.
pub const ID: u64 = 90;

/// All attacks, named after their instructions.
const ATTACKS: [&str; 55] = [
    "initialize",
    "update_config",
    "propose_admin",
    "accept_admin",
    "propose_arbiter",
    "accept_arbiter",
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
    "leave_seat",
    "sync_seat",
    "replace_oracle",
    "fund_oracles",
    "collect_reward",
    "submit_receipt",
    "challenge_receipt",
    "rule_receipt",
    "return_slashes",
    "finalize_receipt",
    "collect_challenge",
    "close_series",
    "create_market",
    "cancel_market",
    "place_bet",
    "set_ask",
    "buy_position",
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
    "begin_policy",
    "examine_policy",
];

/// A purchase or a renewal of cover by the attackers.
#[derive(Clone, Debug)]
pub struct Sale {
    pub vault: Address,
    pub model: Address,
    pub policy: Address,
    pub at: i64,
    /// Whether the listing was created or loosened with a stolen key.
    pub on_stolen_listing: bool,
}

pub struct Attackers {
    rng: StdRng,
    /// When the keys were stolen.
    since: i64,
    /// The owners of stolen keys, and the accomplices.
    pub keys: BTreeSet<Address>,
    /// The accomplice who bets, buys cover and provides capital.
    pub accomplice: Address,
    /// The accomplice who is the oracle of models that the attackers register.
    pub puppet_oracle: Address,
    /// The honest oracles of each model. The keys of all other oracles are stolen.
    pub honest: BTreeMap<Address, Vec<Address>>,
    /// Whether the arbiter's key rules on disputed receipts.
    pub arbiter_rules: bool,
    /// A model that the attackers have registered, and do not attack.
    pub own_model: Option<Address>,
    /// Attacks that are left of the current round.
    remaining: Vec<&'static str>,
    /// By attack, how often it was tried, and how often it succeeded.
    pub attempts: BTreeMap<&'static str, (u64, u64)>,
    /// Models with a receipt on which the arbiter's key has ruled.
    pub ruled_models: BTreeSet<Address>,
    /// Receipts whose slashes the admin's key has returned.
    returned_receipts: BTreeSet<Address>,
    pub sales: Vec<Sale>,
}

impl Attackers {
    pub fn new(driver: &Driver, seed: u64, arbiter_rules: bool) -> Self {
        let strangers = driver.actors.with_role("stranger");
        let books = &driver.books;
        let honest = books.models.iter().map(|(at, model)| {
            let counting = model.oracles.iter().filter(|oracle| model.counts(oracle));
            (*at, counting.take(model.quorum).copied().collect())
        });
        let honest: BTreeMap<Address, Vec<Address>> = honest.collect();
        let config = books.config.as_ref().expect("initialized");
        let mut keys: BTreeSet<Address> = strangers.iter().copied().collect();
        keys.extend([config.admin, config.guardian, config.arbiter]);
        for role in [
            "admin", "guardian", "arbiter", "owner", "creator", "manager",
        ] {
            keys.extend(driver.actors.with_role(role));
        }
        keys.extend(books.models.values().map(|model| model.owner));
        keys.extend(books.markets.values().map(|market| market.creator));
        keys.extend(books.vaults.values().map(|vault| vault.manager));
        keys.extend(driver.actors.with_role("oracle"));
        Self {
            rng: StdRng::seed_from_u64(seed),
            since: books.now,
            keys,
            accomplice: strangers[0],
            puppet_oracle: strangers[1],
            honest,
            arbiter_rules,
            own_model: None,
            remaining: vec![],
            attempts: BTreeMap::new(),
            ruled_models: BTreeSet::new(),
            returned_receipts: BTreeSet::new(),
            sales: vec![],
        }
    }

    /// Runs `count` more attacks. Each kind runs once in every round, in random order.
    pub fn attack(&mut self, driver: &mut Driver, count: usize, paid: &mut Payouts) -> Checked {
        for _ in 0..count {
            if self.remaining.is_empty() {
                self.remaining = ATTACKS.to_vec();
                self.remaining.shuffle(&mut self.rng);
            }
            let name = self.remaining.pop().expect("attacks");
            if let Some(call) = self.attack_call(driver, name) {
                self.execute(driver, call, paid)?;
            }
        }
        Ok(())
    }

    /// Runs a call of the attackers, and records it.
    pub fn execute(
        &mut self,
        driver: &mut Driver,
        call: Call,
        paid: &mut Payouts,
    ) -> Checked<bool> {
        let name = call.name();
        let name = ATTACKS.iter().find(|attack| **attack == name);
        let name = *name.expect("an attack");
        let succeeded = wind_down::execute(driver, call.clone(), paid)?;
        let attempts = self.attempts.entry(name).or_default();
        attempts.0 += 1;
        attempts.1 += u64::from(succeeded);
        if !succeeded {
            return Ok(false);
        }
        let sold = match call {
            Call::RuleReceipt { model, .. } => {
                self.ruled_models.insert(model);
                None
            }
            Call::ReturnSlashes { model, window, .. } => {
                self.returned_receipts
                    .insert(address::receipt(&model, window));
                None
            }
            Call::BuyPolicy {
                vault, signer, id, ..
            } => Some(address::policy(&vault, &signer, id)),
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
                on_stolen_listing: self.since < exposure.active_at,
            });
        }
        Ok(true)
    }

    /// Whether the attackers may have lowered the payout of a holding: the arbiter's key ruled on a receipt
    /// of a model that the holding depends on, the holding is shares of a vault that sold the attackers
    /// cover on an honest listing, a challenger's reward of which the admin's key returned the slashes, or
    /// the bond of an oracle whose key is stolen: with it, the attackers are silent.
    pub fn may_lower(&self, before: &Books, holding: &Holding) -> bool {
        let models = models_of(before, holding);
        let ruled = models.iter().any(|model| self.ruled_models.contains(model));
        let sold = |vault: &Address| {
            let mut sales = self.sales.iter();
            sales.any(|sale| sale.vault == *vault && !sale.on_stolen_listing)
        };
        ruled
            || match holding {
                Holding::Shares(vault, _) => sold(vault),
                Holding::Challenge(receipt) => self.returned_receipts.contains(receipt),
                Holding::Bond(model, oracle) => !self.honest[model].contains(oracle),
                _ => false,
            }
    }

    // Random choices.

    fn pick<T: Clone>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.into_iter().collect();
        all.choose(&mut self.rng).cloned()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// The account that a payout goes to, usually an accomplice's, and whether the payee signs, which
    /// requires a stolen key.
    fn divert(&mut self, books: &Books, payee: &Address, mint: &Address) -> (Address, bool) {
        let recipient = if self.chance(70) {
            self.accomplice
        } else {
            *payee
        };
        let at = books.own_account(&recipient, mint);
        (at, self.keys.contains(payee) && !self.is_honest(payee))
    }

    fn is_honest(&self, actor: &Address) -> bool {
        self.honest.values().any(|oracles| oracles.contains(actor))
    }

    fn treasury_or_own(&mut self, books: &Books, mint: &Address) -> Address {
        if self.chance(50) {
            books.collaterals[mint].treasury
        } else {
            books.own_account(&self.accomplice, mint)
        }
    }

    /// Model and address of every listed oracle whose key is stolen, except on the attackers' own model.
    fn stolen_seats(&self, books: &Books) -> Vec<(Address, Address)> {
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

    /// Whether nobody but the accomplice has shares of a vault.
    fn is_sole_provider(&self, books: &Books, vault: &Address) -> bool {
        let is_others = |holding: &Holding| match holding {
            Holding::Shares(shares_of, owner) => shares_of == vault && *owner != self.accomplice,
            _ => false,
        };
        !wind_down::holdings(books).iter().any(is_others)
    }

    /// Whether the honest oracles of a model are a quorum. True for models registered after the theft.
    fn has_honest_quorum(&self, books: &Books, model: &Address) -> bool {
        let honest = self.honest.get(model);
        honest.is_none_or(|honest| honest.len() == books.models[model].quorum)
    }

    // Attacks.

    /// The call of an attack; `None` if the state has no account for it.
    fn attack_call(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        self.role_attack(driver, name)
            .or_else(|| self.model_attack(&driver.books, name))
            .or_else(|| self.receipt_attack(driver, name))
            .or_else(|| self.market_attack(&driver.books, name))
            .or_else(|| self.vault_attack(&driver.books, name))
            .or_else(|| self.share_attack(&driver.books, name))
            .or_else(|| self.policy_attack(&driver.books, name))
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
        Holding::Bond(model, _) | Holding::Reward(model, _) => [*model].into(),
        Holding::Challenge(at) => [books.receipts[at].model].into(),
        Holding::Shares(vault, _) | Holding::ManagerFee(vault) => of_vault(vault),
    }
}
