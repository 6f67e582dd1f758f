//! Vaults: capital and shares, streams of premium, terms and listings.

use driftshield_sdk::{Address, ListingTerms, VaultTerms, address};

use super::{
    Amount, BPS, Books, DAY, Verdict, fits, limits, limits::MAX_FEES_BPS, probation::Waiting,
    require,
};

/// Time in addition to the cooldown before new terms, and new or loosened listings, take effect.
const NOTICE: i64 = DAY;
/// Shares and assets that are added to the real ones in the price of a share. They keep shares from becoming
/// too expensive.
pub const VIRTUAL_SHARES: Amount = 1_000;
pub const VIRTUAL_ASSETS: Amount = 1;

#[derive(Clone, Debug)]
pub struct Vault {
    pub manager: Address,
    pub id: u64,
    pub mint: Address,
    pub cooldown_secs: i64,
    pub created_at: i64,
    pub manager_fee_bps: u16,

    // Copied from the config at creation.
    pub waiting_secs: i64,
    pub claim_grace_secs: i64,
    pub bucket_secs: i64,
    pub exit_secs: i64,
    pub season_secs: i64,
    pub protocol_fee_bps: u16,

    pub terms: VaultTerms,
    /// Announced terms, and when they take effect.
    pub next_terms: Option<(VaultTerms, i64)>,

    /// Times that the manager has listed a model or announced terms.
    pub revision: u32,

    pub assets: Amount,
    /// The part of the assets whose withdrawal is requested.
    pub leaving: Amount,
    /// What losses have left of each requested unit, in 2⁻⁶² units, times 2³⁰ for each `scale`.
    pub index: Amount,
    pub scale: u32,
    pub seasoned: Amount,
    pub unearned: Amount,
    pub shares: Amount,
    pub protocol_credit: Amount,
    pub manager_credit: Amount,

    /// The time up to which streamed premium is added to the assets.
    pub accrued_at: i64,
    /// The streamed fraction of a base unit, in units of 2⁻³².
    pub fraction: Amount,
    pub streams: Vec<Stream>,
    /// What was paid or set aside, and is not borne yet.
    pub losses: Vec<Loss>,
    /// The number of streams created so far.
    pub streams_created: u64,
}

/// A loss that the capital bears at a later time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub due: i64,
    pub amount: Amount,
}

/// A part of a premium that becomes capital, second by second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub number: u64,
    /// Per second, in units of 2⁻³² base units.
    pub rate: Amount,
    /// The streamed part of the premium: the premium without fees.
    pub part: Amount,
    /// The start of the term that the premium pays for.
    pub start: i64,
    /// The end of that term.
    pub term_end: i64,
    /// The start of the stream.
    pub begins_at: i64,
    /// The end of the stream.
    pub end: i64,
}

#[derive(Clone, Debug)]
pub struct Exposure {
    pub vault: Address,
    pub model: Address,
    pub cap: Amount,
    pub lowest_trigger: u64,
    pub max_persistence: u8,
    pub version: u32,
    pub listed_at: i64,
    pub active_at: i64,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub vault: Address,
    pub owner: Address,
    /// The requested capital when the vault's index was `index`.
    pub value: Amount,
    pub index: Amount,
    pub scale: u32,
    /// What the request became after its exit window.
    pub shares: Amount,
    pub unlock_at: i64,
    pub lapses_at: i64,
    /// Whether a payment fell short.
    pub is_short: bool,
    pub reserved_until: Option<i64>,
}

impl Vault {
    /// The end of the notice period of a change made at `since`.
    pub fn notice_end(&self, since: i64) -> i64 {
        since + self.cooldown_secs + NOTICE
    }

    // Streams.

    /// Brings the vault up to `now`, and bears each loss at its time.
    /// `is_covered`: whether cover that it has sold is open.
    /// Returns how many losses have left nearly nothing.
    pub fn accrue(&mut self, now: i64, is_covered: bool) -> u64 {
        let mut wiped_out = 0;
        self.losses.sort_by_key(|loss| loss.due);
        while let Some(loss) = self.losses.first().copied().filter(|loss| loss.due <= now) {
            self.stream_until(loss.due);
            let same = self.losses.iter().take_while(|other| other.due == loss.due);
            let (count, amounts) = (same.clone().count(), same.map(|loss| loss.amount));
            let amount = amounts.sum();
            self.losses.drain(..count);
            self.bear(amount);
            wiped_out += u64::from(1_000_000_000 * self.staying() < self.shares);
            if !is_covered && self.losses.is_empty() {
                self.sweep(); // the loss was the last that kept them
            }
        }
        self.stream_until(now);
        wiped_out
    }

    /// What was paid or set aside and is not borne yet.
    pub fn pending(&self) -> Amount {
        self.losses.iter().map(|loss| loss.amount).sum()
    }

    /// A sixtieth of the cooldown, rounded up.
    fn step_secs(&self) -> i64 {
        (self.cooldown_secs + 59) / 60
    }

    /// When a loss is borne for which the last window can be decided until `decided_by`: at the end of a
    /// sixtieth of a cooldown, and another one later.
    pub fn borne_at(&self, decided_by: i64) -> i64 {
        let step = self.step_secs();
        (decided_by + step - 1) / step * step + step
    }

    /// The last time for which losses are kept: 63 steps later.
    fn last_loss_at(&self) -> i64 {
        let step = self.step_secs();
        (self.accrued_at / step + 63) * step
    }

    /// Whether a loss of `at` is borne later than losses are kept.
    pub(super) fn is_far(&self, at: i64) -> bool {
        self.last_loss_at() < self.borne_at(at)
    }

    /// Takes a loss out of the assets at the last time for which losses are kept.
    pub(super) fn lose_at_last(&mut self, amount: Amount) {
        if 0 < amount {
            let due = self.last_loss_at();
            self.losses.push(Loss { due, amount });
        }
    }

    /// Takes losses out of the assets, each with the last time of a dispute about it. All that are over are borne
    /// as one.
    pub(super) fn lose_all(&mut self, losses: &[(Amount, i64)]) {
        let now = self.accrued_at;
        let is_over = |at: i64| self.borne_at(at) <= now;
        let over = losses.iter().filter(|(_, at)| is_over(*at));
        let over = over.map(|(amount, _)| amount).sum();
        let later: Vec<_> = losses.iter().filter(|(_, at)| !is_over(*at)).collect();
        self.bear(over);
        for (amount, at) in later {
            self.lose(*amount, *at);
        }
    }

    /// Takes a loss out of the assets, now or when it is due.
    pub(super) fn lose(&mut self, amount: Amount, decided_by: i64) {
        let due = self.borne_at(decided_by);
        if due <= self.accrued_at {
            self.bear(amount);
        } else if 0 < amount {
            self.losses.push(Loss { due, amount });
        }
    }

    /// Streamed premium becomes capital, or a credit of the treasury while there are no shares, and announced
    /// terms take effect when due.
    fn stream_until(&mut self, now: i64) {
        if let Some((terms, at)) = self.next_terms
            && at <= now
        {
            self.terms = terms;
            self.next_terms = None;
        }
        let mut streamed = self.fraction;
        for stream in &self.streams {
            let secs = stream.end.min(now) - stream.begins_at.max(self.accrued_at);
            streamed += stream.rate * secs.max(0) as Amount;
        }
        self.streams.retain(|stream| now < stream.end);
        let elapsed = now - self.accrued_at;
        self.accrued_at = now;
        let earned = if self.streams.is_empty() {
            self.fraction = 0;
            self.unearned // all streams have ended: includes what their rounding left
        } else {
            self.fraction = streamed % (1 << 32);
            self.unearned.min(streamed >> 32)
        };
        self.unearned -= earned;
        let of_treasury = match (self.shares, self.leaving) {
            (0, _) => earned,
            (_, 0) => 0,
            (_, leaving) => earned * leaving / self.assets,
        };
        self.protocol_credit += of_treasury;
        self.assets += earned - of_treasury;

        let part = |whole: Amount| whole * elapsed as Amount / self.season_secs as Amount;
        let least = self.seasoned.saturating_sub(part(self.assets));
        let most = self.seasoned + part(self.staying());
        self.seasoned = self.staying().clamp(least, most);
    }

    /// The rate of the streams that have begun.
    pub fn rate(&self) -> Amount {
        let begun = self.streams.iter();
        begun
            .filter(|stream| stream.begins_at <= self.accrued_at)
            .map(|stream| stream.rate)
            .sum()
    }

    /// The assets whose withdrawal is not requested.
    pub fn staying(&self) -> Amount {
        self.assets - self.leaving
    }

    /// Deducts `amount` from the assets.
    pub(super) fn spend(&mut self, amount: Amount) {
        self.assets -= amount;
        self.seasoned = self.seasoned.min(self.assets);
    }

    /// Credits what stays to the treasury if nobody has shares.
    fn sweep(&mut self) {
        if self.shares == 0 {
            let orphaned = self.staying();
            self.spend(orphaned);
            self.protocol_credit += orphaned;
        }
    }

    /// Takes a payment out of the assets. What is requested bears its part.
    fn bear(&mut self, payment: Amount) {
        if 0 < self.leaving {
            let left = self.leaving - (payment * self.leaving).div_ceil(self.assets);
            let mut product = self.index * left;
            if left == 0 {
                product = self.leaving << 62; // the index starts anew, and requests are worth nothing
                self.scale += 5;
            }
            while product < self.leaving << 32 {
                product <<= 30;
                self.scale += 1;
            }
            self.index = product / self.leaving;
            self.leaving = left;
        }
        self.spend(payment);
    }

    /// What is left of a request.
    pub fn requested(&self, request: &Request) -> Amount {
        let scales = self.scale - request.scale;
        if 5 <= scales || request.value == 0 {
            return 0;
        }
        (request.value * self.index / request.index) >> (30 * scales)
    }

    fn bucket(&self, at: i64) -> i64 {
        at.div_euclid(self.bucket_secs)
    }

    /// When a stream that begins now, or after the stream of the term before if that is later, ends: at the
    /// end of the bucket in which its term ends, and at least one bucket later.
    pub(super) fn stream_times(&self, term_end: i64, previous: Option<&Stream>) -> (i64, i64) {
        let after = previous.map_or(self.accrued_at, |previous| previous.end);
        let begins_at = after.max(self.accrued_at);
        let of_term = (self.bucket(term_end) + 1) * self.bucket_secs;
        // The first end of a bucket that is at least one bucket later.
        let earliest = begins_at + self.bucket_secs;
        let earliest = (self.bucket(earliest - 1) + 1) * self.bucket_secs;
        (begins_at, of_term.max(earliest))
    }

    /// Whether the ring of 64 buckets reaches as far as a stream that ends at `end`.
    pub(super) fn has_bucket(&self, end: i64) -> bool {
        self.bucket(end) - self.bucket(self.accrued_at) <= 64
    }

    /// The protocol's and the manager's part of a premium.
    fn fees(&self, premium: Amount) -> (Amount, Amount) {
        let share = |bps: u16| premium * Amount::from(bps) / BPS;
        (share(self.protocol_fee_bps), share(self.manager_fee_bps))
    }

    /// The part of a premium that streams.
    pub(super) fn streamed_part(&self, premium: Amount) -> Amount {
        let (protocol, manager) = self.fees(premium);
        premium - protocol - manager
    }

    /// Credits the fees on the premium of a term that begins, and streams the rest, after the stream
    /// `previous` if there is one.
    pub(super) fn begin(&mut self, term: &Waiting, previous: Option<&Stream>) -> Stream {
        let (protocol, manager) = self.fees(term.premium);
        self.protocol_credit += protocol;
        self.manager_credit += manager;
        let part = self.streamed_part(term.premium);
        self.stream(part, term, previous)
    }

    /// Streams `part` for the time of `term`, after the stream `previous` if there is one.
    pub(super) fn stream(
        &mut self,
        part: Amount,
        term: &Waiting,
        previous: Option<&Stream>,
    ) -> Stream {
        self.unearned += part;
        self.streams_created += 1;
        let (begins_at, end) = self.stream_times(term.end, previous);
        let stream = Stream {
            number: self.streams_created,
            rate: (part << 32) / (end - begins_at) as Amount,
            part,
            start: term.start,
            term_end: term.end,
            begins_at,
            end,
        };
        self.streams.push(stream);
        stream
    }

    /// Streams `part` from now on, for at least one bucket.
    pub(super) fn stream_from_now(&mut self, part: Amount) {
        let now = self.accrued_at;
        let term = Waiting {
            premium: part,
            start: now,
            end: now,
            from_window: 0,
        };
        self.stream(part, &term, None);
    }

    /// Deducts `refund` from the rest of a stream.
    pub(super) fn reduce_stream(&mut self, stream: &mut Stream, refund: Amount) {
        let left = (stream.end - self.accrued_at.max(stream.begins_at)) as Amount;
        self.unearned -= refund;
        let own = self
            .streams
            .iter_mut()
            .find(|own| own.number == stream.number);
        let own = own.expect("a stream ends after its term");
        own.rate -= (refund << 32).div_ceil(left).min(own.rate);
        stream.rate = own.rate;
    }

    // Shares.

    /// The value of `shares`, at most all assets that stay.
    pub fn worth(&self, shares: Amount) -> Amount {
        let value = shares * (self.staying() + VIRTUAL_ASSETS) / (self.shares + VIRTUAL_SHARES);
        value.min(self.staying())
    }

    /// Adds the shares for `amount`, which is not in the assets yet, and returns their number.
    pub(super) fn issue(&mut self, amount: Amount) -> Verdict<Amount> {
        let bought = amount * (self.shares + VIRTUAL_SHARES) / (self.staying() + VIRTUAL_ASSETS);
        self.shares = fits(self.shares + fits(bought)?)?;
        Ok(bought)
    }

    /// The highest amount that may be locked after a purchase: the maximum utilisation of the assets that
    /// stay, without the value of `reserved` shares. The lower maximum of the current and the announced terms
    /// applies.
    pub fn max_locked(&self, reserved: Amount) -> Amount {
        let announced = self.next_terms.iter().map(|(terms, _)| terms);
        let terms = announced.chain([&self.terms]);
        let utilisation = terms.map(|terms| terms.max_utilisation_bps).min();
        let backing = self.staying() - self.worth(reserved);
        backing * Amount::from(utilisation.expect("terms")) / BPS
    }

    /// The assets that can be withdrawn while `locked` stays within the maximum utilisation.
    pub fn free_assets(&self, locked: Amount) -> Amount {
        let needed = (locked * BPS).div_ceil(self.terms.max_utilisation_bps.into());
        self.assets.saturating_sub(needed)
    }
}

impl Books {
    fn vault(&self, vault: &Address) -> Verdict<&Vault> {
        self.vaults.get(vault).ok_or("there is no such vault")
    }

    /// The vault, accrued up to now.
    pub(super) fn vault_now(&mut self, vault: &Address) -> Verdict<&mut Vault> {
        let (now, is_covered) = (self.now, self.is_covered(vault));
        let state = self.vaults.get_mut(vault);
        let state = state.ok_or("there is no such vault")?;
        let pending = state.pending();
        let wiped_out = state.accrue(now, is_covered);
        if state.pending() < pending {
            self.rare_events.losses_borne_later += 1;
            self.rare_events.vaults_wiped_out += wiped_out;
        }
        Ok(state)
    }

    // Values that the protocol defines as sums.

    pub fn requests_of(&self, vault: &Address) -> impl Iterator<Item = &Request> {
        let requests = self.requests.values();
        requests.filter(move |request| request.vault == *vault)
    }

    /// The shares that requests hold and reserve.
    pub fn reserved(&self, vault: &Address) -> Amount {
        let requests = self.requests_of(vault);
        requests
            .filter(|request| request.reserved_until.is_some())
            .map(|request| request.shares)
            .sum()
    }

    /// The premiums of a vault's terms on probation.
    pub fn premiums_held(&self, vault: &Address) -> Amount {
        let policies = self.policies_of(vault, None);
        let waiting = policies.filter_map(|policy| policy.waiting.as_ref());
        waiting.map(|term| term.premium).sum()
    }

    /// The amount that a vault's token account owes.
    pub fn owed_by_vault(&self, at: &Address) -> Amount {
        let vault = &self.vaults[at];
        let credits = vault.protocol_credit + vault.manager_credit;
        let premiums = vault.unearned + self.premiums_held(at) + self.set_aside(at);
        vault.assets - vault.pending() + premiums + credits
    }

    fn has_no_holders(&self, vault: &Address) -> bool {
        let supply = self.supplies[&address::share_mint(vault)];
        supply == 0 && self.requests_of(vault).next().is_none()
    }

    /// Credits the assets of a vault without shares and cover to the treasury.
    pub(super) fn sweep_orphaned_assets(&mut self, at: &Address) {
        let has_cover = 0 < self.locked(at);
        let vault = self.vaults.get_mut(at).expect("a vault");
        if !has_cover {
            vault.sweep();
        }
    }

    // Terms and listings.

    pub(super) fn create_vault(
        &mut self,
        signer: &Address,
        id: u64,
        mint: &Address,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: &VaultTerms,
    ) -> Verdict {
        self.enabled(mint)?;
        limits::check_vault(terms)?;
        require(
            (1..=126 * DAY).contains(&cooldown_secs),
            "the cooldown is out of range",
        )?;
        let params = self.config()?.params;
        let fees = u32::from(params.premium_fee_bps) + u32::from(manager_fee_bps);
        require(fees <= MAX_FEES_BPS.into(), "the fees are too high")?;
        let at = address::vault(signer, id);
        let share_mint = address::share_mint(&at);
        require(
            !self.supplies.contains_key(&share_mint),
            "a vault exists or existed at the address",
        )?;
        let vault = Vault {
            manager: *signer,
            id,
            mint: *mint,
            cooldown_secs,
            created_at: self.now,
            manager_fee_bps,
            waiting_secs: params.waiting_secs,
            claim_grace_secs: params.claim_grace_secs,
            bucket_secs: params.bucket_secs,
            exit_secs: params.exit_secs,
            season_secs: params.season_secs,
            protocol_fee_bps: params.premium_fee_bps,
            terms: *terms,
            next_terms: None,
            revision: 0,
            assets: 0,
            leaving: 0,
            index: 1 << 62,
            scale: 0,
            seasoned: 0,
            unearned: 0,
            shares: 0,
            protocol_credit: 0,
            manager_credit: 0,
            accrued_at: self.now,
            fraction: 0,
            losses: vec![],
            streams: vec![],
            streams_created: 0,
        };
        self.vaults.insert(at, vault);
        self.supplies.insert(share_mint, 0);
        self.open_account(address::vault_tokens(&at), mint, &at)
    }

    pub(super) fn update_vault(
        &mut self,
        signer: &Address,
        at: &Address,
        terms: &VaultTerms,
    ) -> Verdict {
        require(
            self.vault(at)?.manager == *signer,
            "only the manager may update the vault",
        )?;
        limits::check_vault(terms)?;
        let now = self.now;
        let vault = self.vault_now(at)?;
        vault.next_terms = Some((*terms, vault.notice_end(now)));
        vault.revision += 1;
        Ok(())
    }

    pub(super) fn list_model(
        &mut self,
        signer: &Address,
        at: &Address,
        model_at: &Address,
        terms: &ListingTerms,
    ) -> Verdict {
        let (vault, model) = (self.vault(at)?, self.model(model_at)?);
        require(vault.manager == *signer, "only the manager may list models")?;
        require(
            model.mint == vault.mint,
            "the model settles in another token",
        )?;
        require(!model.is_retired, "the model is retired")?;
        require(
            model.version == terms.model_version,
            "the model has another version",
        )?;
        require(
            (1..=4).contains(&terms.max_persistence),
            "the largest persistence is out of range",
        )?;
        require(
            model.window_secs + model.periods.submit_secs <= vault.waiting_secs,
            "the vault waits for less than a window and its submissions",
        )?;
        let run_secs = model.window_secs * i64::from(terms.max_persistence);
        require(
            run_secs + model.dispute_secs() + 2 * vault.step_secs() <= vault.cooldown_secs,
            "a run and its dispute take longer than the cooldown",
        )?;
        require(
            model.noise_floor <= terms.lowest_trigger,
            "the lowest trigger is under the noise floor",
        )?;
        let exposure_at = address::exposure(at, model_at);
        let before = self.exposures.get(&exposure_at);
        let cap = Amount::from(terms.cap);
        let tightened = before.filter(|before| {
            cap <= before.cap
                && before.lowest_trigger <= terms.lowest_trigger
                && terms.max_persistence <= before.max_persistence
                && before.version == terms.model_version
        });
        let active_at = match tightened {
            Some(before) => before.active_at,
            None if vault.shares == 0 => self.now,
            None => vault.notice_end(self.now),
        };
        let exposure = Exposure {
            vault: *at,
            model: *model_at,
            cap,
            lowest_trigger: terms.lowest_trigger,
            max_persistence: terms.max_persistence,
            version: terms.model_version,
            listed_at: self.now,
            active_at,
        };
        self.exposures.insert(exposure_at, exposure);
        self.vaults.get_mut(at).expect("read").revision += 1;
        Ok(())
    }

    pub(super) fn close_exposure(&mut self, at: &Address, model_at: &Address) -> Verdict {
        let (vault, model) = (self.vault(at)?, self.model(model_at)?);
        let exposure_at = address::exposure(at, model_at);
        let exposure = self.exposures.get(&exposure_at);
        let exposure = exposure.ok_or("the model is not listed")?;
        require(
            self.policies_of(at, Some(model_at)).next().is_none(),
            "a policy is open",
        )?;
        let is_abandoned =
            self.has_no_holders(at) && vault.notice_end(exposure.listed_at) <= self.now;
        let can_sell = exposure.cap != 0 && !model.is_retired && model.version == exposure.version;
        require(
            is_abandoned || !can_sell,
            "cover can be sold on the listing",
        )?;
        self.exposures.remove(&exposure_at);
        Ok(())
    }

    pub(super) fn close_vault(&mut self, at: &Address, signed: bool) -> Verdict {
        let vault = self.vault(at)?;
        let is_listed = self
            .exposures
            .values()
            .any(|exposure| exposure.vault == *at);
        let covers = self.policies_of(at, None).next().is_some();
        require(
            self.has_no_holders(at) && !is_listed && !covers,
            "shares, a listing or a policy depend on the vault",
        )?;
        let is_over = vault.notice_end(vault.created_at) <= self.now;
        require(
            signed || is_over,
            "only the manager may close the vault within its notice",
        )?;
        require(
            vault.manager_credit == 0,
            "the manager's fees are not collected",
        )?;
        self.vaults.remove(at);
        self.sweep(&address::vault_tokens(at))
    }
}
