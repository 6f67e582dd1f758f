use anchor_lang::{prelude::*, AccountClose};

use crate::{Account, DriftShieldError, Model, Receipt, ReceiptFinalized, Series};

#[event_cpi]
#[derive(Accounts)]
pub struct FinalizeReceipt {
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    #[account(mut, constraint = series.holds(&receipt) @ DriftShieldError::WrongSeries)]
    pub series: Account<Series>,
    /// Receives the receipt's rent if the receipt is closed.
    #[account(mut, address = receipt.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
}

impl FinalizeReceipt {
    pub fn finalize_receipt(&mut self) -> Result<ReceiptFinalized> {
        let moved = self
            .receipt
            .advance(&mut self.model, Clock::get()?.unix_timestamp)?;
        require!(moved, DriftShieldError::NothingToFinalize);
        self.series.record(&self.receipt);
        let event = ReceiptFinalized {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            series: *self.series.address(),
            series_seq: self.series.next_seq(),
            state: self.receipt.state.into(),
            value: self.receipt.value,
            challenger_credit: self.receipt.challenger_credit,
            pay: self.receipt.pay,
            earners: self.receipt.earners,
            penalties: self.receipt.penalties(&self.model),
            security: self.model.security,
            lasting_security: self.model.lasting_security,
            chain: self.model.chain,
        };
        if self.receipt.is_done() {
            self.receipt.close(*self.payer.account())?;
        }
        Ok(event)
    }
}
