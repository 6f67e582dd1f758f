use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Market, MarketSettled, MarketState, Model, Series};

/// Remaining accounts: the pages of the model's `Series` that hold the market's unsettled windows, in
/// order. For a page that doesn't exist: the address that it would have.
#[event_cpi]
#[derive(Accounts)]
pub struct SettleMarket {
    #[account(mut, address = market.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub market: Account<Market>,
}

impl SettleMarket {
    pub fn settle_market(&mut self, pages: Vec<AccountView>) -> Result<MarketSettled> {
        self.market.require_unsettled()?;
        require!(!pages.is_empty(), DriftShieldError::NoSeries);
        let now = Clock::get()?.unix_timestamp;
        let first = self.market.next_window;
        for page in pages {
            if !self.settle_page(page, now)? {
                break;
            }
        }
        require!(
            self.market.is_settled() || first < self.market.next_window,
            DriftShieldError::WindowUndecided
        );
        if self.market.is_settled() && 0 < self.market.total {
            self.model.remove_market(self.market.total);
        }
        Ok(self.event())
    }

    /// Settles the windows of the next page. Returns whether the market goes on after the page.
    fn settle_page(&mut self, view: AccountView, now: i64) -> Result<bool> {
        let page = Series::page_of(self.market.next_window);
        let series = Series::load(self.model.address(), page, view)?;
        if series.is_none() && self.is_too_late(now)? {
            self.market.void();
        } else {
            self.market
                .settle(series.as_deref(), self.model.first_undecided(now));
        }
        Ok(!self.market.is_settled() && page < Series::page_of(self.market.next_window))
    }

    /// Whether the retention of the next window is over. From then on its page may have been
    /// closed, so that a missing page proves nothing.
    fn is_too_late(&self, now: i64) -> Result<bool> {
        Ok(self.model.retention_end(self.market.next_window)? <= now)
    }

    fn event(&mut self) -> MarketSettled {
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
            market_risk: self.model.market_risk,
            exposure: self.model.exposure,
        }
    }
}
