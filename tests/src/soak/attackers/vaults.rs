//! Attacks with the keys of managers, and by an accomplice who provides capital and buys cover.

use driftshield_sdk::{Address, ListingTerms, PolicyTerms, PremiumPayee, VaultTerms, address};
use rand::Rng;

use super::{Attackers, ID};
use crate::soak::{
    books::{Books, pages},
    call::Call,
    terms,
};

impl Attackers {
    pub(super) fn vault_attack(&mut self, books: &Books, name: &str) -> Option<Call> {
        let (at, vault) = self.pick(books.vaults.iter())?;
        let own = books.own_account(&self.accomplice, &vault.mint);
        Some(match name {
            "create_vault" => Call::CreateVault {
                signer: vault.manager,
                id: ID,
                mint: vault.mint,
                cooldown_secs: terms::COOLDOWN,
                manager_fee_bps: 2_000u16
                    .saturating_sub(books.config.as_ref()?.params.premium_fee_bps),
                terms: worst_terms(),
            },
            "update_vault" => Call::UpdateVault {
                signer: vault.manager,
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

    /// Deposits and withdrawal requests of the accomplice, as anybody may make them, and withdrawals of
    /// anybody's shares.
    pub(super) fn share_attack(&mut self, books: &Books, name: &str) -> Option<Call> {
        let (at, _) = self.pick(books.vaults.iter())?;
        let shares = books.share_account(&self.accomplice, at);
        let held = books.tokens.get(&shares).map_or(0, |tokens| tokens.amount);
        Some(match name {
            "deposit" => {
                // Every new provider takes a share of the streaming premiums, so only deposit where nobody
                // else has shares.
                let abandoned = books
                    .vaults
                    .iter()
                    .filter(|(at, _)| self.is_sole_provider(books, at));
                let (at, vault) = self.pick(abandoned.collect::<Vec<_>>())?;
                let wealth = books.tokens[&books.own_account(&self.accomplice, &vault.mint)].amount;
                Call::Deposit {
                    signer: self.accomplice,
                    vault: *at,
                    source: books.own_account(&self.accomplice, &vault.mint),
                    destination: books.share_account(&self.accomplice, at),
                    amount: (wealth / 100) as u64,
                    min_shares: 0,
                }
            }
            "request_withdraw" => Call::RequestWithdraw {
                signer: self.accomplice,
                vault: *at,
                source: shares,
                shares: (held / 2).max(1) as u64,
            },
            "cancel_withdraw" => Call::CancelWithdraw {
                signer: self.accomplice,
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

    pub(super) fn policy_attack(&mut self, books: &Books, name: &str) -> Option<Call> {
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
                Call::ClaimPolicy {
                    policy: *at,
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
            "expire_policy" => {
                let (at, policy) = policy?;
                let mint = books.vaults[&policy.vault].mint;
                let (destination, signed) = self.divert(books, &policy.holder, &mint);
                let (first, last) = policy.to_expire();
                Call::ExpirePolicy {
                    policy: *at,
                    pages: pages(&policy.model, first, last),
                    destination,
                    signed,
                }
            }
            "begin_policy" => {
                let (at, policy) = policy?;
                let mint = books.vaults[&policy.vault].mint;
                let (destination, signed) = self.divert(books, &policy.holder, &mint);
                let (first, last) = policy.deciding()?;
                Call::BeginPolicy {
                    policy: *at,
                    pages: pages(&policy.model, first, last),
                    destination,
                    signed,
                }
            }
            "examine_policy" => {
                let (at, policy) = policy?;
                let (first, last) = books.to_examine(policy, usize::MAX);
                Call::ExaminePolicy {
                    policy: *at,
                    pages: pages(&policy.model, first, last),
                }
            }
            _ => return None,
        })
    }

    /// A purchase of all available cover of a listing, at the lowest trigger.
    pub fn buy(&mut self, books: &Books, vault_at: &Address, model_at: &Address) -> Option<Call> {
        let exposure = books
            .exposures
            .get(&address::exposure(vault_at, model_at))?;
        let (vault, model) = (&books.vaults[vault_at], &books.models[model_at]);
        let trigger = exposure.lowest_trigger.max(model.lowest_trigger());
        let sold = books.cover_sold(vault_at, model_at);
        let under_cap = exposure.cap.saturating_sub(sold);
        let cover = under_cap.min(books.affordable_cover(vault_at, model_at));
        Some(Call::BuyPolicy {
            signer: self.accomplice,
            id: self.rng.random(),
            vault: *vault_at,
            model: *model_at,
            source: books.own_account(&self.accomplice, &vault.mint),
            terms: PolicyTerms {
                model_version: model.version,
                cover: cover.max(1) as u64,
                trigger,
                exhaustion: trigger + 8 * model.max_spread,
                persistence: 1,
                first_window: model.window_from(books.now + vault.waiting_secs),
                windows: 2,
                max_premium: u64::MAX,
                max_cancel_fee_bps: u16::MAX,
                auto_renew: true,
            },
        })
    }
}

/// A call that lists a model without a cap, at the lowest trigger and for the longest persistence that
/// the program allows.
pub fn listing(books: &Books, vault_at: &Address, model_at: &Address) -> Call {
    let (vault, model) = (&books.vaults[vault_at], &books.models[model_at]);
    let longest = (vault.cooldown_secs - model.dispute_secs()) / model.window_secs;
    Call::ListModel {
        signer: vault.manager,
        vault: *vault_at,
        model: *model_at,
        terms: ListingTerms {
            max_persistence: longest.clamp(1, 4) as u8,
            model_version: model.version,
            cap: u64::MAX,
            lowest_trigger: model.noise_floor,
        },
    }
}

/// Almost free cover on all of the capital, without refunds.
fn worst_terms() -> VaultTerms {
    VaultTerms {
        base_bps: 0,
        slope1_bps: 0,
        slope2_bps: 0,
        risk_slope_bps: 0,
        cancel_fee_bps: 10_000,
        ..terms::vault_terms(10_000)
    }
}
