use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Collateral, DriftShieldError, Model, Receipt, ReceiptChallenged, TokenOwner};

#[event_cpi]
#[derive(Accounts)]
pub struct ChallengeReceipt {
    pub challenger: Signer,
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    /// The challenger's token account, which pays the bond.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl ChallengeReceipt {
    pub fn challenge_receipt(&mut self) -> Result<ReceiptChallenged> {
        let now = Clock::get()?.unix_timestamp;
        self.receipt.advance(&mut self.model, now)?;
        self.receipt.challenge(self.challenger.address(), now)?;
        self.model.count_report();
        self.collateral.require_accepted(self.mint.account())?;
        let bond = self.model.challenge_bond;
        self.model.increase_held(bond)?;
        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.bond_vault,
            self.challenger.cpi_handle(),
            &[],
            bond,
        )?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(ReceiptChallenged {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            challenger: self.receipt.challenger,
            bond,
            value: self.receipt.value,
            held: self.model.held,
        })
    }
}
