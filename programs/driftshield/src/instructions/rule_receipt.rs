use anchor_lang::{prelude::*, AccountClose};

use crate::{Account, DriftShieldError, Model, Receipt, ReceiptRuled, Seat, SeatRuled, Series};

/// Remaining accounts: the `Seat`s of all submitters, writable, in the order of the model's
/// oracles.
#[event_cpi]
#[derive(Accounts)]
pub struct RuleReceipt {
    #[account(address = model.arbiter @ DriftShieldError::NotArbiter)]
    pub arbiter: Signer,
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    #[account(mut, constraint = series.holds(&receipt) @ DriftShieldError::WrongSeries)]
    pub series: Account<Series>,
    /// Receives the receipt's rent if the receipt is closed. May be the arbiter.
    #[account(mut, unsafe(dup), address = receipt.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
}

impl RuleReceipt {
    pub fn rule_receipt(
        &mut self,
        counts: Option<Vec<u32>>,
        seats: Vec<AccountView>,
    ) -> Result<ReceiptRuled> {
        let now = Clock::get()?.unix_timestamp;
        self.receipt.advance(&mut self.model, now)?;
        let found = match &counts {
            Some(counts) => Some(self.model.measure(counts)?.0),
            None => None,
        };
        let submitters = self.receipt.submitters();
        let mut seats = Seat::load_all(&self.model, submitters, seats)?;
        let ruling = self.receipt.rule(&mut self.model, &mut seats, found, now)?;
        self.model.count_report();
        self.series.record(&self.receipt);
        let seats = seats.iter_mut().map(SeatRuled::of).collect();
        let event = ReceiptRuled {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            series: *self.series.address(),
            series_seq: self.series.next_seq(),
            arbiter: *self.arbiter.address(),
            counts,
            state: self.receipt.state.into(),
            value: self.receipt.value,
            vindicated: ruling.vindicated,
            slashed: ruling.slashed,
            appeal_until: self.receipt.appeal_until,
            reward: self.receipt.reward,
            compensation: ruling.compensation,
            penalties: self.receipt.penalties(&self.model),
            challenger_credit: self.receipt.challenger_credit,
            treasury_credit: self.receipt.treasury_credit,
            security: self.model.security,
            lasting_security: self.model.lasting_security,
            pay: self.receipt.pay,
            earners: self.receipt.earners,
            chain: self.model.chain,
            seats,
        };
        if self.receipt.is_done() {
            self.receipt.close(*self.payer.account())?;
        }
        Ok(event)
    }
}
