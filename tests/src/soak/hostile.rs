//! Every privileged key is stolen, but for the upgrade authority's, and does its worst: the admin's,
//! the guardian's, the arbiter's, those of owners, creators and managers, and of as many oracles of a
//! model as are no quorum. Two accomplices bet, buy cover and provide capital as anybody may.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{
    Address, Aggregate, ChallengePayee, CollateralTerms, ConfigParams, FeePayee, ListingTerms,
    MarketTerms, Metric, PolicyTerms, PremiumPayee, TokenProgram, VaultTerms, address,
};
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::{
    books::{Amount, BPS, Books, DAY, Policy, State},
    call::Call,
    choose::Chooser,
    leave::{self, Holding, Payouts},
    prelude,
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
            .or_else(|| self.of_policies(&driver.books, name))
    }

    fn of_roles(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        let books = &driver.books;
        let config = books.config.as_ref()?;
        let (admin, guardian) = (config.admin, config.guardian);
        let mint = self.pick(books.collaterals.keys().copied())?;
        Some(match name {
            "initialize" => Call::Initialize {
                who: admin,
                params: worst_params(),
            },
            "update_config" => Call::UpdateConfig {
                who: admin,
                guardian: self.tool,
                arbiter: self.tool,
                params: worst_params(),
            },
            "propose_admin" => Call::ProposeAdmin {
                who: admin,
                to: self.tool,
            },
            "accept_admin" => Call::AcceptAdmin {
                who: config.pending_admin.unwrap_or(self.tool),
            },
            "set_pause" => Call::SetPause {
                who: if self.chance(50) { guardian } else { admin },
                flags: 63,
            },
            "register_collateral" => Call::RegisterCollateral {
                who: admin,
                mint: driver.cast.tokens[2].mint,
                program: TokenProgram::SplToken,
                terms: worst_collateral(),
                accepts_freeze: true,
            },
            "update_collateral" => Call::UpdateCollateral {
                who: admin,
                mint,
                terms: worst_collateral(),
                enabled: self.chance(30),
            },
            "withdraw_treasury" => Call::WithdrawTreasury {
                who: admin,
                mint,
                destination: books.own_account(&admin, &mint),
                amount: books.tokens[&books.collaterals[&mint].treasury].amount as u64,
            },
            _ => return None,
        })
    }

    fn of_models(&mut self, books: &Books, name: &str) -> Option<Call> {
        let own = self.own_model;
        let others = books.models.iter().filter(|(at, _)| Some(**at) != own);
        let (at, model) = self.pick(others)?;
        Some(match name {
            "register_model" => return Some(self.register_model(books, model.mint)),
            "update_model" => Call::UpdateModel {
                who: model.owner,
                model: *at,
                terms: prelude::model_terms(vec![self.tool]),
            },
            "retire_model" => Call::RetireModel {
                who: model.owner,
                model: *at,
            },
            "bond" => {
                let (model, who) = self.pick(self.seats(books))?;
                let mint = books.models[&model].mint;
                Call::Bond {
                    who,
                    model,
                    source: books.own_account(&who, &mint),
                    amount: books.models[&model].min_bond as u64,
                }
            }
            "request_unbond" => {
                let (model, who) = self.pick(self.seats(books))?;
                let seat = books.seats.get(&address::seat(&model, &who));
                Call::RequestUnbond {
                    who,
                    model,
                    amount: seat.map_or(1, |seat| seat.active().max(1)) as u64,
                }
            }
            "withdraw_bond" => {
                let seat = self.pick(books.seats.values())?;
                let mint = books.models[&seat.model].mint;
                let (destination, signed) = self.divert(books, &seat.oracle, &mint);
                Call::WithdrawBond {
                    oracle: seat.oracle,
                    model: seat.model,
                    destination,
                    signed,
                }
            }
            "close_seat" => {
                let seat = self.pick(books.seats.values())?;
                Call::CloseSeat {
                    oracle: seat.oracle,
                    model: seat.model,
                }
            }
            _ => return None,
        })
    }

    /// A model of their own, which one of them measures.
    pub fn register_model(&self, books: &Books, mint: Address) -> Call {
        let owners: Vec<Address> = books.models.values().map(|model| model.owner).collect();
        Call::RegisterModel {
            who: owners[0],
            id: ID,
            mint,
            spec: prelude::spec(Metric::ErrorRate, books.now + 60, HOUR),
            terms: prelude::model_terms(vec![self.tool]),
        }
    }

    fn of_receipts(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        let books = &driver.books;
        let receipt = self.pick(books.receipts.values());
        Some(match name {
            "submit_receipt" => return self.lie(driver),
            "challenge_receipt" => {
                let proposed = books.receipts.values();
                let proposed = proposed.filter(|receipt| receipt.state == State::Proposed);
                let receipt = self.pick(proposed).or(receipt)?;
                let mint = books.models[&receipt.model].mint;
                Call::ChallengeReceipt {
                    who: self.accomplice,
                    model: receipt.model,
                    window: receipt.window,
                    source: books.own_account(&self.accomplice, &mint),
                }
            }
            "rule_receipt" => return self.rule(driver),
            "finalize_receipt" => Call::FinalizeReceipt {
                model: receipt?.model,
                window: receipt?.window,
            },
            "collect_challenge" => {
                let challenged = books.receipts.values();
                let challenged = challenged.filter(|receipt| receipt.challenger.is_some());
                let receipt = self.pick(challenged).or(receipt)?;
                let mint = books.models[&receipt.model].mint;
                let challenger = receipt.challenger.unwrap_or_default();
                let (destination, signed) = self.divert(books, &challenger, &mint);
                Call::CollectChallenge {
                    model: receipt.model,
                    window: receipt.window,
                    payee: ChallengePayee::Challenger,
                    destination,
                    signed,
                }
            }
            "close_receipt" => Call::CloseReceipt {
                model: receipt?.model,
                window: receipt?.window,
            },
            _ => return None,
        })
    }

    /// A stolen oracle tells a drift that is none, where others tell the truth.
    fn lie(&mut self, driver: &Driver) -> Option<Call> {
        let books = &driver.books;
        let seats = self.seats(books).into_iter();
        let open = seats.filter(|(at, _)| self.is_measured(books, at));
        let open: Vec<(Address, Address)> = open.collect();
        let (at, who) = self.pick(open)?;
        let model = &books.models[&at];
        let running = ((books.now - model.genesis).max(0) / model.window_secs) as u64;
        Some(self.submission(driver, who, at, running.saturating_sub(1), 600_000))
    }

    pub fn submission(
        &mut self,
        driver: &Driver,
        who: Address,
        model: Address,
        window: u64,
        value: u64,
    ) -> Call {
        let state = &driver.books.models[&model];
        Call::SubmitReceipt {
            who,
            model,
            window,
            counts: Chooser::new(driver, &mut self.dice).counts(state, value),
            evidence: [9; 32],
            uri: "https://evidence.example/9".into(),
        }
    }

    /// The arbiter's key rules: on what is in dispute, or where it may not.
    fn rule(&mut self, driver: &Driver) -> Option<Call> {
        let books = &driver.books;
        let receipts = books.receipts.values();
        let rules = self.rules;
        let receipts = receipts.filter(|receipt| rules || receipt.is_settled());
        let disputed = receipts
            .clone()
            .filter(|receipt| receipt.state == State::Challenged);
        let receipt = self.pick(disputed).or_else(|| self.pick(receipts))?;
        let model = &books.models[&receipt.model];
        let submitters = receipt.submissions.keys();
        let oracles = submitters.filter_map(|&place| model.oracles.get(place));
        let seats = oracles.map(|oracle| address::seat(&receipt.model, oracle));
        Some(Call::RuleReceipt {
            who: model.arbiter,
            model: receipt.model,
            window: receipt.window,
            seats: seats.collect(),
            counts: Chooser::new(driver, &mut self.dice).counts(model, 900_000),
        })
    }

    fn of_markets(&mut self, books: &Books, name: &str) -> Option<Call> {
        let market = self.pick(books.markets.iter());
        let position = self.pick(books.positions.values());
        Some(match name {
            "create_market" => return self.create_market(books),
            "cancel_market" => Call::CancelMarket {
                market: *market?.0,
                signed: true,
            },
            "place_bet" => {
                // Of anybody's market a bet changes the odds: only of those of their own.
                let own = books.markets.iter().filter(|(_, market)| market.id == ID);
                let (at, market) = self.pick(own)?;
                let mint = market.mint;
                Call::PlaceBet {
                    who: self.accomplice,
                    market: *at,
                    source: books.own_account(&self.accomplice, &mint),
                    outcome: self.dice.random_range(0..2),
                    amount: books.collaterals[&mint].terms.min_bet,
                    min_multiple: 0,
                    stale: false,
                }
            }
            "settle_market" => {
                let (at, market) = market?;
                let first = market.next_window + u64::from(self.chance(30));
                Call::SettleMarket {
                    market: *at,
                    receipts: vec![address::receipt(&market.model, first)],
                }
            }
            "claim" => {
                let position = position?;
                let mint = books.markets[&position.market].mint;
                let (destination, signed) = self.divert(books, &position.owner, &mint);
                Call::Claim {
                    market: position.market,
                    owner: position.owner,
                    destination,
                    signed,
                }
            }
            "collect_fees" => {
                let (at, market) = market?;
                if self.chance(50) {
                    let destination = self.treasury_or_own(books, &market.mint);
                    return Some(Call::CollectFees {
                        market: *at,
                        payee: FeePayee::Treasury,
                        destination,
                        signed: false,
                    });
                }
                Call::CollectFees {
                    market: *at,
                    payee: FeePayee::Creator,
                    destination: books.own_account(&market.creator, &market.mint),
                    signed: true,
                }
            }
            "close_market" => Call::CloseMarket { market: *market?.0 },
            _ => return None,
        })
    }

    /// With fees as high as they may be.
    fn create_market(&mut self, books: &Books) -> Option<Call> {
        let active = books.models.iter().filter(|(_, model)| !model.is_retired);
        let (at, model) = self.pick(active)?;
        let creators = books.markets.values().map(|market| market.creator);
        let creators: Vec<Address> = creators.chain([self.tool]).collect();
        let first_window = model.window_from(books.now + 600);
        let fee = books.config.as_ref()?.params.protocol_fee_bps;
        Some(Call::CreateMarket {
            who: creators[0],
            id: ID,
            model: *at,
            terms: MarketTerms {
                model_version: model.version,
                thresholds: vec![model.noise_floor],
                aggregate: Aggregate::Max,
                first_window,
                last_window: first_window,
                close_ts: model.window_start(first_window).ok()?,
                creator_fee_bps: 2_000u16.saturating_sub(fee),
                question: "Whose is it?".into(),
            },
        })
    }

    fn of_vaults(&mut self, books: &Books, name: &str) -> Option<Call> {
        let (at, vault) = self.pick(books.vaults.iter())?;
        let own = books.own_account(&self.accomplice, &vault.mint);
        let shares = books.share_account(&self.accomplice, at);
        let held = books.tokens.get(&shares).map_or(0, |tokens| tokens.amount);
        Some(match name {
            "create_vault" => Call::CreateVault {
                who: vault.manager,
                id: ID,
                mint: vault.mint,
                cooldown_secs: prelude::COOLDOWN,
                manager_fee_bps: 2_000u16
                    .saturating_sub(books.config.as_ref()?.params.premium_fee_bps),
                terms: worst_terms(),
            },
            "update_vault" => Call::UpdateVault {
                who: vault.manager,
                vault: *at,
                terms: worst_terms(),
            },
            "list_model" => {
                let fitting = books.models.iter();
                let fitting =
                    fitting.filter(|(_, model)| model.mint == vault.mint && !model.is_retired);
                let (model, _) = self.pick(fitting)?;
                listing(books, at, model)
            }
            "deposit" => {
                // Whoever provides capital shares in the premiums that stream: only where nobody else does.
                let abandoned = books
                    .vaults
                    .iter()
                    .filter(|(at, _)| self.has_alone(books, at));
                let (at, vault) = self.pick(abandoned.collect::<Vec<_>>())?;
                let wealth = books.tokens[&books.own_account(&self.accomplice, &vault.mint)].amount;
                Call::Deposit {
                    who: self.accomplice,
                    vault: *at,
                    source: books.own_account(&self.accomplice, &vault.mint),
                    destination: books.share_account(&self.accomplice, at),
                    amount: (wealth / 100) as u64,
                    min_shares: 0,
                }
            }
            "request_withdraw" => Call::RequestWithdraw {
                who: self.accomplice,
                vault: *at,
                source: shares,
                shares: (held / 2).max(1) as u64,
            },
            "cancel_withdraw" => Call::CancelWithdraw {
                who: self.accomplice,
                vault: *at,
                destination: shares,
            },
            "withdraw" => {
                let request = self.pick(books.requests.values())?;
                let mint = books.vaults[&request.vault].mint;
                let (destination, signed) = self.divert(books, &request.owner, &mint);
                Call::Withdraw {
                    owner: request.owner,
                    vault: request.vault,
                    destination,
                    signed,
                }
            }
            "collect_manager_fees" => {
                if self.chance(50) {
                    let destination = self.treasury_or_own(books, &vault.mint);
                    return Some(Call::CollectManagerFees {
                        vault: *at,
                        payee: PremiumPayee::Treasury,
                        destination,
                        signed: false,
                    });
                }
                Call::CollectManagerFees {
                    vault: *at,
                    payee: PremiumPayee::Manager,
                    destination: own,
                    signed: true,
                }
            }
            "close_exposure" => {
                let exposure = self.pick(books.exposures.values())?;
                Call::CloseExposure {
                    vault: exposure.vault,
                    model: exposure.model,
                }
            }
            "close_vault" => Call::CloseVault {
                vault: *at,
                signed: true,
            },
            _ => return None,
        })
    }

    fn of_policies(&mut self, books: &Books, name: &str) -> Option<Call> {
        let policy = self.pick(books.policies.iter());
        let accomplice = self.accomplice;
        Some(match name {
            "buy_policy" => {
                let exposure = self.pick(books.exposures.values())?;
                return self.buy(books, &exposure.vault, &exposure.model);
            }
            "claim_policy" => {
                let (at, policy) = policy?;
                let mint = books.vaults[&policy.vault].mint;
                let (destination, signed) = self.divert(books, &policy.holder, &mint);
                let length = u64::from(policy.terms.persistence);
                let first = self
                    .dice
                    .random_range(policy.first_window..=policy.last_window);
                let windows = first..first + length;
                Call::ClaimPolicy {
                    policy: *at,
                    receipts: windows
                        .map(|window| address::receipt(&policy.model, window))
                        .collect(),
                    destination,
                    signed,
                }
            }
            "cancel_policy" => {
                let own = books.policies.iter();
                let own = own.filter(|(_, policy)| policy.holder == accomplice);
                let (at, policy) = self.pick(own)?;
                let mint = books.vaults[&policy.vault].mint;
                Call::CancelPolicy {
                    policy: *at,
                    destination: books.own_account(&accomplice, &mint),
                }
            }
            "renew_policy" => {
                let (at, policy) = policy?;
                let mint = books.vaults[&policy.vault].mint;
                Call::RenewPolicy {
                    policy: *at,
                    source: books.own_account(&policy.holder, &mint),
                    signed: policy.holder == accomplice,
                }
            }
            "expire_policy" => Call::ExpirePolicy { policy: *policy?.0 },
            _ => return None,
        })
    }

    /// As much cover as there is to buy on a listing, by an accomplice.
    pub fn buy(&mut self, books: &Books, vault_at: &Address, model_at: &Address) -> Option<Call> {
        let exposure = books
            .exposures
            .get(&address::exposure(vault_at, model_at))?;
        let (vault, model) = (&books.vaults[vault_at], &books.models[model_at]);
        let latest = model.latest.map_or(0, |(_, value)| value);
        let trigger = exposure
            .lowest_trigger
            .max(model.noise_floor)
            .max(model.statistics().last.max(latest) + 1);
        let sold = books.policies_of(vault_at, Some(model_at));
        let sold: Amount = sold.map(Policy::open_cover).sum();
        let bearable = vault.assets * Amount::from(vault.terms.max_utilisation_bps) / BPS;
        let secured = model.security() * Amount::from(model.periods.security_multiple);
        let cover = bearable
            .saturating_sub(books.locked(vault_at))
            .min(exposure.cap.saturating_sub(sold))
            .min(secured.saturating_sub(books.at_risk(model_at)));
        Some(Call::BuyPolicy {
            who: self.accomplice,
            id: self.dice.random(),
            vault: *vault_at,
            model: *model_at,
            source: books.own_account(&self.accomplice, &vault.mint),
            terms: PolicyTerms {
                model_version: model.version,
                cover: cover.max(1) as u64,
                trigger,
                exhaustion: trigger,
                persistence: 1,
                first_window: model.window_from(books.now + vault.waiting_secs),
                windows: 2,
                max_premium: u64::MAX,
                auto_renew: true,
            },
        })
    }
}

/// A listing that lets as much risk in as may be.
pub fn listing(books: &Books, vault: &Address, model: &Address) -> Call {
    Call::ListModel {
        who: books.vaults[vault].manager,
        vault: *vault,
        model: *model,
        terms: ListingTerms {
            model_version: books.models[model].version,
            cap: u64::MAX,
            lowest_trigger: books.models[model].noise_floor,
        },
    }
}

/// As short, as dear and as insecure as may be.
fn worst_params() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        unbond_secs: 400 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 1,
        bucket_secs: 1,
        min_window_secs: 1,
        security_multiple: u32::MAX,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
        ..prelude::params()
    }
}

fn worst_collateral() -> CollateralTerms {
    CollateralTerms {
        min_bet: 1,
        min_bond: u64::MAX,
        slash_amount: u64::MAX,
        challenge_bond: u64::MAX,
    }
}

/// Cover for next to nothing, on all of the capital, that gives nothing back.
fn worst_terms() -> VaultTerms {
    VaultTerms {
        base_bps: 0,
        slope1_bps: 0,
        slope2_bps: 0,
        risk_slope_bps: 0,
        cancel_fee_bps: 10_000,
        ..prelude::vault_terms(10_000)
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
