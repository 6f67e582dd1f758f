//! What depends on a model, and how much its bonds secure.

use anchor_lang::prelude::*;

use crate::{math, DriftShieldError, Model};

impl Model {
    /// Returns the part of the security limit that `budget_bps` allows, rounded down.
    fn limit(&self, budget_bps: u16) -> u64 {
        let limit = u128::from(self.lasting_security) * u128::from(self.security_multiple);
        let part = limit * u128::from(budget_bps) / u128::from(math::BPS);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Returns the largest `cover_risk` that the bonds secure.
    pub fn cover_limit(&self) -> u64 {
        self.limit(self.cover_budget_bps)
    }

    /// Whether the bonds secure stakes of `market_risk`.
    pub fn secures_stakes(&self, market_risk: u64) -> bool {
        market_risk <= self.limit(self.market_budget_bps)
    }

    /// Whether the bonds secure the current stakes and the current cover.
    pub fn is_secure(&self) -> bool {
        self.secures_stakes(self.market_risk) && self.cover_risk <= self.cover_limit()
    }

    /// Adds a stake of `amount`. Refuses more than the bonds secure.
    pub fn add_stake(&mut self, amount: u64) -> Result<()> {
        self.market_risk = self
            .market_risk
            .checked_add(amount)
            .ok_or(DriftShieldError::Overflow)?;
        require!(
            self.secures_stakes(self.market_risk),
            DriftShieldError::AboveSecurityLimit
        );
        Ok(())
    }

    /// Adds a policy of `cover`, which the quote has checked against the security, on the windows
    /// from `first` to `last`.
    pub fn add_policy(&mut self, cover: u64, first: u64, last: u64, now: i64) {
        self.cover_risk += cover;
        self.expose(first, last, now);
    }

    /// Counts a market on the windows from `first` to `last` that got its first bet.
    pub fn add_market(&mut self, first: u64, last: u64, now: i64) {
        self.expose(first, last, now);
    }

    /// Removes a settled market with bets, and its `stakes`.
    pub fn remove_market(&mut self, stakes: u64) {
        self.market_risk -= stakes;
        self.end_exposure();
    }

    /// Subtracts `cover`, which was paid out.
    pub fn release_cover(&mut self, cover: u64) {
        self.cover_risk -= cover;
    }

    /// Removes an ended policy, and its open `cover`.
    pub fn remove_policy(&mut self, cover: u64) {
        self.release_cover(cover);
        self.end_exposure();
    }

    /// Subtracts an ended market or policy from `exposure`.
    fn end_exposure(&mut self) {
        self.exposure -= 1;
        if self.exposure == 0 {
            self.replaced = 0;
        }
    }
}
