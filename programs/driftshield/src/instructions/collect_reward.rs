use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, Collateral, DriftShieldError, Model, RewardCollected, RewardPayee,
};

#[event_cpi]
#[derive(Accounts)]
pub struct CollectReward {
    /// One of the model's oracles. Must sign to collect its reward unless `destination` is its
    /// associated token account.
    pub oracle: UncheckedAccount,
    #[account(mut)]
    pub model: Account<Model>,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    /// The treasury if it is the payee. Otherwise the oracle's associated token account, or any
    /// account if the oracle signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CollectReward {
    pub fn collect_reward(&mut self, payee: RewardPayee) -> Result<RewardCollected> {
        let index = self
            .model
            .oracle_index(self.oracle.address())
            .ok_or(DriftShieldError::WrongPayee)?;
        let (mut credit, recipient) = match payee {
            RewardPayee::Treasury => (
                self.model.drain_pot(Clock::get()?.unix_timestamp)?,
                Recipient::Treasury(&self.collateral.treasury),
            ),
            RewardPayee::Oracle => (
                core::mem::take(&mut self.model.rewards[index]),
                Recipient::Payee(&self.oracle),
            ),
        };
        let amount = token::take_credit(&mut credit)?;
        self.model.decrease_held(amount);
        token::pay_to(
            recipient,
            self.token_program.address(),
            &mut self.bond_vault,
            &self.mint,
            &mut self.destination,
            &self.model,
            amount,
        )?;
        Ok(RewardCollected {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            payee,
            oracle: *self.oracle.address(),
            destination: *self.destination.address(),
            amount,
            totals: self.model.pot_totals(),
        })
    }
}
