//! Policies: purchase, renewal, claims and end.

use driftshield_sdk::{Address, PolicyTerms, VaultTerms, address};

use super::{
    Amount, BPS, Books, EventValues, HORIZON, Model, Verdict, fits,
    fraction::Fraction,
    pages,
    probation::Waiting,
    require,
    roles::flag,
    vaults::{Exposure, Stream, Vault},
};

/// Seconds of the year that annual rates refer to.
const YEAR: i64 = 365 * 24 * 60 * 60;
/// Minimum number of Final receipts of a model before cover on it is sold.
const MIN_HISTORY: usize = 8;
/// Maximum number of windows from the oldest undecided one to the last covered one.
const MAX_WINDOWS: u64 = 2_048;

#[derive(Clone, Debug)]
pub struct Policy {
    pub vault: Address,
    pub model: Address,
    pub holder: Address,
    pub id: u64,
    pub terms: PolicyTerms,
    pub cover: Amount,
    pub paid: Amount,
    /// The sum of the premiums of all terms that have begun.
    pub premium: Amount,
    pub first_window: u64,
    /// The last window of the terms that have begun: the one before `first_window` if none has.
    pub last_window: u64,
    pub claim_grace_secs: i64,
    pub cancel_fee_bps: u16,
    /// The term on probation.
    pub waiting: Option<Waiting>,
    /// The premium stream of the last term that has begun.
    pub term: Option<Stream>,
    /// The highest run of the examined windows: its lowest value and its first window.
    pub best: Option<(u64, u64)>,
    /// What the examined windows without a value return of all premiums, at most the cover.
    pub unmeasured: Amount,
    /// The number of these windows in the last begun term.
    pub unmeasured_windows: u64,
    /// The first window that was not examined for runs.
    pub examined_until: u64,
    /// The first window that was not examined for a missing value.
    pub returned_until: u64,
    /// The drift of each examined window that has reached the trigger, in order from the first covered window on.
    pub drifts: Vec<Option<u64>>,
}

/// The price and the term of a purchase or a renewal.
#[derive(Clone, Copy, Debug)]
pub struct PremiumQuote {
    /// The lowest premium within the protocol's tolerance, usually equal to `most`.
    pub least: Amount,
    pub most: Amount,
    /// The security rent, and the time until which it is paid.
    pub rent: Amount,
    pub rent_end: i64,
    /// The first window of the probation.
    pub from_window: u64,
    pub last_window: u64,
    /// When the last window ends.
    pub end: i64,
}

impl Policy {
    pub fn open_cover(&self) -> Amount {
        self.cover - self.paid
    }

    /// What the policy's highest run is worth.
    pub fn claimed(&self) -> Amount {
        self.best.map_or(0, |(lowest, _)| self.worth(lowest))
    }

    /// What has been booked: the worth of the highest run, or the premium of windows without a value.
    pub fn booked(&self) -> Amount {
        self.claimed().max(self.unmeasured)
    }

    /// What the vault has set aside of the open cover.
    pub fn aside(&self) -> Amount {
        self.booked() - self.paid
    }

    /// What the vault has locked for the policy.
    fn locked(&self) -> Amount {
        self.open_cover() - self.aside()
    }

    /// The total payout of the policy for a run whose lowest value is `value`.
    pub fn worth(&self, value: u64) -> Amount {
        let (trigger, exhaustion) = (self.terms.trigger, self.terms.exhaustion);
        if exhaustion <= value {
            return self.cover;
        }
        let (excess, range) = (value - trigger, exhaustion - trigger);
        (self.cover * Amount::from(excess) / Amount::from(range)).max(1)
    }

    /// The time from which on anybody can end the policy.
    pub fn expires_at(&self, model: &Model) -> Verdict<i64> {
        Ok(model.decided_by(self.last_sold())? + self.claim_grace_secs)
    }

    /// The time from which on the policy ends without a payment.
    pub fn lapses_at(&self, model: &Model) -> Verdict<i64> {
        Ok(self.expires_at(model)? + self.claim_grace_secs)
    }
}

/// The integral of the utilisation curve from 0 to `u`, in basis points.
fn integral(terms: &VaultTerms, u: &Fraction) -> Fraction {
    let [slope1, slope2] = [terms.slope1_bps, terms.slope2_bps].map(Fraction::whole);
    let kink = Fraction::new(terms.kink_bps, BPS);
    let (one, two) = (Fraction::whole(1), Fraction::whole(2));
    if u.is_at_most(&kink) {
        return &(&slope1 * &(u * u)) / &(&two * &kink);
    }
    let above = u - &kink;
    let up_to_kink = &(&slope1 * &kink) / &two;
    let beyond = &(&slope2 * &(&above * &above)) / &(&two * &(&one - &kink));
    &(&up_to_kink + &(&slope1 * &above)) + &beyond
}

/// The integral of the curve from 0 to `u`, where the curve stays at its highest beyond 1.
fn clamped_integral(terms: &VaultTerms, u: &Fraction) -> Fraction {
    let one = Fraction::whole(1);
    if u.is_at_most(&one) {
        return integral(terms, u);
    }
    let highest = Fraction::whole(u32::from(terms.slope1_bps) + u32::from(terms.slope2_bps));
    &integral(terms, &one) + &(&highest * &(u - &one))
}

/// The lowest and the highest premium within the protocol's tolerance: before rounding up, the exact formula
/// and, per year of `duration`, 2⁻¹⁶ base units and 2⁻⁴⁶ of the cost of risk more.
fn premium(
    vault: &Vault,
    terms: &PolicyTerms,
    seasoned: Amount,
    locked: Amount,
    drift: u64,
    duration: i64,
) -> Verdict<(Amount, Amount)> {
    let (pricing, cover) = (&vault.terms, Fraction::whole(terms.cover));
    let used = if seasoned == 0 {
        let highest = u32::from(pricing.slope1_bps) + u32::from(pricing.slope2_bps);
        &Fraction::whole(highest) * &cover
    } else {
        let area = |locked: Amount| {
            let utilisation = Fraction::new(locked, seasoned);
            clamped_integral(pricing, &utilisation).times(seasoned)
        };
        &area(locked + Amount::from(terms.cover)) - &area(locked)
    };
    let reached = Fraction::new(drift, terms.trigger).min(Fraction::whole(1));
    let ramp = &Fraction::whole(1) + &Fraction::new(terms.trigger, terms.exhaustion);
    let part = pricing.persistence_bps[usize::from(terms.persistence) - 1];
    let shape = &(&ramp / &Fraction::whole(2)) * &Fraction::new(part, BPS);
    let risk = &(&Fraction::whole(pricing.risk_slope_bps) * &reached) * &shape;
    let risk = &cover * &risk;
    let base = &cover * &Fraction::whole(pricing.base_bps);

    let years = &Fraction::new(duration, YEAR) / &Fraction::whole(BPS);
    let exact = &(&(&base + &used) + &risk) * &years;
    let of_risk = &risk * &Fraction::new(1, 1_u64 << 46);
    let of_all = &Fraction::new(1, 1 << 16) * &Fraction::whole(BPS);
    let tolerance = &(&of_risk + &of_all) * &years;
    let overflow = "the premium overflows";
    let least = exact.ceil().ok_or(overflow)?.max(1);
    let most = (&exact + &tolerance).ceil().ok_or(overflow)?.max(1);
    Ok((least, fits(most)?))
}

fn check_trigger(model: &Model, exposure: &Exposure, terms: &PolicyTerms) -> Verdict {
    require(
        terms.trigger + 8 * model.max_spread <= terms.exhaustion,
        "the exhaustion is too close to the trigger",
    )?;
    require(
        model.noise_floor <= terms.trigger,
        "the trigger is under the noise floor",
    )?;
    require(
        exposure.lowest_trigger <= terms.trigger,
        "the trigger is under the lowest of the listing",
    )?;
    require(
        model.current_drift() + 2 * model.max_spread < terms.trigger,
        "the trigger is too close to the drift",
    )?;
    require(
        (1..=exposure.max_persistence).contains(&terms.persistence)
            && u64::from(terms.persistence) <= terms.windows,
        "the persistence is out of range",
    )
}

/// A purchase or a renewal.
struct Purchase<'a> {
    vault: &'a Address,
    model: &'a Address,
    terms: &'a PolicyTerms,
    /// The policy that is renewed, and its last term.
    renewed: Option<(&'a Policy, &'a Stream)>,
}

impl Purchase<'_> {
    /// The cover that the purchase replaces.
    fn released(&self) -> Amount {
        self.renewed.map_or(0, |(policy, _)| policy.cover)
    }

    /// The start of the new term.
    fn starts_at(&self, now: i64) -> i64 {
        self.renewed.map_or(now, |(_, term)| term.term_end)
    }

    /// The time until which the rent is paid already.
    fn secured_until(&self, model: &Model, now: i64) -> i64 {
        self.renewed
            .map_or(now, |(_, term)| term.term_end + model.dispute_secs())
    }
}

impl Books {
    pub(super) fn policy(&self, policy: &Address) -> Verdict<&Policy> {
        self.policies.get(policy).ok_or("there is no such policy")
    }

    // Values that the protocol defines as sums.

    pub fn policies_of<'a>(
        &'a self,
        vault: &'a Address,
        model: Option<&'a Address>,
    ) -> impl Iterator<Item = &'a Policy> {
        let policies = self.policies.values();
        policies.filter(move |policy| {
            policy.vault == *vault && model.is_none_or(|model| policy.model == *model)
        })
    }

    /// The open cover of a vault's policies, without what is set aside for them, and the losses that are
    /// not borne yet.
    pub fn locked(&self, vault: &Address) -> Amount {
        let policies = self.policies_of(vault, None).map(Policy::locked);
        policies.sum::<Amount>() + self.vaults[vault].pending()
    }

    /// Whether a vault has locked something for its policies.
    pub fn is_covered(&self, vault: &Address) -> bool {
        self.policies_of(vault, None)
            .any(|policy| 0 < policy.locked())
    }

    /// What a vault has set aside for its policies.
    pub fn set_aside(&self, vault: &Address) -> Amount {
        self.policies_of(vault, None).map(Policy::aside).sum()
    }

    /// The open cover that a vault has sold on a model.
    pub fn cover_sold(&self, vault: &Address, model: &Address) -> Amount {
        let policies = self.policies_of(vault, Some(model));
        policies.map(Policy::open_cover).sum()
    }

    /// The cover on a model that the vault's capital and the model's bonds allow to sell in addition.
    pub fn affordable_cover(&self, vault_at: &Address, model_at: &Address) -> Amount {
        let (vault, model) = (&self.vaults[vault_at], &self.models[model_at]);
        let max_locked = vault.max_locked(self.reserved(vault_at));
        max_locked.saturating_sub(self.locked(vault_at)).min(
            model
                .secured_cover()
                .saturating_sub(self.cover_risk(model_at)),
        )
    }

    /// When anyone may renew a policy: the last quarter of its term before the last time for a renewal. `None`
    /// until its first term has begun.
    pub fn open_renewal(&self, policy: &Policy) -> Option<(i64, i64)> {
        let term = policy.term.as_ref()?;
        let last = term.term_end - self.vaults[&policy.vault].waiting_secs;
        Some((last - (term.term_end - term.start) / 4, last))
    }

    // Purchases.

    /// Refuses the model's owner and oracles, and the vault's manager.
    fn require_outsider(&self, buyer: &Address, vault: &Address, model: &Address) -> Verdict {
        let vault = self.vaults.get(vault).ok_or("there is no such vault")?;
        let is_insider = self.model(model)?.is_insider(buyer) || vault.manager == *buyer;
        require(!is_insider, "the buyer is an insider")
    }

    /// The price of a purchase now.
    pub fn price(
        &self,
        vault: &Address,
        model: &Address,
        terms: &PolicyTerms,
    ) -> Verdict<PremiumQuote> {
        let mut books = self.clone();
        books.vault_now(vault)?;
        let purchase = Purchase {
            vault,
            model,
            terms,
            renewed: None,
        };
        books.quote(&purchase)
    }

    fn quote(&self, purchase: &Purchase) -> Verdict<PremiumQuote> {
        let (vault, model) = (&self.vaults[purchase.vault], self.model(purchase.model)?);
        let terms = purchase.terms;
        let exposure_at = address::exposure(purchase.vault, purchase.model);
        let exposure = self.exposures.get(&exposure_at);
        let exposure = exposure.ok_or("the model is not listed")?;

        self.check_history(purchase, exposure)?;
        check_trigger(model, exposure, terms)?;
        require(exposure.active_at <= self.now, "the listing is not active")?;
        let (from_window, last_window, end) = self.check_duration(purchase)?;
        let locked = self.check_cover(purchase, exposure)?;

        let drift = model.current_drift().max(model.statistics().ewma);
        let duration = end - purchase.starts_at(self.now);
        let seasoned = match purchase.renewed {
            Some(_) => vault.seasoned,
            // Capital that is requested or reserved doesn't make a purchase cheap.
            None => {
                require(
                    vault.terms.cancel_fee_bps <= terms.max_cancel_fee_bps,
                    "the cancel fee is over the holder's maximum",
                )?;
                let reserved = vault.worth(self.reserved(purchase.vault));
                vault.seasoned.min(vault.staying() - reserved)
            }
        };
        let (least, most) = premium(vault, terms, seasoned, locked, drift, duration)?;
        let secured_until = purchase.secured_until(model, self.now);
        let (rent, rent_end) = model.rent(terms.cover.into(), secured_until, end)?;
        Ok(PremiumQuote {
            least,
            most,
            rent,
            rent_end,
            from_window,
            last_window,
            end,
        })
    }

    fn check_history(&self, purchase: &Purchase, exposure: &Exposure) -> Verdict {
        let model = self.model(purchase.model)?;
        let history = model.statistics();
        require(!model.is_retired, "the model is retired")?;
        require(
            model.version == purchase.terms.model_version && model.version == exposure.version,
            "the model has another version",
        )?;
        require(MIN_HISTORY <= history.count, "the history is too short")?;
        let fresh_until =
            model.window_end(history.last_window)? + 2 * model.window_secs + model.dispute_secs();
        require(self.now <= fresh_until, "the history is too old")
    }

    /// Checks the duration. Returns the first window of the probation, the last window, and when that ends.
    fn check_duration(&self, purchase: &Purchase) -> Verdict<(u64, u64, i64)> {
        let (vault, model) = (&self.vaults[purchase.vault], self.model(purchase.model)?);
        let first_window_after = purchase
            .terms
            .first_window
            .checked_add(purchase.terms.windows);
        let last_window = first_window_after.ok_or("a window is out of range")? - 1;
        let end = model.window_end(last_window)?;
        let allowed = vault.terms.min_duration_secs..=vault.terms.max_duration_secs;
        require(
            allowed.contains(&(end - purchase.starts_at(self.now))),
            "the duration is out of range",
        )?;
        let from_window = model
            .running_window(self.now)
            .saturating_sub(model.dispute_windows());
        let from_window = from_window.min(purchase.terms.first_window);
        require(
            last_window - from_window < MAX_WINDOWS,
            "there are too many windows until the last covered one",
        )?;
        let previous = purchase.renewed.map(|(_, term)| term);
        let (_, stream_end) = vault.stream_times(end, previous);
        require(
            end <= self.now + HORIZON && vault.has_bucket(stream_end),
            "the cover ends too late",
        )?;
        Ok((from_window, last_window, end))
    }

    /// Checks the cover against the limits of the listing, the vault and the bonds. Returns the amount that
    /// the vault's other policies lock.
    fn check_cover(&self, purchase: &Purchase, exposure: &Exposure) -> Verdict<Amount> {
        let (vault, model) = (&self.vaults[purchase.vault], self.model(purchase.model)?);
        let (pricing, cover) = (&vault.terms, purchase.terms.cover);
        require(
            (pricing.min_cover..=pricing.max_cover).contains(&cover),
            "the cover is out of range",
        )?;
        let cover = Amount::from(cover);
        let sold = self.cover_sold(purchase.vault, purchase.model);
        require(
            sold - purchase.released() + cover <= exposure.cap,
            "the cover is over the cap",
        )?;
        require(0 < vault.assets, "the vault has no capital")?;
        // What is set aside for the policy isn't locked.
        let locked = self.locked(purchase.vault);
        let locked = locked.saturating_sub(purchase.released());
        let locks_more = purchase.released() < cover;
        let max_locked = if locks_more {
            vault.max_locked(self.reserved(purchase.vault))
        } else {
            vault.assets * Amount::from(pricing.max_utilisation_bps) / BPS
        };
        require(locked + cover <= max_locked, "too much would be locked")?;
        if locks_more {
            // The reason for `max_locked`: all requested withdrawals can still be paid.
            let requests = self.requests_of(purchase.vault);
            let values = requests.map(|request| match request.reserved_until {
                Some(_) => vault.worth(request.shares),
                None => vault.requested(request),
            });
            assert!(
                values.sum::<Amount>() <= vault.free_assets(locked + cover),
                "a purchase locks capital whose withdrawal was requested before"
            );
        }
        let at_risk = fits(self.cover_risk(purchase.model) - purchase.released() + cover)?;
        require(
            at_risk <= model.secured_cover(),
            "the bonds do not secure the cover",
        )?;
        Ok(locked)
    }

    /// The premium on chain, or `quote.most` without one. Fails if the quote or the holder's maximum does not
    /// allow that premium.
    fn charge(quote: &PremiumQuote, terms: &PolicyTerms, values: &EventValues) -> Verdict<Amount> {
        let premium = values.premium.map_or(quote.most, Amount::from);
        require(
            (quote.least..=quote.most).contains(&premium),
            "the premium is wrong",
        )?;
        require(
            premium + quote.rent <= terms.max_premium.into(),
            "the premium and the rent are over the holder's maximum",
        )?;
        Ok(premium)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of the instruction"
    )]
    pub(super) fn buy_policy(
        &mut self,
        signer: &Address,
        id: u64,
        vault_at: &Address,
        model_at: &Address,
        source: &Address,
        terms: &PolicyTerms,
        values: &EventValues,
    ) -> Verdict {
        self.require_running(flag::POLICIES)?;
        self.require_outsider(signer, vault_at, model_at)?;
        let vault = self.vault_now(vault_at)?;
        let (mint, waiting) = (vault.mint, vault.waiting_secs);
        self.enabled(&mint)?;
        let model = self.model(model_at)?;
        require(model.mint == mint, "the model settles in another token")?;
        let first = model.window_from(self.now + waiting);
        require(terms.first_window == first, "the first window is wrong")?;
        let quote = self.quote(&Purchase {
            vault: vault_at,
            model: model_at,
            terms,
            renewed: None,
        })?;
        let premium = Self::charge(&quote, terms, values)?;
        let policy_at = address::policy(vault_at, signer, id);
        require(
            !self.policies.contains_key(&policy_at),
            "the policy exists already",
        )?;

        let vault = &self.vaults[vault_at];
        let policy = Policy {
            vault: *vault_at,
            model: *model_at,
            holder: *signer,
            id,
            terms: *terms,
            cover: terms.cover.into(),
            paid: 0,
            premium: 0,
            first_window: first,
            last_window: first - 1, // the vault waits for a window at least
            claim_grace_secs: vault.claim_grace_secs,
            cancel_fee_bps: vault.terms.cancel_fee_bps,
            waiting: Some(Waiting::new(&quote, premium, self.now)),
            term: None,
            best: None,
            unmeasured: 0,
            unmeasured_windows: 0,
            examined_until: first,
            returned_until: first,
            drifts: vec![],
        };
        // The oracles also owe the windows of the probation that begin from now on.
        let next = self.model(model_at)?.running_window(self.now) + 1;
        self.expose(model_at, next, quote.last_window)?;
        self.policies.insert(policy_at, policy);
        let tokens = address::vault_tokens(vault_at);
        self.transfer(signer, source, &tokens, &mint, premium)?;
        self.pay_oracles(signer, source, model_at, quote.rent, quote.rent_end)
    }

    pub(super) fn renew_policy(
        &mut self,
        at: &Address,
        source: &Address,
        signed: bool,
        values: &EventValues,
    ) -> Verdict {
        self.require_running(flag::RENEWALS)?;
        let policy = self.policy(at)?.clone();
        let (holder, vault_at, model_at) = (policy.holder, policy.vault, policy.model);
        self.require_outsider(&holder, &vault_at, &model_at)?;
        let vault = self.vault_now(&vault_at)?;
        let (mint, waiting) = (vault.mint, vault.waiting_secs);
        self.enabled(&mint)?;
        require(policy.best.is_none(), "the policy has paid or owes a claim")?;
        require(policy.waiting.is_none(), "a term is on probation")?;
        let before = policy.term.ok_or("the policy has not begun")?;
        let terms = PolicyTerms {
            first_window: policy.last_window + 1,
            ..policy.terms
        };
        let first = self.model(&model_at)?.window_from(self.now + waiting);
        require(
            first <= terms.first_window,
            "it is too late for the next windows",
        )?;
        let quote = self.quote(&Purchase {
            vault: &vault_at,
            model: &model_at,
            terms: &terms,
            renewed: Some((&policy, &before)),
        })?;
        let premium = Self::charge(&quote, &terms, values)?;
        if !signed {
            let vault = &self.vaults[&vault_at];
            let secs = before.term_end - before.start;
            let (from, _) = self.open_renewal(&policy).ok_or("not begun")?;
            require(from <= self.now, "only the holder may renew this early")?;
            let duration = quote.end - before.term_end;
            let most = before.part * 5 * duration as Amount;
            require(
                vault.streamed_part(premium) * 4 * secs as Amount <= most,
                "the rate is over 1.25 times that of the term before",
            )?;
        }

        self.expose(&model_at, policy.first_window, quote.last_window)?;
        let renewed = self.policies.get_mut(at).expect("read");
        renewed.waiting = Some(Waiting::new(&quote, premium, before.term_end));

        let payer = if signed {
            holder
        } else {
            require(policy.terms.auto_renew, "the policy does not auto-renew")?;
            let from = self.tokens.get(source);
            let from = from.ok_or("the source account does not exist")?;
            require(
                from.owner == holder,
                "the source account is not the holder's",
            )?;
            self.rare_events.renewed_by_anyone += 1;
            address::renewal_authority(&holder)
        };
        let tokens = address::vault_tokens(&vault_at);
        self.transfer(&payer, source, &tokens, &mint, premium)?;
        self.pay_oracles(&payer, source, &model_at, quote.rent, quote.rent_end)
    }

    // Claims, and the end.

    pub(super) fn claim_policy(
        &mut self,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        let worth = policy.claimed();
        require(policy.paid < worth, "the policy owes nothing")?;
        let payment = worth - policy.paid;
        self.vault_now(&policy.vault)?;
        policy.paid = worth;
        self.rare_events.policies_paid += 1;
        let mut refund = 0;
        let (holder, vault) = (policy.holder, policy.vault);
        if worth == policy.cover {
            // Without cover, no renewal on probation can begin.
            refund = self.fail_term(&mut policy)?;
            self.policies.remove(at);
            self.rare_events.policies_ended_by_payment += 1;
        } else {
            self.policies.insert(*at, policy);
        }
        self.sweep_orphaned_assets(&vault);
        let tokens = address::vault_tokens(&vault);
        self.pay(&tokens, &holder, signed, destination, payment + refund)
    }

    pub(super) fn cancel_policy(&mut self, at: &Address, destination: &Address) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        self.vault_now(&policy.vault)?; // while its cover still counts
        self.policies.remove(at);
        let now = self.now;
        // A term on probation counts as begun.
        let mut streams = vec![];
        if policy.waiting.is_some() {
            streams.extend(policy.term);
            self.begin_term(&mut policy)?;
        }
        streams.insert(0, policy.term.expect("begun"));
        let vault: &mut Vault = self.vault_now(&policy.vault)?;
        // What runs are worth is deducted from the refund, as far as it is more than the unmeasured premium.
        let (mut deduction, mut refund) = (policy.booked() - policy.unmeasured, 0);
        for mut stream in streams {
            let left = (stream.term_end - now.max(stream.start)).max(0) as Amount;
            let duration = (stream.term_end - stream.start) as Amount;
            let unused = policy.after_cancel_fee(stream.part * left / duration);
            let part = unused.saturating_sub(deduction);
            deduction -= unused - part;
            refund += part;
            if 0 < part {
                vault.reduce_stream(&mut stream, part);
            }
        }
        refund += policy.aside();
        self.sweep_orphaned_assets(&policy.vault);
        self.refund(&policy.vault, &policy.holder, true, destination, refund)
    }

    pub(super) fn expire_policy(
        &mut self,
        at: &Address,
        passed: &[Address],
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let mut policy = self.policy(at)?.clone();
        self.vault_now(&policy.vault)?; // while its cover still counts
        self.policies.remove(at);
        let expires_at = policy.expires_at(self.model(&policy.model)?)?;
        require(expires_at <= self.now, "the claim grace is not over")?;
        let is_lapsed = policy.lapses_at(self.model(&policy.model)?)? <= self.now;
        let mut refund = 0;
        if !is_lapsed {
            let (first, last) = policy.to_expire();
            require(
                *passed == pages(&policy.model, first, last),
                "the pages are not those of the last term",
            )?;
            self.examine(&mut policy, last)?;
            refund = policy.aside();
            self.rare_events.premiums_returned += u64::from(0 < refund);
        }
        self.begin_term(&mut policy)?; // a term on probation counts as begun, and as worth nothing
        if is_lapsed && 0 < policy.aside() {
            let vault = self.vaults.get_mut(&policy.vault).expect("a vault");
            vault.stream_from_now(policy.aside());
            self.rare_events.premiums_lapsed += 1;
        }
        self.sweep_orphaned_assets(&policy.vault);
        self.refund(&policy.vault, &policy.holder, signed, destination, refund)
    }
}
