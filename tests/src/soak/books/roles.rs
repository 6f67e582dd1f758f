//! Roles, pause flags, settings and collateral.

use driftshield_sdk::{Address, CollateralTerms, ConfigParams, TokenProgram, address};

use super::{Books, Verdict, limits, require};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub admin: Address,
    pub pending_admin: Option<Address>,
    pub guardian: Address,
    pub arbiter: Address,
    pub pending_arbiter: Option<Address>,
    pub params: ConfigParams,
    /// A bit mask of [`flag`]s.
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

/// Pause flags, by what they stop.
pub mod flag {
    pub const MODELS: u8 = 1;
    pub const MARKETS: u8 = 2;
    pub const BETS: u8 = 4;
    pub const DEPOSITS: u8 = 8;
    pub const POLICIES: u8 = 16;
    pub const RENEWALS: u8 = 32;
}

impl Books {
    pub(super) fn config(&self) -> Verdict<&Config> {
        self.config.as_ref().ok_or("the program is not initialized")
    }

    fn config_for_admin(&mut self, signer: &Address) -> Verdict<&mut Config> {
        let config = self
            .config
            .as_mut()
            .ok_or("the program is not initialized")?;
        require(config.admin == *signer, "only the admin may do this")?;
        Ok(config)
    }

    pub(super) fn require_running(&self, flag: u8) -> Verdict {
        require(
            self.config()?.paused & flag == 0,
            "the instruction is paused",
        )
    }

    pub(super) fn enabled(&self, mint: &Address) -> Verdict<&Collateral> {
        let collateral = self
            .collaterals
            .get(mint)
            .ok_or("the mint is no collateral")?;
        require(collateral.enabled, "the collateral is disabled")?;
        Ok(collateral)
    }

    pub(super) fn treasury(&self, mint: &Address) -> Verdict<Address> {
        let collateral = self
            .collaterals
            .get(mint)
            .ok_or("the mint is no collateral")?;
        Ok(collateral.treasury)
    }

    /// Does not check the signer: the setup of a run initializes the program as the upgrade authority.
    pub(super) fn initialize(&mut self, signer: &Address, params: &ConfigParams) -> Verdict {
        require(self.config.is_none(), "the program is initialized already")?;
        limits::check_params(params)?;
        self.config = Some(Config {
            admin: *signer,
            pending_admin: None,
            guardian: *signer,
            arbiter: *signer,
            pending_arbiter: None,
            params: *params,
            paused: 0,
        });
        Ok(())
    }

    pub(super) fn update_config(
        &mut self,
        signer: &Address,
        guardian: &Address,
        params: &ConfigParams,
    ) -> Verdict {
        let config = self.config_for_admin(signer)?;
        limits::check_params(params)?;
        config.guardian = *guardian;
        config.params = *params;
        Ok(())
    }

    pub(super) fn propose_admin(&mut self, signer: &Address, to: &Address) -> Verdict {
        self.config_for_admin(signer)?.pending_admin = Some(*to);
        Ok(())
    }

    pub(super) fn accept_admin(&mut self, signer: &Address) -> Verdict {
        let config = self
            .config
            .as_mut()
            .ok_or("the program is not initialized")?;
        require(
            config.pending_admin == Some(*signer),
            "the signer is not the proposed admin",
        )?;
        config.admin = *signer;
        config.pending_admin = None;
        Ok(())
    }

    pub(super) fn propose_arbiter(&mut self, signer: &Address, to: &Address) -> Verdict {
        let config = self
            .config
            .as_mut()
            .ok_or("the program is not initialized")?;
        require(
            config.arbiter == *signer,
            "only the arbiter may propose its successor",
        )?;
        config.pending_arbiter = Some(*to);
        Ok(())
    }

    pub(super) fn accept_arbiter(&mut self, signer: &Address) -> Verdict {
        let config = self
            .config
            .as_mut()
            .ok_or("the program is not initialized")?;
        require(
            config.pending_arbiter == Some(*signer),
            "the signer is not the proposed arbiter",
        )?;
        config.arbiter = *signer;
        config.pending_arbiter = None;
        Ok(())
    }

    pub(super) fn set_pause(&mut self, signer: &Address, flags: u8) -> Verdict {
        let config = self
            .config
            .as_mut()
            .ok_or("the program is not initialized")?;
        require(flags < 64, "a flag is unknown")?;
        let only_adds = config.paused & flags == config.paused;
        let is_allowed = *signer == config.admin || (*signer == config.guardian && only_adds);
        require(is_allowed, "the signer may not set these flags")?;
        config.paused = flags;
        Ok(())
    }

    /// Checks for a freeze authority, but not for extensions: the actors' mints have none.
    pub(super) fn register_collateral(
        &mut self,
        signer: &Address,
        mint: &Address,
        program: TokenProgram,
        terms: &CollateralTerms,
        accepts_freeze: bool,
    ) -> Verdict {
        self.config_for_admin(signer)?;
        require(
            !self.collaterals.contains_key(mint),
            "the collateral exists already",
        )?;
        require(self.supplies.contains_key(mint), "there is no such mint")?;
        let is_freezable = self.freezable == Some(*mint);
        require(
            !is_freezable || accepts_freeze,
            "the mint has a freeze authority",
        )?;
        limits::check_collateral(terms)?;
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
        self.open_account(treasury, mint, &address)
    }

    pub(super) fn update_collateral(
        &mut self,
        signer: &Address,
        mint: &Address,
        terms: &CollateralTerms,
        enabled: bool,
    ) -> Verdict {
        self.config_for_admin(signer)?;
        limits::check_collateral(terms)?;
        let collateral = self
            .collaterals
            .get_mut(mint)
            .ok_or("the mint is no collateral")?;
        collateral.terms = *terms;
        collateral.enabled = enabled;
        Ok(())
    }

    pub(super) fn withdraw_treasury(
        &mut self,
        signer: &Address,
        mint: &Address,
        destination: &Address,
        amount: u64,
    ) -> Verdict {
        self.config_for_admin(signer)?;
        require(0 < amount, "the amount is 0")?;
        let treasury = self.treasury(mint)?;
        let owner = self.collaterals[mint].address;
        self.transfer(&owner, &treasury, destination, mint, amount.into())?;
        self.record_donation(destination, amount.into());
        Ok(())
    }
}
