//! Policies: what they cost, what they pay, and how they end.

use driftshield_sdk::{Address, PolicyTerms, VaultTerms, address};

use super::{
    Amount, BPS, Books, HORIZON, Model, Ruled, Seen, State, fits,
    fraction::Fraction,
    require,
    roles::flag,
    vaults::{Stream, Vault},
};

/// Annual rates are over so many seconds.
const YEAR: i64 = 365 * 24 * 60 * 60;
/// Cover is sold on so many Final receipts at least.
const MIN_HISTORY: usize = 8;

#[derive(Clone, Debug)]
pub struct Policy {
    pub vault: Address,
    pub model: Address,
    pub holder: Address,
    pub id: u64,
    pub terms: PolicyTerms,
    pub cover: Amount,
    pub paid: Amount,
    /// All premiums paid.
    pub premium: Amount,
    pub first_window: u64,
    pub last_window: u64,
    pub claim_grace_secs: i64,
    pub cancel_fee_bps: u16,
    /// What streams of the last purchase or renewal, and of the one before.
    pub term: Stream,
    pub previous_term: Option<Stream>,
}

/// A premium within its tolerance, and what a purchase comes to.
#[derive(Clone, Copy, Debug)]
pub struct Paid {
    /// The premium lies in this range; nearly always one number.
    pub least: Amount,
    pub most: Amount,
    pub last_window: u64,
    pub end: i64,
}

impl Policy {
    pub fn open_cover(&self) -> Amount {
        self.cover - self.paid
    }

    /// What the policy is worth for a run whose lowest value is `value`.
    pub fn worth(&self, value: u64) -> Amount {
        let (trigger, exhaustion) = (self.terms.trigger, self.terms.exhaustion);
        if exhaustion <= value {
            return self.cover;
        }
        let (over, whole) = (value - trigger, exhaustion - trigger);
        (self.cover * Amount::from(over) / Amount::from(whole)).max(1)
    }

    /// From when on it can no longer be claimed.
    pub fn expires_at(&self, model: &Model) -> Ruled<i64> {
        Ok(model.window_end(self.last_window)? + model.dispute_secs() + self.claim_grace_secs)
    }
}

/// `∫ curve` from 0 to `u`, in bps.
fn integral(terms: &VaultTerms, u: &Fraction) -> Fraction {
    let [slope1, slope2] = [terms.slope1_bps, terms.slope2_bps].map(Fraction::whole);
    let kink = Fraction::new(terms.kink_bps, BPS);
    let (one, two) = (Fraction::whole(1), Fraction::whole(2));
    if u.is_at_most(&kink) {
        return &(&slope1 * &(u * u)) / &(&two * &kink);
    }
    let above = u - &kink;
    let first = &(&slope1 * &kink) / &two;
    let beyond = &(&slope2 * &(&above * &above)) / &(&two * &(&one - &kink));
    &(&first + &(&slope1 * &above)) + &beyond
}

/// The range of a premium: what is rounded up is within 2⁻¹⁶ of a base unit of the exact sum a year.
fn premium(
    terms: &VaultTerms,
    cover: Amount,
    assets: Amount,
    locked: Amount,
    drift: u64,
    trigger: u64,
    duration: i64,
) -> Ruled<(Amount, Amount)> {
    let utilisation = |locked: Amount| Fraction::new(locked, assets);
    let (before, after) = (utilisation(locked), utilisation(locked + cover));
    let area = &integral(terms, &after) - &integral(terms, &before);
    let mean = &area / &(&after - &before);
    let reached = Fraction::new(drift, trigger).at_most(Fraction::whole(1));
    let risk = &Fraction::whole(terms.risk_slope_bps) * &reached;
    let rate = &(&Fraction::whole(terms.base_bps) + &mean) + &risk;

    let years = Fraction::new(duration, YEAR);
    let annual = &(&Fraction::whole(cover) * &rate) / &Fraction::whole(BPS);
    let exact = &annual * &years;
    let tolerance = &Fraction::new(1, 1 << 16) * &years;
    let least = (&exact - &tolerance).ceil().ok_or("does not fit")?.max(1);
    let most = (&exact + &tolerance).ceil().ok_or("does not fit")?.max(1);
    Ok((least, fits(most)?))
}

/// A purchase, or a renewal: `released` of the cover is thought away first, and what is paid for
/// begins at `begins_at`.
struct Purchase<'a> {
    vault: &'a Address,
    model: &'a Address,
    terms: &'a PolicyTerms,
    released: Amount,
    begins_at: i64,
}

impl Books {
    fn policy(&self, policy: &Address) -> Ruled<&Policy> {
        self.policies.get(policy).ok_or("is no policy")
    }

    /// Neither who knows a model from inside nor the manager buys cover.
    fn require_outsider(&self, who: &Address, vault: &Address, model: &Address) -> Ruled {
        let manager = self.vaults.get(vault).ok_or("is no vault")?.manager;
        let is_insider = self.model(model)?.is_insider(who) || manager == *who;
        require(!is_insider, "is an insider")
    }

    /// What a purchase of `terms` would cost now.
    pub fn price(&self, vault: &Address, model: &Address, terms: &PolicyTerms) -> Ruled<Paid> {
        let mut books = self.clone();
        books.vault_now(vault)?;
        let purchase = Purchase {
            vault,
            model,
            terms,
            released: 0,
            begins_at: books.now,
        };
        books.quote(&purchase)
    }

    fn quote(&self, purchase: &Purchase) -> Ruled<Paid> {
        let (vault, model) = (&self.vaults[purchase.vault], self.model(purchase.model)?);
        let terms = purchase.terms;
        let exposure_at = address::exposure(purchase.vault, purchase.model);
        let exposure = self.exposures.get(&exposure_at).ok_or("is not listed")?;
        let history = model.statistics();

        // The model.
        require(!model.is_retired, "the model is retired")?;
        require(
            model.version == terms.model_version && model.version == exposure.version,
            "another version",
        )?;
        require(MIN_HISTORY <= history.count, "too little history")?;
        let fresh =
            model.window_end(history.last_window)? + 2 * model.window_secs + model.dispute_secs();
        require(self.now <= fresh, "the history is old")?;

        // The trigger.
        let latest = model.latest.map_or(0, |(_, value)| value);
        let drift = history.last.max(latest);
        require(
            terms.trigger <= terms.exhaustion,
            "exhausted before it triggers",
        )?;
        require(model.noise_floor <= terms.trigger, "under the noise floor")?;
        require(
            exposure.lowest_trigger <= terms.trigger,
            "under the lowest trigger",
        )?;
        require(drift < terms.trigger, "the trigger is reached")?;
        require(
            (1..=4).contains(&terms.persistence) && u64::from(terms.persistence) <= terms.windows,
            "no such persistence",
        )?;

        // Times.
        let after = terms.first_window.checked_add(terms.windows);
        let last_window = after.ok_or("a window out of range")? - 1;
        let end = model.window_end(last_window)?;
        let duration = end - purchase.begins_at;
        let pricing = &vault.terms;
        require(
            (pricing.min_duration_secs..=pricing.max_duration_secs).contains(&duration),
            "no such duration",
        )?;
        require(
            end <= self.now + HORIZON && vault.has_bucket(end),
            "it ends too late",
        )?;
        require(exposure.active_at <= self.now, "the listing is not active")?;

        // Amounts.
        let cover = Amount::from(terms.cover);
        let sold: Amount = self
            .policies_of(purchase.vault, Some(purchase.model))
            .map(Policy::open_cover)
            .sum();
        require(
            (pricing.min_cover..=pricing.max_cover).contains(&terms.cover),
            "no such cover",
        )?;
        require(
            sold - purchase.released + cover <= exposure.cap,
            "over the cap",
        )?;
        require(0 < vault.assets, "the vault has no capital")?;
        let locked = self.locked(purchase.vault) - purchase.released;
        let is_more = self.locked(purchase.vault) < locked + cover;
        let most = if is_more {
            vault.most_locked(self.escrowed(purchase.vault))
        } else {
            vault.assets * Amount::from(pricing.max_utilisation_bps) / BPS
        };
        require(locked + cover <= most, "too much would be locked")?;
        if is_more {
            // What that is for.
            let requests = self.requests_of(purchase.vault);
            let values = requests.map(|request| request.value.min(vault.worth(request.shares)));
            assert!(
                values.sum::<Amount>() <= vault.free(locked + cover),
                "a purchase holds back who asked before it"
            );
        }
        let at_risk = fits(self.at_risk(purchase.model) - purchase.released + cover)?;
        require(model.secures(at_risk), "the bonds don't secure it")?;

        let drift = drift.max(history.ewma);
        let (least, most) = premium(
            pricing,
            cover,
            vault.assets,
            locked,
            drift,
            terms.trigger,
            duration,
        )?;
        Ok(Paid {
            least,
            most,
            last_window,
            end,
        })
    }

    /// The premium as the chain has told it, within its range and what the holder pays at most.
    fn charge(paid: &Paid, terms: &PolicyTerms, seen: &Seen) -> Ruled<Amount> {
        let told = seen.premium.map_or(paid.most, Amount::from);
        require(
            (paid.least..=paid.most).contains(&told),
            "the premium is another",
        )?;
        require(told <= terms.max_premium.into(), "costs too much")?;
        Ok(told)
    }

    #[expect(clippy::too_many_arguments, reason = "what a holder says")]
    pub(super) fn buy_policy(
        &mut self,
        who: &Address,
        id: u64,
        vault_at: &Address,
        model_at: &Address,
        source: &Address,
        terms: &PolicyTerms,
        seen: &Seen,
    ) -> Ruled {
        self.require_running(flag::POLICIES)?;
        self.require_outsider(who, vault_at, model_at)?;
        let vault = self.vault_now(vault_at)?;
        let (mint, waiting) = (vault.mint, vault.waiting_secs);
        self.enabled(&mint)?;
        let model = self.model(model_at)?;
        require(model.mint == mint, "settles in another token")?;
        let first = model.window_from(self.now + waiting);
        require(terms.first_window == first, "covers other windows")?;
        let paid = self.quote(&Purchase {
            vault: vault_at,
            model: model_at,
            terms,
            released: 0,
            begins_at: self.now,
        })?;
        let premium = Self::charge(&paid, terms, seen)?;
        let policy_at = address::policy(vault_at, who, id);
        require(!self.policies.contains_key(&policy_at), "exists already")?;

        let vault = self.vaults.get_mut(vault_at).expect("read");
        let term = vault.sell(premium, paid.end);
        let policy = Policy {
            vault: *vault_at,
            model: *model_at,
            holder: *who,
            id,
            terms: *terms,
            cover: terms.cover.into(),
            paid: 0,
            premium,
            first_window: first,
            last_window: paid.last_window,
            claim_grace_secs: vault.claim_grace_secs,
            cancel_fee_bps: vault.terms.cancel_fee_bps,
            term,
            previous_term: None,
        };
        self.policies.insert(policy_at, policy);
        let tokens = address::vault_tokens(vault_at);
        self.transfer(who, source, &tokens, &mint, premium)
    }

    pub(super) fn renew_policy(
        &mut self,
        at: &Address,
        source: &Address,
        signed: bool,
        seen: &Seen,
    ) -> Ruled {
        self.require_running(flag::RENEWALS)?;
        let policy = self.policy(at)?.clone();
        let (holder, vault_at, model_at) = (policy.holder, policy.vault, policy.model);
        self.require_outsider(&holder, &vault_at, &model_at)?;
        let vault = self.vault_now(&vault_at)?;
        let (mint, waiting) = (vault.mint, vault.waiting_secs);
        self.enabled(&mint)?;
        require(policy.paid == 0, "was paid")?;
        let in_term = policy
            .previous_term
            .is_some_and(|term| self.now < term.term_end);
        require(!in_term, "was renewed in this term")?;
        let terms = PolicyTerms {
            first_window: policy.last_window + 1,
            ..policy.terms
        };
        let first = self.model(&model_at)?.window_from(self.now + waiting);
        require(first <= terms.first_window, "the windows began")?;
        let paid = self.quote(&Purchase {
            vault: &vault_at,
            model: &model_at,
            terms: &terms,
            released: policy.cover,
            begins_at: policy.term.term_end,
        })?;
        let premium = Self::charge(&paid, &terms, seen)?;

        let term = self
            .vaults
            .get_mut(&vault_at)
            .expect("read")
            .sell(premium, paid.end);
        let renewed = self.policies.get_mut(at).expect("read");
        renewed.last_window = paid.last_window;
        renewed.premium = fits(renewed.premium + premium)?;
        renewed.previous_term = Some(policy.term);
        renewed.term = term;

        let payer = if signed {
            holder
        } else {
            require(policy.terms.auto_renew, "does not renew by itself")?;
            let from = self.tokens.get(source).ok_or("pays from no account")?;
            require(from.owner == holder, "pays from somebody else's account")?;
            self.happened.renewed_by_anyone += 1;
            address::renewal_authority(&holder)
        };
        let tokens = address::vault_tokens(&vault_at);
        self.transfer(&payer, source, &tokens, &mint, premium)
    }

    /// The lowest value of the receipts, if they are a run that the policy pays for.
    fn lowest_of_run(&self, policy: &Policy, receipts: &[Address]) -> Ruled<u64> {
        require(
            receipts.len() == usize::from(policy.terms.persistence),
            "another number of receipts",
        )?;
        let mut lowest = u64::MAX;
        let mut next = None;
        for at in receipts {
            let receipt = self.receipts.get(at).ok_or("is no receipt")?;
            require(receipt.model == policy.model, "another model's")?;
            let window = receipt.window;
            require(
                (policy.first_window..=policy.last_window).contains(&window),
                "is not covered",
            )?;
            require(next.is_none_or(|next| next == window), "is not consecutive")?;
            require(receipt.state == State::Final, "is not final")?;
            require(
                policy.terms.trigger <= receipt.value,
                "is under the trigger",
            )?;
            lowest = lowest.min(receipt.value);
            next = Some(window + 1);
        }
        Ok(lowest)
    }

    pub(super) fn claim_policy(
        &mut self,
        at: &Address,
        receipts: &[Address],
        destination: &Address,
        signed: bool,
    ) -> Ruled {
        let policy = self.policy(at)?.clone();
        let expires_at = policy.expires_at(self.model(&policy.model)?)?;
        require(self.now < expires_at, "has expired")?;
        let worth = policy.worth(self.lowest_of_run(&policy, receipts)?);
        require(policy.paid < worth, "was paid as much")?;
        let payment = worth - policy.paid;
        let vault = self.vaults.get_mut(&policy.vault).expect("has a policy");
        vault.assets -= payment;
        self.happened.policies_paid += 1;
        if 1_000_000_000 * vault.assets < vault.shares {
            self.happened.vaults_wiped_out += 1;
        }
        self.policies.get_mut(at).expect("read").paid = worth;
        if worth == policy.cover {
            self.policies.remove(at);
            self.happened.policies_ended_by_payment += 1;
        }
        self.release_orphans(&policy.vault);
        let tokens = address::vault_tokens(&policy.vault);
        self.pay(&tokens, &policy.holder, signed, destination, payment)
    }

    pub(super) fn cancel_policy(&mut self, at: &Address, destination: &Address) -> Ruled {
        let policy = self.policies.remove(at).ok_or("is no policy")?;
        let now = self.now;
        let vault: &mut Vault = self.vault_now(&policy.vault)?;
        let kept = BPS - Amount::from(policy.cancel_fee_bps);
        // What was paid is taken off what would come back.
        let (mut paid, mut refund) = (policy.paid, 0);
        for stream in [Some(policy.term), policy.previous_term]
            .into_iter()
            .flatten()
        {
            let left = (stream.term_end - now).max(0) as Amount;
            let whole = (stream.term_end - stream.start) as Amount;
            let unused = stream.part * left / whole * kept / BPS;
            let back = unused.saturating_sub(paid);
            paid -= unused - back;
            refund += back;
            if 0 < back {
                vault.cut(&stream, back);
            }
        }
        self.release_orphans(&policy.vault);
        let tokens = address::vault_tokens(&policy.vault);
        require(*destination != tokens, "an account is named twice")?;
        if refund == 0 {
            return Ok(()); // where it would be paid is not looked at
        }
        self.pay(&tokens, &policy.holder, true, destination, refund)
    }

    pub(super) fn expire_policy(&mut self, at: &Address) -> Ruled {
        let policy = self.policies.remove(at).ok_or("is no policy")?;
        let expires_at = policy.expires_at(self.model(&policy.model)?)?;
        require(expires_at <= self.now, "can still be claimed")?;
        self.vault_now(&policy.vault)?;
        self.release_orphans(&policy.vault);
        Ok(())
    }
}
