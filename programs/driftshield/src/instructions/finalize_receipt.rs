use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, Receipt, ReceiptFinalized};

#[event_cpi]
#[derive(Accounts)]
pub struct FinalizeReceipt {
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
}

impl FinalizeReceipt {
    pub fn finalize_receipt(&mut self) -> Result<ReceiptFinalized> {
        let moved = self
            .receipt
            .advance(&mut self.model, Clock::get()?.unix_timestamp)?;
        require!(moved, DriftShieldError::NothingToFinalize);
        Ok(ReceiptFinalized {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            state: self.receipt.state.into(),
            value: self.receipt.value,
            challenger_credit: self.receipt.challenger_credit,
            pay: self.receipt.pay,
            earners: self.receipt.earners,
            chain: self.model.chain,
        })
    }
}
