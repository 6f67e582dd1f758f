//! Receipts of windows that had none.

use anchor_lang::prelude::*;

use crate::{load_or_create, Account, DriftShieldError, Model, Receipt, ReceiptState};

impl Receipt {
    /// Loads the receipt of `window`, or creates it at `payer`'s expense if the window has none;
    /// refused if nothing can depend on it.
    pub fn open(
        payer: &AccountView,
        account: &UncheckedAccount,
        model: &mut Account<Model>,
        window: u64,
    ) -> Result<Account<Self>> {
        let address = *model.address();
        let (mut receipt, bump) = load_or_create(
            payer,
            account,
            [b"receipt", address.as_ref(), &window.to_le_bytes()],
            |receipt: &Self| receipt.model == address && receipt.window == window,
            DriftShieldError::WrongReceipt,
        )?;
        if let Some(bump) = bump {
            require!(model.takes_receipts(), DriftShieldError::ModelRetired);
            model.open_receipts += 1; // once per account
            receipt.model = address; // all other fields are zero
            receipt.payer = *payer.address();
            receipt.window = window;
            receipt.version = model.version;
            receipt.bump = bump;
        }
        Ok(receipt)
    }

    /// Disputes a window to which nobody has submitted: starts the dispute of a new receipt.
    /// Refused until its submit period is over, and unless a market or a policy depends on it. The
    /// challenge that follows is refused when the challenge period is over.
    pub fn dispute_missing(&mut self, model: &Model, now: i64) -> Result<()> {
        let submit_end = model.submit_end(self.window)?;
        require!(submit_end <= now, DriftShieldError::SubmitPeriodOpen);
        require!(
            model.observes(self.window)?,
            DriftShieldError::WindowNotObserved
        );
        self.state = ReceiptState::Challenged.into();
        self.since = submit_end;
        Ok(())
    }
}
