use anchor_lang::prelude::*;

use crate::{
    DriftShieldError, Market, MarketSettled, MarketState, Model, Receipt, ReceiptSettled,
    ReceiptState,
};

/// Remaining accounts: the receipts of the next windows in order, writable unless Final or Void.
/// For a window without a receipt: the address that its receipt would have.
#[event_cpi]
#[derive(Accounts)]
pub struct SettleMarket {
    #[account(mut, address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub market: Account<Market>,
}

impl SettleMarket {
    pub fn settle_market(&mut self, receipts: Vec<AccountView>) -> Result<MarketSettled> {
        self.market.require_unsettled()?;
        let now = Clock::get()?.unix_timestamp;
        let mut finalized = Vec::new();
        // Later windows have later retention ends, so a check of the next window holds for the
        // whole batch.
        if self.is_too_late(now)? {
            self.market.void();
        } else {
            require!(!receipts.is_empty(), DriftShieldError::NoReceipts);
        }
        for receipt in receipts {
            if self.market.is_settled() {
                break; // resolved early: the rest of the batch isn't needed
            }
            let (state, value) = self.observe(receipt, now, &mut finalized)?;
            self.market.settle(state, value);
        }
        if self.market.is_settled() && 0 < self.market.total {
            self.model.release_risk(self.market.total);
        }
        Ok(self.event(finalized))
    }

    /// Whether the retention of the next window is over. From then on its receipt may have been
    /// closed, so that a missing receipt proves nothing.
    fn is_too_late(&self, now: i64) -> Result<bool> {
        Ok(self.model.retention_end(self.market.next_window)? <= now)
    }

    /// Returns the state and the value of the next window's receipt. Advances the receipt first if
    /// a step is due.
    fn observe(
        &mut self,
        view: AccountView,
        now: i64,
        finalized: &mut Vec<ReceiptSettled>,
    ) -> Result<(ReceiptState, u64)> {
        if !view.owned_by(&crate::ID) {
            return self.observe_missing(&view, now);
        }
        let receipt = Account::<Receipt>::load(view).map_err(|_| DriftShieldError::WrongReceipt)?;
        require!(
            receipt.model == *self.model.address(),
            DriftShieldError::WrongReceipt
        );
        require!(
            receipt.window == self.market.next_window,
            DriftShieldError::SettleOutOfOrder
        );
        if receipt.is_settled() {
            return Ok((receipt.state.into(), receipt.value));
        }
        drop(receipt);

        // SAFETY: the shared reference was dropped, and no other field is a receipt.
        let mut receipt = unsafe { Account::<Receipt>::load_mut(view)? };
        receipt.advance(&mut self.model, now)?;
        require!(receipt.is_settled(), DriftShieldError::ReceiptNotFinal);
        let state = receipt.state.into();
        finalized.push(ReceiptSettled {
            receipt: *receipt.address(),
            receipt_seq: receipt.next_seq(),
            window: receipt.window,
            state,
            value: receipt.value,
            challenger_credit: receipt.challenger_credit,
        });
        Ok((state, receipt.value))
    }

    /// Treats a missing receipt as Void, once the window's submit period is over.
    fn observe_missing(&self, view: &AccountView, now: i64) -> Result<(ReceiptState, u64)> {
        let window = self.market.next_window;
        let window_seed = window.to_le_bytes();
        let seeds = [
            b"receipt".as_ref(),
            self.model.address().as_ref(),
            &window_seed,
        ];
        anchor_lang::find_and_verify_program_address(&seeds, &crate::ID, view.address())
            .map_err(|_| DriftShieldError::SettleOutOfOrder)?;
        require!(
            self.model.submit_end(window)? <= now,
            DriftShieldError::ReceiptNotFinal
        );
        Ok((ReceiptState::Void, 0))
    }

    fn event(&mut self, receipts: Vec<ReceiptSettled>) -> MarketSettled {
        let resolved = self.market.state == MarketState::Resolved;
        MarketSettled {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            next_window: self.market.next_window,
            observed: self.market.observed,
            accumulator: self.market.accumulator,
            state: self.market.state.into(),
            outcome: resolved.then_some(self.market.outcome),
            value: self.market.value,
            protocol_fee: self.market.protocol_credit,
            creator_fee: self.market.creator_credit,
            winnings: self.market.winnings,
            at_risk: self.model.at_risk,
            exposure: self.model.exposure,
            chain: self.model.chain,
            receipts,
        }
    }
}
