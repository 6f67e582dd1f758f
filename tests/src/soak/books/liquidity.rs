//! Deposits, withdrawals and fees of vaults.

use driftshield_sdk::{Address, PremiumPayee, TokenProgram, address};

use super::{
    Amount, Books, Refusal, Verdict, fits, require,
    roles::flag,
    vaults::{Request, shares_for},
};

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
            vault.shares <= 1_000_000_000 * vault.assets,
            "the vault was wiped out",
        )?;
        let amount = Amount::from(amount);
        let shares = fits(shares_for(amount, vault.shares, vault.assets))?;
        require(0 < shares, "the deposit is worth no share")?;
        require(
            Amount::from(min_shares) <= shares,
            "the shares are under the provider's minimum",
        )?;
        vault.assets = fits(vault.assets + amount)?;
        vault.shares = fits(vault.shares + shares)?;
        fits(vault.owed())?;
        self.transfer(signer, source, &address::vault_tokens(at), &mint, amount)?;
        self.mint(destination, &address::share_mint(at), shares)?;
        self.record_donation(destination, shares);
        Ok(())
    }

    pub(super) fn request_withdraw(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        shares: u64,
    ) -> Verdict {
        let now = self.now;
        let vault = self.vault_now(at)?.clone();
        require(0 < shares, "the amount is 0")?;
        let shares = Amount::from(shares);
        let new = Request {
            vault: *at,
            owner: *signer,
            shares: 0,
            value: 0,
            unlock_at: 0,
        };
        let request_at = address::withdraw_request(at, signer);
        let request = self.requests.entry(request_at).or_insert(new);
        request.value = request.value.min(vault.worth(request.shares)) + vault.worth(shares);
        request.shares += shares;
        request.unlock_at = now + vault.cooldown_secs;
        let mint = address::share_mint(at);
        self.transfer(signer, source, &address::escrow(at), &mint, shares)
    }

    /// Returns as many of the requested shares as are worth their value at the time of the request, at most
    /// all of them. Burns the rest.
    pub(super) fn cancel_withdraw(
        &mut self,
        signer: &Address,
        at: &Address,
        destination: &Address,
    ) -> Verdict {
        let request = self.requests.remove(&address::withdraw_request(at, signer));
        let request = request.ok_or(NO_REQUEST)?;
        let vault = self.vault_now(at)?;
        let mut returned = request.shares;
        if request.value < vault.worth(request.shares) {
            let (supply, assets) = (vault.shares - returned, vault.assets - request.value);
            returned = returned.min(shares_for(request.value, supply, assets));
        }
        let burned = request.shares - returned;
        vault.shares -= burned;
        let (escrow, mint) = (address::escrow(at), address::share_mint(at));
        self.transfer(at, &escrow, destination, &mint, returned)?;
        self.record_donation(destination, returned);
        self.burn(&escrow, burned)
    }

    pub(super) fn withdraw(
        &mut self,
        owner: &Address,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let now = self.now;
        let locked = self.locked(at);
        let request_at = address::withdraw_request(at, owner);
        let request = self.requests.get(&request_at);
        let mut request = request.ok_or(NO_REQUEST)?.clone();
        let vault = self.vault_now(at)?;
        require(request.unlock_at <= now, "the cooldown is not over")?;
        let value = request.value.min(vault.worth(request.shares));
        let free = vault.free_assets(locked);
        let (mut paid, mut shares) = (value, request.shares);
        if free < value {
            // Pay for as many shares as the free assets suffice for, and burn the fewest shares that are
            // worth the payment.
            paid = value * (request.shares * free / value) / request.shares;
            require(0 < paid, "all capital backs policies")?;
            shares = (paid * request.shares).div_ceil(value);
            self.rare_events.partly_withdrawn += 1;
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
        self.sweep_orphaned_assets(at);
        let tokens = address::vault_tokens(at);
        let twice = [tokens, address::escrow(at)].contains(destination);
        require(!twice, "an account is passed twice")?;
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
