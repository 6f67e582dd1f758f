use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

use crate::{token, DriftShieldError, Model, Receipt, ReceiptChallenged};

#[event_cpi]
#[derive(Accounts)]
pub struct ChallengeReceipt {
    pub challenger: Signer,
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    /// The challenger's token account, which pays.
    #[account(mut)]
    pub source: InterfaceAccount<TokenAccount>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: InterfaceAccount<TokenAccount>,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: InterfaceAccount<Mint>,
    pub token_program: Interface<'static, TokenInterface>,
}

impl ChallengeReceipt {
    pub fn challenge_receipt(&mut self) -> Result<ReceiptChallenged> {
        let now = Clock::get()?.unix_timestamp;
        self.receipt.advance(&mut self.model, now)?;
        self.receipt
            .challenge(self.challenger.address(), &self.model, now)?;
        let bond = self.model.challenge_bond;
        self.model.hold(bond)?;
        token::transfer(
            &self.token_program,
            &mut self.source,
            &self.mint,
            &mut self.bond_vault,
            &self.challenger,
            &[],
            bond,
        );
        self.model.invariant(self.bond_vault.amount())?;
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
