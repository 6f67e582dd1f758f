//! Random calls that add to the oracles' pay, and collect it.

use driftshield_sdk::{Address, RewardPayee};

use super::Generator;
use crate::soak::{call::Call, terms::MINUTE};

impl Generator<'_> {
    pub(super) fn fund_oracles(&mut self) -> Option<Call> {
        let models: Vec<Address> = self.books.models.keys().copied().collect();
        let model = self.pick(&models)?;
        let signer = self.actor("owner");
        let source = self.source(&signer, &self.books.models[&model].mint);
        let all = self.tokens(&source);
        let ahead = match self.up_to(9) {
            0 => 0,
            1 => 400 * 24 * 60 * MINUTE,
            2 => 400 * 24 * 60 * MINUTE + 1,
            _ => self.up_to(24 * 60) as i64 * MINUTE + 1,
        };
        Some(Call::FundOracles {
            signer,
            model,
            source,
            amount: self.amount(all / 20_000, all),
            until: self.books.now + ahead,
        })
    }

    pub(super) fn collect_reward(&mut self) -> Option<Call> {
        let books = self.books;
        let (mut due, mut all) = (Vec::new(), Vec::new());
        for (at, model) in &books.models {
            let is_unused = !books.takes_receipts(at).ok()? && books.open_receipts(at) == 0;
            let is_over = is_unused || model.pot.over_at() <= books.now;
            let left = model.pot.waiting() + model.pot.unearned();
            for oracle in &model.oracles {
                all.push((*at, *oracle, RewardPayee::Oracle));
                all.push((*at, *oracle, RewardPayee::Treasury));
                if model.rewards.contains_key(oracle) {
                    due.push((*at, *oracle, RewardPayee::Oracle));
                }
                if is_over && 0 < left {
                    due.push((*at, *oracle, RewardPayee::Treasury));
                }
            }
        }
        let (model, oracle, payee) = self.prefer(&due, &all)?;
        let mint = books.models[&model].mint;
        let (destination, signed) = match payee {
            RewardPayee::Treasury => (self.treasury_or_any(&mint), false),
            RewardPayee::Oracle => self.destination(&oracle, &mint),
        };
        Some(Call::CollectReward {
            oracle,
            model,
            payee,
            destination,
            signed,
        })
    }
}
