//! Price of a purchase or renewal of a policy, and the rules that can refuse it.
//!
//! The program charges what [`quote`] returns, and clients call the same function.

use crate::{BPS, Curve, Premium, fee, rent};

/// A market's or a policy's last window ends at most this many seconds ahead.
pub const MAX_HORIZON_SECS: i64 = 400 * 24 * 60 * 60;
/// Fewest Final receipts of a model's version with which cover on the model is sold.
pub const MIN_HISTORY: u64 = 8;
/// Largest number of consecutive windows that must reach a policy's trigger.
pub const MAX_PERSISTENCE: u8 = 4;
/// Number of buckets in a vault's ring. A stream begins and ends at most this many buckets ahead.
pub const BUCKETS: usize = 64;
/// Most windows from the oldest one that is undecided at a sale to the last covered one. The series
/// pages of so many windows fit into one transaction.
pub const MAX_POLICY_WINDOWS: u64 = 2_048;
/// Least distance of a policy's exhaustion from its trigger, as a multiple of the model's
/// `max_spread`: an error that nobody can dispute moves at most an eighth of the cover.
pub const RAMP_SPREADS: u64 = 8;
/// Least distance of a trigger from the drift, as a multiple of the model's `max_spread`: values that
/// are each wrong by no more than it can't make up a rise to the trigger.
const TRIGGER_SPREADS: u64 = 2;
/// Anyone may renew a policy in the last quarter of its term before the last time for a renewal.
const RENEWAL_PART: i64 = 4;

/// What a model says to a sale of cover on it. Drift is in micro-units, amounts are in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelState {
    pub is_active: bool,
    pub version: u32,
    pub genesis: i64,
    pub window_secs: i64,
    /// Longest time after a window's end in which its receipt can become Final.
    pub dispute_secs: i64,
    pub noise_floor: u64,
    /// Largest error of a value that nobody can dispute.
    pub max_spread: u64,
    /// Number of Final receipts of the version.
    pub final_count: u64,
    /// Latest Final window.
    pub last_window: u64,
    /// The higher of the values of the latest Final window and of the latest proposed one.
    pub drift: u64,
    pub ewma: u64,
    /// Open cover of all policies on the model, in all vaults.
    pub cover_risk: u64,
    /// Largest `cover_risk` that the bonds secure.
    pub cover_limit: u64,
    /// Security rent a year, in bps.
    pub security_rent_bps: u16,
}

/// A vault's listing of the model. Amounts are in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    pub model_version: u32,
    pub active_at: i64,
    pub cap: u64,
    /// Open cover on the model.
    pub cover: u64,
    pub lowest_trigger: u64,
    pub max_persistence: u8,
}

/// A vault that sells cover, accrued up to the time of the sale. Amounts are in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seller {
    pub waiting_secs: i64,
    pub bucket_secs: i64,
    pub assets: u64,
    /// Capital that may back a purchase: `assets` without what is requested for withdrawal or
    /// reserved.
    pub staying: u64,
    /// Capital by which cover is priced, as far as it stays for a purchase.
    pub seasoned: u64,
    pub locked: u64,
    /// Largest part of the capital that renewals may lock, in bps.
    pub max_utilisation_bps: u16,
    /// Largest part of the capital that purchases may lock, in bps.
    pub purchase_utilisation_bps: u16,
    pub protocol_fee_bps: u16,
    pub manager_fee_bps: u16,
    pub min_cover: u64,
    pub max_cover: u64,
    pub min_duration_secs: i64,
    pub max_duration_secs: i64,
    pub base_bps: u16,
    pub curve: Curve,
    pub risk_slope_bps: u16,
    /// Part of a cancelled policy's unused premium that the vault keeps, in bps.
    pub cancel_fee_bps: u16,
    /// Part of the risk that is charged, in bps, by persistence.
    pub persistence_bps: [u16; MAX_PERSISTENCE as usize],
}

/// The policy that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub model_version: u32,
    pub cover: u64,
    pub trigger: u64,
    pub exhaustion: u64,
    pub persistence: u8,
    pub first_window: u64,
    pub windows: u64,
    pub max_premium: u64,
    /// Highest cancel fee of a purchase, in bps.
    pub max_cancel_fee_bps: u16,
}

/// A paid term of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Streamed part of its premium, in base units.
    pub part: u64,
    /// Unix time at which the paid time begins.
    pub start: i64,
    /// Unix time at which the last paid window ends.
    pub end: i64,
    /// Unix time at which its stream ends.
    pub stream_end: i64,
}

/// A policy whose renewal is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    pub term: Term,
    /// What the policy has paid and owes for claims, in base units.
    pub worth: u64,
    /// Whether a term is on probation.
    pub is_pending: bool,
    /// Whether the holder signs.
    pub is_signed: bool,
}

/// Price and terms of a purchase or a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Premium that the holder pays to the vault, in base units.
    pub premium: u64,
    /// Security rent that the holder pays to the model's oracles in addition, in base units.
    pub rent: u64,
    /// Unix time until which the rent is paid.
    pub rent_end: i64,
    /// The protocol's part of the premium, in base units.
    pub protocol_part: u64,
    /// The manager's part of the premium, in base units.
    pub manager_part: u64,
    /// Part of the premium that streams to the vault, in base units.
    pub streamed_part: u64,
    /// First window of the probation: the oldest that can be undecided. The probation ends with the
    /// window before `first_window`.
    pub from_window: u64,
    pub first_window: u64,
    pub last_window: u64,
    /// Unix time at which the paid time begins: the purchase, or the end of the renewed term.
    pub start: i64,
    /// Unix time at which the last window ends.
    pub end: i64,
    /// The vault's locked capital before the purchase, in base units, without the cover of a policy
    /// that is renewed.
    pub locked_before: u64,
    /// The vault's locked capital after the purchase, in base units.
    pub locked_after: u64,
}

impl Quote {
    /// Returns the amount that the holder pays: the premium and the security rent, which fit 64 bits
    /// together.
    pub fn price(&self) -> u64 {
        self.premium + self.rent
    }
}

/// A rule by which a purchase or renewal is refused. The comment states the unit and the meaning of
/// [`Refusal::limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The model is retired. No limit.
    ModelRetired,
    /// The policy names another version of the model: the model's version.
    VersionMismatch,
    /// The listing is of another version of the model: the model's version.
    ListingOutdated,
    /// The model has too few Final receipts: the fewest.
    TooLittleHistory,
    /// The newest Final receipt is too old: the Unix time until which it counted.
    StaleHistory,
    /// Too late for the first window: the first one that can be covered.
    WindowsBegan,
    /// The first window is later than it has to be: the first one that can be covered.
    WindowsTooLate,
    /// The last window is too far in the future for the clock. No limit.
    WindowOutOfRange,
    /// The exhaustion is too close to the trigger, or below it: the lowest, in micro-units.
    InvalidExhaustion,
    /// The trigger is below the model's noise floor: the floor, in micro-units.
    BelowNoiseFloor,
    /// The trigger isn't far enough above the drift: the lowest that is, in micro-units.
    TriggerReached,
    /// The trigger is below the listing's lowest: the lowest, in micro-units.
    TriggerTooLow,
    /// The persistence isn't 1 to 4, or more than the windows: the nearest that is allowed.
    InvalidPersistence,
    /// The persistence is above the listing's largest: the largest.
    PersistenceTooLong,
    /// The listing hasn't taken effect: the Unix time at which it does.
    ListingNotActive,
    /// The duration is too short or too long: the nearest that is allowed, in seconds.
    DurationOutOfLimits,
    /// The policy would end too late: the latest Unix time at which it may end.
    EndTooFar,
    /// The time from the oldest undecided window to the last covered one has too many windows: the
    /// most.
    TooManyWindows,
    /// The cover is too small or too large: the nearest that is allowed, in base units.
    CoverOutOfLimits,
    /// The cover is above what is left of the listing's cap: the largest, in base units.
    ExposureFull,
    /// The cover would lock too much of the vault: the largest, in base units.
    UtilisationTooHigh,
    /// The bonds secure less: the largest cover, in base units.
    AboveSecurityLimit,
    /// The price is above the holder's maximum: the premium and the security rent, in base units.
    PremiumTooHigh,
    /// The price doesn't fit 64 bits. No limit.
    Overflow,
    /// The vault's cancel fee is above the buyer's maximum: the fee, in bps.
    CancelFeeTooHigh,
    /// The policy to renew has paid or owes a claim. No limit.
    PolicyTriggered,
    /// A term of the policy to renew is on probation. No limit.
    TermPending,
    /// The holder doesn't sign, and the renewal comes more than a quarter of the term before the last
    /// time for it: the Unix time from which it may come.
    RenewalTooEarly,
    /// The holder doesn't sign, and the rate is more than 1.25 times that of the term before: the
    /// largest streamed part of the premium, in base units.
    RenewalTooDear,
}

/// Why a purchase or a renewal is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub rule: Rule,
    /// What the rule would allow: see the rule.
    pub limit: u64,
}

const OVERFLOW: Refusal = Refusal {
    rule: Rule::Overflow,
    limit: 0,
};

pub type Verdict<T = ()> = Result<T, Refusal>;

/// Refuses by `rule` unless `holds`.
fn require(holds: bool, rule: Rule, limit: u64) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(Refusal { rule, limit })
    }
}

/// A Unix time as a limit. Times of the program are never negative.
fn at(time: i64) -> u64 {
    time.max(0) as u64
}

/// The part of the capital that may be locked, rounded down.
fn part(capital: u64, bps: u16) -> u64 {
    (u128::from(capital) * u128::from(bps) / u128::from(BPS)) as u64 // at most the capital
}

/// Returns the number of windows that a dispute takes, rounded up. Both times are at least 0 and
/// `window_secs` is above 0.
pub fn dispute_windows(dispute_secs: i64, window_secs: i64) -> u64 {
    (dispute_secs as u64).div_ceil(window_secs as u64)
}

impl ModelState {
    /// Returns the Unix time at which `window` ends. `None` if it is too far in the future.
    fn window_end(&self, window: u64) -> Option<i64> {
        let index = i64::try_from(window.checked_add(1)?).ok()?;
        let end = self
            .window_secs
            .checked_mul(index)?
            .checked_add(self.genesis)?;
        (end <= i64::MAX - 100 * MAX_HORIZON_SECS).then_some(end)
    }

    /// Returns the first window that begins at or after `from`.
    pub fn window_from(&self, from: i64) -> u64 {
        let wait = from.saturating_sub(self.genesis).max(0);
        (wait as u64).div_ceil(self.window_secs as u64)
    }

    /// Returns the first window of a probation that begins at `now`: as many windows before the
    /// running one as a dispute takes, rounded up. Earlier ones are decided.
    pub fn probation_start(&self, now: i64) -> u64 {
        let secs = now.saturating_sub(self.genesis).max(0);
        let running = secs as u64 / self.window_secs as u64; // whole windows, so rounded down
        running.saturating_sub(dispute_windows(self.dispute_secs, self.window_secs))
    }

    /// Returns the lowest trigger that is far enough above the drift.
    pub fn lowest_above_drift(&self) -> u64 {
        let rise = TRIGGER_SPREADS * self.max_spread + 1; // the spread is below 2⁵⁰
        self.drift.saturating_add(rise)
    }

    /// Returns the lowest exhaustion of a policy with `trigger`.
    pub fn lowest_exhaustion(&self, trigger: u64) -> u64 {
        trigger.saturating_add(RAMP_SPREADS * self.max_spread) // the spread is below 2⁵⁰
    }

    fn require_measured(&self, version: u32, listed: u32, now: i64) -> Verdict {
        require(self.is_active, Rule::ModelRetired, 0)?;
        let own = u64::from(self.version);
        require(version == self.version, Rule::VersionMismatch, own)?;
        require(listed == self.version, Rule::ListingOutdated, own)?;
        let enough = MIN_HISTORY <= self.final_count;
        require(enough, Rule::TooLittleHistory, MIN_HISTORY)?;
        let end = self.window_end(self.last_window).unwrap_or(0); // is Final, so it has ended
        let stale_at = end + 2 * self.window_secs + self.dispute_secs;
        require(now <= stale_at, Rule::StaleHistory, at(stale_at))
    }
}

impl Seller {
    /// Returns the end of the bucket in which `time` lies. Divides unsigned numbers, as SBPF has no
    /// signed division; neither number is negative.
    pub fn bucket_end(&self, time: i64) -> i64 {
        (time as u64 / self.bucket_secs as u64 + 1) as i64 * self.bucket_secs
    }

    /// Returns when a stream that begins at `start` ends: with the bucket in which its term ends, and
    /// at least one bucket after `start`.
    fn stream_end(&self, start: i64, end: i64) -> i64 {
        self.bucket_end(end.max(start + self.bucket_secs - 1))
    }

    /// Refuses cover that is out of the vault's limits, or that would lock too much. `released` is
    /// the cover of a renewed policy. Returns the locked capital without it, and after the sale.
    fn lock(&self, cover: u64, released: u64) -> Verdict<(u64, u64)> {
        let nearest = cover.clamp(self.min_cover, self.max_cover);
        require(cover == nearest, Rule::CoverOutOfLimits, nearest)?;
        // What is set aside for a policy that is renewed isn't locked.
        let locked = self.locked.saturating_sub(released);
        let most = if cover <= released {
            part(self.assets, self.max_utilisation_bps)
        } else {
            part(self.staying, self.purchase_utilisation_bps)
        };
        let left = most.saturating_sub(locked);
        require(cover <= left, Rule::UtilisationTooHigh, left)?;
        Ok((locked, locked + cover))
    }
}

impl Renewed {
    /// `waiting_secs`: how long before the end of the term a renewal has to come.
    fn require_renewable(&self, waiting_secs: i64, now: i64) -> Verdict {
        require(self.worth == 0, Rule::PolicyTriggered, 0)?;
        require(!self.is_pending, Rule::TermPending, 0)?;
        let term = &self.term;
        let open_at = term.end - waiting_secs - (term.end - term.start) / RENEWAL_PART;
        let is_open = self.is_signed || open_at <= now;
        require(is_open, Rule::RenewalTooEarly, at(open_at))
    }

    /// Refuses a renewal without the holder's signature whose rate is more than 1.25 times that of
    /// the term before. The comparison of the streamed parts suffices: the fees' rates never change.
    fn require_affordable(&self, part: u64, duration: u64) -> Verdict {
        let before = u128::from(at(self.term.end - self.term.start));
        let scaled = u128::from(self.term.part) * 5 * u128::from(duration);
        let most = scaled / (4 * before).max(1);
        let is_affordable = self.is_signed || u128::from(part) <= most;
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        require(is_affordable, Rule::RenewalTooDear, limit)
    }
}

impl Wanted {
    fn require_trigger(&self, model: &ModelState, listing: &Listing) -> Verdict {
        let trigger = self.trigger;
        let nearest = model.lowest_exhaustion(trigger);
        let is_far = nearest <= self.exhaustion;
        require(is_far, Rule::InvalidExhaustion, nearest)?;
        let floor = model.noise_floor;
        require(floor <= trigger, Rule::BelowNoiseFloor, floor)?;
        let above = model.lowest_above_drift();
        require(above <= trigger, Rule::TriggerReached, above)?;
        let lowest = listing.lowest_trigger;
        require(lowest <= trigger, Rule::TriggerTooLow, lowest)
    }

    fn require_persistence(&self, listing: &Listing) -> Verdict {
        let most = u64::from(MAX_PERSISTENCE).min(self.windows).max(1);
        let nearest = u64::from(self.persistence).clamp(1, most);
        let is_valid = u64::from(self.persistence) == nearest && nearest <= self.windows;
        require(is_valid, Rule::InvalidPersistence, nearest)?;
        let longest = listing.max_persistence;
        let fits = self.persistence <= longest;
        require(fits, Rule::PersistenceTooLong, longest.into())
    }
}

/// Returns what the holder pays for `wanted` at `now`, or why the sale is refused. `renewed` is the
/// policy that a renewal extends: it is priced as if its cover were released first, and its paid time
/// begins at the end of the term before.
pub fn quote(
    seller: &Seller,
    listing: &Listing,
    model: &ModelState,
    wanted: &Wanted,
    renewed: Option<&Renewed>,
    now: i64,
) -> Verdict<Quote> {
    if let Some(renewed) = renewed {
        renewed.require_renewable(seller.waiting_secs, now)?;
    }
    let first = model.window_from(now + seller.waiting_secs);
    require(first <= wanted.first_window, Rule::WindowsBegan, first)?;
    let is_first = wanted.first_window == first;
    require(renewed.is_some() || is_first, Rule::WindowsTooLate, first)?;
    let (start, released) = renewed.map_or((now, 0), |renewed| (renewed.term.end, wanted.cover));
    model.require_measured(wanted.model_version, listing.model_version, now)?;
    wanted.require_trigger(model, listing)?;
    wanted.require_persistence(listing)?;
    let is_listed = listing.active_at <= now;
    require(is_listed, Rule::ListingNotActive, at(listing.active_at))?;

    let last_window = wanted.first_window.checked_add(wanted.windows - 1); // windows: at least 1
    let end = last_window.and_then(|window| model.window_end(window));
    let (Some(last_window), Some(end)) = (last_window, end) else {
        return Err(Refusal {
            rule: Rule::WindowOutOfRange,
            limit: 0,
        });
    };
    let duration = end - start;
    let nearest = duration.clamp(seller.min_duration_secs, seller.max_duration_secs);
    require(duration == nearest, Rule::DurationOutOfLimits, at(nearest))?;
    let from_window = model.probation_start(now).min(wanted.first_window);
    let is_short = last_window - from_window < MAX_POLICY_WINDOWS;
    require(is_short, Rule::TooManyWindows, MAX_POLICY_WINDOWS)?;
    // A stream that begins later, after the probation, ends no later relative to the ring.
    let stream_start = renewed.map_or(now, |renewed| now.max(renewed.term.stream_end));
    let stream_end = seller.stream_end(stream_start, end);
    let ring_end = seller.bucket_end(now) + (BUCKETS as i64 - 1) * seller.bucket_secs;
    let latest = (now + MAX_HORIZON_SECS).min(ring_end - 1);
    let is_near = end <= latest && stream_end <= ring_end;
    require(is_near, Rule::EndTooFar, at(latest))?;

    let left = listing
        .cap
        .saturating_sub(listing.cover.saturating_sub(released));
    require(wanted.cover <= left, Rule::ExposureFull, left)?;
    let fee_bps = seller.cancel_fee_bps;
    let is_accepted = renewed.is_some() || fee_bps <= wanted.max_cancel_fee_bps;
    require(is_accepted, Rule::CancelFeeTooHigh, fee_bps.into())?;
    let (locked_before, locked_after) = seller.lock(wanted.cover, released)?;
    let others = model.cover_risk.saturating_sub(released); // part of it
    let secured = model.cover_limit.saturating_sub(others);
    require(wanted.cover <= secured, Rule::AboveSecurityLimit, secured)?;

    let premium = Premium {
        cover: wanted.cover,
        base_bps: seller.base_bps,
        curve: seller.curve,
        risk_slope_bps: seller.risk_slope_bps,
        persistence_bps: seller.persistence_bps[usize::from(wanted.persistence) - 1],
        drift: model.ewma.max(model.drift),
        trigger: wanted.trigger,
        exhaustion: wanted.exhaustion,
        // Whoever requests capital back before a purchase doesn't make the cover cheap. Nobody signs
        // the price of a renewal, so nobody can raise it by a request.
        seasoned: match renewed {
            Some(_) => seller.seasoned,
            None => seller.seasoned.min(seller.staying),
        },
        locked: locked_before,
        duration_secs: duration as u64, // within the vault's limits, which are above 0
    };
    // A renewed policy has paid the rent until its last window is settled.
    let secured_until = renewed.map_or(now, |renewed| renewed.term.end + model.dispute_secs);
    let rent_end = end + model.dispute_secs;
    let secured_secs = (rent_end - secured_until).max(0) as u64;
    let rent = rent(wanted.cover, model.security_rent_bps, secured_secs);
    let (Some(premium), Some(rent)) = (premium.charge(), rent) else {
        return Err(OVERFLOW);
    };
    let price = premium.checked_add(rent).ok_or(OVERFLOW)?;
    let is_accepted = price <= wanted.max_premium;
    require(is_accepted, Rule::PremiumTooHigh, price)?;
    let protocol_part = fee(premium, seller.protocol_fee_bps);
    let manager_part = fee(premium, seller.manager_fee_bps);
    let streamed_part = premium - protocol_part - manager_part;
    if let Some(renewed) = renewed {
        renewed.require_affordable(streamed_part, duration as u64)?;
    }
    Ok(Quote {
        premium,
        rent,
        rent_end,
        protocol_part,
        manager_part,
        streamed_part,
        from_window,
        first_window: wanted.first_window,
        last_window,
        start,
        end,
        locked_before,
        locked_after,
    })
}

#[cfg(test)]
mod tests;
