//! Cover that holders buy and that strangers renew.

use driftshield_sdk::{Policy, PolicyTerms};

use super::{plan::SPREAD, stage::Stage, truth::TRIGGER};
use crate::world::Wallet;

/// Drift from which policies pay all of their cover: ten spreads above the trigger.
pub const EXHAUSTION: u64 = TRIGGER + 10 * SPREAD;

/// What a holder asks for.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// The cover, in percent of the model's budget for cover.
    pub percent: u64,
    pub windows: u64,
    pub persistence: u8,
    pub auto_renew: bool,
}

impl Wanted {
    /// Cover that pays by a single window.
    pub fn of(percent: u64, windows: u64) -> Self {
        Self {
            percent,
            windows,
            persistence: 1,
            auto_renew: false,
        }
    }
}

impl Stage {
    /// Buys cover. Returns whether the program sold it.
    pub fn cover(&mut self, holder: &Wallet, wanted: Wanted) -> bool {
        let terms = PolicyTerms {
            cover: self.scene.model().cover_limit() * wanted.percent / 100,
            trigger: TRIGGER,
            exhaustion: EXHAUSTION,
            windows: wanted.windows,
            persistence: wanted.persistence,
            auto_renew: wanted.auto_renew,
            ..self.scene.terms()
        };
        let Ok(quote) = self.scene.quote(&terms) else {
            return false;
        };
        let id = self.records.policies;
        if self.scene.buy(holder, id, terms).is_err() {
            return false;
        }
        self.count_gift(holder, quote.rent);
        self.records.policies += 1;
        self.records.covers += terms.cover;
        if holder.address() == self.cast.friend.address() {
            self.records.own_premium += quote.premium;
        } else {
            self.records.premiums += quote.premium;
        }
        true
    }

    /// Renews the first holder's first policy without its signature. Returns whether the program did.
    pub fn renew_for_holder(&mut self) -> bool {
        let holder = self.cast.holders[0].clone();
        let mut policies = self.all::<Policy>().into_iter();
        let first =
            policies.find(|(_, policy)| policy.holder == holder.address() && policy.id == 0);
        let Some((_, policy)) = first else {
            return false;
        };
        let Ok(quote) = self.scene.quote_renewal(&policy, false) else {
            return false;
        };
        if self.scene.renew(&holder, policy.id, false).is_err() {
            return false;
        }
        let fee = quote.streamed_part * u64::from(policy.cancel_fee_bps);
        self.records.renewals += quote.rent + fee.div_ceil(10_000);
        true
    }

    /// The last window that an open policy covers, or will.
    pub fn last_covered(&self) -> u64 {
        let policies = self.all::<Policy>().into_iter();
        let last = policies.map(|(_, policy)| {
            let pending = if policy.is_pending() {
                policy.windows
            } else {
                0
            };
            policy.last_window + pending
        });
        last.max().unwrap_or_default()
    }

    /// Whether one of the owner's policies is on probation.
    pub fn is_on_probation(&self, owner: &Wallet) -> bool {
        let mut policies = self.all::<Policy>().into_iter();
        policies.any(|(_, policy)| policy.holder == owner.address() && policy.is_pending())
    }
}
