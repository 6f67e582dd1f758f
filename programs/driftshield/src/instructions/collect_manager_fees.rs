use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, Collateral, DriftShieldError, ManagerFeesCollected, PremiumPayee, Vault,
};

#[event_cpi]
#[derive(Accounts)]
pub struct CollectManagerFees {
    /// Must sign to collect the manager's credit unless `destination` is the manager's associated
    /// token account.
    #[account(address = vault.manager @ DriftShieldError::WrongPayee)]
    pub manager: UncheckedAccount,
    #[account(mut)]
    pub vault: Account<Vault>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// The treasury if it is the payee. Otherwise the manager's associated token account, or any
    /// account if the manager signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectManagerFees {
    pub fn collect_manager_fees(&mut self, payee: PremiumPayee) -> Result<ManagerFeesCollected> {
        self.vault.accrue(Clock::get()?.unix_timestamp);
        let (credit, recipient) = match payee {
            PremiumPayee::Treasury => (
                &mut self.vault.protocol_credit,
                Recipient::Treasury(&self.collateral.treasury),
            ),
            PremiumPayee::Manager => (
                &mut self.vault.manager_credit,
                Recipient::Payee(&self.manager),
            ),
        };
        let amount = token::take_credit(credit)?;
        token::pay_to(
            recipient,
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            &self.vault,
            amount,
        )?;
        Ok(ManagerFeesCollected {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            payee,
            destination: *self.destination.address(),
            amount,
            totals: self.vault.totals(),
        })
    }
}
