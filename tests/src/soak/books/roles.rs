//! Roles, pauses, settings, and the tokens that are taken.

use driftshield_sdk::{Address, CollateralTerms, ConfigParams, TokenProgram, address};

use super::{Books, Ruled, limits, require};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub admin: Address,
    pub pending_admin: Option<Address>,
    pub guardian: Address,
    pub arbiter: Address,
    pub params: ConfigParams,
    /// 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals.
    pub paused: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collateral {
    pub address: Address,
    pub treasury: Address,
    pub program: TokenProgram,
    pub terms: CollateralTerms,
    pub accepts_freeze: bool,
    pub enabled: bool,
}

/// What a pause flag stops.
pub mod flag {
    pub const MODELS: u8 = 1;
    pub const MARKETS: u8 = 2;
    pub const BETS: u8 = 4;
    pub const DEPOSITS: u8 = 8;
    pub const POLICIES: u8 = 16;
    pub const RENEWALS: u8 = 32;
}

impl Books {
    pub(super) fn config(&self) -> Ruled<&Config> {
        self.config.as_ref().ok_or("is not set up")
    }

    fn config_of_admin(&mut self, who: &Address) -> Ruled<&mut Config> {
        let config = self.config.as_mut().ok_or("is not set up")?;
        require(config.admin == *who, "only the admin may")?;
        Ok(config)
    }

    pub(super) fn require_running(&self, flag: u8) -> Ruled {
        require(self.config()?.paused & flag == 0, "is paused")
    }

    pub(super) fn enabled(&self, mint: &Address) -> Ruled<&Collateral> {
        let collateral = self.collaterals.get(mint).ok_or("is no collateral")?;
        require(collateral.enabled, "the collateral is disabled")?;
        Ok(collateral)
    }

    pub(super) fn treasury(&self, mint: &Address) -> Ruled<Address> {
        let collateral = self.collaterals.get(mint).ok_or("is no collateral")?;
        Ok(collateral.treasury)
    }

    /// `who` is the upgrade authority: nobody else of the cast calls it before it was done.
    pub(super) fn initialize(&mut self, who: &Address, params: &ConfigParams) -> Ruled {
        require(self.config.is_none(), "is set up already")?;
        limits::of_params(params)?;
        self.config = Some(Config {
            admin: *who,
            pending_admin: None,
            guardian: *who,
            arbiter: *who,
            params: *params,
            paused: 0,
        });
        Ok(())
    }

    pub(super) fn update_config(
        &mut self,
        who: &Address,
        guardian: &Address,
        arbiter: &Address,
        params: &ConfigParams,
    ) -> Ruled {
        let config = self.config_of_admin(who)?;
        limits::of_params(params)?;
        config.guardian = *guardian;
        config.arbiter = *arbiter;
        config.params = *params;
        Ok(())
    }

    pub(super) fn propose_admin(&mut self, who: &Address, to: &Address) -> Ruled {
        self.config_of_admin(who)?.pending_admin = Some(*to);
        Ok(())
    }

    pub(super) fn accept_admin(&mut self, who: &Address) -> Ruled {
        let config = self.config.as_mut().ok_or("is not set up")?;
        require(config.pending_admin == Some(*who), "nobody proposed it")?;
        config.admin = *who;
        config.pending_admin = None;
        Ok(())
    }

    pub(super) fn set_pause(&mut self, who: &Address, flags: u8) -> Ruled {
        let config = self.config.as_mut().ok_or("is not set up")?;
        require(flags < 64, "an unknown flag")?;
        let only_adds = config.paused & flags == config.paused;
        let may = *who == config.admin || (*who == config.guardian && only_adds);
        require(may, "only the admin may, or the guardian add")?;
        config.paused = flags;
        Ok(())
    }

    /// The cast's mints have no extensions; one has a freeze authority.
    pub(super) fn register_collateral(
        &mut self,
        who: &Address,
        mint: &Address,
        program: TokenProgram,
        terms: &CollateralTerms,
        accepts_freeze: bool,
    ) -> Ruled {
        self.config_of_admin(who)?;
        require(!self.collaterals.contains_key(mint), "exists already")?;
        require(self.supplies.contains_key(mint), "is no mint")?;
        let may_freeze = self.freezable == Some(*mint);
        require(!may_freeze || accepts_freeze, "could be frozen")?;
        limits::of_collateral(terms)?;
        let address = address::collateral(mint);
        let treasury = address::treasury(&address);
        let collateral = Collateral {
            address,
            treasury,
            program,
            terms: *terms,
            accepts_freeze,
            enabled: true,
        };
        self.collaterals.insert(*mint, collateral);
        self.open(treasury, mint, &address)
    }

    pub(super) fn update_collateral(
        &mut self,
        who: &Address,
        mint: &Address,
        terms: &CollateralTerms,
        enabled: bool,
    ) -> Ruled {
        self.config_of_admin(who)?;
        limits::of_collateral(terms)?;
        let collateral = self.collaterals.get_mut(mint).ok_or("is no collateral")?;
        collateral.terms = *terms;
        collateral.enabled = enabled;
        Ok(())
    }

    pub(super) fn withdraw_treasury(
        &mut self,
        who: &Address,
        mint: &Address,
        destination: &Address,
        amount: u64,
    ) -> Ruled {
        self.config_of_admin(who)?;
        require(0 < amount, "is nothing")?;
        let treasury = self.treasury(mint)?;
        let owner = self.collaterals[mint].address;
        self.transfer(&owner, &treasury, destination, mint, amount.into())?;
        self.note_donation(destination, amount.into());
        Ok(())
    }
}
