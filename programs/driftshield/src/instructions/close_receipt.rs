use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, Receipt, ReceiptClosed};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseReceipt {
    /// Account that paid the receipt's rent and receives it back.
    #[account(mut, address = receipt.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
    #[account(address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, close = payer)]
    pub receipt: Account<Receipt>,
}

impl CloseReceipt {
    pub fn close_receipt(&mut self) -> Result<ReceiptClosed> {
        let receipt = &mut self.receipt;
        let retention_end = self.model.retention_end(receipt.window)?;
        require!(
            receipt.is_settled() && retention_end <= Clock::get()?.unix_timestamp,
            DriftShieldError::ReceiptStillNeeded
        );
        require!(
            receipt.challenger_credit == 0 && receipt.treasury_credit == 0,
            DriftShieldError::CreditLeft
        );
        Ok(ReceiptClosed {
            model: receipt.model,
            receipt: *receipt.address(),
            receipt_seq: receipt.next_seq(),
            window: receipt.window,
            payer: receipt.payer,
        })
    }
}
