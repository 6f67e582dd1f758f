use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Collateral, DriftShieldError, FeesCollected, Market};

/// Payee of a market's fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum FeePayee {
    Treasury = 0,
    Creator = 1,
}

#[event_cpi]
#[derive(Accounts)]
pub struct CollectFees {
    /// Must sign to collect its fee unless `destination` is its associated token account.
    #[account(address = market.creator @ DriftShieldError::WrongPayee)]
    pub creator: UncheckedAccount,
    #[account(mut)]
    pub market: Account<Market>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    /// The treasury if it is paid. Otherwise the creator's associated token account, or any account
    /// if the creator signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectFees {
    pub fn collect_fees(&mut self, payee: FeePayee) -> Result<FeesCollected> {
        self.market.require_settled()?;
        let (credit, payee_account) = match payee {
            FeePayee::Treasury => (&mut self.market.protocol_credit, None),
            FeePayee::Creator => (&mut self.market.creator_credit, Some(&self.creator)),
        };
        let amount = token::collect(
            credit,
            payee_account,
            &self.collateral,
            &self.destination,
            self.token_program.address(),
            &self.mint,
        )?;
        self.market.pay(amount);
        token::transfer(
            self.token_program.address(),
            &mut self.vault,
            &self.mint,
            &mut self.destination,
            self.market.cpi_handle(),
            &self.market.signer().seeds(),
            amount,
        )?;
        self.market.invariant(token::amount(&self.vault)?)?;
        Ok(FeesCollected {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            payee,
            destination: *self.destination.address(),
            amount,
            owed: self.market.owed,
        })
    }
}
