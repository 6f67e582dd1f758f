use anchor_lang::prelude::*;

use crate::{Account, Collateral, CollateralTerms, CollateralUpdated, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct UpdateCollateral {
    #[account(address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    pub config: Account<Config>,
    #[account(mut)]
    pub collateral: Account<Collateral>,
}

impl UpdateCollateral {
    pub fn update_collateral(
        &mut self,
        terms: CollateralTerms,
        enabled: bool,
    ) -> Result<CollateralUpdated> {
        terms.validate()?;
        let collateral = &mut self.collateral;
        collateral.terms = terms;
        collateral.enabled = enabled.into();
        Ok(CollateralUpdated {
            collateral: *collateral.address(),
            collateral_seq: collateral.next_seq(),
            mint: collateral.mint,
            enabled,
            terms,
        })
    }
}
