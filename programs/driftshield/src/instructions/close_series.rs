use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, Series, SeriesClosed};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseSeries {
    /// Account that paid the page's rent and receives it back.
    #[account(mut, address = series.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
    #[account(address = series.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, close = payer)]
    pub series: Account<Series>,
}

impl CloseSeries {
    pub fn close_series(&mut self) -> Result<SeriesClosed> {
        let now = Clock::get()?.unix_timestamp;
        self.series.require_closable(&self.model, now)?;
        Ok(SeriesClosed {
            model: self.series.model,
            series: *self.series.address(),
            series_seq: self.series.next_seq(),
            page: self.series.page,
            payer: self.series.payer,
        })
    }
}
