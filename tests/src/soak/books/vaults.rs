//! Vaults: capital, shares, who leaves, listings, and premiums that stream.

use driftshield_sdk::{Address, ListingTerms, PremiumPayee, TokenProgram, VaultTerms, address};

use super::{
    Amount, BPS, Books, DAY, Policy, Ruled, fits, limits, limits::MOST_FEES_BPS, require,
    roles::flag,
};

/// Beside the cooldown, how long before changed terms and listings take effect.
const NOTICE: i64 = DAY;
/// Nobody's: as if they were there, so that no share becomes too dear.
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

    // Copied from Config.
    pub waiting_secs: i64,
    pub claim_grace_secs: i64,
    pub bucket_secs: i64,
    pub protocol_fee_bps: u16,

    pub terms: VaultTerms,
    /// Announced terms, and when they take effect.
    pub next_terms: Option<(VaultTerms, i64)>,

    pub assets: Amount,
    pub unearned: Amount,
    pub shares: Amount,
    pub protocol_credit: Amount,
    pub manager_credit: Amount,

    /// Until when premium has streamed.
    pub accrued_at: i64,
    /// What has streamed beyond whole units, in 2⁻³².
    pub fraction: Amount,
    pub streams: Vec<Stream>,
    /// Streams that ever were.
    pub sold: u64,
}

/// A part of a premium that becomes capital, second by second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub number: u64,
    /// In 2⁻³² of a base unit a second.
    pub rate: Amount,
    pub part: Amount,
    pub start: i64,
    /// When the term that it pays for ends.
    pub term_end: i64,
    /// When it ends: with the bucket that the term's end lies in.
    pub end: i64,
}

#[derive(Clone, Debug)]
pub struct Exposure {
    pub vault: Address,
    pub model: Address,
    pub cap: Amount,
    pub lowest_trigger: u64,
    pub version: u32,
    pub listed_at: i64,
    pub active_at: i64,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub vault: Address,
    pub owner: Address,
    pub shares: Amount,
    /// What they were worth when they were asked back.
    pub value: Amount,
    pub unlock_at: i64,
}

impl Vault {
    fn notice_end(&self, since: i64) -> i64 {
        since + self.cooldown_secs + NOTICE
    }

    /// What the token account owes.
    pub fn owed(&self) -> Amount {
        self.assets + self.unearned + self.protocol_credit + self.manager_credit
    }

    // Streams.

    /// Premium that streamed since becomes capital, the treasury's while there are no shares; and
    /// announced terms take effect.
    pub fn accrue(&mut self, now: i64) {
        if let Some((terms, at)) = self.next_terms
            && at <= now
        {
            self.terms = terms;
            self.next_terms = None;
        }
        let mut streamed = self.fraction;
        for stream in &self.streams {
            let secs = stream.end.min(now) - self.accrued_at;
            streamed += stream.rate * secs as Amount;
        }
        self.streams.retain(|stream| now < stream.end);
        self.accrued_at = now;
        let earned = if self.rate() == 0 {
            self.fraction = 0;
            self.unearned // all streams have ended: what their rounding left too
        } else {
            self.fraction = streamed % (1 << 32);
            self.unearned.min(streamed >> 32)
        };
        self.unearned -= earned;
        if self.shares == 0 {
            self.protocol_credit += earned;
        } else {
            self.assets += earned;
        }
    }

    pub fn rate(&self) -> Amount {
        self.streams.iter().map(|stream| stream.rate).sum()
    }

    fn bucket(&self, at: i64) -> i64 {
        at.div_euclid(self.bucket_secs)
    }

    /// Whether a term that ends at `end` ends early enough for the ring of 64 buckets.
    pub(super) fn has_bucket(&self, end: i64) -> bool {
        self.bucket(end) + 1 - self.bucket(self.accrued_at) <= 64
    }

    /// Credits the protocol's and the manager's part of a premium, and streams the rest over a term
    /// that ends at `term_end`.
    pub(super) fn sell(&mut self, premium: Amount, term_end: i64) -> Stream {
        let share = |bps: u16| premium * Amount::from(bps) / BPS;
        let (protocol, manager) = (share(self.protocol_fee_bps), share(self.manager_fee_bps));
        let part = premium - protocol - manager;
        self.protocol_credit += protocol;
        self.manager_credit += manager;
        self.unearned += part;
        self.sold += 1;
        let start = self.accrued_at;
        let end = (self.bucket(term_end) + 1) * self.bucket_secs;
        let stream = Stream {
            number: self.sold,
            rate: (part << 32) / (end - start) as Amount,
            part,
            start,
            term_end,
            end,
        };
        self.streams.push(stream);
        stream
    }

    /// Takes `refund` out of what a stream has left; the rest keeps streaming.
    pub(super) fn cut(&mut self, stream: &Stream, refund: Amount) {
        let left = (stream.end - self.accrued_at) as Amount;
        self.unearned -= refund;
        let own = self
            .streams
            .iter_mut()
            .find(|own| own.number == stream.number);
        let own = own.expect("it streams until after its term");
        own.rate -= (refund << 32).div_ceil(left).min(own.rate);
    }

    // Shares.

    pub fn worth(&self, shares: Amount) -> Amount {
        let value = shares * (self.assets + VIRTUAL_ASSETS) / (self.shares + VIRTUAL_SHARES);
        value.min(self.assets)
    }

    /// What cover may lock when more of it is sold: of what is left without the shares that are asked back,
    /// by the terms and by those that are announced.
    pub fn most_locked(&self, escrowed: Amount) -> Amount {
        let announced = self.next_terms.iter().map(|(terms, _)| terms);
        let terms = announced.chain([&self.terms]);
        let utilisation = terms.map(|terms| terms.max_utilisation_bps).min();
        let staying = self.assets - self.worth(escrowed);
        staying * Amount::from(utilisation.expect("terms")) / BPS
    }

    /// What can leave while as much stays as cover needs.
    pub fn free(&self, locked: Amount) -> Amount {
        let needed = (locked * BPS).div_ceil(self.terms.max_utilisation_bps.into());
        self.assets.saturating_sub(needed)
    }
}

/// The shares that `amount` buys of `supply` and `assets`.
fn bought(amount: Amount, supply: Amount, assets: Amount) -> Amount {
    amount * (supply + VIRTUAL_SHARES) / (assets + VIRTUAL_ASSETS)
}

impl Books {
    fn vault(&self, vault: &Address) -> Ruled<&Vault> {
        self.vaults.get(vault).ok_or("is no vault")
    }

    /// The vault, brought to now.
    pub(super) fn vault_now(&mut self, vault: &Address) -> Ruled<&mut Vault> {
        let now = self.now;
        let vault = self.vaults.get_mut(vault).ok_or("is no vault")?;
        vault.accrue(now);
        Ok(vault)
    }

    // What the page defines as sums.

    /// Cover of open policies, less what they were paid.
    pub fn locked(&self, vault: &Address) -> Amount {
        self.policies_of(vault, None).map(Policy::open_cover).sum()
    }

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

    pub fn requests_of(&self, vault: &Address) -> impl Iterator<Item = &Request> {
        let requests = self.requests.values();
        requests.filter(move |request| request.vault == *vault)
    }

    pub fn escrowed(&self, vault: &Address) -> Amount {
        self.requests_of(vault).map(|request| request.shares).sum()
    }

    /// Shares that exist outside of the escrow.
    fn in_hands(&self, vault: &Address) -> Amount {
        let supply = self.supplies[&address::share_mint(vault)];
        supply - self.tokens[&address::escrow(vault)].amount
    }

    fn is_nobodys(&self, vault: &Address) -> bool {
        self.in_hands(vault) == 0 && self.requests_of(vault).next().is_none()
    }

    /// What is left when the last share has gone and nothing is covered is the treasury's.
    pub(super) fn release_orphans(&mut self, at: &Address) {
        let is_covering = 0 < self.locked(at);
        let vault = self.vaults.get_mut(at).expect("a vault");
        if vault.shares == 0 && !is_covering {
            vault.protocol_credit += std::mem::take(&mut vault.assets);
        }
    }

    // Terms and listings.

    pub(super) fn create_vault(
        &mut self,
        who: &Address,
        id: u64,
        mint: &Address,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: &VaultTerms,
    ) -> Ruled {
        self.enabled(mint)?;
        limits::of_vault(terms)?;
        require((1..=121 * DAY).contains(&cooldown_secs), "no such cooldown")?;
        let params = self.config()?.params;
        let fees = u32::from(params.premium_fee_bps) + u32::from(manager_fee_bps);
        require(fees <= MOST_FEES_BPS.into(), "the fees are too high")?;
        let at = address::vault(who, id);
        let share_mint = address::share_mint(&at);
        require(
            !self.supplies.contains_key(&share_mint),
            "a vault is or was here",
        )?;
        let vault = Vault {
            manager: *who,
            id,
            mint: *mint,
            cooldown_secs,
            created_at: self.now,
            manager_fee_bps,
            waiting_secs: params.waiting_secs,
            claim_grace_secs: params.claim_grace_secs,
            bucket_secs: params.bucket_secs,
            protocol_fee_bps: params.premium_fee_bps,
            terms: *terms,
            next_terms: None,
            assets: 0,
            unearned: 0,
            shares: 0,
            protocol_credit: 0,
            manager_credit: 0,
            accrued_at: self.now,
            fraction: 0,
            streams: vec![],
            sold: 0,
        };
        self.vaults.insert(at, vault);
        self.supplies.insert(share_mint, 0);
        self.open(address::vault_tokens(&at), mint, &at)?;
        self.open(address::escrow(&at), &share_mint, &at)
    }

    pub(super) fn update_vault(
        &mut self,
        who: &Address,
        at: &Address,
        terms: &VaultTerms,
    ) -> Ruled {
        require(self.vault(at)?.manager == *who, "only the manager may")?;
        limits::of_vault(terms)?;
        let now = self.now;
        let vault = self.vault_now(at)?;
        vault.next_terms = Some((*terms, vault.notice_end(now)));
        Ok(())
    }

    pub(super) fn list_model(
        &mut self,
        who: &Address,
        at: &Address,
        model_at: &Address,
        terms: &ListingTerms,
    ) -> Ruled {
        let (vault, model) = (self.vault(at)?, self.model(model_at)?);
        require(vault.manager == *who, "only the manager may")?;
        require(model.mint == vault.mint, "settles in another token")?;
        require(!model.is_retired, "the model is retired")?;
        require(model.version == terms.model_version, "another version")?;
        require(
            model.window_secs + model.dispute_secs() <= vault.cooldown_secs,
            "the model is measured too slowly",
        )?;
        require(
            model.noise_floor <= terms.lowest_trigger,
            "under the noise floor",
        )?;
        let exposure_at = address::exposure(at, model_at);
        let before = self.exposures.get(&exposure_at);
        let cap = Amount::from(terms.cap);
        let tighter = before.filter(|before| {
            cap <= before.cap
                && before.lowest_trigger <= terms.lowest_trigger
                && before.version == terms.model_version
        });
        let active_at = match tighter {
            Some(before) => before.active_at,
            None if vault.shares == 0 => self.now,
            None => vault.notice_end(self.now),
        };
        let exposure = Exposure {
            vault: *at,
            model: *model_at,
            cap,
            lowest_trigger: terms.lowest_trigger,
            version: terms.model_version,
            listed_at: self.now,
            active_at,
        };
        self.exposures.insert(exposure_at, exposure);
        Ok(())
    }

    pub(super) fn close_exposure(&mut self, at: &Address, model_at: &Address) -> Ruled {
        let (vault, model) = (self.vault(at)?, self.model(model_at)?);
        let exposure_at = address::exposure(at, model_at);
        let exposure = self.exposures.get(&exposure_at).ok_or("is not listed")?;
        require(
            self.policies_of(at, Some(model_at)).next().is_none(),
            "policies are open",
        )?;
        let abandoned = self.is_nobodys(at) && vault.notice_end(exposure.listed_at) <= self.now;
        let is_dead =
            exposure.cap == 0 || model.is_retired || model.version != exposure.version || abandoned;
        require(is_dead, "cover can be sold on it")?;
        self.exposures.remove(&exposure_at);
        Ok(())
    }

    pub(super) fn close_vault(&mut self, at: &Address, signed: bool) -> Ruled {
        let vault = self.vault(at)?;
        let is_listed = self
            .exposures
            .values()
            .any(|exposure| exposure.vault == *at);
        let covers = self.policies_of(at, None).next().is_some();
        require(
            self.is_nobodys(at) && !is_listed && !covers,
            "something depends on it",
        )?;
        let is_over = vault.notice_end(vault.created_at) <= self.now;
        require(signed || is_over, "is within its notice")?;
        require(vault.manager_credit == 0, "the manager is owed")?;
        let escrow = address::escrow(at);
        self.burn(&escrow, self.tokens[&escrow].amount)?;
        self.tokens.remove(&escrow);
        self.vaults.remove(at);
        self.sweep(&address::vault_tokens(at))
    }

    // Liquidity.

    pub(super) fn deposit(
        &mut self,
        who: &Address,
        at: &Address,
        source: &Address,
        destination: &Address,
        amount: u64,
        min_shares: u64,
    ) -> Ruled {
        self.require_running(flag::DEPOSITS)?;
        let mint = self.vault(at)?.mint;
        self.enabled(&mint)?;
        let vault = self.vault_now(at)?;
        require(0 < amount, "is nothing")?;
        require(
            vault.shares <= 1_000_000_000 * vault.assets,
            "the vault was wiped out",
        )?;
        let amount = Amount::from(amount);
        let shares = fits(bought(amount, vault.shares, vault.assets))?;
        require(0 < shares, "buys no share")?;
        require(Amount::from(min_shares) <= shares, "buys too few shares")?;
        vault.assets = fits(vault.assets + amount)?;
        vault.shares = fits(vault.shares + shares)?;
        fits(vault.owed())?;
        self.transfer(who, source, &address::vault_tokens(at), &mint, amount)?;
        self.mint(destination, &address::share_mint(at), shares)?;
        self.note_donation(destination, shares);
        Ok(())
    }

    pub(super) fn request_withdraw(
        &mut self,
        who: &Address,
        at: &Address,
        source: &Address,
        shares: u64,
    ) -> Ruled {
        let now = self.now;
        let vault = self.vault_now(at)?.clone();
        require(0 < shares, "is nothing")?;
        let shares = Amount::from(shares);
        let new = Request {
            vault: *at,
            owner: *who,
            shares: 0,
            value: 0,
            unlock_at: 0,
        };
        let request_at = address::withdraw_request(at, who);
        let request = self.requests.entry(request_at).or_insert(new);
        request.value = request.value.min(vault.worth(request.shares)) + vault.worth(shares);
        request.shares += shares;
        request.unlock_at = now + vault.cooldown_secs;
        let mint = address::share_mint(at);
        self.transfer(who, source, &address::escrow(at), &mint, shares)
    }

    /// The lower of the request's value then and now, in shares.
    pub(super) fn cancel_withdraw(
        &mut self,
        who: &Address,
        at: &Address,
        destination: &Address,
    ) -> Ruled {
        let request = self.requests.remove(&address::withdraw_request(at, who));
        let request = request.ok_or("asked nothing back")?;
        let vault = self.vault_now(at)?;
        let mut returned = request.shares;
        if request.value < vault.worth(request.shares) {
            let (supply, assets) = (vault.shares - returned, vault.assets - request.value);
            returned = returned.min(bought(request.value, supply, assets));
        }
        let ended = request.shares - returned;
        vault.shares -= ended;
        let (escrow, mint) = (address::escrow(at), address::share_mint(at));
        self.transfer(at, &escrow, destination, &mint, returned)?;
        self.note_donation(destination, returned);
        self.burn(&escrow, ended)
    }

    pub(super) fn withdraw(
        &mut self,
        owner: &Address,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Ruled {
        let now = self.now;
        let locked = self.locked(at);
        let request_at = address::withdraw_request(at, owner);
        let mut request = self
            .requests
            .get(&request_at)
            .ok_or("asked nothing back")?
            .clone();
        let vault = self.vault_now(at)?;
        require(request.unlock_at <= now, "is cooling down")?;
        let value = request.value.min(vault.worth(request.shares));
        let free = vault.free(locked);
        let (mut paid, mut shares) = (value, request.shares);
        if free < value {
            // As much as whole shares make of what is free, for as few of them as make it.
            paid = value * (request.shares * free / value) / request.shares;
            require(0 < paid, "the capital backs policies")?;
            shares = (paid * request.shares).div_ceil(value);
            self.happened.partly_withdrawn += 1;
        }
        let vault = self.vaults.get_mut(at).expect("read");
        let left = request.shares - shares;
        request.value = (request.value * left).div_ceil(request.shares);
        request.shares = left;
        vault.assets -= paid;
        vault.shares -= shares;
        self.burn(&address::escrow(at), shares)?;
        if left == 0 {
            self.requests.remove(&request_at);
        } else {
            self.requests.insert(request_at, request);
        }
        self.release_orphans(at);
        let tokens = address::vault_tokens(at);
        let twice = [tokens, address::escrow(at)].contains(destination);
        require(!twice, "an account is named twice")?;
        if paid == 0 {
            return Ok(()); // where it would be paid is not looked at
        }
        self.pay(&tokens, owner, signed, destination, paid)
    }

    pub(super) fn collect_manager_fees(
        &mut self,
        at: &Address,
        payee: PremiumPayee,
        destination: &Address,
        signed: bool,
    ) -> Ruled {
        let vault = self.vault_now(at)?;
        let (mint, manager, tokens) = (vault.mint, vault.manager, address::vault_tokens(at));
        let credit = match payee {
            PremiumPayee::Treasury => &mut vault.protocol_credit,
            PremiumPayee::Manager => &mut vault.manager_credit,
        };
        let amount = std::mem::take(credit);
        require(0 < amount, "there is nothing to collect")?;
        match payee {
            PremiumPayee::Treasury => self.pay_treasury(&tokens, &mint, destination, amount),
            PremiumPayee::Manager => self.pay(&tokens, &manager, signed, destination, amount),
        }
    }

    /// Where an owner gets a vault's shares.
    pub fn share_account(&self, owner: &Address, vault: &Address) -> Address {
        address::token_account(owner, &address::share_mint(vault), TokenProgram::SplToken)
    }
}
