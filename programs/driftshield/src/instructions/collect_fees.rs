use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, Collateral, DriftShieldError, FeePayee, FeesCollected, Market,
};

#[event_cpi]
#[derive(Accounts)]
pub struct CollectFees {
    /// Must sign to collect the creator's fee unless `destination` is the creator's associated
    /// token account.
    #[account(address = market.creator @ DriftShieldError::WrongPayee)]
    pub creator: UncheckedAccount,
    #[account(mut)]
    pub market: Account<Market>,
    #[account(constraint = collateral.mint == market.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    /// The treasury if it is the payee. Otherwise the creator's associated token account, or any
    /// account if the creator signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectFees {
    pub fn collect_fees(&mut self, payee: FeePayee) -> Result<FeesCollected> {
        self.market.require_settled()?;
        let (credit, recipient) = match payee {
            FeePayee::Treasury => (
                &mut self.market.protocol_credit,
                Recipient::Treasury(&self.collateral.treasury),
            ),
            FeePayee::Creator => (
                &mut self.market.creator_credit,
                Recipient::Payee(&self.creator),
            ),
        };
        let amount = token::take_credit(credit)?;
        self.market.decrease_owed(amount);
        token::pay_to(
            recipient,
            self.token_program.address(),
            &mut self.vault,
            &self.mint,
            &mut self.destination,
            &self.market,
            amount,
        )?;
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
