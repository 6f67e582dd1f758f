//! What a manager's key can do, and an accomplice who provides capital and buys cover.

use driftshield_sdk::{Address, ListingTerms, PolicyTerms, PremiumPayee, VaultTerms, address};
use rand::Rng;

use super::{ID, Thieves};
use crate::soak::{
    books::{Amount, Books, Policy},
    call::Call,
    prelude,
};

impl Thieves {
    pub(super) fn of_vaults(&mut self, books: &Books, name: &str) -> Option<Call> {
        let (at, vault) = self.pick(books.vaults.iter())?;
        let own = books.own_account(&self.accomplice, &vault.mint);
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

    /// An accomplice provides capital and asks it back, as anybody may.
    pub(super) fn of_shares(&mut self, books: &Books, name: &str) -> Option<Call> {
        let (at, _) = self.pick(books.vaults.iter())?;
        let shares = books.share_account(&self.accomplice, at);
        let held = books.tokens.get(&shares).map_or(0, |tokens| tokens.amount);
        Some(match name {
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
            _ => return None,
        })
    }

    pub(super) fn of_policies(&mut self, books: &Books, name: &str) -> Option<Call> {
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
        let bearable = vault.most_locked(books.escrowed(vault_at));
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
