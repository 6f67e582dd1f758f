//! Deposits, withdrawals and fees of vaults.

use driftshield_sdk::{Address, PremiumPayee, TokenProgram, address};

use super::{Amount, Books, DAY, Refusal, Verdict, fits, require, roles::flag, vaults::Request};

const NO_REQUEST: Refusal = "the owner has requested no withdrawal";

impl Books {
    pub(super) fn deposit(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        destination: &Address,
        amount: u64,
        min_shares: u64,
    ) -> Verdict {
        self.require_running(flag::DEPOSITS)?;
        let mint = self.vault_now(at)?.mint;
        self.enabled(&mint)?;
        let vault = self.vault_now(at)?;
        require(0 < amount, "the amount is 0")?;
        require(
            vault.shares <= 1_000_000_000 * vault.staying(),
            "the vault was wiped out",
        )?;
        let amount = Amount::from(amount);
        let is_first = vault.shares == 0;
        let is_before_losses = 0 < vault.pending();
        let shares = vault.issue(amount)?;
        require(0 < shares, "the deposit is worth no share")?;
        require(
            Amount::from(min_shares) <= shares,
            "the shares are under the provider's minimum",
        )?;
        vault.assets = fits(vault.assets + amount)?;
        if is_first {
            vault.seasoned = vault.seasoned.max(vault.staying());
        }
        self.rare_events.deposited_before_losses += u64::from(is_before_losses);
        fits(self.owed_by_vault(at))?;
        self.transfer(signer, source, &address::vault_tokens(at), &mint, amount)?;
        self.mint(destination, &address::share_mint(at), shares)?;
        self.record_donation(destination, shares);
        Ok(())
    }

    /// Moves the value of `shares`, and of the shares that the request holds, to what is requested.
    pub(super) fn request_withdraw(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        shares: u64,
    ) -> Verdict {
        let now = self.now;
        let vault = self.vault_now(at)?;
        let (cooldown_secs, exit_secs) = (vault.cooldown_secs, vault.exit_secs);
        let shares = Amount::from(shares);
        let request_at = address::withdraw_request(at, signer);
        let before = self.requests.get(&request_at).cloned();
        require(0 < shares || before.is_some(), "the amount is 0")?;
        let vault = self.vaults.get_mut(at).expect("read");
        let held = before.as_ref().map_or(0, |request| request.shares);
        let requested = before.map_or(0, |request| vault.requested(&request));
        require(
            shares + held <= vault.shares,
            "the owner does not have the shares",
        )?;
        let value = vault.worth(shares + held);
        vault.shares -= shares + held;
        vault.leaving += value;
        let request = Request {
            vault: *at,
            owner: *signer,
            value: requested + value,
            index: vault.index,
            scale: vault.scale,
            shares: 0,
            unlock_at: now + cooldown_secs,
            lapses_at: now + cooldown_secs + exit_secs,
            is_short: false,
            reserved_until: None,
        };
        self.requests.insert(request_at, request);
        if shares == 0 {
            return Ok(()); // the source is not checked
        }
        let from = self.tokens.get(source);
        let from = from.ok_or("the source account does not exist")?;
        require(
            from.owner == *signer && from.mint == address::share_mint(at),
            "the source account holds no shares of the signer",
        )?;
        self.burn(source, shares)
    }

    /// Turns what is requested into shares, which are returned with those that the request holds.
    fn take_back(&mut self, request: &Request) -> Verdict<Amount> {
        let vault = self.vault_now(&request.vault)?;
        let value = vault.requested(request);
        let bought = vault.issue(value)?;
        vault.leaving -= value;
        Ok(bought + request.shares)
    }

    /// Removes a request that is over. After the last one, nothing leaves.
    fn end_request(&mut self, at: &Address, owner: &Address) {
        self.requests.remove(&address::withdraw_request(at, owner));
        if self.requests_of(at).next().is_none() {
            self.vaults.get_mut(at).expect("read").leaving = 0;
        }
    }

    pub(super) fn cancel_withdraw(
        &mut self,
        signer: &Address,
        at: &Address,
        destination: &Address,
    ) -> Verdict {
        let request = self.requests.get(&address::withdraw_request(at, signer));
        let request = request.ok_or(NO_REQUEST)?.clone();
        let shares = self.take_back(&request)?;
        self.end_request(at, signer);
        self.mint(destination, &address::share_mint(at), shares)?;
        self.record_donation(destination, shares);
        Ok(())
    }

    /// Takes the step of a request that is due.
    pub(super) fn withdraw(
        &mut self,
        owner: &Address,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let now = self.now;
        let request_at = address::withdraw_request(at, owner);
        let request = self.requests.get(&request_at);
        let mut request = request.ok_or(NO_REQUEST)?.clone();
        self.vault_now(at)?;
        let locked = self.locked(at);
        let vault = self.vaults.get_mut(at).expect("read");
        let mut paid = 0;
        if 0 < request.shares {
            let is_over = request.reserved_until.is_some_and(|until| until <= now);
            require(is_over, "the request has become shares")?;
            request.reserved_until = None;
        } else if now < request.unlock_at {
            return Err("the cooldown is not over");
        } else if now < request.lapses_at {
            let value = vault.requested(&request);
            paid = value.min(vault.free_assets(locked));
            if paid < value {
                require(0 < paid || !request.is_short, "all capital backs policies")?;
                request.is_short = true;
            }
            vault.leaving -= paid;
            vault.spend(paid);
            request.value = value - paid;
            (request.index, request.scale) = (vault.index, vault.scale);
            if 0 < request.value {
                self.rare_events.partly_withdrawn += 1;
            }
        } else {
            request.shares = self.take_back(&request)?;
            request.value = 0;
            let vault = &self.vaults[at];
            (request.index, request.scale) = (vault.index, vault.scale);
            let reserved_until = request.lapses_at + 30 * DAY;
            if request.is_short && 0 < request.shares && now < reserved_until {
                request.reserved_until = Some(reserved_until);
                self.rare_events.reserved += 1;
            }
        }
        let is_over = request.value == 0 && request.shares == 0;
        self.requests.insert(request_at, request);
        self.sweep_orphaned_assets(at);
        if is_over {
            self.end_request(at, owner);
        }
        let tokens = address::vault_tokens(at);
        require(*destination != tokens, "an account is passed twice")?;
        if paid == 0 {
            return Ok(()); // the destination is not checked
        }
        self.pay(&tokens, owner, signed, destination, paid)
    }

    pub(super) fn collect_manager_fees(
        &mut self,
        at: &Address,
        payee: PremiumPayee,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
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

    /// The owner's associated token account of a vault's shares.
    pub fn share_account(&self, owner: &Address, vault: &Address) -> Address {
        address::token_account(owner, &address::share_mint(vault), TokenProgram::SplToken)
    }
}
