//! Shares of a vault, and their way out: a request, its cooldown, and its exit window.

use anchor_lang::prelude::*;

use super::capital::{SCALES_TO_NOTHING, SCALE_BITS};
use crate::{math, DriftShieldError, Vault, WithdrawRequest, DAY_SECS};

/// How long a request that could not be paid in its exit window reserves its shares' value against
/// purchases, in seconds after the window.
pub const RESERVE_SECS: i64 = 30 * DAY_SECS;
/// Most shares per base unit at which a vault accepts deposits. A vault with more was wiped out.
const MAX_SHARES_PER_UNIT: u128 = 1_000_000_000;

/// What a depositor accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct DepositLimits {
    /// Fewest shares for the deposit.
    pub min_shares: u64,
    /// The vault's `revision` that the depositor has read.
    pub revision: u32,
    /// Most `pending_losses` of the vault. The deposit bears its part of them.
    pub max_pending_losses: u64,
}

impl DepositLimits {
    /// Accepts `vault` as the depositor has read it, and no further losses.
    pub fn as_read(vault: &Vault, min_shares: u64) -> Self {
        Self {
            min_shares,
            revision: vault.revision,
            max_pending_losses: vault.pending_losses,
        }
    }
}

impl Vault {
    /// Returns the value of `shares`.
    pub fn worth(&self, shares: u64) -> u64 {
        math::assets_for(shares, self.shares, self.staying())
    }

    /// Adds a deposit of `amount` and returns the number of shares to mint for it. The first
    /// deposit's capital is seasoned at once. The vault must be accrued.
    pub fn deposit(&mut self, amount: u64, limits: &DepositLimits) -> Result<u64> {
        let DepositLimits {
            min_shares,
            revision,
            max_pending_losses,
        } = *limits;
        require!(0 < amount, DriftShieldError::ZeroAmount);
        // Shares that are bought before a loss bear it.
        require!(
            self.pending_losses <= max_pending_losses,
            DriftShieldError::LossesPending
        );
        // A depositor can leave before a change takes effect only if it has seen the change.
        require!(revision == self.revision, DriftShieldError::VaultChanged);
        require!(
            u128::from(self.shares) <= MAX_SHARES_PER_UNIT * u128::from(self.staying()),
            DriftShieldError::VaultWipedOut
        );
        let is_first = self.shares == 0;
        let shares = self.mint_for(amount)?;
        require!(0 < shares, DriftShieldError::ZeroShares);
        require!(min_shares <= shares, DriftShieldError::TooFewShares);
        self.assets += amount; // together at most the token's supply, or the transfer fails
        if is_first {
            self.seasoned = self.seasoned.max(self.staying());
        }
        Ok(shares)
    }

    /// Adds the shares that `amount` buys, and returns their number. The caller adds the amount to
    /// the capital that isn't leaving.
    fn mint_for(&mut self, amount: u64) -> Result<u64> {
        let shares = math::shares_for(amount, self.shares, self.staying());
        let shares = shares.ok_or(DriftShieldError::Overflow)?;
        let total = self.shares.checked_add(shares);
        self.shares = total.ok_or(DriftShieldError::Overflow)?;
        Ok(shares)
    }

    /// Returns what payments have left of the requested value.
    pub fn requested(&self, request: &WithdrawRequest) -> u64 {
        let scales = self.leaving_scale.wrapping_sub(request.scale);
        if SCALES_TO_NOTHING <= scales || request.index == 0 {
            return 0;
        }
        if scales == 0 {
            let left = math::mul_div(request.value, self.leaving_index, request.index);
            return left.unwrap_or(request.value); // the index hasn't risen, so it is at most the value
        }
        let product = u128::from(request.value) * u128::from(self.leaving_index);
        ((product / u128::from(request.index)) >> (SCALE_BITS * scales)) as u64 // at most the value
    }

    /// Moves `value` between the capital that is leaving and that of the shares, for `request`.
    fn set_requested(&mut self, request: &mut WithdrawRequest, value: u64) {
        self.leaving = self.leaving - self.requested(request) + value; // parts of the assets
        request.value = value;
        request.index = self.leaving_index;
        request.scale = self.leaving_scale;
    }

    /// Adds the value of `shares`, which the caller burns, to a withdrawal request, with that of
    /// shares that an earlier exit window gave back. Starts the cooldown of all of it. The vault
    /// must be accrued.
    pub fn request(&mut self, request: &mut WithdrawRequest, shares: u64) -> Result<()> {
        require!(
            0 < shares || !request.is_new(),
            DriftShieldError::ZeroAmount
        );
        self.release_reserve(request);
        let asked = shares + core::mem::take(&mut request.shares); // parts of all shares
        let value = self.worth(asked);
        self.shares -= asked;
        let total = self.requested(request) + value; // parts of the assets
        self.set_requested(request, total);
        request.unlock_at = self.accrued_at + self.cooldown_secs;
        request.lapses_at = request.unlock_at + self.exit_secs;
        request.is_short = false.into();
        Ok(())
    }

    /// Turns a withdrawal request back into shares, at their current price, and returns their
    /// number. The vault must be accrued.
    pub fn take_back(&mut self, request: &mut WithdrawRequest) -> Result<u64> {
        self.release_reserve(request);
        let value = self.requested(request);
        let bought = self.mint_for(value)?;
        self.set_requested(request, 0);
        Ok(bought + core::mem::take(&mut request.shares)) // parts of all shares
    }

    /// Takes the step of a withdrawal request that is due at `now`, and returns the amount to pay.
    ///
    /// - In the exit window, pays as far as free capital suffices. If it doesn't suffice, the
    ///   request is marked as short.
    /// - After the exit window, turns the request into shares. If it is short, they are reserved
    ///   until 30 days after the window.
    /// - After these 30 days, ends the reserve.
    pub fn withdraw(&mut self, request: &mut WithdrawRequest, now: i64) -> Result<u64> {
        if 0 < request.shares {
            let is_over = 0 < request.reserved_until && request.reserved_until <= now;
            require!(is_over, DriftShieldError::RequestLapsed);
            self.release_reserve(request);
            return Ok(0);
        }
        require!(request.unlock_at <= now, DriftShieldError::StillCoolingDown);
        if now < request.lapses_at {
            return self.pay_request(request);
        }
        request.shares = self.take_back(request)?;
        let reserved_until = request.lapses_at + RESERVE_SECS;
        if request.is_short.get() && 0 < request.shares && now < reserved_until {
            request.reserved_until = reserved_until;
            self.reserved_shares += request.shares; // part of all shares
        }
        Ok(0)
    }

    /// Pays a request as far as free capital suffices.
    fn pay_request(&mut self, request: &mut WithdrawRequest) -> Result<u64> {
        let value = self.requested(request);
        let paid = value.min(self.free());
        if paid < value {
            require!(
                0 < paid || !request.is_short.get(),
                DriftShieldError::CapitalLocked
            );
            request.is_short = true.into();
        }
        self.set_requested(request, value - paid);
        self.spend(paid);
        self.release_orphaned_assets();
        Ok(paid)
    }

    fn release_reserve(&mut self, request: &mut WithdrawRequest) {
        if 0 < core::mem::take(&mut request.reserved_until) {
            self.reserved_shares -= request.shares;
        }
    }

    /// Removes a withdrawal request that is over. What rounding has left of the requested capital
    /// goes back to the shares after the last request.
    pub fn end_request(&mut self) {
        self.requests -= 1;
        if self.requests == 0 {
            self.leaving = 0;
        }
    }
}
