use anchor_lang::prelude::*;

use crate::{
    require_text, Account, DriftShieldError, Model, Receipt, ReceiptState, ReceiptSubmitted, Seat,
    Series, URI_BYTES,
};

#[event_cpi]
#[derive(Accounts)]
pub struct SubmitReceipt {
    /// Pays the rent of a new receipt and of a new page.
    #[account(mut)]
    pub oracle: Signer,
    #[account(mut)]
    pub model: Account<Model>,
    /// The oracle's `Seat`: PDA of `["seat", model, oracle]`. Unchecked, and loaded after the check
    /// that the oracle is listed: an unlisted signer gets `NotAnOracle` rather than a
    /// missing-account error.
    #[account(mut)]
    pub seat: UncheckedAccount,
    /// The window's `Receipt`: PDA of `["receipt", model, window]`. Created here by the first
    /// submission.
    #[account(mut)]
    pub receipt: UncheckedAccount,
    /// The page of the model's `Series` that holds the window: PDA of `["series", model, page]`.
    /// Created here by the first submission for one of its windows.
    #[account(mut)]
    pub series: UncheckedAccount,
    pub system_program: Program<System>,
}

impl SubmitReceipt {
    pub fn submit_receipt(
        &mut self,
        window: u64,
        counts: Vec<u32>,
        evidence_hash: [u8; 32],
        evidence_uri: String,
    ) -> Result<ReceiptSubmitted> {
        let now = Clock::get()?.unix_timestamp;
        let index = self
            .model
            .oracle_index(self.oracle.address())
            .ok_or(DriftShieldError::NotAnOracle)?;
        require_text(&evidence_uri, URI_BYTES)?;
        // These checks come first: a crank treats a window that is settled, and a receipt past
        // Collecting, as done, at any time.
        let payer = *self.oracle.account();
        let model = *self.model.address();
        let mut series = Series::open(&payer, &self.series, &model, window)?;
        series.require_unsettled(window)?;
        let mut receipt = Receipt::open(&payer, &self.receipt, &mut self.model, window)?;
        require!(
            receipt.state == ReceiptState::Collecting,
            DriftShieldError::ReceiptNotCollecting
        );
        self.require_submit_period(window, now)?;
        require!(
            self.model.seat_counts(index),
            DriftShieldError::SeatDoesNotCount
        );
        self.model.require_listed(index, window)?;
        if receipt.is_new() {
            receipt.pay = self.model.take_pay(window, now);
        }
        let mut seat = self.seat()?;

        let (submission, samples) = self.model.measure(&counts)?;
        receipt.submit(
            &mut self.model,
            index,
            submission,
            samples,
            evidence_hash,
            now,
        )?;
        self.model.count_report();
        series.record(&receipt);
        seat.submissions = seat.submissions.wrapping_add(1); // once per window
        Ok(ReceiptSubmitted {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *receipt.address(),
            receipt_seq: receipt.next_seq(),
            window,
            series: *series.address(),
            series_seq: series.next_seq(),
            seat: *seat.address(),
            seat_seq: seat.next_seq(),
            oracle: seat.oracle,
            version: receipt.version,
            counts,
            samples,
            submission: submission.value(),
            evidence_hash,
            evidence_uri,
            state: receipt.state.into(),
            value: receipt.value,
            submitted: receipt.submitted,
            thin: receipt.thin,
            pay: receipt.pay,
        })
    }

    fn require_submit_period(&self, window: u64, now: i64) -> Result<()> {
        require!(
            self.model.window_end(window)? <= now,
            DriftShieldError::WindowNotOver
        );
        require!(
            now < self.model.submit_end(window)?,
            DriftShieldError::SubmitPeriodOver
        );
        Ok(())
    }

    fn seat(&self) -> Result<Account<Seat>> {
        // SAFETY: no other field is a seat, and `derive(Accounts)` refuses an account that is
        // passed twice.
        let seat = unsafe { Account::<Seat>::load_mut(*self.seat.account()) }
            .map_err(|_| DriftShieldError::WrongSeat)?;
        require!(
            seat.model == *self.model.address() && seat.oracle == *self.oracle.address(),
            DriftShieldError::WrongSeat
        );
        Ok(seat)
    }
}
