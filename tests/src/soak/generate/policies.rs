//! Calls about policies.

use driftshield_sdk::{Address, PolicyTerms, address};
use rand::Rng;

use super::Generator;
use crate::soak::{
    books::{Exposure, Policy, pages},
    call::Call,
    step::Step,
};

impl Generator<'_> {
    /// Whether a purchase on a listing may succeed now.
    fn sells_cover(&self, exposure: &Exposure) -> bool {
        let (books, now) = (self.books, self.books.now);
        let model = &books.models[&exposure.model];
        let history = model.statistics();
        let fresh_until = model.window_end(history.last_window).unwrap_or(0)
            + 2 * model.window_secs
            + model.dispute_secs();
        let is_active = exposure.active_at <= now && model.version == exposure.version;
        let has_fresh_history = 8 <= history.count && now <= fresh_until;
        is_active
            && has_fresh_history
            && 0 < exposure.cap
            && !model.is_retired
            && 0 < books.vaults[&exposure.vault].assets
    }

    pub(super) fn can_sell(&self) -> bool {
        let mut exposures = self.books.exposures.values();
        exposures.any(|exposure| self.sells_cover(exposure))
    }

    pub(super) fn buy_policy(&mut self) -> Option<Call> {
        let books = self.books;
        let exposures = books.exposures.values();
        let id = |exposure: &Exposure| (exposure.vault, exposure.model);
        let likely: Vec<_> = exposures
            .clone()
            .filter(|exposure| self.sells_cover(exposure))
            .map(id)
            .collect();
        let all: Vec<(Address, Address)> = exposures.map(id).collect();
        let (vault, mut model) = self.prefer(&likely, &all)?;
        if self.chance(3) {
            let models: Vec<Address> = books.models.keys().copied().collect();
            model = self.pick(&models)?; // usually not listed
        }
        let signer = self.actor("holder");
        let mut terms = self.policy_terms(&vault, &model)?;
        // A maximum of exactly the premium is enough, a unit less is not.
        if let Ok(quote) = books.price(&vault, &model, &terms)
            && self.chance(30)
        {
            let is_enough = self.chance(60);
            let max_premium = if is_enough {
                quote.most
            } else {
                quote.least - 1
            };
            terms.max_premium = max_premium as u64;
        }
        Some(Call::BuyPolicy {
            signer,
            id: if self.chance(85) {
                self.rng.random()
            } else {
                self.up_to(2)
            },
            vault,
            model,
            source: self.source(&signer, &books.vaults[&vault].mint),
            terms,
        })
    }

    fn policy_terms(&mut self, vault_at: &Address, model_at: &Address) -> Option<PolicyTerms> {
        let books = self.books;
        let (vault, model) = (&books.vaults[vault_at], &books.models[model_at]);
        let exposure = books.exposures.get(&address::exposure(vault_at, model_at));
        let listed_lowest = exposure.map_or(0, |exposure| exposure.lowest_trigger);
        let lowest = listed_lowest.max(model.lowest_trigger());
        let trigger = match self.up_to(9) {
            0 => lowest,
            1 => lowest - 1,
            _ => lowest + self.up_to(60_000),
        };
        let least = trigger + 8 * model.max_spread;
        let exhaustion = match self.up_to(9) {
            0..4 => least,
            4 => least - 1,
            _ => least + self.up_to(300_000),
        };
        let persistence = if self.chance(70) {
            1
        } else {
            self.rng.random_range(1..=4)
        };
        let windows = u64::from(persistence) + self.up_to(6);
        let first_window = model.window_from(books.now + vault.waiting_secs);
        let sold = books.cover_sold(vault_at, model_at);
        let under_cap = exposure.map_or(1_000, |exposure| exposure.cap.saturating_sub(sold));
        let most = under_cap.min(books.affordable_cover(vault_at, model_at));
        let cover = match self.up_to(9) {
            0..5 => most as u64,
            5 => most as u64 + 1,
            _ => self.amount(most / 3, most),
        };
        let terms = PolicyTerms {
            model_version: model.version + u32::from(self.chance(2)),
            cover,
            trigger,
            exhaustion,
            persistence,
            first_window: first_window + u64::from(self.chance(3)),
            windows: if self.chance(98) { windows } else { u64::MAX },
            max_premium: u64::MAX,
            max_cancel_fee_bps: (vault.terms.cancel_fee_bps + self.up_to(3) as u16)
                .saturating_sub(u16::from(self.chance(3))),
            auto_renew: self.chance(60),
        };
        Some(if self.chance(88) {
            terms
        } else {
            self.boundary_terms(terms)
        })
    }

    /// Terms at a limit, or beyond it.
    fn boundary_terms(&mut self, terms: PolicyTerms) -> PolicyTerms {
        let terms = [
            PolicyTerms {
                exhaustion: terms.trigger.saturating_sub(1),
                ..terms
            },
            PolicyTerms {
                persistence: 0,
                ..terms
            },
            PolicyTerms {
                persistence: 5,
                ..terms
            },
            PolicyTerms {
                windows: u64::from(terms.persistence) - 1,
                ..terms
            },
            // Ends about as far ahead as the ring of buckets allows.
            PolicyTerms {
                windows: self.rng.random_range(370..390),
                ..terms
            },
            PolicyTerms {
                exhaustion: u64::MAX,
                ..terms
            },
            PolicyTerms { cover: 1, ..terms },
        ];
        self.pick(&terms).expect("some")
    }

    fn policy(&mut self, likely: impl Fn(&Policy) -> bool) -> Option<Address> {
        let policies = self.books.policies.iter();
        let all: Vec<Address> = self.books.policies.keys().copied().collect();
        let likely: Vec<Address> = policies
            .filter(|(_, policy)| likely(policy))
            .map(|(at, _)| *at)
            .collect();
        self.prefer(&likely, &all)
    }

    pub(super) fn claim_policy(&mut self) -> Option<Call> {
        let owes = |policy: &Policy| policy.paid < policy.claimed();
        let at = self.policy(owes)?;
        let policy = &self.books.policies[&at];
        let mint = self.books.vaults[&policy.vault].mint;
        let (destination, signed) = self.destination(&policy.holder, &mint);
        Some(Call::ClaimPolicy {
            policy: at,
            destination,
            signed,
        })
    }

    pub(super) fn cancel_policy(&mut self) -> Option<Call> {
        let at = self.policy(|_| true)?;
        let policy = &self.books.policies[&at];
        let mint = self.books.vaults[&policy.vault].mint;
        let (destination, _) = self.destination(&policy.holder, &mint);
        Some(Call::CancelPolicy {
            policy: at,
            destination,
        })
    }

    /// Renews a policy: of one that anyone may renew soon, mostly without its holder's signature, after
    /// the holder has delegated the premium.
    pub(super) fn renew_policy(&mut self) -> Vec<Step> {
        let books = self.books;
        let soon = |policy: &Policy| {
            let Some((first, last)) = books.open_renewal(policy) else {
                return false;
            };
            let ahead = 4 * books.models[&policy.model].window_secs;
            first <= books.now + ahead && books.now < last
        };
        let is_renewable = |policy: &Policy| {
            policy.paid == 0 && policy.terms.auto_renew && policy.waiting.is_none()
        };
        let Some(at) = self.policy(|policy| is_renewable(policy) && soon(policy)) else {
            return vec![];
        };
        let policy = &books.policies[&at];
        let mint = books.vaults[&policy.vault].mint;
        let source = self.source(&policy.holder, &mint);
        let is_open = is_renewable(policy) && soon(policy);
        let signed = self.chance(if is_open { 20 } else { 40 });
        let renew = Step::Call(Call::RenewPolicy {
            policy: at,
            source,
            signed,
        });
        if signed || !is_open || self.chance(10) {
            return vec![renew];
        }
        let approve = Call::Approve {
            signer: policy.holder,
            source: books.own_account(&policy.holder, &mint),
            amount: u64::MAX,
        };
        let (first, _) = books.open_renewal(policy).expect("a begun term");
        // A renewal needs a recent window, well under the trigger.
        let mut steps = self.measure_probation(policy);
        steps.extend([
            Step::Call(approve),
            Step::Until(first.max(books.now)),
            renew,
        ]);
        steps
    }

    pub(super) fn expire_policy(&mut self) -> Option<Call> {
        let books = self.books;
        let at = self.policy(|policy| {
            let expires = policy.expires_at(&books.models[&policy.model]);
            expires.is_ok_and(|at| at <= books.now)
        })?;
        let policy = &books.policies[&at];
        let pages = self.pages_for(policy, policy.to_expire());
        let mint = books.vaults[&policy.vault].mint;
        let (destination, signed) = self.destination(&policy.holder, &mint);
        Some(Call::ExpirePolicy {
            policy: at,
            pages,
            destination,
            signed,
        })
    }

    /// Examines a policy: waits until the next window of a begun term is decided, if nobody has measured it, or
    /// examines what is decided now. Sometimes waits for the end of the policy instead.
    pub(super) fn examine_policy(&mut self) -> Vec<Step> {
        let books = self.books;
        let is_open = |policy: &Policy| books.next_to_examine(policy).is_some();
        let Some(at) = self.policy(is_open) else {
            return vec![];
        };
        let policy = &books.policies[&at];
        let Some((window, due)) = books.next_to_examine(policy) else {
            return vec![]; // now and then, a policy is picked that has nothing to examine
        };
        if self.chance(40) {
            let windows = books.to_examine(policy, usize::MAX);
            let pages = self.pages_for(policy, windows);
            let mut steps = vec![Step::Call(Call::ExaminePolicy { policy: at, pages })];
            if self.chance(50) {
                let mint = books.vaults[&policy.vault].mint;
                let (destination, signed) = self.destination(&policy.holder, &mint);
                steps.push(Step::Call(Call::ClaimPolicy {
                    policy: at,
                    destination,
                    signed,
                }));
            }
            if self.chance(50) {
                // While the capital has not borne what was set aside
                steps.extend(self.deposit_into(policy.vault));
            }
            return steps;
        }
        if self.chance(60) {
            let pages = self.pages_for(policy, (window, window));
            let call = Call::ExaminePolicy { policy: at, pages };
            return vec![Step::Until(due.max(books.now)), Step::Call(call)];
        }
        let model = &books.models[&policy.model];
        let end = if self.chance(70) {
            policy.expires_at(model)
        } else {
            policy.lapses_at(model)
        };
        let pages = self.pages_for(policy, policy.to_expire());
        let mint = books.vaults[&policy.vault].mint;
        let (destination, signed) = self.destination(&policy.holder, &mint);
        let call = Call::ExpirePolicy {
            policy: at,
            pages,
            destination,
            signed,
        };
        let end = end.map_or(books.now, |end| end.max(books.now));
        vec![Step::Until(end), Step::Call(call)]
    }

    /// Decides about a term on probation. Before its end, usually first measures the next window, mostly with
    /// little drift.
    pub(super) fn begin_policy(&mut self) -> Vec<Step> {
        let books = self.books;
        let Some(at) = self.policy(|policy| policy.waiting.is_some()) else {
            return vec![];
        };
        let policy = &books.policies[&at];
        let model = &books.models[&policy.model];
        let mut steps = vec![];
        let probation = policy.deciding();
        let decided = probation.and_then(|(_, last)| model.idle_from(last).ok());
        if decided.is_some_and(|at| books.now < at) && self.chance(85) {
            steps = self.measure_probation(policy);
        }
        let pages = self.pages_for(policy, probation.unwrap_or(policy.to_expire()));
        let mint = books.vaults[&policy.vault].mint;
        let (destination, signed) = self.destination(&policy.holder, &mint);
        if steps.is_empty() || self.chance(40) {
            steps.push(Step::Call(Call::BeginPolicy {
                policy: at,
                pages,
                destination,
                signed,
            }));
        }
        steps
    }

    /// The pages of these windows; sometimes one too many or too few.
    fn pages_for(&mut self, policy: &Policy, (first, last): (u64, u64)) -> Vec<Address> {
        let mut pages = pages(&policy.model, first, last);
        if self.chance(3) {
            pages.push(address::series_page(&policy.model, 1_000));
        } else if self.chance(2) {
            pages.pop();
        }
        pages
    }
}
