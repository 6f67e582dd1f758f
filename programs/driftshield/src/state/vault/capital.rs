//! Capital of a vault: what backs cover, what is leaving, and what cover is priced by.

use crate::{
    math::{self, Seller, BPS},
    Vault,
};

/// `Vault.leaving_index` before any payment.
pub const WHOLE_INDEX: u64 = 1 << 62;
/// Smallest `leaving_index`. With less than a billionth left, capital that is leaving counts as
/// wiped out.
const LEAST: u64 = 1 << 32;

impl Vault {
    /// Returns the capital that isn't leaving, which the shares own.
    pub fn staying(&self) -> u64 {
        self.assets - self.leaving // part of it
    }

    /// Returns what a seller of cover is, for a quote. The vault must be accrued.
    pub fn seller(&self) -> Seller {
        let terms = &self.terms;
        let announced = if 0 < self.terms_at {
            self.next_terms.max_utilisation_bps
        } else {
            terms.max_utilisation_bps
        };
        Seller {
            waiting_secs: self.waiting_secs,
            bucket_secs: self.bucket_secs,
            assets: self.assets,
            staying: self.staying() - self.worth(self.reserved_shares), // part of it
            seasoned: self.seasoned,
            locked: self.locked,
            max_utilisation_bps: terms.max_utilisation_bps,
            cancel_fee_bps: terms.cancel_fee_bps,
            purchase_utilisation_bps: terms.max_utilisation_bps.min(announced),
            protocol_fee_bps: self.protocol_fee_bps,
            manager_fee_bps: self.manager_fee_bps,
            min_cover: terms.min_cover,
            max_cover: terms.max_cover,
            min_duration_secs: terms.min_duration_secs,
            max_duration_secs: terms.max_duration_secs,
            base_bps: terms.base_bps,
            curve: terms.curve(),
            risk_slope_bps: terms.risk_slope_bps,
            persistence_bps: terms.persistence_bps,
        }
    }

    /// Moves the seasoned capital towards the capital that isn't leaving: up by at most
    /// `⌊staying · elapsed / season_secs⌋`, so that capital that leaves speeds up nothing, and down by at
    /// most `⌊assets · elapsed / season_secs⌋`.
    pub(super) fn season(&mut self, elapsed: i64) {
        let target = self.staying();
        if self.seasoned == target || elapsed == 0 {
            return;
        }
        let elapsed = elapsed.min(self.season_secs) as u64;
        let whole = if self.seasoned < target {
            target
        } else {
            self.assets
        };
        let step = math::mul_div(whole, elapsed, self.season_secs as u64);
        let step = step.unwrap_or(whole); // at most the whole
        self.seasoned = if self.seasoned < target {
            target.min(self.seasoned.saturating_add(step))
        } else {
            target.max(self.seasoned.saturating_sub(step))
        };
    }

    /// Subtracts `amount` from the capital.
    pub(super) fn spend(&mut self, amount: u64) {
        self.assets -= amount;
        self.seasoned = self.seasoned.min(self.assets);
    }

    /// Returns the capital that can be withdrawn.
    pub(super) fn free(&self) -> u64 {
        let needed = (u128::from(self.locked) * u128::from(BPS))
            .div_ceil(u128::from(self.terms.max_utilisation_bps));
        u64::try_from(needed).map_or(0, |needed| self.assets.saturating_sub(needed))
    }

    /// Locks the `cover` of a sold policy. Its quote must have allowed it.
    pub fn lock(&mut self, cover: u64) {
        self.locked += cover;
    }

    /// Unlocks `cover` that was paid out, or that an ended policy no longer needs.
    pub fn unlock(&mut self, cover: u64) {
        self.locked -= cover;
        self.release_orphaned_assets();
    }

    /// Takes `amount` of the pending losses out of the capital. Capital that is leaving bears its part,
    /// rounded up.
    pub(super) fn bear(&mut self, amount: u64) {
        if 0 < self.leaving {
            let (leaving, assets) = (u128::from(self.leaving), u128::from(self.assets));
            let borne = (u128::from(amount) * leaving).div_ceil(assets);
            let left = leaving - borne; // the amount is at most the assets
            let index = u128::from(self.leaving_index) * left / leaving;
            self.leaving = left as u64;
            self.leaving_index = index as u64;
            if self.leaving_index < LEAST {
                self.leaving = 0; // less than a billionth, which the others keep
                self.leaving_index = WHOLE_INDEX;
                self.wipeouts = self.wipeouts.wrapping_add(1);
            }
        }
        self.pending_losses -= amount;
        self.spend(amount);
        self.unlock(amount);
    }

    /// Credits the capital that no share owns to the treasury once nothing is locked.
    pub(super) fn release_orphaned_assets(&mut self) {
        if self.shares == 0 && self.locked == 0 {
            let orphaned = self.staying();
            self.spend(orphaned);
            self.protocol_credit += orphaned; // parts of one balance
        }
    }
}
