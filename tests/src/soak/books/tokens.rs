//! Token accounts: who owns them, what they hold, and who else may take of it.

use driftshield_sdk::{Address, TokenProgram, address};

use super::{Amount, Books, Ruled, fits, require};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub mint: Address,
    pub owner: Address,
    pub amount: Amount,
    pub delegate: Option<(Address, Amount)>,
    /// What somebody sent here though nothing of the program's asked for it.
    pub donated: Amount,
    /// Whether it is one of the program's.
    pub is_programs: bool,
}

impl Books {
    pub fn own_account(&self, owner: &Address, mint: &Address) -> Address {
        let program = self
            .collaterals
            .get(mint)
            .map_or(TokenProgram::SplToken, |collateral| collateral.program);
        address::token_account(owner, mint, program)
    }

    /// The program opens a token account.
    pub(super) fn open(&mut self, account: Address, mint: &Address, owner: &Address) -> Ruled {
        require(!self.tokens.contains_key(&account), "exists already")?;
        let tokens = Tokens {
            mint: *mint,
            owner: *owner,
            amount: 0,
            delegate: None,
            donated: 0,
            is_programs: true,
        };
        self.tokens.insert(account, tokens);
        Ok(())
    }

    /// `who` signs for `amount` of `source` to go to `destination`.
    pub(super) fn transfer(
        &mut self,
        who: &Address,
        source: &Address,
        destination: &Address,
        mint: &Address,
        amount: Amount,
    ) -> Ruled {
        require(source != destination, "an account is named twice")?;
        let from = self.tokens.get_mut(source).ok_or("pays from no account")?;
        require(from.mint == *mint, "pays in another token")?;
        require(amount <= from.amount, "holds less")?;
        if from.owner != *who {
            let (delegate, most) = from.delegate.ok_or("pays from somebody else's account")?;
            require(delegate == *who, "pays from somebody else's account")?;
            require(amount <= most, "less is delegated")?;
            let left = most - amount;
            from.delegate = (0 < left).then_some((delegate, left));
        }
        from.amount -= amount;
        let to = self
            .tokens
            .get_mut(destination)
            .ok_or("pays to no account")?;
        require(to.mint == *mint, "pays in another token")?;
        to.amount = fits(to.amount + amount)?;
        Ok(())
    }

    /// The program pays `amount` to `payee`: to its associated token account while that is its own, or
    /// wherever it says by signing.
    pub(super) fn pay(
        &mut self,
        source: &Address,
        payee: &Address,
        signed: bool,
        destination: &Address,
        amount: Amount,
    ) -> Ruled {
        let from = self
            .tokens
            .get(source)
            .ok_or("pays from no account")?
            .clone();
        let to = self.tokens.get(destination).ok_or("pays to no account")?;
        let is_own = *destination == self.own_account(payee, &from.mint) && to.owner == *payee;
        require(signed || is_own, "pays where the payee did not say")?;
        self.transfer(&from.owner, source, destination, &from.mint, amount)?;
        self.note_donation(destination, amount);
        Ok(())
    }

    /// Whoever has tokens sent to an account of the program's gives them away.
    pub(super) fn note_donation(&mut self, destination: &Address, amount: Amount) {
        let to = self.tokens.get_mut(destination).expect("was paid");
        if to.is_programs {
            to.donated += amount;
        }
    }

    /// All of one of the program's accounts goes to the treasury, and the account is closed.
    pub(super) fn sweep(&mut self, account: &Address) -> Ruled {
        let from = self.tokens.get(account).ok_or("is gone")?.clone();
        let treasury = self.treasury(&from.mint)?;
        self.transfer(&from.owner, account, &treasury, &from.mint, from.amount)?;
        self.tokens.remove(account);
        Ok(())
    }

    // What anybody can do with tokens.

    pub(super) fn donate(
        &mut self,
        who: &Address,
        source: &Address,
        destination: &Address,
        amount: u64,
    ) -> Ruled {
        let from = self.tokens.get(source).ok_or("is gone")?;
        let mint = from.mint;
        if source == destination {
            require(Amount::from(amount) <= from.amount, "holds less")?;
            return require(from.owner == *who, "is somebody else's");
        }
        self.transfer(who, source, destination, &mint, amount.into())?;
        self.note_donation(destination, amount.into());
        Ok(())
    }

    pub(super) fn burn_own(&mut self, who: &Address, source: &Address, amount: u64) -> Ruled {
        let from = self.tokens.get(source).ok_or("is gone")?;
        require(from.owner == *who, "is somebody else's")?;
        self.burn(source, amount.into())
    }

    pub(super) fn burn(&mut self, source: &Address, amount: Amount) -> Ruled {
        let from = self.tokens.get_mut(source).ok_or("is gone")?;
        require(amount <= from.amount, "holds less")?;
        from.amount -= amount;
        *self.supplies.get_mut(&from.mint).expect("a mint") -= amount;
        Ok(())
    }

    pub(super) fn mint(&mut self, destination: &Address, mint: &Address, amount: Amount) -> Ruled {
        let to = self.tokens.get_mut(destination).ok_or("is gone")?;
        require(to.mint == *mint, "holds another token")?;
        to.amount = fits(to.amount + amount)?;
        let supply = self.supplies.get_mut(mint).expect("a mint");
        *supply = fits(*supply + amount)?;
        Ok(())
    }

    pub(super) fn approve(&mut self, who: &Address, source: &Address, amount: u64) -> Ruled {
        let from = self.tokens.get_mut(source).ok_or("is gone")?;
        require(from.owner == *who, "is somebody else's")?;
        from.delegate = Some((address::renewal_authority(who), amount.into()));
        Ok(())
    }

    pub(super) fn revoke(&mut self, who: &Address, source: &Address) -> Ruled {
        let from = self.tokens.get_mut(source).ok_or("is gone")?;
        require(from.owner == *who, "is somebody else's")?;
        from.delegate = None;
        Ok(())
    }

    pub(super) fn give_away(&mut self, who: &Address, account: &Address, to: &Address) -> Ruled {
        let tokens = self.tokens.get_mut(account).ok_or("is gone")?;
        require(tokens.owner == *who, "is somebody else's")?;
        tokens.owner = *to;
        tokens.delegate = None;
        Ok(())
    }

    pub(super) fn open_shares(&mut self, who: &Address, vault: &Address) -> Ruled {
        let mint = address::share_mint(vault);
        require(self.supplies.contains_key(&mint), "no vault was here")?;
        let account = address::token_account(who, &mint, TokenProgram::SplToken);
        let tokens = Tokens {
            mint,
            owner: *who,
            amount: 0,
            delegate: None,
            donated: 0,
            is_programs: false,
        };
        self.tokens.entry(account).or_insert(tokens);
        Ok(())
    }
}
