mod streams;

use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math::{self, Curve, BPS},
    token::PodTokenProgram,
    DriftShieldError, Model, PdaSigner, TokenOwner, WithdrawRequest, DAY_SECS, MAX_FEES_BPS,
    MAX_PERIOD_SECS,
};

/// Number of buckets in a vault's ring. A premium stream ends at the end of a bucket.
pub const BUCKETS: usize = 64;
/// Longest cooldown: fits a model with the longest window and the longest periods.
pub const MAX_COOLDOWN_SECS: i64 = 31 * DAY_SECS + 3 * MAX_PERIOD_SECS;
/// Time between the end of the cooldown and the effect of new terms or a listing that admits more
/// risk, in seconds. Liquidity providers who disagree can leave before.
pub const NOTICE_SECS: i64 = DAY_SECS;
/// Smallest `max_utilisation_bps` of a vault.
const MIN_MAX_UTILISATION_BPS: u16 = 5_000;
/// Most shares per base unit of assets at which a vault accepts deposits. A vault with more was
/// wiped out.
const MAX_SHARES_PER_UNIT: u128 = 1_000_000_000;
/// Fraction bits of stream rates: a rate is in 2⁻³² base units per second.
pub const RATE_BITS: u32 = 32;

/// Payee of a vault's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum PremiumPayee {
    Treasury = 0,
    Manager = 1,
}

/// Capital of liquidity providers. It backs policies and earns premiums.
///
/// Address: PDA of `["vault", manager, id (u64 LE)]`.
/// Amounts are in base units of `mint`, times in seconds. The share mint is never closed, so that
/// the vault's address is never used again.
#[account]
pub struct Vault {
    pub manager: Address,
    pub mint: Address,
    /// Token account of capital, premiums and credits: PDA of `["vault_tokens", vault]`.
    pub tokens: Address,
    /// SPL Token mint of the shares: PDA of `["shares", vault]`.
    pub share_mint: Address,
    /// Token account of the shares that are requested for withdrawal: PDA of `["escrow", vault]`.
    pub escrow: Address,
    /// Chosen by the manager.
    pub id: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Capital that all shares own: deposits and streamed premium, less withdrawals and paid
    /// claims.
    pub assets: u64,
    /// Cover of open policies, less what they have paid out. Never above `assets`.
    pub locked: u64,
    /// Premium that has not streamed yet.
    pub unearned: u64,
    /// Shares that the vault has minted and not burned, including those in escrow.
    pub shares: u64,
    /// Shares that are requested for withdrawal.
    pub escrowed: u64,
    /// Credit of the treasury, not collected yet: the protocol's part of premiums, premium that
    /// streamed while the vault had no shares, and assets that were left without shares and cover.
    pub protocol_credit: u64,
    /// The manager's part of premiums, not collected yet.
    pub manager_credit: u64,
    /// Number of open policies.
    pub policies: u64,
    /// Number of exposures.
    pub exposures: u64,
    /// Number of withdrawal requests.
    pub requests: u64,
    /// Unix time of the vault's creation.
    pub created_at: i64,
    /// How long shares stay in escrow before they can be withdrawn.
    pub cooldown_secs: i64,
    /// Shortest time between the purchase of a policy and its first covered window. Copied from
    /// Config.
    pub waiting_secs: i64,
    /// How long a policy can be claimed after its last receipt could become Final. Copied from
    /// Config.
    pub claim_grace_secs: i64,
    /// Length of a bucket. Copied from Config.
    pub bucket_secs: i64,
    /// Unix time up to which premium has streamed.
    pub accrued_at: i64,
    /// Unix time at which `next_terms` take effect; 0 if none are announced.
    pub terms_at: i64,
    /// Terms in effect at `accrued_at`.
    pub terms: VaultTerms,
    /// Announced terms; equal to `terms` if none are announced.
    pub next_terms: VaultTerms,
    /// Rate of all premium streams, in 2⁻³² base units per second.
    pub rate: PodU128,
    /// Reduction of `rate` at the end of a bucket. The index is the number of the following bucket,
    /// modulo 64.
    pub ends: [PodU128; BUCKETS],
    /// Streamed premium below a whole base unit, in 2⁻³² base units.
    pub fraction: u32,
    /// The protocol's part of a premium, in bps. Copied from Config.
    pub protocol_fee_bps: u16,
    /// The manager's part of a premium, in bps.
    pub manager_fee_bps: u16,
    /// Token program of `mint`.
    pub token_program: PodTokenProgram,
    /// Decimals of `mint`.
    pub decimals: u8,
    pub bump: u8,
    pub reserved: u8,
    /// Number of times that the manager has listed a model or changed a listing. A deposit states
    /// this number.
    pub listings: u32,
}

const _: () = assert!(core::mem::size_of::<Vault>() == 5 * 32 + 19 * 8 + 2 * 48 + 65 * 16 + 16);

/// How a vault prices cover, and limits of the cover that it sells. Rates are annual, in bps.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    AnchorSerialize,
    AnchorDeserialize,
    IdlType,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct VaultTerms {
    /// Smallest cover of a policy, in base units, at least 1.
    pub min_cover: u64,
    /// Largest cover of a policy, in base units, at least `min_cover`.
    pub max_cover: u64,
    /// Shortest paid duration in seconds, at least 1: from the purchase, or the end of the renewed
    /// term, to the end of the last window.
    pub min_duration_secs: i64,
    /// Longest paid duration in seconds, at least `min_duration_secs`.
    pub max_duration_secs: i64,
    /// Rate that is charged at any utilisation and drift.
    pub base_bps: u16,
    /// Rate added at the kink, in proportion below it.
    pub slope1_bps: u16,
    /// Rate added at full utilisation on top of `slope1_bps`, in proportion above the kink.
    pub slope2_bps: u16,
    /// Utilisation at which the slope changes, above 0 and below 10 000.
    pub kink_bps: u16,
    /// Rate added if the model's drift is at the trigger, in proportion below it.
    pub risk_slope_bps: u16,
    /// Largest part of the capital that cover may lock, 5 000 to 10 000. The lower bound limits how
    /// much capital cover can hold back from liquidity providers who leave: at most twice the
    /// cover. For a purchase, capital that is requested for withdrawal doesn't count.
    pub max_utilisation_bps: u16,
    /// Part of a cancelled policy's unused premium that the vault keeps, at most 10 000.
    pub cancel_fee_bps: u16,
    pub reserved: [u8; 2],
}

impl VaultTerms {
    pub fn validate(&self) -> Result<()> {
        let whole = BPS as u16;
        require!(
            1 <= self.min_cover
                && self.min_cover <= self.max_cover
                && 1 <= self.min_duration_secs
                && self.min_duration_secs <= self.max_duration_secs
                && (1..whole).contains(&self.kink_bps)
                && (MIN_MAX_UTILISATION_BPS..=whole).contains(&self.max_utilisation_bps)
                && self.cancel_fee_bps <= whole
                && self.reserved == [0; 2],
            DriftShieldError::InvalidVaultTerms
        );
        Ok(())
    }

    pub fn curve(&self) -> Curve {
        Curve {
            slope1_bps: self.slope1_bps,
            slope2_bps: self.slope2_bps,
            kink_bps: self.kink_bps,
        }
    }
}

/// A vault's balances, as reported in events.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType,
)]
pub struct VaultTotals {
    /// Capital that all shares own: deposits and streamed premium, less withdrawals and paid
    /// claims.
    pub assets: u64,
    /// Cover of open policies, less what they have paid out.
    pub locked: u64,
    /// Premium that has not streamed yet.
    pub unearned: u64,
    /// Shares that the vault has minted and not burned, including those in escrow.
    pub shares: u64,
    /// Shares that are requested for withdrawal.
    pub escrowed: u64,
    /// Credit of the treasury, not collected yet.
    pub protocol_credit: u64,
    /// The manager's part of premiums, not collected yet.
    pub manager_credit: u64,
}

impl Vault {
    /// Checks the cooldown and fees with which the vault is created. They never change.
    pub fn require_creation(&self) -> Result<()> {
        require!(
            (1..=MAX_COOLDOWN_SECS).contains(&self.cooldown_secs),
            DriftShieldError::InvalidCooldown
        );
        require!(
            u32::from(self.protocol_fee_bps) + u32::from(self.manager_fee_bps)
                <= u32::from(MAX_FEES_BPS),
            DriftShieldError::FeesTooHigh
        );
        Ok(())
    }

    pub fn totals(&self) -> VaultTotals {
        VaultTotals {
            assets: self.assets,
            locked: self.locked,
            unearned: self.unearned,
            shares: self.shares,
            escrowed: self.escrowed,
            protocol_credit: self.protocol_credit,
            manager_credit: self.manager_credit,
        }
    }

    // Terms and listings.

    /// Returns the end of a notice period that begins at `now`: the cooldown plus a day later.
    pub fn notice_end(&self, now: i64) -> i64 {
        now + self.cooldown_secs + NOTICE_SECS
    }

    /// Announces `terms`, which replace announced terms that have not taken effect yet.
    pub fn announce(&mut self, terms: VaultTerms, now: i64) -> Result<()> {
        terms.validate()?;
        self.accrue(now);
        self.next_terms = terms;
        self.terms_at = self.notice_end(now);
        Ok(())
    }

    /// Refuses a model whose receipt of a window can become Final only after liquidity providers
    /// who requested a withdrawal in the window could have left.
    pub fn require_measured_in_time(&self, model: &Model) -> Result<()> {
        require!(
            model.window_secs + model.dispute_secs() <= self.cooldown_secs,
            DriftShieldError::ModelTooSlow
        );
        Ok(())
    }

    // Capital.

    /// Refuses a buyer who is an insider of the model or the vault's manager.
    pub fn require_outsider(&self, holder: &Address, model: &Model) -> Result<()> {
        require!(
            !model.is_insider(holder) && !anchor_lang::address_eq(&self.manager, holder),
            DriftShieldError::Insider
        );
        Ok(())
    }

    /// Whether cover may lock `locked` in total. If `locked` increases, capital that is requested
    /// for withdrawal doesn't count, and an announced lower limit applies. A purchase therefore
    /// never delays a withdrawal that was requested before it.
    pub fn can_lock(&self, locked: u64) -> bool {
        let mut assets = self.assets;
        let mut max_utilisation_bps = self.terms.max_utilisation_bps;
        if self.locked < locked {
            assets -= self.worth(self.escrowed); // part of the assets
            if 0 < self.terms_at {
                max_utilisation_bps = max_utilisation_bps.min(self.next_terms.max_utilisation_bps);
            }
        }
        u128::from(locked) * u128::from(BPS) <= u128::from(assets) * u128::from(max_utilisation_bps)
    }

    /// Returns the capital that can be withdrawn.
    fn free(&self) -> u64 {
        let needed = (u128::from(self.locked) * u128::from(BPS))
            .div_ceil(u128::from(self.terms.max_utilisation_bps));
        u64::try_from(needed).map_or(0, |needed| self.assets.saturating_sub(needed))
    }

    /// Locks the `cover` of a sold policy. `can_lock` must have allowed it.
    pub fn lock(&mut self, cover: u64) {
        self.locked += cover;
    }

    /// Unlocks `cover` that was paid out, or that an ended policy no longer needs.
    pub fn unlock(&mut self, cover: u64) {
        self.locked -= cover;
        self.release_orphaned_assets();
    }

    /// Pays a claim of `amount`, which is locked, out of the capital.
    pub fn pay_claim(&mut self, amount: u64) {
        self.assets -= amount;
        self.unlock(amount);
    }

    // Shares.

    /// Returns the value of `shares`.
    pub fn worth(&self, shares: u64) -> u64 {
        math::assets_for(shares, self.shares, self.assets)
    }

    /// Adds a deposit of `amount` and returns the number of shares to mint for it.
    pub fn deposit(&mut self, amount: u64, min_shares: u64, listings: u32) -> Result<u64> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        // Without shares a listing takes effect at once. The check protects a first depositor from
        // a listing that it has not seen.
        require!(listings == self.listings, DriftShieldError::ListingsChanged);
        require!(
            u128::from(self.shares) <= MAX_SHARES_PER_UNIT * u128::from(self.assets),
            DriftShieldError::VaultWipedOut
        );
        let shares =
            math::shares_for(amount, self.shares, self.assets).ok_or(DriftShieldError::Overflow)?;
        require!(0 < shares, DriftShieldError::ZeroShares);
        require!(min_shares <= shares, DriftShieldError::TooFewShares);
        let add = |total: u64, part: u64| total.checked_add(part).ok_or(DriftShieldError::Overflow);
        self.assets = add(self.assets, amount)?;
        self.shares = add(self.shares, shares)?;
        Ok(shares)
    }

    /// Adds `shares` to a withdrawal request. Restarts the cooldown of all its shares, and caps
    /// their value at the current value.
    pub fn request(&mut self, request: &mut WithdrawRequest, shares: u64) -> Result<()> {
        require!(0 < shares, DriftShieldError::ZeroAmount);
        let before = request.value.min(self.worth(request.shares));
        request.value = before + self.worth(shares); // part of the assets
        request.shares += shares; // part of all shares
        request.unlock_at = self.accrued_at + self.cooldown_secs;
        self.escrowed += shares;
        Ok(())
    }

    /// Cancels a withdrawal request. Returns the number of shares that its owner gets back: as many
    /// as the lower of the request's value and its current value would buy if the request were paid
    /// first. The others are burned.
    pub fn cancel_request(&mut self, request: &WithdrawRequest) -> Result<u64> {
        let mut returned = request.shares;
        if request.value < self.worth(returned) {
            let (supply, assets) = (self.shares - returned, self.assets - request.value);
            let bought = math::shares_for(request.value, supply, assets);
            returned = returned.min(bought.ok_or(DriftShieldError::Overflow)?);
        }
        self.end_escrow(request.shares, request.shares - returned);
        Ok(returned)
    }

    /// Pays a withdrawal request as far as free capital suffices. Returns the paid amount and the
    /// number of shares to burn. The rest stays requested.
    pub fn withdraw(&mut self, request: &mut WithdrawRequest, now: i64) -> Result<(u64, u64)> {
        require!(request.unlock_at <= now, DriftShieldError::StillCoolingDown);
        let value = request.value.min(self.worth(request.shares));
        let free = self.free();
        let (paid, shares) = if value <= free {
            (value, request.shares)
        } else {
            Self::partial_payment(value, request.shares, free)?
        };
        let left = request.shares - shares;
        // Rounded up: the rest and the payment together are at most the value. The request has
        // shares: see `request`.
        let left_value =
            (u128::from(request.value) * u128::from(left)).div_ceil(u128::from(request.shares));
        request.value = left_value as u64; // at most the value
        request.shares = left;
        self.assets -= paid; // at most the free capital
        self.end_escrow(shares, shares);
        self.release_orphaned_assets();
        Ok((paid, shares))
    }

    /// Returns the largest payment of at most `free` for a whole number of shares, and the fewest
    /// shares that yield it. `value` is the value of `shares`, and `free` is less. Rounding costs
    /// the owner less than one share and one base unit per payment.
    fn partial_payment(value: u64, shares: u64, free: u64) -> Result<(u64, u64)> {
        let overflow = DriftShieldError::Overflow;
        let most = math::mul_div(shares, free, value).ok_or(overflow)?;
        let paid = math::mul_div(value, most, shares).ok_or(overflow)?;
        require!(0 < paid, DriftShieldError::CapitalLocked);
        let fewest = (u128::from(paid) * u128::from(shares)).div_ceil(u128::from(value));
        Ok((paid, fewest as u64)) // at most `most`
    }

    /// Removes `escrowed` shares from the escrow; `ended` of them are burned.
    fn end_escrow(&mut self, escrowed: u64, ended: u64) {
        self.escrowed -= escrowed;
        self.shares -= ended;
    }

    /// Credits the remaining assets to the treasury once there are no shares and nothing is locked.
    /// These assets are profits in which the withdrawn shares had no part.
    fn release_orphaned_assets(&mut self) {
        if self.shares == 0 && self.locked == 0 {
            self.protocol_credit += core::mem::take(&mut self.assets); // parts of one balance
        }
    }

    // Ends.

    /// Removes a withdrawal request that was paid or cancelled.
    pub fn end_request(&mut self) {
        self.requests -= 1;
    }

    /// Whether nobody has a claim on the vault's capital. `circulating` is the number of shares
    /// outside of the escrow. This number can be lower than the vault's own count: holders may burn
    /// shares, or send them to the escrow without a request.
    fn is_unowned(&self, circulating: u64) -> bool {
        circulating == 0 && self.requests == 0
    }

    /// Whether nobody has a claim on the vault's capital, and the notice period since `since`, in
    /// which the manager could attract deposits, is over.
    pub fn is_abandoned(&self, circulating: u64, since: i64, now: i64) -> bool {
        self.is_unowned(circulating) && self.notice_end(since) <= now
    }

    /// Whether the vault has no circulating shares, withdrawal requests, exposures and policies.
    pub fn is_empty(&self, circulating: u64) -> bool {
        self.is_unowned(circulating) && self.exposures == 0 && self.policies == 0
    }

    /// Whether the notice period since the vault's creation is over. From then on, anyone may close
    /// an empty vault.
    pub fn is_notice_over(&self, now: i64) -> bool {
        self.notice_end(self.created_at) <= now
    }

    /// Returns the amount that the token account owes.
    pub fn owed(&self) -> Result<u64> {
        [self.unearned, self.protocol_credit, self.manager_credit]
            .into_iter()
            .try_fold(self.assets, u64::checked_add)
            .ok_or(DriftShieldError::Overflow.into())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

impl TokenOwner for Vault {
    fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"vault", &self.manager, self.id, self.bump)
    }

    /// Also refuses a vault that has locked more than its capital.
    #[inline(never)] // one copy keeps the binary small
    fn invariant(&self, balance: u64) -> Result<()> {
        require!(
            self.locked <= self.assets && self.owed()? <= balance,
            DriftShieldError::Insolvent
        );
        Ok(())
    }
}
