use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Collateral, DriftShieldError, ManagerFeesCollected, Vault};

/// Who a part of premiums belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum PremiumPayee {
    Treasury = 0,
    Manager = 1,
}

#[event_cpi]
#[derive(Accounts)]
pub struct CollectManagerFees {
    /// Signs where the destination of its own part is not its associated token account.
    #[account(address = vault.manager @ DriftShieldError::WrongPayee)]
    pub manager: UncheckedAccount,
    #[account(mut)]
    pub vault: Account<Vault>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// The treasury; or the manager's associated token account, or any that it signs for.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectManagerFees {
    pub fn collect_manager_fees(&mut self, payee: PremiumPayee) -> Result<ManagerFeesCollected> {
        self.vault.accrue(Clock::get()?.unix_timestamp);
        let (credit, payee_account) = match payee {
            PremiumPayee::Treasury => (&mut self.vault.protocol_credit, None),
            PremiumPayee::Manager => (&mut self.vault.manager_credit, Some(&self.manager)),
        };
        let amount = token::collect(
            credit,
            payee_account,
            &self.collateral,
            &self.destination,
            self.token_program.address(),
            &self.mint,
        )?;
        token::pay(
            &self.vault,
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
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
