//! Capital of a vault: what backs cover, what is leaving, and what cover is priced by.

use crate::{
    math::{self, Seller, BPS},
    Vault,
};

/// `Vault.leaving_index` before any payment.
pub const WHOLE_INDEX: u64 = 1 << 62;
/// Smallest `leaving_index`. Below it, the index is scaled up, so that it keeps 32 bits of precision
/// whatever the vault has lost in its life.
const LEAST_INDEX: u64 = 1 << 32;
/// Bits by which the index is scaled up.
pub(super) const SCALE_BITS: u32 = 30;
/// Scalings after which nothing is left of a request: more bits than its value times an index has.
pub(super) const SCALES_TO_NOTHING: u32 = 5;

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
            self.leaving = left as u64;
            self.reduce_index(left, leaving);
        }
        self.pending_losses -= amount;
        self.spend(amount);
        self.unlock(amount);
    }

    /// Multiplies the index of what is leaving by `left / leaving`, rounded down.
    fn reduce_index(&mut self, left: u128, leaving: u128) {
        if left == 0 {
            self.leaving_index = WHOLE_INDEX;
            self.leaving_scale = self.leaving_scale.wrapping_add(SCALES_TO_NOTHING);
            return;
        }
        let mut product = u128::from(self.leaving_index) * left; // above 0
        while product < u128::from(LEAST_INDEX) * leaving {
            product <<= SCALE_BITS; // below 2¹²⁶
            self.leaving_scale = self.leaving_scale.wrapping_add(1);
        }
        self.leaving_index = (product / leaving) as u64; // at most the whole
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

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::WithdrawRequest;

    /// A vault with all of its capital locked, and a request for all of it but a unit.
    fn requested(assets: u64) -> (Vault, WithdrawRequest) {
        let (mut vault, mut request) = (Vault::zeroed(), WithdrawRequest::zeroed());
        (vault.assets, vault.locked, vault.pending_losses) = (assets, assets, assets);
        (vault.shares, vault.leaving_index) = (1, WHOLE_INDEX);
        request_all(&mut vault, &mut request, assets - 1);
        (vault, request)
    }

    fn request_all(vault: &mut Vault, request: &mut WithdrawRequest, value: u64) {
        (vault.leaving, request.value) = (value, value);
        (request.index, request.scale) = (vault.leaving_index, vault.leaving_scale);
    }

    #[test]
    fn a_request_keeps_its_part_of_what_losses_leave_however_little_that_is() {
        // Of 2⁵⁰ + 1 units, losses leave 2¹⁰: the index has been scaled up once
        let (mut vault, request) = requested((1 << 50) + 2);
        vault.bear((1 << 50) - (1 << 10));
        assert_eq!(vault.leaving_scale, 1);
        let left = vault.requested(&request);
        assert!(left.abs_diff(1 << 10) <= 2, "{left}");
        assert!(left <= vault.leaving);

        // And none of the last unit is lost before all is
        while 1 < vault.leaving {
            vault.bear(1);
        }
        assert!(vault.requested(&request) <= 1);
        vault.bear(1);
        assert_eq!((vault.leaving, vault.requested(&request)), (0, 0));
        assert_eq!(vault.leaving_index, WHOLE_INDEX);
    }

    #[test]
    fn losses_before_a_request_do_not_make_later_ones_dearer() {
        // Given a vault whose earlier requests lost all but two billionths, over and over
        let (mut vault, mut request) = requested(1 << 40);
        for _ in 0..100 {
            vault.bear(vault.leaving - (1 << 11));
            (vault.assets, vault.locked, vault.pending_losses) = (1 << 40, 1 << 40, 1 << 40);
            request_all(&mut vault, &mut request, 1 << 39);
            // When a later request bears a loss of two billionths, then it loses no more than its part
            let mut later = vault;
            later.bear(1 << 10);
            let lost = (1 << 39) - later.requested(&request);
            assert!(lost.abs_diff(1 << 9) <= 1 << 8, "{lost}");
        }
    }

    #[test]
    fn what_a_wipeout_took_stays_lost() {
        let (mut vault, old) = requested(1_000);
        vault.bear(1_000);
        assert_eq!((vault.leaving, vault.requested(&old)), (0, 0));
        // When others request as much again, then the first request is still worth nothing
        (vault.assets, vault.leaving) = (1_000, 999);
        assert_eq!(vault.requested(&old), 0);
    }
}
