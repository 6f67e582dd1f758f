use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math::{self, Curve, BPS},
    token::PodTokenProgram,
    DriftShieldError, Model, PdaSigner, Stream, WithdrawRequest, DAY_SECS, MAX_FEES_BPS,
    MAX_PERIOD_SECS,
};

/// Premium streams end at the end of one of so many buckets.
pub const BUCKETS: usize = 64;
/// The longest cooldown: that of a model with the longest window and the longest periods.
pub const MAX_COOLDOWN_SECS: i64 = 31 * DAY_SECS + 3 * MAX_PERIOD_SECS;
/// Beside the cooldown, how long before changed terms and listings take effect: who disagrees has
/// left by then.
pub const NOTICE_SECS: i64 = DAY_SECS;
/// Smallest limit of a vault's utilisation.
const MIN_MAX_UTILISATION_BPS: u16 = 5_000;
/// Shares of a base unit that a vault takes deposits at, at most: beyond it was wiped out.
const MAX_SHARES_PER_UNIT: u128 = 1_000_000_000;
/// Rates of streams are in 2⁻³² of a base unit a second.
pub const RATE_BITS: u32 = 32;

/// What liquidity providers put up to back policies, and what they earn by it.
///
/// Address: PDA of `["vault", manager, id (u64 LE)]`.
/// Amounts are in base units of `mint`, times in seconds. Its share mint outlives it, so that the
/// address is never used again.
#[account]
pub struct Vault {
    pub manager: Address,
    pub mint: Address,
    /// Holds capital, premiums and credits: PDA of `["vault_tokens", vault]`.
    pub tokens: Address,
    /// Mint of the shares, of SPL Token: PDA of `["shares", vault]`.
    pub share_mint: Address,
    /// Holds the shares that are asked back: PDA of `["escrow", vault]`.
    pub escrow: Address,
    pub id: u64,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// Earned capital: what the shares are worth together.
    pub assets: u64,
    /// Cover of open policies, less what they were paid. Never above `assets`.
    pub locked: u64,
    /// Premium that has not streamed yet.
    pub unearned: u64,
    /// Shares made and not ended by the vault, with those in escrow.
    pub shares: u64,
    /// Shares that are asked back.
    pub escrowed: u64,
    /// Not collected yet: the protocol's part of premiums, and what streamed while there were no
    /// shares.
    pub protocol_credit: u64,
    /// The manager's part of premiums, not collected yet.
    pub manager_credit: u64,
    /// Open policies, exposures and withdraw requests.
    pub policies: u64,
    pub exposures: u64,
    pub requests: u64,
    pub created_at: i64,
    /// How long shares that are asked back stay in escrow.
    pub cooldown_secs: i64,
    /// Copied from Config: how long before its first covered window a policy is bought at least.
    pub waiting_secs: i64,
    /// Copied from Config: how long a policy can be claimed after its last receipt.
    pub claim_grace_secs: i64,
    /// Copied from Config: length of a bucket.
    pub bucket_secs: i64,
    /// Until when premium has streamed.
    pub accrued_at: i64,
    /// When `next_terms` take effect; 0 when they have.
    pub terms_at: i64,
    pub terms: VaultTerms,
    pub next_terms: VaultTerms,
    /// Premium that streams a second, in 2⁻³² of a base unit.
    pub rate: PodU128,
    /// What the end of a bucket takes off the rate, by the number of the bucket that begins then,
    /// modulo 64.
    pub ends: [PodU128; BUCKETS],
    /// What has streamed beyond whole base units, in 2⁻³².
    pub fraction: u32,
    /// Copied from Config: the protocol's part of a premium, in bps.
    pub protocol_fee_bps: u16,
    /// The manager's part of a premium, in bps.
    pub manager_fee_bps: u16,
    /// The program of `mint`.
    pub token_program: PodTokenProgram,
    pub decimals: u8,
    pub bump: u8,
    pub reserved: u8,
    /// How often its manager has listed a model, or changed on what terms: a deposit names it.
    pub listings: u32,
}

const _: () = assert!(core::mem::size_of::<Vault>() == 5 * 32 + 19 * 8 + 2 * 48 + 65 * 16 + 16);

/// How a vault prices cover, and how much of it it sells. Rates are annual, in bps.
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
    /// Smallest and largest cover of a policy, in base units; at least 1.
    pub min_cover: u64,
    pub max_cover: u64,
    /// Shortest and longest time from a purchase to the end of its last window, in seconds; at
    /// least 1.
    pub min_duration_secs: i64,
    pub max_duration_secs: i64,
    /// Charged whatever the utilisation and the drift.
    pub base_bps: u16,
    /// Charged at the kink; in proportion below it.
    pub slope1_bps: u16,
    /// Charged beside `slope1_bps` at full utilisation; in proportion above the kink.
    pub slope2_bps: u16,
    /// Utilisation at which the slope changes; above 0 and below 10 000.
    pub kink_bps: u16,
    /// Charged where the model has drifted to the trigger; in proportion below it.
    pub risk_slope_bps: u16,
    /// How much of the capital may be locked, at least 5 000 and at most 10 000: so that cover holds
    /// no more than as much again back from whoever leaves. A purchase may lock as much of the capital
    /// that is not asked back.
    pub max_utilisation_bps: u16,
    /// Part of the premium that a cancelled policy would get back and doesn't, at most 10 000.
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

/// The money of a vault, as events tell it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType,
)]
pub struct VaultTotals {
    pub assets: u64,
    pub locked: u64,
    pub unearned: u64,
    pub shares: u64,
    pub escrowed: u64,
    pub protocol_credit: u64,
    pub manager_credit: u64,
}

impl Vault {
    /// What the vault is made with and never changes.
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

    /// When a change of terms or a listing of `now` takes effect.
    pub fn notice_end(&self, now: i64) -> i64 {
        now + self.cooldown_secs + NOTICE_SECS
    }

    /// Announces terms. Those that were announced and have not taken effect never will.
    pub fn announce(&mut self, terms: VaultTerms, now: i64) -> Result<()> {
        terms.validate()?;
        self.accrue(now);
        self.next_terms = terms;
        self.terms_at = self.notice_end(now);
        Ok(())
    }

    /// Refuses a model whose losses could be measured after who backed them has left.
    pub fn require_measured_in_time(&self, model: &Model) -> Result<()> {
        require!(
            model.window_secs + model.dispute_secs() <= self.cooldown_secs,
            DriftShieldError::ModelTooSlow
        );
        Ok(())
    }

    // Streams.

    /// Brings the vault to `now`: premium that has streamed becomes capital, or the treasury's where
    /// there are no shares, and announced terms take effect.
    pub fn accrue(&mut self, now: i64) {
        let now = now.max(self.accrued_at); // never back
        if 0 < self.terms_at && self.terms_at <= now {
            self.terms = self.next_terms;
            self.terms_at = 0;
        }
        let (streamed, rate) = self.stream_until(now);
        self.accrued_at = now;
        let mut earned = self.unearned; // when all streams have ended, what their rounding left too
        self.fraction = 0;
        if 0 < rate {
            // Streams never give more than was paid for them.
            earned = earned.min((streamed >> RATE_BITS) as u64);
            self.fraction = streamed as u32;
        }
        self.unearned -= earned;
        // Sums of what the token account holds.
        if self.shares == 0 {
            self.protocol_credit += earned;
        } else {
            self.assets += earned;
        }
    }

    /// Takes the ends of streams off the rate, bucket by bucket. Returns what has streamed, in 2⁻³²
    /// of a base unit, and the rate at `now`.
    fn stream_until(&mut self, now: i64) -> (u128, u128) {
        let mut streamed = u128::from(self.fraction);
        let mut rate = self.rate.get();
        let mut at = self.accrued_at;
        let mut bucket = self.bucket(at) + 1;
        // Each stream ends within the ring, so that the rate is 0 after one turn at the latest.
        while 0 < rate && at < now {
            let end = bucket * self.bucket_secs;
            let until = end.min(now);
            streamed += rate * (until - at) as u128; // below what is unearned, scaled
            at = until;
            if end <= now {
                let ends = &mut self.ends[bucket as usize % BUCKETS];
                rate = rate.saturating_sub(ends.get());
                *ends = PodU128::ZERO;
                bucket += 1;
            }
        }
        self.rate = rate.into();
        (streamed, rate)
    }

    /// The number of the bucket that `at` lies in. Neither is negative, and SBPF divides no signed
    /// numbers.
    fn bucket(&self, at: i64) -> i64 {
        (at as u64 / self.bucket_secs as u64) as i64
    }

    /// The end of the bucket that `end` lies in: until then the stream of a term that ends then runs.
    pub fn stream_end(&self, end: i64) -> i64 {
        (self.bucket(end) + 1) * self.bucket_secs
    }

    /// Whether a stream of a term until `end` fits the ring at `now`.
    pub fn has_bucket(&self, end: i64, now: i64) -> bool {
        self.bucket(end) + 1 - self.bucket(now) <= BUCKETS as i64
    }

    /// Begins to stream `part` of a premium over a term that ends at `end`. `accrue` came before.
    fn begin_stream(&mut self, part: u64, end: i64) -> Stream {
        let start = self.accrued_at;
        let stream_end = self.stream_end(end);
        let rate = (u128::from(part) << RATE_BITS) / (stream_end - start) as u128;
        self.unearned += part;
        self.rate += rate;
        let ends = &mut self.ends[self.bucket(stream_end) as usize % BUCKETS];
        *ends += rate;
        Stream {
            rate: rate.into(),
            part,
            start,
            end,
        }
    }

    /// Takes `refund` out of what `stream` has left. `accrue` came before.
    pub fn cut_stream(&mut self, stream: &Stream, refund: u64) {
        let stream_end = self.stream_end(stream.end);
        let left = (stream_end - self.accrued_at) as u128; // above 0: there is something to refund
        let cut = (u128::from(refund) << RATE_BITS)
            .div_ceil(left)
            .min(stream.rate.get());
        self.unearned -= refund; // part of it
        self.rate -= cut;
        let ends = &mut self.ends[self.bucket(stream_end) as usize % BUCKETS];
        *ends -= cut;
    }

    /// Takes a premium's parts of the protocol and the manager. Returns what is left to stream.
    pub fn split_premium(&self, premium: u64) -> (u64, u64, u64) {
        let protocol = math::fee(premium, self.protocol_fee_bps);
        let manager = math::fee(premium, self.manager_fee_bps);
        (protocol, manager, premium - protocol - manager)
    }

    /// Takes in a premium's parts, which are paid: two are credited, and what is left streams over a
    /// term until `end`.
    pub fn sell(&mut self, protocol: u64, manager: u64, streamed: u64, end: i64) -> Stream {
        self.protocol_credit += protocol;
        self.manager_credit += manager;
        self.begin_stream(streamed, end)
    }

    /// Neither who knows a model from inside nor the manager buys cover.
    pub fn require_outsider(&self, holder: &Address, model: &Model) -> Result<()> {
        require!(
            !model.is_insider(holder) && !anchor_lang::address_eq(&self.manager, holder),
            DriftShieldError::Insider
        );
        Ok(())
    }

    // Capital.

    /// Whether `locked` is within what may be locked. Where it is more than now, what is asked back must
    /// be free beside it, by announced terms too: so that no purchase holds back who asked before it.
    pub fn bears(&self, locked: u64) -> bool {
        let mut assets = self.assets;
        let mut max_utilisation_bps = self.terms.max_utilisation_bps;
        if self.locked < locked {
            assets -= self.worth(self.escrowed); // a part of it
            if 0 < self.terms_at {
                max_utilisation_bps = max_utilisation_bps.min(self.next_terms.max_utilisation_bps);
            }
        }
        u128::from(locked) * u128::from(BPS) <= u128::from(assets) * u128::from(max_utilisation_bps)
    }

    /// What the capital may be lowered by.
    fn free(&self) -> u64 {
        let needed = (u128::from(self.locked) * u128::from(BPS))
            .div_ceil(u128::from(self.terms.max_utilisation_bps));
        u64::try_from(needed).map_or(0, |needed| self.assets.saturating_sub(needed))
    }

    /// A policy was sold, within what the vault `bears`.
    pub fn lock(&mut self, cover: u64) {
        self.locked += cover;
    }

    /// A policy was paid, or ended, and no longer needs `cover`.
    pub fn unlock(&mut self, cover: u64) {
        self.locked -= cover;
        self.release_orphans();
    }

    /// A claim of `amount` is paid out of the capital: it was locked.
    pub fn lose(&mut self, amount: u64) {
        self.assets -= amount;
        self.unlock(amount);
    }

    // Shares.

    /// What `shares` are worth.
    pub fn worth(&self, shares: u64) -> u64 {
        math::assets_for(shares, self.shares, self.assets)
    }

    /// Takes `amount` for shares. Returns how many.
    pub fn deposit(&mut self, amount: u64, min_shares: u64, listings: u32) -> Result<u64> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        // Without shares a listing takes effect at once: a first deposit bears none that it hasn't
        // seen.
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

    /// Puts `shares` more into escrow. All that is asked back waits from now on, and is worth at
    /// most what it is worth now.
    pub fn request(&mut self, request: &mut WithdrawRequest, shares: u64) -> Result<()> {
        require!(0 < shares, DriftShieldError::ZeroAmount);
        let before = request.value.min(self.worth(request.shares));
        request.value = before + self.worth(shares); // parts of the assets
        request.shares += shares; // parts of all shares
        request.unlock_at = self.accrued_at + self.cooldown_secs;
        self.escrowed += shares;
        Ok(())
    }

    /// Gives a request up. Returns the shares that its owner gets back: those that the lower of its
    /// value then and now would buy, if it had been paid. The others end.
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

    /// Pays a request as far as free capital reaches. Returns what is paid, and the shares that end
    /// by it; what is left stays requested.
    pub fn withdraw(&mut self, request: &mut WithdrawRequest, now: i64) -> Result<(u64, u64)> {
        require!(request.unlock_at <= now, DriftShieldError::StillCoolingDown);
        let value = request.value.min(self.worth(request.shares));
        let free = self.free();
        let (paid, shares) = if value <= free {
            (value, request.shares)
        } else {
            Self::part_of(value, request.shares, free)?
        };
        let left = request.shares - shares;
        // Rounded up: what is left and what is paid are together at most the value. A request has
        // shares: see `request`.
        let left_value =
            (u128::from(request.value) * u128::from(left)).div_ceil(u128::from(request.shares));
        request.value = left_value as u64; // at most the value
        request.shares = left;
        self.assets -= paid; // at most what is free
        self.end_escrow(shares, shares);
        self.release_orphans();
        Ok((paid, shares))
    }

    /// The largest payment of at most `free`, less than `value`, that whole ones of `shares` make,
    /// and the fewest shares that make it: so whoever calls for many small payments takes less than
    /// a share and less than a base unit from their owner with each.
    fn part_of(value: u64, shares: u64, free: u64) -> Result<(u64, u64)> {
        let overflow = DriftShieldError::Overflow;
        let most = math::mul_div(shares, free, value).ok_or(overflow)?;
        let paid = math::mul_div(value, most, shares).ok_or(overflow)?;
        require!(0 < paid, DriftShieldError::CapitalLocked);
        let fewest = (u128::from(paid) * u128::from(shares)).div_ceil(u128::from(value));
        Ok((paid, fewest as u64)) // at most `most`
    }

    /// `escrowed` shares leave the escrow, `ended` of them for good.
    fn end_escrow(&mut self, escrowed: u64, ended: u64) {
        self.escrowed -= escrowed;
        self.shares -= ended;
    }

    /// What is left when the last share has gone and nothing is covered is the treasury's: profits
    /// that leaving shares had no part in.
    fn release_orphans(&mut self) {
        if self.shares == 0 && self.locked == 0 {
            self.protocol_credit += core::mem::take(&mut self.assets); // of one token account
        }
    }

    // Ends.

    /// A withdraw request was paid or given up.
    pub fn end_request(&mut self) {
        self.requests -= 1;
    }

    /// Whether nobody has a part in the vault. `in_hands` are the shares that somebody holds: fewer
    /// than the vault has made where some were burned, or sent to the escrow without a request.
    fn is_nobodys(&self, in_hands: u64) -> bool {
        in_hands == 0 && self.requests == 0
    }

    /// Whether nobody has a part in the vault at `now`, though the manager had time since `since` to
    /// find somebody to take one.
    pub fn is_abandoned(&self, in_hands: u64, since: i64, now: i64) -> bool {
        self.is_nobodys(in_hands) && self.notice_end(since) <= now
    }

    /// Whether nothing depends on the vault.
    pub fn is_empty(&self, in_hands: u64) -> bool {
        self.is_nobodys(in_hands) && self.exposures == 0 && self.policies == 0
    }

    /// Whether anyone may close the vault, which is empty: its manager had time to fill it.
    pub fn is_over(&self, now: i64) -> bool {
        self.notice_end(self.created_at) <= now
    }

    /// What the token account owes.
    pub fn owed(&self) -> Result<u64> {
        [self.unearned, self.protocol_credit, self.manager_credit]
            .into_iter()
            .try_fold(self.assets, u64::checked_add)
            .ok_or(DriftShieldError::Overflow.into())
    }

    /// What must hold after every instruction. Anyone can send the token account more.
    #[inline(never)] // one copy keeps the binary small
    pub fn invariant(&self, tokens_amount: u64) -> Result<()> {
        require!(
            self.locked <= self.assets && self.owed()? <= tokens_amount,
            DriftShieldError::Insolvent
        );
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }

    /// With this the program signs for the vault, owner of its token accounts and its share mint.
    pub fn signer(&self) -> PdaSigner {
        PdaSigner::new(b"vault", &self.manager, self.id, self.bump)
    }
}
