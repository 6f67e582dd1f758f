use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, Receipt, ReceiptRuled, Seat, SeatRuled};

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
}

impl RuleReceipt {
    pub fn rule_receipt(
        &mut self,
        counts: Vec<u32>,
        seats: Vec<AccountView>,
    ) -> Result<ReceiptRuled> {
        let now = Clock::get()?.unix_timestamp;
        self.receipt.advance(&mut self.model, now)?;
        // A ruling may have fewer rows than a submission needs, as the window may have too few.
        let (value, _) = self.model.drift(&counts, 1)?;
        let mut seats = self.seats(seats)?;
        let ruling = self.receipt.rule(&mut self.model, &mut seats, value, now)?;
        self.model.count_report();
        let seats = seats
            .iter_mut()
            .map(|seat| SeatRuled {
                seat: *seat.address(),
                seat_seq: seat.next_seq(),
                oracle: seat.oracle,
                bonded: seat.bonded,
                unbonding: seat.unbonding,
            })
            .collect();
        Ok(ReceiptRuled {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            arbiter: *self.arbiter.address(),
            counts,
            value,
            upheld: ruling.upheld,
            slashed: ruling.slashed,
            reward: ruling.reward,
            challenger_credit: self.receipt.challenger_credit,
            treasury_credit: self.receipt.treasury_credit,
            security: self.model.security,
            chain: self.model.chain,
            seats,
        })
    }

    /// Loads the seats of all submitters, in the order of the model's oracles. The order excludes
    /// duplicates.
    fn seats(&self, views: Vec<AccountView>) -> Result<Vec<Account<Seat>>> {
        require!(
            views.len() == self.receipt.submissions(),
            DriftShieldError::WrongSeats
        );
        let mut seats = Vec::with_capacity(views.len());
        for (oracle, view) in self.receipt.submitters().zip(views) {
            // SAFETY: the seats belong to different oracles, so each is loaded once.
            let seat = unsafe { Account::<Seat>::load_mut(view) }
                .map_err(|_| DriftShieldError::WrongSeats)?;
            require!(
                seat.model == self.receipt.model && seat.oracle == self.model.oracles[oracle],
                DriftShieldError::WrongSeats
            );
            seats.push(seat);
        }
        Ok(seats)
    }
}
