//! Token accounts: owners, balances and delegates.

use driftshield_sdk::{Address, TokenProgram, address};

use super::{Amount, Books, Refusal, Verdict, fits, require};

const NO_SOURCE: Refusal = "the source account does not exist";
const NO_DESTINATION: Refusal = "the destination account does not exist";
const NOT_OWNER: Refusal = "the signer neither owns the account nor is its delegate";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub mint: Address,
    pub owner: Address,
    pub amount: Amount,
    /// The delegate, and the amount delegated to it.
    pub delegate: Option<(Address, Amount)>,
    /// The donations in a token account of the program, which the program's accounts don't count.
    pub donated: Amount,
    pub owned_by_program: bool,
}

impl Books {
    pub fn own_account(&self, owner: &Address, mint: &Address) -> Address {
        let program = self
            .collaterals
            .get(mint)
            .map_or(TokenProgram::SplToken, |collateral| collateral.program);
        address::token_account(owner, mint, program)
    }

    /// Opens a token account of the program.
    pub(super) fn open_account(
        &mut self,
        account: Address,
        mint: &Address,
        owner: &Address,
    ) -> Verdict {
        require(
            !self.tokens.contains_key(&account),
            "the token account exists already",
        )?;
        let tokens = Tokens {
            mint: *mint,
            owner: *owner,
            amount: 0,
            delegate: None,
            donated: 0,
            owned_by_program: true,
        };
        self.tokens.insert(account, tokens);
        Ok(())
    }

    /// Transfers `amount` with the signature of `signer`, the owner or the delegate of `source`.
    pub(super) fn transfer(
        &mut self,
        signer: &Address,
        source: &Address,
        destination: &Address,
        mint: &Address,
        amount: Amount,
    ) -> Verdict {
        require(source != destination, "an account is passed twice")?;
        let from = self.tokens.get_mut(source).ok_or(NO_SOURCE)?;
        require(from.mint == *mint, "the source has another mint")?;
        require(amount <= from.amount, "the balance is too low")?;
        if from.owner != *signer {
            let (delegate, delegated) = from.delegate.ok_or(NOT_OWNER)?;
            require(delegate == *signer, NOT_OWNER)?;
            require(amount <= delegated, "the delegated amount is too low")?;
            let left = delegated - amount;
            from.delegate = (0 < left).then_some((delegate, left));
        }
        from.amount -= amount;
        let to = self.tokens.get_mut(destination).ok_or(NO_DESTINATION)?;
        require(to.mint == *mint, "the destination has another mint")?;
        to.amount = fits(to.amount + amount)?;
        Ok(())
    }

    /// Pays `amount` from the program to `payee`: to the payee's associated token account if the payee still
    /// owns that account, or to any account if the payee signs.
    pub(super) fn pay(
        &mut self,
        source: &Address,
        payee: &Address,
        signed: bool,
        destination: &Address,
        amount: Amount,
    ) -> Verdict {
        let from = self.tokens.get(source).ok_or(NO_SOURCE)?.clone();
        let to = self.tokens.get(destination).ok_or(NO_DESTINATION)?;
        let is_own = *destination == self.own_account(payee, &from.mint) && to.owner == *payee;
        require(
            signed || is_own,
            "the destination is not the payee's own account, and the payee does not sign",
        )?;
        self.transfer(&from.owner, source, destination, &from.mint, amount)?;
        self.record_donation(destination, amount);
        Ok(())
    }

    /// Pays `amount` from the program to the treasury of `mint`.
    pub(super) fn pay_treasury(
        &mut self,
        source: &Address,
        mint: &Address,
        destination: &Address,
        amount: Amount,
    ) -> Verdict {
        require(
            *destination == self.treasury(mint)?,
            "the destination is not the treasury",
        )?;
        let owner = self.tokens.get(source).ok_or(NO_SOURCE)?.owner;
        self.transfer(&owner, source, destination, mint, amount)
    }

    /// Counts a transfer as a donation if its destination is a token account of the program.
    pub(super) fn record_donation(&mut self, destination: &Address, amount: Amount) {
        let to = self.tokens.get_mut(destination);
        let to = to.expect("the transfer succeeded");
        if to.owned_by_program {
            to.donated += amount;
        }
    }

    /// Transfers the balance of a token account of the program to the treasury, and closes the account.
    pub(super) fn sweep(&mut self, account: &Address) -> Verdict {
        let from = self.tokens.get(account).ok_or(NO_SOURCE)?.clone();
        let treasury = self.treasury(&from.mint)?;
        self.transfer(&from.owner, account, &treasury, &from.mint, from.amount)?;
        self.tokens.remove(account);
        Ok(())
    }

    // Instructions of the token programs.

    pub(super) fn send(
        &mut self,
        signer: &Address,
        source: &Address,
        destination: &Address,
        amount: u64,
    ) -> Verdict {
        let from = self.tokens.get(source).ok_or(NO_SOURCE)?;
        let mint = from.mint;
        if source == destination {
            require(
                Amount::from(amount) <= from.amount,
                "the balance is too low",
            )?;
            return require(from.owner == *signer, NOT_OWNER);
        }
        self.transfer(signer, source, destination, &mint, amount.into())?;
        self.record_donation(destination, amount.into());
        Ok(())
    }

    pub(super) fn burn_own(&mut self, signer: &Address, source: &Address, amount: u64) -> Verdict {
        self.owned_tokens(signer, source)?;
        self.burn(source, amount.into())
    }

    pub(super) fn burn(&mut self, source: &Address, amount: Amount) -> Verdict {
        let from = self.tokens.get_mut(source).ok_or(NO_SOURCE)?;
        require(amount <= from.amount, "the balance is too low")?;
        from.amount -= amount;
        *self.supplies.get_mut(&from.mint).expect("a mint") -= amount;
        Ok(())
    }

    pub(super) fn mint(
        &mut self,
        destination: &Address,
        mint: &Address,
        amount: Amount,
    ) -> Verdict {
        let to = self.tokens.get_mut(destination).ok_or(NO_DESTINATION)?;
        require(to.mint == *mint, "the destination has another mint")?;
        to.amount = fits(to.amount + amount)?;
        let supply = self.supplies.get_mut(mint).expect("a mint");
        *supply = fits(*supply + amount)?;
        Ok(())
    }

    pub(super) fn approve(&mut self, signer: &Address, source: &Address, amount: u64) -> Verdict {
        let delegate = address::renewal_authority(signer);
        self.owned_tokens(signer, source)?.delegate = Some((delegate, amount.into()));
        Ok(())
    }

    pub(super) fn revoke(&mut self, signer: &Address, source: &Address) -> Verdict {
        self.owned_tokens(signer, source)?.delegate = None;
        Ok(())
    }

    pub(super) fn give_away(
        &mut self,
        signer: &Address,
        account: &Address,
        to: &Address,
    ) -> Verdict {
        let tokens = self.owned_tokens(signer, account)?;
        tokens.owner = *to;
        tokens.delegate = None;
        Ok(())
    }

    fn owned_tokens(&mut self, signer: &Address, account: &Address) -> Verdict<&mut Tokens> {
        let tokens = self.tokens.get_mut(account).ok_or(NO_SOURCE)?;
        require(tokens.owner == *signer, NOT_OWNER)?;
        Ok(tokens)
    }

    pub(super) fn open_shares(&mut self, signer: &Address, vault: &Address) -> Verdict {
        let mint = address::share_mint(vault);
        require(
            self.supplies.contains_key(&mint),
            "no vault ever existed at the address",
        )?;
        let account = address::token_account(signer, &mint, TokenProgram::SplToken);
        let tokens = Tokens {
            mint,
            owner: *signer,
            amount: 0,
            delegate: None,
            donated: 0,
            owned_by_program: false,
        };
        self.tokens.entry(account).or_insert(tokens);
        Ok(())
    }
}
